"""The tree of receipts: a Merkle mountain range whose root commits to the number of leaves (docs/metering.md, "Tree of receipts").

Bagged from the right it has the shape of RFC 6962, with other labels and keccak256.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from steelyard.domain import tree
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
    """A range that grows; it keeps one node for each bit of the number of leaves."""

    __slots__ = ("_peaks",)

    def __init__(self, count: int = 0, peaks: bytes = b"") -> None:
        """Start with no leaf, or with what `peaks` gave.

        Raises:
            InputError: count and peaks do not belong together.
        """
        if not 0 <= count <= MAX_LEAVES or len(peaks) != 32 * count.bit_count():
            raise InputError(f"{len(peaks)} bytes are not the peaks of {count} leaves")
        self._peaks = tree.Peaks(inner, count, [peaks[at : at + 32] for at in range(0, len(peaks), 32)])

    @property
    def count(self) -> int:
        """Number of leaves."""
        return self._peaks.count

    @property
    def peaks(self) -> bytes:
        """The nodes it keeps, largest tree first, 32 bytes each: with `count` all that there is to keep."""
        return b"".join(self._peaks.nodes)

    def append(self, digest: bytes) -> None:
        """Take the digest of the next receipt, 32 bytes."""
        self._peaks.add(leaf(digest))

    def root(self) -> bytes:
        """Return the root, 32 bytes."""
        return root_of(self.count, self._peaks.top()) if self.count else EMPTY

    def copy(self) -> Range:
        """Return another range with the same leaves."""
        return Range(self.count, self.peaks)


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
    return tree.path([leaf(digest) for digest in digests], sequence - 1, inner)


def verify(digest: bytes, *, sequence: int, count: int, path: Sequence[bytes], root: bytes) -> None:
    """Check that a receipt is the ``sequence``-th of ``count`` under a root.

    Raises:
        DigestError: it is not, or the path is not exactly as long as this place in such a tree needs.
    """
    if not 1 <= sequence <= count <= MAX_LEAVES:
        raise DigestError(f"receipt {sequence} is not among {count}")
    top = tree.top_from_path(leaf(digest), index=sequence - 1, count=count, path=path, inner=inner)
    if root_of(count, top) != root:
        raise DigestError(f"receipt {sequence} is not under this root")
