"""Compressed files: the first bytes of what is inside, and never more, however much it would become."""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from backports import zstd

from steelyard.errors import FormatError
from steelyard.formats.window import Window

HEAD: Final = 256 << 10
"""Bytes that are unpacked and looked at."""
DEEPER: Final = 4 << 20
"""The same, where the first ones do not say whether it is a pickle."""
WEAK: Final = frozenset(("zlib", "lzma", "z-file"))
"""Those whose first bytes many a file has by chance."""
_MEMORY: Final = 256 << 20
_PIECE: Final = 4096
_ZEROS: Final = re.compile(rb"\0*")
_GZIP: Final = b"\x1f\x8b\x08"
HEADER: Final = 32
"""Bytes that are enough to know any of them."""
_LZIP: Final = (b"LZIP\0", b"LZIP\1")
_OF_LIBLZMA: Final = frozenset(("xz", "lzma", "lzip"))
"""Those that Python's ``lzma`` reads, also behind one another."""
_LZ4: Final = b"\x04\x22\x4d\x18"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_DAMAGE: Final = (zlib.error, OSError, lzma.LZMAError, zstd.ZstdError, EOFError, ValueError)
_WINDOW: Final = 13 << 3  # 8 MiB


def coat_of(head: bytes) -> str | None:
    """Return the name of the compression that a file begins with, or None."""
    if head[:3] == _GZIP:
        return "gzip"
    if head[:3] == b"BZh" and head[4:10] in (b"1AY&SY", b"\x17rE8P\x90"):
        return "bzip2"
    if head[:6] == b"\xfd7zXZ\0":
        return "xz"
    if head[:5] in _LZIP:
        return "lzip"
    if len(head) > 13 and head[0] < 225 and head[13] == 0 and _is_lzma(head):
        return "lzma"
    if head[:4] == _LZ4:
        return "lz4"
    if head[:4] == _ZSTD or _is_skipped(head):
        return "zstd"
    if _stream_of_zfile(head):
        return "z-file"
    if len(head) > 2 and head[0] & 0x8F == 8 and (head[0] << 8 | head[1]) % 31 == 0 and not head[1] & 0x20:
        return "zlib"
    return None


def _is_skipped(head: bytes) -> bool:
    """Whether a frame begins that readers of zstd and LZ4 skip."""
    return head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5


