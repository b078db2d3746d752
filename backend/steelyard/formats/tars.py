"""Tar archives: the headers, one after the other. Source: POSIX.1-2017, pax; GNU tar manual, "Basic Tar Format"."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from steelyard.errors import FormatError
from steelyard.formats.window import Window
from steelyard.formats.zips import check_name

MAX_ENTRIES: Final = 100_000
_BLOCK: Final = 512
_MAX_NAME: Final = 64 << 10
_ABOUT_NEXT: Final = (b"L", b"x", b"g")


def claims(window: Window, head: bytes) -> bool:
    """Whether the first block is a header, by its checksum."""
    return window.size >= _BLOCK and len(head) >= _BLOCK and _checksum(head[:_BLOCK])


def members(window: Window, *, part: bool = False) -> Iterator[tuple[str, int, int]]:
    """Yield name, first byte and size of each file; of ``part`` of an archive, those whose headers are here.

    Readers differ in what ends an archive and which sizes are followed by bytes: what only some of them would read is refused.

    Raises:
        FormatError: a header is damaged, a size leaves the archive, a name could leave the folder, is missing or stands there
            twice, or something is a link, a device or sparse, or a folder with bytes.
    """
    names: set[str] = set()
    place, told, long_name, long_size = 0, False, "", -1
    while place + _BLOCK <= window.size:
        window.step()
        head = window.at(place, _BLOCK)
        if not any(head):
            return
        if not _checksum(head):
            raise FormatError(f"the tar header at byte {place} is damaged")
        size, kind = _number(head[124:136]), head[156:157]
        if size is None or size < 0:
            raise FormatError("a size in the tar is no number")
        size = long_size if long_size >= 0 and kind not in _ABOUT_NEXT else size
        start = place + _BLOCK
        if not part:
            window.require(start, size)
        place = start + -(-size // _BLOCK) * _BLOCK
        if kind in _ABOUT_NEXT:
            if size > _MAX_NAME:
                raise FormatError(f"a name of {size} bytes is declared in the tar; the most is {_MAX_NAME}")
            if part and start + size > window.size:
                return
            if kind != b"g" and told:
                raise FormatError("the tar has two extended headers for one file")
            found, length = _about_next(window.at(start, size), kind)
            if kind != b"g":
                told, long_name, long_size = True, found, length
            continue
        short = _name(head)
        name = long_name or short
        told, long_name, long_size = False, "", -1
        check_name(name.removeprefix("./") if name != "./" else "x")
        if name in names or len(names) >= MAX_ENTRIES:
            raise FormatError(
                f"{name[:80]!a} stands in the tar twice, or it has more than {MAX_ENTRIES} files"
            )
        names.add(name)
        if kind not in (b"0", b"\0", b"5", b"7"):
            raise FormatError(f"{name[:80]!a} in the tar is a link, a device or sparse")
        # By its first name a header of the oldest form is one; others may be cut there.
        folder = kind == b"5" or name.endswith("/") or (kind == b"\0" and short.endswith("/"))
        if folder and size:
            raise FormatError(f"{name[:80]!a} in the tar is a folder with bytes, which not all readers skip")
        if not folder:
            yield name, start, size


def _name(head: bytes) -> str:
    name = _cut(head[:100])
    prefix = _cut(head[345:500]) if head[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _cut(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("utf-8", "replace")


def _about_next(data: bytes, kind: bytes) -> tuple[str, int]:
    """Return name and size that an extended header gives to the next file; nothing and -1 if it gives none."""
    if kind == b"L":
        return _cut(data), -1
    at, found, size = 0, "", -1
    while at < len(data):
        space = data.find(b" ", at, at + 20)
        if space < 0 or not data[at:space].isdigit():
            raise FormatError("an extended header of the tar is damaged")
        length = int(data[at:space])
        record = data[space + 1 : at + length]
        if length <= space - at or at + length > len(data):
            raise FormatError("an extended header of the tar is damaged")
        for_all = (b"size=", b"path=") if kind == b"g" else ()
        if record.startswith((b"GNU.sparse", b"linkpath=", *for_all)):
            raise FormatError(
                "an extended header of the tar changes a link, or the size or name of all files"
            )
        if record.startswith(b"size="):
            digits = record[5:].removesuffix(b"\n")
            if not digits.isdigit() or len(digits) > 19 or size >= 0:
                raise FormatError("a size in the tar is no number")
            size = int(digits)
        if record.startswith(b"path="):
            found = record[5:].rstrip(b"\n").decode("utf-8", "replace")
        at += length
    return found, size


def _number(raw: bytes) -> int | None:
    """Return a number as Python's ``tarfile`` reads it: in base 256, or octal up to a NUL; None if it is none."""
    if raw[0] in (0x80, 0xFF):
        return int.from_bytes(raw[1:], "big") if raw[0] == 0x80 else -1
    try:
        return int(raw.split(b"\0", 1)[0].strip() or b"0", 8)
    except ValueError:
        return None


def _checksum(head: bytes) -> bool:
    """Whether the sum is right, of bytes with or without signs: readers take both."""
    rest = head[:148] + b" " * 8 + head[156:]
    return _number(head[148:156]) in (sum(rest), sum(rest) - 256 * sum(byte > 127 for byte in rest))
