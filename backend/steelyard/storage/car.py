"""Content-addressable archives (CAR, version 1): a DAG as one file.

Written in one order only, depth first with children in the order of their links and no block twice, so that one
DAG has one archive. Read as a stream; a block is handed on only after it was hashed, and a length is compared
with its limit before anything is read for it.

Source: ipld.io/specs/transport/car/carv1.
"""

from __future__ import annotations

import hashlib
import io
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from steelyard.errors import DigestError, InputError, VerificationError
from steelyard.storage.base import Store
from steelyard.storage.cid import CID, CID_BYTES, cid_from_bytes, cid_to_bytes, digest_of, parse_cid
from steelyard.storage.dagpb import MAX_BLOCK
from steelyard.storage.unixfs import Readable, read_exactly

MAX_ROOTS = 1024
"""Most roots of an archive that is read."""

_MAX_HEADER = 64 + MAX_ROOTS * 41
_MAX_VARINT_BYTES = 5
_ROOTS = b"\xa2\x65roots"
_VERSION = b"\x67version\x01"
_LINK = b"\xd8\x2a\x58\x25\x00"
"""CBOR of a link: tag 42, a byte string of 37 bytes, the first of them 0."""
_SECOND = b"\xa1\x67version\x02"
"""Header of the second version, which wraps the first."""


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What an archive brought.

    Attributes:
        roots: as the archive names them.
        blocks: blocks in it.
        size: their bytes.
    """

    roots: tuple[CID, ...]
    blocks: int
    size: int


def export_car(store: Store, cid: str) -> Iterator[bytes]:
    """Yield the archive of a DAG. Holds one block, and the name of each block that was written.

    Raises:
        NotFoundError: a block is missing.
        VerificationError: a block is false or malformed. What was yielded before is no whole archive.
    """
    root = parse_cid(cid)
    return write_car((root,), store.blocks(root))


def write_car(roots: Sequence[CID], blocks: Iterable[tuple[CID, bytes]]) -> Iterator[bytes]:
    """Yield an archive of these blocks in this order."""
    yield header(roots)
    for cid, data in blocks:
        yield _varint(CID_BYTES + len(data)) + cid_to_bytes(cid)
        yield data


def header(roots: Sequence[CID]) -> bytes:
    """Return the first bytes of an archive: a length, and ``{roots, version: 1}`` in CBOR."""
    count = len(roots)
    if count < 24:
        head = bytes((0x80 | count,))
    else:
        head = b"\x98" + count.to_bytes(1) if count < 256 else b"\x99" + count.to_bytes(2)
    body = _ROOTS + head + b"".join(_LINK + cid_to_bytes(root) for root in roots) + _VERSION
    return _varint(len(body)) + body


def save_car(store: Store, cid: str, path: Path, *, progress: Callable[[int], None] | None = None) -> int:
    """Write the archive of a DAG to a file, whole or not at all, and return its bytes.

    Args:
        store: where the DAG is.
        cid: its root.
        path: the file; one that is there is replaced.
        progress: told the bytes that were written so far.

    Raises:
        NotFoundError: a block is missing.
        VerificationError: a block is false or malformed.
        InputError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    size = 0
    try:
        try:
            with open(temporary, "xb", buffering=0) as file:
                for piece in export_car(store, cid):
                    size += _write_all(file, piece)
                    if progress is not None:
                        progress(size)
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as exc:
        raise InputError(f"cannot write {path}: {exc.strerror}") from exc
    return size


