"""Bytes of a file, read a few at a time, with a limit on all of them together."""

from __future__ import annotations

import re
import struct
from typing import Final, Protocol

from steelyard.errors import FormatError

MAX_READ: Final = 256 << 20
"""Most bytes of one file that are looked at, all readers together. A reader holds a small part of it at a time."""
MAX_STEPS: Final = 1_000_000
"""Most values that are read of one file."""
MAX_NESTING: Final = 8
"""Deepest file within a file."""
_LOW_READ: Final = 32 << 20
_LOW_STEPS: Final = 150_000
_PAGE: Final = 64 << 10
_BEHIND_SKIP: Final = 1024
_MAX_AT: Final = 16 << 20


class Source(Protocol):
    """A file open for reading in any order."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a byte."""
        ...

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, and fewer only at the end."""
        ...


class _Budget:
    """What is left of the limits of one file, shared by all windows on it."""

    def __init__(self, read: int, steps: int) -> None:
        self.read = read
        self.steps = steps


class Window:
    """A part of a file. All offsets are from its first byte."""

    def __init__(self, source: Source, size: int, *, read: int = MAX_READ, steps: int = MAX_STEPS) -> None:
        """Look at ``size`` bytes from the start of ``source``; ``read`` and ``steps`` bound the work in all."""
        self._source = source
        self._base = 0
        self.size = size
        self.depth = 0
        self._kept = b""
        self._budget = _Budget(read, steps)

    def sub(self, offset: int, size: int) -> Window:
        """Return a part as a file of its own, under the same limits.

        Raises:
            FormatError: it is not within this one, or is nested too deeply.
        """
        self.require(offset, size)
        if self.depth >= MAX_NESTING:
            raise FormatError(f"files are nested deeper than {MAX_NESTING} levels")
        other = Window.__new__(Window)
        other._source, other._base, other.size = self._source, self._base + offset, size
        other.depth, other._budget, other._kept = self.depth + 1, self._budget, b""
        return other

    def inner(self, data: bytes) -> Window:
        """Return unpacked bytes as a file within this one, under the same limits.

        Raises:
            FormatError: it is nested too deeply.
        """
        if self.depth >= MAX_NESTING:
            raise FormatError(f"files are nested deeper than {MAX_NESTING} levels")
        other = Window(Memory(data), len(data))
        other.depth, other._budget = self.depth + 1, self._budget
        return other

    def require(self, offset: int, size: int) -> None:
        """Check that a range lies within.

        Raises:
            FormatError: it does not.
        """
        if offset < 0 or size < 0 or offset + size > self.size:
            raise FormatError(f"bytes {offset} to {offset + size} are outside of its {self.size}")

    def at(self, offset: int, size: int) -> bytes:
        """Return exactly these bytes.

        Raises:
            FormatError: they are outside, too many at a time, or more than the limit of all.
        """
        self.require(offset, size)
        if offset + size <= len(self._kept):
            return self._kept[offset : offset + size]
        if size > _MAX_AT:
            raise FormatError(f"a header of {size} bytes is larger than {_MAX_AT}")
        self._budget.read -= size
        if self._budget.read < 0:
            raise FormatError("its headers are larger than anything that is looked at")
        self._source.seek(self._base + offset)
        found = self._source.read(size)
        if len(found) != size:
            raise FormatError(f"it ends at byte {offset + len(found)}, before its size")
        return found

    def keep(self) -> None:
        """Read the first 64 KiB once, for all the readers that begin with them.

        Raises:
            FormatError: as of :meth:`at`.
        """
        self._kept = self.at(0, min(self.size, _PAGE))

    @property
    def low(self) -> bool:
        """Whether so little is left of the limits that no further file should be begun."""
        return self._budget.read < _LOW_READ or self._budget.steps < _LOW_STEPS

    @property
    def spent(self) -> bool:
        """Whether a limit on the work in all was passed."""
        return self._budget.read < 0 or self._budget.steps < 0

    def step(self, count: int = 1) -> None:
        """Count values that are read.

        Raises:
            FormatError: they are too many.
        """
        self._budget.steps -= count
        if self._budget.steps < 0:
            raise FormatError("its headers hold more values than anything that is looked at")


class Memory:
    """Bytes as a source."""

    def __init__(self, data: bytes) -> None:
        """Start at the first byte."""
        self._data = data
        self._place = 0

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a byte."""
        self._place = offset
        return offset

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes."""
        found = self._data[self._place : self._place + size]
        self._place += len(found)
        return found


class Cursor:
    """Reads a part of a window from front to back, page by page."""

    def __init__(self, window: Window, start: int = 0, end: int | None = None) -> None:
        """Begin at ``start``, end before ``end``, or at the end of the window."""
        self.window = window
        self.place = start
        self.end = window.size if end is None else end
        window.require(start, self.end - start)
        self._page = b""
        self._page_at = start
        self._ahead = _PAGE

    @property
    def left(self) -> int:
        """Bytes that are left."""
        return self.end - self.place

    def peek(self, size: int) -> bytes:
        """Return the next bytes, at most ``size`` and fewer only at the end, and stay."""
        size = min(size, self.end - self.place)
        at = self.place - self._page_at
        if at < 0 or at + size > len(self._page):
            # Who skips from one small thing to the next needs little of what lies between.
            self._ahead = min(2 * self._ahead, _PAGE) if 0 <= at <= len(self._page) else _BEHIND_SKIP
            self._page = self.window.at(self.place, min(max(size, self._ahead), self.end - self.place))
            self._page_at, at = self.place, 0
        return self._page[at : at + size]

    def take(self, size: int) -> bytes:
        """Return the next ``size`` bytes.

        Raises:
            FormatError: there are fewer.
        """
        if size > self.end - self.place:
            raise FormatError(f"it is cut off: {size} bytes are needed at byte {self.place}")
        found = self.peek(size)
        self.place += size
        return found

    def _here(self) -> bytes:
        """Return what the page at hand still holds, without reading more."""
        at = self.place - self._page_at
        return self._page[at : at + self.left] if 0 <= at < len(self._page) else b""

    def skip(self, size: int) -> None:
        """Go over ``size`` bytes without reading them.

        Raises:
            FormatError: there are fewer.
        """
        if not 0 <= size <= self.end - self.place:
            raise FormatError(f"it is cut off: {size} bytes are needed at byte {self.place}")
        self.place += size

    def skip_all(self, pattern: re.Pattern[bytes], least: int) -> None:
        """Go over what matches again and again; ``least`` is more than one match is long."""
        while self.left:
            at = self.place - self._page_at
            if at < 0 or len(self._page) - at < least:
                self.peek(min(_PAGE, self.left))
                at = self.place - self._page_at
            found = pattern.match(self._page, at)
            if found is None or found.end() == at:
                return
            self.window.step((found.end() - at) // 64)
            self.place += found.end() - at

    def number(self, form: str) -> int:
        """Return an integer of one of struct's forms, such as ``<Q``.

        Raises:
            FormatError: the bytes are cut off.
        """
        value = struct.unpack(form, self.take(struct.calcsize(form)))[0]
        assert isinstance(value, int)
        return value

    def varint(self) -> int:
        """Return a base-128 integer of at most 64 bits, as protobuf and Thrift write it.

        Raises:
            FormatError: it is cut off, or longer than 10 bytes.
        """
        data = self.peek(10)
        value = 0
        for place, byte in enumerate(data):
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                self.place += place + 1
                return value & 0xFFFF_FFFF_FFFF_FFFF
        raise FormatError(f"an integer at byte {self.place} has no end")

    def line(self, most: int) -> bytes:
        """Return at most the first ``most`` bytes of a line, and go behind the line feed that ends it.

        A last line without one lacks its last byte, since that is how CPython's unpicklers read it.

        Raises:
            FormatError: there is none.
        """
        kept, start = b"", self.place
        while True:
            data = self._here() or self.peek(min(_PAGE, self.left))
            found = data.find(b"\n")
            kept += data[: most - len(kept)] if found < 0 else data[: min(found, most - len(kept))]
            if found >= 0:
                self.place += found + 1
                return kept
            if not data and self.place == start:
                raise FormatError(f"no line stands at byte {self.place}")
            if not data:
                return kept[: self.place - start - 1]
            self.place += len(data)


def text_of(data: bytes) -> str:
    """Return UTF-8 as text.

    Raises:
        FormatError: it is none.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise FormatError("a name in it is not UTF-8") from exc
