"""Arrow: types of Python's own, wherever a schema has them."""

from __future__ import annotations

import base64

import pytest

from steelyard.formats.arrow import claims_stream, why_in_base64
from steelyard.formats.window import Memory, Window

NAME = b"arrow.py_extension_type"


@pytest.mark.parametrize("before", range(8))
@pytest.mark.parametrize("after", range(4))
def test_found_in_base64_wherever_it_begins(before: int, after: int) -> None:
    assert why_in_base64(base64.b64encode(bytes(range(before)) + NAME + b"x" * after))
    assert not why_in_base64(base64.b64encode(bytes(range(before)) + NAME[:-2] + b"xx" + b"x" * after))


def _message(table: bytes, *, start: bytes = b"\xff\xff\xff\xff") -> Window:
    """A message that begins with the place of its table."""
    body = (4).to_bytes(4, "little") + table
    data = start + len(body).to_bytes(4, "little") + body
    return Window(Memory(data), len(data))


# A table of 4 bytes and its two fields; their places stand behind it, or elsewhere.
BEHIND = (-8).to_bytes(4, "little", signed=True) + b"\x04\0\x01\0" + b"\x08\0\x08\0\x04\0\x06\0"


@pytest.mark.parametrize("start", [b"\xff\xff\xff\xff", b""])
def test_a_message_with_a_schema_is_a_stream(start: bytes) -> None:
    window = _message(BEHIND, start=start)
    assert claims_stream(window, window.at(0, 8))


@pytest.mark.parametrize(
    "table",
    [
        BEHIND.replace(b"\x01", b"\x03"),  # a batch
        BEHIND[:-8] + b"\x06\0\x08\0\x04\0\x06\0",  # without a kind
        BEHIND[:-2] + b"\0\0",  # a kind that is not there
        BEHIND[:-2] + b"\xff\0",  # outside
        BEHIND[:-8],
        b"",
        bytes(16),
    ],
)
def test_anything_else_is_none(table: bytes) -> None:
    window = _message(table)
    assert not claims_stream(window, window.at(0, min(8, window.size)))


def test_a_message_that_is_cut_off_is_none() -> None:
    window = _message(BEHIND)
    cut = Window(Memory(window.at(0, window.size - 1)), window.size - 1)
    assert not claims_stream(cut, cut.at(0, 8))