def import_car(
    store: Store, stream: Readable, *, pin: bool = True, progress: Callable[[int], None] | None = None
) -> Imported:
    """Store the blocks of an archive, and pin its roots. Constant memory.

    Args:
        store: where to.
        stream: read to its end.
        pin: also check that all below each root is there, from the archive or from before, and pin it.
        progress: told the bytes of blocks that were stored so far.

    Raises:
        DigestError: a block is not what its identifier says.
        VerificationError: the archive is malformed, cut off, of another kind, or names no root to pin.
        NotFoundError: a block below a root is missing; nothing is pinned.
        StoreError: the store does not take a block.

    Blocks that came before an error stay, unpinned, until they are collected.
    """
    with store.adding():
        archive = CarReader(stream)
        if pin and not archive.roots:
            raise VerificationError("the archive names no root, so nothing of it would be kept")
        count = size = 0
        for cid, data in archive.blocks():
            store.put_block(cid, data, hashed=True)
            count += 1
            size += len(data)
            if progress is not None:
                progress(size)
        if pin:
            for root in archive.roots:
                store.pin(root)
    return Imported(roots=archive.roots, blocks=count, size=size)


class CarReader:
    """An archive that is read once, from front to end.

    Attributes:
        roots: as its header names them; nothing says that they are in it.
    """

    def __init__(self, stream: Readable) -> None:
        """Read the header.

        Raises:
            VerificationError: it is malformed, cut off, or of another kind.
        """
        self._stream = stream
        self._at = 0
        size = self._length("header", _MAX_HEADER)
        if size is None:
            raise VerificationError("the archive is empty")
        self.roots = _read_header(self._take(size))

    def blocks(self) -> Iterator[tuple[CID, bytes]]:
        """Yield every block after hashing it.

        Raises:
            DigestError: a block is not what its identifier says.
            VerificationError: the archive is malformed or cut off, or has blocks of another kind.
        """
        while (size := self._length("section", CID_BYTES + MAX_BLOCK)) is not None:
            at = self._at
            if size < CID_BYTES:
                raise VerificationError(f"archive, byte {at}: a section of {size} bytes holds no block")
            try:
                cid = cid_from_bytes(self._take(CID_BYTES))
            except InputError as exc:
                raise VerificationError(f"archive, byte {at}: {exc}") from exc
            data = self._take(size - CID_BYTES)
            if hashlib.sha256(data).digest() != digest_of(cid):
                raise DigestError(
                    f"archive, byte {at}: the {len(data)} bytes of block {cid} do not hash to it"
                )
            yield cid, data

    def _length(self, what: str, limit: int) -> int | None:
        """Return the length in front of a section, or None at the end of the archive."""
        value = 0
        for place in range(_MAX_VARINT_BYTES):
            byte = self._stream.read(1)
            if not byte:
                if place:
                    raise VerificationError(f"the archive is cut off at byte {self._at}")
                return None
            self._at += 1
            value |= (byte[0] & 0x7F) << (7 * place)
            if byte[0] < 0x80:
                if value > limit:
                    raise VerificationError(
                        f"archive, byte {self._at}: a {what} of {value} bytes is above the limit of {limit}"
                    )
                if place and byte[0] == 0:
                    break
                return value
        raise VerificationError(f"archive, byte {self._at}: malformed length")

    def _take(self, size: int) -> bytes:
        data = read_exactly(self._stream, size)
        self._at += len(data)
        if len(data) < size:
            raise VerificationError(f"the archive is cut off at byte {self._at}")
        return data


def _read_header(body: bytes) -> tuple[CID, ...]:
    """Read what `header` writes, which is the one canonical form; anything else is refused."""
    if body.startswith(_SECOND):
        raise VerificationError("the archive is a CAR of version 2; only version 1 is read")
    room = body[len(_ROOTS) : len(_ROOTS) + 3]
    skip = {0x98: 2, 0x99: 3}.get(room[0] if room else 0, 1)
    links = body[len(_ROOTS) + skip : -len(_VERSION)]
    step = len(_LINK) + CID_BYTES
    try:
        roots = tuple(cid_from_bytes(links[at + len(_LINK) : at + step]) for at in range(0, len(links), step))
    except InputError as exc:
        raise VerificationError(f"the header of the archive has a root of another kind: {exc}") from exc
    if len(roots) > MAX_ROOTS or header(roots) != _varint(len(body)) + body:
        raise VerificationError(
            "the header of the archive is not that of a CAR of version 1 in canonical form"
        )
    return roots


def _write_all(file: io.FileIO, data: bytes) -> int:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
    return len(data)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
