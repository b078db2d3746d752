"""NumPy: ``.npy`` and archives of them. Source: NumPy Enhancement Proposal 1, format versions 1 to 3."""

from __future__ import annotations

import re
from typing import Final

from steelyard.errors import FormatError
from steelyard.formats.report import MAX_LISTED, FormatReport, Tensor, elements, shown
from steelyard.formats.window import Window
from steelyard.formats.zips import Archive

MAX_HEADER: Final = 64 << 10
MAX_HEAD: Final = 12 + MAX_HEADER
_SMALL: Final = 4096
_MAGIC: Final = b"\x93NUMPY"
_HEADER: Final = re.compile(
    r"\{\s*'descr':\s*(?P<descr>'[^']{1,40}'|\[.*\])\s*,\s*'fortran_order':\s*(?:True|False)\s*,"
    r"\s*'shape':\s*\((?P<shape>[0-9L, ]*)\)\s*,?\s*\}\s*",
    re.DOTALL,
)
_PLAIN: Final = re.compile(r"[<>|=]?(?P<kind>[?bBiufcmMOSUVaT])(?P<size>[0-9]{0,9})(?:\[[^\]]{1,20}\])?")
# Of records: the field's name, then its type, then perhaps a shape. A title before the name is not taken.
_FIELD_TYPE: Final = re.compile(r",\s*'([^']*)'\s*(?=[),])")
_FIELD_NAME: Final = re.compile(r"\(\s*'[^']*'\s*,")
_RECORD: Final = re.compile(r"[^\"\\]*", re.DOTALL)
_NAMES: Final = {"?": "bool", "b": "bool", "i": "int", "B": "uint", "u": "uint", "f": "float", "c": "complex"}
_WHY: Final = "it holds Python objects as a pickle, a program that runs when it is loaded"


def claims(window: Window, head: bytes) -> bool:
    """Whether a file begins with NumPy's magic."""
    return head[:6] == _MAGIC


def read(window: Window) -> FormatReport:
    """Read the header of an array, and of those that follow it in the file.

    Raises:
        FormatError: the header is too large or has another form, or the file has another length than it gives.
    """
    tensors: list[Tensor] = []
    at = 0
    while True:
        window.step()
        tensor, size, start = _array(_begin(window, at))
        tensors.append(tensor)
        if size is None:
            break  # of records and objects the length is not known
        left = window.size - at - start
        at += start + size
        if size == left:
            break
        if size > left or window.at(at, min(left - size, 6)) != _MAGIC:  # numpy.save may add to a file
            raise FormatError(f"the array needs {size} bytes, and it has {left}")
    return FormatReport(
        format="npy",
        code=_WHY if any(tensor.dtype == "object" for tensor in tensors) else None,
        tensors=tuple(tensors[:MAX_LISTED]),
        count=len(tensors),
        parameters=sum(elements(tensor.shape) for tensor in tensors),
    )


def why(window: Window) -> str | None:
    """Return why arrays that stand at the beginning of a file, which may go on, run code when they are loaded, or None.

    Raises:
        FormatError: as of :func:`read`, for their headers.
    """
    at: int | None = 0
    while at is not None and window.size - at > 6 and window.at(at, 6) == _MAGIC:
        tensor, size, start = _array(_begin(window, at))
        if tensor.dtype == "object":
            return _WHY
        at = None if size is None else at + start + size
    return None


def read_archive(archive: Archive) -> FormatReport:
    """Read the headers of all arrays of an ``.npz``.

    Raises:
        FormatError: as :func:`read`.
    """
    tensors: list[Tensor] = []
    objects: list[str] = []
    parameters = 0
    for name, entry in archive.entries.items():
        head = archive.head(name, _SMALL)
        if _length(head) > len(head) == _SMALL:
            head = archive.head(name, min(_length(head), MAX_HEAD))
        tensor, size, start = _array(head, name)
        if size is not None and start + size != entry.size:
            raise FormatError(f"array {name[:80]!a} needs {size} bytes, and it has {entry.size - start}")
        parameters += elements(tensor.shape)
        if tensor.dtype == "object":
            objects.append(name[:80])
        if len(tensors) < MAX_LISTED:
            tensors.append(tensor)
    return FormatReport(
        format="npz",
        code=f"{', '.join(objects)[:200]}: {_WHY}" if objects else None,
        tensors=tuple(tensors),
        count=len(archive.entries),
        parameters=parameters,
    )


