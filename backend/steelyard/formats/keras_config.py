"""What loading a Keras model's configuration would run or read, by the classes and functions that it names.

Keras 2, and Keras 3 up to 3.11, import the module that a configuration names and take from it whatever stands there under its
name: also a function where a class is expected, or what only ``registered_name`` names (CVE-2025-1550, CVE-2025-8747). So what
a configuration may name is listed here, and all else is code. Source: ``saving/serialization_lib.py`` and
``layers/core/tf_op_layer.py`` of Keras 3.8 and tf_keras 2.21.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterator
from typing import Final

from steelyard.errors import FormatError
from steelyard.formats import jsons, tensorflow_ops
from steelyard.formats.report import shown

MAX_CONFIG: Final = 8 << 20
"""Largest configuration in bytes."""
_OF_KERAS: Final = frozenset(("keras", "keras_cv", "keras_hub", "keras_nlp", "tf_keras"))
_INNER: Final = frozenset(("src", "api", "_tf_keras", "keras"))
# Modules of Keras whose functions a configuration may name, and those whose classes it may not.
_FUNCTIONS: Final = frozenset(
    ("activations", "constraints", "initializers", "losses", "metrics", "ops", "regularizers")
)
_TOOLS: Final = frozenset(("saving", "utils"))
_INITIALIZERS: Final = frozenset(("tensorflow.python.ops.init_ops", "tensorflow.python.ops.init_ops_v2"))
_HONEST_TOOLS: Final = frozenset(("FeatureSpace",))
_PROGRAMS: Final = {
    "Lambda": "Lambda layers, which are Python code",
    "__lambda__": "Lambda layers, which are Python code",
    "TorchModuleWrapper": "PyTorch modules, which are pickles",
    "TFSMLayer": "layers that load a model from another place (TFSMLayer)",
}
# What of TensorFlow an operator layer may call.
_NAMESPACES: Final = frozenset({
    "__operators__", "audio", "bitwise", "dtypes", "image", "linalg", "math", "nest", "nn", "quantization", "ragged",
    "random", "sets", "signal", "sparse", "strings",
})  # fmt: skip
_TOUCHES: Final = re.compile(
    "file|function|import|library|load|print|py_func|read|register|restore|rpc|write", re.IGNORECASE
)
_WRAPPED: Final = frozenset(("RaggedTensor", "SparseTensor"))
# Settings that are names of files where they are texts, read by whoever loads the layer (CVE-2025-12058).
_FILES: Final = ("language_tokens", "merges", "special_tokens", "vocabulary")
# A vocabulary itself, which tokenizers tell from a file's name by this.
_PROTO: Final = re.compile("[A-Za-z0-9+/=]{2049,}")


def is_config(value: object) -> bool:
    """Whether a JSON document describes an object of Keras."""
    return isinstance(value, dict) and isinstance(value.get("class_name"), str) and "config" in value


def code_of(value: object) -> str | None:
    """Return why loading what a configuration describes runs code, or None."""
    found: set[str] = set()
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, dict):
            found.update(_named(item))
            todo += item.values()
        elif isinstance(item, list):
            todo += item
    if not found:
        return None
    return f"it has {' and '.join(sorted(found)[:3])}: that runs when they are loaded or called"


def _named(value: dict[str, object]) -> Iterator[str]:
    """Yield what an object's description would run."""
    name, module, config = value.get("class_name"), value.get("module"), value.get("config")
    if not isinstance(name, str):
        return
    if name == "function":
        names = [config]
    elif name == "__typespec__":
        names = [value.get("spec_name")]
    else:
        names = [name]
    registered = value.get("registered_name")
    if isinstance(registered, str) and ">" not in registered:
        names.append(registered)  # taken from the module, if there is nothing under the other name
    for given in names:
        if not isinstance(given, str):
            continue
        if given in _PROGRAMS:
            yield _PROGRAMS[given]
        elif isinstance(module, str) and _is_foreign(module, given, called=name == "function"):
            yield f"{shown(f'{module}.{given}')[:80]}, which is not of Keras's layers"
    if isinstance(config, dict):
        yield from _operator(name, config)
        for key in (*_FILES, "proto"):
            given = config.get(key)
            if isinstance(given, str) and given and not (key == "proto" and _PROTO.fullmatch(given)):
                yield f"a {key} that is a file of whoever loads it ({given[:40]!a})"


def _is_foreign(module: str, name: str, *, called: bool) -> bool:
    """Whether a name is none of a class of Keras's, or of a function that its layers use.

    Args:
        module: where it is looked for.
        name: of it, there.
        called: whether it is used as a function rather than as a class.
    """
    root, *inner = module.split(".")
    if "." in name:
        return True  # tf_keras looks into what stands there: tf.load_op_library
    if root == "builtins":  # where Keras puts functions of its own, by their name alone
        return hasattr(builtins, name)
    if root == "tensorflow":
        return called or not (name.endswith("Spec") or (module in _INITIALIZERS and name[:1].isupper()))
    if root not in _OF_KERAS:
        return True
    while inner and inner[0] in _INNER:
        del inner[0]
    if called or not name[:1].isupper():
        return not inner or inner[0] not in _FUNCTIONS or name[:1].isupper()
    return bool(inner) and inner[0] in _TOOLS and name not in _HONEST_TOOLS


def _operator(name: str, config: dict[str, object]) -> Iterator[str]:
    """Yield what a layer around a part of TensorFlow would call (Keras 2)."""
    if name == "TFOpLambda":
        function = config.get("function")
        if not isinstance(function, str) or not _is_calculation(function):
            yield f"TensorFlow's {str(function)[:80]}"
    elif name == "ClassMethod":
        if (symbol := str(config.get("cls_symbol"))) not in _WRAPPED:
            yield f"methods of TensorFlow's {symbol[:80]}"
    elif name in ("InstanceProperty", "InstanceMethod"):
        if (attribute := str(config.get("attr_name"))).startswith("_"):
            yield f"the inner attribute {attribute[:80]}"
    elif name == "TensorFlowOpLayer":
        node = config.get("node_def")
        if isinstance(node, str):
            try:
                node = jsons.parse(node.encode("utf-8", "replace"), "an operator")
            except FormatError:
                node = None
        operator = node.get("op") if isinstance(node, dict) else None
        if not isinstance(operator, str) or operator in tensorflow_ops.SUSPECT:
            yield f"the operator {shown(str(operator))[:80]}"


def _is_calculation(symbol: str) -> bool:
    """Whether a name of TensorFlow's interface is one of a function that only calculates."""
    path = symbol.removeprefix("compat.v1.").removeprefix("experimental.numpy.").split(".")
    if len(path) == 1:
        return not _TOUCHES.search(path[0])
    if path[0] == "keras":
        return path[1] in _FUNCTIONS
    return path[0] in _NAMESPACES
