"""Keras: ``.keras`` archives, and HDF5 files with a model's configuration. Source: keras/src/saving, Keras 2 and 3."""

from __future__ import annotations

from typing import Final

from steelyard.formats import hdf5, jsons
from steelyard.formats.report import FormatReport, shown
from steelyard.formats.window import Window
from steelyard.formats.zips import Archive

_CONFIG: Final = "config.json"
_METADATA: Final = "metadata.json"
_WEIGHTS: Final = "model.weights.h5"
_MAX_CONFIG: Final = 8 << 20


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
    notes = [*found.notes, *layers.notes()]
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
        notes=(*found.notes, *(layers.notes() if layers else ())),
    )


class _Layers:
    """The classes that a configuration names."""

    def __init__(self, raw: bytes) -> None:
        self._code: set[str] = set()
        self._own: dict[str, None] = {}
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
        elif isinstance(name, str) and isinstance(module, str):
            root = module.split(".")[0]
            if root not in (
                "keras",
                "builtins",
                "tensorflow",
                "tf_keras",
                "keras_hub",
                "keras_nlp",
                "keras_cv",
            ):
                self._own[f"{module}.{name}"[:80]] = None

    def code(self) -> str | None:
        """Return why loading runs code, or None."""
        if self._code:
            return f"it has {' and '.join(sorted(self._code))}: that runs when they are loaded or called"
        return None

    def notes(self) -> tuple[str, ...]:
        """Return what is not Keras's own."""
        return (f"classes of its own: {', '.join(sorted(self._own))[:200]}",) if self._own else ()
