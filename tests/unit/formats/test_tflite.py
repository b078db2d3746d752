"""TensorFlow Lite: what a model takes from TensorFlow, wherever that stands."""

from __future__ import annotations

import struct

import pytest

from steelyard.errors import FormatError
from steelyard.formats.inspect import look
from steelyard.formats.report import FormatReport
from steelyard.formats.window import Memory, Window


class Flat:
    """Writes a FlatBuffer from front to back."""

    def __init__(self) -> None:
        self.data = bytearray(b"\0\0\0\0TFL3")

    def put(self, raw: bytes) -> int:
        self.data += bytes(-len(self.data) % 4) + raw
        return len(self.data) - len(raw)

    def table(self, **sizes: int) -> dict[int, int]:
        """Put a table; return the places of its fields, which are named `_5=4`, and its own under -1."""
        fields = {int(name[1:]): size for name, size in sizes.items()}
        shape, place = [0] * (max(fields) + 1), 4
        found = {}
        for index, size in fields.items():
            shape[index], place = place, place + size
        at = self.put(struct.pack(f"<HH{len(shape)}H", 4 + 2 * len(shape), place, *shape))
        table = self.put(bytes(place))
        self.data[table : table + 4] = struct.pack("<i", table - at)
        for index in fields:
            found[index] = table + shape[index]
        return found | {-1: table}

    def set(self, at: int, value: int, size: int = 4) -> None:
        self.data[at : at + size] = value.to_bytes(size, "little")

    def point(self, at: int, target: int) -> None:
        self.set(at, target - at)

    def tables(self, at: int, **sizes: int) -> dict[int, int]:
        """Put a list of one table behind a field."""
        start = self.put(struct.pack("<II", 1, 0))
        self.point(at, start)
        found = self.table(**sizes)
        self.point(start + 4, found[-1])
        return found

    def text(self, at: int, raw: bytes) -> int:
        place = self.put(struct.pack("<I", len(raw)) + raw)
        self.point(at, place)
        return place


def model(name: bytes, options: bytes = b"", large: bytes = b"") -> Flat:
    flat = Flat()
    root = flat.table(_1=4, _2=4)
    flat.set(0, root[-1])
    flat.text(flat.tables(root[1], _1=4)[1], name)
    graph = flat.tables(root[2], _3=4)
    use = flat.tables(graph[3], _5=4, _9=8, _10=8)
    flat.text(use[5], options)
    if large:
        flat.set(use[9], len(flat.data), 8)
        flat.set(use[10], len(large), 8)
        flat.data += large
    return flat


def read(flat: Flat) -> FormatReport:
    return look(Window(Memory(bytes(flat.data)), len(flat.data)))


@pytest.mark.parametrize(
    "name", [b"FlexWriteFile", b"FlexRelu", b"Flex", b"FlexRelu\0x", b"Flex" + b"a" * 200]
)
def test_the_options_say_what_it_is_and_not_the_name(name: bytes) -> None:
    assert read(model(name)).code is None
    assert read(model(name, b"..\x12\x08ReadFile..")).declared == "tflite+code"
    assert "CSVDatasetV2" in (read(model(name, large=b"..CSVDatasetV2")).code or "")


def test_operators_of_others_may_have_any_options() -> None:
    found = read(model(b"Mine\0Flex", b"ReadFile"))
    assert found.code is None and found.notes == ("operators that are not built in: Mine",)


def test_a_name_on_the_border_of_what_is_read_at_a_time_is_found() -> None:
    for place in range((1 << 20) - 140, (1 << 20) + 10, 5):
        assert read(model(b"Flex", large=bytes(place) + b"ReadFile" + bytes(200))).code


def test_what_is_not_there_is_refused() -> None:
    flat = model(b"Flex", b"options")
    flat.set(flat.data.index(b"options") - 4, 1 << 31)
    with pytest.raises(FormatError, match="outside of"):
        read(flat)
    flat = model(b"Flex", large=b"options")
    flat.data = flat.data[:-1]
    with pytest.raises(FormatError, match="outside of"):
        read(flat)
    flat = model(b"Flex")
    flat.set(flat.data.index(struct.pack("<I", 1)), 1 << 30)
    with pytest.raises(FormatError, match="1073741824 tables"):
        read(flat)


def test_a_model_without_anything_is_read() -> None:
    flat = Flat()
    flat.set(0, flat.table(_0=4)[-1])
    assert read(flat) == FormatReport(format="tflite")
