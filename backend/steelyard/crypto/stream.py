"""Sealing and opening of a version's stream, a chunk at a time, in constant memory.

Definitions: docs/encryption-format.md. The work on a chunk is a pure function (:func:`seal_chunk`,
:func:`open_chunk`); the iterators around it read, keep order and bound what is in flight, with as many
threads as the caller wants.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from steelyard.crypto.content import (
    CHUNK_SIZE,
    HASH_SIZE,
    LEAF_SIZE,
    LEAVES_PER_CHUNK,
    TAG_SIZE,
    Geometry,
    check_root,
    nonce,
    split_leaf_list,
)
from steelyard.crypto.leaves import chunk_leaves, chunk_root
from steelyard.crypto.secret import Secret
from steelyard.domain.parallel import in_order
from steelyard.errors import DigestError, LeafError, SealError


class Reader(Protocol):
    """Anything with the ``read`` of a binary file."""

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, and none only at the end."""
        ...


@dataclass(frozen=True, slots=True)
class SealedChunk:
    """One chunk as it is published.

    Attributes:
        index: its place, from 0.
        sealed: ciphertext and tag, as the cipher gives them.
        salted: its part of the file ``leaves``, 32 bytes for each leaf.
        root: its chunk root, 32 bytes; the content root is :func:`merkle.root` of all of them.
        block: SHA-256 of the ciphertext, 32 bytes, which names its block in the store.
    """

    index: int
    sealed: bytes
    salted: bytes
    root: bytes
    block: bytes

    @property
    def ciphertext(self) -> memoryview:
        """As many bytes as the plaintext, at most 1,048,576; a view, for copying them costs as much as encrypting."""
        return memoryview(self.sealed)[:-TAG_SIZE]

    @property
    def tag(self) -> bytes:
        """Its GCM tag, 16 bytes, for the file ``tags``."""
        return self.sealed[-TAG_SIZE:]


@dataclass(frozen=True, slots=True)
class OpenedChunk:
    """One chunk that was decrypted and checked against its leaves.

    Attributes:
        index: its place, from 0.
        plaintext: at most 1,048,576 bytes.
        root: the chunk root that its ciphertext and its leaf list give, 32 bytes.
        tag_matches: False if the leaves are right and the GCM tag is not: accept, and warn.
    """

    index: int
    plaintext: bytes
    root: bytes
    tag_matches: bool


def seal_chunk(index: int, plaintext: bytes, *, key: Secret, last: bool) -> SealedChunk:
    """Seal one chunk.

    A (key, index) pair may only ever seal one plaintext; the caller answers for that.

    Args:
        index: its place, from 0.
        plaintext: 1,048,576 bytes, or 1 to 1,048,576 if it is the last.
        key: the content key.
        last: whether it ends the stream.

    Raises:
        SealError: the length is not one that a chunk in this place may have.
    """
    if not plaintext or len(plaintext) > CHUNK_SIZE or (len(plaintext) < CHUNK_SIZE and not last):
        raise SealError(f"chunk {index} cannot have {len(plaintext)} bytes")
    sealed = AESGCM(key.reveal()).encrypt(nonce(index, last=last), plaintext, None)
    salted, root, block = chunk_leaves(index, plaintext=plaintext, ciphertext=sealed, key=key, block=True)
    return SealedChunk(index=index, sealed=sealed, salted=salted, root=root, block=block)


def seal(
    reader: Reader, *, key: Secret, size: int, first: int = 0, threads: int = 1
) -> Iterator[SealedChunk]:
    """Seal a stream, yielding its chunks in order.

    Args:
        reader: the plaintext, positioned at chunk ``first``.
        key: the content key, never used for another plaintext.
        size: bytes of the whole stream.
        first: index of the first chunk to seal, for work that goes on after an interruption.
        threads: chunks in work at a time; at most ``threads + 1`` are in memory.

    Raises:
        InputError: the size is not one that a stream may have.
        SealError: the reader ends before ``size`` or goes on after it: the input changed under way, so the
            key is spent.
    """
    geometry = Geometry(size)

    def parts() -> Iterator[tuple[int, bytes]]:
        for index in range(first, geometry.chunks):
            yield index, _read_exactly(reader, geometry.chunk_length(index), index)
        _expect_end(reader)

    def work(part: tuple[int, bytes]) -> SealedChunk:
        return seal_chunk(part[0], part[1], key=key, last=geometry.is_last(part[0]))

    return in_order(work, parts(), threads)


