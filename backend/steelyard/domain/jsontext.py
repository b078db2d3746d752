"""JSON from strangers: refused where it is nested so deeply that parsing could end the process."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


class DuplicateKeyError(ValueError):
    """An object of JSON has two members with one name."""


_DEPTH = 64
_REST = 512
"""Brackets that may remain: in strings, or not closed. So few cannot nest too deeply."""
_CHUNK = 256 << 10
_BRACKETS, _MARKS = b"[]{}", b'[]{}"'
_OTHERS = bytes(byte for byte in range(256) if byte not in _BRACKETS)
_NO_MARKS = bytes(byte for byte in range(256) if byte not in _MARKS)


def parse_json(text: bytes, **hooks: Any) -> Any:
    """Parse JSON of an endpoint or a file; ``hooks`` are those of :func:`json.loads`.

    The parser recurses in C. Python's recursion limit stops it in time only while no library has raised that
    limit, and py_ecc, which comes with web3, raises it to 100,000: 200 kB of brackets then crash the process.
    So the depth is looked at first, at about 1 % of the cost of parsing.

    Raises:
        ValueError: it is no JSON, or is nested deeper than anything we read.
    """
    check_depth(text)
    return json.loads(text, **hooks)


def decode_json(text: bytes, kind: type[T]) -> T:
    """Read JSON of a stranger as a type of msgspec's; its parser recurses in C as well.

    Raises:
        msgspec.ValidationError: it is JSON of another type.
        ValueError: it is no JSON, or is nested deeper than anything we read.
    """
    check_depth(text)
    try:
        return msgspec.json.decode(text, type=kind)
    except RecursionError as exc:
        raise ValueError("nested too deeply") from exc


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the members of an object, as ``object_pairs_hook`` of :func:`parse_json`; of two with one name readers take either.

    Raises:
        DuplicateKeyError: a name stands there twice.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        raise DuplicateKeyError("a key stands there twice")
    return found


def check_depth(text: bytes) -> None:
    """Refuse JSON that is nested deeper than anything we read, before a parser that recurses sees it.

    Raises:
        ValueError: it is.
    """
    rest = _pruned(text.translate(None, _OTHERS))
    if len(rest) > _REST and b"\0" not in text:  # vocabularies have many in their words
        rest = _pruned(_outside(text))
    if len(rest) > _REST:
        raise ValueError("nested too deeply")


def _pruned(rest: bytes) -> bytes:
    """Return brackets without the innermost pairs, in as many rounds as anything we read is deep."""
    for _ in range(_DEPTH):
        size = len(rest)
        rest = rest.replace(b"[]", b"").replace(b"{}", b"")
        if len(rest) == size:
            break
    return rest


def _outside(text: bytes) -> bytes:
    """Return the brackets of JSON that stand outside of its strings, as far as a parser comes."""
    marks = text.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _NO_MARKS).replace(b'""', b"")
    found, inside = bytearray(), 0
    for start in range(0, len(marks), _CHUNK):
        parts = marks[start : start + _CHUNK].split(b'"')
        found += b"".join(parts[inside::2])
        inside ^= (len(parts) - 1) & 1
    return bytes(found)
