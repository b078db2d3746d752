"""Arrow: files and streams of its IPC format, and the schema that Parquet files carry. Source: arrow.apache.org, "Columnar format".

A type that Python defined may be kept as a pickle, which PyArrow 0.14 to 14.0.0 loads when it reads the schema (CVE-2023-47248).
"""

from __future__ import annotations

import base64
import re
from typing import Final

from steelyard.errors import FormatError
from steelyard.formats.flatbuffers import field, follow
from steelyard.formats.report import FormatReport
from steelyard.formats.window import Window

_MAGIC: Final = b"ARROW1"
_BEGIN: Final = b"ARROW1\0\0"
_GOES_ON: Final = b"\xff\xff\xff\xff"
_KIND: Final = 1
_SCHEMA: Final = b"\x01"
_PAGE: Final = 1 << 20
_PICKLED: Final = b"arrow.py_extension_type"
# The same within base64, wherever it begins: without what its neighbours have a part in.
_IN_BASE64: Final = re.compile(
    b"|".join(
        re.escape(
            base64.b64encode(bytes(before) + _PICKLED)[
                (4 * before + 2) // 3 : 4 * (before + len(_PICKLED)) // 3
            ]
        )
        for before in range(3)
    )
)
_WHY: Final = "a column has a type of Python's own, a pickle that PyArrow up to 14.0.0 loads"


def why_in_base64(text: bytes) -> str | None:
    """Return why reading a schema somewhere within base64 runs code, or None."""
    return _WHY if _IN_BASE64.search(text) else None


def claims(window: Window, head: bytes) -> bool:
    """Whether a file begins or ends as an Arrow file does: its readers look at the end."""
    return head.startswith(_BEGIN) or window.at(max(0, window.size - 6), min(6, window.size)) == _MAGIC


def read(window: Window) -> FormatReport:
    """Look at the schema in the footer.

    Raises:
        FormatError: it is cut off, or its footer is larger than it.
    """
    end = window.size - len(_MAGIC) - 4
    if end < len(_BEGIN) or window.at(0, len(_BEGIN)) != _BEGIN or window.at(end + 4, len(_MAGIC)) != _MAGIC:
        raise FormatError("it does not both begin and end as Arrow does: it is cut off, or another file too")
    size = int.from_bytes(window.at(end, 4), "little")
    if size > end:
        raise FormatError(f"a footer of {size} bytes is declared, in {window.size}")
    return FormatReport(format="arrow", code=_why(window, end - size, end))


def claims_stream(window: Window, head: bytes) -> bool:
    """Whether a file begins with a message that is a schema, as a stream does."""
    start, end = _message(head)
    kind = field(window, follow(window, start), _KIND)
    return start < kind < end <= window.size and window.at(kind, 1) == _SCHEMA


def read_stream(window: Window) -> FormatReport:
    """Look at the schema.

    Raises:
        FormatError: it is larger than anything that is looked at.
    """
    return FormatReport(format="arrow-stream", code=_why(window, *_message(window.at(0, 8))))


def _why(window: Window, start: int, end: int) -> str | None:
    """Return why reading the schema between two bytes runs code, or None."""
    for place in range(start, end, _PAGE - len(_PICKLED)):
        if _PICKLED in window.at(place, min(_PAGE, end - place)):
            return _WHY
    return None


def _message(head: bytes) -> tuple[int, int]:
    """Return the place of the first message; before Arrow 0.15 nothing stood in front of its size."""
    start = 8 if head.startswith(_GOES_ON) else 4
    return start, start + int.from_bytes(head[start - 4 : start], "little")
