"""Accounts and storage words under a state root."""

from __future__ import annotations

import pytest
import rlp as oracle
from trie.hexary import HexaryTrie

from steelyard.audit.account import head_slot, prove_account, prove_word
from steelyard.domain.hash import keccak256
from steelyard.domain.types import Address
from steelyard.errors import ProofError
from tests.unit.audit.test_mpt import nodes_of

ADDRESS, OTHER = Address(b"\x01" * 20), Address(b"\x02" * 20)


def state(value: object) -> HexaryTrie:
    trie = HexaryTrie({})
    trie[keccak256(ADDRESS)] = oracle.encode(value)
    trie[keccak256(b"\x03" * 20)] = oracle.encode([b"", b"", bytes(32), bytes(32)])
    return trie


def test_proves_an_account() -> None:
    trie = state([b"\x07", b"\x01\x00", b"\xaa" * 32, b"\xbb" * 32])
    account = prove_account(trie.root_hash, address=ADDRESS, nodes=nodes_of(trie, keccak256(ADDRESS)))
    assert (account.nonce, account.balance) == (7, 256)
    assert (account.storage_root, account.code_hash) == (b"\xaa" * 32, b"\xbb" * 32)


def test_an_absent_account_is_an_error() -> None:
    trie = state([b"", b"", bytes(32), bytes(32)])
    with pytest.raises(ProofError, match="no account"):
        prove_account(trie.root_hash, address=OTHER, nodes=nodes_of(trie, keccak256(OTHER)))


@pytest.mark.parametrize(
    "value",
    [
        [b"", b"", bytes(32)],
        [b"", b"", bytes(32), bytes(31)],
        [b"\x00", b"", bytes(32), bytes(32)],
        [b"", b"\x00\x01", bytes(32), bytes(32)],
        [b"", b"", bytes(32), bytes(32), b""],
        b"account",
    ],
)
def test_refuses_what_is_no_account(value: object) -> None:
    trie = state(value)
    with pytest.raises(ProofError):
        prove_account(trie.root_hash, address=ADDRESS, nodes=nodes_of(trie, keccak256(ADDRESS)))


def test_a_word_comes_back_with_its_leading_zeros() -> None:
    trie, slot = HexaryTrie({}), b"\x05" * 32
    trie[keccak256(slot)] = oracle.encode(b"\x01\x02")
    assert (
        prove_word(trie.root_hash, slot=slot, nodes=nodes_of(trie, keccak256(slot)))
        == bytes(30) + b"\x01\x02"
    )


def test_absence_proves_zero() -> None:
    trie, slot = HexaryTrie({}), b"\x05" * 32
    trie[keccak256(b"other")] = oracle.encode(b"\x01\x02")
    assert prove_word(trie.root_hash, slot=slot, nodes=nodes_of(trie, keccak256(slot))) == bytes(32)


@pytest.mark.parametrize("value", [b"", b"\x00\x01", b"\x01" * 33, [b"\x01"]])
def test_refuses_a_value_that_is_no_word(value: object) -> None:
    trie, slot = HexaryTrie({}), b"\x05" * 32
    trie[keccak256(slot)] = oracle.encode(value)
    with pytest.raises(ProofError):
        prove_word(trie.root_hash, slot=slot, nodes=nodes_of(trie, keccak256(slot)))


def test_the_slot_of_a_head_is_the_mappings_in_slot_0() -> None:
    assert head_slot(b"\x05" * 32) == keccak256(b"\x05" * 32 + bytes(32))
