"""Fields of an entry's data, read from their words: strictly, since what is out of range was logged by no contract of ours.

All raise ValueError for a word that is out of the range of its type.
"""

from __future__ import annotations

from typing import Final

from steelyard.indexer.schema import amount_bytes

_LEFT: Final = bytes(12)
_ZERO: Final = bytes(16)


def number(data: bytes, index: int, bits: int) -> int:
    """Return the number of so many bits in a word."""
    value = int.from_bytes(data[32 * index : 32 * index + 32], "big")
    if value >> bits:
        raise ValueError(f"field {index} is out of range")
    return value


def account_in(data: bytes, index: int) -> bytes:
    """Return the account in a word, 20 bytes."""
    return account_of(data[32 * index : 32 * index + 32])


def account_of(word: bytes) -> bytes:
    """Return the account that a word is, 20 bytes."""
    if word[:12] != _LEFT:
        raise ValueError("an account is out of range")
    return word[12:]


def amount_in(data: bytes, index: int) -> bytes:
    """Return the ``uint128`` in a word, as amounts are stored."""
    start = 32 * index
    if data[start : start + 16] != _ZERO:
        raise ValueError(f"field {index} is out of range")
    return data[start + 16 : start + 32]


def wide_amount_in(data: bytes, index: int) -> bytes:
    """Return the ``uint256`` in a word, as amounts are stored."""
    return amount_bytes(int.from_bytes(data[32 * index : 32 * index + 32], "big"))
