import secrets
from dataclasses import replace

import pytest

from steelyard.crypto.curve import G, N, P, mul
from steelyard.crypto.dleq import prove, verify
from steelyard.crypto.secret import Secret
from steelyard.domain.point import Point
from steelyard.errors import InputError, ProofError

CONTEXT = b"\x01" * 32


def test_random_proofs_verify() -> None:
    for _ in range(100):
        k, base = Secret.from_scalar(1 + secrets.randbelow(N - 1)), mul(1 + secrets.randbelow(N - 1), P)
        result, proof = prove(k, base=base, context=CONTEXT)
        verify(proof, public=mul(k.scalar(), G), base=base, result=result, context=CONTEXT)


def test_every_flipped_bit_is_refused() -> None:
    k = Secret.from_scalar(0xABCDEF)
    result, proof = prove(k, base=P, context=CONTEXT)
    public = mul(k.scalar(), G)
    mutants = [replace(proof, s=proof.s ^ 1 << bit) for bit in range(0, 256, 8)]
    mutants += [replace(proof, inverse=proof.inverse ^ 1 << bit) for bit in range(0, 256, 8)]
    for bit in range(0, 256, 8):
        mutants.append(replace(proof, a2=Point(proof.a2.x ^ 1 << bit, proof.a2.y)))
        mutants.append(replace(proof, a2=Point(proof.a2.x, proof.a2.y ^ 1 << bit)))
        mutants.append(replace(proof, cy=Point(proof.cy.x ^ 1 << bit, proof.cy.y)))
        mutants.append(replace(proof, cy=Point(proof.cy.x, proof.cy.y ^ 1 << bit)))
    for byte in range(20):
        mutants.append(replace(proof, a1=bytes(b ^ (i == byte) for i, b in enumerate(proof.a1))))
    for mutant in mutants:
        with pytest.raises(ProofError):
            verify(mutant, public=public, base=P, result=result, context=CONTEXT)


def test_proof_is_a_function_of_its_statement() -> None:
    k = Secret.from_scalar(5)
    assert prove(k, base=P, context=CONTEXT) == prove(k, base=P, context=CONTEXT)


def test_another_context_takes_another_nonce() -> None:
    k = Secret.from_scalar(5)
    first, second = prove(k, base=P, context=CONTEXT)[1], prove(k, base=P, context=bytes(32))[1]
    assert first.a1 != second.a1


@pytest.mark.parametrize("k", [0, N, N + 1, 2**256 - 1])
def test_prover_refuses_a_secret_out_of_range(k: int) -> None:
    with pytest.raises(InputError):
        prove(Secret.from_scalar(k), base=P, context=CONTEXT)


def test_prover_refuses_a_base_off_the_curve() -> None:
    with pytest.raises(ProofError):
        prove(Secret.from_scalar(5), base=Point(G.x, G.y + 1), context=CONTEXT)


def test_prover_refuses_a_base_that_ecrecover_cannot_take() -> None:
    from steelyard.crypto.curve import lift

    high = next(p for x in range(N, N + 100) if (p := lift(x, odd=0)))
    with pytest.raises(ProofError, match="not below n"):
        prove(Secret.from_scalar(5), base=high, context=CONTEXT)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_context_must_be_32_bytes(length: int) -> None:
    with pytest.raises(InputError):
        prove(Secret.from_scalar(5), base=P, context=bytes(length))


@pytest.mark.parametrize("length", [0, 19, 21])
def test_verifier_refuses_an_a1_that_is_no_address(length: int) -> None:
    result, proof = prove(Secret.from_scalar(5), base=P, context=CONTEXT)
    with pytest.raises(ProofError):
        verify(replace(proof, a1=bytes(length)), public=mul(5, G), base=P, result=result, context=CONTEXT)
