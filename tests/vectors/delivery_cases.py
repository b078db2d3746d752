"""Cases of delivery.json: honest key deliveries, and forgeries that are consistent in all but one check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from steelyard.crypto.curve import FIELD, G, N, P, add, address, lift, mul, neg
from steelyard.crypto.delivery import (
    blind,
    content_key,
    deliver,
    delivery_context,
    dispute_context,
    key_commitment,
    key_context,
    key_ownership_digest,
    key_point,
    open_dispute,
    sign_key_ownership,
)
from steelyard.crypto.derive import blind_scalar, key_scalar, proof_nonce, seed_from_private_key
from steelyard.crypto.dleq import Proof, challenge, prove
from steelyard.crypto.secret import Secret
from steelyard.domain.hash import keccak256, sha256
from steelyard.domain.point import Point

ZERO = Point(0, 0)


def word(value: int | bytes) -> str:
    """Return 32 bytes as 0x-hex."""
    return "0x" + (value.to_bytes(32, "big") if isinstance(value, int) else value.rjust(32, b"\0")).hex()


def hexed(value: bytes) -> str:
    """Return bytes as 0x-hex."""
    return "0x" + value.hex()


def label(text: str) -> bytes:
    """Return 32 bytes that depend on a name."""
    return sha256(b"steelyard/vectors/" + text.encode())


@dataclass(frozen=True)
class Statement:
    """``log_G(x) = log_b(y)``, and the context."""

    x: Point
    b: Point
    y: Point
    context: bytes

    def c(self, a1: bytes, a2: Point) -> int:
        """Return the challenge."""
        return challenge(context=self.context, public=self.x, base=self.b, result=self.y, a1=a1, a2=a2)


def case(name: str, step: int, st: Statement, proof: Proof) -> dict[str, Any]:
    """Return one flat row; ``step`` is the number of the check that refuses it, 0 for none."""
    return {
        "a1": hexed(proof.a1), "a2x": word(proof.a2.x), "a2y": word(proof.a2.y),
        "bx": word(st.b.x), "by": word(st.b.y),
        "challenge": word(st.c(proof.a1, proof.a2)), "context": hexed(st.context),
        "cyx": word(proof.cy.x), "cyy": word(proof.cy.y), "inverse": word(proof.inverse),
        "name": name, "s": word(proof.s), "step": step,
        "xx": word(st.x.x), "xy": word(st.x.y), "yx": word(st.y.x), "yy": word(st.y.y),
    }  # fmt: skip


class Scene:
    """One honest sale: all its secrets and points."""

    def __init__(self, tag: str, chain: int = 31337) -> None:
        self.tag, self.chain = tag, chain
        self.market, self.registry = label("market")[12:], label("registry")[12:]
        self.buyer, self.account = label("buyer" + tag)[12:], label("account" + tag)[12:]
        self.asset, self.version = label("asset" + tag), label("version" + tag)
        self.purchase, self.request = label("purchase" + tag), label("request" + tag)
        self.key_salt, self.order_salt = label("key salt" + tag), label("order salt" + tag)
        self.seller_key = Secret(label("seller key" + tag))
        self.buyer_key = Secret(label("buyer key" + tag))
        self.seller_seed = seed_from_private_key(self.seller_key)
        self.buyer_seed = seed_from_private_key(self.buyer_key)
        self.kappa = key_scalar(
            self.seller_seed, salt=self.key_salt, chain_id=chain, registry=self.registry, asset=self.asset
        )
        self.b = blind_scalar(
            self.buyer_seed, chain_id=chain, market=self.market, buyer=self.buyer, salt=self.order_salt
        )
        self.v, self.m, self.q = key_commitment(self.kappa), key_point(self.kappa), blind(self.b)
        self.k = content_key(self.m)
        self.context = delivery_context(chain, market=self.market, purchase=self.purchase)
        self.context_key = key_context(chain, market=self.market, request=self.request)
        self.context_dispute = dispute_context(
            chain, market=self.market, purchase=self.purchase, version=self.version
        )
        self.d, self.proof = deliver(self.kappa, blinded=self.q, context=self.context)
        self.statement = Statement(self.v, self.q, self.d, self.context)
        self.w, self.opening = open_dispute(
            self.b, commitment=self.v, blinded=self.q, context=self.context_dispute
        )
        self.nonce = proof_nonce(
            self.kappa, context=self.context, public=self.v, base=self.q, result=self.d, counter=0
        )

    def row(self) -> dict[str, Any]:
        """Return all intermediate values of this sale."""
        v, r, s = sign_key_ownership(
            self.kappa,
            chain_id=self.chain,
            registry=self.registry,
            version=self.version,
            account=self.account,
        )
        digest = key_ownership_digest(
            self.chain, registry=self.registry, version=self.version, account=self.account
        )
        return {
            "account": hexed(self.account), "asset": hexed(self.asset), "b": word(self.b.scalar()),
            "buyer": hexed(self.buyer), "buyerKey": word(self.buyer_key.scalar()),
            "buyerSeed": word(self.buyer_seed.scalar()), "chainId": self.chain,
            "contentKey": word(self.k.scalar()), "contextDelivery": hexed(self.context),
            "contextDispute": hexed(self.context_dispute), "contextKey": hexed(self.context_key),
            "dx": word(self.d.x), "dy": word(self.d.y), "kappa": word(self.kappa.scalar()),
            "keySalt": hexed(self.key_salt), "market": hexed(self.market),
            "mx": word(self.m.x), "my": word(self.m.y), "name": self.tag, "nonce": word(self.nonce.scalar()),
            "orderSalt": hexed(self.order_salt), "ownerAddress": hexed(address(self.v)),
            "ownershipDigest": hexed(digest), "ownershipR": word(r), "ownershipS": word(s), "ownershipV": v,
            "purchase": hexed(self.purchase), "qx": word(self.q.x), "qy": word(self.q.y),
            "registry": hexed(self.registry), "request": hexed(self.request),
            "sellerKey": word(self.seller_key.scalar()), "sellerSeed": word(self.seller_seed.scalar()),
            "version": hexed(self.version), "vx": word(self.v.x), "vy": word(self.v.y),
            "wx": word(self.w.x), "wy": word(self.w.y),
        }  # fmt: skip


def scenes() -> list[Scene]:
    """Return honest sales that reach all eight parity combinations, and a second chain."""
    found: dict[int, Scene] = {}
    index = 0
    while len(found) < 8:
        scene = Scene(f"sale-{index}", chain=31337 if index % 2 == 0 else 1)
        found.setdefault(scene.v.odd + 2 * scene.q.odd + 4 * scene.d.odd, scene)
        index += 1
    return [found[bits] for bits in sorted(found)]


def inverse_of(cy: Point, a2: Point) -> int:
    """Return the honest second hint for whatever points."""
    return pow(cy.x - a2.x, -1, FIELD)


def forge(st: Statement, *, a1: bytes, a2: Point, respond: Callable[[int], int]) -> Proof:
    """Return a proof with honest hints and a response of the forger's choice."""
    c = st.c(a1, a2)
    cy = mul(c, st.y)
    return Proof(a1=a1, a2=a2, s=respond(c) % N, cy=cy, inverse=inverse_of(cy, a2))


