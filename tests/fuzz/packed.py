"""Pickles in every coat, and what unpacks and loads them: Python's modules, joblib and lz4."""

from __future__ import annotations

import bz2
import functools
import gzip
import io
import lzma
import os
import pickle
import random
import struct
import tempfile
import zlib
from collections.abc import Callable
from typing import Any

from backports import zstd

from tests.support import packs, unpicklers


class _Calls:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.getcwd, ()


def packed(chance: random.Random, _name: str) -> bytes:
    """Return a pickle, seldom an honest text, in one or more streams of a coat, at times of several."""
    inner = _inner(chance)
    cuts = sorted(chance.randrange(len(inner) + 1) for _ in range(chance.choice((0, 0, 1, 2))))
    pieces = [inner[start:end] for start, end in zip((0, *cuts), (*cuts, len(inner)), strict=True)]
    coat, made = chance.choice(_COATS), b""
    for piece in pieces:
        made += (coat if chance.random() < 0.9 else chance.choice(_COATS))(chance, piece)
        made += bytes(chance.choice((0, 0, 0, 1, 9)))
    return made


def _inner(chance: random.Random) -> bytes:
    import joblib  # type: ignore[import-untyped]  # only in .venv-loaders
    import numpy as np

    way = chance.randrange(6)
    value: Any = {"a": [1, 2.5], "b": "text"} if way == 0 else _Calls()
    if way == 1:
        return unpicklers.program(chance)
    if way == 2:
        made = io.BytesIO()
        joblib.dump([np.arange(3), value, np.array([value])], made)
        return made.getvalue()
    if way == 3:
        value = (b"x" * chance.choice((10, 70_000, 300_000)), value)
    return b"a text\n" * 9 if way == 4 and chance.random() < 0.3 else pickle.dumps(value, chance.randrange(6))


# -- coats ---------------------------------------------------------------------------------------------------


def _deflated(chance: random.Random, data: bytes, bits: int) -> bytes:
    machine = zlib.compressobj(
        chance.randrange(10), zlib.DEFLATED, bits, chance.randrange(1, 10), chance.choice((0, 1, 2, 3, 4))
    )
    return machine.compress(data) + machine.flush(
        chance.choice((zlib.Z_FINISH, zlib.Z_FINISH, zlib.Z_SYNC_FLUSH))
    )


def _gzip(chance: random.Random, data: bytes) -> bytes:
    flags = chance.choice((0, 0, 1, 2, 4, 8, 16, 31, 32, 128, chance.randrange(256)))
    head = struct.pack("<2sBBIBB", b"\x1f\x8b", 8, flags, chance.randrange(2**32), 2, 255)
    if flags & 4:
        extra = bytes(chance.randrange(5))
        head += struct.pack("<H", len(extra)) + extra
    head += b"name\0" * bool(flags & 8) + b"comment\0" * bool(flags & 16) + b"??" * bool(flags & 2)
    digest = zlib.crc32(data) if chance.random() < 0.8 else 0
    return head + _deflated(chance, data, -15) + struct.pack("<II", digest, len(data))


def _zlib(chance: random.Random, data: bytes) -> bytes:
    return _deflated(chance, data, chance.randrange(9, 16))


def _zfile(chance: random.Random, data: bytes) -> bytes:
    length = chance.choice((f"{len(data):#x}", f"{len(data):x}", f" 0X{len(data):X}", f"+{len(data):x}"))
    return packs.zfile(data, length, width=chance.choice((19, 20)))


def _bzip2(chance: random.Random, data: bytes) -> bytes:
    return bz2.compress(data, chance.randrange(1, 10))


def _filters(chance: random.Random, kind: int) -> list[dict[str, int]]:
    lc = chance.randrange(5)
    return [
        {
            "id": kind,
            "dict_size": chance.choice((4096, 5000, 1 << 16, 3 << 20)),
            "lc": lc,
            "lp": chance.randrange(5 - lc),
            "pb": chance.randrange(5),
        }
    ]


