import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.domain import mmr
from steelyard.domain.hash import keccak256
from steelyard.errors import DigestError, InputError

DIGESTS = [keccak256(bytes([i])) for i in range(70)]


def top(leaves: list[bytes]) -> bytes:
    """The definition of docs/metering.md, word for word."""
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return keccak256(b"\x01" + top(leaves[:k]) + top(leaves[k:]))


def test_root_is_the_definition() -> None:
    grown = mmr.Range()
    assert grown.root() == bytes(32)
    for n in range(1, len(DIGESTS) + 1):
        grown.append(DIGESTS[n - 1])
        leaves = [keccak256(b"\x00" + digest) for digest in DIGESTS[:n]]
        expected = keccak256(b"\x02" + n.to_bytes(8, "big") + top(leaves))
        assert grown.root() == expected == mmr.root(DIGESTS[:n])
        assert mmr.Range(n, grown.peaks).root() == expected


def test_copy_is_another_range() -> None:
    grown = mmr.Range()
    grown.append(DIGESTS[0])
    other = grown.copy()
    other.append(DIGESTS[1])
    assert (grown.count, other.count) == (1, 2)
    assert grown.root() == mmr.root(DIGESTS[:1])


@pytest.mark.parametrize(("count", "peaks"), [(0, bytes(32)), (3, bytes(32)), (-1, b""), (2, bytes(31))])
def test_peaks_of_another_number_are_refused(count: int, peaks: bytes) -> None:
    with pytest.raises(InputError):
        mmr.Range(count, peaks)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_receipt_has_one_path_and_no_other_place(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, len(DIGESTS)))
    sequence = data.draw(st.integers(1, n))
    root, path = mmr.root(DIGESTS[:n]), mmr.prove(DIGESTS[:n], sequence)
    good = {"sequence": sequence, "count": n, "path": path, "root": root}
    mmr.verify(DIGESTS[sequence - 1], **good)
    other = data.draw(st.integers(0, n + 1).filter(lambda i: i != sequence))
    bad = [
        {**good, "sequence": other},
        {**good, "count": n + 1},
        {**good, "path": (*path, bytes(32))},
        {**good, "root": DIGESTS[0]},
        *([{**good, "path": path[:-1]}, {**good, "path": (path[0][:31], *path[1:])}] if path else []),
    ]
    for arguments in bad:
        with pytest.raises(DigestError):
            mmr.verify(DIGESTS[sequence - 1], **arguments)
    with pytest.raises(DigestError):
        mmr.verify(DIGESTS[sequence % n] if n > 1 else DIGESTS[-1], **good)


@pytest.mark.parametrize("sequence", [0, 4])
def test_no_path_for_what_is_not_there(sequence: int) -> None:
    with pytest.raises(InputError, match=f"receipt {sequence}"):
        mmr.prove(DIGESTS[:3], sequence)
    with pytest.raises(DigestError, match=f"receipt {sequence}"):
        mmr.verify(DIGESTS[0], sequence=sequence, count=3, path=(), root=bytes(32))


def test_no_path_in_more_receipts_than_there_can_be() -> None:
    with pytest.raises(DigestError, match="receipt 1 "):
        mmr.verify(DIGESTS[0], sequence=1, count=mmr.MAX_LEAVES + 1, path=(), root=bytes(32))
