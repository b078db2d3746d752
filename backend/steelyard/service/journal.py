"""What a publisher has sealed so far: one file of fixed records, one record a chunk, written when the chunk is in the store.

The file is named by the digest of all that goes into the version, so an attempt finds it only if no byte of the input differs;
it holds the ``keySalt``, and with it the key, of that input alone. Every chunk is compared with the hashed input before it is
sealed (`Plaintext.chunk`), so under one key the same place is always sealed with the same bytes, however often, and whichever
record or block a crash took away: nothing here has to reach the disk for the key to be safe.

A record counts if its check is right, so one that was cut off counts as none.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from steelyard.crypto.content import HASH_SIZE, LEAVES_PER_CHUNK, TAG_SIZE, Geometry

_MAGIC: Final = b"steelyard-seal/1"
_HEADER: Final = len(_MAGIC) + 32 + 8 + 32
_LIST: Final = HASH_SIZE * LEAVES_PER_CHUNK
_RECORD: Final = 32 + TAG_SIZE + 32 + _LIST + 32


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """A chunk that is in the store.

    Attributes:
        block: SHA-256 of its ciphertext, which names its block.
        tag: its GCM tag, 16 bytes.
        root: its chunk root, 32 bytes.
        salted: its part of the leaf list, 32 bytes a leaf.
    """

    block: bytes
    tag: bytes
    root: bytes
    salted: bytes


class SealJournal:
    """An open journal, of which this process is the only writer; several threads may use it."""

    def __init__(self, handle: int, *, size: int) -> None:
        """Take an open file over, and begin it anew unless its header is right; see :meth:`opened`."""
        self._handle = handle
        self._geometry = Geometry(size)
        header = os.pread(handle, _HEADER, 0)
        body = header[:-32]
        if (
            len(header) != _HEADER
            or sha256(body).digest() != header[-32:]
            or body[: len(_MAGIC)] != _MAGIC
            or body[-8:] != size.to_bytes(8, "big")
        ):
            body = _MAGIC + secrets.token_bytes(32) + size.to_bytes(8, "big")
            os.ftruncate(handle, 0)
            self._write(body + sha256(body).digest(), 0)
        self.salt = body[len(_MAGIC) : len(_MAGIC) + 32]

    def get(self, index: int) -> Sealed | None:
        """Return a chunk's record, if it is there and whole."""
        data = os.pread(self._handle, _RECORD, _HEADER + index * _RECORD)
        if len(data) != _RECORD or self._check(index, data[:-32]) != data[-32:]:
            return None
        leaves = self._geometry.chunk_leaves(index)
        return Sealed(
            block=data[:32], tag=data[32:48], root=data[48:80], salted=data[80 : 80 + HASH_SIZE * leaves]
        )

    def put(self, index: int, sealed: Sealed) -> None:
        """Write a chunk's record; its block is in the store.

        Raises:
            OSError: it cannot be written.
        """
        body = (sealed.block + sealed.tag + sealed.root + sealed.salted).ljust(_RECORD - 32, b"\0")
        self._write(body + self._check(index, body), _HEADER + index * _RECORD)

    def records(self) -> Iterator[Sealed]:
        """Yield the records of all chunks, in order; each must be there."""
        for index in range(self._geometry.chunks):
            record = self.get(index)
            assert record is not None  # written by this process, or looked at by it
            yield record

    def _write(self, data: bytes, at: int) -> None:
        if os.pwrite(self._handle, data, at) != len(data):  # how a disk that becomes full says so first
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _check(self, index: int, body: bytes) -> bytes:
        return sha256(self.salt + index.to_bytes(8, "big") + body).digest()
