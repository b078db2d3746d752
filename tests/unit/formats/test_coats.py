"""Compressed files: what Python's own readers, joblib's and libzstd unpack is looked into, and what they do not is told as it is."""

from __future__ import annotations

import gzip
import io
import lzma
import pickle
import random
import struct
import zlib
from collections.abc import Callable

import pytest
from backports import zstd

from steelyard.errors import FormatError
from steelyard.formats.coats import coat_of, needs_dictionary, unpacked
from steelyard.formats.inspect import inspect
from steelyard.formats.window import Memory, Window
from tests.support import packs

CALL = b"cbuiltins\nlen\n(S'abc'\ntR."
MAGIC = b"\x28\xb5\x2f\xfd"


def declared(data: bytes) -> str:
    return inspect(Memory(data), len(data), name="m.pkl").declared


def frame(flags: int, more: bytes, data: bytes = CALL) -> bytes:
    """Return a frame of one block as it is, with zeros behind."""
    return MAGIC + bytes([flags]) + more + (len(data) << 3 | 1).to_bytes(3, "little") + data


@pytest.mark.parametrize("window", range(256))
def test_windows(window: int) -> None:
    # Above 128 MiB libzstd refuses, but where it is asked for all at once and knows the size.
    for data in (frame(0, bytes([window])), frame(0x80, bytes([window]) + struct.pack("<I", len(CALL)))):
        assert declared(data) == "pickle+zstd+code"


@pytest.mark.parametrize("size", [(1 << 27) + 2, (1 << 32) - 1])
def test_frames_in_one_segment(size: int) -> None:
    block = (len(CALL) << 3).to_bytes(3, "little") + CALL
    zeros = ((128 << 10) << 3 | 2).to_bytes(3, "little") + b"\0"
    data = MAGIC + b"\xa0" + struct.pack("<I", size) + block + zeros * 40
    assert declared(data) == "pickle+zstd+code"


@pytest.mark.parametrize("width", range(1, 4))
@pytest.mark.parametrize("number", [0, 7])
def test_dictionaries(width: int, number: int) -> None:
    data = frame(width, b"\x58" + number.to_bytes((1, 2, 4)[width - 1], "little"))
    single = frame(width | 0x20, number.to_bytes((1, 2, 4)[width - 1], "little") + bytes([len(CALL)]))
    for one in (data, single):
        assert needs_dictionary(one) == bool(number)
        found = inspect(Memory(one), len(one))
        assert found.declared == ("zstd" if number else "pickle+zstd+code")
        if number:
            assert found.notes == ("what is inside is not looked at",)
            with pytest.raises(zstd.ZstdError):
                zstd.decompress(one)
        else:
            assert zstd.decompress(one) == CALL


def test_a_window_that_nobody_has_unasked_is_no_fault() -> None:
    packer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 31})
    data = packer.compress(bytes(5000)) + packer.flush()
    assert inspect(Memory(data), len(data), name="dump.zst").declared == "zstd"


@pytest.mark.parametrize("sign", range(0x50, 0x60))
def test_frames_that_are_skipped(sign: int) -> None:
    data = (
        bytes([sign]) + b"\x2a\x4d\x18" + struct.pack("<I", 3) + b"abc" + zstd.compress(pickle.dumps(print))
    )
    assert coat_of(data) == "zstd"
    assert inspect(Memory(data), len(data)).declared == "pickle+zstd+code"


