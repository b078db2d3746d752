"""Strict RLP, with the ``rlp`` package as oracle."""

from __future__ import annotations

import random

import pytest
import rlp as oracle

from steelyard.domain import rlp
from steelyard.errors import ProofError


def _item(rng: random.Random, depth: int = 0) -> rlp.Item:
    if depth < 4 and rng.random() < 0.4:
        return tuple(_item(rng, depth + 1) for _ in range(rng.choice((0, 1, 2, 17))))
    return rng.randbytes(rng.choice((0, 1, 1, 2, 31, 32, 55, 56, 57, 255, 256, 300)))


def test_reads_and_writes_what_the_oracle_writes() -> None:
    rng = random.Random(1)
    for _ in range(300):
        item = _item(rng)
        encoded = oracle.encode(item)
        assert rlp.encode(item) == encoded
        assert rlp.decode(encoded) == item


@pytest.mark.parametrize(
    "data",
    [
        "",  # nothing
        "8100",  # one byte below 0x80 needs no prefix
        "817f",
        "b800",  # long form of a short length
        "b837" + "00" * 55,
        "b90038" + "00" * 56,  # leading zero in the length
        "f800",
        "f90038" + "00" * 56,
        "82aa",  # cut short
        "c2aa",
        "b8",
        "f9ff",
        "bfffffffffffffffff",
        "c281",  # item runs past its list
        "c3820102" + "03",  # bytes follow
        "8080",
    ],
)
def test_refuses_what_is_not_the_one_encoding(data: str) -> None:
    with pytest.raises(ProofError):
        rlp.decode(bytes.fromhex(data))


def test_refuses_deep_nesting_before_the_stack_ends() -> None:
    item: rlp.Item = ()
    for _ in range(rlp.MAX_DEPTH - 1):
        item = (item,)
    assert rlp.decode(rlp.encode(item)) == item
    with pytest.raises(ProofError, match="nested"):
        rlp.decode(rlp.encode((item,)))


@pytest.mark.parametrize("number", [0, 1, 127, 128, 255, 256, 2**64, 2**256 - 1])
def test_integers_come_back(number: int) -> None:
    assert rlp.integer(rlp.decode(rlp.encode(rlp.encode_int(number)))) == number


@pytest.mark.parametrize("body", [b"\0", b"\0\1", bytes(33), b"\1" * 33])
def test_refuses_integers_with_leading_zeros_or_too_long(body: bytes) -> None:
    with pytest.raises(ProofError):
        rlp.integer(body)


def test_a_list_is_no_string_and_no_word() -> None:
    for read in (rlp.string, rlp.integer, rlp.word):
        with pytest.raises(ProofError):
            read(())
    with pytest.raises(ProofError):
        rlp.decode_list(b"\x80")
    with pytest.raises(ProofError):
        rlp.word(bytes(31))
