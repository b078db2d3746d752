"""Amounts as people write them, and as contracts count them: exact in both directions, never through a float.

``0.05eth``, ``10gwei``, ``12wei``; in an ERC-20 a plain number of its whole units, ``2.5``, or ``2.5usdc``
where its symbol is known. Inside the package an amount is an ``int`` of smallest units.
"""

from __future__ import annotations

import re
from typing import Final

from steelyard.domain.types import MAX_AMOUNT
from steelyard.errors import AmountError

UNITS: Final = {"wei": 0, "kwei": 3, "mwei": 6, "gwei": 9, "szabo": 12, "finney": 15, "eth": 18, "ether": 18}
"""Units of the native coin and their decimals."""

MAX_DECIMALS: Final = 77
"""Most decimals a token may claim: 10^77 still fits in 256 bits."""

_MAX_TEXT: Final = 160
# No part can match what the next one starts with, so matching is linear.
_AMOUNT: Final = re.compile(r"([0-9]+(?:_[0-9]+)*)(?:\.([0-9]+))?[ ]?([A-Za-z][A-Za-z0-9.]{0,15})?", re.ASCII)


def parse_native(text: str) -> int:
    """Return an amount of the native coin in wei.

    Args:
        text: a decimal number with a unit, such as ``0.05eth``, ``10 gwei`` or ``12wei``; a bare ``0`` needs
            none. No sign, no exponent, no comma; underscores may group digits.

    Raises:
        AmountError: it is no such amount, has no unit, is a fraction of a wei, or is above 2^128-1.
    """
    whole, fraction, unit = _split(text)
    if not unit:
        if whole.strip("0") or fraction.strip("0"):
            raise AmountError(
                f"{text!r} has no unit: write {text.strip()}eth, {text.strip()}gwei or {text.strip()}wei"
            )
        return 0
    if unit.lower() not in UNITS:
        raise AmountError(
            f"{unit!r} is no unit of the native coin: use eth, gwei or wei, or name the token's currency"
        )
    return _scale(text, whole, fraction, UNITS[unit.lower()])


def parse_token(text: str, *, decimals: int, symbol: str = "") -> int:
    """Return an amount of an ERC-20 in its smallest units.

    Args:
        text: a decimal number of whole tokens, such as ``2.5``, with or without the symbol.
        decimals: of the token, 0 to 77.
        symbol: of the token; empty if it is not known, and then none may be given.

    Raises:
        AmountError: it is no such amount, has another unit, more decimals than the token, or is above
            2^128-1.
    """
    _check_decimals(decimals)
    whole, fraction, unit = _split(text)
    if unit and unit.casefold() != symbol.casefold():
        wanted = f"{symbol} or no unit" if symbol else "no unit, in whole tokens"
        raise AmountError(f"{text!r} is not in the token's own unit: give it with {wanted}")
    return _scale(text, whole, fraction, decimals)


def format_units(amount: int, *, decimals: int) -> str:
    """Return an amount as a plain decimal number, exactly, without trailing zeros: ``0.05``.

    Raises:
        AmountError: it is negative, or the decimals are out of range.
    """
    _check_decimals(decimals)
    if amount < 0:
        raise AmountError(f"{amount} is no amount: it is negative")
    digits = str(amount).rjust(decimals + 1, "0")
    whole, fraction = digits[: len(digits) - decimals], digits[len(digits) - decimals :].rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole


def format_native(amount: int, *, symbol: str = "ETH") -> str:
    """Return wei for people, exactly: ``0.05 ETH``, ``12.5 gwei``, ``3 wei``.

    The unit is the greatest in which it is not longer than nine decimals.

    Raises:
        AmountError: it is negative.
    """
    if amount == 0 or amount >= 10**14 or (amount % 10**9 == 0 and amount >= 10**12):
        return f"{format_units(amount, decimals=18)} {symbol}"
    if amount >= 10**6:
        return f"{format_units(amount, decimals=9)} gwei"
    return f"{format_units(amount, decimals=0)} wei"


def format_token(amount: int, *, decimals: int, symbol: str) -> str:
    """Return an amount of an ERC-20 for people, exactly: ``2.5 USDC``.

    Raises:
        AmountError: it is negative, or the decimals are out of range.
    """
    return f"{format_units(amount, decimals=decimals)} {symbol}".rstrip()


def _split(text: str) -> tuple[str, str, str]:
    match = _AMOUNT.fullmatch(text.strip(" ")) if len(text) <= _MAX_TEXT else None
    if match is None:
        raise AmountError(
            f"{text[:80]!r} is no amount: write digits, at most one point, and a unit, such as 0.05eth"
        )
    return match[1].replace("_", ""), match[2] or "", match[3] or ""


def _scale(text: str, whole: str, fraction: str, decimals: int) -> int:
    kept = fraction.rstrip("0")
    if len(kept) > decimals:
        raise AmountError(
            f"{text!r} has {len(kept)} decimals; the unit has only {decimals}, and amounts are exact"
        )
    amount = int(whole + kept.ljust(decimals, "0"))
    if amount > MAX_AMOUNT:
        raise AmountError(f"{text!r} is above the most that the contracts hold, 2^128-1 smallest units")
    return amount


def _check_decimals(decimals: int) -> None:
    if not 0 <= decimals <= MAX_DECIMALS:
        raise AmountError(f"a token of {decimals} decimals cannot be counted: 0 to {MAX_DECIMALS}")
