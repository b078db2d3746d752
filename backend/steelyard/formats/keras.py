"""Keras: ``.keras`` archives, and HDF5 files with a model's configuration. Source: keras/src/saving, Keras 2 and 3."""

from __future__ import annotations

from typing import Final

from steelyard.domain.jsontext import parse_json
from steelyard.errors import FormatError
from steelyard.formats import hdf5
from steelyard.formats.report import FormatReport, shown
from steelyard.formats.window import Window
from steelyard.formats.zips import Archive

_CONFIG: Final = "config.json"
_METADATA: Final = "metadata.json"
_WEIGHTS: Final = "model.weights.h5"
_MAX_CONFIG: Final = 8 << 20
_MAX_VALUES: Final = 500_000


def is_archive(archive: Archive) -> bool:
    """Whether an archive has the files of a Keras model."""
    return {_CONFIG, _METADATA}.issubset(archive.entries)


def read_archive(archive: Archive) -> FormatReport:
    """Read configuration and weights of a ``.keras`` file.

    Raises:
        FormatError: one of them is damaged, too large, or refers to other files.
    """
    layers = _Layers(archive.read(_CONFIG, _MAX_CONFIG))
    metadata = _json(archive.read(_METADATA, 1 << 20))
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
    dense = any("attributes of" in note for note in found.notes)
    code = None if layers is None else layers.code()
    if layers is None and dense:
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
        self._code: dict[str, None] = {}
        self._own: dict[str, None] = {}
        todo, count = [_json(raw)], 0
        while todo:
            count += 1
            value = todo.pop()
            if count > _MAX_VALUES:
                raise FormatError(f"the configuration has more than {_MAX_VALUES} values")
            if isinstance(value, dict):
                self._look(value)
                todo += value.values()
            elif isinstance(value, list):
                todo += value

    def _look(self, value: dict[str, object]) -> None:
        name, module = value.get("class_name"), value.get("module")
        if name in ("Lambda", "__lambda__", "TFOpLambda", "SlicingOpLambda"):
            if name in ("Lambda", "__lambda__"):
                self._code[str(name)] = None
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
            return "it has Lambda layers, which are Python code that runs when they are loaded or called"
        return None

    def notes(self) -> tuple[str, ...]:
        """Return what is not Keras's own."""
        return (f"classes of its own: {', '.join(sorted(self._own))[:200]}",) if self._own else ()


def _json(raw: bytes) -> object:
    if raw.count(b",") > _MAX_VALUES:
        raise FormatError(f"the configuration has more than {_MAX_VALUES} values")
    try:
        return parse_json(raw, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as exc:
        raise FormatError(f"the configuration is no JSON: {exc}"[:200]) from exc


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands there twice")
    return found
