"""Key delivery: how a buyer comes to hold a content key, and how a contract knows that he does.

Definitions: docs/key-delivery.md. Everything is a pure function of its arguments; randomness enters only with
the seeds.
"""

from __future__ import annotations

from coincurve import PrivateKey

from steelyard.crypto.curve import G, P, add, mul, neg
from steelyard.crypto.dleq import Proof, prove
from steelyard.crypto.encoding import exact, uint, word_address
from steelyard.crypto.secret import Secret
from steelyard.domain.hash import keccak256, sha256
from steelyard.domain.point import Point
from steelyard.errors import InputError


def delivery_context(chain_id: int, *, market: bytes, purchase: bytes) -> bytes:
    """Return the 32-byte context of the delivery of a purchase.

    Args:
        chain_id: EIP-155 chain id.
        market: address of the market, 20 bytes.
        purchase: purchase id, 32 bytes.

    Raises:
        InputError: an argument has the wrong length or range.
    """
    return _context(b"steelyard/delivery/v1", chain_id, market, exact(purchase, 32, "purchase"))


def key_context(chain_id: int, *, market: bytes, request: bytes) -> bytes:
    """Return the 32-byte context of the delivery of a key request.

    Args:
        chain_id: EIP-155 chain id.
        market: address of the market, 20 bytes.
        request: request id, 32 bytes.

    Raises:
        InputError: an argument has the wrong length or range.
    """
    return _context(b"steelyard/key/v1", chain_id, market, exact(request, 32, "request"))


def dispute_context(chain_id: int, *, market: bytes, purchase: bytes, version: bytes) -> bytes:
    """Return the 32-byte context of an opening in a dispute.

    Args:
        chain_id: EIP-155 chain id.
        market: address of the market, 20 bytes.
        purchase: purchase id, 32 bytes.
        version: version id, 32 bytes.

    Raises:
        InputError: an argument has the wrong length or range.
    """
    ids = exact(purchase, 32, "purchase") + exact(version, 32, "version")
    return _context(b"steelyard/dispute/v1", chain_id, market, ids)


def _context(label: bytes, chain_id: int, market: bytes, ids: bytes) -> bytes:
    return keccak256(keccak256(label) + uint(chain_id) + word_address(market, "market") + ids)


def key_commitment(kappa: Secret) -> Point:
    """Return ``V = kappa*G``, the public key commitment of a version."""
    return mul(kappa.scalar(), G)


def key_point(kappa: Secret) -> Point:
    """Return ``M = kappa*P``. It is as secret as the content key."""
    return mul(kappa.scalar(), P)


def content_key(point: Point) -> Secret:
    """Return the content key ``K`` of the key point ``M``."""
    return Secret(sha256(b"steelyard/content-key/v1" + point.encode()))


def blind(b: Secret) -> Point:
    """Return ``Q = P + b*G``, the blinded generator that goes into an order.

    Raises:
        ProofError: ``b`` is 0 modulo ``n``. Then ``Q`` would be ``P``, and the delivery would publish the
            key.
    """
    return add(P, mul(b.scalar(), G))


def deliver(kappa: Secret, *, blinded: Point, context: bytes) -> tuple[Point, Proof]:
    """Return the delivery ``D = kappa*Q`` and the proof that ``log_G(V) = log_Q(D)``.

    Args:
        kappa: key scalar of the version.
        blinded: ``Q`` of the order or the request.
        context: from :func:`delivery_context` or :func:`key_context`.

    Raises:
        ProofError: ``Q`` is not a usable point.
        InputError: the context is not 32 bytes.
    """
    return prove(kappa, base=blinded, context=context)


def unwrap(delivered: Point, *, b: Secret, commitment: Point) -> Secret:
    """Return the content key from a delivery: ``K`` of ``M = D - b*V``.

    The contract has verified ``D``; a client that reads it from an unproved source runs :func:`dleq.verify`
    first.

    Args:
        delivered: ``D``.
        b: the purchase's blinding scalar.
        commitment: ``V`` of the version.

    Raises:
        ProofError: a point is off the curve, or ``D = b*V``, which no honest delivery is.
    """
    return content_key(add(delivered, neg(mul(b.scalar(), commitment))))


def open_dispute(b: Secret, *, commitment: Point, blinded: Point, context: bytes) -> tuple[Point, Proof]:
    """Return ``W = b*V`` and the proof that ``log_G(Q - P) = log_V(W)``; ``b`` itself stays secret.

    Args:
        b: the purchase's blinding scalar.
        commitment: ``V`` of the version.
        blinded: ``Q`` of the order.
        context: from :func:`dispute_context`.

    Raises:
        InputError: ``b`` is not the scalar of ``Q``, or the context is not 32 bytes.
        ProofError: ``V`` is not a usable point.
    """
    if blind(b) != blinded:
        raise InputError(
            "the blinding scalar does not belong to this order's Q; was it made from another seed?"
        )
    return prove(b, base=commitment, context=context)


def key_ownership_digest(chain_id: int, *, registry: bytes, version: bytes, account: bytes) -> bytes:
    """Return the 32-byte digest that ``kappa`` signs when a version is registered.

    Args:
        chain_id: EIP-155 chain id.
        registry: address of the registry, 20 bytes.
        version: version id, 32 bytes.
        account: address of who publishes, 20 bytes.

    Raises:
        InputError: an argument has the wrong length or range.
    """
    words = uint(chain_id) + word_address(registry, "registry") + exact(version, 32, "version")
    return keccak256(keccak256(b"steelyard/key-proof/v1") + words + word_address(account, "account"))


def sign_key_ownership(
    kappa: Secret, *, chain_id: int, registry: bytes, version: bytes, account: bytes
) -> tuple[int, int, int]:
    """Sign the digest of :func:`key_ownership_digest` with ``kappa`` (ECDSA, RFC 6979, low ``s``).

    Returns:
        ``(v, r, s)`` with ``v`` 27 or 28, as ``ecrecover`` takes them.

    Raises:
        InputError: an argument has the wrong length or range.
    """
    digest = key_ownership_digest(chain_id, registry=registry, version=version, account=account)
    signature = PrivateKey(kappa.reveal()).sign_recoverable(digest, hasher=None)
    return 27 + signature[64], int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