@pytest.mark.parametrize(
    "data",
    [
        b"\x4f\x2a\x4d\x18",
        b"\x60\x2a\x4d\x18",
        b"\x50\x2a\x4d\x19",
        MAGIC[:3],
        b"\x1f\x8b\x07\0",
        b"BZh91AY&SX",
        b"BZi91AY&SY",
        b"\xfd7zXZ\1",
        b"\x5d\0\0\1\0" + b"\xff" * 7 + b"\0",
        b"\x5d\0\0\1\0" + b"\xff" * 8 + b"\1",
        b"\x5d\1\0\1\0" + b"\xff" * 8,
        b"\x5e\5\0\0\0" + b"\xff" * 8,
        b"\x5e\xfe\xff\xff\xff" + b"\xff" * 8,
        b"LZIP\2\x14",
        b"LZIp\1\x14",
        b"ZFx" + b"0" * 20,
        b"ZF0x1g" + b" " * 20,
        b"\xe1\0\0\1\0" + b"\xff" * 8,
        b"\x5e\0\7\0\0" + b"\xff" * 8,
        b"\x5e\0\x08\0\0\0\0\0\0\x40",
        b"\x04\x22\x4d\x17",
        b"\x79\x9c",
        b"\x88\x1c",
        b"\x78\x9d",
        b"\x78\xbb",
    ],
    ids=lambda value: value.hex(),
)
def test_what_is_no_frame(data: bytes) -> None:
    assert coat_of(data + bytes(20)) is None


@pytest.mark.parametrize(
    "pack",
    [
        gzip.compress,
        zlib.compress,
        lzma.compress,
        packs.lzip,
        lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    ],
)
@pytest.mark.parametrize("more", [0, 5000, 70_000])
def test_what_comes_before_damage(pack: Callable[[bytes], bytes], more: int) -> None:
    """Who reads little by little gets as far as it is sound, also where a reading of more gives nothing."""
    noise = random.Random(1).randbytes(200)
    inside = b"V" + b"x" * more + b"\n0" + CALL + noise * 30
    packed = pack(inside)
    at = len(packed) - 40
    data = packed[:at] + bytes(byte ^ 0xFF for byte in packed[at : at + 12]) + packed[at + 12 :]
    assert declared(data).endswith("+code")
    assert declared(pack(b"") + data).endswith("+code")


@pytest.mark.parametrize("size", range(40))
def test_a_second_stream_that_is_cut_off(size: int) -> None:
    for pack in (lzma.compress, packs.lzip, lambda data: lzma.compress(data, lzma.FORMAT_ALONE)):
        declared(packs.lzip(b"text") + pack(CALL)[:size])
        declared(lzma.compress(b"text") + pack(CALL)[:size])


@pytest.mark.parametrize("size", range(18))
def test_what_is_cut_off(size: int) -> None:
    needs_dictionary((MAGIC + bytes([0x23]) + b"\xff" * 30)[:size])
    for whole in (gzip.compress(b"x"), b"\x5d\0\0\1\0" + b"\xff" * 8):
        coat_of(whole[:size])


def test_text_in_a_frame() -> None:
    data = zstd.compress(b'{"a": 1}\n' * 1000)
    assert inspect(Memory(data), len(data), name="a.jsonl.zst").declared == "zstd"


# -- as their readers read them ------------------------------------------------------------------------------------


def gzipped(flags: int, data: bytes = CALL) -> bytes:
    """Return a member with all that its flags announce, of which the digest is false."""
    parts = {4: b"\3\0abc", 8: b"name\0", 16: b"comment\0", 2: b"xx"}
    head = (
        b"\x1f\x8b\x08"
        + bytes([flags])
        + bytes(6)
        + b"".join(part for flag, part in parts.items() if flags & flag)
    )
    return head + zlib.compress(data)[2:-4] + struct.pack("<II", zlib.crc32(data), len(data))


def alone(dictionary: int, size: int | None, lc: int = 3) -> bytes:
    """Return a ``.lzma`` file with these things in its header."""
    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 16, "lc": lc}]
    data = lzma.compress(CALL, format=lzma.FORMAT_ALONE, filters=filters)
    return data[:1] + struct.pack("<IQ", dictionary, (1 << 64) - 1 if size is None else size) + data[13:]


@pytest.mark.parametrize("flags", range(256))
def test_gzip_as_python_reads_it(flags: int) -> None:
    for data in (gzipped(flags), gzip.compress(b"") + gzipped(flags), gzipped(flags)[:-8] + bytes(8)):
        with gzip.open(io.BytesIO(data)) as file:
            assert pickle.load(file) == 3
        assert declared(data) == "pickle+gzip+code"


