import hashlib
import hmac

import pytest

from steelyard.crypto.curve import G, N, P, neg
from steelyard.crypto.derive import blind_scalar, key_scalar, proof_nonce, seed_from_private_key
from steelyard.crypto.secret import Secret
from steelyard.errors import InputError

SEED = Secret(b"\x11" * 32)
KEY = {"salt": b"\x22" * 32, "chain_id": 31337, "registry": b"\x33" * 20, "asset": b"\x44" * 32}
BLIND = {"chain_id": 31337, "market": b"\x55" * 20, "buyer": b"\x66" * 20, "salt": b"\x77" * 32}
NONCE = {"context": b"\x88" * 32, "public": G, "base": P, "result": G, "counter": 0}


def hkdf(key: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    prk = hmac.new(salt or bytes(32), key, hashlib.sha256).digest()
    out, block = b"", b""
    while len(out) < length:
        block = hmac.new(prk, block + info + bytes([len(out) // 32 + 1]), hashlib.sha256).digest()
        out += block
    return out[:length]


def scalar(key: bytes, salt: bytes, info: bytes) -> int:
    return 1 + int.from_bytes(hkdf(key, salt, info, 48), "big") % (N - 1)


def test_seed() -> None:
    assert seed_from_private_key(SEED).reveal() == hkdf(SEED.reveal(), b"", b"steelyard/seed/v1", 32)


def test_key_scalar() -> None:
    info = b"steelyard/kappa/v1" + (31337).to_bytes(32, "big") + KEY["registry"] + KEY["asset"]
    assert key_scalar(SEED, **KEY).scalar() == scalar(SEED.reveal(), KEY["salt"], info)


def test_blind_scalar() -> None:
    info = (
        b"steelyard/blind/v1" + (31337).to_bytes(32, "big") + BLIND["market"] + BLIND["buyer"] + BLIND["salt"]
    )
    assert blind_scalar(SEED, **BLIND).scalar() == scalar(SEED.reveal(), b"", info)


def test_nonce() -> None:
    info = b"steelyard/nonce/v1" + NONCE["context"]
    info += G.x.to_bytes(32, "big") + P.x.to_bytes(32, "big") + G.x.to_bytes(32, "big")
    info += bytes([G.odd | P.odd << 1 | G.odd << 2]) + bytes(4)
    assert proof_nonce(SEED, **NONCE).scalar() == scalar(SEED.reveal(), b"", info)


@pytest.mark.parametrize("name", ["public", "base", "result"])
def test_statements_that_differ_in_a_parity_share_no_nonce(name: str) -> None:
    # With the same nonce under two challenges, anybody could solve for the secret.
    other = NONCE | {name: neg(NONCE[name])}
    assert proof_nonce(SEED, **other) != proof_nonce(SEED, **NONCE)


@pytest.mark.parametrize(
    ("derive", "arguments"),
    [(key_scalar, KEY), (blind_scalar, BLIND), (proof_nonce, NONCE)],
    ids=["key", "blind", "nonce"],
)
def test_every_argument_matters(derive, arguments: dict) -> None:
    seen = [derive(SEED, **arguments).scalar(), derive(Secret(b"\x12" * 32), **arguments).scalar()]
    for name, value in arguments.items():
        other = (
            value + 1 if isinstance(value, int) else bytes(len(value)) if isinstance(value, bytes) else None
        )
        if other is None:
            other = P if value == G else G
        seen.append(derive(SEED, **{**arguments, name: other}).scalar())
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize(
    ("derive", "arguments"), [(key_scalar, KEY), (blind_scalar, BLIND)], ids=["key", "blind"]
)
def test_wrong_lengths_are_refused(derive, arguments: dict) -> None:
    for name, value in arguments.items():
        bad = [-1, 1 << 256] if isinstance(value, int) else [value[1:], value + b"\0"]
        for item in bad:
            with pytest.raises(InputError):
                derive(SEED, **{**arguments, name: item})
