"""Pickles: their instructions are followed on paper, and nothing is ever made, imported or called.

A pickle is a program. This reads it as a list of what it would do: values stay inert descriptions, a call is noted and
not made. Where loaders differ, or are lenient, it goes on: whatever CPython's would call has to be seen here too. Source:
CPython's pickletools, Modules/_pickle.c and Lib/pickle.py, protocols 0 to 5.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from steelyard.errors import FormatError
from steelyard.formats.window import Cursor, Window

MAX_STEPS: Final = 300_000
"""Most instructions of one pickle that are followed."""
_MAX_PROTOCOL: Final = 15
"""Newest that is followed; 5 is the newest that there is."""
_MAX_ROW: Final = 8
"""Most pickles behind the first one that are followed."""
_MAX_LINE: Final = 65_536
_MAX_KEPT: Final = 4096
_MAX_STACK: Final = 100_000
_LETTERS: Final = ord("\t") << 24


@dataclass(slots=True, eq=False)
class Global:
    """A name that the pickle would import."""

    module: str
    name: str


@dataclass(slots=True, eq=False)
class Call:
    """A call that the pickle would make, and what it would do to the result."""

    function: Value
    arguments: Value
    items: list[tuple[Value, Value]] = field(default_factory=list)
    state: Value = None


@dataclass(slots=True, eq=False)
class Persistent:
    """Something that lies outside of the pickle, by its id."""

    id: Value


@dataclass(slots=True, eq=False)
class Items:
    """A list, set, tuple or dictionary; of the last the pairs, one after the other."""

    kind: str
    values: list[Value] = field(default_factory=list)


Value: TypeAlias = "int | float | str | bytes | bool | None | Global | Call | Persistent | Items"


@dataclass(slots=True)
class Pickle:
    """What a pickle would do.

    Attributes:
        value: what it would return, as a description; None if it does not end.
        names: what it would import, ``module name``, each once.
        acts: whether it would call something that it imports.
        complete: whether it ends as a pickle does.
        cut: whether the bytes ended before it did.
        endless: whether it is longer than what is followed, or goes on as no pickle that was written by one.
        steps: how many instructions were followed.
        end: offset behind it, if it is complete.
        declared: length of the last text, as it is declared.
        protocol: as it declares.
    """

    value: Value = None
    names: dict[str, None] = field(default_factory=dict)
    acts: bool = False
    complete: bool = False
    cut: bool = False
    endless: bool = False
    steps: int = 0
    end: int = 0
    declared: int = 0
    protocol: int = 0


class _Stop(Exception):
    """The end of the pickle, or of what can be followed."""


_MARK: Final = Items("mark")
# Fixed-size arguments: form and whether it is the value.
_NUMBERS: Final = {b"J": "<i", b"K": "<B", b"M": "<H", b"G": ">d"}
_TEXTS: Final = {b"X": "<I", b"\x8c": "<B", b"\x8d": "<Q", b"T": "<I", b"U": "<B", b"B": "<I", b"C": "<B",
                 b"\x8e": "<Q", b"\x96": "<Q"}  # fmt: skip
_INTEGER: Final = re.compile(
    rb"(?!\Z)(\s*[+-]?(0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|[0-9_]+)[lL]?\s*)?(\0|\Z)"
)
"""What C's ``strtol`` and Python's ``int`` take for a number, as far as C's end of a text."""
_DECODED: Final = b"X\x8c\x8dTU"
_CONSTANTS: Final[dict[bytes, Value]] = {b"N": None, b"\x88": True, b"\x89": False}


