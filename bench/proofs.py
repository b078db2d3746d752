"""Proofs of equal logarithms against the scalar multiplications that they are made of."""

from __future__ import annotations

from collections.abc import Callable

from coincurve import PublicKey

from bench.rounds import interleave
from bench.row import Outcome, Row
from bench.setting import Setting
from steelyard.crypto import dleq
from steelyard.crypto.curve import G, mul
from steelyard.crypto.secret import Secret
from steelyard.domain.hash import keccak256

_TIMES = 100
_PROVE, _VERIFY = 5, 4
"""Multiplications by a scalar in a proof and in its verification."""


def rows(setting: Setting) -> list[Outcome]:
    """Return the rows."""
    secret = Secret(keccak256(b"secret"))
    base = mul(int.from_bytes(keccak256(b"base")), G)
    context = keccak256(b"context")
    public = mul(secret.scalar(), G)
    result, proof = dleq.prove(secret, base=base, context=context)
    point, scalar = PublicKey.from_point(base.x, base.y), secret.reveal()

    def times(work: Callable[[], object], how_often: int) -> Callable[[], None]:
        def run() -> None:
            for _ in range(how_often):
                work()

        return run

    timings = interleave(
        {
            "prove": times(lambda: dleq.prove(secret, base=base, context=context), _TIMES),
            "verify": times(
                lambda: dleq.verify(proof, public=public, base=base, result=result, context=context), _TIMES
            ),
            "multiply": times(lambda: point.multiply(scalar), _TIMES),
        },
        rounds=setting.rounds,
    )
    return [
        Row(
            name=name,
            unit="/s",
            ours=_TIMES / timings.median(own),
            limit=_TIMES / timings.median("multiply") / parts,
            ratio=parts * timings.speedup(own, "multiply"),
            against=f"limit: {parts} multiplications of libsecp256k1 through coincurve",
        )
        for name, own, parts in (
            ("prove a delivery", "prove", _PROVE),
            ("verify a delivery off-chain", "verify", _VERIFY),
        )
    ]
