from __future__ import annotations

from dataclasses import replace

import pytest
from eth_account import Account as Wallet
from eth_account.messages import encode_defunct

from steelyard.crypto.curve import N
from steelyard.crypto.personal import personal_digest, recover_text
from steelyard.domain.siwe import Expected, Message, check, parse
from steelyard.domain.types import Address
from steelyard.errors import InputError

NOW = 1_800_000_000
ADDRESS = Address(bytes.fromhex("f39fd6e51aad88f6f4ce6ab8827279cfffb92266"))
CHECKSUM = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
EXPECTED = Expected(origin="https://market.example", chain_id=31337)
MESSAGE = Message(
    domain="market.example",
    address=ADDRESS,
    uri="https://market.example/v1",
    chain_id=31337,
    nonce="abcDEF1234567890",
    issued_at=NOW,
)
FULL = replace(
    MESSAGE,
    scheme="https",
    statement="I accept the terms: https://market.example/tos",
    expiration_time=NOW + 600,
    not_before=NOW - 60,
    request_id="one-2",
    resources=("ipfs://bafy", "https://market.example/my?x=1#y"),
)
# As the ERC prints it, with every part.
ERC_TEXT = """https://market.example wants you to sign in with your Ethereum account:
0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266

I accept the terms: https://market.example/tos

URI: https://market.example/v1
Version: 1
Chain ID: 31337
Nonce: abcDEF1234567890
Issued At: 2027-01-15T08:00:00Z
Expiration Time: 2027-01-15T08:10:00Z
Not Before: 2027-01-15T07:59:00Z
Request ID: one-2
Resources:
- ipfs://bafy
- https://market.example/my?x=1#y"""


def test_text_is_what_the_erc_prints() -> None:
    assert FULL.text() == ERC_TEXT


@pytest.mark.parametrize("message", [MESSAGE, FULL], ids=["least", "full"])
def test_what_is_written_is_read(message: Message) -> None:
    assert parse(message.text()) == message


def test_a_time_may_have_a_zone_and_fractions() -> None:
    text = MESSAGE.text().replace("2027-01-15T08:00:00Z", "2027-01-15T09:30:00.999999+01:30")
    assert parse(text).issued_at == NOW


LEAST = MESSAGE.text()
BROKEN = {
    "other words": LEAST.replace("wants you to sign in", "wants you to log in"),
    "lower-case address": LEAST.replace(CHECKSUM, CHECKSUM.lower()),
    "upper-case address": LEAST.replace(CHECKSUM, "0x" + CHECKSUM[2:].upper()),
    "wrong checksum": LEAST.replace(CHECKSUM, CHECKSUM.replace("fFb9", "ffb9")),
    "short address": LEAST.replace(CHECKSUM, CHECKSUM[:-1]),
    "no blank line": LEAST.replace("\n\n\n", "\n"),
    "one blank line": LEAST.replace("\n\n\n", "\n\n"),
    "three blank lines": LEAST.replace("\n\n\n", "\n\n\n\n"),
    "version 2": LEAST.replace("Version: 1", "Version: 2"),
    "version 10": LEAST.replace("Version: 1", "Version: 10"),
    "no chain id": LEAST.replace("Chain ID: 31337\n", ""),
    "hex chain id": LEAST.replace("31337", "0x7a69"),
    "signed chain id": LEAST.replace("31337", "+31337"),
    "short nonce": LEAST.replace("abcDEF1234567890", "abcDEF1"),
    "nonce with a dash": LEAST.replace("abcDEF1234567890", "abcDEF-234567890"),
    "nonce in other digits": LEAST.replace("abcDEF1234567890", "abcDEF١٢٣٤٥٦٧٨"),
    "swapped lines": LEAST.replace("Version: 1\nChain ID: 31337", "Chain ID: 31337\nVersion: 1"),
    "doubled line": LEAST.replace("Version: 1", "Version: 1\nVersion: 1"),
    "carriage returns": LEAST.replace("\n", "\r\n"),
    "trailing line": LEAST + "\n",
    "leading space": " " + LEAST,
    "trailing space": LEAST.replace("Version: 1", "Version: 1 "),
    "lower-case label": LEAST.replace("Nonce:", "nonce:"),
    "no URI": LEAST.replace("URI: https://market.example/v1\n", ""),
    "relative URI": LEAST.replace("https://market.example/v1", "/v1"),
    "URI with a space": LEAST.replace("https://market.example/v1", "https://market.example/ v1"),
    "no issue": LEAST.partition("\nIssued")[0],
    "bad month": LEAST.replace("2027-01-15", "2027-13-15"),
    "bad hour": LEAST.replace("T08", "T25"),
    "no zone": LEAST.replace("00Z", "00"),
    "zone of 24 hours": LEAST.replace("00Z", "00+24:00"),
    "zone with 60 minutes": LEAST.replace("00Z", "00+01:60"),
    "date only": LEAST.replace("T08:00:00Z", ""),
    "no time": LEAST.replace("2027-01-15T08:00:00Z", ""),
    "year 0": LEAST.replace("2027-", "0000-"),
    "statement of two lines": FULL.text().replace("I accept", "I\naccept"),
    "statement with a quote": FULL.text().replace("I accept", 'I "accept"'),
    "statement with a letter beyond ASCII": FULL.text().replace("I accept", "I äccept"),
    "empty expiration": FULL.text().replace("Expiration Time: 2027-01-15T08:10:00Z", "Expiration Time: "),
    "expiration before issue line": LEAST.replace(
        "Issued At:", "Expiration Time: 2027-01-15T08:00:00Z\nIssued At:"
    ),
    "request id with a slash": FULL.text().replace("one-2", "one/2"),
    "resource without a dash": FULL.text().replace("- ipfs", "ipfs"),
    "resource that is no URI": FULL.text().replace("ipfs://bafy", "bafy"),
    "empty domain": LEAST.replace("market.example wants", " wants"),
    "domain with a slash": LEAST.replace("market.example wants", "market.example/x wants"),
    "domain with a space": LEAST.replace("market.example wants", "market.example evil wants"),
    "NUL": LEAST.replace("Version", "Ver\0sion"),
    "too long": FULL.text().replace("I accept", "I " + "a" * 5000),
    "nothing": "",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN.keys())
