"""GGUF: keys and values, the place of every tensor, then their bytes. Source: ggml's gguf specification, versions 2 and 3."""

from __future__ import annotations

from typing import Final

from steelyard.errors import FormatError
from steelyard.formats import templates
from steelyard.formats.report import MAX_LISTED, MAX_TENSORS, FormatReport, Tensor, elements, shown
from steelyard.formats.window import Cursor, Window, text_of

_MAX_KEYS: Final = 10_000
_MAX_TEXT: Final = 4 << 20
_MAX_DIMENSIONS: Final = 4
_SIZES: Final = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING: Final = 8
_ARRAY: Final = 9
# Type: name, elements of a block, bytes of a block.
_TYPES: Final = {
    0: ("f32", 1, 4), 1: ("f16", 1, 2), 2: ("q4_0", 32, 18), 3: ("q4_1", 32, 20), 6: ("q5_0", 32, 22),
    7: ("q5_1", 32, 24), 8: ("q8_0", 32, 34), 9: ("q8_1", 32, 36), 10: ("q2_k", 256, 84), 11: ("q3_k", 256, 110),
    12: ("q4_k", 256, 144), 13: ("q5_k", 256, 176), 14: ("q6_k", 256, 210), 15: ("q8_k", 256, 292),
    16: ("iq2_xxs", 256, 66), 17: ("iq2_xs", 256, 74), 18: ("iq3_xxs", 256, 98), 19: ("iq1_s", 256, 50),
    20: ("iq4_nl", 32, 18), 21: ("iq3_s", 256, 110), 22: ("iq2_s", 256, 82), 23: ("iq4_xs", 256, 136),
    24: ("i8", 1, 1), 25: ("i16", 1, 2), 26: ("i32", 1, 4), 27: ("i64", 1, 8), 28: ("f64", 1, 8),
    29: ("iq1_m", 256, 56), 30: ("bf16", 1, 2), 31: ("q4_0_4_4", 32, 18), 32: ("q4_0_4_8", 32, 18), 33: ("q4_0_8_8", 32, 18),
    34: ("tq1_0", 256, 54), 35: ("tq2_0", 256, 66), 36: ("iq4_nl_4_4", 32, 18), 37: ("iq4_nl_4_8", 32, 18), 38: ("iq4_nl_8_8", 32, 18),
    39: ("mxfp4", 32, 17), 40: ("nvfp4", 64, 36), 41: ("q1_0", 128, 18), 42: ("q2_0", 64, 18),
}  # fmt: skip
_TEMPLATES: Final = "tokenizer.chat_template"
_SHOWN: Final = ("general.architecture", "general.name", "general.license")


def claims(window: Window, head: bytes) -> bool:
    """Whether a file begins with the four letters."""
    return head[:4] == b"GGUF"


