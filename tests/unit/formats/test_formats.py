"""Real files of the libraries that write these formats, and what is told of them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import random
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from steelyard.errors import FormatError
from steelyard.formats import safetensors
from steelyard.formats.inspect import inspect
from steelyard.formats.pickles import follow, is_pickle
from steelyard.formats.report import CODE, MAX_TENSORS, External, FormatReport, Tensor, runs_code
from steelyard.formats.summary import HEADING, library, lines, parameters, preview
from steelyard.formats.window import Memory, Window
from tests.hostile import cases
from tests.support import torchlike, unpicklers
from tests.support.unpicklers import program

REAL = Path(__file__).parents[2] / "vectors" / "formats.zip"


def real(name: str) -> bytes:
    with zipfile.ZipFile(REAL) as archive:
        return archive.read(name)


def look(data: bytes, name: str = "") -> FormatReport:
    return inspect(Memory(data), len(data), name=name)


KNOWN = {
    "safetensors.safetensors": ("safetensors", 3, 19, Tensor(name="b", dtype="i64", shape=(7,))),
    "gguf.gguf": ("gguf", 2, 256, Tensor(name="blk.0.w", dtype="f32", shape=(4, 32))),
    "hdf5-earliest.h5": ("keras-hdf5", 33, 149, Tensor(name="layers/dense/bias", dtype="float64", shape=(3,))),
    "hdf5-latest.h5": ("keras-hdf5", 33, 149, Tensor(name="layers/dense/kernel", dtype="float32", shape=(8, 3))),
    "keras.keras": ("keras", 4, 23, Tensor(name="layers/dense/vars/0", dtype="float32", shape=(4, 3))),
    "keras.h5": ("keras-hdf5", 4, 23, Tensor(name="model_weights/dense_1/sequential_1/dense_1/bias", dtype="float32", shape=(3,))),
    "keras-weights.h5": ("hdf5", 4, 23, Tensor(name="layers/dense/vars/0", dtype="float32", shape=(4, 3))),
    "skops.skops": ("skops", 4, 8, None),
    "parquet.parquet": ("parquet", 5, None, Tensor(name="a", dtype="int64", shape=(3,))),
    "parquet-empty.parquet": ("parquet", 1, None, None),
    "parquet-groups.parquet": ("parquet", 5, None, Tensor(name="a", dtype="int64", shape=(3,))),
    "variables.index": ("tf-checkpoint-index", 2, 8, Tensor(name="b/.ATTRIBUTES/VARIABLE_VALUE", dtype="float32", shape=(2,))),
    "onnx.onnx": ("onnx", 2, 8, Tensor(name="k", dtype="int64", shape=(2,))),
    "onnx-external.onnx": ("onnx", 2, 8, Tensor(name="k", dtype="int64", shape=(2,))),
    "arrow.arrow": ("arrow", 0, None, None),
    "tflite.tflite": ("tflite", 0, None, None),
    "saved_model.pb": ("tf-savedmodel", 0, None, None),
    "pyarrow13-own-type.arrow": ("arrow", 0, None, None),
    "pyarrow13-own-type.arrows": ("arrow-stream", 0, None, None),
    "pyarrow13-own-type.parquet": ("parquet", 1, None, Tensor(name="a", dtype="int64", shape=(2,))),
    "pyarrow13-python-type.arrow": ("arrow+code", 0, None, None),
    "pyarrow13-python-type.arrows": ("arrow-stream+code", 0, None, None),
    "pyarrow13-python-type.legacy": ("arrow-stream+code", 0, None, None),
    "pyarrow13-python-type.parquet": ("parquet+code", 1, None, None),
    "tflite-determinant.tflite": ("tflite", 0, None, None),
    "tflite-writes-files.tflite": ("tflite+code", 0, None, None),
    "saved_model-prints.pb": ("tf-savedmodel", 0, None, None),
    "graph.pb": ("tf-graph", 0, None, None),
    "keras2-operators.h5": ("keras-hdf5", 13, 124, None),
    "keras2-metadata.pb": ("keras-metadata", 0, None, None),
    "keras2-metadata-lambda.pb": ("keras-metadata+code", 0, None, None),
    "keras-lambda.keras": ("keras+code", 0, 0, None),
    "keras-lambda.h5": ("keras-hdf5+code", 0, 0, None),
    "saved_model-reads-files.pb": ("tf-savedmodel+code", 0, None, None),
    "joblib-lz4.joblib": ("joblib+lz4+code", 0, None, None),
    "pytorch-miniz.pt": ("pytorch+code", 0, 0, None),
    "pytables-pickled-attribute.h5": ("hdf5+code", 1, 3, None),
    "hdf5-dense.h5": ("keras-hdf5+code", 1, 3, None),
    "hdf5-dense-deep.h5": ("hdf5+code", 1, 3, None),
    "pandas-objects.h5": ("hdf5+code", 4, 6, None),
}  # fmt: skip
REFUSED = {
    "hdf5-external-link.h5": "another file",
    "hdf5-external-data.h5": "another file",
    "hdf5-virtual.h5": "virtual",
    "hdf5-user-block.h5": "before the HDF5 file",
}


def test_every_real_file_is_expected() -> None:
    with zipfile.ZipFile(REAL) as archive:
        assert set(archive.namelist()) == KNOWN.keys() | REFUSED.keys()


@pytest.mark.parametrize("name", KNOWN)
def test_real_files_are_read(name: str) -> None:
    declared, count, numbers, first = KNOWN[name]
    report = look(real(name), "another.name")
    assert (report.declared, report.count, report.parameters) == (declared, count, numbers)
    assert runs_code(report.declared) == declared.endswith(CODE) == (report.code is not None)
    assert first is None or report.tensors[0] == first


@pytest.mark.parametrize("name", REFUSED)
def test_files_that_reach_into_others_are_refused(name: str) -> None:
    with pytest.raises(FormatError, match=REFUSED[name]):
        look(real(name))


@pytest.mark.parametrize("name", [*KNOWN])
def test_what_is_cut_off_is_refused_or_not_taken_for_whole(name: str) -> None:
    data = real(name)
    for size in (len(data) - 64, len(data) // 2):
        try:
            report = look(data[:size])
        except FormatError:
            continue
        # What runs code runs it also when its end is missing; some formats keep nothing at their end.
        assert report.code is not None or report.format in ("binary", "arrow-stream", "tflite", "zip"), report


def test_inputs_outputs_and_versions() -> None:
    onnx = look(real("onnx.onnx"))
    assert onnx.inputs == (Tensor(name="x", dtype="float32", shape=("N", 3)),)
    assert onnx.outputs == (Tensor(name="y", dtype="float32", shape=("N", 2)),)
    assert onnx.versions == (("ir", "14"), ("producer", "me"), ("opset ai.onnx", "21"))
    saved = look(real("saved_model.pb"))
    assert saved.inputs == (Tensor(name="serving_default:x", dtype="float32", shape=("?", 3)),)
    assert saved.versions == (("tensorflow", "2.21.0"),)
    assert look(real("keras.keras")).versions == (("keras", "3.15.1"),)
    assert ("general.architecture", "llama") in look(real("gguf.gguf")).versions
    assert "ReadFile" in (look(real("saved_model-reads-files.pb")).code or "")


def test_weights_in_other_files_are_told() -> None:
    assert look(real("onnx-external.onnx")).external == (External(path="w.bin", end=24),)


def test_a_large_model_of_trees_is_read_without_its_numbers() -> None:
    from skl2onnx import to_onnx
    from sklearn.ensemble import ExtraTreesClassifier

    images, labels = np.random.default_rng(1).random((200, 8)).astype(np.float32), np.arange(200) % 5
    model = to_onnx(
        ExtraTreesClassifier(20, random_state=1).fit(images, labels), images[:1], options={"zipmap": False}
    )
    data = model.SerializeToString()
    report = look(data)
    assert (report.format, report.inputs[0].shape, len(report.outputs)) == ("onnx", ("?", 8), 2)


# -- NumPy ---------------------------------------------------------------------------------------------------


def saved(array: object, **more: object) -> bytes:
    out = io.BytesIO()
    if more or isinstance(array, dict):
        np.savez(out, **{**(array if isinstance(array, dict) else {}), **more})
    else:
        np.save(out, array, allow_pickle=True)  # type: ignore[arg-type]
    return out.getvalue()


@pytest.mark.parametrize(
    ("array", "dtype", "code"),
    [
        (np.zeros((3, 4), np.float32), "float32", False),
        (np.zeros(3, ">i2"), "int16", False),
        (np.array(1 + 2j), "complex128", False),
        (np.array(["ab", "c"]), "str2", False),
        (np.array([b"abc"]), "bytes3", False),
        (np.zeros(2, bool), "bool", False),
        (np.zeros(2, "M8[ns]"), "datetime", False),
        (np.zeros(3, [("a", "<i4"), ("b", "<f4", (2,))]), "record", False),
        (np.zeros(3, [("a", "<i4"), ("b", [("c", "|O")])]), "object", True),
        (np.array([{}, 1], dtype=object), "object", True),
    ],
)
def test_arrays(array: np.ndarray, dtype: str, code: bool) -> None:
    report = look(saved(array))
    assert (report.format, report.tensors[0].dtype, report.code is not None) == ("npy", dtype, code)
    assert report.tensors[0].shape == array.shape


def test_archives_of_arrays() -> None:
    report = look(saved({"dense/kernel:0": np.zeros((2, 3)), "b": np.zeros(4)}))
    assert (report.declared, report.count, report.parameters) == ("npz", 2, 10)
    assert {tensor.name for tensor in report.tensors} == {"dense/kernel:0", "b"}
    assert look(saved({"x": np.array([{}], dtype=object), "y": np.zeros(1)})).declared == "npz+code"


# -- pickles -------------------------------------------------------------------------------------------------

OBJECTS = [
    {"a": [1, 2.5, "x", b"y", None, True, (1, 2)], "b": {1, 2}},
    OSError("x"),
    [np.float64(1), np.zeros(3)],
    object,
]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("value", OBJECTS, ids=["plain", "error", "numpy", "class"])
def test_pickles_of_every_protocol(protocol: int, value: object) -> None:
    assert look(pickle.dumps(value, protocol=protocol)).declared == "pickle+code"


@pytest.mark.parametrize(
    "pack", [gzip.compress, zlib.compress, bz2.compress, lzma.compress], ids=lambda f: f.__module__
)
def test_pickles_under_a_coat(pack: object) -> None:
    report = look(pack(pickle.dumps(OSError("x"))))  # type: ignore[operator]
    assert report.format.startswith("pickle+") and report.code


def test_what_a_pickle_would_import_is_named() -> None:
    report = look(b"cposix\nsystem\n(S'id'\ntR.")
    assert "posix system" in (report.code or "")


@pytest.mark.parametrize(
    "text",
    [
        *("N.", "I am a text.\n", "cats and dogs\nare animals.\n", "a,b\n1,2\n", "", "K", "(lp0\n"),
        *(
            "Sun\n0Sea\n0Sky\n0N.",
            "S'un\n0Sea'\n0N.",
            "I see\n0I am\n0N.",
            "Four\n0N0N.",
            "cats and\ndogs\n(tR.",
            "(c\nx\ntR.",
        ),
        *("N(a.", "NNN(R.", "Np x\n0N0N.", "Ng7\n0N.", "K7\x00N.", "NNt0N.", "0N0N0N."),
    ],
)
def test_texts_are_no_pickles(text: str) -> None:
    assert look(text.encode()).format in ("text", "binary")


def test_whatever_cpython_would_call_is_seen() -> None:
    chance = random.Random(20261130)
    programs = [program(chance) for _ in range(6000)]
    acting = [data for data in programs if unpicklers.calls(data)]
    assert len(acting) > 1000
    assert not [data for data in acting if not is_pickle(follow(Window(Memory(data), len(data))), len(data))]


def test_pytorch_archives() -> None:
    report = look(torchlike.archive({"a.weight": (3, 4), "a.bias": (3,)}))
    assert (report.declared, report.count, report.parameters) == ("pytorch+code", 2, 15)
    assert report.tensors == (
        Tensor(name="a.weight", dtype="float32", shape=(3, 4)),
        Tensor(name="a.bias", dtype="float32", shape=(3,)),
    )
    assert look(torchlike.archive({"w": (2,)}, script=True)).declared == "torchscript+code"
    assert look(torchlike.archive({"w": (2,)}, kind="HalfStorage")).tensors[0].dtype == "float16"


def test_pytorch_of_the_older_form() -> None:
    report = look(torchlike.legacy({"w": (2, 5)}))
    assert (report.declared, report.parameters) == ("pytorch+code", 10)
    assert report.tensors[0] == Tensor(name="w", dtype="float32", shape=(2, 5))


# -- archives and the rest -----------------------------------------------------------------------------------


def tar_of(files: dict[str, bytes], mode: str = "w", form: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=form) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def zip_of(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


BAD = pickle.dumps(OSError("x"))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_archives_are_looked_into(method: int) -> None:
    assert look(zip_of({"a.txt": b"text", "b.bin": bytes(9)}, method)).declared == "zip"
    assert look(zip_of({"a.txt": b"text", "b.bin": BAD}, method)).declared == "zip+code"
    assert (
        look(zip_of({"a.txt": b"text", "b": torchlike.archive({"w": (1,)})}, method)).declared == "zip+code"
    )


def test_archives_with_a_configuration_of_something_else_are_archives() -> None:
    assert look(zip_of({"config.json": b"{}"})).declared == "zip"
    assert look(zip_of({"config.json": b'{"class_name": "Dense", "config": {}}'})).declared == "keras"
    assert look(zip_of({"config.json": b"{}", "metadata.json": b"{}"})).declared == "keras"


def test_weights_of_keras_that_are_not_read_are_noted() -> None:
    files = {"config.json": b"{}", "metadata.json": b"{}"}
    whole = files | {"model.weights.h5": real("keras-weights.h5")}
    note = ("its weights are compressed and not read",)
    assert look(zip_of(files)).notes == () == look(zip_of(whole, zipfile.ZIP_STORED)).notes
    assert look(zip_of(whole, zipfile.ZIP_DEFLATED)).notes == note


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_tars_are_looked_into(form: int) -> None:
    assert look(tar_of({"a.txt": b"text", "d/" + "e" * 90: b"x"}, form=form)).declared == "tar"
    assert look(tar_of({"a.txt": b"text", "b.bin": BAD}, form=form)).declared == "tar+code"
    assert look(tar_of({"a.txt": b"text", "b.bin": BAD}, "w:gz", form)).declared == "tar+gzip+code"


@pytest.mark.parametrize(
    ("data", "name", "form"),
    [
        (b"\x7fELF\x02\x01\x01", "a.bin", "elf+code"),
        (b"\xa7\x0d\r\n" + bytes(12), "a.pyc", "python-bytecode+code"),
        (b"\xa7\x0d\r\n\3" + bytes(11), "a.pyc", "python-bytecode+code"),
        (b"\xa7\x0d\r\n" + bytes(11), "a.pyc", "binary"),
        (b"\xa7\x0d\n\r" + bytes(12), "a.pyc", "binary"),
        (b"\xa7\x0b\r\n" + bytes(12), "a.pyc", "binary"),
        (b"\xa7\x0d\r\n\4" + bytes(11), "a.pyc", "binary"),
        (b"MZ" + bytes(58) + b"\x40\0\0\0PE\0\0", "a.dll", "pe+code"),
        (b"MZ is a text", "a.txt", "text"),
        (b"\x89PNG\r\n\x1a\n", "x", "png"),
        (b'{"a": 1}', "config.json", "json"),
        (b'{"a": 1', "config.json", "text"),
        (b"# Hi\n", "README.md", "markdown"),
        ("é".encode() * 40_000, "a.txt", "text"),
        (b"a" + "é".encode() * 40_000, "a.txt", "text"),
        (b"a\xc3", "a.txt", "binary"),
        (b"text\0", "a.txt", "binary"),
        (b"# Hi\n", "A.MD", "markdown"),
        (b"# Hi\n", "md", "text"),
        (b"\xff\xfe\x00", "a.txt", "binary"),
        (b"import os\n", "a.py", "python"),
        (b"", "a", "text"),
        (b"", "a.yaml", "yaml"),
        (b"a: !local [1, 2]\nb: !!python/tuple [1]\nc: Hi!\n", "a.yml", "yaml"),
        (b"a: 100%TAG\n", "a.yaml", "yaml"),
        (b"run: docker push img:%TAG%\n", "a.yaml", "yaml"),
        (b"- '!python/**'\n", "a.yaml", "yaml"),
        (b"d: '![b](https://example.com/python/badge.svg)'\n", "a.yaml", "yaml"),
        (b"run: |\n  #!/opt/python/bin/python3\n", "a.yaml", "yaml"),
        (b"a: !<tag:yaml.org,2002:python/tuple> [1]\n", "a.yaml", "yaml"),
        (b"a: !!%70%79thon%2Fname:os.system\n", "a.yaml", "yaml+code"),
        (b"a: !<tag%3Ayaml.org,2002:python/name:os.system>\n", "a.yaml", "yaml+code"),
        (b"a: !!python/name:os.system\n", "a.YAML", "yaml+code"),
        (b"\xef\xbb\xbf%TAG !e! tag:yaml.org,2002:pyth\n--- !e!on/name:os.system", "a.yaml", "yaml+code"),
        (b"a\r...\r%TAG !e! tag:yaml.org,2002:pyth\r--- !e!on/name:os.system", "a.yaml", "yaml+code"),
        (
            "a\u2028...\u2028%TAG ! tag:yaml.org,2002:pyth\u2028--- !on/name:os.system".encode(),
            "a.yaml",
            "yaml+code",
        ),
        (b"a: !!python/tuples [1]\n", "a.yaml", "yaml+code"),
        (b"a: !!python/name:os.system\n", "a.md", "markdown"),
        (b"a: \xff\n", "a.yaml", "binary"),
        (b"a: !!python/module:os\n---\n\xff\n", "a.yaml", "binary+code"),
        (b"A\n3\n4\n5\n", "a.csv", "csv"),
        (b"A\n3\n4\n5\n", "a.rds", "text+code"),
        (b"X\n\0\0\0\4" + bytes(9), "a", "binary"),
        (b"X \0\0\0\2" + bytes(9), "a", "r-data+code"),
        (b"B?\2\0\0\0" + bytes(9), "a", "r-data+code"),
        (b"RDX2\nX?", "a", "r-data+code"),
        (b"RDA1\n", "a", "r-data+code"),
        (b"\nA\n3\n263169\n197888\n5\n", "a", "r-data+code"),
        (b"A 02 263169 197888 5\n", "a", "r-data+code"),
        (gzip.compress(b"X\n\0\0\0\2" + bytes(9)), "model.rds", "r-data+gzip+code"),
        (b"X\n\0\0\0\2" + bytes(9), "a", "r-data+code"),
        (b"\xac\xed\0\5", "weka.model", "java-serialized+code"),
        (b"\xac\xed\0\4", "weka.model", "binary"),
        (gzip.compress(b"hello"), "a.gz", "gzip"),
        (b"\x28\xb5\x2f\xfd" + bytes(9), "a", "zstd"),
    ],
)
def test_everything_else(data: bytes, name: str, form: str) -> None:
    assert look(data, name).declared == form


def test_random_bytes_are_binary() -> None:
    random = np.random.default_rng(7)
    for _ in range(2000):
        assert look(random.bytes(int(random.integers(1, 600)))).declared in ("binary", "text")


# -- summaries -----------------------------------------------------------------------------------------------


def test_summaries() -> None:
    onnx, torch = look(real("onnx.onnx")), look(torchlike.archive({"a`<b>[c](d)": (2, 3)}))
    assert "input x float32 (N, 3)" in list(lines(onnx)) and "8 parameters in 2 tensors" in list(lines(onnx))
    shown = preview([("m/`x`.pt", torch)])
    assert shown.startswith(HEADING) and "RUNS CODE" in shown and not set("<>`[]") & set(shown)
    assert parameters([onnx, torch, look(b"text")]) == 14 and parameters([look(b"text")]) is None
    assert library([onnx, look(b"text")]) == "onnx" and library([onnx, torch]) is None


def test_a_header_that_is_no_object() -> None:
    data = struct.pack("<Q", 2) + b"[]"
    with pytest.raises(FormatError, match="no JSON object"):
        safetensors.read(Window(Memory(data), len(data)))


def test_tensors_are_counted_to_the_last() -> None:
    entry = '{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
    for count, fits in ((MAX_TENSORS, True), (MAX_TENSORS + 1, False)):
        header = ("{" + ",".join(f'"{number}":{entry}' for number in range(count)) + "}").encode()
        data = struct.pack("<Q", len(header)) + header
        if fits:
            assert safetensors.read(Window(Memory(data), len(data))).count == MAX_TENSORS
            continue
        with pytest.raises(FormatError, match="more than 100000 tensors"):
            safetensors.read(Window(Memory(data), len(data)))


def test_yaml_within_archives() -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a/model_config.YML", "a: !!python/object/apply:os.system [id]\n")
    found = look(made.getvalue())
    assert found.declared == "zip+code" and "'a/model_config.YML' in it" in (found.code or "")


# -- types -------------------------------------------------------------------------------------------------------

# Of safetensors 0.8, with their bits.
SAFETENSORS = {
    "BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "C64": 64, "F64": 64, "I64": 64,
    "U64": 64,
}  # fmt: skip
# Of gguf 0.19, and those that llama.cpp wrote once: elements and bytes of a block.
GGUF = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 10: (256, 84), 11: (256, 110), 12: (256, 144),
    13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18),
    21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2),
    31: (32, 18), 32: (32, 18), 33: (32, 18), 34: (256, 54), 35: (256, 66), 36: (32, 18), 37: (32, 18), 38: (32, 18), 39: (32, 17),
    40: (64, 36), 41: (128, 18), 42: (64, 18),
}  # fmt: skip


@pytest.mark.parametrize("dtype", SAFETENSORS)
def test_every_type_of_safetensors(dtype: str) -> None:
    size = SAFETENSORS[dtype] * 4 // 8
    entry = {"dtype": dtype, "shape": [4], "data_offsets": [0, size]}
    data = cases.safetensors({"x": entry}, bytes(size))
    assert look(data).tensors[0].dtype == dtype.lower()
    with pytest.raises(FormatError):
        look(cases.safetensors({"x": entry | {"shape": [8]}}, bytes(size)))


@pytest.mark.parametrize("kind", GGUF)
def test_every_type_of_gguf(kind: int) -> None:
    elements, size = GGUF[kind]
    made = cases.gguf(tensors=cases.gguf_tensor("x", [2 * elements], kind), count=1, body=bytes(2 * size))
    assert look(made).parameters == 2 * elements
    with pytest.raises(FormatError, match="end at byte"):
        look(made[:-1])


def test_every_type_of_onnx() -> None:
    onnx = pytest.importorskip("onnx")
    for name, kind in onnx.TensorProto.DataType.items():
        if name in ("UNDEFINED", "STRING"):
            continue
        zeros = np.zeros(3, onnx.helper.tensor_dtype_to_np_dtype(kind))
        made = onnx.helper.make_tensor("x", kind, [3], zeros, raw=True)
        graph = onnx.helper.make_graph([], "g", [], [], initializer=[made])
        found = look(onnx.helper.make_model(graph).SerializeToString())
        assert (found.count, found.parameters) == (1, 3), name
