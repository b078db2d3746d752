"""Values of request bodies, read strictly: hexadecimal, amounts, points, signatures; and amounts as sentences name them."""

from __future__ import annotations

import re
from typing import Final

from steelyard.chain.erc20 import Token
from steelyard.chain.hexdata import to_hex
from steelyard.crypto.curve import FIELD, N
from steelyard.domain.money import MAX_DECIMALS, format_native, format_token
from steelyard.domain.point import Point
from steelyard.domain.types import NATIVE, Address, checked_amount
from steelyard.errors import AmountError, ChainError, InputError, RevertError, VerificationError
from steelyard.service.context import Context

_HEX: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})*", re.ASCII)
_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,38}", re.ASCII)


def hex_bytes(text: str, size: int | None, name: str) -> bytes:
    """Return the bytes in ``0x`` and hexadecimal.

    Raises:
        InputError: it is something else, or has another length than ``size`` bytes.
    """
    data = bytes.fromhex(text[2:]) if _HEX.fullmatch(text) else None
    if data is None or size not in (None, len(data)):
        raise InputError(f"{name} is not 0x and {'' if size is None else f'{2 * size} '}hexadecimal digits")
    return data


def amount(text: str, name: str) -> int:
    """Return an amount of smallest units from its decimal text.

    Raises:
        InputError: it is no such text, or above 2^128-1.
    """
    if not _DECIMAL.fullmatch(text):
        raise InputError(f"{name} is no amount: decimal text of smallest units")
    try:
        return checked_amount(int(text))
    except AmountError as exc:
        raise InputError(f"{name}: {exc}") from exc


def number(value: int, least: int, most: int, name: str) -> int:
    """Return a number within bounds.

    Raises:
        InputError: it is not.
    """
    if not least <= value <= most:
        raise InputError(f"{name} is {least} to {most}, not {value}")
    return value


def point(text: str, name: str) -> Point:
    """Return a point from x and y, 64 bytes.

    Raises:
        InputError: it has another length or a coordinate outside the field; whether it is on the curve is not asked.
    """
    data = hex_bytes(text, 64, name)
    found = Point(int.from_bytes(data[:32], "big"), int.from_bytes(data[32:], "big"))
    if found.x >= FIELD or found.y >= FIELD:
        raise InputError(f"{name} has a coordinate outside the field")
    return found


def signature_parts(text: str) -> tuple[int, bytes, bytes]:
    """Return ``(v, r, s)`` from ``r || s || v``, 65 bytes; ``v`` becomes 27 or 28.

    Raises:
        InputError: it is no signature.
    """
    data = hex_bytes(text, 65, "signature")
    v = data[64] if data[64] >= 27 else data[64] + 27
    if v not in (27, 28) or not 1 <= int.from_bytes(data[:32], "big") < N:
        raise InputError("the signature is malformed")
    return v, data[:32], data[32:64]


def coin(context: Context, value: int, currency: bytes = NATIVE) -> str:
    """Return an amount as a sentence names it; what a token says of itself stands beside its address."""
    if currency == NATIVE:
        return f"{format_native(value)} ({value} wei)" if value else format_native(0)
    exact = f"{value} smallest units of token {to_hex(currency)}"
    token = Token(context.rpc, Address(currency))
    try:
        decimals, symbol = token.decimals(), token.symbol()
    except (RevertError, VerificationError, ChainError):
        return exact
    return (
        f"{format_token(value, decimals=decimals, symbol=symbol)} ({exact})"
        if decimals <= MAX_DECIMALS
        else exact
    )
