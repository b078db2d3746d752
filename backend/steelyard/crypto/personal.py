"""Messages that a wallet signs as text (EIP-191, version 0x45, "personal_sign"), and who signed a digest."""

from __future__ import annotations

from typing import Final

from coincurve import PublicKey

from steelyard.crypto.curve import N
from steelyard.domain.hash import keccak256
from steelyard.domain.types import Address

SIGNATURE_SIZE: Final = 65
"""Bytes of ``r || s || v``."""


def personal_digest(message: bytes) -> bytes:
    """Return the 32-byte digest that a wallet signs for a text. Source: EIP-191, version byte 0x45."""
    return keccak256(b"\x19Ethereum Signed Message:\n" + str(len(message)).encode() + message)


def recover(digest: bytes, *, r: int, s: int, parity: int) -> Address | None:
    """Return who signed a digest, or None if that is no signature.

    Args:
        digest: 32 bytes.
        r: in ``[1, n)``.
        s: in ``[1, n/2]``: of the two signatures that say the same only one counts (EIP-2).
        parity: of the ordinate of the signature's point, 0 or 1.
    """
    if len(digest) != 32 or not 1 <= r < N or not 1 <= s <= N // 2 or parity not in (0, 1):
        return None
    data = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([parity])
    try:
        key = PublicKey.from_signature_and_message(data, digest, hasher=None)
    except Exception:  # noqa: BLE001  # coincurve raises it bare for what is on no curve
        return None
    return Address(keccak256(key.format(compressed=False)[1:])[12:])


def recover_text(digest: bytes, signature: bytes) -> Address | None:
    """Return who signed a digest, from ``r || s || v`` as wallets write it (``v`` 27, 28, 0 or 1), or None."""
    if len(signature) != SIGNATURE_SIZE:
        return None
    v = signature[64]
    return recover(
        digest,
        r=int.from_bytes(signature[:32], "big"),
        s=int.from_bytes(signature[32:64], "big"),
        parity=v - 27 if v >= 27 else v,
    )
