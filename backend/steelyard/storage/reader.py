"""Strict UnixFS reader over blocks that nobody has checked yet.

Three things are checked before a byte is handed on: the block hashes to its CID; its encoding is canonical;
every size that a parent declared for it (file bytes and cumulative bytes) is the size that it has. A child
that would add no byte is refused and depth is bounded, so the work of reading is bounded by the bytes that
come out. Cycles would need a hash collision. It also reads files that other importers made (other leaf sizes,
leaves inside dag-pb), but no symbolic links or metadata.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from steelyard.errors import DigestError, InputError, NotFoundError, VerificationError
from steelyard.storage.cid import CID, Codec, codec_of, decode_cid
from steelyard.storage.dagpb import (
    MAX_BLOCK,
    Kind,
    Link,
    Node,
    Unixfs,
    check_name,
    decode_node,
    decode_unixfs,
)
from steelyard.storage.directories import place, read_slots

MAX_DEPTH = 8
"""Most levels of inner nodes above a leaf; three levels of width 1024 already hold 1 PiB."""

MAX_PATH = 64
"""Most components of a path."""

MAX_ENTRIES = 1_000_000
"""Most entries of a directory that is listed."""

_CACHED_NODES = 16
_DIRECTORIES: Final = (Kind.DIRECTORY, Kind.SHARD)

Fetch = Callable[[CID], bytes]
"""Returns the claimed bytes of a block; the reader does not trust them."""


@dataclass(frozen=True)
class FileNode:
    """A checked node of a file.

    Attributes:
        size: bytes of the file from this node on, as declared. Each child is compared with its share when it
            is read.
        tsize: bytes of all blocks from this node on, as declared.
        data: the bytes, if this is a leaf, else None.
        children: (cid, file bytes, cumulative bytes) of each child, in order.
    """

    size: int
    tsize: int
    data: bytes | None
    children: tuple[tuple[CID, int, int], ...] = ()


@dataclass(frozen=True)
class Trace:
    """Where a path leads.

    Attributes:
        roots: where it starts, and where each of its names leads.
        blocks: the blocks that lead to the last of these, in order; of a directory that is a trie all that were read.
    """

    roots: tuple[CID, ...]
    blocks: tuple[CID, ...]


def verify_block(cid: CID, data: bytes) -> bytes:
    """Return ``data`` if it is the block that ``cid`` names.

    Raises:
        DigestError: it is not, or it is larger than MAX_BLOCK.
    """
    if len(data) > MAX_BLOCK:
        raise DigestError(f"block {cid} has more than {MAX_BLOCK} bytes; refused without hashing")
    if hashlib.sha256(data).digest() != decode_cid(cid)[1]:
        raise DigestError(f"{len(data)} bytes were returned for block {cid} that do not hash to it")
    return data


class Reader:
    """Walks files and directories; not shared between threads."""

    def __init__(self, fetch: Fetch) -> None:
        """Read through ``fetch``, whose errors pass through."""
        self._fetch = fetch
        self._cache: OrderedDict[CID, FileNode] = OrderedDict()

    def open(self, cid: CID) -> FileNode:
        """Return the root node of a file.

        Raises:
            InputError: it is a directory.
            VerificationError: a block or a declared size is false.
        """
        cached = self._cache.get(cid)
        if cached is not None:
            self._cache.move_to_end(cid)
            return cached
        block = verify_block(cid, self._fetch(cid))
        if decode_cid(cid)[0] is Codec.RAW:
            return FileNode(size=len(block), tsize=len(block), data=block)
        node = _file_node(cid, block)
        self._cache[cid] = node
        if len(self._cache) > _CACHED_NODES:
            self._cache.popitem(last=False)
        return node

    def read(self, cid: CID, *, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield the bytes of a file, or of a range of it, fetching only the blocks that hold them.

        Args:
            cid: root of the file.
            offset: first byte; at or beyond the end nothing is yielded.
            length: most bytes to yield; None for all.

        Raises:
            InputError: a negative range, or a directory.
            VerificationError: a block or a declared size is false. What was yielded before was right.
        """
        if offset < 0 or (length is not None and length < 0):
            raise InputError(f"negative range: offset {offset}, length {length}")
        node = self.open(cid)
        stop = node.size if length is None else min(node.size, offset + length)
        if offset < stop or node.size == 0:
            yield from self._read(node, offset, stop, 0)

    def span(self, cid: CID, start: int, stop: int) -> Iterator[CID]:
        """Yield the root of a file, and each block that a range of it needs, parents before children.

        Args:
            cid: root of the file.
            start: first byte.
            stop: the byte after the last.

        Raises:
            InputError: it is a directory.
            VerificationError: a block or a declared size is false.
        """
        yield from self._span(cid, self.open(cid), start, stop, 0)

    def list_directory(self, cid: CID, *, most: int = MAX_ENTRIES) -> tuple[Link, ...]:
        """Return the entries of a directory, in the order of their names' bytes.

        Raises:
            InputError: it is a file.
            VerificationError: a block is false, has bad, repeated or misplaced names, or there are more than ``most``; of these
                not much more is read.
        """
        found: list[Link] = []
        for _, links in self.directory(cid):
            found += links
            if len(found) > most:
                raise VerificationError(f"directory {cid} has more than {most} entries")
        return tuple(sorted(found, key=lambda link: link.name.encode("utf-8")))

    def directory(self, cid: CID) -> Iterator[tuple[CID, tuple[Link, ...]]]:
        """Yield the blocks of a directory, parents before children, each with the entries that stand in it.

        Raises:
            InputError: it is a file.
            VerificationError: a block is false, or has bad, repeated or misplaced names.
        """
        node, message, _ = self._node(cid)
        if message.kind is Kind.DIRECTORY:
            yield cid, _entries(cid, node, message)
        else:
            yield from self._trie(cid, node, message, b"")

    def is_directory(self, cid: CID) -> bool:
        """Whether a CID names a directory (else a file).

        Raises:
            VerificationError: the block is false, or neither of the two.
        """
        if decode_cid(cid)[0] is Codec.RAW:
            return False
        node = decode_node(verify_block(cid, self._fetch(cid)))
        return decode_unixfs(node.data).kind in _DIRECTORIES

    def trace(self, root: CID, path: str) -> Trace:
        """Follow a path of names from a directory.

        Args:
            root: where to start.
            path: names joined by ``/``; empty for the root itself. No leading or double slash, no ``.`` or
                ``..``.

        Raises:
            InputError: a malformed path, or a step into a file.
            NotFoundError: a directory has no such entry.
            VerificationError: a block is false.
        """
        names = path.split("/") if path else []
        if len(names) > MAX_PATH:
            raise InputError(f"path of {len(names)} components is above the limit of {MAX_PATH}")
        for name in names:
            check_name(name)
        roots, blocks = [root], list[CID]()
        for name in names:
            found = self._enter(roots[-1], name, blocks)
            if found is None:
                raise NotFoundError(
                    f"directory {roots[-1]} has no entry {name!r} (resolving {path!r} from {root})"
                )
            roots.append(found)
        return Trace(tuple(roots), tuple(blocks))

    def _enter(self, cid: CID, name: str, blocks: list[CID]) -> CID | None:
        """Return an entry of a directory, and note the blocks on the way to it."""
        node, message, _ = self._node(cid)
        blocks.append(cid)
        if message.kind is Kind.DIRECTORY:
            return next((link.cid for link in _entries(cid, node, message) if link.name == name), None)
        at = place(name)
        for level, slot in enumerate(at):
            link = read_slots(cid, node, message, at[:level]).get(slot)
            if link is None or link.name:
                return link.cid if link is not None and link.name == name else None
            cid = link.cid
            node, message = self._part(link)
            blocks.append(cid)
        raise VerificationError(f"directory {cid} is deeper than its hashes")

    def _trie(
        self, cid: CID, node: Node, message: Unixfs, at: bytes
    ) -> Iterator[tuple[CID, tuple[Link, ...]]]:
        slots = read_slots(cid, node, message, at)
        yield cid, tuple(link for link in slots.values() if link.name)
        for slot, link in slots.items():
            if not link.name:
                yield from self._trie(link.cid, *self._part(link), at + bytes([slot]))

    def _part(self, link: Link) -> tuple[Node, Unixfs]:
        """Return a node below another one of a trie, after comparing it with what that declared."""
        try:
            node, message, size = self._node(link.cid)
        except InputError as exc:
            raise VerificationError(f"a part of a directory is none: {exc}") from exc
        if message.kind is not Kind.SHARD or size != link.tsize:
            raise VerificationError(
                f"block {link.cid} is no part of a directory that has {link.tsize} bytes in all"
            )
        return node, message

    def _node(self, cid: CID) -> tuple[Node, Unixfs, int]:
        """Return a block of a directory, what is in it, and the bytes of all blocks from it on, as it declares them."""
        if decode_cid(cid)[0] is Codec.RAW:
            raise InputError(f"{cid} is a file, not a directory")
        block = verify_block(cid, self._fetch(cid))
        node = decode_node(block)
        message = decode_unixfs(node.data)
        if message.kind not in _DIRECTORIES:
            raise InputError(f"{cid} is a file, not a directory")
        return node, message, len(block) + sum(link.tsize for link in node.links)

    def _read(self, node: FileNode, start: int, stop: int, depth: int) -> Iterator[bytes]:
        if node.data is not None:
            yield node.data if start <= 0 and stop >= len(node.data) else node.data[max(0, start) : stop]
            return
        if depth == MAX_DEPTH:
            raise VerificationError(f"file is deeper than {MAX_DEPTH} levels")
        at = 0
        for cid, size, tsize in node.children:
            if at >= stop:
                return
            if at + size > start:
                yield from self._read(self._child(cid, size, tsize), start - at, stop - at, depth + 1)
            at += size

    def _span(self, cid: CID, node: FileNode, start: int, stop: int, depth: int) -> Iterator[CID]:
        yield cid
        if depth == MAX_DEPTH and node.children:
            raise VerificationError(f"file is deeper than {MAX_DEPTH} levels")
        at = 0
        for child, size, tsize in node.children:
            if at + size > start and at < stop:
                if codec_of(child) is Codec.RAW:  # nothing below it, so it need not be read to be named
                    yield child
                else:
                    below = self._child(child, size, tsize)
                    yield from self._span(child, below, start - at, stop - at, depth + 1)
            at += size

    def _child(self, cid: CID, size: int, tsize: int) -> FileNode:
        """Return a child after comparing it with what its parent declared."""
        try:
            child = self.open(cid)
        except InputError as exc:
            raise VerificationError(f"a part of a file is none: {exc}") from exc
        if child.size != size or child.tsize != tsize:
            raise VerificationError(
                f"block {cid} stands for {child.size} file bytes ({child.tsize} in all); "
                f"its parent declared {size} ({tsize} in all)"
            )
        return child


