"""Reports as people read them: lines for a terminal, and the part of a card that shows what is inside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from steelyard.formats.report import FormatReport, Tensor

HEADING: Final = "## Inside the files"
"""Begins the part of a card that a seller lets his files be described by."""
MAX_SHOWN: Final = 50
"""Most tensors that are shown of a file."""


def lines(report: FormatReport) -> Iterator[str]:
    """Yield what a report says, a fact a line, without the format's name."""
    if report.code is not None:
        yield f"RUNS CODE WHEN LOADED: {report.code}"
    if report.parameters:
        yield f"{report.parameters:,} parameters in {report.count:,} tensors"
    elif report.count:
        yield f"{report.count:,} columns" if report.format == "parquet" else f"{report.count:,} tensors"
    if report.versions:
        yield ", ".join(f"{name} {value}" for name, value in report.versions)
    for what, ports in (("input", report.inputs), ("output", report.outputs)):
        for port in ports[:MAX_SHOWN]:
            yield f"{what} {tensor_text(port)}"
    for item in report.tensors[:MAX_SHOWN]:
        yield tensor_text(item)
    if report.count > MAX_SHOWN:
        yield f"and {report.count - min(MAX_SHOWN, len(report.tensors)):,} more"
    for external in report.external[:MAX_SHOWN]:
        yield f"needs {external.path}"
    yield from report.notes


def tensor_text(item: Tensor) -> str:
    """Return name, type and shape: ``layer.weight float32 (3, 4)``."""
    return " ".join(part for part in (item.name, item.dtype, f"({', '.join(map(str, item.shape))})") if part)


def preview(files: Iterable[tuple[str, FormatReport]]) -> str:
    """Return the part of a card that shows what is inside the files, as Markdown without any markup of theirs."""
    parts = [HEADING, "", "Read from their headers when this version was published; the seller's word.", ""]
    for path, report in files:
        found = [f"    {_flat(line)}" for line in lines(report)]
        if found:
            parts += [f"- {_flat(path)}: {report.declared}", "", *found, ""]
    return "\n".join(parts)


def parameters(reports: Sequence[FormatReport]) -> int | None:
    """Return the parameters of all files together; None if none of them says."""
    known = [report.parameters for report in reports if report.parameters]
    return sum(known) if known else None


def library(reports: Sequence[FormatReport]) -> str | None:
    """Return the library that files of these formats are loaded with, as the Hub names it; None if they differ."""
    found = {
        _LIBRARIES[report.format.split("+")[0]]
        for report in reports
        if report.format.split("+")[0] in _LIBRARIES
    }
    return found.pop() if len(found) == 1 else None


def _flat(text: str) -> str:
    """Return one line in which no sign of Markdown or HTML means anything."""
    return "".join(sign if sign.isprintable() and sign not in "<>&`[]" else "?" for sign in text)[:300]


_LIBRARIES: Final = {
    "onnx": "onnx", "gguf": "gguf", "keras": "keras", "keras-hdf5": "keras", "tf-savedmodel": "tensorflow",
    "pytorch": "pytorch", "torchscript": "pytorch", "skops": "sklearn", "joblib": "sklearn", "safetensors": "safetensors",
    "tflite": "tflite",
}  # fmt: skip
