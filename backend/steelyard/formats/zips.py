"""ZIP archives: the table of contents, checked against every local header. Source: PKWARE APPNOTE 6.3.10.

Two readers must never see two different archives: so there is one table, at the end, nothing before the first file,
no two files of one name or on the same bytes, and each local header says what the table says.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from steelyard.errors import FormatError
from steelyard.formats.window import Window

MAX_ENTRIES: Final = 100_000
MAX_TABLE: Final = 16 << 20
MAX_RATIO: Final = 100
"""Most bytes that one compressed byte may stand for, beyond the first GiB."""
_FREE: Final = 1 << 30
_MAX_NAME: Final = 1024
_END: Final = struct.Struct("<4s4H2LH")
_ENTRY: Final = struct.Struct("<4s6H3L5H2L")
_LOCAL: Final = struct.Struct("<4s5H3L2H")
_LOCATOR: Final = struct.Struct("<4sLQL")
_END64: Final = struct.Struct("<4sQ2H2L4Q")
_LOCATES: Final = b"PK\x06\x07"
_COMMENT: Final = 0xFFFF
_PART: Final = 64 << 10
_PIECE: Final = 1024
_FULL: Final = 0xFFFF_FFFF
_SIGNS: Final = frozenset(
    [*range(0x20), *range(0x7F, 0xA0), 0x5C, 0x61C, 0x2028, 0x2029, 0xFEFF, *range(0x200B, 0x2010), *range(0x202A, 0x202F),
     *range(0x2060, 0x206A)]
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file of an archive.

    Attributes:
        name: its path.
        size: bytes, unpacked, as declared.
        packed: bytes in the archive.
        stored: whether they are not compressed.
        header: offset of the local header.
        start: offset of the first packed byte.
    """

    name: str
    size: int
    packed: int
    stored: bool
    header: int
    start: int


