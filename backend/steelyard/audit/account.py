"""An account and its storage, proved under a state root. Sources: Yellow Paper 4.1, EIP-1186."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from steelyard.audit import mpt
from steelyard.domain import rlp
from steelyard.domain.hash import keccak256
from steelyard.domain.types import Address
from steelyard.errors import ProofError


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A proved account.

    Attributes:
        nonce: number of contracts it created plus 1, or of transactions it sent.
        balance: wei.
        storage_root: 32 bytes.
        code_hash: keccak256 of its code, 32 bytes.
    """

    nonce: int
    balance: int
    storage_root: bytes
    code_hash: bytes


def prove_account(state_root: bytes, *, address: Address, nodes: Sequence[bytes]) -> Account:
    """Return the account at an address.

    Raises:
        ProofError: the proof is false, or proves that there is no such account.
    """
    value = mpt.prove(state_root, keccak256(address), nodes)
    if value is None:
        raise ProofError(f"there is no account 0x{address.hex()} at this block")
    items = rlp.decode_list(value)
    if len(items) != 4:
        raise ProofError(f"an account has 4 fields, not {len(items)}")
    return Account(
        nonce=rlp.integer(items[0]),
        balance=rlp.integer(items[1]),
        storage_root=rlp.word(items[2]),
        code_hash=rlp.word(items[3]),
    )


def prove_word(storage_root: bytes, *, slot: bytes, nodes: Sequence[bytes]) -> bytes:
    """Return the word in a storage slot; a slot that the trie does not hold is zero.

    Args:
        storage_root: Of the proved account.
        slot: 32 bytes, as the EVM numbers it.
        nodes: Proof nodes from the root down; none if the storage is empty.

    Raises:
        ProofError: the proof is false, or the value is no word.
    """
    value = mpt.prove(storage_root, keccak256(slot), nodes)
    if value is None:
        return bytes(32)
    number = rlp.integer(rlp.decode(value))
    if number == 0:
        raise ProofError("a storage trie holds a zero")
    return number.to_bytes(32, "big")


def head_slot(subject: bytes) -> bytes:
    """Return the storage slot of a subject's head: slot 0 is the mapping, docs/trail.md."""
    return keccak256(subject + bytes(32))
