"""Proofs in Merkle-Patricia tries, with the ``trie`` package as oracle."""

from __future__ import annotations

import random
from typing import Any

import pytest
import rlp as oracle
from trie.hexary import HexaryTrie

from steelyard.audit import mpt
from steelyard.domain.hash import keccak256
from steelyard.domain.rlp import encode
from steelyard.errors import ProofError


def nodes_of(trie: HexaryTrie, key: bytes) -> list[bytes]:
    """Return the oracle's proof; it has nodes inside their parents only there."""
    raw = all_nodes_of(trie, key)
    return [node for index, node in enumerate(raw) if index == 0 or len(node) >= 32]


def all_nodes_of(trie: HexaryTrie, key: bytes) -> list[bytes]:
    nodes: Any = trie.get_proof(key)  # type: ignore[no-untyped-call]
    return [oracle.encode(node) for node in nodes]


def secure(count: int, *, seed: int = 1) -> tuple[HexaryTrie, dict[bytes, bytes]]:
    rng = random.Random(seed)
    items = {rng.randbytes(32): rng.randbytes(rng.choice((1, 33, 70))) for _ in range(count)}
    trie = HexaryTrie({})
    for key, value in items.items():
        trie[key] = value
    return trie, items


@pytest.mark.parametrize("count", [1, 2, 3, 17, 200])
def test_proves_presence_and_absence_as_the_oracle_does(count: int) -> None:
    trie, items = secure(count)
    for key, value in items.items():
        assert mpt.prove(trie.root_hash, key, nodes_of(trie, key)) == value
        near = key[:-1] + bytes([key[-1] ^ 1])
        assert mpt.prove(trie.root_hash, near, nodes_of(trie, near)) is None
    for seed in range(1000, 1050):
        key = random.Random(seed).randbytes(32)
        assert mpt.prove(trie.root_hash, key, nodes_of(trie, key)) is None


def test_proves_keys_of_many_lengths_with_nodes_inside_nodes() -> None:
    rng = random.Random(7)
    trie = HexaryTrie({})
    items = {rng.randbytes(rng.choice((1, 2, 3))): rng.randbytes(rng.choice((1, 2, 40))) for _ in range(300)}
    for key, value in items.items():
        trie[key] = value
    inside = 0
    for key in [*items, *(rng.randbytes(rng.choice((1, 2, 3, 4))) for _ in range(300)), b""]:
        inside += any(len(node) < 32 for node in all_nodes_of(trie, key))
        assert mpt.prove(trie.root_hash, key, nodes_of(trie, key)) == items.get(key)
    assert inside > 50


def test_the_empty_trie_holds_nothing_and_has_no_nodes() -> None:
    assert mpt.prove(mpt.EMPTY_ROOT, bytes(32), []) is None
    with pytest.raises(ProofError, match="superfluous"):
        mpt.prove(mpt.EMPTY_ROOT, bytes(32), [b"\x80"])


def test_refuses_a_proof_that_is_cut_short_at_any_node() -> None:
    trie, items = secure(200)
    for key in list(items)[:20]:
        nodes = nodes_of(trie, key)
        for length in range(len(nodes)):
            with pytest.raises(ProofError, match="cut short"):
                mpt.prove(trie.root_hash, key, nodes[:length])


def test_refuses_superfluous_and_swapped_nodes() -> None:
    trie, items = secure(200)
    key = next(iter(items))
    nodes = nodes_of(trie, key)
    with pytest.raises(ProofError, match="superfluous"):
        mpt.prove(trie.root_hash, key, [*nodes, nodes[-1]])
    with pytest.raises(ProofError, match="not the one"):
        mpt.prove(trie.root_hash, key, [nodes[1], nodes[0], *nodes[2:]])


def test_refuses_the_proof_of_another_key_or_root() -> None:
    trie, items = secure(200)
    other, _ = secure(200, seed=2)
    first, second = list(items)[:2]
    with pytest.raises(ProofError):
        mpt.prove(trie.root_hash, first, nodes_of(trie, second))
    with pytest.raises(ProofError):
        mpt.prove(other.root_hash, first, nodes_of(trie, first))


def test_a_changed_byte_anywhere_is_refused() -> None:
    trie, items = secure(20)
    key = next(iter(items))
    nodes = nodes_of(trie, key)
    for index, node in enumerate(nodes):
        for at in range(0, len(node), 7):
            changed = node[:at] + bytes([node[at] ^ 1]) + node[at + 1 :]
            with pytest.raises(ProofError):
                mpt.prove(trie.root_hash, key, [*nodes[:index], changed, *nodes[index + 1 :]])


_LEAF = encode((b"\x20" + bytes(32), b"v"))


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        ((b"\x20" + bytes(32), b""), "empty"),
        ((b"\x20" + bytes(32), ()), "string"),
        ((b"\x40" + bytes(32), b"v"), "prefix"),
        ((b"\x21" + bytes(32), b"v"), "padding"),
        ((b"", b"v"), "prefix"),
        ((b"\x00", keccak256(_LEAF)), "extension of the proof is empty"),
        (((), b"v"), "string"),
        ((b"\x20", b"v", b""), "items"),
        ((), "items"),
        (tuple([b"\x01"] * 17), "neither hash nor node"),
        (tuple([(b"\x20" + bytes(31), b"v")] * 17), "inside its parent"),
        ((b"\x10", b""), "neither hash nor node"),
    ],
)
def test_refuses_malformed_nodes_even_under_their_own_hash(node: tuple[object, ...], reason: str) -> None:
    raw = oracle.encode(node)
    with pytest.raises(ProofError, match=reason):
        mpt.prove(keccak256(raw), bytes(32), [raw])


def test_refuses_a_root_that_is_no_list() -> None:
    with pytest.raises(ProofError, match="list"):
        mpt.prove(keccak256(b"\x83abc"), bytes(32), [b"\x83abc"])
