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


def claims(window: Window, head: bytes) -> bool:
    """Whether the first block is a header: its checksum is right, and it has a name."""
    return window.size >= _BLOCK and len(head) >= _BLOCK and head[0] != 0 and _checksum(head[:_BLOCK])


def members(window: Window, *, part: bool = False) -> Iterator[tuple[str, int, int]]:
    """Yield name, first byte and size of each file; of ``part`` of an archive, those whose headers are here.

    Raises:
        FormatError: a header is damaged, a size leaves the archive, a name could leave the folder or stands there
            twice, or something is a link, a device or sparse.
    """
    names: set[str] = set()
    place, long_name = 0, ""
    while place + _BLOCK <= window.size:
        window.step()
        head = window.at(place, _BLOCK)
        if head[0] == 0:
            return
        if not _checksum(head):
            raise FormatError(f"the tar header at byte {place} is damaged")
        size, kind = _octal(head[124:136]), head[156:157]
        start = place + _BLOCK
        if not part:
            window.require(start, size)
        place = start + -(-size // _BLOCK) * _BLOCK
        if kind in b"Lxg":
            if size > _MAX_NAME:
                raise FormatError(f"a name of {size} bytes is declared in the tar; the most is {_MAX_NAME}")
            if part and start + size > window.size:
                return
            long_name = _long_name(window.at(start, size), kind) or long_name
            continue
        name, long_name = long_name or _name(head), ""
        check_name(name.removeprefix("./") or "x")
        if name in names or len(names) >= MAX_ENTRIES:
            raise FormatError(
                f"{name[:80]!a} stands in the tar twice, or it has more than {MAX_ENTRIES} files"
            )
        names.add(name)
        if kind not in (b"0", b"\0", b"5", b"7"):
            raise FormatError(f"{name[:80]!a} in the tar is a link, a device or sparse")
        if kind != b"5":
            yield name, start, size


def _name(head: bytes) -> str:
    name = _cut(head[:100])
    prefix = _cut(head[345:500]) if head[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _cut(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("utf-8", "replace")


def _long_name(data: bytes, kind: bytes) -> str:
    if kind == b"L":
        return _cut(data)
    at = 0
    found = ""
    while at < len(data):
        space = data.find(b" ", at, at + 20)
        if space < 0 or not data[at:space].isdigit():
            raise FormatError("an extended header of the tar is damaged")
        length = int(data[at:space])
        record = data[space + 1 : at + length]
        if length <= space - at or at + length > len(data):
            raise FormatError("an extended header of the tar is damaged")
        if record.startswith((b"size=", b"GNU.sparse", b"linkpath=")):
            raise FormatError("an extended header of the tar changes a size or a link")
        if record.startswith(b"path="):
            found = record[5:].rstrip(b"\n").decode("utf-8", "replace")
        at += length
    return found


def _octal(raw: bytes) -> int:
    if raw[0] & 0x80:
        return int.from_bytes(raw[4:], "big") if not any(raw[1:4]) else 1 << 63
    text = raw.strip(b" \0")
    try:
        return int(text or b"0", 8)
    except ValueError as exc:
        raise FormatError("a size in the tar is no number") from exc


def _checksum(head: bytes) -> bool:
    text = head[148:156].strip(b" \0")
    if not text or not text.isdigit() or b"8" in text or b"9" in text:
        return False
    return int(text, 8) == sum(head[:148]) + 8 * 32 + sum(head[156:])
