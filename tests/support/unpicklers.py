"""CPython's own unpicklers, of C and of Python, with nothing to call: what they would have called is noted."""

from __future__ import annotations

import io
import pickle
import random
import re
import resource
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_MEMORY = 256 << 20
_called: list[None] = []


def _note(*_: object, **__: object) -> object:
    _called.append(None)
    return _Inert("made", (), {})


class _Inert(type):
    """The type of what stands for everything that a pickle imports."""

    def __call__(cls, *_: object, **__: object) -> object:
        """Note a call."""
        return _note()

    append = extend = add = update = __setitem__ = __setstate__ = _note


def find(module: str, name: str) -> object:
    """Return what stands for something that a pickle imports."""
    if not all(part.isidentifier() for part in f"{module}.{name}".split(".")):
        raise ImportError(module)
    return _Inert("found", (), {"__new__": _note, "__setstate__": _note, "append": _note})


class _C(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Import nothing."""
        return find(module, name)


class _Python(pickle._Unpickler):  # type: ignore[name-defined, misc]
    def find_class(self, module: str, name: str) -> Any:
        """Import nothing."""
        return find(module, name)


KINDS = (_C, _Python)


def calls(data: bytes) -> bool:
    """Whether one of them would call something."""
    files = (io.BytesIO, lambda data: io.BufferedReader(io.BytesIO(data), 16))
    return any(noted(kind(file(data)).load) for file in files for kind in KINDS)


def noted(load: Callable[[], object]) -> bool:
    """Whether something is called while this loads a file by :func:`find`."""
    _called.clear()
    with _bounded():
        try:
            load()
        except Exception:  # noqa: BLE001, S110  # a pickle may raise anything, and do so on purpose
            pass
    return bool(_called)


@contextmanager
def _bounded() -> Iterator[None]:
    """Keep a number in a pickle from taking all memory."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _MEMORY, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


_LINES = (b"1", b"01", b"0", b" 1", b"+1", b"1_0", b"-1", b"0x1f", b"0b1", b"1L", b"1l", b"", b"1\0a", b"\0", b"1e5", b".5", b"inf", b"nan",
          b"'a'", b'"a"', b"'a' ", b"a", b"\\x41", b"1 ", b"1\r", b"9" * 30, b"9" * 500, b"9" * 5000, b"0" * 70, b"\xff", b"\x0b1", b"1_",
          b"_1", b"0o7", b"00", b"1.", b"000001", b"1\t", b"- 1")  # fmt: skip
_BEFORE = (b"", b"N", b"(", b"NN", b"(NN", b"]", b"}NN", b"](N", b"}(NN", b"\x8f(", b"\x96" + bytes(8) + b"K\1", b"K\1(", b"p0\n", b"p+1\n",
           b"\x94", b"Nq\1")  # fmt: skip
_CALLS = (b"cposix\nx\n(tR", b"cposix\nx\n)\x81", b"(iposix\nx\n", b"(cposix\nx\no", b"\x8c\x05posix\x8c\x01x\x93)R", b"Vposix\nVx\n\x93)}\x92",
          b"cos\nx\nN(u", b"cos\nx\nNa", b"cos\nx\nNNs", b"cos\nx\nNb", b"cos\nx\n(Ne", b"cos\nx\n(N\x90", b"U\x02osT\x01\0\0\0a\x93)R",
          b"iposix\nxX", b"(iposix\nxX")  # fmt: skip
_CODES = b"(.012FIJKLMNPQRSTUVXabcdeghijlopqrstu]){}\x80\x81\x82\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96\x97\x98GBC"
_FIXED = {b"K": b"\x07", b"M": b"ab", b"J": b"\1\2\3\4", b"G": b"\x3f\xf0" + bytes(6), b"\x82": b"\1"}


def program(chance: random.Random) -> bytes:
    """Return a few instructions, some of them odd, and then a call."""
    out = b""
    for _ in range(chance.randrange(1, 4)):
        code = bytes([chance.choice(_CODES)])
        out += chance.choice(_BEFORE) + code + _operand(chance, code)
    found = bytearray(out + chance.choice(_CALLS) + chance.choice((b"", b".")))
    if not chance.randrange(4):
        found[chance.randrange(len(found))] = chance.choice((chance.randrange(256), chance.choice(found)))
    return bytes(found)


def _operand(chance: random.Random, code: bytes) -> bytes:
    size = chance.randrange(4)
    if code in b"FILSVPpg":
        return chance.choice(_LINES) + b"\n"
    if code in b"ci":
        return b"".join(chance.choice((b"os", b"a.b", b"x\r", b"\xc3\xa9", b"a b")) + b"\n" for _ in "ab")
    if code in b"qh\x80":
        return bytes([size])
    if code in b"rj":
        return struct.pack("<I", size)
    if code in b"TXB\x8b":
        return struct.pack("<I", size) + b"os.x"[:size]
    if code in b"U\x8cC\x8a":
        return bytes([size]) + b"abcd"[:size]
    if code in b"\x8d\x8e\x96":
        return struct.pack("<Q", size) + b"abcd"[:size]
    if code == b"\x95":
        return struct.pack("<Q", chance.choice((0, 1, 5, 20)))
    return _FIXED.get(code, b"")


def too_large(data: bytes) -> bool:
    """Whether a memo of this would take much memory, and so much time to clear it."""
    return any(data[item.start() + 3 : item.start() + 5] != b"\0\0" for item in re.finditer(b"r", data))
