"""Bodies of the Open Inference Protocol, version 2, with the binary tensor extension: read strictly, written exactly.

Nothing here trusts a number of the request before it was compared with the bytes that came.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from steelyard.domain.jsontext import check_depth, decode_json
from steelyard.errors import InputError

Array = NDArray[Any]

DTYPES: Final[Mapping[str, np.dtype[Any]]] = MappingProxyType(
    {
        "BOOL": np.dtype("?"),
        "UINT8": np.dtype("<u1"),
        "UINT16": np.dtype("<u2"),
        "UINT32": np.dtype("<u4"),
        "UINT64": np.dtype("<u8"),
        "INT8": np.dtype("<i1"),
        "INT16": np.dtype("<i2"),
        "INT32": np.dtype("<i4"),
        "INT64": np.dtype("<i8"),
        "FP16": np.dtype("<f2"),
        "FP32": np.dtype("<f4"),
        "FP64": np.dtype("<f8"),
        "BYTES": np.dtype(object),
    }
)
"""Data types of the protocol."""
NAMES: Final[Mapping[np.dtype[Any], str]] = MappingProxyType({kind: name for name, kind in DTYPES.items()})
MAX_TENSORS: Final = 64
MAX_RANK: Final = 16
MAX_ELEMENTS: Final = 1 << 26
_JSON_KINDS: Final = {"b": "b", "u": "iu", "i": "iu", "f": "iuf"}
"""Kinds of numbers that JSON may give, by the kind that is asked for."""


class _Input(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] = {}
    data: Any = None


class _Output(msgspec.Struct):
    name: str
    parameters: dict[str, Any] = {}


class _Request(msgspec.Struct):
    inputs: list[_Input]
    id: str | None = None
    parameters: dict[str, Any] = {}
    outputs: list[_Output] = []


_DECODER: Final = msgspec.json.Decoder(_Request)
_ENCODER: Final = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a call asks.

    Attributes:
        inputs: tensors by name.
        id: what the caller calls it, given back.
        wanted: outputs that are to be answered, and whether in binary form; empty for all.
        binary: whether those that `wanted` says nothing of are in binary form.
    """

    inputs: Mapping[str, Array]
    id: str | None = None
    wanted: Mapping[str, bool] = field(default_factory=dict)
    binary: bool = False


def read_request(body: bytes, *, header: int | None = None) -> Request:
    """Read the body of a call.

    Args:
        body: as it came.
        header: bytes of JSON at its beginning, from ``Inference-Header-Content-Length``; None if all is JSON.

    Raises:
        InputError: it is malformed, or larger than what is allowed.
    """
    if header is not None and not 0 < header <= len(body):
        raise InputError("Inference-Header-Content-Length does not fit the body")
    text = body if header is None else body[:header]
    try:
        check_depth(text)
        found = _DECODER.decode(text)
    except (ValueError, RecursionError) as exc:
        raise InputError(f"the body is no inference request: {exc}") from exc
    rest = memoryview(b"" if header is None else body)[header or 0 :]
    if not 1 <= len(found.inputs) <= MAX_TENSORS or len(found.outputs) > MAX_TENSORS:
        raise InputError(f"a request has 1 to {MAX_TENSORS} inputs, and at most as many outputs")
    inputs: dict[str, Array] = {}
    for item in found.inputs:
        if item.name in inputs:
            raise InputError(f"input {item.name!r} is there twice")
        inputs[item.name], rest = _read_input(item, rest)
    if rest:
        raise InputError(f"{len(rest)} bytes behind the last tensor")
    binary = _flag(found.parameters, "binary_data_output", False)
    wanted = {item.name: _flag(item.parameters, "binary_data", binary) for item in found.outputs}
    return Request(inputs=inputs, id=found.id, wanted=wanted, binary=binary)