def _entries(cid: CID, node: Node, message: Unixfs) -> tuple[Link, ...]:
    if message != Unixfs(kind=Kind.DIRECTORY):
        raise VerificationError(f"directory {cid} carries fields of something else")
    try:
        names = [check_name(link.name).encode("utf-8") for link in node.links]
    except InputError as exc:
        raise VerificationError(f"directory {cid}: {exc}") from exc
    if any(after <= before for before, after in pairwise(names)):
        raise VerificationError(f"directory {cid} has repeated or unsorted names")
    return node.links


def cumulative_size(cid: CID, block: bytes) -> int:
    """Return the bytes of all blocks from a checked block on, as it declares them (Tsize of its link)."""
    if decode_cid(cid)[0] is Codec.RAW:
        return len(block)
    return len(block) + sum(link.tsize for link in decode_node(block).links)


def _file_node(cid: CID, block: bytes) -> FileNode:
    node = decode_node(block)
    message = decode_unixfs(node.data)
    if message.kind in _DIRECTORIES:
        raise InputError(f"{cid} is a directory; give the path of a file in it")
    if message.hash_type is not None or message.fanout is not None:
        raise VerificationError(f"file node {cid} carries fields of a directory")
    if not node.links:
        data = message.data or b""
        if message.sizes or (message.size is not None and message.size != len(data)):
            raise VerificationError(f"file leaf {cid} holds {len(data)} bytes but declares {message.size}")
        return FileNode(size=len(data), tsize=len(block), data=data)
    return _inner_node(cid, block, node, message.data, message.size, message.sizes)


def _inner_node(
    cid: CID, block: bytes, node: Node, data: bytes | None, size: int | None, sizes: tuple[int, ...]
) -> FileNode:
    if data is not None:
        raise VerificationError(f"file node {cid} has both data and links")
    if len(sizes) != len(node.links):
        raise VerificationError(f"file node {cid} has {len(node.links)} links and {len(sizes)} sizes")
    if size != sum(sizes):
        raise VerificationError(f"file node {cid} declares {size} bytes and {sum(sizes)} by its parts")
    # Without this a node could point forty thousand times at an empty file, on every level, and never yield a
    # byte.
    if any(part == 0 for part in sizes):
        raise VerificationError(f"file node {cid} has an empty part")
    if any(link.name for link in node.links):
        raise VerificationError(f"file node {cid} has named links")
    return FileNode(
        size=sum(sizes),
        tsize=len(block) + sum(link.tsize for link in node.links),
        data=None,
        children=tuple((link.cid, part, link.tsize) for link, part in zip(node.links, sizes, strict=True)),
    )
