"""The vector files are in step with the code, and agree with an oracle that shares none of it."""

import json
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from steelyard.crypto.dleq import Proof, verify
from steelyard.domain.point import Point
from steelyard.errors import ProofError
from tests.unit.crypto import oracle
from tests.vectors import make

VECTORS = Path(__file__).parents[2] / "vectors"
DELIVERY = json.loads((VECTORS / "delivery.json").read_text())
CONTENT = json.loads((VECTORS / "content.json").read_text())
METERING = json.loads((VECTORS / "metering.json").read_text())
PROOFS = DELIVERY["honest"] + DELIVERY["negative"]


def test_files_are_what_the_code_makes() -> None:
    for name, text in make.render().items():
        assert (VECTORS / name).read_text() == text, f"run python tests/vectors/make.py: {name} is stale"


def test_rows_of_a_list_have_the_same_keys() -> None:
    for document in (DELIVERY, CONTENT, METERING):
        for rows in document.values():
            if isinstance(rows, list):
                assert len({tuple(row) for row in rows}) == 1
                assert list(rows[0]) == sorted(rows[0])
                assert len({row["name"] for row in rows}) == len(rows)


@pytest.mark.parametrize("row", PROOFS, ids=lambda row: row["name"])
def test_verifier_stops_at_the_named_step(row: dict) -> None:
    word = {key: int(value, 16) for key, value in row.items() if key not in ("name", "step")}
    proof = Proof(
        a1=bytes.fromhex(row["a1"][2:]),
        a2=Point(word["a2x"], word["a2y"]),
        s=word["s"],
        cy=Point(word["cyx"], word["cyy"]),
        inverse=word["inverse"],
    )
    step = 0
    try:
        verify(
            proof,
            public=Point(word["xx"], word["xy"]),
            base=Point(word["bx"], word["by"]),
            result=Point(word["yx"], word["yy"]),
            context=bytes.fromhex(row["context"][2:]),
        )
    except ProofError as error:
        step = error.step
    assert step == row["step"]


@pytest.fixture(scope="module")
def refusals() -> list[tuple[dict, list[int]]]:
    """Return every proof with the numbers of all checks of the contract's verifier that refuse it."""
    return [(row, oracle.failing_checks(row)) for row in PROOFS]


def test_oracle_agrees_on_every_proof(refusals: list[tuple[dict, list[int]]]) -> None:
    wrong = [row["name"] for row, failing in refusals if min(failing, default=0) != row["step"]]
    assert wrong == []


def test_every_check_but_the_second_is_the_only_one_to_refuse_some_forgery(
    refusals: list[tuple[dict, list[int]]],
) -> None:
    # No forgery can be made for check 2 alone: it needs a preimage. All others carry weight of their own.
    assert {failing[0] for _, failing in refusals if len(failing) == 1} == {1, 3, 4, 5, 6}


def test_honest_proofs_reach_all_parities() -> None:
    parities = {
        (int(r["xy"], 16) & 1, int(r["by"], 16) & 1, int(r["yy"], 16) & 1) for r in DELIVERY["honest"]
    }
    assert len(parities) == 8


def test_sales_satisfy_the_equations_in_textbook_arithmetic() -> None:
    generator = (int(DELIVERY["generator"]["px"], 16), int(DELIVERY["generator"]["py"], 16))
    for row in DELIVERY["sales"]:
        w = {
            key: int(value, 16)
            for key, value in row.items()
            if isinstance(value, str) and value.startswith("0x")
        }
        v, m, d = (w["vx"], w["vy"]), (w["mx"], w["my"]), (w["dx"], w["dy"])
        q, opening = (w["qx"], w["qy"]), (w["wx"], w["wy"])
        assert v == oracle.times(w["kappa"], oracle.BASE)
        assert m == oracle.times(w["kappa"], generator)
        assert q == oracle.plus(generator, oracle.times(w["b"], oracle.BASE))
        assert d == oracle.times(w["kappa"], q)
        assert opening == oracle.times(w["b"], v)
        assert oracle.plus(d, (opening[0], oracle.FIELD - opening[1])) == m
        key = sha256(
            b"steelyard/content-key/v1" + m[0].to_bytes(32, "big") + m[1].to_bytes(32, "big")
        ).hexdigest()
        assert row["contentKey"] == "0x" + key
        signer = oracle.ecrecover(w["ownershipDigest"], row["ownershipV"], w["ownershipR"], w["ownershipS"])
        assert signer == w["ownerAddress"] == oracle.address(v)
        assert w["ownershipS"] <= oracle.ORDER // 2


def naive_root(leaves: list[bytes]) -> bytes:
    """Return RFC 6962's MTH by its recursive definition."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + naive_root(leaves[:split]) + naive_root(leaves[split:])).digest()


@cache
def longest() -> bytes:
    size = max(row["size"] for row in CONTENT["streams"])
    return bytes([(j * j + 7 * j + (j >> 8) + (j >> 16)) & 0xFF for j in range(size)])


@pytest.mark.parametrize("row", CONTENT["streams"], ids=lambda row: row["name"])
def test_streams_follow_the_format_page(row: dict) -> None:
    key, size = bytes.fromhex(row["key"][2:]), row["size"]
    clear = longest()[:size]
    text, tags = b"", b""
    for j in range(0, size, 1 << 20):
        last = b"\x01" if j + (1 << 20) >= size else b"\x00"
        nonce = bytes(7) + (j >> 20).to_bytes(4, "big") + last
        sealed = AESGCM(key).encrypt(nonce, clear[j : j + (1 << 20)], None)
        text, tags = text + sealed[:-16], tags + sealed[-16:]
    salted, leaves = b"", []
    for i in range(-(-size // 4096)):
        place, part = i.to_bytes(8, "big"), slice(4096 * i, 4096 * i + 4096)
        hidden = sha256(sha256(b"steelyard/leaf-salt/v1" + key + place).digest() + clear[part]).digest()
        salted += hidden
        leaves.append(sha256(b"\x00" + place + sha256(text[part]).digest() + hidden).digest())
    assert row["contentRoot"] == "0x" + naive_root(leaves).hex()
    assert row["ciphertextDigest"] == "0x" + sha256(text).hexdigest()
    assert row["leavesDigest"] == "0x" + sha256(salted).hexdigest()
    assert row["tagsDigest"] == "0x" + sha256(tags).hexdigest()
    assert (row["firstLeaf"], row["lastLeaf"]) == ("0x" + leaves[0].hex(), "0x" + leaves[-1].hex())
    assert (row["chunks"], row["leaves"]) == (len(tags) // 16, len(leaves))
