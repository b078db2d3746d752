"""An account as the client holds it: address, key that signs, and seed that other keys are derived from."""

from __future__ import annotations

from dataclasses import dataclass, field

from coincurve import PrivateKey

from steelyard.crypto.curve import G, N, address, mul
from steelyard.crypto.derive import seed_from_private_key
from steelyard.crypto.secret import Secret
from steelyard.domain.types import Address
from steelyard.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Account:
    """Who acts.

    Attributes:
        address: 20 bytes.
        key: private key; signs transactions and spends.
        seed: gives the key scalars of versions and the blinding scalars of purchases, and cannot spend. A key
            service may hold a seller's seed beside a key of its own, which pays the gas.
    """

    address: Address
    key: Secret = field(repr=False)
    seed: Secret = field(repr=False)

    @classmethod
    def from_key(cls, key: Secret | bytes, *, seed: Secret | None = None) -> Account:
        """Return the account of a private key.

        Args:
            key: 32 bytes, a scalar in ``[1, n)``.
            seed: another seed than the account's own.

        Raises:
            InputError: the key is no private key.
        """
        secret = Secret(key) if isinstance(key, bytes) else key
        if not 1 <= secret.scalar() < N:
            raise InputError("the secret is not a private key of secp256k1")
        own = Address(address(mul(secret.scalar(), G)))
        return cls(address=own, key=secret, seed=seed or seed_from_private_key(secret))

    def sign_digest(self, digest: bytes) -> tuple[int, bytes, bytes]:
        """Return ``(v, r, s)`` of an ECDSA signature (RFC 6979, low ``s``) of 32 bytes; ``v`` is 27 or 28."""
        signature = PrivateKey(self.key.reveal()).sign_recoverable(digest, hasher=None)
        return 27 + signature[64], signature[:32], signature[32:64]
