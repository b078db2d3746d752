"""Cases of content.json: streams around every boundary, dispute witnesses for true and false leaves."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any

from delivery_cases import Scene, hexed, label, scenes, word

from steelyard.crypto import merkle
from steelyard.crypto.content import (
    CHUNK_SIZE,
    HASH_SIZE,
    LEAF_SIZE,
    LEAVES_PER_CHUNK,
    Geometry,
    build_witness,
    chunk_root,
    decrypt_leaf,
    leaf_hash,
    leaf_salt,
)
from steelyard.crypto.stream import SealedChunk, seal

SIZES = (
    1, 15, 16, 17, 4095, 4096, 4097, 8192, 12289,
    CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 3 * CHUNK_SIZE - 4096 - 5,
)  # fmt: skip


@cache
def _longest() -> bytes:
    return bytes([(j * j + 7 * j + (j >> 8) + (j >> 16)) & 0xFF for j in range(SIZES[-1])])


def plaintext(size: int) -> bytes:
    """Return the test plaintext: byte j is (j*j + 7*j + (j >> 8) + (j >> 16)) mod 256."""
    return _longest()[:size]


@dataclass(frozen=True)
class Sealed:
    """A stream and what is published of it."""

    size: int
    chunks: list[SealedChunk]

    @property
    def root(self) -> bytes:
        """Content root."""
        return merkle.root(chunk.root for chunk in self.chunks)

    @property
    def leaves(self) -> bytes:
        """The file ``leaves``."""
        return b"".join(chunk.salted for chunk in self.chunks)

    @property
    def ciphertext(self) -> bytes:
        """The file ``ciphertext``."""
        return b"".join(chunk.ciphertext for chunk in self.chunks)

    @property
    def tags(self) -> bytes:
        """The file ``tags``."""
        return b"".join(chunk.tag for chunk in self.chunks)


def stream_row(scene: Scene, sealed: Sealed) -> dict[str, Any]:
    """Return the digests of one stream, and its first and last leaf."""
    geometry, text = Geometry(sealed.size), sealed.ciphertext
    last = geometry.leaves - 1

    def leaf(index: int) -> bytes:
        start = index * LEAF_SIZE
        salted = sealed.leaves[index * HASH_SIZE : (index + 1) * HASH_SIZE]
        return leaf_hash(index, ciphertext=text[start : start + LEAF_SIZE], salted=salted)

    return {
        "chunks": geometry.chunks, "ciphertextDigest": hexed(sha256(text).digest()), "contentRoot": hexed(sealed.root),
        "firstLeaf": hexed(leaf(0)), "firstSalt": hexed(leaf_salt(scene.k, 0)), "key": word(scene.k.scalar()),
        "lastLeaf": hexed(leaf(last)), "lastLeafLength": geometry.leaf_length(last),
        "lastSalt": hexed(leaf_salt(scene.k, last)), "leaves": geometry.leaves,
        "leavesDigest": hexed(sha256(sealed.leaves).digest()), "name": f"{sealed.size} bytes",
        "plaintextDigest": hexed(sha256(plaintext(sealed.size)).digest()), "size": sealed.size,
        "tagsDigest": hexed(sha256(sealed.tags).digest()),
    }  # fmt: skip


def dispute_row(scene: Scene, sealed: Sealed, leaf: int, *, lie: bytes | None, name: str) -> dict[str, Any]:
    """Return the witness of one leaf; with ``lie``, of a tree that commits to ``lie`` as its salted hash."""
    chunks = [(c.ciphertext, c.salted) for c in sealed.chunks]
    index, inside = divmod(leaf, LEAVES_PER_CHUNK)
    if lie is not None:
        salted = bytearray(chunks[index][1])
        salted[inside * HASH_SIZE : (inside + 1) * HASH_SIZE] = lie
        chunks[index] = (chunks[index][0], bytes(salted))
    roots = [chunk_root(i, ciphertext=c, salted=s) for i, (c, s) in enumerate(chunks)]
    witness = build_witness(
        leaf, size=sealed.size, ciphertext=chunks[index][0], salted=chunks[index][1], chunk_roots=roots
    )
    clear = decrypt_leaf(leaf, ciphertext=witness.ciphertext, size=sealed.size, key=scene.k)
    return {
        "ciphertext": hexed(witness.ciphertext), "contentRoot": hexed(merkle.root(roots)),
        "dx": word(scene.d.x), "dy": word(scene.d.y), "fraud": lie is not None, "key": word(scene.k.scalar()),
        "leaf": leaf, "mx": word(scene.m.x), "my": word(scene.m.y), "name": name,
        "path": [hexed(item) for item in witness.path], "plaintext": hexed(clear),
        "salt": hexed(leaf_salt(scene.k, leaf)), "salted": hexed(witness.salted), "size": sealed.size,
        "wx": word(scene.w.x), "wy": word(scene.w.y),
    }  # fmt: skip


def disputes(scene: Scene, streams: dict[int, Sealed]) -> list[dict[str, Any]]:
    """Return honest and false leaves at the places where geometry matters."""
    rows = []
    last = Geometry(SIZES[-1]).leaves - 1
    places = {
        1: (0,), 17: (0,), 4097: (0, 1), 12289: (1, 2, 3), CHUNK_SIZE: (255,), CHUNK_SIZE + 1: (0, 256),
        SIZES[-1]: (255, 256, 511, 512, last),
    }  # fmt: skip
    for size, leaves in places.items():
        for leaf in leaves:
            rows.append(dispute_row(scene, streams[size], leaf, lie=None, name=f"true leaf {leaf} of {size}"))
            lie = label(f"lie {leaf}")
            rows.append(dispute_row(scene, streams[size], leaf, lie=lie, name=f"false leaf {leaf} of {size}"))
    # A lie that is nearly right: the salted hash of the same plaintext under the neighbour's salt.
    text = plaintext(12289)[LEAF_SIZE : 2 * LEAF_SIZE]
    lie = sha256(leaf_salt(scene.k, 0) + text).digest()
    rows.append(dispute_row(scene, streams[12289], 1, lie=lie, name="salt of the neighbour"))
    lie = sha256(text).digest()
    rows.append(dispute_row(scene, streams[12289], 1, lie=lie, name="no salt"))
    return rows


def build() -> dict[str, Any]:
    """Return the contents of content.json; key and points are those of the first sale in delivery.json."""
    scene = scenes()[0]
    streams = {
        size: Sealed(size, list(seal(io.BytesIO(plaintext(size)), key=scene.k, size=size))) for size in SIZES
    }
    return {
        "disputes": disputes(scene, streams),
        "plaintextFormula": "byte j is (j*j + 7*j + (j >> 8) + (j >> 16)) mod 256",
        "streams": [stream_row(scene, sealed) for sealed in streams.values()],
    }
