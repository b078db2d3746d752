"""FlatBuffers: tables with fields at places of their own, read in any order and without a schema. Source: flatbuffers.dev, "Internals"."""

from __future__ import annotations

from steelyard.formats.window import Window


def number(window: Window, place: int, size: int, *, signed: bool = False) -> int:
    """Return an integer, least byte first; 0 where there is none."""
    if not 0 < place <= window.size - size:
        return 0
    return int.from_bytes(window.at(place, size), "little", signed=signed)


def follow(window: Window, place: int) -> int:
    """Return the place that an offset leads to, within the file or not; 0 from 0."""
    return place + number(window, place, 4)


def field(window: Window, table: int, index: int) -> int:
    """Return the place of a table's field, within the file or not; 0 if the table, or its field, is not there."""
    shape = table - number(window, table, 4, signed=True)
    offset = number(window, shape + 4 + 2 * index, 2) if 4 + 2 * index < number(window, shape, 2) else 0
    return table + offset if offset else 0
