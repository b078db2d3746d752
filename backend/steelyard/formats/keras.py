"""Keras: ``.keras`` archives, and HDF5 files with a model's configuration. Source: keras/src/saving, Keras 2 and 3."""

from __future__ import annotations

import builtins
from typing import Final

from steelyard.formats import hdf5, jsons
from steelyard.formats.report import FormatReport, shown
from steelyard.formats.window import Window
from steelyard.formats.zips import Archive

_CONFIG: Final = "config.json"
_METADATA: Final = "metadata.json"
_WEIGHTS: Final = "model.weights.h5"
_MAX_CONFIG: Final = 8 << 20
_OF_KERAS: Final = frozenset(
    ("builtins", "keras", "keras_cv", "keras_hub", "keras_nlp", "tensorflow", "tf_keras")
)
_TOOLS: Final = frozenset(("utils", "saving"))


def is_archive(archive: Archive) -> bool:
    """Whether an archive has the files of a Keras model."""
    return {_CONFIG, _METADATA}.issubset(archive.entries)


def read_archive(archive: Archive) -> FormatReport:
    """Read configuration and weights of a ``.keras`` file.

    Raises:
        FormatError: one of them is damaged, too large, or refers to other files.
    """
    layers = _Layers(archive.read(_CONFIG, _MAX_CONFIG))
    metadata = jsons.parse(archive.read(_METADATA, 1 << 20), "the metadata")
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    weights = archive.open(_WEIGHTS)
    found = hdf5.walk(weights) if weights is not None else hdf5.Content()
    notes = list(found.notes)
    if weights is None and _WEIGHTS in archive.entries:
        notes.append("its weights are compressed and not read")
    return FormatReport(
        format="keras",
        code=layers.code(),
        tensors=tuple(found.tensors),
        count=found.count,
        parameters=found.parameters if weights is not None else None,
        versions=(("keras", shown(version)[:40]),) if isinstance(version, str) else (),
        notes=tuple(notes),
    )


def read_hdf5(window: Window) -> FormatReport:
    """Read an HDF5 file; a model if it has a configuration.

    Raises:
        FormatError: as of :func:`steelyard.formats.hdf5.read`.
    """
    found = hdf5.walk(window)
    config = found.attributes.get("model_config")
    layers = None if config is None else _Layers(config)
    version = found.attributes.get("keras_version", b"").decode("ascii", "replace")
    code = None if layers is None else layers.code()
    if found.hidden and not code:
        code = "its attributes cannot be read here, and may describe layers that hold Python code"
    return FormatReport(
        format="hdf5" if layers is None else "keras-hdf5",
        code=code,
        tensors=tuple(found.tensors),
        count=found.count,
        parameters=found.parameters,
        versions=(("keras", version[:40]),) if version else (),
        notes=tuple(found.notes),
    )


class _Layers:
    """The classes and functions that a configuration names."""

    def __init__(self, raw: bytes) -> None:
        self._code: set[str] = set()
        todo = [jsons.parse(raw, "the configuration")]
        while todo:
            value = todo.pop()
            if isinstance(value, dict):
                self._look(value)
                todo += value.values()
            elif isinstance(value, list):
                todo += value

    def _look(self, value: dict[str, object]) -> None:
        name, module = value.get("class_name"), value.get("module")
        if name in ("Lambda", "__lambda__"):
            self._code.add("Lambda layers, which are Python code")
        elif name == "TorchModuleWrapper":
            self._code.add("PyTorch modules, which are pickles")
        elif isinstance(module, str):
            function = value.get("config") if name == "function" else None
            named = f"{module}.{function or name}"
            if _is_foreign(module, function):
                # Keras 3.0 to 3.8 imports whatever module a file names (CVE-2025-1550); later ones take what was registered.
                self._code.add(f"{shown(named)[:80]}, which is not of Keras's layers")

    def code(self) -> str | None:
        """Return why loading runs code, or None."""
        if self._code:
            return f"it has {' and '.join(sorted(self._code)[:3])}: that runs when they are loaded or called"
        return None


def _is_foreign(module: str, function: object) -> bool:
    """Whether a module is none of Keras's; or a function one of Python's, of TensorFlow's or of Keras's tools (``keras.utils.get_file``)."""
    root, *inner = module.split(".")
    if root not in _OF_KERAS:
        return True
    if function is None:
        return False
    if root == "tensorflow":
        return True  # of all that it has: tf.load_op_library runs a program
    if root == "builtins":  # where Keras puts functions of its own, by their name alone
        return hasattr(builtins, str(function))
    return not _TOOLS.isdisjoint(inner)
