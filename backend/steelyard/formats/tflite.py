"""TensorFlow Lite: the operators that a model takes from outside of it. Source: tensorflow/compiler/mlir/lite/schema/schema.fbs, version 3.

TensorFlow's own operators are named ``Flex...`` there, and run by interpreters that come with TensorFlow. Which one it is stands in the
options of its use, as a NodeDef (tensorflow/lite/delegates/flex/kernel.cc), whatever the name says; so the options are searched.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from steelyard.errors import FormatError
from steelyard.formats import tensorflow_ops
from steelyard.formats.flatbuffers import field, follow, number
from steelyard.formats.report import FormatReport
from steelyard.formats.window import Window

_CODES: Final = 1
_SUBGRAPHS: Final = 2
_CUSTOM: Final = 1
_OPERATORS: Final = 3
_OPTIONS: Final = 5
_LARGE_OPTIONS: Final = 9
_LARGE_SIZE: Final = 10
_FLEX: Final = "Flex"
_LONGEST: Final = 128
_PAGE: Final = 1 << 20


def claims(window: Window, head: bytes) -> bool:
    """Whether a file has the identifier of a model."""
    return head[4:8] == b"TFL3"


def read(window: Window) -> FormatReport:
    """Read the names of the operators that are not built in, and what TensorFlow's are.

    Raises:
        FormatError: it declares more of something than it can hold, or more than anything that is looked at.
    """
    model = int.from_bytes(window.at(0, 4), "little")
    names = {_name(window, code) for code in _tables(window, field(window, model, _CODES))} - {""}
    found: set[str] = set()
    if any(name.startswith(_FLEX) for name in names):
        for graph in _tables(window, field(window, model, _SUBGRAPHS)):
            for operator in _tables(window, field(window, graph, _OPERATORS)):
                found |= _options(window, operator)
    return FormatReport(
        format="tflite",
        code=tensorflow_ops.why(found),
        notes=(f"operators that are not built in: {', '.join(sorted(names))[:200]}",) if names else (),
    )


def _tables(window: Window, place: int) -> Iterator[int]:
    """Yield the places of the tables of a list."""
    start = follow(window, place)
    count = number(window, start, 4)
    if 4 * count > window.size:
        raise FormatError(f"it declares a list of {count} tables in {window.size} bytes")
    for index in range(count):
        window.step()
        yield follow(window, start + 4 + 4 * index)


def _name(window: Window, code: int) -> str:
    """Return the name of an operator that is not built in, or nothing. Interpreters take it up to a NUL."""
    place = follow(window, field(window, code, _CUSTOM))
    size = min(number(window, place, 4), _LONGEST, max(0, window.size - place - 4))
    return window.at(place + 4, size).split(b"\0", 1)[0].decode("utf-8", "replace")


def _options(window: Window, operator: int) -> set[str]:
    """Return which of TensorFlow's operators the options of a use name, within the model or behind it."""
    place = follow(window, field(window, operator, _OPTIONS))
    inner = (place + 4, number(window, place, 4))
    behind = tuple(
        number(window, field(window, operator, index), 8) for index in (_LARGE_OPTIONS, _LARGE_SIZE)
    )
    found: set[str] = set()
    for start, size in (inner, behind):
        for at in range(start, start + size, _PAGE - _LONGEST):
            page = window.at(at, min(_PAGE, start + size - at))
            found |= {name.decode() for name in tensorflow_ops.NAMES.findall(page)}
    return found
