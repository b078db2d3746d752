"""Hostile pickles, bare and in every coat, and programs."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial

from steelyard.errors import CodeError, FormatError
from tests.hostile.cases import SYSTEM, Case, file, packed, real
from tests.support import packs, torchlike

BUILTIN = b"\x80\x04\x95\x1e\x00\x00\x00\x00\x00\x00\x00\x8c\x08builtins\x8c\x04exec\x93\x8c\x01x\x85R."


def cases() -> Iterator[Case]:
    yield from _pickles()
    yield from _coats()
    yield from _more_coats()
    yield from _objects()


def _pickles() -> Iterator[Case]:
    programs = {
        "system": SYSTEM,
        "exec": BUILTIN,
        "without an end": SYSTEM[:-1],
        "that fails afterwards": SYSTEM[:-1] + b"\xff\xff",
        "with bytes behind": SYSTEM + b"trailing",
        "instance": b"(S'id'\niposix\nsystem\n.",
        "object": b"(cposix\nsystem\nS'id'\no.",
        "newobj": b"\x80\x02cbuiltins\nobject\n)\x81.",
        "behind a long line": b"V" + b"a" * 70_000 + b"\n0" + SYSTEM,
        "behind a long text": b"T" + struct.pack("<I", 300_000) + b"a" * 300_000 + b"0" + SYSTEM,
        "behind many instructions": b"N0" * 155_000 + SYSTEM,
        "under a frame that lies": b"\x80\x04\x95"
        + b"\xff" * 8
        + b"\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R.",
        "by a memo": b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94h\x00h\x01\x93\x8c\x02id\x85R.",
        "data alone": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00]\x94(K\x01K\x02K\x03e.",
        "of stacks": b"(" * 200_000,
        "behind a number in hex": b"I0x10\n0" + SYSTEM,
        "behind a number with an end within": b"I5\0zzz\n0" + SYSTEM,
        "behind nothing and an end within": b"I\0\n0" + SYSTEM,
        "behind a long number": b"I" + b"1" * 401 + b"\n0" + SYSTEM,
        "behind a longer number": b"L" + b"1" * 70_000 + b"L\n0" + SYSTEM,
        "behind a long fraction": b"F" + b"1" * 401 + b"\n0" + SYSTEM,
        "behind a fraction with an end within": b"F1\0zzz\n0" + SYSTEM,
        "by a memo in other writing": b"cposix\nsystem\np+1_0\n0g 10\n(S'id'\ntR.",
        "by a memo behind zeros": b"cposix\nsystem\np" + b"0" * 5000 + b"1\n0g1\n(S'id'\ntR.",
        "behind nothing appended": b"K\x01(e0" + SYSTEM,
        "behind bytes appended": b"\x96" + bytes(8) + b"K\x01a0" + SYSTEM,
        "by setting an item": b"cos\nenviron\nS'A'\nS'b'\ns.",
        "by appending": b"csys\npath\nS'/tmp'\na.",
        "by setting a state": b"cos\nenviron\n}b.",
        "without the last line's end": b"(S'id'\niposix\nsystemX",
        "behind a line torn by a frame": b"\x95\x06" + bytes(7) + b"(S'x y'\n" + SYSTEM,
        "of protocol 6": b"\x80\x06" + SYSTEM,
    }
    for what, data in programs.items():
        yield file(f"pickle: {what}", data, "loading runs code", CodeError)
    laughs = (
        b"\x80\x04]\x94("
        + b"K\x01" * 10
        + b"e"
        + b"".join(b"]\x94(" + b"h" + bytes([n]) * 1 + b"e" for n in range(40))
        + b"."
    )
    yield file("pickle: laughs", laughs, "loading runs code", CodeError)
    for coat, data in packed(SYSTEM):
        yield file(f"pickle: {coat}", data, "posix system", CodeError)
    for coat, data in packed(b"T" + struct.pack("<I", 1 << 20) + b"a" * (1 << 20) + b"0" + SYSTEM):
        yield file(f"pickle: {coat}, behind a megabyte", data, "loading runs code", CodeError)
    yield file("pickle: joblib", lambda: real("joblib-lz4.joblib"), "loading runs code", CodeError)
    yield file("pytorch: archive", lambda: torchlike.archive({"w": (2,)}), "it is a pickle", CodeError)
    yield file(
        "pytorch: TorchScript", lambda: torchlike.archive({"w": (2,)}, script=True), "TorchScript", CodeError
    )
    yield file("pytorch: older form", lambda: torchlike.legacy({"w": (2,)}), "it is a pickle", CodeError)
    for what, data in {"elf": b"\x7fELF\x02", "pe": b"MZ" + bytes(58) + b"\x40\0\0\0PE\0\0", "macho": b"\xcf\xfa\xed\xfe", "wasm": b"\0asm\1\0\0\0",
                       "bytecode": b"\xa7\x0d\x0d\x0a" + bytes(12)}.items():  # fmt: skip
        yield file(f"program: {what}", data, "loading runs code", CodeError)


def _coats() -> Iterator[Case]:
    for coat, data in packed(b"a text that is packed " * 99):
        if coat not in ("zlib", "lzma"):  # whose first bytes any file may have
            yield file(f"coat: {coat}, damaged", data[:10] + b"\xff\xfe\xfd" * 30, f"begins as {coat} does")
    yield file("coat: lz4, cut off", b"\x04\x22\x4d\x18\x40", "cut off")
    frame = b"\x04\x22\x4d\x18\x40\x40\x00" + struct.pack("<I", 6) + b"\x10a\xff\xff\x00\x00"
    yield file("coat: lz4, damaged", frame, "begins as lz4 does, and is damaged")
    endless = (
        b"\x04\x22\x4d\x18\x40\x40\x00"
        + struct.pack("<I", 1 << 20)
        + b"\x1f"
        + b"a\x01\x00"
        + b"\xff" * 200_000
    )
    yield Case("coat: lz4, bomb", "small", lambda: endless, FormatError)
    import gzip

    from backports import zstd

    yield Case("coat: gzip, bomb", "small", lambda: gzip.compress(bytes(64 << 20)), FormatError)
    yield Case("coat: zstd, bomb", "small", lambda: zstd.compress(bytes(64 << 20)), FormatError)


def _more_coats() -> Iterator[Case]:
    """Yield what those who load a coat unpack, and a look at the first stream, block or bytes does not show."""
    import bz2
    import gzip
    import lzma

    from backports import zstd

    def noise() -> bytes:
        return b"NT" + struct.pack("<I", 1 << 20) + random.Random(1).randbytes(1 << 20) + b"00" + SYSTEM

    packers: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zlib": zlib.compress, "lz4": packs.lz4,
        "zstd": zstd.compress, "lzip": packs.lzip,
    }  # fmt: skip
    shapes: dict[str, Callable[[Callable[[bytes], bytes]], bytes]] = {
        "behind an empty stream": lambda pack: pack(b"") + pack(SYSTEM),
        "in two streams": lambda pack: pack(SYSTEM[:9]) + pack(SYSTEM[9:]),
        "behind noise": lambda pack: pack(noise()),
    }
    for coat, pack in packers.items():
        for what, shape in shapes.items():
            yield file(f"pickle: {coat}, {what}", partial(shape, pack), "loading runs code", CodeError)
    named = gzip.compress(SYSTEM)
    text = b"T" + struct.pack("<I", 5 << 20) + bytes(5 << 20) + b"0"
    files: dict[str, Callable[[], bytes]] = {
        "gzip, behind zeros": lambda: gzip.compress(b"") + bytes(9000) + gzip.compress(SYSTEM),
        "gzip, behind a long name": lambda: (
            named[:3] + b"\x08" + named[4:10] + b"n" * 300_000 + b"\0" + named[10:]
        ),
        "gzip, in front of damage": lambda: gzip.compress(SYSTEM + noise())[:-9],
        "zlib, in front of damage": lambda: zlib.compress(SYSTEM + noise())[:50_000] + bytes(50_000),
        "gzip, behind many streams": lambda: gzip.compress(b"") * 14_000 + gzip.compress(SYSTEM),
        "gzip, behind a first text": lambda: gzip.compress(text + SYSTEM),
        "zlib, behind empty blocks": lambda: (
            b"\x78\x9c" + b"\0\0\0\xff\xff" * 60_000 + zlib.compress(SYSTEM)[2:]
        ),
        "zstd, behind a skipped frame": lambda: b"\x5f\x2a\x4d\x18\x03\0\0\0abc" + zstd.compress(SYSTEM),
        "zstd, behind a long skipped frame": lambda: (
            b"\x50\x2a\x4d\x18" + struct.pack("<I", 300_000) + bytes(300_000) + zstd.compress(SYSTEM)
        ),
        "lz4, in two blocks": lambda: packs.lz4(SYSTEM[:9], SYSTEM[9:]),
        "lz4, around a skipped frame": lambda: (
            packs.lz4(SYSTEM[:9]) + b"\x5f\x2a\x4d\x18\x03\0\0\0abc" + packs.lz4(SYSTEM[9:])
        ),
        "lzip, older": lambda: packs.lzip(SYSTEM, version=0),
        "xz and lzma": lambda: lzma.compress(SYSTEM[:9]) + lzma.compress(SYSTEM[9:], lzma.FORMAT_ALONE),
        "lzip and xz": lambda: packs.lzip(SYSTEM[:9]) + lzma.compress(SYSTEM[9:]),
        "older joblib": lambda: packs.zfile(SYSTEM),
        "older joblib, of Python 2": lambda: packs.zfile(SYSTEM, width=20),
    }
    for what, data in files.items():
        yield file(f"pickle: {what}", data, "loading runs code", CodeError)
    yield file(
        "coat: gzip, nothing in megabytes",
        lambda: named[:3] + b"\x08" + named[4:10] + b"n" * (5 << 20) + b"\0" + named[10:],
        "nothing is in its first",
    )


def _objects() -> Iterator[Case]:
    """Yield objects of other languages, and of Python's in YAML."""
    head = b"\0\4\4\1\0\3\5\0\0\0\0\5UTF-8" + bytes(20)
    objects = {
        "R, XDR": b"X\n\0\0\0\3" + head,
        "R, binary": b"B\n\3\0\0\0" + head,
        "R, binary, big-endian": b"B\n\0\0\0\2" + head,
        "R, text": b"A\n3\n263169\n197888\n5\nUTF-8\n254\n",
        "R, text with CR": b"A\r\n2\r\n263169\r\n131840\r\n254\r\n",
        "R, workspace": b"RDX3\nX\n\0\0\0\3" + head,
        "R, workspace of text": b"RDA2\nA\n2\n263169\n131840\n254\n",
        "Java": b"\xac\xed\0\5sr\0\x11java.util.HashMap" + bytes(20),
    }
    for what, data in objects.items():
        yield file(f"program: objects of {what}", data, "loading runs code", CodeError)
    for what in ("R, XDR", "R, workspace of text", "Java"):
        for coat, data in packed(objects[what]):
            yield file(f"program: objects of {what}, {coat}", data, "loading runs code", CodeError)
    call = "!!python/object/apply:os.system [id]"
    documents = {
        "a tag": f"a: {call}\n",
        "a tag in a list": f"[1, {call}]\n",
        "a whole tag": "a: !<tag:yaml.org,2002:python/object/apply:os.system> [id]\n",
        "a tag in other writing": "a: !!%70ython%2fobject/apply:os.system [id]\n",
        "a tag in a directive": "%TAG !e! tag:yaml.org,2002:pyth\n---\na: !e!on/object/apply:os.system [id]\n",
        "a module": "a: !!python/module:os\n",
        "a tag behind megabytes": "# " + "x" * (5 << 20) + f"\na: {call}\n",
        "megabytes": "# " + "x" * (17 << 20) + "\n",
    }
    for what, text in documents.items():
        yield Case(f"program: YAML, {what}", "yaml", text.encode, CodeError)
    yield Case("program: YAML, in UTF-16", "yaml", lambda: f"a: {call}\n".encode("utf-16"), CodeError)