def write_answer(
    outputs: Mapping[str, Array], request: Request, *, model: str, version: str
) -> tuple[bytes, int | None]:
    """Return the body of an answer, and how many bytes of it are JSON if binary data follow.

    Args:
        outputs: those that are answered, by name.
        request: of the call.
        model: its name.
        version: its version.

    Raises:
        InputError: an output cannot be written as JSON (half floats, not finite numbers): ask for binary data.
    """
    listed, blobs = [], []
    for name, value in outputs.items():
        kind = NAMES[value.dtype.newbyteorder("<")]
        item: dict[str, object] = {"name": name, "datatype": kind, "shape": list(value.shape)}
        if request.wanted.get(name, request.binary):
            blob = _binary(kind, value)
            item["parameters"] = {"binary_data_size": len(blob)}
            blobs.append(blob)
        else:
            item["data"] = _listed(name, kind, value)
        listed.append(item)
    document: dict[str, object] = {"model_name": model, "model_version": version, "outputs": listed}
    if request.id is not None:
        document["id"] = request.id
    text = _ENCODER.encode(document)
    return (b"".join((text, *blobs)), len(text)) if blobs else (text, None)


def write_request(
    inputs: Mapping[str, Array], *, outputs: Sequence[str] = (), id: str | None = None
) -> tuple[bytes, int]:
    """Return the body of a call with all tensors in binary form, and how many bytes of it are JSON.

    Args:
        inputs: tensors by name.
        outputs: names of those wanted; all if empty.
        id: what to call it.

    Raises:
        InputError: an array has a data type that the protocol does not have.
    """
    listed, blobs = [], []
    for name, value in inputs.items():
        if value.dtype.kind in "US":
            value = value.astype(object)
        kind = NAMES.get(value.dtype.newbyteorder("<"))
        if kind is None:
            raise InputError(f"input {name!r} has data type {value.dtype}, which the protocol does not have")
        blob = _binary(kind, value)
        blobs.append(blob)
        listed.append(
            {
                "name": name,
                "datatype": kind,
                "shape": list(value.shape),
                "parameters": {"binary_data_size": len(blob)},
            }
        )
    document: dict[str, object] = {"inputs": listed, "parameters": {"binary_data_output": True}}
    if outputs:
        document["outputs"] = [{"name": name, "parameters": {"binary_data": True}} for name in outputs]
    if id is not None:
        document["id"] = id
    text = _ENCODER.encode(document)
    return b"".join((text, *blobs)), len(text)


def read_answer(body: bytes, *, header: int | None = None) -> dict[str, Array]:
    """Read the body of an answer: tensors by name.

    Raises:
        InputError: it is malformed.
    """
    end = len(body) if header is None else header
    try:
        document = decode_json(body[:end], dict[str, Any])
        items = [msgspec.convert(item, _Input) for item in document["outputs"]]
    except (ValueError, KeyError, TypeError) as exc:
        raise InputError(f"the answer is no inference response: {exc}") from exc
    rest, found = memoryview(body)[end:], {}
    for item in items:
        found[item.name], rest = _read_input(item, rest)
    if rest:
        raise InputError("bytes behind the last tensor of the answer")
    return found


def elements(shape: Sequence[int]) -> int:
    """Return how many elements a shape has.

    Raises:
        InputError: a dimension is negative, or there are too many elements or dimensions.
    """
    if len(shape) > MAX_RANK or any(not 0 <= size <= MAX_ELEMENTS for size in shape):
        raise InputError(f"shape {list(shape)[:20]} is not allowed")
    count = math.prod(shape)
    if count > MAX_ELEMENTS:
        raise InputError(f"a tensor has at most {MAX_ELEMENTS} elements")
    return count


# -- parts ---------------------------------------------------------------------------------------------------