def _begin(window: Window, at: int) -> bytes:
    """Return a header, if it is not too long."""
    head = window.at(at, min(window.size - at, 12))
    return window.at(at, min(window.size - at, _length(head), MAX_HEAD))


def _length(head: bytes) -> int:
    """Return how long magic and header are, as it is declared."""
    old = head[6:7] == b"\1"
    return (10 if old else 12) + int.from_bytes(head[8:10] if old else head[8:12], "little")


def _array(head: bytes, name: str = "") -> tuple[Tensor, int | None, int]:
    """Return the array, the bytes that it needs (None: not known), and where they start."""
    if head[:6] != _MAGIC or len(head) < 10 or head[6] not in (1, 2, 3):
        raise FormatError(
            f"{name[:80]!a} is no array of format version 1 to 3"
            if name
            else "it is of no known format version"
        )
    size = int.from_bytes(head[8:10] if head[6] == 1 else head[8:12], "little")
    start = (10 if head[6] == 1 else 12) + size
    if size > MAX_HEADER or start > len(head):
        raise FormatError(
            f"a header of {size} bytes is declared; there are {len(head)}, and the most is {MAX_HEADER}"
        )
    try:
        text = head[start - size : start].decode("utf-8" if head[6] == 3 else "latin-1")
    except UnicodeDecodeError as exc:
        raise FormatError("the header of the array is not UTF-8") from exc
    found = _HEADER.fullmatch(text)
    if found is None:
        raise FormatError("the header of the array has another form than NumPy writes")
    shape = [_size(item) for item in found["shape"].replace("L", "").split(",") if item.strip()]
    if len(shape) > 64:
        raise FormatError("the array has more than 64 dimensions")
    dtype, width = _dtype(found["descr"])
    needed = None if width is None else width * elements(shape)
    return Tensor(name=shown(name.removesuffix(".npy")), dtype=dtype, shape=tuple(shape)), needed, start


def _size(text: str) -> int:
    text = text.strip()
    if not text.isdigit() or len(text) > 19:
        raise FormatError(f"the array has the size {text[:40]!a}")
    return int(text)


def _dtype(descr: str) -> tuple[str, int | None]:
    """Return a name, and bytes of one element where they are known; of records only that they are some."""
    if descr.startswith("["):
        return _record(descr), None
    found = _PLAIN.fullmatch(descr[1:-1])
    if found is None:
        raise FormatError(f"the array has the unknown type {descr[:40]!a}")
    kind, size = found["kind"], int(found["size"] or 1)
    if kind == "O":
        return "object", None
    if kind == "U":
        return f"str{size}", 4 * size
    if kind in "mM":
        return "datetime", 8
    if kind == "T":
        return "text", None
    name = _NAMES.get(kind)
    return (name if name == "bool" else f"{name}{8 * size}") if name else f"bytes{size}", size


def _record(descr: str) -> str:
    """Return ``record``, or ``object`` if one of the fields is."""
    types = _FIELD_TYPE.findall(descr)
    if (
        not types
        or not _RECORD.fullmatch(descr)
        or descr.count("'") != 2 * (len(types) + len(_FIELD_NAME.findall(descr)))
    ):
        raise FormatError("the array has records of a form that is not read")
    kinds = set()
    for item in types:
        found = _PLAIN.fullmatch(item)
        if found is None:
            raise FormatError(f"the array has a field of the unknown type {item[:40]!a}")
        kinds.add(found["kind"])
    return "object" if "O" in kinds else "record"
