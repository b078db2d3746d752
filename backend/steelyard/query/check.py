"""What a question may hold. Everything here raises :class:`~steelyard.errors.InputError`, before the database is asked."""

from __future__ import annotations

from typing import Final

from steelyard.domain.types import MAX_AMOUNT
from steelyard.errors import AmountError, InputError
from steelyard.indexer.schema import MAX_BLOCK
from steelyard.query.model import MAX_LIMIT

MAX_TIME: Final = (1 << 40) - 1
"""Contracts keep times in 40 bits."""


def whole(value: object, name: str, *, least: int = 0, most: int) -> None:
    """Check a whole number, or None.

    Raises:
        InputError: it is something else, or out of range.
    """
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise InputError(f"{name} is a whole number from {least} to {most}")


def limit(value: object) -> None:
    """Check the rows of a page: 1 to 500."""
    if value is None:
        raise InputError(f"limit is a whole number from 1 to {MAX_LIMIT}")
    whole(value, "limit", least=1, most=MAX_LIMIT)


def times(since: object, until: object) -> None:
    """Check a range of times; each may be None, and the range may be empty."""
    whole(since, "since", most=MAX_TIME)
    whole(until, "until", most=MAX_TIME)


def blocks(first: object, last: object) -> None:
    """Check a range of blocks; each may be None."""
    whole(first, "first_block", most=MAX_BLOCK)
    whole(last, "last_block", most=MAX_BLOCK)


def amounts(least: object, most: object) -> None:
    """Check a range of amounts: 0 to 2^128-1.

    Raises:
        AmountError: one is out of range.
    """
    for value, name in ((least, "at_least"), (most, "at_most")):
        if value is not None and (
            not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_AMOUNT
        ):
            raise AmountError(f"{name} is 0 to 2^128-1 smallest units")


def word(value: object, name: str) -> None:
    """Check an id of 32 bytes, or None."""
    if value is not None and (not isinstance(value, bytes) or len(value) != 32):
        raise InputError(f"{name} has 32 bytes")


def address(value: object, name: str) -> None:
    """Check an address of 20 bytes, or None."""
    if value is not None and (not isinstance(value, bytes) or len(value) != 20):
        raise InputError(f"{name} is an address of 20 bytes")


def text(value: object, name: str, *, most: int = 200) -> None:
    """Check a text, or None: it is bounded, and has no NUL, which PostgreSQL does not take."""
    if value is not None and (not isinstance(value, str) or len(value) > most or "\0" in value):
        raise InputError(f"{name} is a text of at most {most} characters")
