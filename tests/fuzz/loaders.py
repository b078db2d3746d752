"""Model files mutated at random, read by the libraries that load them and by us: what they would run, we must have told.

    python -m tests.fuzz.loaders [--seconds N] [--only NAME ...] [--seed N]

A library that hangs or ends its process on a file is killed and goes on with the next seed. Something missed is kept in
build/fuzz/missed, and makes the campaign fail. The libraries are in an environment of their own: `make fuzz-loaders`.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import secrets
import signal
import struct
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steelyard.errors import FormatError
from steelyard.formats import keras_config, tensorflow_ops
from steelyard.formats.inspect import look
from steelyard.formats.window import Memory, Window

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-loaders" / "bin" / "python"
MISSED = ROOT / "build" / "fuzz" / "missed"
LAMBDA = json.dumps({"class_name": "Lambda", "config": {}})
HONEST = json.dumps({"class_name": "Dense", "config": {}})
CODE = "code"
PATIENCE = 0.3
"""Seconds for one file."""
_EDGES = (0, 1, 2, 3, 4, 8, 16, 20, 96, 255, 65_535, 2**32 - 1, 2**64 - 1)


@dataclass(frozen=True)
class Loader:
    """A library: the name that it knows a file by, what is mutated, where, and what it would do with a file, if it reads it at all.

    ``finds`` returns CODE for what would run, and the names of other files that would be read.
    """

    name: Callable[[random.Random], str]
    make: Callable[[random.Random, str], bytes]
    marks: tuple[bytes, ...]
    finds: Callable[[str, bytes], set[str]]


def mutate(chance: random.Random, data: bytes, marks: Iterable[bytes]) -> bytes:
    """Change a few bytes, mostly behind the signatures of a format."""
    raw = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        places = [place for mark in marks for place in _places(raw, mark)]
        near = bool(places) and chance.random() < 0.75
        place = chance.choice(places) + chance.randrange(-32, 64) if near else chance.randrange(len(raw) + 1)
        place = max(0, min(len(raw) - 1, place))
        way = chance.randrange(8)
        if way == 0:
            raw[place] = chance.randrange(256)
        elif way == 1:
            raw[place] ^= 1 << chance.randrange(8)
        elif way in (2, 3):
            size = chance.choice((2, 4, 8))
            value = chance.choice((*_EDGES, len(raw), chance.randrange(len(raw))))
            raw[place : place + size] = (value % (1 << 8 * size)).to_bytes(size, "little")
        elif way == 4:
            source, size = chance.randrange(len(raw)), chance.randrange(1, 64)
            raw[place : place + chance.choice((0, size))] = raw[source : source + size]
        elif way == 5:
            del raw[place : place + chance.randrange(1, 9)]
        elif way == 6:
            raw[place:place] = bytes(chance.randrange(1, 6))
        elif raw[place] < 128:  # the same number, spelt longer
            raw[place : place + 1] = bytes([raw[place] | 128]) + b"\x80" * chance.randrange(3) + b"\0"
        if not raw:
            raw = bytearray(b"\0")
    return bytes(raw)


def _places(raw: bytearray, mark: bytes) -> list[int]:
    found: list[int] = []
    place = raw.find(mark)
    while place >= 0 and len(found) < 20:
        found.append(place)
        place = raw.find(mark, place + 1)
    return found


def _is_code(text: str | bytes) -> bool:
    """Whether a library would parse a configuration, and find in it what runs."""
    try:
        return keras_config.code_of(json.loads(text)) is not None
    except (ValueError, RecursionError):
        return False


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
        return {CODE} if _is_code(file.read()) else set()


# -- HDF5 ------------------------------------------------------------------------------------------------------


def _hdf5(chance: random.Random, _name: str) -> bytes:
    import h5py  # type: ignore[import-not-found]  # only in .venv-loaders

    if chance.random() < 0.5:
        with zipfile.ZipFile(ROOT / "tests" / "vectors" / "formats.zip") as archive:
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
    return {CODE for text in found if isinstance(text, str | bytes) and _is_code(text)}


# -- TensorFlow ------------------------------------------------------------------------------------------------


def _message(chance: random.Random, name: str) -> bytes:
    from tensorflow.core.protobuf import saved_model_pb2  # type: ignore[import-not-found]
    from tf_keras.protobuf import saved_metadata_pb2  # type: ignore[import-not-found]

    if name == "keras_metadata.pb":
        layers = saved_metadata_pb2.SavedMetadata()
        for number in range(chance.randrange(1, 4)):
            layers.nodes.add(
                node_id=number,
                node_path="root",
                identifier="_tf_keras_layer",
                metadata=chance.choice((LAMBDA, HONEST)),
            )
        return bytes(layers.SerializeToString())
    model = saved_model_pb2.SavedModel(saved_model_schema_version=1)
    meta = model.meta_graphs.add()
    nodes = chance.choice((meta.graph_def.node, meta.graph_def.library.function.add().node_def))
    for number in range(chance.randrange(1, 4)):
        nodes.add(name=f"n{number}", op="Const")
    operator = chance.choice(("ReadFile", "PyFunc", "WriteFile", *tensorflow_ops.BY_SETTING, "Const"))
    node = nodes.add(name="x", op=operator, input=["n0"])
    if operator in tensorflow_ops.BY_SETTING:
        node.attr[tensorflow_ops.BY_SETTING[operator]].s = b"file:///nowhere"
    if operator == "Const":
        layer = meta.object_graph_def.nodes.add().user_object
        layer.identifier, layer.metadata = "_tf_keras_layer", LAMBDA
    whole = bytes(model.SerializeToString())
    # A message that stands there twice is one to its readers: half of a model in front of the other half.
    return whole + whole[: chance.choice((0, 0, len(whole)))]


def _protobuf(name: str, data: bytes) -> set[str]:
    from tensorflow.core.protobuf import saved_model_pb2
    from tf_keras.protobuf import saved_metadata_pb2

    if name == "keras_metadata.pb":
        layers = saved_metadata_pb2.SavedMetadata.FromString(data).nodes
        return _of_layers(layers)
    found: set[str] = set()
    for meta in saved_model_pb2.SavedModel.FromString(data).meta_graphs:
        functions = (function.node_def for function in meta.graph_def.library.function)
        nodes = (node for nodes in (meta.graph_def.node, *functions) for node in nodes)
        found |= {CODE for node in nodes if _is_dangerous(node)}
        layers = [
            item.user_object
            for item in meta.object_graph_def.nodes
            if item.WhichOneof("kind") == "user_object"
        ]
        found |= _of_layers(layers)
    return found


def _of_layers(layers: Iterable[Any]) -> set[str]:
    return {
        CODE for layer in layers if layer.identifier.startswith("_tf_keras_") and _is_code(layer.metadata)
    }


def _is_dangerous(node: Any) -> bool:
    setting = tensorflow_ops.BY_SETTING.get(node.op)
    if setting is not None and setting in node.attr:
        return not tensorflow_ops.is_harmless(node.attr[setting].s)
    return node.op in tensorflow_ops.CODE


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
        lambda chance: chance.choice(("saved_model.pb", "keras_metadata.pb")), _message, (), _protobuf
    ),
}  # fmt: skip


def outcome(loader: Loader, name: str, data: bytes) -> str:
    """Return what came of one file."""
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        found = loader.finds(name, data)
    except Exception:  # noqa: BLE001  # whatever a library raises
        return "not read"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if not found:
        return "harmless"
    try:
        report = look(Window(Memory(data), len(data)), name)
    except FormatError:
        return "refused"
    if CODE not in found and report.format in ("binary", "text"):
        return "not known"
    return "told" if report.code or found <= {item.path for item in report.external} else "missed"


def work(which: str, seed: int, until: float) -> None:
    """Read files of one seed until the time is over or one ends this process, and print what came of them as it comes."""
    chance, loader, counts = random.Random(seed), LOADERS[which], Counter[str]()
    told = time.monotonic()
    while told < until:
        name = loader.name(chance)
        data = mutate(chance, loader.make(chance, name), loader.marks)
        found = outcome(loader, name, data)
        counts[found] += 1
        if found == "missed":
            MISSED.mkdir(parents=True, exist_ok=True)
            (MISSED / f"{which}-{seed}-{counts.total()}-{name}").write_bytes(data)
        if time.monotonic() > told + 0.1:
            told = time.monotonic()
            print(json.dumps([seed, counts]), flush=True)


def child(which: str, seed: int, seconds: float) -> None:
    """Fork processes that work, one after the other, with the libraries already imported."""
    until = time.monotonic() + seconds
    LOADERS[which].make(random.Random(0), LOADERS[which].name(random.Random(0)))
    while time.monotonic() < until:
        pid = os.fork()
        if not pid:
            work(which, seed, until)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        if status:
            print(json.dumps([-seed, {"ended by a file": 1}]), flush=True)
        seed += 1


def campaign(which: str, seed: int, seconds: float) -> Counter[str]:
    """Return what came of the files of so many seconds."""
    env = {
        **os.environ,
        "PYTHONPATH": f"{ROOT / 'backend'}{os.pathsep}{ROOT}",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    command = [str(PYTHON), "-m", "tests.fuzz.loaders", "--child", which, str(seed), str(seconds)]
    done = subprocess.run(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True
    )
    last = dict(json.loads(line) for line in done.stdout.splitlines())
    return sum((Counter(counts) for counts in last.values()), Counter[str]())


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60, help="for each library")
    parser.add_argument("--only", nargs="*", choices=sorted(LOADERS), default=list(LOADERS))
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child[0], int(given.child[1]), float(given.child[2]))
        return 0
    print(f"seed {given.seed}")
    missed = 0
    for which in given.only:
        total = campaign(which, given.seed, given.seconds)
        missed += total["missed"]
        print(
            f"{which:10} {sum(total.values()) - total['ended by a file']:9,} files: {dict(total)}", flush=True
        )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
