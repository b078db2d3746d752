"""Keras: ``.keras`` archives, and HDF5 files with a model's configuration. Source: keras/src/saving, Keras 2 and 3."""

from __future__ import annotations

from typing import Final

from steelyard.formats import hdf5, jsons, keras_config
from steelyard.formats.report import FormatReport, shown
from steelyard.formats.window import Window
from steelyard.formats.zips import Archive

_CONFIG: Final = "config.json"
_METADATA: Final = "metadata.json"
_WEIGHTS: Final = "model.weights.h5"
_CONFIGS: Final = ("model_config", "training_config")


def is_read(name: str) -> bool:
    """Whether :func:`read_archive` reads a file of the archive."""
    return name in (_CONFIG, _METADATA, _WEIGHTS)


def read_archive(archive: Archive) -> FormatReport | None:
    """Read configuration and weights of a ``.keras`` file; None if it has no configuration of Keras.

    Raises:
        FormatError: one of them is damaged, too large, or refers to other files.
    """
    if _CONFIG not in archive.entries:
        return None
    config = _parsed(archive.read(_CONFIG, keras_config.MAX_CONFIG))
    # Keras loads the configuration before it asks for anything else.
    if _METADATA not in archive.entries and not keras_config.is_config(config):
        return None
    metadata = (
        jsons.parse(archive.read(_METADATA, 1 << 20), "the metadata")
        if _METADATA in archive.entries
        else None
    )
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    weights = archive.open(_WEIGHTS)
    found = hdf5.walk(weights) if weights is not None else hdf5.Content()
    notes = list(found.notes)
    if weights is None and _WEIGHTS in archive.entries:
        notes.append("its weights are compressed and not read")
    return FormatReport(
        format="keras",
        code=keras_config.code_of(config) or found.why,
        tensors=tuple(found.tensors),
        count=found.count,
        parameters=found.parameters if weights is not None else None,
        versions=(("keras", shown(version)[:40]),) if isinstance(version, str) else (),
        notes=tuple(notes),
    )


def read_hdf5(window: Window) -> FormatReport:
    """Read an HDF5 file; a model if it has a configuration.

    Raises:
        FormatError: as of :func:`steelyard.formats.hdf5.walk`.
    """
    found = hdf5.walk(window)
    config = found.attributes.get("model_config")
    code = keras_config.code_of(
        [_parsed(found.attributes[name]) for name in _CONFIGS if name in found.attributes]
    )
    version = found.attributes.get("keras_version", b"").decode("ascii", "replace")
    code = code or found.why
    if found.hidden and not code:
        code = (
            "its attributes cannot be read here, and may be pickles, or describe layers that hold Python code"
        )
    return FormatReport(
        format="hdf5" if config is None else "keras-hdf5",
        code=code,
        tensors=tuple(found.tensors),
        count=found.count,
        parameters=found.parameters,
        versions=(("keras", version[:40]),) if version else (),
        notes=tuple(found.notes),
    )


def _parsed(raw: bytes) -> object:
    return jsons.parse(raw, "the configuration")
