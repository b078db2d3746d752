"""The store interface.

`Store` is what the rest of the package sees. The public methods check arguments, limits and hashes and map
errors, once, here; an adapter only says how blocks come and go, in the methods with an underscore, and cannot
forget the rest.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO, Self

from steelyard.domain.parallel import in_order
from steelyard.errors import InputError, StoreError, VerificationError
from steelyard.storage.cid import CID, Codec, codec_of, parse_cid
from steelyard.storage.dagpb import MAX_BLOCK, Link, check_name, decode_node
from steelyard.storage.directories import directory_blocks
from steelyard.storage.reader import MAX_ENTRIES, Reader, Trace, cumulative_size, verify_block
from steelyard.storage.unixfs import CHUNK, Readable, import_file, link_leaves

MAX_WALK = 1 << 24
"""Most blocks that a walk over a DAG visits: 16 TiB in leaves of 1 MiB."""


@dataclass(frozen=True)
class Visited:
    """One block met on a walk.

    Attributes:
        cid: the block.
        size: its own bytes, or None for a leaf that was not fetched and whose size no parent declared.
    """

    cid: CID
    size: int | None


class Store(ABC):
    """Blocks by content, and UnixFS files and directories on top of them.

    Every method may raise `StoreError` when the store does not answer, and `InputError` for a malformed CID.
    Instances may be used from several threads.
    """

    at_once: int = 1
    """Blocks to ask for at a time by who needs many: more than one where an answer is long on its way."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What to call the store in messages: a folder or an address, without credentials."""

    # -- blocks ----------------------------------------------------------------------------------------------

    def get_block(self, cid: str) -> bytes:
        """Return a block, at most MAX_BLOCK bytes, after hashing it.

        Raises:
            NotFoundError: the store does not have it.
            DigestError: the store returned other bytes.
        """
        name = parse_cid(cid)
        return verify_block(name, self._claimed(name))

    def put_block(self, cid: str, data: bytes | memoryview, *, hashed: bool = False) -> None:
        """Store a block.

        Args:
            cid: its identifier.
            data: its bytes.
            hashed: the caller has just compared the two, so that they are not compared again.

        Raises:
            InputError: more than MAX_BLOCK bytes.
            DigestError: ``data`` does not hash to ``cid``.
        """
        name = parse_cid(cid)
        if len(data) > MAX_BLOCK:
            raise InputError(f"block of {len(data)} bytes is above the limit of {MAX_BLOCK}")
        if not hashed:
            verify_block(name, bytes(data))
        with _mapped(f"storing block {name}"):
            self._store(name, data)

    def has(self, cid: str) -> bool:
        """Whether the store says it has a block; only `get_block` proves it."""
        name = parse_cid(cid)
        with _mapped(f"looking for block {name}"):
            return self._has(name)

    # -- pins ------------------------------------------------------------------------------------------------

    def adding(self) -> AbstractContextManager[None]:
        """Keep the store's collector away, from the first block that is added to the pin.

        Needed where that may take longer than the time for which the store keeps what is not pinned, or where
        blocks that were there before are only linked to. A no-op where the store collects by its own rules.
        """
        return nullcontext()

    def pin(self, cid: str) -> None:
        """Keep a block and everything below it until `unpin`. Pinning twice is pinning once.

        Raises:
            NotFoundError: a block of it is missing; nothing was pinned.
            VerificationError: a block of it is damaged; nothing was pinned.
        """
        name = parse_cid(cid)
        with _mapped(f"pinning {name}"):
            self._pin(name)

    def unpin(self, cid: str) -> None:
        """Let go of what `pin` kept; no error if it was not pinned."""
        name = parse_cid(cid)
        with _mapped(f"unpinning {name}"):
            self._unpin(name)

    def is_pinned(self, cid: str) -> bool:
        """Whether this very CID was pinned (not only something above it)."""
        name = parse_cid(cid)
        with _mapped(f"looking for pin {name}"):
            return self._is_pinned(name)

    # -- files and directories -------------------------------------------------------------------------------

    def add_file(self, stream: Readable) -> CID:
        """Store a stream as a file, in constant memory, and return its CID. Not pinned: see `pin`.

        Args:
            stream: a binary stream, read to its end.
        """
        root: CID | None = None
        for block in import_file(stream):
            # The importer has just hashed these bytes, so they are not hashed again as put_block would.
            with _mapped(f"storing block {block.cid}"):
                self._store(block.cid, block.data)
            root = block.cid
        assert root is not None  # the importer yields at least the empty leaf
        return root

    def link_file(self, leaves: Iterable[tuple[CID, int]]) -> CID:
        """Make a file of leaves that are in the store already, and return its CID. Not pinned: see `pin`.

        Args:
            leaves: CID and bytes of each raw leaf, in order: CHUNK bytes, and 1 to CHUNK the last.

        Raises:
            InputError: there is no leaf.
        """
        root: CID | None = None

        def first(items: Iterable[tuple[CID, int]]) -> Iterator[tuple[CID, int]]:
            nonlocal root
            for item in items:
                root = root or item[0]
                yield item

        for block in link_leaves(first(leaves)):
            with _mapped(f"storing block {block.cid}"):
                self._store(block.cid, block.data)
            root = block.cid
        if root is None:
            raise InputError("a file needs a leaf")
        return root

    def add_directory(self, entries: Mapping[str, Readable | CID]) -> CID:
        """Store a directory and return its CID. Not pinned: see `pin`.

        Args:
            entries: for each name a binary stream, or the CID of a file or directory that is already in the
                store.

        Raises:
            InputError: a bad name, or a malformed CID.
            NotFoundError: an entry given by CID is not in the store.
        """
        for name in entries:  # a bad name must be found before anything is stored
            check_name(name)
        links = []
        for name, value in entries.items():
            cid = parse_cid(value) if isinstance(value, str) else self.add_file(value)
            links.append(Link(cid=cid, name=name, tsize=self.cumulative_size(cid)))
        return self.add_links(links)

    def add_links(self, links: list[Link]) -> CID:
        """Store a directory of entries whose cumulative sizes are known, and return its CID.

        Raises:
            InputError: a bad or repeated name.
        """
        for block in directory_blocks(links):
            with _mapped(f"storing block {block.cid}"):
                self._store(block.cid, block.data)
        return block.cid  # of the last block, the root; there is always one

    def list_directory(self, cid: str, *, most: int = MAX_ENTRIES) -> tuple[Link, ...]:
        """Return the entries of a directory in the order of their names' bytes.

        Raises:
            InputError: it is a file.
            NotFoundError: the store does not have it.
            VerificationError: a block is false or malformed, or there are more than ``most`` entries.
        """
        return self._reader().list_directory(parse_cid(cid), most=most)

    def is_directory(self, cid: str) -> bool:
        """Whether a CID names a directory, else a file.

        Raises:
            NotFoundError: the store does not have it.
            VerificationError: the block is false or malformed.
        """
        return self._reader().is_directory(parse_cid(cid))

    def resolve(self, root: str, path: str) -> CID:
        """Follow a path (names joined by ``/``) from a directory.

        Raises:
            InputError: a malformed path, or a step into a file.
            NotFoundError: no such entry, or a block is missing.
            VerificationError: a block is false or malformed.
        """
        return self.trace(root, path).roots[-1]

    def trace(self, root: str, path: str) -> Trace:
        """Follow a path (names joined by ``/``) from a directory, and say which blocks lead there.

        Raises:
            InputError: a malformed path, or a step into a file.
            NotFoundError: no such entry, or a block is missing.
            VerificationError: a block is false or malformed.
        """
        return self._reader().trace(parse_cid(root), path)

    def directory(self, cid: str) -> Iterator[CID]:
        """Yield the blocks that a directory's entries stand in, parents before children.

        Raises:
            InputError: it is a file.
            NotFoundError: a block is missing.
            VerificationError: a block is false or malformed.
        """
        return (block for block, _ in self._reader().directory(parse_cid(cid)))

    def file_size(self, cid: str) -> int:
        """Return the size of a file in bytes, as its root declares it; reading proves it.

        Raises:
            InputError: it is a directory.
            NotFoundError: the store does not have it.
            VerificationError: the block is false or malformed.
        """
        return self._reader().open(parse_cid(cid)).size

    def read_file(self, cid: str, *, max_size: int, offset: int = 0, length: int | None = None) -> bytes:
        """Return a file or a range of it as one byte string.

        Args:
            cid: root of the file.
            max_size: most bytes the caller is ready to hold; known from the caller's side, never from the
                store's.
            offset: first byte.
            length: most bytes; None for all from ``offset`` on.

        Raises:
            VerificationError: the range would be above ``max_size``, or a block or size is false.
            NotFoundError: a block is missing.
        """
        name = parse_cid(cid)
        reader = self._reader()
        size = max(0, reader.open(name).size - offset)
        if min(size, size if length is None else length) > max_size:
            raise VerificationError(f"file {name} declares {size} bytes; at most {max_size} were expected")
        return b"".join(reader.read(name, offset=offset, length=length))

    def stream_file(self, cid: str, *, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield a file or a range of it in verified pieces of at most MAX_BLOCK bytes.

        Args:
            cid: root of the file.
            offset: first byte; beyond the end nothing is yielded.
            length: most bytes; None for all from ``offset`` on.

        Raises:
            InputError: a negative range, or a directory.
            NotFoundError: a block is missing.
            VerificationError: a block or a declared size is false; what was yielded before was right.
        """
        return self._reader().read(parse_cid(cid), offset=offset, length=length)

    def open_file(self, cid: str) -> BinaryIO:
        """Return a file as a seekable binary file object, verified as it is read, for use by one thread.

        Raises:
            InputError: it is a directory.
            NotFoundError: the store does not have its root.
            VerificationError: the root block is false or malformed.
        """
        return io.BufferedReader(_RawFile(self._reader(), parse_cid(cid)), buffer_size=CHUNK)

    def reader(self) -> Reader:
        """Return a reader that remembers the inner nodes that it met, for many ranges of a file; for use by one thread."""
        return self._reader()

    def cumulative_size(self, cid: str) -> int:
        """Return the bytes of all blocks from a CID on, as its root declares them (Tsize)."""
        name = parse_cid(cid)
        return cumulative_size(name, self.get_block(name))

    def walk(self, cid: str, *, leaves: bool = True) -> Iterator[Visited]:
        """Yield every block of a DAG once, parents before children.

        Args:
            cid: where to start.
            leaves: fetch and hash raw leaves too, so that the whole DAG is verified; else they are only
                named.

        Raises:
            NotFoundError: a block is missing.
            VerificationError: a block is false or malformed, or there are more than MAX_WALK.
        """
        for name, declared, block in self._visit(cid, leaves=leaves):
            yield Visited(name, declared if block is None else len(block))

    def blocks(self, cid: str, *, repeat: bool = False) -> Iterator[tuple[CID, bytes]]:
        """Yield every block of a DAG with its bytes, verified: depth first, parents before children.

        Children come in the order of their links, so that the order depends on the DAG alone.

        Args:
            cid: where to start.
            repeat: yield a block each time that it is linked, else once.

        Raises:
            NotFoundError: a block is missing.
            VerificationError: a block is false or malformed, or there are more than MAX_WALK.
        """
        for name, _, block in self._visit(cid, leaves=True, repeat=repeat):
            assert block is not None  # leaves were asked for
            yield name, block

    def span(self, cid: str, start: int, stop: int) -> Iterator[CID]:
        """Yield the blocks that prove a range of a file, parents before children: its root, and what holds it.

        Args:
            cid: root of the file.
            start: first byte.
            stop: the byte after the last; if it is not above ``start``, only the root is yielded.

        Raises:
            InputError: it is a directory.
            NotFoundError: a block is missing.
            VerificationError: a block or a declared size is false.
        """
        return self._reader().span(parse_cid(cid), start, stop)

    def _visit(
        self, cid: str, *, leaves: bool, repeat: bool = False
    ) -> Iterator[tuple[CID, int | None, bytes | None]]:
        """Yield (block, size that a parent declared, bytes unless it is a leaf that was not asked for)."""
        todo: list[tuple[CID, int | None]] = [(parse_cid(cid), None)]
        seen: set[CID] = set()
        count = 0

        def following() -> Iterator[tuple[CID, int | None]]:
            """Yield what comes next, up to an inner node: what follows it stands in it."""
            nonlocal count
            while todo:
                name, declared = todo.pop()
                if name in seen:
                    continue
                if not repeat:
                    seen.add(name)
                count += 1
                if count > MAX_WALK:
                    raise VerificationError(f"{cid} has more than {MAX_WALK} blocks")
                yield name, declared
                if codec_of(name) is not Codec.RAW:
                    return

        def visit(item: tuple[CID, int | None]) -> tuple[CID, int | None, bytes | None]:
            name, declared = item
            unasked = codec_of(name) is Codec.RAW and not leaves
            return name, declared, None if unasked else self.get_block(name)

        while todo:
            for name, declared, block in in_order(visit, following(), self.at_once if leaves else 1):
                yield name, declared, block
                if block is not None and codec_of(name) is not Codec.RAW:
                    todo.extend((link.cid, link.tsize) for link in reversed(decode_node(block).links))

    def close(self) -> None:  # noqa: B027  # nothing to close is the usual case
        """Let go of connections; the store may not be used afterwards."""

    def __enter__(self) -> Self:
        """Return the store itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the store."""
        self.close()

    # -- what an adapter provides ----------------------------------------------------------------------------

    @abstractmethod
    def _fetch(self, cid: CID, limit: int) -> bytes:
        """Return what the store claims to be a block, cut after ``limit`` bytes.

        Raises:
            NotFoundError: it does not have the block.
        """

    @abstractmethod
    def _store(self, cid: CID, data: bytes | memoryview) -> None:
        """Store a block whose hash was checked; durable when this returns, apart from the directory entry."""

    @abstractmethod
    def _has(self, cid: CID) -> bool:
        """Whether the store says it has a block."""

    @abstractmethod
    def _pin(self, cid: CID) -> None:
        """Pin recursively; everything below is durable when this returns."""

    @abstractmethod
    def _unpin(self, cid: CID) -> None:
        """Remove a pin, if there is one."""

    @abstractmethod
    def _is_pinned(self, cid: CID) -> bool:
        """Whether there is such a pin."""

    # -- private ---------------------------------------------------------------------------------------------

    def _reader(self) -> Reader:
        return Reader(self._claimed)

    def _claimed(self, cid: CID) -> bytes:
        with _mapped(f"fetching block {cid}"):
            # One byte over the limit is enough to see that it is broken.
            return self._fetch(cid, MAX_BLOCK + 1)


class _RawFile(io.RawIOBase):
    """A file of the store as an unbuffered, seekable stream."""

    def __init__(self, reader: Reader, cid: CID) -> None:
        super().__init__()
        self._reader = reader
        self._cid = cid
        self._size = reader.open(cid).size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}
        if whence not in base or base[whence] + offset < 0:
            raise InputError(f"cannot seek to {offset} from {whence}")
        self._at = base[whence] + offset
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's Buffer is wider
        done = 0
        for piece in self._reader.read(self._cid, offset=self._at, length=len(buffer)):
            buffer[done : done + len(piece)] = piece
            done += len(piece)
        self._at += done
        return done


@contextmanager
def _mapped(doing: str) -> Iterator[None]:
    """Turn an operating system's error into ours, for every adapter."""
    try:
        yield
    except OSError as exc:
        raise StoreError(f"{doing}: {exc}") from exc
