"""What the chain commits a version's bytes to: geometry, leaf hashes, content root, dispute witnesses.

Definitions: docs/encryption-format.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from steelyard.crypto import merkle
from steelyard.crypto.secret import Secret
from steelyard.errors import DigestError, InputError, SealError

CHUNK_SIZE: Final = 1 << 20
"""Bytes of a full chunk, which is one IPFS block."""
LEAF_SIZE: Final = 1 << 12
"""Bytes of a full leaf."""
TAG_SIZE: Final = 16
"""Bytes of a GCM tag."""
HASH_SIZE: Final = 32
"""Bytes of an entry of the leaf list."""
LEAVES_PER_CHUNK: Final = CHUNK_SIZE // LEAF_SIZE
MAX_SIZE: Final = CHUNK_SIZE << 32
"""Most bytes in a stream: the chunk index has 32 bits."""
SALT_LABEL: Final = b"steelyard/leaf-salt/v1"

_INDEXES: Final = "big"


@dataclass(frozen=True, slots=True)
class Geometry:
    """Counts and lengths that follow from the size of a stream.

    Attributes:
        size: plaintext bytes, equal to ciphertext bytes.
    """

    size: int

    def __post_init__(self) -> None:
        """Check the size.

        Raises:
            InputError: it is not in ``1..2^52``.
        """
        if not 1 <= self.size <= MAX_SIZE:
            raise InputError(f"a stream has 1 to {MAX_SIZE} bytes, not {self.size}")

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return -(-self.size // CHUNK_SIZE)

    @property
    def leaves(self) -> int:
        """Number of leaves."""
        return -(-self.size // LEAF_SIZE)

    def chunk_length(self, chunk: int) -> int:
        """Return the bytes in chunk ``chunk``.

        Raises:
            InputError: there is no such chunk.
        """
        if not 0 <= chunk < self.chunks:
            raise InputError(f"chunk {chunk} is not in a stream of {self.chunks}")
        return min(CHUNK_SIZE, self.size - chunk * CHUNK_SIZE)

    def leaf_length(self, leaf: int) -> int:
        """Return the bytes in leaf ``leaf``.

        Raises:
            InputError: there is no such leaf.
        """
        if not 0 <= leaf < self.leaves:
            raise InputError(f"leaf {leaf} is not in a stream of {self.leaves}")
        return min(LEAF_SIZE, self.size - leaf * LEAF_SIZE)

    def chunk_leaves(self, chunk: int) -> int:
        """Return the number of leaves in chunk ``chunk``.

        Raises:
            InputError: there is no such chunk.
        """
        return -(-self.chunk_length(chunk) // LEAF_SIZE)

    def is_last(self, chunk: int) -> bool:
        """Tell whether ``chunk`` carries the last flag."""
        return chunk == self.chunks - 1


def nonce(chunk: int, *, last: bool) -> bytes:
    """Return the 12-byte GCM nonce of a chunk."""
    return bytes(7) + chunk.to_bytes(4, _INDEXES) + (b"\x01" if last else b"\x00")


def leaf_salt(key: Secret, leaf: int) -> bytes:
    """Return the salt of leaf ``leaf``, 32 bytes."""
    return sha256(SALT_LABEL + key.reveal() + leaf.to_bytes(8, _INDEXES)).digest()


def salted_hash(key: Secret, leaf: int, plaintext: bytes) -> bytes:
    """Return the leaf's entry in the public leaf list, ``SHA-256(salt || plaintext)``, 32 bytes."""
    return sha256(leaf_salt(key, leaf) + plaintext).digest()


def leaf_hash(leaf: int, *, ciphertext: bytes | memoryview, salted: bytes) -> bytes:
    """Return the hash of leaf ``leaf``, 32 bytes.

    Args:
        leaf: its index in the stream.
        ciphertext: its bytes as published.
        salted: its entry in the leaf list, 32 bytes.
    """
    return sha256(b"\x00" + leaf.to_bytes(8, _INDEXES) + sha256(ciphertext).digest() + salted).digest()


