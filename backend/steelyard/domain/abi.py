"""The Solidity ABI, as far as Steelyard's contracts use it.

Types are written as in a function signature: ``uint256``, ``address``, ``bytes32``, ``bytes``, ``string``,
``bool``, arrays ``T[]`` and ``T[n]``, tuples ``(T,U)``. Values: ``int`` for integers, ``bytes`` for
``bytesN`` and ``bytes``, ``bool``, ``str``; an address is its 20 bytes; arrays and tuples are tuples (lists
are accepted). Source: Solidity documentation, "Contract ABI Specification".

Why not ``eth_abi``: importing it takes 1.2 s, more than a whole ``steelyard info`` may.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from steelyard.domain.hash import keccak256
from steelyard.errors import InputError, VerificationError

Value = int | bool | bytes | str | tuple["Value", ...]

_ARRAY = re.compile(r"^(.*)\[(\d*)\]$")
_WORD = 32


def selector(signature: str) -> bytes:
    """Return the 4-byte selector of a function or error, by a signature such as ``move(bytes32,uint128)``."""
    return keccak256(signature.encode())[:4]


def topic(signature: str) -> bytes:
    """Return the 32-byte topic of an event signature."""
    return keccak256(signature.encode())


@lru_cache(maxsize=1024)
def split_types(inner: str) -> tuple[str, ...]:
    """Split a comma-separated list of types at its top level: ``"uint8,(a,b)[]"`` gives two."""
    parts: list[str] = []
    depth = start = 0
    for i, char in enumerate(inner):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append(inner[start:i])
            start = i + 1
    if inner:
        parts.append(inner[start:])
    return tuple(parts)


@lru_cache(maxsize=1024)
def _shape(kind: str) -> tuple[str, tuple[str, ...], int]:
    """Return (category, component types, fixed length or -1) of a type."""
    if match := _ARRAY.match(kind):
        return "array", (match[1],), int(match[2]) if match[2] else -1
    if kind.startswith("("):
        return "tuple", split_types(kind[1:-1]), -1
    return "basic", (), -1


@lru_cache(maxsize=1024)
def _is_dynamic(kind: str) -> bool:
    category, parts, length = _shape(kind)
    if category == "array":
        return length < 0 or _is_dynamic(parts[0])
    if category == "tuple":
        return any(_is_dynamic(part) for part in parts)
    return kind in ("bytes", "string")


@lru_cache(maxsize=1024)
def _head_size(kind: str) -> int:
    category, parts, length = _shape(kind)
    if _is_dynamic(kind) or category == "basic":
        return _WORD
    if category == "array":
        return length * _head_size(parts[0])
    return sum(_head_size(part) for part in parts)


def encode(types: Sequence[str], values: Sequence[Value]) -> bytes:
    """Encode ``values`` as ``abi.encode`` would.

    Raises:
        InputError: the values do not fit their types.
    """
    if len(types) != len(values):
        raise InputError(f"{len(values)} values for {len(types)} types {tuple(types)}")
    head, tail = [], []
    size = sum(_head_size(kind) for kind in types)
    for kind, value in zip(types, values, strict=True):
        body = _encode_one(kind, value)
        if _is_dynamic(kind):
            head.append(size.to_bytes(_WORD, "big"))
            tail.append(body)
            size += len(body)
        else:
            head.append(body)
    return b"".join(head + tail)


def _encode_one(kind: str, value: Value) -> bytes:
    category, parts, length = _shape(kind)
    if category == "basic":
        return _encode_basic(kind, value)
    if not isinstance(value, tuple | list):
        raise InputError(f"{kind} needs a tuple, not {type(value).__name__}")
    if category == "tuple":
        return encode(parts, value)
    if length >= 0 and len(value) != length:
        raise InputError(f"{kind} needs {length} items, not {len(value)}")
    body = encode(parts * len(value), value)
    return body if length >= 0 else len(value).to_bytes(_WORD, "big") + body


def _encode_basic(kind: str, value: Value) -> bytes:
    if kind == "string" and isinstance(value, str):
        value, kind = value.encode(), "bytes"
    if kind == "bytes" and isinstance(value, bytes):
        return len(value).to_bytes(_WORD, "big") + value + bytes(-len(value) % _WORD)
    if kind == "bool" and isinstance(value, bool):
        return int(value).to_bytes(_WORD, "big")
    if kind == "address" and isinstance(value, bytes) and len(value) == 20:
        return bytes(12) + value
    if (
        kind.startswith("bytes")
        and isinstance(value, bytes)
        and kind != "bytes"
        and len(value) == int(kind[5:])
    ):
        return value + bytes(_WORD - len(value))
    if kind.startswith("uint") and isinstance(value, int) and 0 <= value < 1 << int(kind[4:]):
        return int(value).to_bytes(_WORD, "big")
    shown = value if isinstance(value, int) else type(value).__name__
    raise InputError(f"{kind} cannot hold {shown}")


def decode(types: Sequence[str], data: bytes) -> tuple[Value, ...]:
    """Decode what ``abi.encode`` made of the given types.

    Strict: dirty padding and values out of range are refused.

    Raises:
        VerificationError: the data is not an encoding of these types.
    """
    values, at = [], 0
    for kind in types:
        if _is_dynamic(kind):
            start = _uint(data, at)
            values.append(_decode_one(kind, data[start:]))
        else:
            values.append(_decode_one(kind, data[at : at + _head_size(kind)]))
        at += _head_size(kind)
    return tuple(values)


def _decode_one(kind: str, data: bytes) -> Value:
    category, parts, length = _shape(kind)
    if category == "tuple":
        return decode(parts, data)
    if category == "array":
        if length < 0:
            length, data = _uint(data, 0), data[_WORD:]
        # Before anything is allocated: each item takes at least its head.
        if length * _head_size(parts[0]) > len(data):
            raise VerificationError(f"ABI data is too short for {kind} of {length} items")
        return decode(parts * length, data)
    return _decode_basic(kind, data)


def _decode_basic(kind: str, data: bytes) -> Value:
    if kind in ("bytes", "string"):
        length = _uint(data, 0)
        body = data[_WORD : _WORD + length]
        if len(body) != length:
            raise VerificationError(f"ABI data is too short for {kind} of {length} bytes")
        return body if kind == "bytes" else body.decode("utf-8", "replace")
    number = _uint(data, 0)
    if kind == "bool" and number < 2:
        return number == 1
    if kind == "address" and number < 1 << 160:
        return number.to_bytes(20, "big")
    if kind.startswith("uint") and number < 1 << int(kind[4:]):
        return number
    if kind.startswith("bytes"):
        size = int(kind[5:])
        if not any(data[size:_WORD]):
            return data[:size]
    raise VerificationError(f"ABI word is no {kind}")


def _uint(data: bytes, at: int) -> int:
    word = data[at : at + _WORD]
    if len(word) != _WORD:
        raise VerificationError("ABI data is cut short")
    return int.from_bytes(word, "big")