def honest(scene: Scene) -> list[dict[str, Any]]:
    """Return the three honest proofs of a sale."""
    d2, key_proof = deliver(scene.kappa, blinded=scene.q, context=scene.context_key)
    opening = Statement(add(scene.q, neg(P)), scene.v, scene.w, scene.context_dispute)
    return [
        case(f"{scene.tag} delivery", 0, scene.statement, scene.proof),
        case(f"{scene.tag} key request", 0, Statement(scene.v, scene.q, d2, scene.context_key), key_proof),
        case(f"{scene.tag} dispute", 0, opening, scene.opening),
    ]


def bad_points(scene: Scene) -> list[dict[str, Any]]:
    """Return proofs that only check 1 refuses, wherever such can be made."""
    st, proof, k = scene.statement, scene.proof, scene.kappa.scalar()
    rows = []
    # ecrecover sees abscissa and parity only: y + 2 leaves all other checks satisfied.
    for name in ("x", "b", "y"):
        point: Point = getattr(st, name)
        step = 2 if point.y + 2 < FIELD else -2
        off = replace(st, **{name: Point(point.x, point.y + step)})
        rows.append(case(f"{name} off the curve, same parity", 1, off, proof))
        rows.append(case(f"{name} at infinity", 1, replace(st, **{name: ZERO}), proof))
        rows.append(case(f"{name}.x = 2^256-1", 1, replace(st, **{name: Point(2**256 - 1, point.y)}), proof))
        rows.append(case(f"{name}.x = p", 1, replace(st, **{name: Point(FIELD, point.y)}), proof))
    rows += bad_base(scene)
    # A2 off the curve, with everything after it recomputed.
    a2 = Point(proof.a2.x, proof.a2.y + 2 if proof.a2.y + 2 < FIELD else proof.a2.y - 2)
    r = scene.nonce.scalar()
    rows.append(case("a2 off the curve", 1, st, forge(st, a1=proof.a1, a2=a2, respond=lambda c: r + c * k)))
    rows.append(case("a2 at infinity", 1, st, forge(st, a1=proof.a1, a2=ZERO, respond=lambda c: r + c * k)))
    cy = Point(proof.cy.x, (proof.cy.y + 1) % FIELD)
    rows.append(case("cy off the curve", 1, st, replace(proof, cy=cy)))
    rows.append(case("cy at infinity", 1, st, replace(proof, cy=ZERO, inverse=inverse_of(ZERO, proof.a2))))
    rows.append(case("cy.x above p", 1, st, replace(proof, cy=Point(2**256 - 1, proof.cy.y))))
    # A2.x + p still fits when A2.x is small: an unreduced coordinate, consistently hashed. B is made to fit
    # A2.
    small = next(p for x in range(1, 100) if (p := lift(x, odd=0)))
    base = mul(pow(r, -1, N), small)
    y = mul(k, base)
    lifted = Statement(scene.v, base, y, scene.context)
    forged = forge(lifted, a1=proof.a1, a2=Point(small.x + FIELD, small.y), respond=lambda c: r + c * k)
    rows.append(case("a2.x + p", 1, lifted, forged))
    return rows


