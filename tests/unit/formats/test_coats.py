"""Frames of zstd: what libzstd unpacks unasked is looked into, and what it does not is told as it is."""

from __future__ import annotations

import pickle
import struct

import pytest
from backports import zstd

from steelyard.formats.coats import coat_of, is_closed
from steelyard.formats.inspect import inspect
from steelyard.formats.window import Memory

MAGIC = b"\x28\xb5\x2f\xfd"
LAST = b"\x01\0\0"
"""A last block of no bytes."""


def opens(data: bytes) -> bool:
    """Whether libzstd goes on behind the header, as it is set by default."""
    try:
        zstd.ZstdDecompressor().decompress(data)
    except zstd.ZstdError as exc:
        return "too much memory" not in str(exc) and "Dictionary" not in str(exc)
    return True


@pytest.mark.parametrize("window", range(256))
def test_windows(window: int) -> None:
    frame = MAGIC + b"\0" + bytes([window]) + LAST + bytes(20)
    assert is_closed(frame) != opens(frame)


@pytest.mark.parametrize("width", range(4))
@pytest.mark.parametrize("size", [255, 256, 65_535, (1 << 27) - 1, (1 << 27) + 1, (1 << 27) + 2, 1 << 40])
def test_frames_in_one_segment(width: int, size: int) -> None:
    size &= (1 << 8 * (1 << width)) - 1
    frame = MAGIC + bytes([width << 6 | 32]) + size.to_bytes(1 << width, "little") + LAST + bytes(20)
    assert is_closed(frame) != opens(frame)


@pytest.mark.parametrize("width", range(1, 4))
def test_dictionaries(width: int) -> None:
    frame = MAGIC + bytes([width]) + b"\x58" + (7).to_bytes((1, 2, 4)[width - 1], "little") + LAST + bytes(20)
    assert is_closed(frame) and not opens(frame)


def test_what_nobody_unpacks_unasked_is_no_fault() -> None:
    packer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 31})
    data = packer.compress(bytes(5000)) + packer.flush()
    found = inspect(Memory(data), len(data), name="dump.zst")
    assert found.declared == "zstd" and found.notes == ("what is inside is not looked at",)


@pytest.mark.parametrize("sign", range(0x50, 0x60))
def test_frames_that_are_skipped(sign: int) -> None:
    data = (
        bytes([sign]) + b"\x2a\x4d\x18" + struct.pack("<I", 3) + b"abc" + zstd.compress(pickle.dumps(print))
    )
    assert coat_of(data) == "zstd"
    assert inspect(Memory(data), len(data)).declared == "pickle+zstd+code"


@pytest.mark.parametrize("data", [b"\x4f\x2a\x4d\x18", b"\x60\x2a\x4d\x18", b"\x50\x2a\x4d\x19", MAGIC[:3]])
def test_what_is_no_frame(data: bytes) -> None:
    assert coat_of(data + bytes(20)) is None


def test_text_in_a_frame() -> None:
    data = zstd.compress(b'{"a": 1}\n' * 1000)
    assert inspect(Memory(data), len(data), name="a.jsonl.zst").declared == "zstd"
