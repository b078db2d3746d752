"""Parquet: the schema and the counts in the footer, which is Thrift's compact protocol. Source: parquet-format 2.11.

Of Thrift a generic reader makes numbered fields; what they mean is written here.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from steelyard.errors import FormatError
from steelyard.formats import arrow
from steelyard.formats.report import MAX_LISTED, MAX_TENSORS, FormatReport, Tensor, shown
from steelyard.formats.window import Cursor, Window

_MAGIC: Final = b"PAR1"
_MAX_FOOTER: Final = 16 << 20
_MAX_DEPTH: Final = 24
_MAX_KEPT: Final = 4096
_MAX_VALUES: Final = 500_000
_TYPES: Final = {
    0: "bool",
    1: "int32",
    2: "int64",
    3: "int96",
    4: "float32",
    5: "float64",
    6: "bytes",
    7: "fixed",
}
_STOP, _TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 0, 1, 2, 3, 7, 8, 9, 10, 11, 12

Value: TypeAlias = "int | bytes | bool | None | list[Value] | dict[int, Value]"


def claims(window: Window, head: bytes) -> bool:
    """Whether a file ends or begins as Parquet does."""
    return window.size >= 12 and (window.at(window.size - 4, 4) == _MAGIC or head[:4] == _MAGIC)


def read(window: Window) -> FormatReport:
    """Read the footer.

    Raises:
        FormatError: it is too large, damaged or encrypted, or column chunks lie outside of the file.
    """
    if window.at(0, 4) != _MAGIC or window.at(window.size - 4, 4) != _MAGIC:
        raise FormatError(
            "it does not both begin and end as Parquet does: it is cut off, encrypted, or another file too"
        )
    size = int.from_bytes(window.at(window.size - 8, 4), "little")
    if size > min(_MAX_FOOTER, window.size - 12):
        raise FormatError(
            f"a footer of {size} bytes is declared, in {window.size}; the most is {_MAX_FOOTER}"
        )
    cursor = Cursor(window, window.size - 8 - size, window.size - 8)
    top = _Thrift(cursor).struct(0)
    if cursor.left:
        raise FormatError(f"{cursor.left} bytes follow the footer")
    rows, groups = top.get(3), top.get(4)
    if not isinstance(rows, int) or rows < 0 or not isinstance(groups, list):
        raise FormatError("the footer has no number of rows, or no row groups")
    columns = _columns(top.get(2), rows)
    total = sum(_check_group(group, len(columns), end=cursor.place - size) for group in groups)
    if total != rows:
        raise FormatError(f"the footer declares {rows} rows, and its groups {total}")
    maker = top.get(6)
    made = (("writer", shown(maker.decode("utf-8", "replace"))[:100]),) if isinstance(maker, bytes) else ()
    return FormatReport(
        format="parquet",
        code=arrow.why_in_base64(window.at(window.size - 8 - size, size)),
        tensors=tuple(columns[:MAX_LISTED]),
        count=len(columns),
        versions=(("rows", str(rows)), *made),
    )


def _columns(schema: Value, rows: int) -> list[Tensor]:
    """Return the leaves of the schema, which is a tree written front to back."""
    if not isinstance(schema, list) or not 1 <= len(schema) <= MAX_TENSORS:
        raise FormatError(f"the footer has no schema of 1 to {MAX_TENSORS} elements")
    found: list[Tensor] = []
    path: list[tuple[str, int]] = []
    for number, item in enumerate(schema):
        if not isinstance(item, dict) or not isinstance(item.get(4), bytes):
            raise FormatError("an element of the schema has no name")
        raw, children, kind = item[4], item.get(5), item.get(1)
        assert isinstance(raw, bytes)
        name = raw.decode("utf-8", "replace")
        while path and path[-1][1] == 0:
            path.pop()
        if path:
            path[-1] = (path[-1][0], path[-1][1] - 1)
        elif number:
            raise FormatError("the schema has more elements than its root declares")
        if isinstance(children, int) and children > 0 or number == 0:
            path.append((name if number else "", children if isinstance(children, int) else 0))
            if len(path) > _MAX_DEPTH:
                raise FormatError(f"the schema is nested deeper than {_MAX_DEPTH} levels")
        else:
            parts = [part for part, _ in path if part]
            dtype = _TYPES.get(kind, "unknown") if isinstance(kind, int) else "unknown"
            found.append(Tensor(name=shown(".".join([*parts, name])), dtype=dtype, shape=(rows,)))
    if any(left for _, left in path):
        raise FormatError("the schema has fewer elements than its root declares")
    return found


def _check_group(group: Value, columns: int, *, end: int) -> int:
    """Check that the chunks of a row group lie before the footer, which starts at ``end``; return its rows."""
    if not isinstance(group, dict) or not isinstance(group.get(1), list) or not isinstance(group.get(3), int):
        raise FormatError("a row group has no columns, or no number of rows")
    chunks, rows = group[1], group[3]
    assert isinstance(chunks, list) and isinstance(rows, int)
    if len(chunks) != columns or rows < 0:
        raise FormatError(f"a row group has {len(chunks)} columns, and the schema {columns}")
    for chunk in chunks:
        if not isinstance(chunk, dict) or chunk.get(1) is not None:
            raise FormatError("a column lies in another file")
        about = chunk.get(3)
        if not isinstance(about, dict):
            raise FormatError("a column's place is missing, or encrypted")
        size, data, pages = about.get(7), about.get(9), about.get(11)
        places = [item for item in (data, pages) if isinstance(item, int) and item > 0]
        # A column without values may have a page of its dictionary alone.
        start = min(places) if places and (data in places or about.get(5) == 0) else -1
        if not isinstance(size, int) or size < 0 or start < 4 or start + size > end:
            raise FormatError("a column lies outside of the file")
    return rows


class _Thrift:
    """Reads values of the compact protocol, with all their counts checked before anything is made."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._left = _MAX_VALUES

    def struct(self, depth: int) -> dict[int, Value]:
        """Return the fields of a struct, by number."""
        found: dict[int, Value] = {}
        number = 0
        while True:
            head = self._cursor.number("<B")
            if head == _STOP:
                return found
            number = number + (head >> 4) if head >> 4 else _zigzag(self._cursor.varint())
            if number in found or not 0 < number < 1 << 15:
                raise FormatError(f"the footer has field {number} twice, or out of range")
            kind = head & 15
            found[number] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind, depth + 1)

    def _value(self, kind: int, depth: int) -> Value:
        self._left -= 1
        self._cursor.window.step()
        if depth > _MAX_DEPTH or self._left < 0:
            raise FormatError(
                f"the footer has more than {_MAX_VALUES} values, or is nested deeper than {_MAX_DEPTH} levels"
            )
        if kind in (_TRUE, _FALSE, _BYTE):
            return self._cursor.number("<B")
        if kind in (4, 5, 6):
            return _zigzag(self._cursor.varint())
        if kind == _DOUBLE:
            self._cursor.skip(8)
            return None
        if kind == _BINARY:
            size = self._cursor.varint()
            if size <= _MAX_KEPT:
                return self._cursor.take(size)
            self._cursor.skip(size)
            return b""
        if kind in (_LIST, _SET):
            return self._list(depth)
        if kind == _MAP:
            return self._map(depth)
        if kind == _STRUCT:
            return self.struct(depth)
        raise FormatError(f"the footer has a value of the unknown type {kind}")

    def _list(self, depth: int) -> list[Value]:
        head = self._cursor.number("<B")
        count = head >> 4 if head >> 4 < 15 else self._cursor.varint()
        if count > min(self._left, self._cursor.left):
            raise FormatError(f"a list of {count} values is declared in {self._cursor.left} bytes")
        return [self._value(head & 15, depth + 1) for _ in range(count)]

    def _map(self, depth: int) -> Value:
        count = self._cursor.varint()
        if count > min(self._left, self._cursor.left):
            raise FormatError(f"a map of {count} values is declared in {self._cursor.left} bytes")
        kinds = self._cursor.number("<B") if count else 0
        for _ in range(count):
            self._value(kinds >> 4, depth + 1)
            self._value(kinds & 15, depth + 1)
        return None


def _zigzag(value: int) -> int:
    return (value >> 1) ^ -(value & 1)
