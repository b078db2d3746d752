"""HDF5's dense form of links and attributes: messages in a fractal heap, found by an index of them that is a B-tree.

Source: HDF5 File Format Specification, version 3, III.A.2 (B-trees, version 2), III.G (fractal heaps).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from steelyard.errors import FormatError
from steelyard.formats.window import Cursor, Window

_HUGE: Final = 1
_LINKS: Final = 5
_ATTRIBUTES: Final = 8
_SIZES: Final = {_HUGE: 24, _LINKS: 11, _ATTRIBUTES: 17}
_NONE: Final = 0xFFFF_FFFF_FFFF_FFFF
_MAX_DEPTH: Final = 16
_MAX_HUGE: Final = 4096
_SHARED: Final = 2
_CHECKSUM: Final = 4
_NODE_HEAD: Final = 6


def messages(window: Window, heap: int, index: int) -> Iterator[tuple[int, int] | None]:
    """Yield first byte and end of each message; None for one that is not read: shared, filtered, or in its own identifier.

    Args:
        window: the file.
        heap: where the heap begins.
        index: where the index by name begins.

    Raises:
        FormatError: one of them is damaged, or turns round.
    """
    found = _heap(window, heap)
    for kind, record in _records(window, index, _LINKS, _ATTRIBUTES):
        if kind == _ATTRIBUTES and record[8] & _SHARED:
            yield None
        else:
            yield found.place(record[:8] if kind == _ATTRIBUTES else record[4:11]) if found else None


# -- fractal heaps ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Heap:
    """Blocks in rows of equal width, whose sizes double from the second row on.

    Attributes:
        window: the file.
        width: blocks of a row.
        first: bytes of a block of the first two rows.
        largest: bytes of the largest block that holds messages; larger ones are tables of blocks.
        offset_size: bytes of an offset in the heap.
        length_size: bytes of a length.
        root: where the first block or table is.
        rows: rows of that table; 0 if it is a block.
        huge: first byte and end of what is too large for blocks, by its number.
    """

    window: Window
    width: int
    first: int
    largest: int
    offset_size: int
    length_size: int
    root: int
    rows: int
    huge: dict[int, tuple[int, int]]

    def place(self, name: bytes) -> tuple[int, int] | None:
        """Return first byte and end of what an identifier names, or None if it does not lie in a block."""
        if name[0] & 0xF0 == 0x10:
            return self.huge.get(int.from_bytes(name[1:], "little"))
        if name[0] & 0xF0:
            return None
        end = 1 + self.offset_size
        offset = int.from_bytes(name[1:end], "little")
        length = int.from_bytes(name[end : end + self.length_size], "little")
        block, inside, size = (self.root, offset, self.first) if not self.rows else self._block(offset)
        if self.window.at(block, 4) != b"FHDB" or inside + length > size:
            raise FormatError("a heap has no block where one should be")
        self.window.require(block + inside, length)
        return block + inside, block + inside + length

    def _block(self, offset: int) -> tuple[int, int, int]:
        """Return where the block is in which an offset lies, the offset within it, and its size."""
        table, rows = self.root, self.rows
        direct = self._row(self.largest) + 1
        while True:  # a table within a table has smaller blocks
            self.window.step()
            row, size = 0, self.first
            if offset >= self.first * self.width:
                row = (offset // (self.first * self.width)).bit_length()
                size = self.first << (row - 1)
                offset -= self.first * self.width << (row - 1)
            column, inside = divmod(offset, size)
            if self.window.at(table, 4) != b"FHIB" or row >= rows:
                raise FormatError("a heap has no table where one should be")
            at = table + 13 + self.offset_size + 8 * (row * self.width + column)
            place = _u64(self.window, at)
            if row < direct:
                return place, inside, size
            table, offset = place, inside
            rows = size.bit_length() - (self.first * self.width).bit_length() + 1

    def _row(self, size: int) -> int:
        """Return the last row whose blocks have this size."""
        return size.bit_length() - self.first.bit_length() + 1


def _heap(window: Window, place: int) -> _Heap | None:
    """Read the header of a heap; None if its blocks are filtered."""
    cursor = Cursor(window, place)
    if cursor.take(5) != b"FRHP\0":
        raise FormatError("links or attributes lie in no heap")
    cursor.skip(2)
    filters, _ = cursor.number("<H"), cursor.number("<B")
    largest_message, _, huge = cursor.number("<I"), cursor.number("<Q"), cursor.number("<Q")
    cursor.skip(80)
    width, first, largest, bits = (
        cursor.number("<H"),
        cursor.number("<Q"),
        cursor.number("<Q"),
        cursor.number("<H"),
    )
    cursor.skip(2)
    root, rows = cursor.number("<Q"), cursor.number("<H")
    if (
        not width
        or bits > 64
        or any(not size or size & (size - 1) for size in (width, first, largest))
        or first > largest
    ):
        raise FormatError("a heap has sizes that are no powers of two")
    if filters:
        return None
    large = dict[int, tuple[int, int]]()
    for _, record in _records(window, huge, _HUGE) if huge != _NONE else ():
        start, size, number = struct.unpack("<3Q", record)
        window.require(start, size)
        large[number] = (start, start + size)
        if len(large) > _MAX_HUGE:
            raise FormatError(f"a heap has more than {_MAX_HUGE} messages of its own place")
    return _Heap(
        window=window, width=width, first=first, largest=largest, offset_size=-(-bits // 8), root=root, rows=rows,
        huge=large, length_size=min((largest.bit_length() + 6) // 8, _bytes_of(largest_message)),
    )  # fmt: skip


# -- B-trees ---------------------------------------------------------------------------------------------------


def _records(window: Window, place: int, *kinds: int) -> Iterator[tuple[int, bytes]]:
    """Yield type and bytes of each record of a tree, in their order."""
    cursor = Cursor(window, place)
    if cursor.take(5) != b"BTHD\0":
        raise FormatError("links or attributes have no index")
    kind, node, size, depth = (
        cursor.number("<B"),
        cursor.number("<I"),
        cursor.number("<H"),
        cursor.number("<H"),
    )
    cursor.skip(2)
    root, count = cursor.number("<Q"), cursor.number("<H")
    if kind not in kinds or size != _SIZES[kind] or node < 64 or depth > _MAX_DEPTH:
        raise FormatError("an index has records of another form")
    if root == _NONE:
        return
    most = [(node - _NODE_HEAD - _CHECKSUM) // size]  # records of a node, and of all below it
    below = [most[0]]
    width = _bytes_of(most[0])
    pointers = [0]
    for level in range(1, depth + 1):
        pointers.append(8 + width + (_bytes_of(below[-1]) if level > 1 else 0))
        most.append((node - _NODE_HEAD - _CHECKSUM - pointers[-1]) // (size + pointers[-1]))
        below.append((most[-1] + 1) * below[-1] + most[-1])
    todo, seen = [(root, count, depth)], set[int]()
    while todo:
        at, count, level = todo.pop()
        window.step()
        if (
            window.at(at, 6) != (b"BTIN\0" if level else b"BTLF\0") + bytes([kind])
            or at in seen
            or count > most[level]
        ):
            raise FormatError("an index is damaged, or turns round")
        seen.add(at)
        for number in range(count):
            window.step()
            yield kind, window.at(at + _NODE_HEAD + size * number, size)
        start = at + _NODE_HEAD + size * count
        for number in range(count + 1 if level else 0):
            child = start + pointers[level] * number
            inside = int.from_bytes(window.at(child + 8, width), "little")
            todo.append((_u64(window, child), inside, level - 1))


def _bytes_of(most: int) -> int:
    """Return how many bytes hold a number up to this one."""
    return max(0, most.bit_length() - 1) // 8 + 1


def _u64(window: Window, place: int) -> int:
    return int.from_bytes(window.at(place, 8), "little")
