"""ZIP archives in which two readers see two different ones, and tars that Python's ``tarfile`` reads though they are odd."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

CALL = b"cbuiltins\nlen\n(S'abc'\ntR."
"""A pickle that calls a function."""
_HARMLESS = {"readme.txt": b"hello"}
_HIDDEN = {"archive/data.pkl": CALL, "archive/version": b"3\n"}


def _local(name: str, data: bytes) -> bytes:
    size = len(data)
    head = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 33, zlib.crc32(data), size, size, len(name), 0)
    return head + name.encode() + data


def _entry(name: str, data: bytes, at: int, *, extra: bytes = b"", comment: bytes = b"") -> bytes:
    head = struct.pack(
        "<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 33, zlib.crc32(data), len(data), len(data), len(name), len(extra), len(comment), 0, 0, 0, at
    )  # fmt: skip
    return head + name.encode() + extra + comment


def _members(files: dict[str, bytes], at: int = 0) -> tuple[bytes, bytes]:
    """Return the files and the table of an archive whose first byte is at ``at``."""
    body, table = b"", b""
    for name, data in files.items():
        table += _entry(name, data, at + len(body))
        body += _local(name, data)
    return body, table


def _end(count: int, size: int, at: int, *, comment: int = 0) -> bytes:
    return struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, size, at, comment)


def _large_end(count: int, size: int, at: int) -> bytes:
    return struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, at)


def _locator(at: int) -> bytes:
    return struct.pack("<4sLQL", b"PK\6\7", 0, at, 1)


def _with_hidden() -> tuple[bytes, bytes, bytes]:
    """Return files of which one holds others, the table of the outer ones, and that of the inner ones."""
    body, _ = _members(_HARMLESS)
    inner_at = len(body) + len(_local("blob.bin", b"")) + 8
    inner, inner_table = _members(_HIDDEN, inner_at)
    return *_members(_HARMLESS | {"blob.bin": b"WEIGHTS0" + inner}), inner_table


def two_tables() -> Iterator[tuple[str, bytes]]:
    """Yield archives of which Python's ``zipfile`` reads another table than the one that stands at the end."""
    body, table, hidden = _with_hidden()
    at = len(body) + len(table) + 22
    inner = hidden + _end(2, len(hidden), at, comment=1)  # of a comment that is not there
    yield "within the comment", body + table + _end(2, len(table), len(body), comment=len(inner)) + inner

    place = len(body) + len(_local("z", b"x"))
    before = place + len(table) + len(_entry("z", b"x", len(body)))
    comment = hidden + _large_end(2, len(hidden), before) + _locator(before + len(hidden))
    whole = table + _entry("z", b"x", len(body), comment=comment)
    yield "within the comment of a file", body + _local("z", b"x") + whole + _end(3, len(whole), place)

    at = len(body) + len(table)
    first = _large_end(2, len(table), len(body))
    second = hidden + _large_end(2, len(hidden), at + len(first))
    full = _end(0xFFFF, 0xFFFF_FFFF, 0xFFFF_FFFF)
    yield "before the 64-bit end record", body + table + first + second + _locator(at) + full

    shown, listed = _members(_HIDDEN)
    yield "with bytes around", b"XXXX" + shown + listed + _end(2, len(listed), len(shown)) + b"behind"


def other_name(name: str, other: str, data: bytes) -> bytes:
    """Return an archive of a file that has another name in Unicode, which Python has taken since 3.13."""
    named = struct.pack("<BL", 1, zlib.crc32(name.encode())) + other.encode()
    extra = struct.pack("<HH", 0x7075, len(named)) + named
    table = _entry(name, data, 0, extra=extra)
    return _local(name, data) + table + _end(1, len(table), len(_local(name, data)))


def tar_header(
    name: bytes,
    size: int,
    *,
    kind: bytes = b"0",
    prefix: bytes = b"",
    owner: bytes = b"",
    checksum: str = "{:06o}\0 ",
) -> bytes:
    """Return a header of a tar; ``checksum`` is the form of the sum, or ``signed`` or ``binary``."""
    head = bytearray(512)
    head[: len(name)] = name
    head[100:136] = b"0000644\0" + b"0000000\0" * 2 + b"%011o\0" % size
    head[136:157] = b"00000000000\0" + b" " * 8 + kind
    head[257:265] = b"ustar\x0000"
    head[265 : 265 + len(owner)] = owner
    head[345 : 345 + len(prefix)] = prefix
    total = sum(head)
    if checksum == "signed":
        written = b"%06o\0 " % sum(byte - 256 * (byte > 127) for byte in head)
    elif checksum == "binary":
        written = b"\x80" + total.to_bytes(7, "big")
    else:
        written = checksum.format(total).encode()
    head[148:156] = written.ljust(8, b"\0")[:8]
    return bytes(head)


def tar_member(data: bytes, **header: object) -> bytes:
    """Return a file of a tar called ``storages``, or otherwise."""
    fields = {"name": b"storages", "size": len(data)} | header
    return tar_header(**fields) + data + bytes(-len(data) % 512)  # type: ignore[arg-type]