def bad_base(scene: Scene) -> list[dict[str, Any]]:
    """Return statements over a B whose coordinates ecrecover and the range check treat differently."""
    k, rows = scene.kappa, []
    y_small = 1
    while True:  # a point with a small y, so that y + p fits in 32 bytes; cube roots: p = 7 mod 9
        cube = (y_small * y_small - 7) % FIELD
        x = pow(cube, (FIELD + 2) // 9, FIELD)
        if pow(x, 3, FIELD) == cube and x < N:
            break
        y_small += 1
    negative = Point(x, FIELD - y_small)  # has the parity of y_small + p, because p is odd
    y, proof = prove(k, base=negative, context=scene.context)
    rows.append(case("b.y + p", 1, Statement(scene.v, Point(x, y_small + FIELD), y, scene.context), proof))
    high = next(p for x in range(N, N + 100) if (p := lift(x, odd=0)))
    y, r = mul(k.scalar(), high), scene.nonce.scalar()
    st = Statement(scene.v, high, y, scene.context)
    forged = forge(st, a1=scene.proof.a1, a2=mul(r, high), respond=lambda c: r + c * k.scalar())
    rows.append(case("b.x in [n, p)", 1, st, forged))
    return rows


def bad_scalars(scene: Scene) -> list[dict[str, Any]]:
    """Return responses out of range; a consistent c = 0 or s = 0 would cost a preimage."""
    st, proof = scene.statement, scene.proof
    values = {"s = 0": 0, "s = n": N, "s = n + 1": N + 1, "s = 2^256-1": 2**256 - 1}
    return [case(name, 2, st, replace(proof, s=value)) for name, value in values.items()]


def bad_first_equation(scene: Scene, other: Scene) -> list[dict[str, Any]]:
    """Return proofs for which s*G - c*X is not A1."""
    st, proof, k = scene.statement, scene.proof, scene.kappa.scalar()
    wrong, r = (k + 1) % N, scene.nonce.scalar()
    a1, a2 = address(mul(r, G)), mul(r, scene.q)
    st_wrong = replace(st, y=mul(wrong, scene.q))
    d_other, p_other = deliver(scene.kappa, blinded=other.q, context=scene.context)
    minus = replace(st, x=neg(scene.v))
    rows = [
        case("wrong kappa, second equation kept", 3, st_wrong, forge(st_wrong, a1=a1, a2=a2, respond=lambda c: r + c * wrong)),
        case("a1 of another nonce", 3, st, forge(st, a1=address(mul(r + 1, G)), a2=a2, respond=lambda c: r + c * k)),
        case("a1 zero, A1 at infinity", 3, st, forge(st, a1=bytes(20), a2=a2, respond=lambda c: c * k)),
        case("a1 zero", 3, st, forge(st, a1=bytes(20), a2=a2, respond=lambda c: r + c * k)),
        case("minus V, honest otherwise", 3, minus, forge(minus, a1=a1, a2=a2, respond=lambda c: r + c * k)),
        case("minus V, proof unchanged", 3, minus, proof),
        case("minus Q, proof unchanged", 3, replace(st, b=neg(scene.q)), proof),
        case("minus D, proof unchanged", 3, replace(st, y=neg(scene.d)), proof),
        case("V of another version", 3, replace(st, x=other.v), proof),
        case("proof for another Q", 3, replace(st, y=d_other), p_other),
        case("context of another purchase", 3, replace(st, context=other.context), proof),
        case("context of a key request", 3, replace(st, context=scene.context_key), proof),
        case("context of a dispute", 3, replace(st, context=scene.context_dispute), proof),
        case("context of another chain", 3, replace(st, context=delivery_context(
            scene.chain + 1, market=scene.market, purchase=scene.purchase)), proof),
        case("s + 1", 3, st, replace(proof, s=(proof.s + 1) % N)),
        case("minus s", 3, st, replace(proof, s=N - proof.s)),
        case("nothing but a1 changed", 3, st, replace(proof, a1=other.proof.a1)),
        case("nothing but a2 changed", 3, st, replace(proof, a2=other.proof.a2)),
    ]  # fmt: skip
    return rows + weak_challenges(scene)


def weak_challenges(scene: Scene) -> list[dict[str, Any]]:
    """Return proofs that a verifier accepts when its challenge leaves out one part of the transcript."""
    st, k, r = scene.statement, scene.kappa.scalar(), scene.nonce.scalar()
    a1, a2 = address(mul(r, G)), mul(r, scene.q)
    wrong = replace(st, y=mul(k + 1, scene.q))

    def transcript(s: Statement, point: Point, *, without: str) -> int:
        bits = s.x.odd + 2 * s.b.odd + 4 * s.y.odd
        parts = {
            "context": s.context, "xx": word(s.x.x), "bx": word(s.b.x), "yx": word(s.y.x), "bits": bytes([bits]),
            "a1": a1, "a2": point.encode(),
        }  # fmt: skip
        parts.pop(without)
        data = b"".join(bytes.fromhex(v[2:]) if isinstance(v, str) else v for v in parts.values())
        return int.from_bytes(keccak256(data), "big") % N

    rows = []
    for part in ("context", "xx", "bx", "yx", "bits", "a1"):
        c = transcript(st, a2, without=part)
        cy = mul(c, st.y)
        rows.append(
            case(f"challenge without {part}", 3, st, Proof(a1, a2, (r + c * k) % N, cy, inverse_of(cy, a2)))
        )
    # Without A2 in the challenge, A2 is chosen last and any D passes.
    c = transcript(wrong, a2, without="a2")
    s, cy = (r + c * k) % N, mul(c, wrong.y)
    late = add(mul(s, scene.q), neg(cy))
    rows.append(
        case("wrong kappa, challenge without a2", 3, wrong, Proof(a1, late, s, cy, inverse_of(cy, late)))
    )
    return rows


def bad_hints(scene: Scene) -> list[dict[str, Any]]:
    """Return proofs that pass everything but the check of one hint."""
    st, k, r = scene.statement, scene.kappa.scalar(), scene.nonce.scalar()
    a1, a2 = address(mul(r, G)), mul(r, scene.q)
    # 4: D of a wrong key, and the hint that would make the second equation true.
    wrong = replace(st, y=mul(k + 1, scene.q))
    s = (r + wrong.c(a1, a2) * k) % N
    cy = add(mul(s, scene.q), neg(a2))
    rows = [case("wrong kappa, hint to fit", 4, wrong, Proof(a1, a2, s, cy, inverse_of(cy, a2)))]
    # 4: the same with -D, whose hint differs in sign alone.
    minus = replace(st, y=neg(scene.d))
    s = (r + minus.c(a1, a2) * k) % N
    cy = add(mul(s, scene.q), neg(a2))
    rows.append(case("minus D, hint to fit", 4, minus, Proof(a1, a2, s, cy, inverse_of(cy, a2))))
    rows.append(case("minus the hint", 4, st, replace(scene.proof, cy=neg(scene.proof.cy))))
    # 5: -D with the true hint; an unchecked inverse bends the slope of the affine sum until it ends in s*B.
    true = mul(minus.c(a1, a2), minus.y)
    target = neg(true)
    slope = (target.y - a2.y) * pow(target.x - a2.x, -1, FIELD)
    bent = slope * pow(true.y - a2.y, -1, FIELD) % FIELD
    rows.append(case("minus D, inverse to fit", 5, minus, Proof(a1, a2, s, true, bent)))
    rows.append(case("inverse zero", 5, st, replace(scene.proof, inverse=0)))
    rows.append(
        case("inverse of the negative", 5, st, replace(scene.proof, inverse=FIELD - scene.proof.inverse))
    )
    return rows


def bad_second_equation(scene: Scene, other: Scene) -> list[dict[str, Any]]:
    """Return proofs for which s*B is not A2 + c*Y, with everything before it true."""
    k, r = scene.kappa.scalar(), scene.nonce.scalar()
    a1, a2 = address(mul(r, G)), mul(r, scene.q)
    rows = []
    for name, y in {
        "wrong kappa, first equation kept": mul(k + 1, scene.q),
        "minus D, first equation kept": neg(scene.d),
        "D of another Q": mul(k, other.q),
        "D of another version": mul(other.kappa.scalar(), scene.q),
        "D is V": scene.v,
        "D is M": scene.m,
    }.items():
        st = replace(scene.statement, y=y)
        rows.append(case(name, 6, st, forge(st, a1=a1, a2=a2, respond=lambda c: r + c * k)))
    st = scene.statement
    rows.append(
        case(
            "a2 of another nonce",
            6,
            st,
            forge(st, a1=a1, a2=mul(r + 1, scene.q), respond=lambda c: r + c * k),
        )
    )
    rows.append(case("minus a2", 6, st, forge(st, a1=a1, a2=neg(a2), respond=lambda c: r + c * k)))
    return rows


def build() -> dict[str, Any]:
    """Return the contents of delivery.json."""
    sales = scenes()
    scene, other = sales[0], sales[5]
    negative = [
        *bad_points(scene),
        *bad_scalars(scene),
        *bad_first_equation(scene, other),
        *bad_hints(scene),
        *bad_second_equation(scene, other),
    ]
    return {
        "generator": {"px": word(P.x), "py": word(P.y)},
        "honest": [row for sale in sales for row in honest(sale)],
        "negative": negative,
        "sales": [sale.row() for sale in sales],
    }
