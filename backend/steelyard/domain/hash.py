"""Hash functions: SHA-256 from the standard library, Keccak-256 from safe-pysha3.

The only module that imports ``sha3``. Ethereum's Keccak-256 pads differently from FIPS 202's SHA3-256, which
``hashlib`` has and which must never be used in its place.
"""

from __future__ import annotations

import hashlib

import sha3


def keccak256(data: bytes) -> bytes:
    """Return Ethereum's Keccak-256 of ``data``, 32 bytes."""
    digest: bytes = sha3.keccak_256(data).digest()
    return digest


def sha256(data: bytes | bytearray | memoryview) -> bytes:
    """Return SHA-256 (FIPS 180-4) of ``data``, 32 bytes."""
    return hashlib.sha256(data).digest()
