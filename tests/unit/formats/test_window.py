from __future__ import annotations

import re
import tracemalloc

import pytest

from steelyard.errors import FormatError
from steelyard.formats.inspect import look
from steelyard.formats.window import MAX_NESTING, Cursor, Memory, Window
from tests.hostile.cases import onnx, pb, zipped


def window(data: bytes, **limits: int) -> Window:
    return Window(Memory(data), len(data), **limits)


def test_nothing_is_read_outside() -> None:
    for start, size in ((0, 4), (3, 1), (-1, 1), (0, -1), (1, 1 << 60)):
        with pytest.raises(FormatError):
            window(b"abc").at(start, size)
    assert window(b"abc").at(1, 2) == b"bc" and window(b"abc").at(3, 0) == b""


def test_a_file_that_ends_before_its_size_is_noticed() -> None:
    with pytest.raises(FormatError, match="it ends at byte 3"):
        Window(Memory(b"abc"), 10).at(0, 10)


def test_one_limit_for_all_that_is_read_of_a_file() -> None:
    whole = window(bytes(1000), read=250)
    whole.at(0, 100)
    part = whole.sub(100, 500)
    part.at(0, 100)
    with pytest.raises(FormatError, match="larger than anything"):
        part.inner(bytes(100)).at(0, 60)


def test_steps_are_counted_over_all_parts() -> None:
    whole = window(bytes(10), steps=3)
    whole.step(2)
    whole.sub(0, 5).step()
    with pytest.raises(FormatError, match="more values"):
        whole.inner(b"").step()


def test_a_graph_of_many_values_is_given_up() -> None:
    data = onnx(pb(1, b"") * 3000)
    assert look(window(data)).format == "onnx"
    with pytest.raises(FormatError, match="more values"):
        look(window(data, steps=2000))


def test_files_within_files_have_a_limit() -> None:
    inside = window(b"x" * 10)
    for _ in range(MAX_NESTING):
        inside = inside.sub(0, inside.size)
    with pytest.raises(FormatError, match="nested"):
        inside.sub(0, 1)
    with pytest.raises(FormatError, match="nested"):
        inside.inner(b"")


@pytest.mark.parametrize(("offset", "size"), [(-1, 1), (-4, 4), (2, -1), (0, 5), (4, 1), (5, 0)])
def test_ranges_outside(offset: int, size: int) -> None:
    assert window(b"abcd").at(4, 0) == b"" and window(b"abcd").at(0, 4) == b"abcd"
    with pytest.raises(FormatError, match="outside"):
        window(b"abcd").at(offset, size)


def test_a_header_is_held_up_to_a_limit() -> None:
    most = 16 << 20
    large = Window(Memory(bytes(most + 1)), most + 1)
    assert len(large.at(1, most)) == most
    with pytest.raises(FormatError, match=f"larger than {most}"):
        large.at(0, most + 1)


def test_archives_in_archives_end() -> None:
    data = b"text"
    for depth in range(30):
        data = zipped({"a": data})
        if depth < 8:
            assert look(window(data)).format == "zip"
        else:
            with pytest.raises(FormatError, match="nested deeper than 8"):
                look(window(data))


@pytest.mark.parametrize("size", [1, 65_535, 65_536, 65_537, 200_000])
def test_cursors_read_over_pages(size: int) -> None:
    data = bytes(i % 251 for i in range(size)) + b"\n" + b"end"
    cursor = Cursor(window(data.replace(b"\n", b"\x0b", data.count(b"\n") - 1)))
    line = cursor.line(1 << 20)
    assert len(line) == size and cursor.take(3) == b"end" and not cursor.left
    with pytest.raises(FormatError):
        cursor.take(1)


def test_a_long_line_is_kept_in_part() -> None:
    cursor = Cursor(window(b"a" * 200_000 + b"\nb"))
    tracemalloc.start()
    assert cursor.line(10) == b"a" * 10
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert cursor.take(1) == b"b" and peak < 1 << 19


def test_a_last_line_is_read_as_cpython_reads_it() -> None:
    cursor = Cursor(window(b"a\nbcd"))
    assert (cursor.line(10), cursor.line(10), cursor.left) == (b"a", b"bc", 0)
    with pytest.raises(FormatError, match="no line stands at byte 5"):
        cursor.line(10)


def test_runs_are_gone_over() -> None:
    cursor = Cursor(window(b"\x08\x01" * 100_000 + b"\x10"))
    cursor.skip_all(re.compile(rb"(?:\x08.)++", re.DOTALL), 4)
    assert cursor.left == 1


def test_integers() -> None:
    assert Cursor(window(b"\xac\x02")).varint() == 300
    assert Cursor(window(b"\xff" * 9 + b"\x01")).varint() == (1 << 64) - 1
    for data in (b"", b"\x80", b"\xff" * 11):
        with pytest.raises(FormatError):
            Cursor(window(data)).varint()
