"""The libraries that load models: what is mutated, and what each of them would do with a file."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from pathlib import Path
from typing import Any

from tests.fuzz import packed, tensorflows
from tests.fuzz.library import CODE, HONEST, LAMBDA, Loader, is_code

VECTORS = Path(__file__).parents[1] / "vectors" / "formats.zip"


# -- Keras's archives ------------------------------------------------------------------------------------------


def _archive(chance: random.Random, _name: str) -> bytes:
    made = io.BytesIO()
    files = [
        ("config.json", chance.choice((LAMBDA, HONEST))),
        ("metadata.json", "{}"),
        ("config.jsoN", LAMBDA),
        ("x/config.json", HONEST),
        ("a", "z"),
    ]
    chance.shuffle(files)
    with zipfile.ZipFile(made, "w") as archive:
        for name, text in files[: chance.randrange(2, 6)]:
            about = zipfile.ZipInfo(name)
            about.compress_type = chance.choice((0, 8))
            about.extra = chance.choice(
                (b"", struct.pack("<HH", 1, 8) + bytes(8), struct.pack("<HHB", 0x7075, 5, 1) + bytes(4))
            )
            archive.writestr(about, text)
        archive.comment = bytes(chance.choice((0, 0, 0, 9)))
    whole = made.getvalue()
    return whole + whole if chance.random() < 0.05 else whole


def _zipfile(_name: str, data: bytes) -> set[str]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open("config.json") as file:
        return {CODE} if is_code(file.read()) else set()


# -- HDF5 ------------------------------------------------------------------------------------------------------


def _hdf5(chance: random.Random, _name: str) -> bytes:
    import h5py  # type: ignore[import-not-found]  # only in .venv-loaders

    if chance.random() < 0.5:
        with zipfile.ZipFile(VECTORS) as archive:
            return archive.read("keras-lambda.h5")
    made = io.BytesIO()
    kept: Any = {
        "libver": chance.choice(("earliest", "latest", "v108", "v110")),
        "track_order": chance.random() < 0.5,
    }
    with h5py.File(made, "w", **kept) as file:
        file.attrs["keras_version"] = "3"
        for number in range(chance.choice((0, 1, 5, 12))):
            file.attrs[f"x{number}"] = "y" * chance.choice((1, 100))
        file.attrs[chance.choice(("model_config", "training_config"))] = chance.choice(
            (LAMBDA, LAMBDA.encode())
        )
        file.create_dataset("d", data=[1, 2, 3])
    return made.getvalue()


def _h5py(_name: str, data: bytes) -> set[str]:
    import h5py

    with h5py.File(io.BytesIO(data), "r") as file:
        found = [file.attrs[name] for name in ("model_config", "training_config") if name in file.attrs]
    return {CODE for text in found if isinstance(text, str | bytes) and is_code(text)}


# -- NumPy -----------------------------------------------------------------------------------------------------


def _arrays(chance: random.Random, name: str) -> bytes:
    import numpy as np

    things = [
        np.array([1, "a"], dtype=object),
        np.zeros(2, dtype=[("a", "O"), ("b", "i4")]),
        np.zeros((2, 3)),
    ]
    chance.shuffle(things)
    made = io.BytesIO()
    if name.endswith(".npz"):
        chance.choice((np.savez, np.savez_compressed))(made, *things[: chance.randrange(1, 4)])
    else:
        np.lib.format.write_array(made, things[0], version=chance.choice((None, (2, 0), (3, 0))))
    return made.getvalue()


def _numpy(name: str, data: bytes) -> set[str]:
    import numpy as np

    try:
        found = np.load(io.BytesIO(data), allow_pickle=False)
        for inner in found if name.endswith(".npz") else ():
            found[inner]
    except ValueError as error:
        if "Object arrays" in str(error):
            return {CODE}
        raise
    return set()


# -- ONNX ------------------------------------------------------------------------------------------------------


def _onnx(chance: random.Random, _name: str) -> bytes:
    import onnx  # type: ignore[import-not-found]
    from onnx import helper

    def weights(name: str) -> Any:
        made = helper.make_tensor(name, onnx.TensorProto.FLOAT, [2], [1.0, 2.0])
        if chance.random() < 0.7:
            made.ClearField("float_data")
            made.data_location = onnx.TensorProto.EXTERNAL
            made.external_data.add(
                key="location", value=chance.choice(("weights.bin", "../up", "/etc/passwd"))
            )
        return made

    inner = helper.make_graph([], "inner", [], [], [weights("c")])
    nodes = [
        helper.make_node("Constant", [], ["a"], value=weights("a")),
        helper.make_node("If", ["a"], ["b"], then_branch=inner, else_branch=inner),
        helper.make_node("Many", ["a"], ["d"], tensors=[weights("d"), weights("e")], graphs=[inner]),
    ]
    graph = helper.make_graph(chance.sample(nodes, chance.randrange(4)), "g", [], [], [weights("w")])
    function = helper.make_function("x", "f", [], [], nodes[:1], [helper.make_opsetid("", 18)])
    return bytes(helper.make_model(graph, functions=[function] * chance.randrange(2)).SerializeToString())


def _externals(_name: str, data: bytes) -> set[str]:
    import onnx
    from onnx import external_data_helper

    tensors = external_data_helper._get_all_tensors(onnx.ModelProto.FromString(data))
    return {
        entry.value
        for tensor in tensors
        if external_data_helper.uses_external_data(tensor)
        for entry in tensor.external_data
        if entry.key == "location"
    }


# -- YAML ------------------------------------------------------------------------------------------------------


_PREFIX = "tag:yaml.org,2002:"
_NAMES = ("python/object/apply:os.system", "python/name:os.system", "python/object:os.x", "python/object/new:os.x",
          "python/module:os", "python/tuple", "python/str", "str", "map", "python/object/apply:")  # fmt: skip


def _yaml(chance: random.Random, _name: str) -> bytes:
    tag = chance.choice(_NAMES)
    if chance.random() < 0.3:
        place = chance.randrange(len(tag))
        tag = f"{tag[:place]}%{ord(tag[place]):02{chance.choice('xX')}}{tag[place + 1 :]}"
    directive = chance.choice(
        ("", "", "", f"%TAG !m! {_PREFIX}", f"%TAG ! {_PREFIX}pyth", f"%TAG !! {_PREFIX}", "%YAML 1.1")
    )
    written = chance.choice((f"!!{tag}", f"!!{tag}", f"!<{_PREFIX}{tag}>", f"!m!{tag}", f"!{tag[4:]}"))
    line = chance.choice(("\n", "\n", "\r", "\r\n", "\x85", "\u2028"))
    lines = ["a: 1", f"b: {written} {chance.choice(('[ls]', '{}', 'x', ''))}", "c: [1, 2]"]
    chance.shuffle(lines)
    head = ["\ufeff" * chance.choice((0, 0, 1)) + directive, "---"] if directive else []
    text = line.join([*["# note"] * chance.randrange(2), *head, *lines, ""])
    return text.encode(chance.choice(("utf-8", "utf-8", "utf-8", "utf-16", "utf-8-sig")))


def _pyyaml(_name: str, data: bytes) -> set[str]:
    import yaml

    if not hasattr(_pyyaml, "kinds"):
        _pyyaml.kinds = [  # type: ignore[attr-defined]
            type(
                "Spy",
                (kind,),
                dict.fromkeys(("find_python_name", "find_python_module", "make_python_instance"), _found),
            )
            for kind in (yaml.UnsafeLoader, yaml.CUnsafeLoader)
        ]
    for kind in _pyyaml.kinds:  # type: ignore[attr-defined]
        try:
            list(yaml.load_all(data, kind))
        except _Found:
            return {CODE}
        except (yaml.YAMLError, ValueError, TypeError, AttributeError):
            continue
    return set()


class _Found(BaseException):
    """Something would be imported or called."""


def _found(*_: object, **__: object) -> None:
    raise _Found


LOADERS = {
    "zipfile": Loader(
        lambda _: "m.keras", _archive, (b"PK\1\2", b"PK\3\4", b"PK\5\6", b"config.json"), _zipfile
    ),
    "h5py": Loader(
        lambda _: "m.h5",
        _hdf5,
        (b"OHDR", b"OCHK", b"model_config", b"training_config", b"TREE", b"SNOD", b"HEAP", b"GCOL", b"FRHP", b"BTHD", b"FHDB", b"BTLF"),
        _h5py,
    ),
    "numpy": Loader(
        lambda chance: chance.choice(("m.npy", "m.npz")), _arrays, (b"NUMPY", b"descr", b"PK\1\2", b"PK\3\4", b"PK\5\6"), _numpy
    ),
    "onnx": Loader(lambda _: "m.onnx", _onnx, (b"location", b"weights.bin", b"Constant"), _externals),
    "protobuf": Loader(
        lambda chance: chance.choice(("saved_model.pb", "keras_metadata.pb")), tensorflows.message, (), tensorflows.protobuf
    ),
    "graphs": Loader(
        lambda chance: chance.choice(("m.pb", "m.meta")), tensorflows.graph, (b"ReadFile", b"PyFunc", b"PrintV2"), tensorflows.imported
    ),
    "tflite": Loader(lambda _: "m.tflite", tensorflows.lite, (b"TFL3", b"FlexReadFile"), tensorflows.interpreted),
    "unpacked": Loader(
        lambda _: "model", packed.packed, (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"LZIP", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b"ZF"),
        lambda name, data: {CODE} if packed.runs(name, data) else set(),
    ),
    "yaml": Loader(lambda chance: chance.choice(("m.yaml", "M.YML")), _yaml, (b"!!", b"!<", b"%TAG"), _pyyaml),
}  # fmt: skip