class _Machine:
    """Follows one pickle."""

    def __init__(self, window: Window, start: int) -> None:
        self.cursor = Cursor(window, start)
        self.stack: list[Value] = []
        self.memo: dict[int, Value] = {}
        self.found = Pickle(end=start)
        self.frame = start

    def run(self) -> Pickle:
        try:
            while self.found.steps < MAX_STEPS and len(self.stack) <= _MAX_STACK and not self._torn():
                self.found.end = self.cursor.place
                self.cursor.window.step()
                self.step(self.cursor.take(1))
                self.found.steps += 1
            self.found.endless = True
        except FormatError:
            if self.cursor.window.spent:
                raise
            self.found.cut = True
        except (_Stop, IndexError):
            self.found.endless = self._torn()
        return self.found

    def _torn(self) -> bool:
        """Whether the end of a frame is within the last instruction: CPython may lose what lies in front of it."""
        return self.found.end < self.frame < self.cursor.place

    def step(self, code: bytes) -> None:
        """Follow one instruction."""
        if code in _TEXTS:
            self._text(code)
        elif code in _NUMBERS:
            form = _NUMBERS[code]
            self.stack.append(struct.unpack(form, self.cursor.take(struct.calcsize(form)))[0])
        elif code in _CONSTANTS:
            self.stack.append(_CONSTANTS[code])
        elif code in b"(]})l" or code in b"aestud" or code in b"\x85\x86\x87\x8f\x90\x91":
            self._collect(code)
        elif code in b"pgqrhj\x94":
            self._remember(code)
        elif code in b"cio\x93\x81\x92Rb\x82\x83\x84":
            self._act(code)
        elif code == b".":
            self.found.value = self._pop()
            self.found.complete = not self.stack
            self.found.end = self.cursor.place
            raise _Stop
        else:
            self._other(code)

    def _text(self, code: bytes) -> None:
        size = self.found.declared = self.cursor.number(_TEXTS[code])
        kept = self.cursor.peek(min(size, _MAX_KEPT))
        self.cursor.skip(size)
        self.stack.append(kept.decode("utf-8", "replace") if code in _DECODED else kept)

    def _other(self, code: bytes) -> None:
        cursor = self.cursor
        if code == b"\x80":
            protocol = cursor.number("<B")
            if protocol > _MAX_PROTOCOL:
                raise _Stop
            self.found.protocol = protocol
        elif code == b"\x95":
            self.frame = cursor.number("<Q") + cursor.place
        elif code in b"\x8a\x8b":
            size = cursor.number("<B" if code == b"\x8a" else "<I")
            kept = cursor.peek(min(size, 64))
            cursor.skip(size)
            self.stack.append(int.from_bytes(kept, "little", signed=True))
        elif code in b"ILFSV":
            line = cursor.line(_MAX_LINE)
            self.stack.append(_literal(code, line))
        elif code == b"P":
            if not self.found.steps:
                raise _Stop  # it fails at once without a loader of its own, and every ZIP begins so
            self.stack.append(Persistent(cursor.line(_MAX_LINE)[:_MAX_KEPT].decode("ascii", "replace")))
        elif code == b"Q":
            self.stack.append(Persistent(self._pop()))
        elif code == b"0":
            self.stack.pop()
        elif code == b"1":
            self._marked()
        elif code == b"2":
            self.stack.append(self._top())
        elif code == b"\x97":
            self.stack.append(Persistent("buffer"))
        elif code != b"\x98":
            raise _Stop

    def _top(self) -> Value:
        """Return the last value."""
        if self.stack[-1] is _MARK:
            raise _Stop
        return self.stack[-1]

    def _pop(self) -> Value:
        """Take the last value."""
        self._top()
        return self.stack.pop()

    def _marked(self) -> list[Value]:
        """Take what lies above the last mark, and the mark."""
        place = len(self.stack) - 1
        while self.stack[place] is not _MARK:
            place -= 1  # without a mark the index leaves the stack, which ends the pickle
        values = self.stack[place + 1 :]
        del self.stack[place:]
        return values

    def _collect(self, code: bytes) -> None:
        stack = self.stack
        if code == b"(":
            stack.append(_MARK)
        elif code in b"]})\x8f":
            stack.append(Items({b"]": "list", b"}": "dict", b")": "tuple", b"\x8f": "set"}[code]))
        elif code in b"\x85\x86\x87":
            stack.append(Items("tuple", [self._pop() for _ in range(code[0] - 0x84)][::-1]))
        elif code in b"ltd\x91":
            stack.append(
                Items({b"l": "list", b"t": "tuple", b"d": "dict", b"\x91": "set"}[code], self._marked())
            )
        else:
            if code == b"a":
                values = [self._pop()]
            elif code == b"s":
                values = [self._pop(), self._pop()][::-1]
            else:
                values = self._marked()
            self._put(self._top(), values, pairs=code in b"su")

    def _put(self, target: Value, values: list[Value], *, pairs: bool) -> None:
        if isinstance(target, Items):
            target.values += values
        elif isinstance(target, Global):
            self.found.acts = True
        elif isinstance(target, Call):
            step = 2 if pairs else 1
            for place in range(0, len(values) - step + 1, step):
                target.items.append((values[place], values[place + step - 1]))

    def _remember(self, code: bytes) -> None:
        if code in b"pg":
            line = self.cursor.line(_MAX_LINE)
            if _INTEGER.match(line) is None:
                raise _Stop
            place = _number(line)
        elif code == b"\x94":
            place = len(self.memo)
        else:
            place = self.cursor.number("<B" if code in b"qh" else "<I")
        if code in b"gjh":
            if place not in self.memo:
                raise _Stop
            self.stack.append(self.memo[place])
        else:
            self.memo[place] = self._top()

    def _act(self, code: bytes) -> None:
        """Note what would import, call or set."""
        stack, cursor = self.stack, self.cursor
        if code in b"ci":
            module, name = cursor.line(_MAX_LINE), cursor.line(_MAX_LINE)
            made = self._name(_dotted(module), _dotted(name))
            stack.append(made if code == b"c" else self._call(made, Items("tuple", self._marked())))
        elif code == b"\x93":
            name_, module_ = self._pop(), self._pop()
            if not isinstance(name_, str) or not isinstance(module_, str):
                raise _Stop
            stack.append(self._name(module_, name_))
        elif code in b"\x82\x83\x84":
            # Only what some module has registered; without that it fails.
            number = cursor.number({b"\x82": "<B", b"\x83": "<H", b"\x84": "<i"}[code])
            stack.append(Global("copyreg extension", str(number)))
        elif code == b"b":
            state, target = self._pop(), self._top()
            self.found.acts |= isinstance(target, Global)
            if isinstance(target, Call):
                target.state = state
        elif code == b"o":
            values = self._marked()
            stack.append(self._call(values[0], Items("tuple", values[1:])))
        else:
            more = [self._pop()] if code == b"\x92" else []
            arguments = self._pop()
            stack.append(self._call(self._pop(), Items("tuple", [arguments, *more]) if more else arguments))

    def _call(self, function: Value, arguments: Value) -> Call:
        self.found.acts |= isinstance(function, (Global, Call))
        return Call(function, arguments)

    def _name(self, module: str, name: str) -> Global:
        if len(self.found.names) < _MAX_KEPT:
            self.found.names[f"{module} {name}"[:200]] = None
        return Global(module[:200], name[:200])


