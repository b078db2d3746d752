"""Protocol Buffers on the wire: fields one after the other, without a schema and without copies of what is skipped.

Source: protobuf.dev, "Encoding". Groups are gone over: neither ONNX nor TensorFlow has any, and readers skip what they do not know.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

from steelyard.errors import FormatError
from steelyard.formats.window import Cursor, Window, text_of

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
_GROUP: Final = 3
_END: Final = 4
FIXED32: Final = 5
MAX_DEPTH: Final = 32
"""Deepest message within a message that is followed."""
_MAX_FIELD: Final = (1 << 29) - 1
_LONGEST: Final = 17
_MAX_IN_GROUP: Final = 1000
# Runs of one small repeated number, which older files hold by the million: a tag, and a value of its kind.
_VALUES: Final = {
    VARINT: rb"[\x80-\xff]{0,9}[\x00-\x7f]",
    FIXED32: b".{4}",
    FIXED64: b".{8}",
    BYTES: b"(?:" + b"|".join(re.escape(bytes([size])) + b".{%d}" % size for size in range(16)) + b")",
}


@dataclass(frozen=True, slots=True)
class Field:
    """A field: its number, its wire type, and its value, or the place of its bytes."""

    number: int
    kind: int
    value: int
    start: int
    end: int


def fields(
    window: Window, start: int, end: int, *, depth: int = 0, skip_runs: frozenset[int] = frozenset()
) -> Iterator[Field]:
    """Yield the fields between two bytes of a window.

    Args:
        window: the file.
        start: first byte of the message.
        end: byte behind it.
        depth: of the message within others.
        skip_runs: numbers of fields of which only the first in a row is yielded; of fixed numbers that is always so.

    Raises:
        FormatError: they are no message, are nested too deeply, or leave it.
    """
    if depth > MAX_DEPTH:
        raise FormatError(f"its messages are nested deeper than {MAX_DEPTH} levels")
    cursor = Cursor(window, start, end)
    while cursor.left:
        window.step()
        tag = cursor.varint()
        number, kind = tag >> 3, tag & 7
        if not 1 <= number <= _MAX_FIELD:
            raise FormatError(f"a field before byte {cursor.place} has the number {number}")
        if kind == BYTES:
            size = cursor.varint()
            at = cursor.place
            cursor.skip(size)
            yield Field(number, kind, size, at, at + size)
            if number in skip_runs:
                _run(cursor, tag)
        elif kind == VARINT:
            yield Field(number, kind, cursor.varint(), 0, 0)
            if number in skip_runs:
                _run(cursor, tag)
        elif kind in (FIXED32, FIXED64):
            cursor.skip(4 if kind == FIXED32 else 8)
            yield Field(number, kind, 0, 0, 0)
            _run(cursor, tag)
        elif kind == _GROUP:
            _skip_group(cursor, number)
        else:
            raise FormatError(f"a field before byte {cursor.place} has the wire type {kind}")


def _skip_group(cursor: Cursor, number: int) -> None:
    inside, left = [number], _MAX_IN_GROUP
    while inside:
        cursor.window.step()
        left -= 1
        tag = cursor.varint()
        kind = tag & 7
        if left < 0:
            raise FormatError(f"a group before byte {cursor.place} has more than {_MAX_IN_GROUP} fields")
        if kind == _GROUP and len(inside) < MAX_DEPTH:
            inside.append(tag >> 3)
        elif kind == _END and inside.pop() == tag >> 3:
            continue
        elif kind == VARINT:
            cursor.varint()
        elif kind in (BYTES, FIXED32, FIXED64):
            cursor.skip(cursor.varint() if kind == BYTES else 4 if kind == FIXED32 else 8)
        else:
            raise FormatError(f"a group before byte {cursor.place} is none, or is nested too deeply")


def numbers(window: Window, field: Field, most: int) -> list[int]:
    """Return a repeated integer field's values, packed or single.

    Raises:
        FormatError: more than ``most``, or no integers.
    """
    if field.kind == VARINT:
        return [field.value]
    if field.kind != BYTES or field.value > 10 * most:
        raise FormatError(f"field {field.number} is no list of at most {most} integers")
    cursor, found = Cursor(window, field.start, field.end), []
    while cursor.left:
        found.append(cursor.varint())
    if len(found) > most:
        raise FormatError(f"field {field.number} has more than {most} integers")
    return found


def text(window: Window, field: Field, most: int = 65_536) -> str:
    """Return a field's text.

    Raises:
        FormatError: it is no text, or longer than ``most`` bytes.
    """
    if field.kind != BYTES or field.value > most:
        raise FormatError(f"field {field.number} is no text of at most {most} bytes")
    return text_of(window.at(field.start, field.value))


def message(field: Field) -> tuple[int, int]:
    """Return the place of a field's message.

    Raises:
        FormatError: it is none.
    """
    if field.kind != BYTES:
        raise FormatError(f"field {field.number} is no message")
    return field.start, field.end


def _run(cursor: Cursor, tag: int) -> None:
    """Go over a run of small fields of this tag."""
    if tag < 128:
        cursor.skip_all(_pattern(tag), _LONGEST)


@cache
def _pattern(tag: int) -> re.Pattern[bytes]:
    return re.compile(b"(?:" + re.escape(bytes([tag])) + _VALUES[tag & 7] + b")++", re.DOTALL)


def signed(value: int) -> int:
    """Return a varint as the signed 64-bit integer that it stands for."""
    return value - (1 << 64) if value >= 1 << 63 else value
