"""The few words of ABI and hash encodings that key delivery needs."""

from __future__ import annotations

from steelyard.errors import InputError


def uint(value: int, size: int = 32) -> bytes:
    """Return ``value`` as ``size`` big-endian bytes.

    Raises:
        InputError: negative, or too large.
    """
    if not 0 <= value < 1 << (8 * size):
        raise InputError(f"{value} does not fit in {size} bytes")
    return value.to_bytes(size, "big")


def exact(value: bytes, size: int, name: str) -> bytes:
    """Return ``value`` if it is ``size`` bytes long.

    Raises:
        InputError: another length; the message says ``name``.
    """
    if len(value) != size:
        raise InputError(f"{name} must be exactly {size} bytes")
    return value


def word_address(value: bytes, name: str) -> bytes:
    """Return a 20-byte address as one ABI word, 32 bytes.

    Raises:
        InputError: it is not 20 bytes.
    """
    return bytes(12) + exact(value, 20, name)
