"""The chunks of a version in the store, one at a time and in any order: what is public of them, and opened with the key.

Memory does not grow with the version: of tags and leaf list too, only the blocks at hand are held. Several threads may use one object.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

from steelyard.crypto.content import CHUNK_SIZE, HASH_SIZE, LEAVES_PER_CHUNK, TAG_SIZE, Geometry
from steelyard.crypto.leaves import chunk_root
from steelyard.crypto.secret import Secret
from steelyard.crypto.stream import OpenedChunk, open_chunk
from steelyard.domain.parallel import in_order
from steelyard.errors import InputError, VerificationError
from steelyard.service.public import CIPHERTEXT, LEAVES, TAGS, PublicFolder
from steelyard.storage.base import Store
from steelyard.storage.reader import Reader
from steelyard.storage.unixfs import CHUNK as BLOCK

_LIST: Final = HASH_SIZE * LEAVES_PER_CHUNK
_HELD: Final = 4


class _Own(threading.local):
    """What a thread has for itself: a reader."""

    reader: Reader | None = None


class Chunks:
    """What is public of a version's chunks. Every block is hashed before it is used."""

    def __init__(self, store: Store, folder: PublicFolder) -> None:
        """Look at the sizes of the folder's files.

        Raises:
            NotFoundError: the store does not have them.
            VerificationError: they have another length than the version's size gives, or a block is false.
        """
        self.folder = folder
        self.geometry = Geometry(folder.manifest.size)
        self._store = store
        self._own = _Own()
        self._lists: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._lock = threading.Lock()
        expected = {
            CIPHERTEXT: self.geometry.size,
            TAGS: TAG_SIZE * self.geometry.chunks,
            LEAVES: HASH_SIZE * self.geometry.leaves,
        }
        for name, size in expected.items():
            try:
                found = self._reader().open(folder.entries[name]).size
            except InputError as exc:
                raise VerificationError(f"{name} of {folder.cid} is no file") from exc
            if found != size:
                raise VerificationError(
                    f"{name} of {folder.cid} has {found} bytes, and the version's size gives {size}"
                )

    def ciphertext(self, index: int) -> bytes:
        """Return a chunk as published.

        Raises:
            NotFoundError: the store does not have it.
            VerificationError: a block is false.
        """
        return self._read(CIPHERTEXT, index * CHUNK_SIZE, self.geometry.chunk_length(index))

    def tag(self, index: int) -> bytes:
        """Return a chunk's tag; raises as :meth:`ciphertext` does."""
        return self._listed(TAGS, index * TAG_SIZE, TAG_SIZE)

    def salted(self, index: int) -> bytes:
        """Return a chunk's part of the leaf list; raises as :meth:`ciphertext` does."""
        return self._listed(LEAVES, index * _LIST, HASH_SIZE * self.geometry.chunk_leaves(index))

    def root(self, index: int) -> bytes:
        """Return a chunk's root, from its public bytes; raises as :meth:`ciphertext` does."""
        return chunk_root(index, ciphertext=self.ciphertext(index), salted=self.salted(index))

    def workers(self, threads: int) -> int:
        """Return how many chunks to work on at a time with so many threads of the processor: some wait for the store."""
        return max(threads + 2, self._store.at_once)

    def _reader(self) -> Reader:
        if self._own.reader is None:
            self._own.reader = self._store.reader()
        return self._own.reader

    def _read(self, name: str, offset: int, length: int) -> bytes:
        data = b"".join(self._reader().read(self.folder.entries[name], offset=offset, length=length))
        if len(data) != length:
            raise VerificationError(f"{name} of {self.folder.cid} ends before its declared size")
        return data

    def _listed(self, name: str, offset: int, length: int) -> bytes:
        # Neither an entry of the tags nor a chunk's part of the leaf list lies across two blocks. The threads are at chunks near each
        # other, so they share the blocks that were used last: who comes first fetches, and the others wait for it.
        place, inside = divmod(offset, BLOCK)
        with self._lock:
            held = self._lists.get((name, place))
            if held is None:
                total = TAG_SIZE * self.geometry.chunks if name == TAGS else HASH_SIZE * self.geometry.leaves
                held = self._read(name, place * BLOCK, min(BLOCK, total - place * BLOCK))
                self._lists[name, place] = held
                if len(self._lists) > _HELD:
                    self._lists.popitem(last=False)
            self._lists.move_to_end((name, place))
        return held[inside : inside + length]


class Opened(Chunks):
    """The plaintext of a version's chunks."""

    def __init__(
        self, store: Store, folder: PublicFolder, *, key: Secret, roots: bytes | None = None
    ) -> None:
        """Look at the folder.

        Args:
            store: that has it.
            folder: the public folder.
            key: the content key.
            roots: the chunk roots, 32 bytes each, if they were compared with the chain; then every chunk is compared with its own.

        Raises:
            NotFoundError: the store does not have the folder's files.
            VerificationError: they have another length than the version's size gives, or a block is false.
        """
        super().__init__(store, folder)
        self._key = key
        self._roots = roots
        self._last: tuple[int, bytes] | None = None

    def open(self, index: int) -> OpenedChunk:
        """Fetch, decrypt and check a chunk.

        Raises:
            NotFoundError: the store does not have it.
            LeafError: a leaf of the plaintext is not the one committed.
            VerificationError: a block is false, or the chunk is not what the chain commits to.
        """
        return open_chunk(
            index,
            ciphertext=self.ciphertext(index),
            tag=self.tag(index),
            salted=self.salted(index),
            key=self._key,
            last=self.geometry.is_last(index),
            root=None if self._roots is None else self._roots[32 * index : 32 * index + 32],
        )

    def read(self, start: int, stop: int) -> bytes:
        """Return bytes ``start`` to ``stop`` of the plaintext stream, of which no more than their chunks are fetched.

        Raises:
            InputError: there are no such bytes.
            VerificationError: as :meth:`open`.
        """
        if not 0 <= start <= stop <= self.geometry.size:
            raise InputError(f"bytes {start} to {stop} are not in a stream of {self.geometry.size}")
        indexes = range(start // CHUNK_SIZE, -(-stop // CHUNK_SIZE) if start < stop else 0)
        parts = []
        # Of several chunks some wait for the store while others are opened.
        threads = 1 if len(indexes) < 2 else self.workers(1)
        for index, chunk in zip(indexes, in_order(self._plaintext, indexes, threads), strict=True):
            first = index * CHUNK_SIZE
            parts.append(chunk[max(0, start - first) : stop - first])
            self._last = index, chunk
        return b"".join(parts)

    def _plaintext(self, index: int) -> bytes:
        last = self._last
        return last[1] if last is not None and last[0] == index else self.open(index).plaintext
