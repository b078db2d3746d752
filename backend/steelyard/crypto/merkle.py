"""RFC 6962 Merkle trees over 32-byte leaf hashes, by SHA-256.

Source: RFC 6962 section 2.1; docs/encryption-format.md, "Leaves and content root". Leaf hashes come in
already hashed with the 0x00 prefix.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

from steelyard.domain import tree
from steelyard.errors import InputError


def node(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node, ``SHA-256(0x01 || left || right)``."""
    return sha256(b"\x01" + left + right).digest()


def root(leaves: Iterable[bytes]) -> bytes:
    """Return the root over ``leaves``, 32 bytes each, in O(log n) memory.

    Raises:
        InputError: there is no leaf; trees of this format are never empty.
    """
    peaks = tree.Peaks(node)
    for leaf in leaves:
        peaks.add(leaf)
    return peaks.top()


def complete_root(leaves: list[bytes]) -> bytes:
    """Return the root over a list held in memory; level by level, a third faster than :func:`root`.

    Raises:
        InputError: there is no leaf.
    """
    if not leaves:
        raise InputError("a Merkle tree needs at least one leaf")
    # An odd node at the end of a level moves up unchanged, which is RFC 6962's split at the largest power of
    # two.
    level = leaves
    while len(level) > 1:
        above = [
            sha256(b"\x01" + left + right).digest()
            for left, right in zip(level[::2], level[1::2], strict=False)
        ]
        if len(level) & 1:
            above.append(level[-1])
        level = above
    return level[0]


def path(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """Return the inclusion path of leaf ``index``, siblings from the leaf upwards.

    Raises:
        InputError: the index is out of range.
    """
    return tree.path(leaves, index, node)


def root_from_path(leaf: bytes, *, index: int, count: int, path: Sequence[bytes]) -> bytes:
    """Return the root that ``path`` gives for ``leaf``, the one at ``index`` of ``count``.

    Raises:
        DigestError: as :func:`~steelyard.domain.tree.top_from_path`.
    """
    return tree.top_from_path(leaf, index=index, count=count, path=path, inner=node)
