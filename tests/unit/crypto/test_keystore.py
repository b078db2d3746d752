import json
import stat
from pathlib import Path

import pytest
from eth_account import Account

from steelyard.crypto import keystore
from steelyard.crypto.secret import Secret
from steelyard.errors import InputError, SealError

SECRET = Secret(b"\x42" * 32)
PASSWORD = "korrekt pferd \N{SNOWMAN}"
COST = 1024


@pytest.fixture(scope="module")
def document() -> dict:
    return keystore.encrypt(SECRET, password=PASSWORD, scrypt_n=COST)


def test_eth_account_reads_ours(document: dict) -> None:
    assert bytes(Account.decrypt(document, PASSWORD)) == SECRET.reveal()
    assert "0x" + document["address"] == Account.from_key(SECRET.reveal()).address.lower()


@pytest.mark.parametrize("kdf", ["scrypt", "pbkdf2"])
def test_ours_reads_eth_account(kdf: str) -> None:
    theirs = Account.encrypt(SECRET.reveal(), PASSWORD, kdf=kdf, iterations=COST)
    assert keystore.decrypt(theirs, password=PASSWORD) == SECRET


def test_default_cost_is_that_of_geth() -> None:
    assert keystore.SCRYPT_N == 262144


def test_two_files_of_one_secret_share_nothing(document: dict) -> None:
    other = keystore.encrypt(SECRET, password=PASSWORD, scrypt_n=COST)
    assert document["crypto"]["kdfparams"]["salt"] != other["crypto"]["kdfparams"]["salt"]
    assert document["crypto"]["ciphertext"] != other["crypto"]["ciphertext"]


def test_wrong_password(document: dict) -> None:
    with pytest.raises(SealError, match="password"):
        keystore.decrypt(document, password=PASSWORD + "!")


@pytest.mark.parametrize("field", ["ciphertext", "mac"])
def test_altered_file(document: dict, field: str) -> None:
    bad = json.loads(json.dumps(document))
    value = bytearray.fromhex(bad["crypto"][field])
    value[0] ^= 1
    bad["crypto"][field] = value.hex()
    with pytest.raises(SealError):
        keystore.decrypt(bad, password=PASSWORD)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("version",), 1),
        (("crypto",), None),
        (("crypto", "cipher"), "aes-256-gcm"),
        (("crypto", "ciphertext"), "zz"),
        (("crypto", "ciphertext"), "00"),
        (("crypto", "cipherparams", "iv"), 5),
        (("crypto", "cipherparams", "iv"), "00"),
        (("crypto", "kdf"), "none"),
        (("crypto", "kdfparams", "dklen"), 64),
        (("crypto", "kdfparams", "n"), 1 << 30),
        (("crypto", "kdfparams", "n"), 1000),
        (("crypto", "kdfparams", "n"), True),
        (("crypto", "kdfparams", "n"), "1024"),
        (("crypto", "kdfparams", "r"), 0),
        (("crypto", "kdfparams", "p"), 1 << 30),
    ],
)
def test_malformed_or_greedy_file(document: dict, path: tuple[str, ...], value: object) -> None:
    bad = json.loads(json.dumps(document))
    target = bad
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    with pytest.raises(InputError):
        keystore.decrypt(bad, password=PASSWORD)


def test_greedy_pbkdf2() -> None:
    theirs = Account.encrypt(SECRET.reveal(), PASSWORD, kdf="pbkdf2", iterations=COST)
    theirs["crypto"]["kdfparams"]["c"] = 1 << 40
    with pytest.raises(InputError):
        keystore.decrypt(theirs, password=PASSWORD)


@pytest.mark.parametrize("value", [bytes(32), b"\xff" * 32])
def test_what_is_no_private_key_is_not_stored(value: bytes) -> None:
    with pytest.raises(InputError):
        keystore.encrypt(Secret(value), password=PASSWORD, scrypt_n=COST)


def test_saved_file_is_private_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    keystore.save(path, SECRET, password=PASSWORD, scrypt_n=COST)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["key.json"]
    assert keystore.load(path, password=PASSWORD) == SECRET
    assert SECRET.reveal().hex() not in path.read_text()


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    path.write_text("precious")
    with pytest.raises(InputError, match="never overwritten"):
        keystore.save(path, SECRET, password=PASSWORD, scrypt_n=COST)
    assert path.read_text() == "precious"
    assert [p.name for p in tmp_path.iterdir()] == ["key.json"]


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"{" * 1000, b"[" * 60000, b" " * 70000], ids=range(6))
def test_hostile_file(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "key.json"
    path.write_bytes(data)
    with pytest.raises(InputError):
        keystore.load(path, password=PASSWORD)


def test_huge_file(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    path.write_bytes(b" " * (1 << 20))
    with pytest.raises(InputError, match="too large"):
        keystore.load(path, password=PASSWORD)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        keystore.load(tmp_path / "none", password=PASSWORD)