def _read_input(item: _Input, rest: memoryview) -> tuple[Array, memoryview]:
    kind = DTYPES.get(item.datatype)
    if kind is None:
        raise InputError(f"{item.datatype!r} is no data type of the protocol")
    count = elements(item.shape)
    size = item.parameters.get("binary_data_size")
    if size is None:
        return _from_json(item, kind, count), rest
    if item.data is not None:
        raise InputError(f"{item.name!r} has JSON and binary data")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(rest):
        raise InputError(f"binary_data_size of {item.name!r} does not fit the body")
    blob, rest = rest[:size], rest[size:]
    if kind.hasobject:
        flat: Array = np.array(_split_strings(item.name, blob, count), dtype=object)
    else:
        if size != count * kind.itemsize:
            raise InputError(f"{item.name!r} has {size} bytes, and its shape needs {count * kind.itemsize}")
        flat = np.frombuffer(blob, dtype=kind)
        if kind.kind == "b" and flat.view(np.uint8).max(initial=0) > 1:
            raise InputError(f"{item.name!r} has a byte that is neither false nor true")
    return flat.reshape(item.shape), rest


def _from_json(item: _Input, kind: np.dtype[Any], count: int) -> Array:
    if not isinstance(item.data, list):
        raise InputError(f"{item.name!r} has no data")
    if item.datatype == "FP16":
        raise InputError(f"{item.name!r}: FP16 comes as binary data only")
    if kind.hasobject:
        flat = list(_flat(item.data))
        if len(flat) != count or not all(isinstance(text, str) for text in flat):
            raise InputError(f"{item.name!r} needs {count} strings")
        strings: Array = np.array(flat, dtype=object)
        return strings.reshape(item.shape)
    try:
        read: Array = np.array(item.data)
        if kind.kind == "u" and read.dtype.kind == "f":  # what NumPy makes of numbers on both sides of 2^63
            read = np.array(item.data, dtype=object)
            if not all(type(number) is int for number in read.flat):
                raise InputError(f"{item.name!r} holds something else than {item.datatype}")
        elif read.size and read.dtype.kind not in _JSON_KINDS[kind.kind]:
            raise InputError(f"{item.name!r} holds something else than {item.datatype}")
        if kind.kind in "iu" and read.size:
            bounds = np.iinfo(kind)
            if int(read.min()) < bounds.min or int(read.max()) > bounds.max:
                raise InputError(f"{item.name!r} holds a number that {item.datatype} does not")
        with np.errstate(over="ignore"):
            return read.astype(kind).reshape(item.shape)
    except (ValueError, OverflowError, TypeError) as exc:
        raise InputError(f"the data of {item.name!r} do not have shape {item.shape}") from exc


def _flat(value: object, depth: int = 0) -> Iterable[object]:
    if not isinstance(value, list):
        yield value
    elif depth > MAX_RANK:
        raise InputError(f"lists in more than {MAX_RANK} lists")
    else:
        for part in value:
            yield from _flat(part, depth + 1)


def _split_strings(name: str, blob: memoryview, count: int) -> list[str]:
    found: list[str] = []
    at = 0
    while at < len(blob):
        if len(blob) - at < 4 or len(found) == count:
            break
        (size,) = struct.unpack_from("<I", blob, at)
        if size > len(blob) - at - 4:
            break
        try:
            found.append(str(blob[at + 4 : at + 4 + size], "utf-8"))
        except UnicodeDecodeError as exc:
            raise InputError(f"{name!r} holds a string that is not UTF-8") from exc
        at += 4 + size
    if at != len(blob) or len(found) != count:
        raise InputError(f"the strings of {name!r} do not fit its shape")
    return found


def _binary(kind: str, value: Array) -> bytes:
    if kind != "BYTES":
        return np.ascontiguousarray(value, dtype=DTYPES[kind]).tobytes()
    parts = []
    for item in value.ravel():
        data = item if isinstance(item, bytes) else str(item).encode()
        parts.append(struct.pack("<I", len(data)) + data)
    return b"".join(parts)


def _listed(name: str, kind: str, value: Array) -> list[Any]:
    if kind == "FP16" or (value.dtype.kind == "f" and not bool(np.isfinite(value).all())):
        raise InputError(f"output {name!r} cannot be written as JSON: ask for binary_data")
    return list(value.ravel().tolist())


def _flag(parameters: Mapping[str, Any], name: str, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise InputError(f"parameter {name} is true or false")
    return value
