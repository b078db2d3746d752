"""RFC 6962 Merkle trees over 32-byte leaf hashes.

Source: RFC 6962 section 2.1; docs/encryption-format.md, "Leaves and content root". Leaf hashes come in
already hashed with the 0x00 prefix, so a leaf here may also be the root of a complete subtree of equal
height.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

from steelyard.errors import DigestError, InputError


def node(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node, ``SHA-256(0x01 || left || right)``."""
    return sha256(b"\x01" + left + right).digest()


class RootBuilder:
    """Folds leaf hashes into the tree's root in O(log n) memory."""

    def __init__(self) -> None:
        """Start with no leaf."""
        self._peaks: list[bytes] = []
        self._count = 0

    @property
    def count(self) -> int:
        """Number of leaves taken so far."""
        return self._count

    def add(self, leaf: bytes) -> None:
        """Take the next leaf hash, 32 bytes."""
        # As many trailing one bits as the count has, as many complete subtrees of equal height can be joined.
        carry = self._count
        while carry & 1:
            leaf = node(self._peaks.pop(), leaf)
            carry >>= 1
        self._peaks.append(leaf)
        self._count += 1

    def root(self) -> bytes:
        """Return the root of the leaves taken so far, 32 bytes.

        Raises:
            InputError: there was none; trees of this format are never empty.
        """
        if not self._peaks:
            raise InputError("a Merkle tree needs at least one leaf")
        result = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            result = node(peak, result)
        return result


def root(leaves: Iterable[bytes]) -> bytes:
    """Return the root over ``leaves``, 32 bytes each.

    Raises:
        InputError: there is no leaf.
    """
    builder = RootBuilder()
    for leaf in leaves:
        builder.add(leaf)
    return builder.root()


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
    if not 0 <= index < len(leaves):
        raise InputError(f"leaf {index} is not in a tree of {len(leaves)}")
    siblings = []
    low, high = 0, len(leaves)
    while high - low > 1:
        split = low + (1 << (high - low - 1).bit_length() - 1)
        if index < split:
            siblings.append(root(leaves[split:high]))
            high = split
        else:
            siblings.append(root(leaves[low:split]))
            low = split
    return tuple(reversed(siblings))


def root_from_path(leaf: bytes, *, index: int, count: int, path: Sequence[bytes]) -> bytes:
    """Return the root that ``path`` gives for ``leaf``, by the algorithm of RFC 9162 section 2.1.3.2.

    Args:
        leaf: leaf hash, 32 bytes.
        index: its place, from 0.
        count: number of leaves in the tree.
        path: siblings from the leaf upwards.

    Raises:
        DigestError: the index is out of range, or the path is not exactly as long as this place in such a
            tree needs.
    """
    if not 0 <= index < count:
        raise DigestError(f"leaf {index} is not in a tree of {count}")
    result, place, last = leaf, index, count - 1
    for sibling in path:
        if last == 0 or len(sibling) != 32:
            raise DigestError(f"the path of leaf {index} is too long or malformed")
        if place & 1 or place == last:
            result = node(sibling, result)
            while not place & 1 and place:
                place >>= 1
                last >>= 1
        else:
            result = node(result, sibling)
        place >>= 1
        last >>= 1
    if last:
        raise DigestError(f"the path of leaf {index} is too short")
    return result
