"""Compressed files: the first bytes of what is inside, and never more, however much it would become."""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from collections.abc import Callable
from typing import Final, Protocol

from backports import zstd

from steelyard.errors import FormatError
from steelyard.formats.window import Window

HEAD: Final = 256 << 10
"""Bytes that are unpacked and looked at."""
DEEPER: Final = 4 << 20
"""The same, where the first ones do not say whether it is a pickle."""
_MEMORY: Final = 64 << 20
_PIECE: Final = 4096
_ZEROS: Final = re.compile(rb"\0*")
_LZ4: Final = b"\x04\x22\x4d\x18"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_MOST_WINDOW: Final = (128 << 20) + 1  # what libzstd takes by default


def coat_of(head: bytes) -> str | None:
    """Return the name of the compression that a file begins with, or None."""
    if head[:3] == b"\x1f\x8b\x08" and head[3:4] < b"\x20":
        return "gzip"
    if head[:3] == b"BZh" and head[4:10] in (b"1AY&SY", b"\x17rE8P\x90"):
        return "bzip2"
    if head[:6] == b"\xfd7zXZ\0":
        return "xz"
    if head[:3] == b"\x5d\0\0" and len(head) > 13 and head[5:13] in (b"\xff" * 8,):
        return "lzma"
    if head[:4] == _LZ4:
        return "lz4"
    if head[:4] == _ZSTD or (head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5):
        return "zstd"  # a frame, or one that readers skip
    if len(head) > 2 and head[0] == 0x78 and (head[0] << 8 | head[1]) % 31 == 0 and not head[1] & 0x20:
        return "zlib"
    return None


def unpacked(window: Window, coat: str, most: int = HEAD) -> tuple[bytes, bool]:
    """Return the first bytes inside a coat, and whether they are all.

    Streams that follow one another are one, as they are for those who load them.

    Raises:
        FormatError: they are damaged.
    """
    window.step(most // 64)
    data = window.at(0, min(window.size, most))
    found, ended = _lz4(data, most) if coat == "lz4" else _streams(_MACHINES[coat], data, most, coat)
    return found, ended and len(found) < most and len(data) == window.size


def is_closed(head: bytes) -> bool:
    """Whether a file begins with a frame of zstd that nobody unpacks unasked: it needs a dictionary, or more than 128 MiB.

    Source: RFC 8878, 3.1.1.1.
    """
    if head[:4] != _ZSTD or len(head) < 18:
        return False
    flags, at = head[4], 5
    if not flags & 32:
        size = (8 + (head[5] & 7)) << 7 + (head[5] >> 3)
    else:
        width = (1, 2, 4, 8)[flags >> 6]
        at += (0, 1, 2, 4)[flags & 3]
        size = int.from_bytes(head[at : at + width], "little")
    return size > _MOST_WINDOW or flags & 3 != 0


class _Machine(Protocol):
    """What zlib, bz2, lzma and zstd unpack a stream with."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, most: int, /) -> bytes: ...


def _streams(make: Callable[[], _Machine], data: bytes, most: int, coat: str) -> tuple[bytes, bool]:
    found, at, machine = bytearray(), 0, make()
    while at < len(data) and len(found) < most:
        if machine.eof:
            machine = make()
        piece = data[at : at + _PIECE]
        try:
            found += machine.decompress(piece, most - len(found))
        except (zlib.error, OSError, lzma.LZMAError, zstd.ZstdError, EOFError, ValueError) as exc:
            if not found:
                raise FormatError(f"it begins as {coat} does, and cannot be unpacked: {exc}") from exc
            return bytes(found), False  # what came before the damage is what a loader acts upon
        at += len(piece) - len(machine.unused_data)
        if machine.eof and (filling := _ZEROS.match(data, at)):
            at = filling.end()
    return bytes(found), machine.eof


def _lz4(data: bytes, most: int) -> tuple[bytes, bool]:
    """Unpack LZ4 frames. Source: lz4 frame format 1.6.4, block format."""
    if len(data) < 11:
        raise FormatError("it begins as lz4 does, and is cut off")
    found, at = bytearray(), 0
    while data[at : at + 4] == _LZ4 and at + 7 <= len(data):
        flags = data[at + 4]
        at += 7 + (8 if flags & 8 else 0) + (4 if flags & 1 else 0)
        while size := int.from_bytes(data[at : at + 4], "little"):
            if len(found) >= most:
                return bytes(found[:most]), False
            start, end = at + 4, at + 4 + (size & 0x7FFF_FFFF)
            at = end + (4 if flags & 16 else 0)
            if size >> 31:
                found += data[start:end]
            else:
                _lz4_block(data[start:end], found, most)
        if at + 4 > len(data):
            return bytes(found[:most]), False
        at += 4 + (4 if flags & 4 else 0)
    return bytes(found[:most]), at == len(data)


def _lz4_block(block: bytes, found: bytearray, most: int) -> None:
    at = 0
    while at < len(block) and len(found) < most:
        token = block[at]
        length, at = _lz4_length(block, at + 1, token >> 4)
        found += block[at : at + length]
        at += length
        if at + 2 > len(block):
            break
        offset = int.from_bytes(block[at : at + 2], "little")
        length, at = _lz4_length(block, at + 2, token & 15)
        if not 0 < offset <= len(found):
            raise FormatError("it begins as lz4 does, and is damaged")
        length = min(length + 4, most)
        piece = bytes(found[-offset:])[:length]
        found += (piece * (length // len(piece) + 1))[:length]


def _lz4_length(block: bytes, at: int, length: int) -> tuple[int, int]:
    if length == 15:
        while at < len(block):
            length += block[at]
            at += 1
            if block[at - 1] != 255:
                break
    return length, at


_MACHINES: Final[dict[str, Callable[[], _Machine]]] = {
    "gzip": lambda: zlib.decompressobj(31),
    "zlib": lambda: zlib.decompressobj(),
    "bzip2": lambda: bz2.BZ2Decompressor(),
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY),
    "lzma": lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_MEMORY),
    "zstd": lambda: zstd.ZstdDecompressor(),
}
