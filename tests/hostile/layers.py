"""Hostile models of TensorFlow and Keras: configurations that name what is none of Keras's, and graphs that do more than calculate."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from steelyard.errors import CodeError
from tests.hostile.cases import Case, file, pb, real, zipped

_UNREAD = "cannot be read as that here"


def cases() -> Iterator[Case]:
    yield from _graphs()
    yield from _named()
    yield from _configurations()


def _node(*operators: str, more: bytes = b"") -> bytes:
    return pb(1, "n") + b"".join(pb(2, operator) for operator in operators) + more


def _saved(node: bytes) -> bytes:
    """A saved model of one node."""
    return pb(1, 1) + pb(2, pb(2, pb(1, node)))


def _setting(key: str, value: bytes) -> bytes:
    return pb(5, pb(1, key) + pb(2, value))


def _layer(metadata: bytes, identifier: str = "_tf_keras_layer") -> bytes:
    """A node of a ``keras_metadata.pb``."""
    return pb(1, pb(2, 1) + pb(3, "root.layer-0") + pb(4, identifier) + pb(5, metadata))


def _graphs() -> Iterator[Case]:
    yield file("savedmodel: reads files", lambda: real("saved_model-reads-files.pb"), "ReadFile", CodeError)
    for operator in (
        "PyFunc",
        "EagerPyFunc",
        "WriteFile",
        "MatchingFiles",
        "DatasetFromGraph",
        "DebugIdentityV3",
        "RpcCall",
    ):
        yield file(f"savedmodel: {operator}", _saved(_node(operator)), operator, CodeError)
    inside = pb(2, pb(2, pb(1, pb(3, _node("PyFunc")))))
    layer = pb(2, pb(7, pb(1, pb(4, pb(1, "_tf_keras_layer") + pb(3, b'{"class_name":"Lambda"}')))))
    prints = _setting("output_stream", pb(2, "file:///nowhere/hostile"))
    files = {
        "savedmodel: PyFunc in a function": (pb(1, 1) + pb(2, inside), "PyFunc"),
        "savedmodel: an operator that stands there twice": (_saved(_node("Const", "WriteFile")), "WriteFile"),
        "savedmodel: PyFunc beside megabytes": (_saved(_node("PyFunc", more=pb(5, bytes(9000)))), "PyFunc"),
        "savedmodel: prints to a file": (_saved(_node("PrintV2", more=prints)), "PrintV2"),
        "savedmodel: prints to a file, told first": (_saved(prints + _node("PrintV2")), "PrintV2"),
        "savedmodel: prints to what a caller says": (
            _saved(_node("PrintV2", more=_setting("output_stream", pb(9, "where")))), "PrintV2",
        ),
        "savedmodel: prints here and to a file": (
            _saved(_node("PrintV2", more=_setting("output_stream", pb(2, "stderr")) + prints)), "PrintV2",
        ),
        "savedmodel: Lambda among its objects": (pb(1, 1) + layer, "Lambda"),
        "savedmodel: Lambda among its objects, in two messages": (
            pb(1, 1) + pb(2, pb(7, pb(1, pb(4, pb(1, "_tf_keras_layer")) + pb(4, pb(3, b'{"class_name":"Lambda"}'))))), "Lambda",
        ),
        "graph: PyFunc": (pb(1, _node("Const")) + pb(1, _node("PyFunc")), "PyFunc"),
        "graph: PyFunc in a function": (pb(1, _node("Const")) + pb(2, pb(1, pb(3, _node("PyFunc")))), "PyFunc"),
        "keras metadata: Lambda": (lambda: real("keras2-metadata-lambda.pb"), "Lambda"),
        "keras metadata: Lambda, told twice": (
            _layer(b"{}") + pb(1, pb(4, "_tf_keras_layer") + pb(5, b"{}") + pb(5, b'{"class_name":"Lambda"}')), "Lambda",
        ),
    }  # fmt: skip
    for name, (data, words) in files.items():
        yield file(name, data, words, CodeError)
    yield file("tflite: writes files", lambda: real("tflite-writes-files.tflite"), "WriteFile", CodeError)
    lite = real("tflite-writes-files.tflite")
    codes = lite.rindex(struct.pack("<I", 2), 0, lite.index(b"FlexWriteFile"))
    many = lite[:codes] + b"\xff\xff\xff\x7f" + lite[codes + 4 :]
    yield file("tflite: operators without end", many, "a list of 2147483647 tables")
    other = lite.replace(b"FlexWriteFile", b"FlexIdentity_")
    yield file("tflite: writes files under another name", other, "WriteFile", CodeError)
    yield file("keras metadata: no JSON", _layer(b"{"), "a layer is no JSON")
    yield file("keras metadata: megabytes", lambda: _layer(b" " * (9 << 20)), "more than 8388608 bytes")


def _named() -> Iterator[Case]:
    """Files that TensorFlow reads because of their names, in a form that is not read here."""
    hidden = pb(15, 1) + _saved(_node("PyFunc"))  # a field that no saved model has, in front
    for name, data in (
        ("saved_model.pb", hidden),
        ("saved_model.pb", pb(2, pb(2, pb(1, _node("PyFunc")))) + pb(1, 1)),
        ("saved_model.pbtxt", b"saved_model_schema_version: 1"),
        ("saved_model.cpb", bytes(64)),
        ("keras_metadata.pb", pb(15, 1) + _layer(b"{}")),
        ("sub/saved_model.pb", b"anything"),
        ("m.keras", b"anything"),
    ):
        yield Case(
            f"tensorflow: {name} of {len(data)} bytes",
            "folder",
            lambda n=name, d=data: _writer(n, d),
            CodeError,
            _UNREAD,
        )  # type: ignore[misc]


def _writer(name: str, data: bytes) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)

    return write


def _keras(name: str, config: object, words: str, *, metadata: bool = True) -> Case:
    files = {"config.json": json.dumps(config).encode(), **({"metadata.json": b"{}"} if metadata else {})}
    return file(f"keras: {name}", zipped(files), words, CodeError)


def _configurations() -> Iterator[Case]:
    program = {"class_name": "Sequential", "config": {"layers": [{"class_name": "Lambda"}]}}
    yield _keras("Lambda", program, "Lambda")
    yield _keras("Lambda without metadata", program, "Lambda", metadata=False)
    yield file("keras: Lambda in HDF5", lambda: real("keras-lambda.h5"), "Lambda", CodeError)
    yield Case("keras: Lambda in JSON", "json", lambda: json.dumps(program).encode(), CodeError, "Lambda")
    # What Keras 3.0 to 3.8 looks up in whatever module is named, and calls with what the file says (CVE-2025-1550).
    for module, function in (
        ("os", "system"),
        ("subprocess", "run"),
        ("builtins", "exec"),
        ("kerasx.layers", "relu"),
        ("keras.utils", "get_file"),
        ("keras", "utils.get_file"),
        ("keras", "get_file"),
        ("tensorflow", "TensorSpec"),
        ("keras.losses", "tf.load_op_library"),
        ("keras.models", "load_model"),
        ("keras.layers", "TFSMLayer"),
        ("keras.losses", "MeanSquaredError"),
        ("keras.src.saving.losses", "load"),
        ("tensorflow", "load_op_library"),
        ("keras.src.saving.saving_lib", "load_model"),
    ):
        named = {
            "module": module,
            "class_name": "function",
            "config": function,
            "registered_name": "function",
        }
        config = {
            "class_name": "Dense",
            "module": "keras.layers",
            "config": {"units": 1, "activation": named},
        }
        yield _keras(f"the function {function} of {module}", config, function)
    for what, module, name, registered in (
        ("a class of another module", "mine.layers", "Layer", "mine>Layer"),
        ("a function as a class", "keras.utils", "get_file", None),
        ("a function as a class, not of its tools", "keras.models", "load_model", None),
        ("a function by its registered name", "keras.src.utils.file_utils", "Nothing", "get_file"),
        ("a class of its tools", "keras.saving", "CustomObjectScope", None),
        ("an operator as a class", "tensorflow.raw_ops", "WriteFile", None),
        ("a function among initializers", "tensorflow.python.ops.init_ops_v2", "get", None),
        ("Lambda by its registered name", "keras.src.layers.core.lambda_layer", "Nothing", "Lambda"),
        ("a model from elsewhere", "keras.src.export.tfsm_layer", "TFSMLayer", None),
    ):  # fmt: skip
        described = {"class_name": name, "module": module, "config": {}, "registered_name": registered}
        yield _keras(what, described, registered if registered and ">" not in registered else name)
    spec = {
        "class_name": "__typespec__",
        "spec_name": "run",
        "module": "subprocess",
        "config": [],
        "registered_name": None,
    }
    yield _keras("a type that is a function", spec, "subprocess.run")
    for name, setting, value in (
        ("StringLookup", "vocabulary", "/etc/passwd"),
        ("BytePairTokenizer", "merges", "/etc/passwd"),
        ("SentencePieceTokenizer", "proto", "/etc/passwd"),
        ("SentencePieceTokenizer", "proto", "/etc/passwd" + "/." * 1100),
        ("StringLookup", "vocabulary", "/" * 3000),
        ("TFOpLambda", "function", "io.write_file"),
        ("TFOpLambda", "function", "load_op_library"),
        ("TFOpLambda", "function", "keras.utils.get_file"),
        ("TFOpLambda", "function", "compat.v1.py_func"),
        ("TFOpLambda", "function", "raw_ops.WriteFile"),
        ("ClassMethod", "cls_symbol", "io.gfile.GFile"),
        ("InstanceProperty", "attr_name", "__class__"),
        ("TensorFlowOpLayer", "node_def", json.dumps({"op": "ReadFile"})),
        ("TensorFlowOpLayer", "node_def", "not read"),
    ):
        shown = "None" if value == "not read" else "ReadFile" if "ReadFile" in value else value[:40]
        yield _keras(
            f"{name} with {len(value)} bytes, {value[:40]}",
            {"class_name": name, "config": {setting: value}},
            shown,
        )
    nothing = {"class_name": "TFOpLambda", "config": {}}
    yield _keras("an operator without a name", nothing, "TensorFlow's None")
