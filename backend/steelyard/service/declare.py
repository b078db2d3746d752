"""What the files of a version are, by their content: declared by the seller's client, compared by the buyer's."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from steelyard.domain.manifest import FileEntry, Manifest
from steelyard.errors import CodeError, FormatError
from steelyard.formats.inspect import inspect
from steelyard.formats.report import FormatReport, runs_code
from steelyard.service.source import File, Input

_WEIGHTS: Final = frozenset(
    {"safetensors", "onnx", "gguf", "pytorch", "torchscript", "keras", "keras-hdf5", "hdf5", "skops", "joblib", "pickle",
     "tf-savedmodel", "tf-checkpoint-index", "tflite", "npz"}
)  # fmt: skip
_DATA: Final = frozenset({"npy", "parquet", "arrow", "csv", "tsv", "jsonl", "tar", "zip", "sqlite"})
_NAMED: Final = 5


@dataclass(frozen=True, kw_only=True)
class Declared:
    """The files to seal, with the formats that their content has, and what was read of each, in the same order."""

    source: Input
    reports: tuple[FormatReport, ...]


def declare(source: Input, *, allow_code: bool) -> Declared:
    """Look into every file of a folder, and declare its format.

    Args:
        source: the files.
        allow_code: take files that run code when they are loaded; they are declared so for ever.

    Raises:
        FormatError: a file is damaged, hostile, or valid as two formats, or needs a file that is not in the folder.
        CodeError: a file runs code when it is loaded, and this is not allowed.
    """
    reports = tuple(
        look_into(place, name=file.path) for file, place in zip(source.files, source.places, strict=True)
    )
    sizes = {file.path: file.size for file in source.files}
    code: list[str] = []
    for file, report in zip(source.files, reports, strict=True):
        _check_external(file.path, report, sizes)
        if report.code is not None:
            code.append(f"{file.path!a} ({report.format}): {report.code}")
    if code and not allow_code:
        more = f"; and {len(code) - _NAMED} more files" if len(code) > _NAMED else ""
        raise CodeError(
            f"loading runs code: {'; '.join(code[:_NAMED])}{more}. Convert it to safetensors, ONNX, GGUF or skops, or "
            "allow it (--allow-code): buyers are then warned for ever"
        )
    files = tuple(
        replace(file, format=report.declared, role=_role(report, file.role))
        for file, report in zip(source.files, reports, strict=True)
    )
    return Declared(source=replace(source, files=files), reports=reports)


def look_into(place: Path, *, name: str) -> FormatReport:
    """Return what a file is.

    Raises:
        FormatError: it is damaged, hostile, or valid as two formats; the message names it.
        InputError: it cannot be read.
    """
    try:
        with File(place) as file:
            return inspect(file, os.fstat(file.fileno()).st_size, name=name)
    except FormatError as exc:
        raise FormatError(f"{name!a}: {exc}") from exc


def compare(places: Mapping[str, Path], wanted: Sequence[FileEntry], *, allow_code: bool) -> tuple[str, ...]:
    """Compare the content of files that were bought with what the manifest declares.

    Args:
        places: where they are, by their paths.
        wanted: their entries.
        allow_code: take also what runs code without having been declared so, or is damaged or two things at once.

    Returns:
        A warning for each file that is not what was declared, or that runs code.

    Raises:
        CodeError: one of them may harm who loads it, though the manifest did not say so.
    """
    told: list[str] = []
    for entry in wanted:
        try:
            report = look_into(places[entry.path], name=entry.path)
        except FormatError as exc:
            if not allow_code:
                raise CodeError(f"declared as {entry.format}, but {exc}. {_TAKE}") from exc
            told.append(f"declared as {entry.format}, but {exc}")
            continue
        if report.code is not None and not runs_code(entry.format):
            text = f"{entry.path!a} is declared as {entry.format}, and loading it runs code: {report.code}"
            if not allow_code:
                raise CodeError(f"{text}. {_TAKE}")
            told.append(text)
        elif report.declared != entry.format and not _unsaid(report, entry.format):
            told.append(
                f"{entry.path!a} is declared as {entry.format}, and is {report.declared} by its content"
            )
        elif report.code is not None:
            told.append(f"{entry.path!a} runs code when it is loaded: {report.code}")
    return tuple(told)


def code_files(manifest: Manifest) -> tuple[str, ...]:
    """Return the paths of the files that their seller declares to run code when they are loaded."""
    return tuple(entry.path for entry in manifest.files if runs_code(entry.format))


_TAKE: Final = "Nothing was written; --allow-code takes it as it is"


def _unsaid(report: FormatReport, declared: str) -> bool:
    """Whether content says nothing that a name could not have said."""
    return report.format in ("binary", "text") or declared == "text"


def _role(report: FormatReport, named: str) -> str:
    base = report.format.split("+")[0]
    return "weights" if base in _WEIGHTS else "data" if base in _DATA else named


def _check_external(path: str, report: FormatReport, sizes: dict[str, int]) -> None:
    """Check that what a model keeps in other files is in the folder."""
    for external in report.external:
        target = posixpath.join(posixpath.dirname(path), external.path)
        if target not in sizes:
            raise FormatError(
                f"{path!a}: its weights lie in {external.path[:80]!a}, which is not in the folder"
            )
        if sizes[target] < external.end:
            raise FormatError(
                f"{path!a}: its weights end at byte {external.end} of {external.path[:80]!a}, which has {sizes[target]}"
            )
