"""Leaf lists and chunk roots, a chunk at a time: the hot loop of sealing, opening and checking.

Definitions: docs/encryption-format.md, "Leaves and content root"; the functions of :mod:`steelyard.crypto.content` say the same a
leaf at a time. By the accelerator where there is one, else here in Python; both give the same bytes.
"""

from __future__ import annotations

from hashlib import sha256

from steelyard.crypto import merkle
from steelyard.crypto.content import HASH_SIZE, LEAF_SIZE, LEAVES_PER_CHUNK, SALT_LABEL
from steelyard.crypto.content import chunk_root as plain_root
from steelyard.crypto.native import Accelerator, accelerator
from steelyard.crypto.secret import Secret


def chunk_leaves(
    chunk: int,
    *,
    plaintext: bytes,
    ciphertext: bytes,
    key: Secret,
    block: bool = False,
    by: Accelerator | None = None,
) -> tuple[bytes, bytes, bytes]:
    """Return a chunk's part of the leaf list, 32 bytes a leaf, its chunk root, and its block's name.

    Args:
        chunk: its index.
        plaintext: 1 to 1,048,576 bytes.
        ciphertext: as many bytes, and whatever stands behind them.
        key: the content key.
        block: whether the SHA-256 of the ciphertext is wanted too; else it is empty.
        by: the accelerator; that of this installation if None.
    """
    by = by or accelerator()
    if by is None:
        salted, root = python_leaves(chunk, plaintext=plaintext, ciphertext=ciphertext, key=key)
        name = sha256(memoryview(ciphertext)[: len(plaintext)]).digest() if block else b""
        return salted, root, name
    assert len(ciphertext) >= len(plaintext) > 0  # native code reads that much
    return by.leaves(
        plaintext,
        ciphertext,
        first=chunk * LEAVES_PER_CHUNK,
        leaves=-(-len(plaintext) // LEAF_SIZE),
        salting=SALT_LABEL + key.reveal(),
        block=block,
    )


def python_leaves(chunk: int, *, plaintext: bytes, ciphertext: bytes, key: Secret) -> tuple[bytes, bytes]:
    """Return a chunk's part of the leaf list and its chunk root, by Python."""
    clear, cipher, prefix = memoryview(plaintext), memoryview(ciphertext), SALT_LABEL + key.reveal()
    salted, hashes = [], []
    number, size = chunk * LEAVES_PER_CHUNK, len(plaintext)
    for start in range(0, size, LEAF_SIZE):
        place = number.to_bytes(8, "big")
        stop = min(start + LEAF_SIZE, size)
        hidden = sha256(sha256(prefix + place).digest() + clear[start:stop]).digest()
        salted.append(hidden)
        hashes.append(sha256(b"\x00" + place + sha256(cipher[start:stop]).digest() + hidden).digest())
        number += 1
    return b"".join(salted), merkle.complete_root(hashes)


def chunk_root(chunk: int, *, ciphertext: bytes, salted: bytes, by: Accelerator | None = None) -> bytes:
    """Return the node of the tree that covers one chunk, from public bytes alone.

    Args:
        chunk: its index.
        ciphertext: 1 to 1,048,576 bytes.
        salted: its part of the leaf list, 32 bytes a leaf.
        by: the accelerator; that of this installation if None.

    Raises:
        SealError: the lengths do not fit each other.
    """
    by = by or accelerator()
    count = -(-len(ciphertext) // LEAF_SIZE)
    if by is None or not 1 <= count <= LEAVES_PER_CHUNK or len(salted) != HASH_SIZE * count:
        return plain_root(chunk, ciphertext=ciphertext, salted=salted)
    return by.root(ciphertext, salted, first=chunk * LEAVES_PER_CHUNK)
