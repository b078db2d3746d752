from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from steelyard.crypto.kept import open_kept, seal_kept
from steelyard.crypto.secret import Secret
from steelyard.errors import InputError, SealError

KAPPA = Secret(b"\x42" * 32)
PLACE: dict[str, Any] = {
    "owner": Secret(b"\x05" * 32),
    "chain_id": 31337,
    "registry": b"\xaa" * 20,
    "version": b"\x21" * 32,
}


def test_what_is_kept_opens() -> None:
    assert open_kept(seal_kept(KAPPA, **PLACE), **PLACE) == KAPPA


def test_the_line_is_as_the_document_says() -> None:
    label, digits = seal_kept(KAPPA, **PLACE).split()
    info = b"steelyard/kept-key/v1" + (31337).to_bytes(32, "big") + b"\xaa" * 20 + b"\x21" * 32
    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(b"\x05" * 32)
    assert label == b"steelyard/kept-key/v1"
    assert AESGCM(key).decrypt(bytes(12), bytes.fromhex(digits.decode()), None) == KAPPA.reveal()


def test_the_same_key_is_the_same_line() -> None:
    assert seal_kept(KAPPA, **PLACE) == seal_kept(KAPPA, **PLACE)


@pytest.mark.parametrize(
    "other",
    [
        {"owner": Secret(b"\x06" * 32)},
        {"chain_id": 1},
        {"registry": b"\xab" * 20},
        {"version": b"\x22" * 32},
    ],
    ids=lambda other: next(iter(other)),
)
def test_it_opens_in_its_place_only(other: dict[str, Any]) -> None:
    with pytest.raises(SealError):
        open_kept(seal_kept(KAPPA, **PLACE), **PLACE | other)


def test_a_flipped_bit_is_noticed() -> None:
    label, digits = seal_kept(KAPPA, **PLACE).split()
    flipped = bytearray.fromhex(digits.decode())
    flipped[-1] ^= 1
    with pytest.raises(SealError):
        open_kept(label + b" " + flipped.hex().encode(), **PLACE)


@pytest.mark.parametrize(
    "line", [b"", b"steelyard/kept-key/v2 " + b"00" * 48, b"steelyard/kept-key/v1 00", b"\xff"]
)
def test_what_is_no_kept_key(line: bytes) -> None:
    with pytest.raises(InputError):
        open_kept(line, **PLACE)