@dataclass(frozen=True, slots=True)
class Archive:
    """The files of an archive, by name."""

    window: Window
    entries: dict[str, Entry]

    def open(self, name: str) -> Window | None:
        """Return a file that is not compressed as a window; None if it is compressed or not there."""
        entry = self.entries.get(name)
        if entry is None or not entry.stored:
            return None
        return self.window.sub(entry.start, entry.packed)

    def begin(self, name: str, most: int) -> Window:
        """Return a file as a window; of one that is compressed at most so many bytes, unpacked.

        Raises:
            FormatError: as of :meth:`head`; or it is nested too deeply.
        """
        stored = self.open(name)
        if stored is not None:
            return stored
        data = self.head(name, min(self.entries[name].size, most))
        self.window.step(len(data) // 256)
        return self.window.inner(data)

    def read(self, name: str, most: int) -> bytes:
        """Return a whole file, unpacked.

        Raises:
            FormatError: it is larger than ``most`` bytes, or not what its header declares.
        """
        entry = self.entries[name]
        if entry.size > most:
            raise FormatError(f"{name[:80]!a} in it has {entry.size} bytes; the most is {most}")
        data = self.head(name, entry.size + 1)
        if len(data) != entry.size:
            raise FormatError(f"{name[:80]!a} in it has other than its declared {entry.size} bytes")
        return data

    def head(self, name: str, size: int) -> bytes:
        """Return the first bytes of a file, unpacked.

        Raises:
            FormatError: what is compressed is damaged.
        """
        entry = self.entries[name]
        if entry.stored:
            return self.window.at(entry.start, min(size, entry.packed))
        machine, found, at = zlib.decompressobj(-15), b"", entry.start
        try:
            while len(found) < size and at < entry.start + entry.packed and not machine.eof:
                data = self.window.at(at, min(max(size, _PIECE), _PART, entry.start + entry.packed - at))
                at += len(data)
                found += machine.decompress(data, size - len(found))
                while machine.unconsumed_tail and len(found) < size:
                    found += machine.decompress(machine.unconsumed_tail, size - len(found))
        except zlib.error as exc:
            raise FormatError(f"{name[:80]!a} in it is damaged") from exc
        return found


def claims(window: Window, head: bytes) -> bool:
    """Whether a file begins as an archive does, or ends with one."""
    return head[:4] in (b"PK\x03\x04", b"PK\x05\x06") or _ends_with_one(window)


def open_archive(window: Window) -> Archive:
    """Read the table of contents.

    Raises:
        FormatError: it is too large, is not where it should be, or says other than the local headers; a name could
            leave the folder; a file is encrypted, a link, compressed in another way, or a bomb.
    """
    end = _find_end(window)
    if end is None:
        raise FormatError("the table of the archive is missing or not at its end")
    table, size, count = _table(window, end)
    if size > MAX_TABLE or count > MAX_ENTRIES:
        raise FormatError(
            f"the archive declares {count} files in a table of {size} bytes; the most are {MAX_ENTRIES} and {MAX_TABLE}"
        )
    raw, at, entries = window.at(table, size), 0, dict[str, Entry]()
    for _ in range(count):
        window.step(8)
        entry, length = _entry(window, raw, at, table)
        at += length
        if entry.name in entries:
            raise FormatError(f"{entry.name[:80]!a} stands in the archive twice")
        entries[entry.name] = entry
    if at != size:
        raise FormatError("the table of the archive has another length than its files give")
    _check_room(entries)
    return Archive(window, entries)


def _check_room(entries: dict[str, Entry]) -> None:
    end = size = packed = 0
    for entry in sorted(entries.values(), key=lambda item: item.header):
        if entry.header < end or (end == 0 and entry.header != 0):
            raise FormatError(
                f"{entry.name[:80]!a} lies on the bytes of another file, or bytes stand before the archive"
            )
        end = entry.start + entry.packed
        size += entry.size
        packed += entry.packed
    if size > _FREE + MAX_RATIO * packed:
        raise FormatError(
            f"the archive unpacks {packed} bytes to {size}: more than {MAX_RATIO} times as many"
        )


def _find_end(window: Window) -> int | None:
    """Return the offset of the last end record that is whole, which is the one that readers take."""
    size = min(window.size, _COMMENT + _END.size)
    if size < _END.size:
        return None
    place = window.at(window.size - size, size).rfind(b"PK\x05\x06", 0, size - _END.size + 4)
    return window.size - size + place if place >= 0 else None


def _ends_with_one(window: Window) -> bool:
    at = _find_end(window)
    if at is None:
        return False
    _, _, _, _, count, size, offset, comment = fields = _END.unpack(window.at(at, _END.size))
    plausible = offset + size <= at or _FULL in fields
    return at + _END.size + comment == window.size and plausible and bool(count or at == 0)


def _table(window: Window, end: int) -> tuple[int, int, int]:
    """Return offset, bytes and number of files of the table.

    Readers differ in when they take the 64-bit end record, and where they look for it: so if there is one, it has to stand
    where all of them do, and say what the other says.
    """
    _, disk, first, here, count, size, offset, comment = _END.unpack(window.at(end, _END.size))
    if end + _END.size + comment != window.size:
        raise FormatError("bytes stand behind the archive")
    stop = end
    if end >= _LOCATOR.size and window.at(end - _LOCATOR.size, 4) == _LOCATES:
        _, disk64, stop, disks = _LOCATOR.unpack(window.at(end - _LOCATOR.size, _LOCATOR.size))
        if stop != end - _LOCATOR.size - _END64.size:
            raise FormatError("the archive has its 64-bit end record elsewhere than before its end")
        sign, length, _, _, *large = _END64.unpack(window.at(stop, _END64.size))
        narrow = zip(
            (disk, first, here, count, size, offset), large, (0xFFFF,) * 4 + (_FULL,) * 2, strict=True
        )
        if (
            (sign, length, disk64) != (b"PK\x06\x06", _END64.size - 12, 0)
            or disks > 1
            or any(value not in (wide, full) for value, wide, full in narrow)
        ):
            raise FormatError("the archive has two end records that say different things")
        disk, first, here, count, size, offset = large
    if disk or first or here != count:
        raise FormatError("the archive has several parts")
    if offset + size != stop and count:
        raise FormatError("bytes stand before the archive, or between its table and its end")
    return offset, size, count


def _entry(window: Window, raw: bytes, at: int, table: int) -> tuple[Entry, int]:
    if at + _ENTRY.size > len(raw):
        raise FormatError("the table of the archive is cut off")
    (sign, _, _, flags, method, _, _, _, packed, size, names, extras, comment, _, _, attributes, header) = (
        _ENTRY.unpack_from(raw, at)
    )
    length = _ENTRY.size + names + extras + comment
    if sign != b"PK\x01\x02" or at + length > len(raw):
        raise FormatError("the table of the archive is cut off")
    raw_name = raw[at + _ENTRY.size : at + _ENTRY.size + names]
    name = _name(raw_name, flags)
    extra = raw[at + _ENTRY.size + names : at + _ENTRY.size + names + extras]
    if any(_is_other_name(kind, body, raw_name, name) for kind, body in _extras(extra)):
        raise FormatError(f"{name[:80]!a} in the archive has another name for some readers")
    size, packed, header = _large(extra, size, packed, header)
    if flags & 0x2041 or method not in (0, 8):
        raise FormatError(f"{name[:80]!a} in the archive is encrypted, or compressed by method {method}")
    if (attributes >> 28) not in (0, 4, 8):
        raise FormatError(f"{name[:80]!a} in the archive is a link or a device")
    window.require(header, _LOCAL.size)
    local = _LOCAL.unpack(window.at(header, _LOCAL.size))
    start = header + _LOCAL.size + local[9] + local[10]
    same = local[0] == b"PK\x03\x04" and local[3] == method and local[9] == names
    if not same or window.at(header + _LOCAL.size, names) != raw_name:
        raise FormatError(f"{name[:80]!a} in the archive is another file by its own header")
    if start + packed > table or (method == 0 and packed != size):
        raise FormatError(f"{name[:80]!a} in the archive declares {packed} bytes that are not there")
    if size > _FREE + MAX_RATIO * packed:
        raise FormatError(
            f"{name[:80]!a} in the archive unpacks {packed} bytes to {size}: more than {MAX_RATIO} times as many"
        )
    return Entry(name=name, size=size, packed=packed, stored=method == 0, header=header, start=start), length


def _large(extra: bytes, size: int, packed: int, header: int) -> tuple[int, int, int]:
    """Return sizes and offset with those of the 64-bit extra field in place of the full ones."""
    values = [size, packed, header]
    wanted = [place for place, value in enumerate(values) if value == _FULL]
    body = next((body for kind, body in _extras(extra) if kind == 1), None) if wanted else None
    if body is not None:
        if len(body) < 8 * len(wanted):
            raise FormatError("a file in the archive lacks its 64-bit size")
        for number, place in enumerate(wanted):
            values[place] = struct.unpack_from("<Q", body, 8 * number)[0]
    return values[0], values[1], values[2]


def _is_other_name(kind: int, body: bytes, raw: bytes, name: str) -> bool:
    """Whether an extra field gives a file another name: Python takes it since 3.13 if its digest is that of the first name."""
    if kind != 0x7075 or body[:5] != struct.pack("<BL", 1, zlib.crc32(raw)):
        return False
    return body[5:] not in (b"", name.encode())


def _extras(extra: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the extra fields of an entry of the table."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        yield kind, extra[at + 4 : at + 4 + length]
        at += 4 + length


def _name(raw: bytes, flags: int) -> str:
    try:
        name = raw.decode("utf-8" if flags & 0x800 else "cp437")
    except UnicodeDecodeError as exc:
        raise FormatError("a name in the archive is not UTF-8") from exc
    check_name(name)
    return name


def check_name(name: str) -> None:
    """Check the name of a file within an archive.

    Raises:
        FormatError: it could leave the folder that the archive is unpacked to, or deceive who reads it.
    """
    parts = name.removesuffix("/").split("/")
    drive = len(name) > 1 and name[1] == ":" and name[0].isalpha() and "/" in name[2:3]
    if not name or len(name) > _MAX_NAME or drive or any(part in ("", "..") for part in parts):
        raise FormatError(f"{name[:80]!a} in the archive is not a plain relative path")
    if any(ord(sign) in _SIGNS for sign in name):
        raise FormatError(f"{name[:80]!a} in the archive holds a control character or a backslash")