def open_chunk(
    index: int,
    *,
    ciphertext: bytes,
    tag: bytes,
    salted: bytes,
    key: Secret,
    last: bool,
    root: bytes | None = None,
) -> OpenedChunk:
    """Decrypt one chunk and check it; the random access of the format.

    Args:
        index: its place, from 0.
        ciphertext: its bytes as published.
        tag: its GCM tag, 16 bytes.
        salted: its part of the leaf list.
        key: the content key.
        last: whether it ends the stream.
        root: its chunk root, from :func:`chunk_roots`; without it the caller compares
            :attr:`OpenedChunk.root`.

    Raises:
        SealError: a length is wrong.
        DigestError: the ciphertext or its leaf list is not what ``root`` says: the store is at fault.
        LeafError: a leaf of the plaintext is not the one committed. If the content root is right, the seller
            is at fault.
    """
    if not ciphertext or len(ciphertext) > CHUNK_SIZE or (len(ciphertext) < CHUNK_SIZE and not last):
        raise SealError(f"chunk {index} cannot have {len(ciphertext)} bytes")
    if len(tag) != TAG_SIZE or len(salted) != HASH_SIZE * -(-len(ciphertext) // LEAF_SIZE):
        raise SealError(f"chunk {index}: the tag or the leaf list has the wrong length")
    plaintext, tag_matches = _decrypt(index, ciphertext, tag, key, last)
    found, actual, _ = chunk_leaves(index, plaintext=plaintext, ciphertext=ciphertext, key=key)
    wrong = None
    if found != salted:
        actual = chunk_root(index, ciphertext=ciphertext, salted=salted)
        wrong = next(i for i, (ours, theirs) in enumerate(zip(found, salted, strict=True)) if ours != theirs)
        wrong //= HASH_SIZE
    if root is not None and actual != root:
        raise DigestError(f"chunk {index} does not hash to its chunk root")
    if wrong is not None:
        leaf = index * LEAVES_PER_CHUNK + wrong
        raise LeafError(
            f"leaf {leaf} does not decrypt to the plaintext that its leaf hash commits to", leaf=leaf
        )
    return OpenedChunk(index=index, plaintext=plaintext, root=actual, tag_matches=tag_matches)


def _decrypt(index: int, ciphertext: bytes, tag: bytes, key: Secret, last: bool) -> tuple[bytes, bool]:
    start = nonce(index, last=last)
    try:
        return AESGCM(key.reveal()).decrypt(start, ciphertext + tag, None), True
    except InvalidTag:
        # The leaves decide: GCM without its tag is counter mode from 2. Nothing of this leaves open_chunk
        # unless every leaf matches.
        cipher = Cipher(AES(key.reveal()), CTR(start + (2).to_bytes(4, "big")))
        return cipher.decryptor().update(ciphertext), False


def chunk_roots(
    ciphertext: Reader, *, leaves: bytes, size: int, root: bytes, threads: int = 1
) -> list[bytes]:
    """Check the public bytes of a version against the chain, without the key, as a buyer does before paying.

    Args:
        ciphertext: the file ``ciphertext``.
        leaves: the file ``leaves``.
        size: bytes of the stream, from the chain.
        root: content root, from the chain.
        threads: chunks in work at a time.

    Returns:
        The chunk roots, 32 bytes each, with which :func:`open_chunk` can check any chunk alone.

    Raises:
        InputError: the size is not one that a stream may have.
        SealError: a file is shorter or longer than ``size`` says.
        DigestError: the root over both is not ``root``.
    """
    found = compute_roots(ciphertext, leaves=leaves, size=size, threads=threads)
    check_root(found, size=size, root=root)
    return found


def compute_roots(ciphertext: Reader, *, leaves: bytes, size: int, threads: int = 1) -> list[bytes]:
    """Return the chunk roots that the public bytes of a version have; whether the chain commits to them is not asked.

    Args:
        ciphertext: the file ``ciphertext``.
        leaves: the file ``leaves``.
        size: bytes of the stream.
        threads: chunks in work at a time.

    Raises:
        InputError: the size is not one that a stream may have.
        SealError: a file is shorter or longer than ``size`` says.
    """
    geometry = Geometry(size)

    def parts() -> Iterator[tuple[int, bytes, bytes]]:
        for index, salted in enumerate(split_leaf_list(leaves, size=size)):
            yield index, _read_exactly(ciphertext, geometry.chunk_length(index), index), salted
        _expect_end(ciphertext)

    def work(part: tuple[int, bytes, bytes]) -> bytes:
        return chunk_root(part[0], ciphertext=part[1], salted=part[2])

    return list(in_order(work, parts(), threads))


def open_stream(
    ciphertext: Reader,
    *,
    key: Secret,
    tags: bytes,
    leaves: bytes,
    size: int,
    root: bytes,
    roots: Sequence[bytes] | None = None,
    first: int = 0,
    threads: int = 1,
) -> Iterator[OpenedChunk]:
    """Decrypt a stream, yielding its chunks in order.

    With ``roots`` each chunk is checked against the content root before it is yielded. Without, the content
    root is compared after the last chunk, so the caller must not use what it wrote before the iterator has
    ended by itself.

    Args:
        ciphertext: the file ``ciphertext``, positioned at chunk ``first``.
        key: the content key.
        tags: the file ``tags``.
        leaves: the file ``leaves``.
        size: bytes of the stream, from the chain.
        root: content root, from the chain.
        roots: chunk roots from :func:`chunk_roots`; they are checked against ``root`` again, so they may come
            from disk.
        first: index of the first chunk to open; only with ``roots``.
        threads: chunks in work at a time; at most ``threads + 1`` are in memory.

    Raises:
        InputError: the size is not one that a stream may have.
        SealError: a file is cut or too long, or ``first`` was given without ``roots``.
        DigestError: the bytes are not those that the chain commits to.
        LeafError: a leaf of the plaintext is not the one committed.
    """
    geometry = Geometry(size)
    if len(tags) != TAG_SIZE * geometry.chunks:
        raise SealError(
            f"a stream of {size} bytes has {geometry.chunks} tags; the file has {len(tags)} bytes"
        )
    lists = list(split_leaf_list(leaves, size=size))
    if roots is not None:
        check_root(roots, size=size, root=root)
    elif first:
        raise SealError("opening from the middle of a stream needs its chunk roots")

    def parts() -> Iterator[tuple[int, bytes]]:
        for index in range(first, geometry.chunks):
            yield index, _read_exactly(ciphertext, geometry.chunk_length(index), index)
        _expect_end(ciphertext)

    def work(part: tuple[int, bytes]) -> OpenedChunk:
        index = part[0]
        return open_chunk(
            index,
            ciphertext=part[1],
            tag=tags[index * TAG_SIZE : (index + 1) * TAG_SIZE],
            salted=lists[index],
            key=key,
            last=geometry.is_last(index),
            root=None if roots is None else roots[index],
        )

    return _checked(in_order(work, parts(), threads), size=size, root=root, done=roots is not None)


def _checked(chunks: Iterator[OpenedChunk], *, size: int, root: bytes, done: bool) -> Iterator[OpenedChunk]:
    found = []
    for chunk in chunks:
        found.append(chunk.root)
        yield chunk
    if not done:
        check_root(found, size=size, root=root)


def _read_exactly(reader: Reader, length: int, index: int) -> bytes:
    parts = []
    missing = length
    while missing:
        part = reader.read(missing)
        if not part:
            raise SealError(f"the stream is cut in chunk {index}: {missing} bytes are missing")
        parts.append(part)
        missing -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _expect_end(reader: Reader) -> None:
    if reader.read(1):
        raise SealError("the stream goes on after its declared size")