def test_anything_else_is_no_message(text: str) -> None:
    with pytest.raises(InputError):
        parse(text)


def test_a_message_for_this_service_is_taken() -> None:
    check(FULL, EXPECTED, now=NOW)


WRONG = {
    "other domain": replace(MESSAGE, domain="evil.example"),
    "domain with a port": replace(MESSAGE, domain="market.example:8080"),
    "domain with a user": replace(MESSAGE, domain="market.example@evil.example"),
    "longer domain": replace(MESSAGE, domain="market.example.evil.example"),
    "other scheme": replace(MESSAGE, scheme="http"),
    "URI elsewhere": replace(MESSAGE, uri="https://evil.example/v1"),
    "URI with this host as user": replace(MESSAGE, uri="https://market.example@evil.example/"),
    "URI by http": replace(MESSAGE, uri="http://market.example/v1"),
    "URI that breaks": replace(MESSAGE, uri="https://[market.example/"),
    "other chain": replace(MESSAGE, chain_id=1),
    "issued too early": replace(MESSAGE, issued_at=NOW - 601),
    "issued in the future": replace(MESSAGE, issued_at=NOW + 61),
    "expired": replace(MESSAGE, expiration_time=NOW),
    "not yet": replace(MESSAGE, not_before=NOW + 1),
}


@pytest.mark.parametrize("message", WRONG.values(), ids=WRONG.keys())
def test_a_message_for_something_else_is_refused(message: Message) -> None:
    with pytest.raises(InputError):
        check(message, EXPECTED, now=NOW)


@pytest.mark.parametrize("text", [ERC_TEXT, "", "äö", "x" * 1000], ids=["message", "empty", "utf-8", "long"])
def test_digest_and_signer_agree_with_eth_account(text: str) -> None:
    wallet = Wallet.create()
    signed = wallet.sign_message(encode_defunct(text=text))
    assert personal_digest(text.encode()) == signed.message_hash
    assert recover_text(personal_digest(text.encode()), bytes(signed.signature)) == bytes.fromhex(
        wallet.address[2:]
    )


def test_a_signature_counts_in_its_low_form_only() -> None:
    wallet = Wallet.create()
    signed = wallet.sign_message(encode_defunct(text="x"))
    high = N - signed.s
    data = signed.r.to_bytes(32, "big") + high.to_bytes(32, "big") + bytes([55 - signed.v])
    assert recover_text(personal_digest(b"x"), data) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(64),
        bytes(65),
        bytes(66),
        bytes(64) + b"\x1b",
        b"\xff" * 65,
        b"\x01" * 64 + b"\x02",
        b"\x01" * 64 + b"\x1d",
    ],
)
def test_what_is_no_signature_is_of_nobody(data: bytes) -> None:
    assert recover_text(personal_digest(b"x"), data) is None
