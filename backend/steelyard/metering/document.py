"""Receipts and vouchers as JSON documents have them: numbers, or decimal digits, and 0x with hexadecimal; read strictly."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from steelyard.domain import mmr
from steelyard.domain.metering import Receipt, Voucher
from steelyard.domain.types import MAX_AMOUNT
from steelyard.errors import InputError
from steelyard.metering.agreement import Agreement, Signed

_DIGITS: Final = re.compile(r"[0-9]{1,78}", re.ASCII)
_HEX: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})*", re.ASCII)


def whole(value: object, *, least: int = 0, most: int = (1 << 256) - 1) -> int:
    """Return a whole number.

    Raises:
        InputError: it is none, or not from ``least`` to ``most``.
    """
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if type(value) is not int or not least <= value <= most:
        raise InputError(f"{str(value)[:40]!a} is no whole number from {least} to {most}")
    return value


def hex_bytes(value: object, size: int = 32) -> bytes:
    """Return ``size`` bytes.

    Raises:
        InputError: it is something else than that many in hexadecimal.
    """
    if not isinstance(value, str) or not _HEX.fullmatch(value) or len(value) != 2 + 2 * size:
        raise InputError(f"{str(value)[:40]!a} is not 0x and {2 * size} hexadecimal digits")
    return bytes.fromhex(value[2:])


def read_receipt(agreement: Agreement, item: Mapping[str, Any]) -> tuple[Receipt, bytes]:
    """Return a receipt with its signature, which is not checked here.

    Raises:
        InputError: a number or some bytes are none, or out of range.
        KeyError: one is missing.
    """
    receipt = Receipt(
        channel=agreement.channel,
        sequence=whole(item["sequence"], least=1, most=mmr.MAX_LEAVES),
        version=agreement.version,
        units=whole(item["units"], least=1, most=(1 << 64) - 1),
        request=hex_bytes(item["request"]),
        response=hex_bytes(item["response"]),
    )
    return receipt, hex_bytes(item["signature"], 65)


def read_voucher(agreement: Agreement, item: Mapping[str, Any]) -> Signed:
    """Return a voucher with its signature, which is not checked here; its amount is what the units cost.

    Raises:
        InputError: a number or some bytes are none, or out of range.
        KeyError: one is missing.
    """
    units = whole(item["units"])
    voucher = Voucher(
        channel=agreement.channel,
        amount=whole(units * agreement.terms.price, most=MAX_AMOUNT),
        units=units,
        sequence=whole(item["sequence"], most=mmr.MAX_LEAVES),
        root=hex_bytes(item["root"]),
    )
    return Signed(voucher=voucher, signature=hex_bytes(item["signature"], 65))
