"""safetensors: a JSON header with the place of every tensor, then their bytes. Source: the format's README, version 0.4."""

from __future__ import annotations

import struct
from typing import Final

from steelyard.errors import FormatError
from steelyard.formats import jsons
from steelyard.formats.report import MAX_LISTED, MAX_TENSORS, FormatReport, Tensor, elements, shown
from steelyard.formats.window import Window

MAX_HEADER: Final = 16 << 20
"""Most bytes of a header; the format itself allows 100 MB."""
_MAX_DIMENSIONS: Final = 64
_SPARE: Final = 10_000
"""Braces that texts in the metadata may have, and half as many as they may have brackets."""
_BITS: Final = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
    "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}  # fmt: skip


def claims(window: Window, head: bytes) -> bool:
    """Whether a file looks like this: a length that fits, then the brace of a JSON object."""
    if len(head) < 10 or head[8:9] != b"{":
        return False
    follows = head[9:64].lstrip(b" \t\r\n")[:1]
    return struct.unpack("<Q", head[:8])[0] < 1 << 40 and follows in (b'"', b"}")


def read(window: Window) -> FormatReport:
    """Read the header.

    Raises:
        FormatError: it is too large, no JSON, has a key twice, or the tensors do not fill the file without gap or
            overlap.
    """
    size = int.from_bytes(window.at(0, 8), "little")
    if size > MAX_HEADER or size > window.size - 8:
        raise FormatError(
            f"a header of {size} bytes is declared, in {window.size} bytes; the most is {MAX_HEADER}"
        )
    raw = window.at(8, size)
    window.step(raw.count(b","))
    most = MAX_TENSORS + _SPARE  # before anything is made of them
    if raw.count(b"{") > most or raw.count(b"[") > 2 * most:
        raise FormatError(f"it has more than {MAX_TENSORS} tensors")
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise FormatError("the header is no JSON: it is not UTF-8") from exc
    hooks = {"parse_float": _refuse, "parse_constant": _refuse, "parse_int": _integer}
    top = jsons.parse(raw, "the header", most=10 * MAX_TENSORS, **hooks)
    if not isinstance(top, dict):
        raise FormatError("the header is no JSON object")
    metadata = top.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(item, str) for item in metadata.values()):
        raise FormatError("__metadata__ is no table of texts")
    if len(top) > MAX_TENSORS:
        raise FormatError(f"it has more than {MAX_TENSORS} tensors")
    places = sorted(_tensor(name, entry) for name, entry in top.items())
    end = 0
    for start, stop, name, _, _ in places:
        if start != end:
            raise FormatError(
                f"tensor {name[:80]!a} starts at byte {start} of the data, and the one before it ends at {end}"
            )
        end = stop
    if end != window.size - 8 - size:
        raise FormatError(f"the tensors end at byte {end} of the data, and it has {window.size - 8 - size}")
    form = metadata.get("format")
    return FormatReport(
        format="safetensors",
        tensors=tuple(Tensor(name=shown(n), dtype=d, shape=s) for _, _, n, d, s in places[:MAX_LISTED]),
        count=len(places),
        parameters=sum(elements(shape) for *_, shape in places),
        versions=(("framework", form[:32]),) if form else (),
    )


def _tensor(name: str, entry: object) -> tuple[int, int, str, str, tuple[int, ...]]:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise FormatError(f"tensor {name[:80]!a} has not exactly dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _BITS:
        raise FormatError(f"tensor {name[:80]!a} has the unknown dtype {str(dtype)[:40]!a}")
    if not _sizes(shape) or len(shape) > _MAX_DIMENSIONS or not _sizes(offsets) or len(offsets) != 2:
        raise FormatError(f"tensor {name[:80]!a} has no valid shape or offsets")
    start, stop = offsets
    bits = elements(shape) * _BITS[dtype]
    if stop < start or bits % 8 or stop - start != bits // 8:
        raise FormatError(
            f"tensor {name[:80]!a} needs {bits // 8} bytes, and its offsets are {start} and {stop}"
        )
    return start, stop, name, dtype.lower(), tuple(shape)


def _sizes(value: object) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 1 << 62 for item in value)


def _refuse(text: str) -> object:
    raise ValueError(f"{text[:20]} is no integer")


def _integer(text: str) -> int:
    if len(text) > 20:
        raise ValueError("an integer is too long")
    return int(text)
