"""The shape of trees; what they are used for is tested with `crypto.merkle` and `domain.mmr`."""

from __future__ import annotations

import pytest

from steelyard.domain import tree
from steelyard.errors import DigestError, InputError


def named(left: bytes, right: bytes) -> bytes:
    """Show the shape: a node that names what it is over."""
    return b"(" + left + right + b")"


def test_the_shape_is_rfc_6962s() -> None:
    peaks = tree.Peaks(named)
    shapes = []
    for leaf in b"abcdefg":
        peaks.add(bytes([leaf]))
        shapes.append(peaks.top())
    assert shapes == [
        b"a",
        b"(ab)",
        b"((ab)c)",
        b"((ab)(cd))",
        b"(((ab)(cd))e)",
        b"(((ab)(cd))(ef))",
        b"(((ab)(cd))((ef)g))",
    ]


def test_a_path_goes_from_the_leaf_upwards() -> None:
    leaves = [bytes([leaf]) for leaf in b"abcdefg"]
    assert tree.path(leaves, 2, named) == (b"d", b"(ab)", b"((ef)g)")
    assert tree.path(leaves, 6, named) == (b"(ef)", b"((ab)(cd))")


@pytest.mark.parametrize("index", [-1, 3])
def test_no_path_leads_to_what_is_not_there(index: int) -> None:
    with pytest.raises(InputError):
        tree.path([b"a", b"b", b"c"], index, named)
    with pytest.raises(DigestError, match="is not in a tree"):
        tree.top_from_path(bytes(32), index=index, count=3, path=(bytes(32),), inner=named)


def test_peaks_keep_a_logarithm_of_the_leaves() -> None:
    peaks = tree.Peaks(lambda left, _: left)
    for _ in range(1000):
        peaks.add(bytes(32))
    assert peaks.count == 1000
    assert len(peaks.nodes) == (1000).bit_count()
