"""Merkle trees of the accounts that may buy: OpenZeppelin's StandardMerkleTree of ``(address)``.

Leaves are ``keccak256(keccak256(abi.encode(address)))``, sorted; inner nodes hash their children in ascending
order. Source: the ``@openzeppelin/merkle-tree`` package's description of its format.
"""

from __future__ import annotations

from collections.abc import Iterable

from steelyard.domain.hash import keccak256
from steelyard.domain.types import Address, account_word
from steelyard.errors import InputError


class AllowList:
    """The tree over some accounts; doubled ones count once."""

    def __init__(self, accounts: Iterable[Address]) -> None:
        """Build the tree.

        Raises:
            InputError: there is no account.
        """
        self.accounts = tuple(sorted(set(accounts)))
        if not self.accounts:
            raise InputError("an allow-list needs at least one account")
        leaves = sorted(leaf(account) for account in self.accounts)
        count = len(leaves)
        # A complete binary tree in an array, root first, the leaves at the end in reverse order.
        self._tree = [b""] * (count - 1) + leaves[::-1]
        for place in range(count - 2, -1, -1):
            self._tree[place] = _pair(self._tree[2 * place + 1], self._tree[2 * place + 2])

    @property
    def root(self) -> bytes:
        """The root, 32 bytes, for ``Terms.allow_list``."""
        return self._tree[0]

    def proof(self, account: Address) -> tuple[bytes, ...]:
        """Return the proof that an account is on the list.

        Raises:
            InputError: it is not.
        """
        if account not in self.accounts:
            raise InputError(f"0x{account.hex()} is not on the allow-list")
        place = self._tree.index(leaf(account), len(self.accounts) - 1)
        siblings = []
        while place:
            siblings.append(self._tree[place + 1 if place % 2 else place - 1])
            place = (place - 1) // 2
        return tuple(siblings)


def leaf(account: Address) -> bytes:
    """Return the leaf of an account, 32 bytes."""
    return keccak256(keccak256(account_word(account)))


def _pair(a: bytes, b: bytes) -> bytes:
    return keccak256(min(a, b) + max(a, b))
