"""Versions with real content, honest or not, and what only their maintainer knows."""

from __future__ import annotations

import io
from dataclasses import dataclass

from steelyard.crypto import content, delivery, merkle, stream
from steelyard.crypto.derive import key_scalar
from steelyard.crypto.secret import Secret
from steelyard.domain.hash import sha256
from steelyard.domain.types import AssetId, NodeId, Version

CONTENT = bytes(i * i % 251 for i in range(2 * content.LEAF_SIZE + 1_000))
"""Two full leaves and a partial one."""


@dataclass(frozen=True)
class Sealed:
    """A version, its public bytes, and its key scalar."""

    version: Version
    kappa: Secret
    ciphertext: bytes
    leaves: bytes

    @property
    def id(self) -> bytes:
        """The version's id."""
        return self.version.id

    @property
    def content_key(self) -> Secret:
        """The key that opens it."""
        return delivery.content_key(delivery.key_point(self.kappa))

    def witness(self, leaf: int) -> content.Witness:
        """Return the dispute witness of a leaf; the content has one chunk."""
        roots = [content.chunk_root(0, ciphertext=self.ciphertext, salted=self.leaves)]
        return content.build_witness(
            leaf, size=len(self.ciphertext), ciphertext=self.ciphertext, salted=self.leaves, chunk_roots=roots
        )


def seal(
    asset: bytes,
    *,
    label: str,
    node: bytes,
    chain_id: int,
    registry: bytes,
    plaintext: bytes = CONTENT,
    spoil: int | None = None,
    salt_key: Secret | None = None,
) -> Sealed:
    """Seal a version.

    Args:
        asset: its asset.
        label: seed of its key: another label, another key.
        node: its revenue node.
        chain_id: of the chain.
        registry: address of the registry.
        plaintext: at most one chunk.
        spoil: leaf whose ciphertext the dishonest maintainer replaces before he commits to it.
        salt_key: the dishonest maintainer salts the leaf hashes with this key instead of the content key.
    """
    seed, salt = Secret(sha256(b"maintainer")), sha256(label.encode())
    kappa = key_scalar(seed, salt=salt, chain_id=chain_id, registry=registry, asset=asset)
    key = delivery.content_key(delivery.key_point(kappa))
    (chunk,) = stream.seal(io.BytesIO(plaintext), key=key, size=len(plaintext))
    ciphertext, leaves = bytearray(chunk.ciphertext), chunk.salted
    if spoil is not None:
        ciphertext[spoil * content.LEAF_SIZE] ^= 1
    if salt_key is not None:
        parts = [plaintext[i : i + content.LEAF_SIZE] for i in range(0, len(plaintext), content.LEAF_SIZE)]
        leaves = b"".join(content.salted_hash(salt_key, i, part) for i, part in enumerate(parts))
    root = content.chunk_root(0, ciphertext=bytes(ciphertext), salted=leaves)
    version = Version(
        asset=AssetId(asset),
        folder=sha256(b"folder of " + label.encode()),
        content_root=merkle.root([root]),
        size=len(plaintext),
        scheme=1,
        key=delivery.key_commitment(kappa),
        node=NodeId(node),
    )
    return Sealed(version=version, kappa=kappa, ciphertext=bytes(ciphertext), leaves=leaves)
