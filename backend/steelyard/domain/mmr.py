"""The tree of receipts: a Merkle mountain range whose root commits to the number of leaves (docs/metering.md, "Tree of receipts").

Bagged from the right it has the shape of RFC 6962, with other labels and keccak256.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from steelyard.domain.hash import keccak256
from steelyard.errors import DigestError, InputError

EMPTY: Final = bytes(32)
"""Root of no leaf."""
MAX_LEAVES: Final = (1 << 64) - 1


def leaf(digest: bytes) -> bytes:
    """Return the leaf of a receipt's digest, both 32 bytes."""
    return keccak256(b"\x00" + digest)


def inner(left: bytes, right: bytes) -> bytes:
    """Return the node above two others."""
    return keccak256(b"\x01" + left + right)


def root_of(count: int, top: bytes) -> bytes:
    """Return the root over ``count`` leaves, at least one, whose tree has the node ``top`` at its top."""
    return keccak256(b"\x02" + count.to_bytes(8, "big") + top)


class Range:
    """A range that grows; it keeps one node for each bit of the number of leaves.

    Attributes:
        count: number of leaves.
    """

    __slots__ = ("_peaks", "count")

    def __init__(self, count: int = 0, peaks: bytes = b"") -> None:
        """Start with no leaf, or with what `peaks` gave.

        Raises:
            InputError: count and peaks do not belong together.
        """
        if not 0 <= count <= MAX_LEAVES or len(peaks) != 32 * count.bit_count():
            raise InputError(f"{len(peaks)} bytes are not the peaks of {count} leaves")
        self.count = count
        self._peaks = [peaks[at : at + 32] for at in range(0, len(peaks), 32)]

    @property
    def peaks(self) -> bytes:
        """The nodes it keeps, largest tree first, 32 bytes each: with `count` all that there is to keep."""
        return b"".join(self._peaks)

    def append(self, digest: bytes) -> None:
        """Take the digest of the next receipt, 32 bytes."""
        node = leaf(digest)
        # As many trailing one bits as the count has, as many trees of equal height can be joined.
        carry = self.count
        while carry & 1:
            node = inner(self._peaks.pop(), node)
            carry >>= 1
        self._peaks.append(node)
        self.count += 1

    def root(self) -> bytes:
        """Return the root, 32 bytes."""
        if not self._peaks:
            return EMPTY
        top = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            top = inner(peak, top)
        return root_of(self.count, top)

    def copy(self) -> Range:
        """Return another range with the same leaves."""
        other = Range()
        other.count, other._peaks = self.count, list(self._peaks)
        return other


def root(digests: Iterable[bytes]) -> bytes:
    """Return the root over the digests of receipts, in their order."""
    found = Range()
    for digest in digests:
        found.append(digest)
    return found.root()


def prove(digests: Sequence[bytes], sequence: int) -> tuple[bytes, ...]:
    """Return the path of one receipt: siblings from the leaf upwards.

    Args:
        digests: of all receipts that the root covers, in their order.
        sequence: of the receipt, from 1.

    Raises:
        InputError: there is no such receipt.
    """
    if not 1 <= sequence <= len(digests):
        raise InputError(f"receipt {sequence} is not among {len(digests)}")
    level, place, path = [leaf(digest) for digest in digests], sequence - 1, []
    while len(level) > 1:
        if place ^ 1 < len(level):
            path.append(level[place ^ 1])
        above = [inner(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
        if len(level) & 1:
            above.append(level[-1])  # moves up as it is
        level, place = above, place >> 1
    return tuple(path)


def verify(digest: bytes, *, sequence: int, count: int, path: Sequence[bytes], root: bytes) -> None:
    """Check that a receipt is the ``sequence``-th of ``count`` under a root.

    Raises:
        DigestError: it is not, or the path is not exactly as long as this place in such a tree needs.
    """
    if not 1 <= sequence <= count <= MAX_LEAVES:
        raise DigestError(f"receipt {sequence} is not among {count}")
    node, place, last = leaf(digest), sequence - 1, count - 1
    for sibling in path:
        if last == 0 or len(sibling) != 32:
            raise DigestError(f"the path of receipt {sequence} is too long or malformed")
        if place & 1 or place == last:
            node = inner(sibling, node)
            while not place & 1 and place:
                place >>= 1
                last >>= 1
        else:
            node = inner(node, sibling)
        place >>= 1
        last >>= 1
    if last:
        raise DigestError(f"the path of receipt {sequence} is too short")
    if root_of(count, node) != root:
        raise DigestError(f"receipt {sequence} is not under this root")
