"""Readers of model files."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Callable, Iterator

from steelyard.formats import (
    arrow,
    coats,
    gguf,
    hdf5,
    inspect,
    jsons,
    keras,
    keras_config,
    numpys,
    onnx,
    parquet,
    pickles,
    safetensors,
    savedmodel,
    tars,
    tflite,
    zips,
)
from steelyard.formats.window import Memory, Window
from tests.fuzz.target import Run, Target, literal, samples
from tests.hostile import layers
from tests.support import packs, unpicklers


def window(read: Callable[[Window], object]) -> Run:
    return lambda data: read(Window(Memory(data), len(data)))


_PICKLES = (
    b"cos\nsystem\n(S'x'\ntR.",
    b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94K\x01\x8c\x01b\x94]\x94K\x02au.",
    (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nq\x00((X\x07\x00\x00\x00storageq\x01ctorch\nFloatStorage\nq\x02X\x01\x00\x00\x000q\x03"
        b"X\x03\x00\x00\x00cpuq\x04K\x06tq\x05QK\x00K\x02K\x03\x86q\x06K\x03K\x01\x86q\x07\x89N\x87q\x08tq\tR."
    ),
)


def _npy_seeds() -> Iterator[bytes]:
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
    text += b" " * (118 - len(text) - 1) + b"\n"
    yield b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(24)
    text = b"{'descr': [('a', '<i4'), ('b', '|O', (2,))], 'fortran_order': False, 'shape': (), }\n"
    yield b"\x93NUMPY\x02\x00" + len(text).to_bytes(4, "little") + text


def _tar_seeds() -> Iterator[bytes]:
    import tarfile

    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=form) as archive:
            for name in ("a.txt", "d/" + "é" * 40 if form != tarfile.USTAR_FORMAT else "d/e"):
                info = tarfile.TarInfo(name)
                info.size = 3
                archive.addfile(info, io.BytesIO(b"abc"))
        yield out.getvalue()[:4096]


def _coat_seeds() -> Iterator[bytes]:
    import bz2
    import gzip
    import lzma
    import zlib

    from backports import zstd

    inside = _PICKLES[1] * 5
    for pack in (
        gzip.compress,
        zlib.compress,
        bz2.compress,
        lzma.compress,
        zstd.compress,
        packs.lzip,
        packs.zfile,
    ):
        yield pack(inside)
    yield from samples("lz4")()


def _coats(data: bytes) -> None:
    coat = coats.coat_of(data)
    if coat is not None:
        found = coats.unpacked(Window(Memory(data), len(data)), coat)
        assert len(found.data) <= coats.HEAD


def _unpickled(data: bytes) -> None:
    """Compare with CPython's own unpicklers: what one of them would call makes it a pickle here."""
    if not unpicklers.too_large(data) and unpicklers.calls(data):
        found = pickles.follow(Window(Memory(data), len(data)))
        assert pickles.is_pickle(found, len(data)), "CPython would call something"


def _unpickled_seeds() -> Iterator[bytes]:
    chance = random.Random(20261130)
    yield from _PICKLES
    for _ in range(500):
        yield unpicklers.program(chance)


def _tars(data: bytes) -> None:
    for _ in tars.members(Window(Memory(data), len(data))):
        pass


def _zips(data: bytes) -> None:
    archive = zips.open_archive(Window(Memory(data), len(data)))
    for name in archive.entries:
        archive.head(name, 4096)


def _arrow(data: bytes) -> None:
    window = Window(Memory(data), len(data))
    if arrow.claims_stream(window, data[:4096]):
        arrow.read_stream(window)
    else:
        arrow.read(window)


def _keras_config(data: bytes) -> None:
    keras_config.code_of(jsons.parse(data, "the configuration"))


def _keras_seeds() -> Iterator[bytes]:
    for case in layers.cases():
        made = case.data()
        if case.name.startswith("keras: ") and isinstance(made, bytes) and made[:2] == b"PK":
            yield zipfile.ZipFile(io.BytesIO(made)).read("config.json")


FILES = {
    "safetensors": Target(window(safetensors.read), samples("safetensors")),
    "gguf": Target(window(gguf.read), samples("gguf")),
    "onnx": Target(window(onnx.read), samples("onnx")),
    "savedmodel": Target(window(savedmodel.read), samples("saved_model")),
    "keras-metadata": Target(window(savedmodel.read_layers), samples("metadata")),
    "graph": Target(window(savedmodel.read_graph), samples("graph.pb")),
    "checkpoint": Target(window(savedmodel.read_index), samples("variables.index")),
    "hdf5": Target(window(hdf5.walk), samples(".h5")),
    "keras": Target(window(keras.read_hdf5), samples("lambda.h5", "latest.h5")),
    "keras-config": Target(_keras_config, _keras_seeds),
    "zip": Target(_zips, samples("keras.keras", "skops")),
    "zip-models": Target(window(inspect._zip), samples(".keras", "skops")),
    "npy": Target(window(numpys.read), _npy_seeds),
    "parquet": Target(window(parquet.read), samples("parquet")),
    "tflite": Target(window(tflite.read), samples("tflite")),
    "arrow": Target(_arrow, samples("arrow")),
    "pickle": Target(lambda data: pickles.follow(Window(Memory(data), len(data))), literal(*_PICKLES)),
    "unpicklers": Target(_unpickled, _unpickled_seeds),
    "tar": Target(_tars, _tar_seeds),
    "coats": Target(_coats, _coat_seeds),
    "formats": Target(lambda data: inspect.inspect(Memory(data), len(data), name="a.json"), samples()),
}
