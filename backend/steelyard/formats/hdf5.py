"""HDF5, as h5py and Keras write it: groups, datasets, attributes. Source: HDF5 File Format Specification, version 3.

Read are superblocks 0 to 3, object headers 1 and 2, groups by symbol table and by link messages, also in heaps (:mod:`hdf5_heaps`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from steelyard.errors import FormatError
from steelyard.formats import hdf5_heaps
from steelyard.formats.pickles import follow
from steelyard.formats.report import MAX_LISTED, Tensor, elements, shown
from steelyard.formats.window import Cursor, Window

MAGIC: Final = b"\x89HDF\r\n\x1a\n"
_MATLAB: Final = b"MATLAB 7.3 MAT-file"
_MATLAB_BLOCK: Final = 512
_MAX_OBJECTS: Final = 100_000
_MAX_DEPTH: Final = 32
_MAX_VALUE: Final = 8 << 20
_NONE: Final = 0xFFFF_FFFF_FFFF_FFFF
_DATASPACE, _LINK_INFO, _DATATYPE, _EXTERNAL, _LINK, _LAYOUT = 0x01, 0x02, 0x03, 0x07, 0x06, 0x08
_ATTRIBUTE, _CONTINUE, _SYMBOLS, _ATTRIBUTES = 0x0C, 0x10, 0x11, 0x15
_SHARED: Final = 2
# Of a dataset of PyTables, by attribute: whether its values are pickles.
_OBJECTS: Final[dict[str, Callable[[bytes], bool]]] = {
    "PSEUDOATOM": lambda value: value not in (b"vlstring", b"vlunicode"),
    "FLAVOR": lambda value: value.lower() == b"object",
}
_KEPT: Final = ("model_config", "training_config", "keras_version")


@dataclass(slots=True)
class Content:
    """What a file holds.

    Attributes:
        tensors: datasets, by path, at most MAX_LISTED.
        count: how many datasets there are.
        parameters: numbers in them.
        attributes: the texts that Keras keeps in the root group's attributes, by name.
        pickled: an attribute that is a pickle, or says that its dataset holds some; nothing if there is none.
        hidden: whether there are attributes that are not read.
        notes: what was not read.
    """

    tensors: list[Tensor] = field(default_factory=list)
    count: int = 0
    parameters: int = 0
    attributes: dict[str, bytes] = field(default_factory=dict)
    pickled: str = ""
    hidden: bool = False
    notes: dict[str, None] = field(default_factory=dict)

    @property
    def why(self) -> str | None:
        """Why it runs code by itself, whoever has written it."""
        if not self.pickled:
            return None
        return f"{shown(self.pickled)} is a pickle, or says that there are some, and PyTables and pandas load them"


def claims(window: Window, head: bytes) -> bool:
    """Whether the magic stands at byte 0, or at 512, 1024, 2048 and so on, where readers look for it too."""
    if head[:8] == MAGIC:
        return True
    place = 512
    while place + 8 <= window.size:
        if window.at(place, 8) == MAGIC:
            return True
        place *= 2
    return False


def walk(window: Window) -> Content:
    """Return all datasets with their types and shapes, and what is in attributes.

    Raises:
        FormatError: it is cut off, refers to other files, or its objects are too many or nested too deeply.
    """
    base = _MATLAB_BLOCK if _is_matlab(window) else 0
    whole, window = window.size, window.sub(base, window.size - base) if base else window
    if window.at(0, 8) != MAGIC:
        raise FormatError("bytes stand before the HDF5 file")
    version = window.at(8, 1)[0]
    if version in (0, 1):
        sizes, root, end = window.at(13, 2), 56 if version == 0 else 60, 40 if version == 0 else 44
        base_at, header_at = root - 32, root + 8
    elif version in (2, 3):
        sizes, base_at, end, header_at = window.at(9, 2), 12, 28, 36
    else:
        raise FormatError(f"superblock {version} of HDF5 is not known")
    if sizes != b"\x08\x08":
        raise FormatError("its addresses are not 8 bytes long")
    if _u64(window, base_at) != base or _u64(window, end) > whole:
        raise FormatError("it does not begin at its first byte, or ends before its declared end")
    reader = _Reader(window)
    reader.object(_u64(window, header_at), "", 0)
    return reader.found


def _is_matlab(window: Window) -> bool:
    """Whether this is a file of MATLAB 7.3: a text of 128 bytes, zeros, and HDF5 behind them."""
    if window.size < _MATLAB_BLOCK or window.at(0, len(_MATLAB)) != _MATLAB:
        return False
    return not any(window.at(128, _MATLAB_BLOCK - 128))


class _Reader:
    def __init__(self, window: Window) -> None:
        self.window = window
        self.found = Content()
        self.seen: set[int] = set()

    def object(self, place: int, path: str, depth: int) -> None:
        """Read a group or dataset, once."""
        if place in self.seen:
            return
        self.seen.add(place)
        if len(self.seen) > _MAX_OBJECTS or depth > _MAX_DEPTH:
            raise FormatError(f"it has more than {_MAX_OBJECTS} objects, or groups deeper than {_MAX_DEPTH}")
        shape: list[int | str] | None = None
        dtype = ""
        for kind, shared, start, end in _messages(self.window, place):
            if shared and kind == _DATATYPE:
                dtype = "other"  # a type that stands elsewhere in the file
            elif shared:
                self._unread("messages", "shared", path)
            elif kind == _DATASPACE:
                shape = _shape(Cursor(self.window, start, end))
            elif kind == _DATATYPE:
                dtype = _dtype(Cursor(self.window, start, end))[0]
            elif kind == _EXTERNAL:
                raise FormatError(f"dataset {path[:80]!a} has its data in another file")
            elif kind == _SYMBOLS:
                self._follow(
                    self._symbols(_u64(self.window, start), _u64(self.window, start + 8)), path, depth
                )
            elif kind == _LINK:
                self._follow(self._link(Cursor(self.window, start, end)), path, depth)
            elif kind in (_LINK_INFO, _ATTRIBUTES):
                self._dense(start, path, depth, attributes=kind == _ATTRIBUTES)
            elif kind == _LAYOUT:
                if self.window.at(start, 1) in (b"\x04", b"\x05") and self.window.at(start + 1, 1) == b"\x03":
                    raise FormatError(f"dataset {path[:80]!a} is virtual: its data may lie in other files")
            elif kind == _ATTRIBUTE:
                self._attribute(Cursor(self.window, start, end), path)
        if shape is not None and dtype:
            self._dataset(path, dtype, shape)

    def _follow(self, links: Iterator[tuple[str, int]], path: str, depth: int) -> None:
        for name, target in links:
            self.object(target, f"{path}/{name}" if path else name, depth + 1)

    def _dataset(self, path: str, dtype: str, shape: list[int | str]) -> None:
        self.found.count += 1
        self.found.parameters += elements(shape)
        if len(self.found.tensors) < MAX_LISTED:
            self.found.tensors.append(Tensor(name=shown(path), dtype=dtype, shape=tuple(shape)))

    def _dense(self, start: int, path: str, depth: int, *, attributes: bool) -> None:
        flags = self.window.at(start + 1, 1)[0]
        offset = start + 2 + ((2 if attributes else 8) if flags & 1 else 0)
        heap, index = _u64(self.window, offset), _u64(self.window, offset + 8)
        if heap == _NONE:
            return
        for place in hdf5_heaps.messages(self.window, heap, index):
            if place is None:
                self._unread("attributes" if attributes else "links", "shared or filtered", path)
            elif attributes:
                self._attribute(Cursor(self.window, *place), path)
            else:
                self._follow(self._link(Cursor(self.window, *place)), path, depth)

    def _unread(self, what: str, form: str, path: str) -> None:
        self.found.hidden |= what != "links"
        self.found.notes[f"{what} of {path[:80] or 'the root'!a} in the {form} form are not read"] = None

    def _symbols(self, tree: int, heap: int) -> Iterator[tuple[str, int]]:
        """Yield the links of a group of the old form."""
        if self.window.at(heap, 4) != b"HEAP":
            raise FormatError("a group has no heap of names")
        size, data = _u64(self.window, heap + 8), _u64(self.window, heap + 24)
        self.window.require(data, size)
        for node in self._leaves(tree, 0, set()):
            if self.window.at(node, 4) != b"SNOD":
                raise FormatError("a group has a damaged list of names")
            count = int.from_bytes(self.window.at(node + 6, 2), "little")
            for number in range(count):
                self.window.step()
                at = node + 8 + 40 * number
                name_at, header = _u64(self.window, at), _u64(self.window, at + 8)
                if int.from_bytes(self.window.at(at + 16, 4), "little") == 2:
                    continue  # a soft link, to an object of this file
                raw = self.window.at(data + name_at, min(1024, size - name_at))
                yield _text(raw.split(b"\0", 1)[0]), header

    def _leaves(self, place: int, depth: int, seen: set[int]) -> Iterator[int]:
        if depth > 16 or place in seen:
            raise FormatError("a group's tree turns round, or is too deep")
        seen.add(place)
        if self.window.at(place, 5) != b"TREE\0":
            raise FormatError("a group has a damaged tree")
        level, count = self.window.at(place + 5, 1)[0], int.from_bytes(self.window.at(place + 6, 2), "little")
        for number in range(count):
            self.window.step()
            child = _u64(self.window, place + 24 + 16 * number + 8)
            if level:
                yield from self._leaves(child, depth + 1, seen)
            else:
                yield child

    def _link(self, cursor: Cursor) -> Iterator[tuple[str, int]]:
        """Yield a link of the new form."""
        version, flags = cursor.number("<B"), cursor.number("<B")
        kind = cursor.number("<B") if flags & 8 else 0
        cursor.skip((8 if flags & 4 else 0) + (1 if flags & 16 else 0))
        size = int.from_bytes(cursor.take(1 << (flags & 3)), "little")
        name = _text(cursor.take(size)) if version == 1 and size <= 4096 else None
        if name is None or kind > 1:
            raise FormatError(
                "a link leads to another file" if kind == 64 else "a link has a form that is not known"
            )
        if kind == 0:
            yield name, cursor.number("<Q")

    def _attribute(self, cursor: Cursor, path: str) -> None:
        """Keep a text of the root that Keras reads, and note a pickle, which PyTables loads."""
        self.window.step(2)
        version, flags = cursor.number("<B"), cursor.number("<B")
        sizes = [cursor.number("<H") for _ in range(3)]
        cursor.skip(1 if version == 3 else 0)
        whole = [-(-size // 8) * 8 if version == 1 else size for size in sizes]
        start = cursor.place
        name = _text(cursor.take(sizes[0])[:-1].split(b"\0", 1)[0])  # the library leaves the last byte out
        kept = not path and name in _KEPT
        if kept and name in self.found.attributes:
            raise FormatError(f"its root has the attribute {name} twice")
        shared = version > 1 and flags & 3
        cursor.skip(whole[0] - sizes[0])
        kind, width = _dtype(Cursor(self.window, start + whole[0], start + whole[0] + sizes[1]))
        cursor.skip(whole[1] + whole[2])
        value = b""
        if kind == "text" and not shared:
            value = self._text_of(cursor, kept)
        elif kind == "bytes" and width <= min(_MAX_VALUE, cursor.left) and not shared:
            value = cursor.take(width).rstrip(b"\0")
        elif kept or shared:
            self._unread("attributes", "shared" if shared else kind, path)
            return
        if kept:
            self.found.attributes[name] = value
        inside = follow(self.window.inner(value))
        objects = _OBJECTS.get(name)
        if inside.acts or inside.endless or (objects is not None and objects(value)):
            self.found.pickled = f"{path}/{name}"

    def _text_of(self, cursor: Cursor, kept: bool) -> bytes:
        try:
            return self._heap_text(cursor) if cursor.left >= 16 else b""
        except FormatError:
            if kept or self.window.spent:
                raise
            return b""

    def _heap_text(self, cursor: Cursor) -> bytes:
        size, place, index = cursor.number("<I"), cursor.number("<Q"), cursor.number("<I")
        if not size:
            return b""
        if self.window.at(place, 4) != b"GCOL" or size > _MAX_VALUE:
            raise FormatError("a text lies in no heap, or is too long")
        heap = Cursor(self.window, place + 16, min(self.window.size, place + _u64(self.window, place + 8)))
        while heap.left >= 16:
            self.window.step()
            number = heap.number("<H")
            heap.skip(6)
            length = heap.number("<Q")
            if number == index:
                return heap.take(min(size, length))
            if number == 0:
                break
            heap.skip(min(-(-length // 8) * 8, heap.left))
        raise FormatError("a text is not in its heap")


def _messages(window: Window, place: int) -> Iterator[tuple[int, bool, int, int]]:
    """Yield type, whether it stands elsewhere, start and end of the messages of an object header."""
    if window.at(place, 4) == b"OHDR":
        yield from _messages_2(window, place)
        return
    if window.at(place, 1) != b"\x01":
        raise FormatError(f"no object stands at byte {place}")
    todo = [(place + 16, int.from_bytes(window.at(place + 8, 4), "little"))]
    left = window.size
    while todo:  # whatever number of messages is declared: the library reads all that are there
        at, size = todo.pop(0)
        left = _apart(window, at, size, left)
        end = at + size
        while at + 8 <= end:
            window.step()
            kind, length = (
                int.from_bytes(window.at(at, 2), "little"),
                int.from_bytes(window.at(at + 2, 2), "little"),
            )
            if at + 8 + length > end:
                raise FormatError("a message leaves its header")
            if kind == _CONTINUE:
                todo.append((_u64(window, at + 8), _u64(window, at + 16)))
            else:
                yield kind, bool(window.at(at + 4, 1)[0] & _SHARED), at + 8, at + 8 + length
            at += 8 + length


def _messages_2(window: Window, place: int) -> Iterator[tuple[int, bool, int, int]]:
    flags = window.at(place + 5, 1)[0]
    at = place + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
    width = 1 << (flags & 3)
    todo = [(at + width, int.from_bytes(window.at(at, width), "little"))]
    left = window.size
    head = 6 if flags & 4 else 4
    while todo:
        at, size = todo.pop(0)
        left = _apart(window, at, size, left)
        end = at + size
        while at + head <= end:
            window.step()
            kind, length = window.at(at, 1)[0], int.from_bytes(window.at(at + 1, 2), "little")
            if at + head + length > end:
                break  # a gap at the end
            if kind == _CONTINUE:
                start, more = _u64(window, at + head), _u64(window, at + head + 8)
                if more < 8 or window.at(start, 4) != b"OCHK":
                    raise FormatError("a header goes on where none is")
                todo.append((start + 4, more - 8))
            else:
                yield kind, bool(window.at(at + 3, 1)[0] & _SHARED), at + head, at + head + length
            at += head + length


def _apart(window: Window, at: int, size: int, left: int) -> int:
    """Return what is left of a file's bytes after one more block of a header.

    Raises:
        FormatError: the block is not in the file, or the blocks lie over each other, so that they could go on for ever.
    """
    window.require(at, size)
    if size > left:
        raise FormatError("the blocks of a header are larger than the file")
    return left - size


def _shape(cursor: Cursor) -> list[int | str]:
    version, rank, flags = cursor.number("<B"), cursor.number("<B"), cursor.number("<B")
    if version not in (1, 2) or rank > 32:
        raise FormatError("a dataset has a shape of an unknown form")
    cursor.skip(5 if version == 1 else 1)
    del flags
    return [cursor.number("<Q") for _ in range(rank)]


def _dtype(cursor: Cursor) -> tuple[str, int]:
    """Return a name, and the bytes of one value."""
    first, bits, size = cursor.number("<B"), cursor.take(3), cursor.number("<I")
    kind = first & 15
    if kind == 0:
        return f"{'int' if bits[0] & 8 else 'uint'}{8 * size}", size
    if kind == 1:
        precision = int.from_bytes(cursor.take(4)[2:4], "little") if cursor.left >= 4 else 8 * size
        exponent = cursor.take(2)[1] if cursor.left >= 2 else 0
        return ("bfloat16" if (precision, exponent) == (16, 8) else f"float{8 * size}"), size
    if kind == 9:
        return ("text" if bits[0] & 15 == 1 else "list"), size
    names = {3: "bytes", 5: "opaque", 6: "record", 7: "reference", 8: "enum", 10: "array"}
    return names.get(kind, "other"), size


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _u64(window: Window, place: int) -> int:
    return int.from_bytes(window.at(place, 8), "little")