def read(window: Window) -> FormatReport:
    """Read all keys and the places of the tensors.

    Raises:
        FormatError: another version or byte order, a count or length that the file cannot hold, a key or tensor
            twice, or tensors that overlap or leave the file.
    """
    cursor = Cursor(window, 4)
    version = cursor.number("<I")
    if version not in (2, 3):
        raise FormatError(f"version {version} of GGUF is not known; 2 and 3 are, least byte first")
    count, keys = cursor.number("<Q"), cursor.number("<Q")
    if count > MAX_TENSORS or keys > _MAX_KEYS:
        raise FormatError(
            f"it declares {count} tensors and {keys} keys; the most are {MAX_TENSORS} and {_MAX_KEYS}"
        )
    values: dict[str, int | str | None] = {}
    code: str | None = None
    for _ in range(keys):
        window.step()
        key = _text(cursor)
        if key in values:
            raise FormatError(f"key {key[:80]!a} stands there twice")
        kind, place = cursor.number("<I"), cursor.place
        values[key] = _value(cursor, kind)
        if key.startswith(_TEMPLATES) and kind == _STRING:
            code = code or templates.why(text_of(window.at(place + 8, cursor.place - place - 8)))
    tensors = _tensors(cursor, count)
    alignment = values.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 1 <= alignment <= 1 << 20 or alignment & (alignment - 1):
        raise FormatError(f"the alignment {str(alignment)[:20]!a} is no power of two up to 2^20")
    _check_places(window, -(-cursor.place // alignment) * alignment, tensors, alignment)
    facts = tuple((key, str(values[key])[:100]) for key in _SHOWN if values.get(key))
    notes = (
        ("holds a chat template, which the program that loads it may run",) if _TEMPLATES in values else ()
    )
    return FormatReport(
        format="gguf",
        code=code,
        tensors=tuple(item for _, _, item in tensors[:MAX_LISTED]),
        count=count,
        parameters=sum(elements(item.shape) for _, _, item in tensors),
        versions=(("gguf", str(version)), *facts),
        notes=notes,
    )


def _tensors(cursor: Cursor, count: int) -> list[tuple[int, int, Tensor]]:
    """Return offset in the data, bytes, and the tensor."""
    found: list[tuple[int, int, Tensor]] = []
    names: set[str] = set()
    for _ in range(count):
        cursor.window.step()
        name = _text(cursor)
        dimensions = cursor.number("<I")
        if name in names or dimensions > _MAX_DIMENSIONS:
            raise FormatError(
                f"tensor {name[:80]!a} stands there twice, or has more than {_MAX_DIMENSIONS} dimensions"
            )
        names.add(name)
        shape = tuple(cursor.number("<Q") for _ in range(dimensions))
        kind, offset = cursor.number("<I"), cursor.number("<Q")
        if kind not in _TYPES:
            raise FormatError(f"tensor {name[:80]!a} has the unknown type {kind}")
        dtype, block, size = _TYPES[kind]
        if shape and shape[0] % block:
            raise FormatError(f"tensor {name[:80]!a} has rows of {shape[0]}, no multiple of {block}")
        # Written with the innermost size first; shown as everybody else does.
        item = Tensor(name=shown(name), dtype=dtype, shape=tuple(reversed(shape)))
        found.append((offset, elements(shape) // block * size, item))
    return found


def _check_places(window: Window, start: int, tensors: list[tuple[int, int, Tensor]], alignment: int) -> None:
    end = 0
    for offset, size, item in sorted(tensors, key=lambda entry: entry[:2]):
        if offset % alignment or offset < end:
            raise FormatError(f"tensor {item.name[:80]!a} is not aligned, or overlaps the one before it")
        end = offset + size
    if tensors and start + end > window.size:
        raise FormatError(f"its tensors end at byte {start + end}, and it has {window.size}")


def _text(cursor: Cursor, most: int = 65_536) -> str:
    size = cursor.number("<Q")
    if size > most:
        raise FormatError(f"a text of {size} bytes is declared; the most is {most}")
    return text_of(cursor.take(size))


def _value(cursor: Cursor, kind: int, depth: int = 0) -> int | str | None:
    """Return a small value; others are gone over."""
    if kind in (4, 5, 10, 11):
        return cursor.number({4: "<I", 5: "<i", 10: "<Q", 11: "<q"}[kind])
    if kind in _SIZES:
        cursor.skip(_SIZES[kind])
        return None
    if kind == _STRING:
        size = cursor.number("<Q")
        if size > _MAX_TEXT:
            raise FormatError(f"a text of {size} bytes is declared; the most is {_MAX_TEXT}")
        if size <= 200:
            return text_of(cursor.take(size))
        cursor.skip(size)
        return "long"
    if kind != _ARRAY or depth > 4:
        raise FormatError(f"a value has the unknown type {kind}, or is nested too deeply")
    inner, count = cursor.number("<I"), cursor.number("<Q")
    if inner in _SIZES:
        if count > cursor.left:
            raise FormatError(f"an array of {count} values is declared in {cursor.left} bytes")
        cursor.skip(_SIZES[inner] * count)
        return None
    for _ in range(count):
        cursor.window.step()
        _value(cursor, inner, depth + 1)
    return None