def _lzma(chance: random.Random, data: bytes) -> bytes:
    made = bytearray(lzma.compress(data, lzma.FORMAT_ALONE, filters=_filters(chance, lzma.FILTER_LZMA1)))
    if chance.random() < 0.5:
        made[5:13] = struct.pack("<Q", chance.choice((len(data), len(data) + 1, max(len(data) - 1, 0))))
    if chance.random() < 0.3:
        made[1:5] = struct.pack(
            "<I", chance.choice((0, 1, 4096, 1 << 29, 3 << 28, 2**32 - 1, chance.randrange(2**32)))
        )
    return bytes(made)


def _xz(chance: random.Random, data: bytes) -> bytes:
    check = chance.choice((lzma.CHECK_NONE, lzma.CHECK_CRC32, lzma.CHECK_CRC64, lzma.CHECK_SHA256))
    before: list[dict[str, int]] = [
        {"id": kind}
        for kind in (lzma.FILTER_DELTA, lzma.FILTER_X86, lzma.FILTER_ARM)
        if chance.random() < 0.2
    ]
    return lzma.compress(data, lzma.FORMAT_XZ, check, filters=before + _filters(chance, lzma.FILTER_LZMA2))


def _lzip(chance: random.Random, data: bytes) -> bytes:
    return packs.lzip(data, version=chance.randrange(2), dictionary=chance.choice((20, 20, 12, 29)))


def _zstd(chance: random.Random, data: bytes) -> bytes:
    options = {
        zstd.CompressionParameter.compression_level: chance.choice((-5, 1, 3, 19)),
        zstd.CompressionParameter.window_log: chance.choice((10, 17, 23, 27)),
        zstd.CompressionParameter.checksum_flag: chance.randrange(2),
        zstd.CompressionParameter.content_size_flag: chance.randrange(2),
    }
    skipped = struct.pack("<II", 0x184D2A50 + chance.randrange(16), 3) + b"abc"
    return skipped * chance.choice((0, 0, 0, 1, 2)) + zstd.compress(data, options=options)


def _lz4(chance: random.Random, data: bytes) -> bytes:
    import lz4.frame  # type: ignore[import-not-found]  # only in .venv-loaders

    skipped = struct.pack("<II", 0x184D2A50 + chance.randrange(16), 3) + b"abc"
    return skipped * chance.choice((0, 0, 0, 1)) + bytes(
        lz4.frame.compress(
            data,
            compression_level=chance.choice((0, 1, 9)),
            block_size=chance.choice((0, 4, 5, 6, 7)),
            block_linked=chance.random() < 0.5,
            content_checksum=chance.random() < 0.5,
            block_checksum=chance.random() < 0.5,
            store_size=chance.random() < 0.5,
        )
    )


def _bare(_chance: random.Random, data: bytes) -> bytes:
    return data


_COATS = (_gzip, _zlib, _zfile, _bzip2, _lzma, _xz, _lzip, _zstd, _lz4, _bare)


# -- those who unpack and load --------------------------------------------------------------------------------


@functools.cache
def _joblib() -> Callable[[Any], object]:
    import joblib
    from joblib import numpy_pickle, numpy_pickle_compat

    for kind in (numpy_pickle.NumpyUnpickler, numpy_pickle_compat.ZipNumpyUnpickler):
        kind.find_class = lambda _, module, name: unpicklers.find(module, name)
    return joblib.load  # type: ignore[no-any-return]


def runs(_name: str, data: bytes) -> bool:
    """Whether something that loads a file would call what is in it."""
    import lz4.frame

    openers = (lambda file: file, gzip.open, bz2.open, lzma.open, zstd.open, lz4.frame.open)

    def load(opener: Callable[[Any], Any], unpickler: Callable[[Any], Any]) -> None:
        with opener(io.BufferedReader(io.BytesIO(data))) as file:
            unpickler(file).load()

    def of_joblib() -> None:
        if data[:2] != b"ZF":
            _joblib()(io.BytesIO(data))
            return
        with tempfile.NamedTemporaryFile() as file:  # joblib opens these by their names
            file.write(data)
            file.flush()
            _joblib()(file.name)

    loaders = [functools.partial(load, opener, kind) for opener in openers for kind in unpicklers.KINDS]
    return any(unpicklers.noted(loader) for loader in (*loaders, of_joblib))
