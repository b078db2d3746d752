"""UnixFS importer, profile ``unixfs-v1-2025``: CIDv1, sha2-256, 1 MiB raw leaves, width 1024.

Pure and streaming: it holds one leaf and at most 1024 links for each level of the tree. The same bytes give
the same identifiers as Kubo and Helia do with that profile (tests/vectors/cid.txt).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from steelyard.storage.cid import CID, Codec, cid_of, encode_cid
from steelyard.storage.dagpb import Kind, Link, Node, Unixfs, encode_node, encode_unixfs

CHUNK = 1 << 20
"""Bytes of a leaf; the last one of a file may be shorter."""

WIDTH = 1024
"""Most links of an inner node of a file."""


class Readable(Protocol):
    """What the importer reads from: a binary file, or anything with its ``read``."""

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, and ``b""`` only at the end."""
        ...


@dataclass(frozen=True)
class Block:
    """A block made by the importer.

    Attributes:
        cid: its identifier.
        data: its bytes.
        size: bytes of the file below it; 0 for a directory.
        tsize: bytes of all blocks below it, itself included.
    """

    cid: CID
    data: bytes
    size: int
    tsize: int

    def link(self, name: str = "") -> Link:
        """Return a link to this block."""
        return Link(cid=self.cid, name=name, tsize=self.tsize)


@dataclass(frozen=True)
class _Child:
    cid: CID
    size: int
    tsize: int


class _Tree:
    """Folds leaves into a balanced tree from below; every leaf ends at the same depth."""

    def __init__(self, width: int = WIDTH) -> None:
        self._width = width
        self._levels: list[list[_Child]] = [[]]

    def push(self, child: _Child, *, level: int = 0) -> Iterator[Block]:
        """Take the next child of a level; yield the inner nodes that this completes."""
        if level == len(self._levels):
            self._levels.append([])
        self._levels[level].append(child)
        if len(self._levels[level]) == self._width:
            yield from self._fold(level)

    def finish(self) -> Iterator[Block]:
        """Yield the inner nodes that are left, the root last; nothing if the root is already out."""
        level = 0
        while level + 1 < len(self._levels) or len(self._levels[level]) > 1:
            if self._levels[level]:
                yield from self._fold(level)
            level += 1

    def _fold(self, level: int) -> Iterator[Block]:
        children, self._levels[level] = self._levels[level], []
        node = _file_node(children)
        yield node
        yield from self.push(_Child(node.cid, node.size, node.tsize), level=level + 1)


def import_file(stream: Readable) -> Iterator[Block]:
    """Cut a stream into blocks.

    Args:
        stream: read once, in order, to its end.

    Yields:
        Every block, children before parents; the **last** one is the root. Equal leaves are yielded each
        time.
    """
    tree = _Tree()
    count = 0
    while (chunk := read_exactly(stream, CHUNK)) or count == 0:
        count += 1
        leaf = Block(cid=cid_of(chunk), data=chunk, size=len(chunk), tsize=len(chunk))
        yield leaf
        yield from tree.push(_Child(leaf.cid, leaf.size, leaf.tsize))
    yield from tree.finish()


def link_leaves(leaves: Iterable[tuple[CID, int]]) -> Iterator[Block]:
    """Build the tree over leaves that exist already.

    Args:
        leaves: CID and bytes of each leaf, in order: CHUNK bytes, and 1 to CHUNK the last.

    Yields:
        The inner nodes, children before parents; the **last** one is the root. None if there is one leaf only, which is
        the root itself.
    """
    tree = _Tree()
    for cid, size in leaves:
        yield from tree.push(_Child(cid, size, size))
    yield from tree.finish()


def file_cid(stream: Readable) -> CID:
    """Return the CID that a file would get, without storing anything.

    Args:
        stream: read once, in order, to its end. An unbuffered file (``open(path, "rb", buffering=0)``) is
            fastest.
    """
    # One buffer for all leaves where the stream can fill it: saves an allocation of 1 MiB for each leaf.
    readinto = getattr(stream, "readinto", None)
    buffer = memoryview(bytearray(CHUNK))
    tree = _Tree()
    root: CID | None = None
    while True:
        if readinto is None:
            view = memoryview(read_exactly(stream, CHUNK))
        else:
            filled = 0
            while filled < CHUNK and (got := readinto(buffer[filled:])):
                filled += got
            view = buffer[:filled]
        if not view and root is not None:
            break
        root = encode_cid(hashlib.sha256(view).digest())
        for node in tree.push(_Child(root, len(view), len(view))):
            root = node.cid
        if len(view) < CHUNK:
            break
    for node in tree.finish():
        root = node.cid
    return root


def read_exactly(stream: Readable, size: int) -> bytes:
    """Return ``size`` bytes, or fewer only at the end of the stream, joining short reads."""
    data = stream.read(size)
    if len(data) == size or not data:
        return data
    parts = [data]
    left = size - len(data)
    while left and (data := stream.read(left)):
        parts.append(data)
        left -= len(data)
    return b"".join(parts)


def _file_node(children: list[_Child]) -> Block:
    sizes = tuple(child.size for child in children)
    links = tuple(Link(cid=child.cid, name="", tsize=child.tsize) for child in children)
    data = encode_unixfs(Unixfs(kind=Kind.FILE, size=sum(sizes), sizes=sizes))
    return block_of(Node(links=links, data=data), size=sum(sizes))


def block_of(node: Node, *, size: int) -> Block:
    """Return the block of a node; ``size`` is that of the file below it."""
    data = encode_node(node)
    tsize = len(data) + sum(link.tsize for link in node.links)
    return Block(cid=cid_of(data, codec=Codec.DAG_PB), data=data, size=size, tsize=tsize)