def _is_lzma(head: bytes) -> bool:
    """Whether this is the header of a ``.lzma`` file: as joblib knows it by two bytes, or with a dictionary that liblzma takes."""
    dictionary, size = int.from_bytes(head[1:5], "little"), int.from_bytes(head[5:13], "little")
    usual = dictionary & (dictionary - 1) == 0 or (dictionary // 3).bit_count() == 1 and dictionary % 3 == 0
    return (size < 1 << 38 or size == (1 << 64) - 1) and (
        head[:2] == b"\x5d\0" or usual or dictionary == (1 << 32) - 1
    )


def is_likely(head: bytes) -> bool:
    """Whether a weak coat has a header that programs write: for LZMA a dictionary of 4 KiB at least."""
    return coat_of(head) != "lzma" or head[:2] == b"\x5d\0" or int.from_bytes(head[1:5], "little") >= 4096


def _stream_of_zfile(head: bytes) -> int:
    """Return where the stream of zlib begins in a file of joblib before 0.10, behind its length; 0 if it is none.

    Source: joblib 1.6, numpy_pickle_compat.read_zfile.
    """
    if head[:2] != b"ZF":
        return 0
    try:
        int(head[2:21], 16)
    except ValueError:
        return 0
    return 22 if head[21:22] == b" " else 21


@dataclass(frozen=True)
class Unpacked:
    """What is in a coat.

    Attributes:
        data: its first bytes.
        whole: they are all.
        sound: no damage was met.
    """

    data: bytes
    whole: bool
    sound: bool


def unpacked(window: Window, coat: str, most: int = HEAD) -> Unpacked:
    """Return the first bytes inside a coat.

    Streams that follow one another are one, as they are for those who load them. What comes before damage is what a loader acts upon.

    Raises:
        FormatError: they are damaged from the first one on.
    """
    data = window.at(0, min(window.size, most))
    if coat == "lz4":
        found, ended = _lz4(window, data, most)
        sound = True
    else:
        found, ended, sound = _streams(window, coat, bytearray(data), most)
    window.step((len(data) + len(found)) // 512)
    return Unpacked(found, ended and len(found) < most and len(data) == window.size, sound)


def needs_dictionary(head: bytes) -> bool:
    """Whether a file begins with a frame of zstd that nobody unpacks without its dictionary. Source: RFC 8878, 3.1.1.1."""
    if head[:4] != _ZSTD or len(head) < 11:
        return False
    at = 5 if head[4] & 32 else 6
    return any(head[at : at + (0, 1, 2, 4)[head[4] & 3]])


def _narrow(data: bytearray, at: int) -> None:
    """Let a frame of zstd ask for no more memory than what is unpacked here needs; some readers have no limit."""
    if data[at : at + 4] != _ZSTD or len(data) < at + 18:
        return
    flags = data[at + 4]
    if not flags & 32:
        data[at + 5] = min(data[at + 5], _WINDOW)
    elif flags >> 6 > 1:  # the size is that of the window, and there is no byte for another
        data[at + 4 : at + 5] = bytes([flags & ~32, _WINDOW])


class _Machine(Protocol):
    """What zlib, bz2, lzma and zstd unpack a stream with."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, most: int, /) -> bytes: ...


def _streams(window: Window, coat: str, data: bytearray, most: int) -> tuple[bytes, bool, bool]:
    """Return what is in the streams, whether the last one has ended, and whether no damage was met."""
    found, at, trailer, begun = bytearray(), 0, 0, (0, 0)
    machine: _Machine | None = None
    while at < len(data) and len(found) < most:
        try:
            if machine is None or machine.eof:
                window.step(4)
                begun = at, len(found)
                at, machine, trailer = _begin(coat, data, at)
            piece = bytes(data[at : at + _PIECE])
            found += machine.decompress(piece, most - len(found))
        except _DAMAGE as exc:
            found[begun[1] :] = _before_damage(coat, data, begun[0], most - begun[1])
            window.step((len(found) - begun[1]) // 128)  # it was unpacked three times
            if not found:
                raise FormatError(f"it begins as {coat} does, and cannot be unpacked: {exc}") from exc
            return bytes(found), False, False
        at += len(piece) - len(machine.unused_data)
        if machine.eof:
            filling = _ZEROS.match(data, at + trailer)
            at = filling.end() if filling else at + trailer
    return bytes(found), machine is not None and machine.eof, True


def _before_damage(coat: str, data: bytearray, start: int, most: int) -> bytes:
    """Return what a damaged stream gives to who reads it little by little; all at once it gives nothing of what was on its way."""
    found = bytearray()
    for size in (_PIECE, 1):
        good, found, tail = len(found), bytearray(), b""
        try:
            at, machine, _ = _begin(coat, data, start)
            while len(found) < most and not machine.eof:
                wanted = good - len(found) if len(found) < good else size
                more = tail or bytes(data[at : at + _PIECE] if getattr(machine, "needs_input", True) else b"")
                piece = machine.decompress(more, wanted)
                at += 0 if tail else len(more)
                tail = getattr(machine, "unconsumed_tail", b"")
                found += piece
                if not piece and not tail and at >= len(data):
                    break
        except _DAMAGE:
            continue
    return bytes(found[:most])


def _begin(coat: str, data: bytearray, at: int) -> tuple[int, _Machine, int]:
    """Return where the compressed bytes of a stream begin, what unpacks them, and how many bytes follow that it does not.

    Of gzip Python's reader minds neither flags that are not known nor digests of the header, which zlib does. A dictionary of LZMA
    and a window of zstd need not be larger than all that is unpacked here.

    Raises:
        ValueError: there is no such stream.
    """
    if coat in _OF_LIBLZMA:
        found = coat_of(bytes(data[at : at + HEADER]))
        if found in _OF_LIBLZMA:
            coat = found
        elif at + HEADER <= len(data):
            raise ValueError("no header")
    trailer = 0
    if coat == "gzip":
        at, trailer = _behind_header(data, at), 8
    elif coat == "lzip":
        at, trailer = at + 6, 12 if data[at + 4 : at + 5] == b"\0" else 20
    elif coat == "z-file":
        if at:
            raise ValueError("no second stream")
        at = _stream_of_zfile(bytes(data[:HEADER]))
    elif coat == "zstd":
        _narrow(data, at)
    elif coat == "lzma":
        data[at + 1 : at + 5] = (2 * DEEPER).to_bytes(4, "little")
    return at, _MACHINES[coat](), trailer


def _behind_header(data: bytearray, at: int) -> int:
    """Return where the compressed bytes of a stream of gzip begin. Source: RFC 1952, 2.3; CPython's gzip."""
    if not _GZIP.startswith(bytes(data[at : at + 3])):
        raise ValueError("no header")
    flags = data[at + 3] if at + 3 < len(data) else 0
    at += 10
    if flags & 4:
        at += 2 + int.from_bytes(data[at : at + 2], "little")
    for text in (8, 16):
        if flags & text:
            at = data.find(0, at) + 1 or len(data)
    return at + (flags & 2)


def _lz4(window: Window, data: bytes, most: int) -> tuple[bytes, bool]:
    """Unpack LZ4 frames. Source: lz4 frame format 1.6.4, block format."""
    if len(data) < 11:
        raise FormatError("it begins as lz4 does, and is cut off")
    found, at = bytearray(), 0
    while at + 7 <= len(data):
        window.step(4)
        if _is_skipped(data[at : at + 4]):
            at += 8 + int.from_bytes(data[at + 4 : at + 8], "little")
            continue
        if data[at : at + 4] != _LZ4:
            break
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


_OF_LZIP: Final = [{"id": lzma.FILTER_LZMA1, "dict_size": 2 * DEEPER, "lc": 3, "lp": 0, "pb": 2}]
_MACHINES: Final[dict[str, Callable[[], _Machine]]] = {
    "gzip": lambda: zlib.decompressobj(-15),
    "zlib": lambda: zlib.decompressobj(),
    "bzip2": lambda: bz2.BZ2Decompressor(),
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY),
    "lzma": lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_MEMORY),
    "lzip": lambda: lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_OF_LZIP),
    "z-file": lambda: zlib.decompressobj(),
    "zstd": lambda: zstd.ZstdDecompressor(),
}