def chunk_leaf_hashes(chunk: int, *, ciphertext: bytes | memoryview, salted: bytes) -> list[bytes]:
    """Return the leaf hashes of one chunk, from public bytes alone.

    Args:
        chunk: its index.
        ciphertext: its bytes as published, 1 to 1,048,576.
        salted: its part of the leaf list, 32 bytes for each leaf.

    Raises:
        SealError: the two lengths do not fit each other.
    """
    count = -(-len(ciphertext) // LEAF_SIZE)
    if not 1 <= count <= LEAVES_PER_CHUNK or len(salted) != HASH_SIZE * count:
        raise SealError(
            f"chunk {chunk}: {len(ciphertext)} bytes do not go with {len(salted)} bytes of leaf list"
        )
    view, first = memoryview(ciphertext), chunk * LEAVES_PER_CHUNK
    return [
        leaf_hash(
            first + i,
            ciphertext=view[i * LEAF_SIZE : (i + 1) * LEAF_SIZE],
            salted=salted[i * HASH_SIZE : (i + 1) * HASH_SIZE],
        )
        for i in range(count)
    ]


def chunk_root(chunk: int, *, ciphertext: bytes | memoryview, salted: bytes) -> bytes:
    """Return the node of the tree that covers one chunk, from public bytes alone.

    Raises:
        SealError: the lengths do not fit each other.
    """
    return merkle.complete_root(chunk_leaf_hashes(chunk, ciphertext=ciphertext, salted=salted))


def check_root(chunk_roots: Sequence[bytes], *, size: int, root: bytes) -> None:
    """Check that the chunk roots are those of the stream that the chain commits to.

    Raises:
        SealError: there are more or fewer chunks than ``size`` gives.
        DigestError: their root is not ``root``.
    """
    chunks = Geometry(size).chunks
    if len(chunk_roots) != chunks:
        raise SealError(f"a stream of {size} bytes has {chunks} chunks, not {len(chunk_roots)}")
    found = merkle.root(chunk_roots)
    if found != root:
        raise DigestError(f"the content root is 0x{found.hex()}, and the chain says 0x{root.hex()}")


@dataclass(frozen=True, slots=True)
class Witness:
    """What a dispute about one leaf hands to the contract.

    Attributes:
        leaf: its index in the stream.
        ciphertext: its bytes as published, 1 to 4,096.
        salted: its entry in the public leaf list, 32 bytes.
        path: siblings from the leaf to the content root, 32 bytes each.
    """

    leaf: int
    ciphertext: bytes
    salted: bytes
    path: tuple[bytes, ...]


def build_witness(
    leaf: int, *, size: int, ciphertext: bytes | memoryview, salted: bytes, chunk_roots: Sequence[bytes]
) -> Witness:
    """Return the witness of leaf ``leaf``.

    Args:
        leaf: index in the stream.
        size: bytes of the stream.
        ciphertext: the whole chunk that holds the leaf.
        salted: that chunk's part of the leaf list.
        chunk_roots: the roots of all chunks, in order.

    Raises:
        InputError: there is no such leaf.
        SealError: a length does not go with ``size``.
        DigestError: the chunk does not hash to its chunk root.
    """
    geometry = Geometry(size)
    length = geometry.leaf_length(leaf)
    chunk, inside = divmod(leaf, LEAVES_PER_CHUNK)
    if len(ciphertext) != geometry.chunk_length(chunk) or len(chunk_roots) != geometry.chunks:
        raise SealError(f"leaf {leaf}: the chunk or the list of chunk roots has the wrong length")
    hashes = chunk_leaf_hashes(chunk, ciphertext=ciphertext, salted=salted)
    if merkle.complete_root(hashes) != chunk_roots[chunk]:
        raise DigestError(f"chunk {chunk} does not hash to its chunk root")
    start = inside * LEAF_SIZE
    return Witness(
        leaf=leaf,
        ciphertext=bytes(ciphertext[start : start + length]),
        salted=salted[inside * HASH_SIZE : (inside + 1) * HASH_SIZE],
        path=merkle.path(hashes, inside) + merkle.path(chunk_roots, chunk),
    )


def check_witness(witness: Witness, *, size: int, root: bytes) -> None:
    """Check that a witness belongs to the committed stream; what the contract checks before any key.

    Raises:
        InputError: there is no such leaf.
        SealError: the leaf has the wrong length.
        DigestError: the path does not lead to ``root``.
    """
    geometry = Geometry(size)
    if len(witness.ciphertext) != geometry.leaf_length(witness.leaf) or len(witness.salted) != HASH_SIZE:
        raise SealError(f"leaf {witness.leaf} has the wrong length")
    leaf = leaf_hash(witness.leaf, ciphertext=witness.ciphertext, salted=witness.salted)
    found = merkle.root_from_path(leaf, index=witness.leaf, count=geometry.leaves, path=witness.path)
    if found != root:
        raise DigestError(f"leaf {witness.leaf} is not in the content root 0x{root.hex()}")


def check_leaf(leaf: int, *, plaintext: bytes, salted: bytes, key: Secret) -> bool:
    """Tell whether a plaintext leaf is the one that its entry in the leaf list commits to."""
    return salted_hash(key, leaf, plaintext) == salted


def decrypt_leaf(leaf: int, *, ciphertext: bytes, size: int, key: Secret) -> bytes:
    """Decrypt one leaf in counter mode, without its chunk's tag, as the contract does.

    Raises:
        InputError: there is no such leaf.
    """
    chunk, inside = divmod(leaf, LEAVES_PER_CHUNK)
    start = nonce(chunk, last=Geometry(size).is_last(chunk))
    counter = 2 + inside * (LEAF_SIZE // 16)
    cipher = Cipher(AES(key.reveal()), CTR(start + counter.to_bytes(4, _INDEXES)))
    return cipher.decryptor().update(ciphertext)


def is_fraud(witness: Witness, *, size: int, root: bytes, key: Secret) -> bool:
    """Tell how a dispute with this witness would end: True if the committed leaf is false under ``key``.

    Raises:
        InputError: there is no such leaf.
        SealError: the leaf has the wrong length.
        DigestError: the path does not lead to ``root``.
    """
    check_witness(witness, size=size, root=root)
    plaintext = decrypt_leaf(witness.leaf, ciphertext=witness.ciphertext, size=size, key=key)
    return not check_leaf(witness.leaf, plaintext=plaintext, salted=witness.salted, key=key)


def split_leaf_list(leaves: bytes, *, size: int) -> Iterator[bytes]:
    """Yield each chunk's part of a leaf list.

    Raises:
        SealError: the list is not exactly 32 bytes for each leaf.
    """
    geometry = Geometry(size)
    if len(leaves) != HASH_SIZE * geometry.leaves:
        raise SealError(
            f"a stream of {size} bytes has {geometry.leaves} leaves; the list has {len(leaves)} bytes"
        )
    step = HASH_SIZE * LEAVES_PER_CHUNK
    for start in range(0, len(leaves), step):
        yield leaves[start : start + step]
