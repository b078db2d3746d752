"""TensorFlow Lite: the operators that a model takes from outside of it. Source: tensorflow/compiler/mlir/lite/schema/schema.fbs, version 3.

TensorFlow's own operators are named ``Flex...`` there, and run by every interpreter that comes with TensorFlow.
"""

from __future__ import annotations

from typing import Final

from steelyard.errors import FormatError
from steelyard.formats import tensorflow_ops
from steelyard.formats.flatbuffers import field, follow, number
from steelyard.formats.report import FormatReport
from steelyard.formats.window import Window

_CODES: Final = 1
_CUSTOM: Final = 1
_FLEX: Final = "Flex"
_LONGEST: Final = 128
_ELSEWHERE: Final = tensorflow_ops.CODE | tensorflow_ops.BY_SETTING.keys()


def claims(window: Window, head: bytes) -> bool:
    """Whether a file has the identifier of a model."""
    return head[4:8] == b"TFL3"


def read(window: Window) -> FormatReport:
    """Read the names of the operators that are not built in.

    Raises:
        FormatError: it declares more of them than it can hold.
    """
    codes = follow(window, field(window, int.from_bytes(window.at(0, 4), "little"), _CODES))
    count = number(window, codes, 4)
    if 4 * count > window.size:
        raise FormatError(f"it declares {count} operators in {window.size} bytes")
    names = {_name(window, follow(window, codes + 4 + 4 * place)) for place in range(count)} - {""}
    bad = {name for name in names if name.removeprefix(_FLEX) in _ELSEWHERE and name.startswith(_FLEX)}
    return FormatReport(
        format="tflite",
        code=f"it has operators that run programs or touch files: {', '.join(sorted(bad)[:8])}"
        if bad
        else None,
        notes=(f"operators that are not built in: {', '.join(sorted(names))[:200]}",) if names else (),
    )


def _name(window: Window, code: int) -> str:
    """Return the name of an operator that is not built in, or nothing."""
    window.step()
    place = follow(window, field(window, code, _CUSTOM))
    size = number(window, place, 4)
    if not 0 < size <= min(_LONGEST, window.size - place - 4):
        return ""
    return window.at(place + 4, size).decode("utf-8", "replace")
