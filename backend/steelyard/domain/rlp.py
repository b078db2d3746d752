"""Recursive Length Prefix, strict: every value has one encoding, and only that one is read.

Source: Ethereum Yellow Paper, appendix B. Items are ``bytes`` or tuples of items; integers are big-endian
without leading zeros, zero is empty.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from steelyard.errors import ProofError

Item: TypeAlias = "bytes | tuple[Item, ...]"

MAX_DEPTH: Final = 16
_SHORT: Final = 55


def encode(item: Item) -> bytes:
    """Return the encoding of an item."""
    if isinstance(item, bytes):
        if len(item) == 1 and item[0] < 0x80:
            return item
        return _prefix(0x80, len(item)) + item
    body = b"".join(encode(part) for part in item)
    return _prefix(0xC0, len(body)) + body


def encode_int(number: int) -> bytes:
    """Return an integer of 0 or more as the bytes of an item: big-endian, no leading zeros."""
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def decode(data: bytes) -> Item:
    """Read the encoding of one item from an untrusted source.

    Raises:
        ProofError: not RLP, not the shortest form, cut short, nested deeper than 16 levels, or bytes follow.
    """
    item, end = _read(data, 0, len(data), 1)
    if end != len(data):
        raise ProofError(f"{len(data) - end} bytes follow an RLP item")
    return item


def decode_list(data: bytes) -> tuple[Item, ...]:
    """Read the encoding of one list; see ``decode``.

    Raises:
        ProofError: as for ``decode``, or the item is no list.
    """
    item = decode(data)
    if isinstance(item, bytes):
        raise ProofError("an RLP list was expected, not a string")
    return item


def string(item: Item) -> bytes:
    """Return an item that must be a string.

    Raises:
        ProofError: it is a list.
    """
    if not isinstance(item, bytes):
        raise ProofError("an RLP string was expected, not a list")
    return item


def integer(item: Item) -> int:
    """Return an item that must be an integer below 2^256.

    Raises:
        ProofError: it is a list, has a leading zero, or is longer than 32 bytes.
    """
    body = string(item)
    if len(body) > 32 or body[:1] == b"\0":
        raise ProofError("an RLP integer has a leading zero or more than 32 bytes")
    return int.from_bytes(body, "big")


def word(item: Item) -> bytes:
    """Return an item that must be a string of 32 bytes.

    Raises:
        ProofError: it is a list or has another length.
    """
    body = string(item)
    if len(body) != 32:
        raise ProofError(f"an RLP string has {len(body)} bytes, not 32")
    return body


def _prefix(base: int, length: int) -> bytes:
    if length <= _SHORT:
        return bytes([base + length])
    size = encode_int(length)
    return bytes([base + _SHORT + len(size)]) + size


def _read(data: bytes, at: int, end: int, depth: int) -> tuple[Item, int]:
    """Read one item of ``data[at:end]``; returns it and where it ends."""
    if depth > MAX_DEPTH:
        raise ProofError(f"RLP is nested deeper than {MAX_DEPTH} levels")
    if at >= end:
        raise ProofError("RLP is cut short")
    first = data[at]
    if first < 0x80:
        return data[at : at + 1], at + 1
    is_list = first >= 0xC0
    length, start = _length(data, at, end, first - (0xC0 if is_list else 0x80))
    stop = start + length
    if stop > end:
        raise ProofError("RLP is cut short")
    if not is_list:
        body = data[start:stop]
        if length == 1 and body[0] < 0x80:
            raise ProofError("RLP is not in its shortest form")
        return body, stop
    items: list[Item] = []
    while start < stop:
        item, start = _read(data, start, stop, depth + 1)
        items.append(item)
    return tuple(items), stop


def _length(data: bytes, at: int, end: int, code: int) -> tuple[int, int]:
    """Return the length of a body and where it starts; ``code`` is the first byte less its base."""
    if code <= _SHORT:
        return code, at + 1
    start = at + 1 + code - _SHORT
    size = data[at + 1 : start]
    if start > end:
        raise ProofError("RLP is cut short")
    length = int.from_bytes(size, "big")
    if size[0] == 0 or length <= _SHORT:
        raise ProofError("RLP is not in its shortest form")
    return length, start