@pytest.mark.parametrize(
    "dictionary", [0, 256, 4096, 12_288, 1 << 16, 3 << 20, 1 << 30, 3 << 30, (1 << 32) - 256]
)
@pytest.mark.parametrize("size", [None, len(CALL)])
def test_lzma_as_joblib_knows_it(dictionary: int, size: int | None) -> None:
    data = alone(dictionary, size)
    assert data[:2] == b"\x5d\0"
    if dictionary < 1 << 30:  # what it takes of memory
        with lzma.open(io.BytesIO(data), format=lzma.FORMAT_ALONE) as file:
            assert pickle.load(file) == 3
    assert declared(data) == "pickle+lzma+code"


@pytest.mark.parametrize("dictionary", [0, 1, 6, 96, 4096, 12_288, 1 << 16])
def test_lzma_of_other_settings(dictionary: int) -> None:
    data = alone(dictionary, None, lc=0)
    with lzma.open(io.BytesIO(data)) as file:
        assert pickle.load(file) == 3
    assert declared(data) == "pickle+lzma+code"


def test_lzma_of_the_largest_dictionary() -> None:
    assert declared(alone((1 << 32) - 1, None, lc=0)) == "pickle+lzma+code"


@pytest.mark.parametrize("version", [0, 1])
def test_lzip_as_python_reads_it(version: int) -> None:
    """Where Python is built with liblzma 5.4; where not, others read it."""
    data = packs.lzip(CALL, version=version, dictionary=29)
    for one in (data, packs.lzip(b"") + data, packs.lzip(CALL[:9], version=version) + packs.lzip(CALL[9:])):
        assert declared(one) == "pickle+lzip+code"
    assert declared(packs.lzip(b"text " * 99, version=version)) == "lzip"


@pytest.mark.parametrize(
    "first", [lzma.compress, packs.lzip, lambda data: lzma.compress(data, lzma.FORMAT_ALONE)]
)
@pytest.mark.parametrize(
    "then", [lzma.compress, packs.lzip, lambda data: lzma.compress(data, lzma.FORMAT_ALONE)]
)
@pytest.mark.parametrize("cut", [0, 1, 9])
def test_streams_of_several_kinds_as_python_reads_them(
    first: Callable[[bytes], bytes], then: Callable[[bytes], bytes], cut: int
) -> None:
    data = first(CALL[:cut]) + then(CALL[cut:])
    if packs.lzip not in (first, then):
        with lzma.open(io.BytesIO(data)) as file:
            assert pickle.load(file) == 3
    assert declared(data).endswith("+code")
    assert declared(first(b"text " * 9) + b"garbage").split("+")[0] in ("xz", "lzma", "lzip", "binary")


@pytest.mark.parametrize(
    "first", [lzma.compress, packs.lzip, lambda data: lzma.compress(data, lzma.FORMAT_ALONE)]
)
def test_what_is_no_stream_behind_one_of_liblzma_is_not_read(first: Callable[[bytes], bytes]) -> None:
    """Its size is above what liblzma takes for that of a ``.lzma`` file."""
    data = first(CALL) + alone(1 << 23, 1 << 38)
    if first != packs.lzip:
        with lzma.open(io.BytesIO(data)) as file:
            assert file.read() == CALL
    coat = coat_of(data)
    assert coat
    assert unpacked(Window(Memory(data), len(data)), coat).data == CALL


@pytest.mark.parametrize("length", ["", f"{len(CALL):x}", f" 0X{len(CALL):X}", f"+{len(CALL):x}", "0"])
@pytest.mark.parametrize("width", [19, 20])
def test_files_of_older_joblib(length: str, width: int) -> None:
    assert declared(packs.zfile(CALL, length, width=width)) == "pickle+z-file+code"
    assert declared(packs.zfile(b"text " * 99, length, width=width)) == "z-file"
    assert declared(packs.zfile(CALL, length, width=width) * 2) == "pickle+z-file+code"


