"""FlatBuffers: what is not there has no place."""

from __future__ import annotations

from steelyard.formats.flatbuffers import field, follow, number
from steelyard.formats.window import Memory, Window

# An offset, a list of places of 8 bytes whose second field is not there, a table of 8 bytes, and a list behind it.
DATA = b"\x0c\0\0\0" + b"\x08\0\x08\0\0\0\x04\0" + b"\x08\0\0\0" + b"\x2a\0\0\0"
WINDOW = Window(Memory(DATA), len(DATA))


def test_fields_are_found_where_the_table_says() -> None:
    assert field(WINDOW, 12, 1) == 16 and number(WINDOW, 16, 4) == 42


def test_what_is_not_there_has_no_place() -> None:
    assert field(WINDOW, 12, 0) == 0, "a field without a place"
    assert field(WINDOW, 12, 2) == 0, "a field that the table does not know"
    assert field(WINDOW, 0, 1) == 0 == field(WINDOW, 999, 1), "no table"
    assert number(WINDOW, 17, 4) == 0 == number(WINDOW, -4, 4) == number(WINDOW, 0, 4)
    assert number(WINDOW, 16, 4) == 42 == number(WINDOW, 16, 1)


def test_offsets_are_from_where_they_stand() -> None:
    assert follow(WINDOW, 12) == 20 and follow(WINDOW, 0) == 0


def test_signs() -> None:
    window = Window(Memory(b"\0\xff\xff"), 3)
    assert number(window, 1, 2, signed=True) == -1 and number(window, 1, 2) == 0xFFFF
