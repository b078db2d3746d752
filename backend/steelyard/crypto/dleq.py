"""Proofs that two points have the same logarithm to two bases (Chaum-Pedersen, made non-interactive).

Definitions: docs/key-delivery.md, "Statement and proof" and "Verifier". The contract's verifier is
``contracts/libraries/Dleq.sol``; the one here shares no code with it and needs no ``ecrecover``: where the
contract compares addresses of points, this one computes the points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from steelyard.crypto.curve import FIELD, G, N, add, address, mul, neg, on_curve
from steelyard.crypto.derive import proof_nonce
from steelyard.crypto.encoding import exact, uint
from steelyard.crypto.secret import Secret
from steelyard.domain.hash import keccak256
from steelyard.domain.point import Point
from steelyard.errors import InputError, ProofError

_MAX_COUNTER: Final = 64


@dataclass(frozen=True, slots=True)
class Proof:
    """What is handed to the contract.

    Attributes:
        a1: address of ``A1 = r*G``, 20 bytes.
        a2: ``A2 = r*B``.
        s: response, ``0 < s < n``.
        cy: hint, ``c*Y``.
        inverse: hint, ``(cY.x - A2.x)^-1 mod p``.
    """

    a1: bytes
    a2: Point
    s: int
    cy: Point
    inverse: int


def challenge(*, context: bytes, public: Point, base: Point, result: Point, a1: bytes, a2: Point) -> int:
    """Return ``c``: Keccak-256 modulo ``n`` of the 213-byte transcript.

    The ordinates of the three statement points enter by their parity alone; ``A2`` enters in full.

    Raises:
        InputError: a field has the wrong length or range.
    """
    bits = public.odd + 2 * base.odd + 4 * result.odd
    transcript = exact(context, 32, "context") + uint(public.x) + uint(base.x) + uint(result.x)
    transcript += bytes([bits]) + exact(a1, 20, "a1") + uint(a2.x) + uint(a2.y)
    return int.from_bytes(keccak256(transcript), "big") % N


def prove(secret: Secret, *, base: Point, context: bytes) -> tuple[Point, Proof]:
    """Return ``Y = secret*B`` and a proof that ``log_G(secret*G) = log_B(Y)``.

    Deterministic: the same secret, base and context give the same bytes.

    Args:
        secret: ``k``, ``1 <= k < n``.
        base: ``B``.
        context: what the proof is bound to, 32 bytes.

    Raises:
        InputError: the secret is out of range, or the context is not 32 bytes.
        ProofError: the base is not on the curve, or a statement point has an abscissa that ``ecrecover``
            refuses.
    """
    k = secret.scalar()
    if not 1 <= k < N:
        raise InputError("a secret scalar must be between 1 and n - 1")
    public, result = mul(k, G), mul(k, base)
    for name, point in (("X", public), ("B", base), ("Y", result)):
        if point.x >= N:
            raise ProofError(f"{name}.x is not below n, so no contract can verify this statement")
    for counter in range(_MAX_COUNTER):
        nonce = proof_nonce(
            secret, context=context, public=public, base=base, result=result, counter=counter
        ).scalar()
        a1, a2 = address(mul(nonce, G)), mul(nonce, base)
        c = challenge(context=context, public=public, base=base, result=result, a1=a1, a2=a2)
        s = (nonce + c * k) % N
        # s != 0 also means that S = s*B is not the point at infinity.
        if c == 0 or s == 0:
            continue
        cy = mul(c, result)
        if cy.x == a2.x:
            continue
        return result, Proof(a1=a1, a2=a2, s=s, cy=cy, inverse=pow(cy.x - a2.x, -1, FIELD))
    raise ProofError("no counter gave a usable proof")  # pragma: no cover - each has odds of about 2^-254


def verify(proof: Proof, *, public: Point, base: Point, result: Point, context: bytes) -> None:
    """Check that ``log_G(public) = log_base(result)``, by the numbered list of docs/key-delivery.md.

    Args:
        proof: the prover's answer.
        public: ``X``.
        base: ``B``.
        result: ``Y``.
        context: what the proof must be bound to, 32 bytes.

    Raises:
        ProofError: a check failed; ``step`` is its number.
        InputError: the context is not 32 bytes.
    """
    # 1. every point on the curve, statement abscissae in the range of ecrecover.
    named = (("X", public), ("B", base), ("Y", result), ("A2", proof.a2), ("cY", proof.cy))
    for name, point in named:
        if not on_curve(point):
            raise ProofError(f"{name} is not a point of secp256k1", step=1)
    for name, point in named[:3]:
        if not 1 <= point.x < N:
            raise ProofError(f"{name}.x is not in [1, n)", step=1)
    # 2. the scalars.
    if not 0 < proof.s < N:
        raise ProofError("the response is not in (0, n)", step=2)
    if len(proof.a1) != 20 or not 0 <= proof.inverse < 1 << 256:
        raise ProofError("a field of the proof has the wrong size", step=2)
    c = challenge(context=context, public=public, base=base, result=result, a1=proof.a1, a2=proof.a2)
    if c == 0:  # pragma: no cover - odds of 2^-256
        raise ProofError("the challenge is zero", step=2)
    # 3. A1 = s*G - c*X; infinity has no address.
    if _sum_address(mul(proof.s, G), neg(mul(c, public))) != proof.a1:
        raise ProofError("s*G - c*X is not A1: wrong key, statement or context", step=3)
    # 4. the hint.
    if mul(c, result) != proof.cy:
        raise ProofError("the hint is not c*Y", step=4)
    # 5. the other hint.
    if (proof.cy.x - proof.a2.x) * proof.inverse % FIELD != 1:
        raise ProofError("the hint is not the inverse of cY.x - A2.x", step=5)
    # 6. s*B = A2 + c*Y; after step 5 the abscissae differ, so the sum is not infinity.
    if mul(proof.s, base) != add(proof.a2, proof.cy):
        raise ProofError("s*B is not A2 + c*Y: the delivery was made with another key", step=6)


def _sum_address(a: Point, b: Point) -> bytes:
    if a == neg(b):
        return b""
    return address(add(a, b))
