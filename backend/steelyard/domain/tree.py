"""Merkle trees in the shape of RFC 6962 (section 2.1), whatever hashes their nodes: what grows, proves and checks them.

Leaves come in already hashed, so a leaf may also be the root of a complete subtree of equal height.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from steelyard.errors import DigestError, InputError

Inner: TypeAlias = Callable[[bytes, bytes], bytes]
"""Returns the node above a left and a right one; 32 bytes each."""


class Peaks:
    """A growing list of leaves, of which only the roots of complete subtrees are kept: one for each bit of their number.

    Attributes:
        count: number of leaves.
        nodes: the roots, largest subtree first, 32 bytes each; with `count` all that there is to keep.
    """

    __slots__ = ("_inner", "count", "nodes")

    def __init__(self, inner: Inner, count: int = 0, nodes: Sequence[bytes] = ()) -> None:
        """Start with no leaf, or with what was kept of so many."""
        self._inner = inner
        self.count = count
        self.nodes = list(nodes)

    def add(self, leaf: bytes) -> None:
        """Take the next leaf, 32 bytes."""
        # As many trailing one bits as the count has, as many complete subtrees of equal height can be joined.
        carry = self.count
        while carry & 1:
            leaf = self._inner(self.nodes.pop(), leaf)
            carry >>= 1
        self.nodes.append(leaf)
        self.count += 1

    def top(self) -> bytes:
        """Return the top of the tree, 32 bytes.

        Raises:
            InputError: there is no leaf.
        """
        if not self.nodes:
            raise InputError("a Merkle tree needs at least one leaf")
        found = self.nodes[-1]
        for node in reversed(self.nodes[:-1]):
            found = self._inner(node, found)
        return found


def path(leaves: Sequence[bytes], index: int, inner: Inner) -> tuple[bytes, ...]:
    """Return the inclusion path of leaf ``index``, siblings from the leaf upwards.

    Raises:
        InputError: the index is out of range.
    """
    if not 0 <= index < len(leaves):
        raise InputError(f"leaf {index} is not in a tree of {len(leaves)}")
    level, place, found = list(leaves), index, []
    while len(level) > 1:
        if place ^ 1 < len(level):
            found.append(level[place ^ 1])
        above = [inner(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
        # An odd node at the end of a level moves up unchanged, which is RFC 6962's split at the largest power of two.
        level, place = above + level[2 * len(above) :], place >> 1
    return tuple(found)


def top_from_path(leaf: bytes, *, index: int, count: int, path: Sequence[bytes], inner: Inner) -> bytes:
    """Return the top that ``path`` gives for ``leaf``, by the algorithm of RFC 9162 section 2.1.3.2.

    Args:
        leaf: leaf hash, 32 bytes.
        index: its place, from 0.
        count: number of leaves in the tree.
        path: siblings from the leaf upwards.
        inner: hashes two nodes.

    Raises:
        DigestError: the index is out of range, or the path is not exactly as long as this place in such a
            tree needs.
    """
    if not 0 <= index < count:
        raise DigestError(f"leaf {index} is not in a tree of {count}")
    found, place, last = leaf, index, count - 1
    for sibling in path:
        if last == 0 or len(sibling) != 32:
            raise DigestError(f"the path of leaf {index} is too long or malformed")
        if place & 1 or place == last:
            found = inner(sibling, found)
            while not place & 1 and place:
                place >>= 1
                last >>= 1
        else:
            found = inner(found, sibling)
        place >>= 1
        last >>= 1
    if last:
        raise DigestError(f"the path of leaf {index} is too short")
    return found
