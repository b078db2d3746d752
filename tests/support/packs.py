"""Packed files that nothing in Python's library writes."""

from __future__ import annotations

import lzma
import struct
import zlib

_USUAL = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 20, "lc": 3, "lp": 0, "pb": 2}]


def lzip(data: bytes, *, version: int = 1, dictionary: int = 20) -> bytes:
    """Return a member of lzip, which Python's ``lzma`` reads where it has liblzma 5.4 or newer."""
    packed = lzma.compress(data, lzma.FORMAT_RAW, filters=_USUAL)
    made = b"LZIP" + bytes([version, dictionary]) + packed + struct.pack("<IQ", zlib.crc32(data), len(data))
    return made + struct.pack("<Q", len(made) + 8) if version else made


def zfile(data: bytes, length: str = "", *, width: int = 19) -> bytes:
    """Return a file as joblib before 0.10 wrote it: of Python 2 its length took 20 places."""
    return b"ZF" + (length or f"{len(data):#x}").ljust(width).encode() + zlib.compress(data)


def lz4(*blocks: bytes) -> bytes:
    """Return a frame of LZ4 of blocks that are stored."""
    stored = b"".join(struct.pack("<I", len(block) | 1 << 31) + block for block in blocks)
    return b"\x04\x22\x4d\x18\x60\x40\x82" + stored + bytes(4)
