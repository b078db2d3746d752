"""Allow-lists as OpenZeppelin's StandardMerkleTree makes them."""

from __future__ import annotations

from steelyard.domain.hash import keccak256

from .shop import word


def leaf(account: object) -> bytes:
    """Return the leaf of an account."""
    return keccak256(keccak256(word(account)))


def pair(a: bytes, b: bytes) -> bytes:
    """Return the parent of two nodes."""
    return keccak256(min(a, b) + max(a, b))
