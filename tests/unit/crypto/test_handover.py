import hashlib
import json
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from steelyard.crypto import handover
from steelyard.crypto.handover import KeyFile, open_keys, read_file, seal_keys
from steelyard.crypto.secret import Secret
from steelyard.domain import canonical
from steelyard.domain.types import Address, AssetId, VersionId
from steelyard.errors import InputError, SealError

PASSWORD = "korrekt pferd \N{SNOWMAN} batterie"
COST = 1024
KEYS = [(VersionId(b"\x21" * 32), Secret(b"\x42" * 32)), (VersionId(b"\x11" * 32), Secret(b"\x43" * 32))]


def seal(keys: list[tuple[VersionId, Secret]] = KEYS, password: str = PASSWORD) -> bytes:
    return seal_keys(
        keys,
        chain_id=31337,
        registry=Address(b"\xaa" * 20),
        asset=AssetId(b"\x07" * 32),
        password=password,
        scrypt_n=COST,
    )


@pytest.fixture(scope="module")
def data() -> bytes:
    return seal()


@pytest.fixture
def file(data: bytes) -> KeyFile:
    return read_file(data)


def test_what_is_sealed_opens(file: KeyFile) -> None:
    assert (file.chain_id, file.registry, file.asset) == (31337, b"\xaa" * 20, b"\x07" * 32)
    assert open_keys(file, password=PASSWORD, scrypt_n=COST) == KEYS


def test_the_file_is_as_the_document_says(data: bytes) -> None:
    value = json.loads(data)
    assert {name: value[name] for name in ("format", "chain", "registry", "asset", "versions")} == {
        "format": "steelyard/version-keys/v1",
        "chain": "31337",
        "registry": "0x" + "aa" * 20,
        "asset": "0x" + "07" * 32,
        "versions": ["0x" + "21" * 32, "0x" + "11" * 32],
    }
    sealed = bytes.fromhex(value.pop("sealed")[2:])
    salt = b"steelyard/version-keys/v1" + bytes.fromhex(value["salt"][2:])
    key = hashlib.scrypt(PASSWORD.encode(), salt=salt, n=COST, r=8, p=1, dklen=32)
    header = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    assert AESGCM(key).decrypt(bytes(12), sealed, header) == b"\x42" * 32 + b"\x43" * 32


def test_the_cost_is_that_of_a_keystore() -> None:
    assert seal_keys.__kwdefaults__ == open_keys.__kwdefaults__ == {"scrypt_n": 1 << 18}


def test_two_files_share_no_key(data: bytes) -> None:
    first, second = json.loads(data), json.loads(seal())
    assert first["salt"] != second["salt"]
    assert first["sealed"] != second["sealed"]


def test_no_key_is_readable_in_it(data: bytes) -> None:
    assert b"42" * 32 not in data and b"43" * 32 not in data and b"\x42" * 32 not in data


def test_a_wrong_password(file: KeyFile) -> None:
    with pytest.raises(SealError, match="password"):
        open_keys(file, password=PASSWORD + "x", scrypt_n=COST)


def test_one_password_however_it_was_typed() -> None:
    made = read_file(seal(password="Ga\N{LATIN SMALL LETTER E WITH DIAERESIS}tan und Kuh"))
    assert open_keys(made, password="Gae\N{COMBINING DIAERESIS}tan und Kuh", scrypt_n=COST) == KEYS


@pytest.mark.parametrize(
    "change",
    [
        {"chain_id": 1},
        {"registry": Address(b"\xab" * 20)},
        {"asset": AssetId(b"\x08" * 32)},
        {"versions": (KEYS[1][0], KEYS[0][0])},
        {"salt": bytes(32)},
        {"sealed": bytes(80)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_is_altered_is_noticed(file: KeyFile, change: dict[str, object]) -> None:
    altered = read_file(replace(file, **change).to_bytes())  # type: ignore[arg-type]
    with pytest.raises(SealError, match="altered"):
        open_keys(altered, password=PASSWORD, scrypt_n=COST)


def test_a_file_of_a_later_format(data: bytes) -> None:
    later = canonical.encode(json.loads(data) | {"format": "steelyard/version-keys/v2", "more": "1"})
    with pytest.raises(InputError, match="version-keys/v2"):
        read_file(later)


@pytest.mark.parametrize(
    "change",
    [
        {"chain": "0"},
        {"chain": 31337},
        {"chain": "31337\n"},
        {"registry": "0x" + "aa" * 19},
        {"asset": "07" * 32},
        {"salt": "0x" + "0G" * 32},
        {"versions": []},
        {"versions": "0x" + "21" * 32},
        {"versions": 5},
        {"versions": ["0x" + "21" * 32]},
        {"versions": ["0x" + "21" * 32] * 2},
        {"sealed": "0x"},
        {"more": "x"},
        {"format": 1},
    ],
    ids=str,
)
def test_a_malformed_file(data: bytes, change: dict[str, object]) -> None:
    with pytest.raises(InputError):
        read_file(canonical.encode(json.loads(data) | change))


@pytest.mark.parametrize("name", ["chain", "registry", "asset", "versions", "salt", "sealed", "format"])
def test_a_field_that_is_missing(data: bytes, name: str) -> None:
    value = json.loads(data)
    del value[name]
    with pytest.raises(InputError):
        read_file(canonical.encode(value))


@pytest.mark.parametrize("damaged", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_key_file(damaged: bytes) -> None:
    with pytest.raises(InputError, match="version keys"):
        read_file(damaged)


def test_a_file_that_was_cut_off(data: bytes) -> None:
    with pytest.raises(InputError, match="damaged"):
        read_file(data[:-9])


def test_a_huge_file_is_not_parsed() -> None:
    with pytest.raises(InputError, match="too large"):
        read_file(b" " * (handover.MAX_FILE + 1))


def test_the_largest_file_can_be_read() -> None:
    keys = [
        (VersionId(number.to_bytes(32, "big")), Secret(b"\1" * 32)) for number in range(handover.MAX_VERSIONS)
    ]
    assert len(read_file(seal(keys)).versions) == handover.MAX_VERSIONS


@pytest.mark.parametrize("keys", [[], KEYS[:1] * 2])
def test_versions_are_some_and_different(keys: list[tuple[VersionId, Secret]]) -> None:
    with pytest.raises(InputError, match="different"):
        seal(keys)


def test_a_short_password_is_refused() -> None:
    with pytest.raises(InputError, match="12 characters"):
        seal(password="eleven char")
