"""Compressed files: the first bytes of what is inside, and never more, however much it would become."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Final

from steelyard.errors import FormatError
from steelyard.formats.window import Window

HEAD: Final = 256 << 10
"""Bytes that are unpacked and looked at."""
DEEPER: Final = 4 << 20
"""The same, where the first ones do not say whether it is a pickle."""
_MEMORY: Final = 64 << 20


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
    if head[:4] == b"\x04\x22\x4d\x18":
        return "lz4"
    if head[:4] == b"\x28\xb5\x2f\xfd":
        return "zstd"
    if len(head) > 2 and head[0] == 0x78 and (head[0] << 8 | head[1]) % 31 == 0 and not head[1] & 0x20:
        return "zlib"
    return None


def unpacked(window: Window, coat: str, most: int = HEAD) -> bytes | None:
    """Return the first bytes inside a coat; None if there is no way to look here.

    Raises:
        FormatError: they are damaged.
    """
    if coat == "lz4":
        return _lz4(window.at(0, min(window.size, most)), most)
    make = _MACHINES.get(coat)
    if make is None:
        return None
    window.step(most // 64)
    data = window.at(0, min(window.size, most))
    try:
        return make(data, most)
    except (zlib.error, OSError, lzma.LZMAError, EOFError, ValueError) as exc:
        raise FormatError(f"it begins as {coat} does, and is damaged") from exc


def _lz4(data: bytes, most: int) -> bytes:
    """Unpack the first block of an LZ4 frame. Source: lz4 frame format 1.6.4, block format."""
    if len(data) < 11:
        raise FormatError("it begins as lz4 does, and is cut off")
    flags = data[4]
    at = 6 + (8 if flags & 8 else 0) + (4 if flags & 1 else 0) + 1
    size = int.from_bytes(data[at : at + 4], "little")
    block = data[at + 4 : at + 4 + (size & 0x7FFF_FFFF)]
    return block[:most] if size >> 31 else _lz4_block(block, most)


def _lz4_block(block: bytes, most: int) -> bytes:
    found, at = bytearray(), 0
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
    return bytes(found[:most])


def _lz4_length(block: bytes, at: int, length: int) -> tuple[int, int]:
    if length == 15:
        while at < len(block):
            length += block[at]
            at += 1
            if block[at - 1] != 255:
                break
    return length, at


_MACHINES: Final[dict[str, Callable[[bytes, int], bytes]]] = {
    "gzip": lambda data, most: zlib.decompressobj(31).decompress(data, most),
    "zlib": lambda data, most: zlib.decompressobj().decompress(data, most),
    "bzip2": lambda data, most: bz2.BZ2Decompressor().decompress(data, most),
    "xz": lambda data, most: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY).decompress(data, most),
    "lzma": lambda data, most: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_MEMORY).decompress(
        data, most
    ),
}
