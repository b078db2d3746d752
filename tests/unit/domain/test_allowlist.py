from __future__ import annotations

import pytest

from steelyard.domain.allowlist import AllowList, leaf
from steelyard.domain.hash import keccak256
from steelyard.domain.types import Address
from steelyard.errors import InputError


def accounts(count: int) -> list[Address]:
    return [Address(bytes([i + 1]) * 20) for i in range(count)]


def climb(start: bytes, proof: tuple[bytes, ...]) -> bytes:
    """OpenZeppelin's MerkleProof.processProof."""
    for sibling in proof:
        start = keccak256(min(start, sibling) + max(start, sibling))
    return start


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 13])
def test_every_account_has_a_proof(count: int) -> None:
    tree = AllowList(accounts(count))
    for account in accounts(count):
        assert climb(leaf(account), tree.proof(account)) == tree.root


def test_the_order_and_doubling_of_accounts_do_not_matter() -> None:
    assert AllowList(accounts(5)).root == AllowList([*accounts(5)[::-1], *accounts(2)]).root


def test_a_list_of_one_is_its_leaf() -> None:
    # An account is 20 bytes: the leaf is hashed twice, so that no inner node of 64 bytes can pass for one.
    (account,) = accounts(1)
    assert AllowList([account]).root == keccak256(keccak256(bytes(12) + account))


def test_an_account_outside_has_no_proof() -> None:
    with pytest.raises(InputError):
        AllowList(accounts(3)).proof(accounts(4)[3])


def test_an_empty_list_is_refused() -> None:
    with pytest.raises(InputError):
        AllowList([])
