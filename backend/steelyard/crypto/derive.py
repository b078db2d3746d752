"""Secrets derived from other secrets, so that a lost disk loses no sale and no purchase.

Definitions: docs/key-delivery.md, "Derivations". Everything is HKDF-SHA-256 (RFC 5869).
"""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from steelyard.crypto.curve import N
from steelyard.crypto.encoding import exact, uint
from steelyard.crypto.secret import Secret
from steelyard.domain.point import Point


def _hkdf(key: Secret, *, info: bytes, length: int, salt: bytes = b"") -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(key.reveal())


def _scalar(key: Secret, *, info: bytes, salt: bytes = b"") -> Secret:
    # 48 bytes reduced modulo n - 1 leave a bias below 2^-127, and adding 1 makes zero impossible.
    wide = int.from_bytes(_hkdf(key, info=info, length=48, salt=salt), "big")
    return Secret.from_scalar(1 + wide % (N - 1))


def seed_from_private_key(private_key: Secret) -> Secret:
    """Return the key-delivery seed of an account, from its private key.

    The seed cannot spend: a key service may hold it without the account's key.
    """
    return Secret(_hkdf(private_key, info=b"steelyard/seed/v1", length=32))


def key_scalar(seed: Secret, *, salt: bytes, chain_id: int, registry: bytes, asset: bytes) -> Secret:
    """Return ``kappa`` of a version, ``1 <= kappa < n``.

    Args:
        seed: the seller's seed.
        salt: the version's ``keySalt``, 32 random public bytes.
        chain_id: EIP-155 chain id.
        registry: address of the registry, 20 bytes.
        asset: asset id, 32 bytes.

    Raises:
        InputError: an argument has the wrong length or range.
    """
    info = (
        b"steelyard/kappa/v1" + uint(chain_id) + exact(registry, 20, "registry") + exact(asset, 32, "asset")
    )
    return _scalar(seed, info=info, salt=exact(salt, 32, "salt"))


def blind_scalar(seed: Secret, *, chain_id: int, market: bytes, buyer: bytes, salt: bytes) -> Secret:
    """Return ``b`` of one purchase or key request, ``1 <= b < n``.

    Args:
        seed: the buyer's seed.
        chain_id: EIP-155 chain id.
        market: address of the market, 20 bytes.
        buyer: address of the buyer, 20 bytes.
        salt: the order's or the request's salt, 32 bytes, fresh for each.

    Raises:
        InputError: an argument has the wrong length or range.
    """
    info = b"steelyard/blind/v1" + uint(chain_id) + exact(market, 20, "market")
    return _scalar(seed, info=info + exact(buyer, 20, "buyer") + exact(salt, 32, "salt"))


def voucher_scalar(seed: Secret, *, chain_id: int, channels: bytes, payer: bytes, nonce: int) -> Secret:
    """Return the key that signs the vouchers of one channel, ``1 <= key < n``: a lost disk loses no channel.

    Args:
        seed: the payer's seed.
        chain_id: EIP-155 chain id.
        channels: address of the contract Channels, 20 bytes.
        payer: address of the payer, 20 bytes.
        nonce: of the channel, below 2^64.

    Raises:
        InputError: an argument has the wrong length or range.
    """
    info = b"steelyard/voucher/v1" + uint(chain_id) + exact(channels, 20, "channels")
    return _scalar(seed, info=info + exact(payer, 20, "payer") + uint(nonce, 8))


def proof_nonce(
    secret: Secret, *, context: bytes, public: Point, base: Point, result: Point, counter: int
) -> Secret:
    """Return the nonce ``r`` of an equality proof, a function of its statement.

    Args:
        secret: the common logarithm, ``kappa`` or ``b``.
        context: what the proof is bound to, 32 bytes.
        public: ``X``.
        base: ``B``.
        result: ``Y``.
        counter: 0, raised only when a proof would be degenerate.

    Raises:
        InputError: the context is not 32 bytes.
    """
    info = b"steelyard/nonce/v1" + exact(context, 32, "context")
    # The parities belong to the statement: without them Q and -Q would share a nonce under two challenges,
    # which gives kappa away.
    bits = public.odd | base.odd << 1 | result.odd << 2
    info += uint(public.x) + uint(base.x) + uint(result.x) + uint(bits, 1) + uint(counter, 4)
    return _scalar(secret, info=info)
