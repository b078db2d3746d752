"""FlatBuffers: tables with fields at places of their own, read in any order and without a schema. Source: flatbuffers.dev, "Internals"."""

from __future__ import annotations

from steelyard.formats.window import Window


def number(window: Window, place: int, size: int, *, signed: bool = False) -> int:
    """Return an integer, least byte first; 0 where there is none."""
    if not 0 < place <= window.size - size:
        return 0
    return int.from_bytes(window.at(place, size), "little", signed=signed)


def follow(window: Window, place: int) -> int:
    """Return the place that an offset leads to, or 0 if it leads nowhere."""
    offset = number(window, place, 4)
    return place + offset if offset and place + offset < window.size else 0


def field(window: Window, table: int, index: int) -> int:
    """Return the place of a table's field, or 0 if the table, or its field, is not there."""
    shape = table - number(window, table, 4, signed=True)
    if shape == table or 4 + 2 * index + 2 > number(window, shape, 2):
        return 0
    offset = number(window, shape + 4 + 2 * index, 2)
    return table + offset if offset and table + offset < window.size else 0
