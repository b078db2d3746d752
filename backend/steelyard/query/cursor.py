"""Cursors: where a page ended, as a short text that means something for the same question only.

Layout before base64url: one byte version, 8 bytes digest of the question, then each part of the key: ``i`` and 8 bytes
(signed integer), or ``b``, one byte length and bytes. A cursor names a row and is no secret: a forged one only begins
elsewhere in the same list.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Final, Protocol, TypeAlias, TypeVar

from steelyard.errors import InputError

Key: TypeAlias = tuple[int | bytes, ...]
R = TypeVar("R")


class Limited(Protocol):
    """A question whose answers come in pages."""

    @property
    def limit(self) -> int:
        """Most rows of a page."""


_VERSION: Final = b"\x02"
_DIGEST: Final = 8
_MAX: Final = 400
_APART: Final = frozenset(("cursor", "limit"))
_WRONG: Final = "that is no cursor of this question: take `next` of the page before, and change nothing else"


def make(question: object, key: Key) -> str:
    """Return the cursor of a question after the row with a key; its integers are below 2^63, bytes at most 255."""
    parts = [_VERSION, _digest(question)]
    for item in key:
        if isinstance(item, int):
            parts.append(b"i" + item.to_bytes(8, "big", signed=True))
        else:
            parts.append(b"b" + bytes((len(item),)) + item)
    return base64.urlsafe_b64encode(b"".join(parts)).rstrip(b"=").decode()


def cut(question: Limited, rows: list[R], key: Callable[[R], Key]) -> str | None:
    """Drop the row that was asked for beyond the limit, and return the cursor of the page that begins with it; None if there is none.

    Args:
        question: the question.
        rows: of the page, one more than its limit if there are more.
        key: of a row, what the next page begins after.
    """
    if len(rows) <= question.limit:
        return None
    rows.pop()
    return make(question, key(rows[-1]))


def read(question: object, cursor: str, shape: Sequence[type]) -> Key:
    """Return the key in a cursor.

    Args:
        question: the question; all but its cursor and limit must be what they were.
        cursor: of the page before.
        shape: ``int`` or ``bytes`` for each part of the key.

    Raises:
        InputError: malformed, of another question, or of another version of this package.
    """
    if len(cursor) > _MAX or not cursor.isascii():
        raise InputError(_WRONG)
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as exc:
        raise InputError(_WRONG) from exc
    start = 1 + _DIGEST
    if data[:1] != _VERSION or data[1:start] != _digest(question):
        raise InputError(_WRONG)
    key: list[int | bytes] = []
    while start < len(data):
        tag, start = data[start : start + 1], start + 1
        size = 8 if tag == b"i" else data[start] if tag == b"b" and start < len(data) else -1
        start += tag == b"b"
        part, start = data[start : start + max(size, 0)], start + max(size, 0)
        if size < 0 or len(part) != size:
            raise InputError(_WRONG)
        key.append(int.from_bytes(part, "big", signed=True) if tag == b"i" else part)
    if [type(item) for item in key] != list(shape):
        raise InputError(_WRONG)
    return tuple(key)


def _digest(question: object) -> bytes:
    """Return 8 bytes that another question, or another value of a filter, does not have."""
    kind: type = type(question)
    return hashlib.sha256(repr((kind.__name__, _filters(kind)(question))).encode()).digest()[:_DIGEST]


@lru_cache
def _filters(kind: type) -> Callable[[object], object]:
    assert dataclasses.is_dataclass(kind)
    return attrgetter(*(item.name for item in dataclasses.fields(kind) if item.name not in _APART))
