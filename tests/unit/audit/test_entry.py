"""Entries and their fold, against Trail.sol's formula written out."""

from __future__ import annotations

from dataclasses import replace

from steelyard.audit.entry import NO_HEAD, Entry, fold
from steelyard.domain.abi import encode
from steelyard.domain.hash import keccak256
from steelyard.domain.types import Address

ENTRY = Entry(
    contract=Address(b"\x01" * 20),
    block=5,
    time=1_700_000_000,
    topics=(b"\x0a" * 32, b"\x0b" * 32, b"\x0c" * 32, bytes(12) + b"\x0d" * 20),
    data=b"data of any length",
    log=3,
    tx=b"\x0e" * 32,
)


def test_the_digest_is_that_of_trail_sol() -> None:
    words = encode(["uint256", "uint256", *["bytes32"] * 4], [5, 1_700_000_000, *ENTRY.topics])
    assert ENTRY.digest == keccak256(words + b"data of any length")


def test_the_head_starts_at_zero_and_takes_each_digest() -> None:
    second = replace(ENTRY, block=6)
    assert fold([]) == NO_HEAD == bytes(32)
    assert fold([ENTRY, second]) == keccak256(keccak256(bytes(32) + ENTRY.digest) + second.digest)
    assert fold([second, ENTRY]) != fold([ENTRY, second])


def test_hints_are_not_hashed() -> None:
    assert replace(ENTRY, log=9, tx=bytes(32), contract=Address(bytes(20))).digest == ENTRY.digest


def test_topics_have_names() -> None:
    assert (ENTRY.event, ENTRY.subject, ENTRY.id, ENTRY.actor) == (*ENTRY.topics[:3], b"\x0d" * 20)