def test_a_file_of_older_joblib_has_one_stream() -> None:
    data = packs.zfile(CALL) + b"behind"
    assert unpacked(Window(Memory(data), len(data)), "z-file").data == CALL


def test_text_that_begins_as_they_do() -> None:
    for text in (
        b"ZF",
        b"ZF0123456789abcdef012",
        b"ZF 1 2 3 4 5 6 7 8 9 0 1 2",
        b"ZF1_0" + b" " * 40,
        b"LZIP",
    ):
        assert declared(text + b"\n") == "text"


@pytest.mark.parametrize("bits", range(9, 16))
@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_zlib_of_every_window(bits: int, level: int) -> None:
    packer = zlib.compressobj(level, zlib.DEFLATED, bits)
    data = packer.compress(CALL) + packer.flush()
    assert pickle.loads(zlib.decompress(data)) == 3  # it is ours
    assert declared(data) == "pickle+zlib+code"


@pytest.mark.parametrize("preset", [0, 6, 9, 9 | lzma.PRESET_EXTREME])
def test_xz_of_every_preset(preset: int) -> None:
    assert declared(lzma.compress(b"text " * 99, preset=preset)) == "xz"
    assert declared(lzma.compress(CALL, preset=preset)) == "pickle+xz+code"


@pytest.mark.parametrize("text", [b"(Some text", b"HK is a place", b"x^2", b"8O", b"hC", b"XGBoost"])
def test_texts_that_begin_as_zlib_does(text: bytes) -> None:
    assert declared(text + b" and more, and more of it, and then an end.\n") == "text"


def test_what_begins_as_lzma_by_chance() -> None:
    assert declared(b"\x5d\0\0\0" + bytes(4) + b"\1" + bytes(60)) in ("binary", "lzma")
    assert declared(b"\x5d\0\0\0" + bytes(4) + b"\1" + bytes(5) + b"\xff" * 60) == "binary"


@pytest.mark.parametrize(
    ("empty", "last"),
    [
        (b"\x5d\0\0\1\0" + bytes(13), alone(1 << 16, None)),
        (zlib.compress(b""), zlib.compress(CALL)),
        (zstd.compress(b""), zstd.compress(CALL)),
        (gzip.compress(b"", mtime=0), gzip.compress(CALL)),
    ],
    ids=["lzma", "zlib", "zstd", "gzip"],
)
def test_what_is_behind_many_streams_is_told_or_refused(empty: bytes, last: bytes) -> None:
    count = (4 << 20) // len(empty) - 20
    assert declared(empty * 1000 + last).endswith("+code")
    try:
        assert declared(empty * count + last).endswith("+code")
    except FormatError:
        pass


def test_damage_is_counted() -> None:
    packed = zlib.compress(random.Random(1).randbytes(1 << 20).hex().encode())
    damaged = packed[:-5000] + bytes(100) + packed[-4900:]
    for data, steps in ((packed, 8000), (damaged, 30_000)):
        assert len(unpacked(Window(Memory(data), len(data), steps=steps), "zlib", 4 << 20).data) > 2_000_000
    with pytest.raises(FormatError, match="more values"):
        unpacked(Window(Memory(damaged), len(damaged), steps=8000), "zlib", 4 << 20)


def test_streams_are_counted() -> None:
    skipped = b"\x50\x2a\x4d\x18\0\0\0\0" * 300_000
    for data in (skipped, packs.lz4(b"") + skipped):
        with pytest.raises(FormatError, match="more values"):
            declared(data)


def test_what_is_no_member_behind_one_of_gzip_is_not_read() -> None:
    data = gzip.compress(b"") + b"xxx" + gzipped(0)[3:]
    with pytest.raises(gzip.BadGzipFile):
        gzip.decompress(data)
    with pytest.raises(FormatError, match="no header"):
        declared(data)
