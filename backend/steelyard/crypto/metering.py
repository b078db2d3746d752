"""Signatures under receipts and vouchers, and the tag of a call (docs/metering.md, docs/gateway.md).

A signature is ``r || s || v``, 65 bytes, ``v`` 27 or 28, ``s`` in the lower half: of all forms that say the same only this one counts, as
on the chain.
"""

from __future__ import annotations

import hmac
from functools import lru_cache
from hashlib import sha256
from typing import Final

from coincurve import PrivateKey, PublicKey

from steelyard.crypto.curve import N
from steelyard.crypto.personal import SIGNATURE_SIZE
from steelyard.crypto.secret import Secret
from steelyard.domain.hash import keccak256
from steelyard.domain.types import Address
from steelyard.errors import InputError, ProofError

TAG_SIZE: Final = 32
_HALF: Final = (N // 2).to_bytes(32, "big")
_KEYS: Final = 1024
"""Keys of tags that a signer remembers: one with whom it deals again and again."""
_ZERO: Final = bytes(32)
_ORDER: Final = N.to_bytes(32, "big")
_V: Final = {27: b"\x00", 28: b"\x01"}


class Signer:
    """A key that signs receipts or vouchers.

    Attributes:
        address: of the key.
        point: its public key, compressed, 33 bytes.
    """

    def __init__(self, key: Secret) -> None:
        """Take a private key.

        Raises:
            InputError: it is none.
        """
        if not 1 <= key.scalar() < N:
            raise InputError("the secret is not a private key of secp256k1")
        self._key = PrivateKey(key.reveal())
        self.point: bytes = self._key.public_key.format()
        self.address = address_of(self.point)
        self._call_keys: dict[bytes, bytes] = {}

    def sign(self, digest: bytes) -> bytes:
        """Return the signature of 32 bytes (RFC 6979: the same for the same digest)."""
        found = self._key.sign_recoverable(digest, hasher=None)
        return found[:64] + (b"\x1c" if found[64] else b"\x1b")

    def call_key(self, other: bytes) -> bytes:
        """Return the key of the tags between this key and another party's.

        Args:
            other: public key of the other, compressed.

        Raises:
            ProofError: that is no point of the curve.
        """
        known = self._call_keys.get(other)
        if known is not None:
            return known
        try:
            shared = self._key.ecdh(other)
        except Exception as exc:  # coincurve raises it bare for what is on no curve
            raise ProofError("the other party's key is not a point of secp256k1") from exc
        if len(self._call_keys) >= _KEYS:
            self._call_keys.clear()
        found = self._call_keys[other] = sha256(b"steelyard/call-key/v1" + shared).digest()
        return found

    def __repr__(self) -> str:
        """Name the address, and no key."""
        return f"Signer(0x{self.address.hex()})"


def address_of(point: bytes) -> Address:
    """Return the address of a compressed public key.

    Raises:
        ProofError: it is no point of the curve.
    """
    try:
        key = PublicKey(point)
    except Exception as exc:  # as above
        raise ProofError("a key is not a point of secp256k1") from exc
    return Address(keccak256(key.format(compressed=False)[1:])[12:])


def public_key(digest: bytes, signature: bytes) -> bytes | None:
    """Return the public key that signed a digest, uncompressed without its first byte (64 bytes), or None.

    Args:
        digest: 32 bytes.
        signature: 65 bytes, in the one form that counts.
    """
    if len(signature) != SIGNATURE_SIZE or len(digest) != 32:
        return None
    r, s, parity = signature[:32], signature[32:64], _V.get(signature[64])
    # Big-endian words of equal length compare like the numbers.
    if parity is None or not _ZERO < r < _ORDER or not _ZERO < s <= _HALF:
        return None
    try:
        key = PublicKey.from_signature_and_message(signature[:64] + parity, digest, hasher=None)
    except Exception:  # noqa: BLE001  # as above
        return None
    return key.format(compressed=False)[1:]


def recover(digest: bytes, signature: bytes) -> Address | None:
    """Return who signed a digest, or None if that is no signature."""
    key = public_key(digest, signature)
    return None if key is None else _account(key)


def check(digest: bytes, signature: bytes, signer: Address, what: str) -> None:
    """Check that a digest was signed by an account.

    Raises:
        ProofError: it was not; the message says ``what``.
    """
    if recover(digest, signature) != signer:
        raise ProofError(f"{what} is not signed by 0x{signer.hex()}")


def compact(signature: bytes) -> tuple[bytes, bytes]:
    """Return ``r`` and ``vs`` of a signature, as it travels to the chain (ERC-2098).

    Raises:
        InputError: it is not 65 bytes with ``v`` 27 or 28.
    """
    if len(signature) != SIGNATURE_SIZE or signature[64] not in _V:
        raise InputError("a signature is r, s and v: 65 bytes, v 27 or 28")
    first = signature[32] | (0x80 if signature[64] == 28 else 0)
    return signature[:32], bytes([first]) + signature[33:64]


def tag(key: bytes, label: bytes, message: bytes) -> bytes:
    """Return HMAC-SHA-256 of label and message, 32 bytes."""
    # Not `hmac.digest`: that lets go of the interpreter's lock even for a few bytes, and a busy gateway waits to have it back.
    return hmac.new(key, label + message, "sha256").digest()


def tag_matches(key: bytes, label: bytes, message: bytes, given: bytes) -> bool:
    """Compare a tag in constant time."""
    return hmac.compare_digest(tag(key, label, message), given)


@lru_cache(maxsize=4096)
def _account(key: bytes) -> Address:
    # The same few keys sign again and again.
    return Address(keccak256(key)[12:])