def follow(window: Window, start: int = 0) -> Pickle:
    """Follow the pickle that begins at a byte, as far as it goes.

    Raises:
        FormatError: the limits of the file are spent; nothing else that is in it.
    """
    return _Machine(window, start).run()


def first_of(window: Window) -> Pickle:
    """Follow the pickle that a file begins with, or of several in a row, where that is none yet, the first that would do something.

    A loader may load one after the other: PyTorch's older form begins with a number, whose pickle does nothing.

    Raises:
        FormatError: as of :func:`follow`.
    """
    first = found = follow(window)
    for _ in range(_MAX_ROW):
        if is_pickle(found, window.size) or not found.complete:
            break
        found = follow(window, found.end)
    return found if is_pickle(found, window.size) or found.cut else first


def _literal(code: bytes, line: bytes) -> Value:
    if code == b"S" and (
        line[:1] not in (b"'", b'"') or len(line) < _MAX_LINE and line.rstrip()[-1:] != line[:1]
    ):
        raise _Stop
    if code in b"SV":
        return line.strip(b"'\"")[:_MAX_KEPT].decode("utf-8", "replace")
    if code == b"F":
        try:
            return float(line.split(b"\0", 1)[0])
        except ValueError as exc:
            raise _Stop from exc
    if _INTEGER.match(line) is None:
        raise _Stop
    return _number(line)


def _number(line: bytes) -> int:
    """Return the decimal number that a line begins with; 0 for one in another form."""
    try:
        return int(line.split(b"\0", 1)[0].rstrip(b"Ll").lstrip(b"+0") or b"0")
    except ValueError:
        return 0


def _dotted(line: bytes) -> str:
    """Return a module or name of protocol 0, which ends most texts that are no pickles."""
    name = line.rstrip(b"\r").decode("utf-8", "replace")
    if not name or not all(part.isidentifier() for part in name.split(".")):
        raise _Stop
    return name


def is_pickle(found: Pickle, size: int, *, part: bool = False) -> bool:
    """Whether what was followed is a pickle, so that loading it would do something.

    A pickle acts before it fails: so one that would call what it imports counts, whether it ends or not. What only
    makes values counts if it ends, or goes on for long, under a protocol that announces itself; without one it has to
    end with the file, for any text that begins with ``N.`` is a pickle too. Of ``part`` of a file whatever can go on
    as a pickle counts as one; without a protocol, what is cut in a text whose length could be four letters of another cannot.
    """
    if part and found.cut and not (found.acts or found.protocol) and found.declared >= _LETTERS:
        return False
    begun = found.steps or found.protocol or 0 < found.declared < _LETTERS
    if found.acts or found.endless or (part and found.cut and begun):
        return True
    if found.names and (found.complete or found.protocol >= 2):
        return True
    if found.protocol >= 2:
        return found.complete and found.steps >= 2 or found.steps > 16
    return found.complete and found.steps > 2 and found.end >= size - 1


def why(found: Pickle) -> str:
    """Return the reason why loading a pickle runs code."""
    names = ", ".join(found.names)
    return f"it is a pickle, a program that runs when it is loaded; it names {names[:200] or 'nothing'}"
