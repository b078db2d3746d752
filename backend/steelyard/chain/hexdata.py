"""Hexadecimal as JSON-RPC writes it, read strictly: a malformed answer is an error, never a guess.

Source: Ethereum JSON-RPC specification, "Hex value encoding".
"""

from __future__ import annotations

from steelyard.domain.plain import checksum as checksum_address
from steelyard.domain.types import Address
from steelyard.errors import ChainError, InputError


def quantity(value: int) -> str:
    """Return a number as a JSON-RPC quantity: ``0x`` and hexadecimal without leading zeros.

    Raises:
        InputError: it is negative.
    """
    if value < 0:
        raise InputError(f"{value} is no quantity")
    return hex(value)


def to_hex(data: bytes) -> str:
    """Return bytes as ``0x`` and lower-case hexadecimal."""
    return "0x" + data.hex()


def read_quantity(value: object, name: str, *, bits: int = 256) -> int:
    """Return the number in a quantity of an answer.

    Args:
        value: what stands in the answer.
        name: what it should be, for the message.
        bits: it is below 2 to this power, which is 256 at the most.

    Raises:
        ChainError: it is no quantity, or too large.
    """
    if isinstance(value, str) and 3 <= len(value) <= 66 and value.startswith("0x") and value.isalnum():
        try:
            number = int(value, 16)
        except ValueError:
            pass
        else:
            if not number >> bits:
                return number
            raise ChainError(f"the endpoint's {name} is beyond what any chain has")
    raise ChainError(f"the endpoint's {name} is no number")


def read_data(value: object, name: str, size: int | None = None) -> bytes:
    """Return the bytes in data of an answer.

    Args:
        value: what stands in the answer.
        name: what it should be, for the message.
        size: exact length in bytes, where it is known.

    Raises:
        ChainError: it is no hexadecimal, or of another length.
    """
    if isinstance(value, str) and value.startswith("0x") and (len(value) == 2 or value.isalnum()):
        try:
            data = bytes.fromhex(value[2:])
        except ValueError:
            data = None
        if data is not None and (size is None or len(data) == size):
            return data
    wanted = "bytes" if size is None else f"{size} bytes"
    raise ChainError(f"the endpoint's {name} is not {wanted} in hexadecimal")


def parse_address(text: str) -> Address:
    """Return the address that somebody typed: ``0x`` and 40 digits, one case or with a right checksum (ERC-55).

    Raises:
        InputError: it is not an address, or its checksum is wrong, so probably mistyped.
    """
    try:
        address = bytes.fromhex(text[2:]) if text[:2] == "0x" and text[2:].isalnum() else b""
    except ValueError:
        address = b""
    if len(address) != 20:
        raise InputError(f"{text!r} is no address: 0x and 40 hexadecimal digits")
    digits = text[2:]
    if digits not in (digits.lower(), digits.upper()) and checksum_address(address) != text:
        raise InputError(f"the checksum of address {text} is wrong: is it mistyped?")
    return Address(address)


__all__ = ["checksum_address", "parse_address", "quantity", "read_data", "read_quantity", "to_hex"]
