"""The one rule by which values become JSON: for the command line, the HTTP service and exports.

Addresses (20 bytes) with checksum, other bytes as 0x and hexadecimal, amounts and all numbers from 2^53 as decimal
text, enumerations as lower-case words, dataclasses as objects of their public fields, paths as text. Decided by the
type of each value; a page of the service has some 500 of them, so exact types are looked up first.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

from steelyard.domain.hash import keccak256
from steelyard.errors import InputError

AMOUNTS: Final = frozenset(
    (
        *(
            "allowance",
            "amount",
            "at_least",
            "at_most",
            "balance",
            "bond",
            "claimable",
            "claimed",
            "deposit",
            "fee",
            "fee_wei",
        ),
        *("min_bond", "owed", "paid", "price", "received", "refunded", "treasury", "wallet"),
    )
)
"""Fields that are written as decimal text, since JSON readers round numbers above 2^53."""
MAX_NUMBER: Final = 1 << 53
"""From here on a number is decimal text."""


def plain(value: object, *, name: str = "") -> object:
    """Return a value as JSON has it: of dict, list, str, int, bool and None.

    Args:
        value: whatever the package answers with. A Secret is never written.
        name: of the field that it stands in; decides whether a number is an amount.

    Raises:
        TypeError: it is of no such type.
    """
    return _plain(value, name in AMOUNTS)


@lru_cache(maxsize=16_384)
def checksum(address: bytes) -> str:
    """Return an address as people read it: ``0x`` and 40 digits whose case is a checksum (ERC-55).

    Raises:
        InputError: it is not 20 bytes.
    """
    if len(address) != 20:
        raise InputError(f"an address has 20 bytes, not {len(address)}")
    digits = address.hex()
    mask = keccak256(digits.encode()).hex()
    return "0x" + "".join(c.upper() if int(m, 16) > 7 else c for c, m in zip(digits, mask, strict=False))


def _plain(value: object, amount: bool) -> object:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is int:
        return str(value) if amount or not -MAX_NUMBER < value < MAX_NUMBER else value  # type: ignore[operator]
    if kind is bytes:
        return checksum(value) if len(value) == 20 else "0x" + value.hex()  # type: ignore[attr-defined, arg-type]
    fields = _FIELDS.get(kind)
    if fields is not None:
        return {name: _plain(getattr(value, name), paid) for name, paid in fields}
    return _rarer(value, amount)


def _rarer(value: object, amount: bool) -> object:
    if isinstance(value, enum.Enum):
        return value.name.lower()
    if isinstance(value, Mapping):
        return {str(key): _plain(item, str(key) in AMOUNTS) for key, item in value.items()}
    if isinstance(value, (tuple, list, set, frozenset)):
        return [_plain(item, amount) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kind = type(value)
        _FIELDS[kind] = tuple(
            (item.name, item.name in AMOUNTS) for item in dataclasses.fields(kind) if item.repr
        )
        return _plain(value, amount)
    if isinstance(value, str):  # subclasses of the plain types
        return str(value)
    if isinstance(value, int):
        return _plain(int(value), amount)
    if isinstance(value, bytes):
        return _plain(bytes(value), amount)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form here")


_FIELDS: Final[dict[type, tuple[tuple[str, bool], ...]]] = {}
"""Shown fields of the dataclasses met so far, and whether each is an amount."""
