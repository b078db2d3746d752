"""Receipts and vouchers against the vectors, and against an implementation of EIP-712 that shares no code with ours."""

import json
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from steelyard.crypto import metering
from steelyard.crypto.secret import Secret
from steelyard.domain import mmr
from steelyard.domain.metering import (
    MeteredTerms,
    Receipt,
    Voucher,
    amount_of,
    channel_id,
    domain_separator,
    unit_word,
)
from steelyard.errors import AmountError, DigestError, InputError, ProofError

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "metering.json").read_text(encoding="utf-8")
)
FIRST = VECTORS["channels"][0]
FIELDS = {
    "Receipt": "bytes32 channel,uint64 sequence,bytes32 version,uint64 units,bytes32 request,bytes32 response",
    "Voucher": "bytes32 channel,uint128 amount,uint128 units,uint64 sequence,bytes32 receiptsRoot",
}


def raw(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def separator(row: dict[str, Any] = FIRST) -> bytes:
    return domain_separator(chain_id=row["chainId"], channels=raw(row["contract"]))


def theirs(kind: str, values: dict[str, Any]) -> Any:
    fields = [dict(zip(("type", "name"), part.split(" "), strict=True)) for part in FIELDS[kind].split(",")]
    domain = {
        "name": "Steelyard Channels",
        "version": "1",
        "chainId": FIRST["chainId"],
        "verifyingContract": FIRST["contract"],
    }
    return encode_typed_data(domain, {kind: fields}, values)


@pytest.mark.parametrize("row", VECTORS["channels"], ids=lambda row: row["name"])
def test_ids(row: dict[str, Any]) -> None:
    terms = MeteredTerms(
        payee=raw(row["payee"]),
        currency=raw(row["currency"]),
        price=int(row["price"], 16),
        unit=raw(row["unit"]),
        version=raw(row["version"]),
        node=raw(row["node"]),
        window=row["window"],
        in_flight=row["inFlight"],
        expiry=row["expiry"],
        text=raw(row["text"]),
        salt=row["salt"],
    )
    assert terms.id(raw(row["asset"])) == raw(row["offer"])
    found = channel_id(
        chain_id=row["chainId"],
        channels=raw(row["contract"]),
        offer=raw(row["offer"]),
        payer=raw(row["payer"]),
        signer=raw(row["signer"]),
        nonce=row["nonce"],
    )
    assert found == raw(row["channel"])
    assert separator(row) == raw(row["domain"])
    assert unit_word(terms.unit_name) == terms.unit


@pytest.mark.parametrize("row", VECTORS["vouchers"], ids=lambda row: row["name"])
def test_voucher_is_the_typed_data_that_others_make(row: dict[str, Any]) -> None:
    voucher = Voucher(
        channel=raw(row["channel"]),
        amount=int(row["amount"], 16),
        units=row["units"],
        sequence=row["sequence"],
        root=raw(row["root"]),
    )
    digest = voucher.digest(separator())
    assert digest == raw(row["digest"])
    message = theirs(
        "Voucher",
        {
            "channel": voucher.channel,
            "amount": voucher.amount,
            "units": voucher.units,
            "sequence": voucher.sequence,
            "receiptsRoot": voucher.root,
        },
    )
    signature = raw(row["r"]) + raw(row["s"]) + bytes([row["v"]])
    assert Account.recover_message(message, signature=signature).lower() == FIRST["signer"]
    metering.check(digest, signature, raw(FIRST["signer"]), "voucher")
    assert metering.compact(signature) == (raw(row["r"]), raw(row["vs"]))


@pytest.mark.parametrize("row", VECTORS["receipts"], ids=lambda row: row["name"])
def test_receipt_is_the_typed_data_that_others_make(row: dict[str, Any]) -> None:
    receipt = Receipt(
        channel=raw(row["channel"]),
        sequence=row["sequence"],
        version=raw(row["version"]),
        units=row["units"],
        request=raw(row["request"]),
        response=raw(row["response"]),
    )
    digest = receipt.digest(separator())
    assert digest == raw(row["digest"])
    assert mmr.leaf(digest) == raw(row["leaf"])
    names = ("channel", "sequence", "version", "units", "request", "response")
    message = theirs("Receipt", {name: getattr(receipt, name) for name in names})
    assert Account.recover_message(message, signature=raw(row["signature"])).lower() == FIRST["payee"]


@pytest.mark.parametrize("row", VECTORS["signatures"], ids=lambda row: row["name"])
def test_one_form_of_a_signature_counts(row: dict[str, Any]) -> None:
    found = metering.recover(raw(row["digest"]), raw(row["signature"]))
    assert (found == raw(FIRST["signer"])) is row["good"]
    if not row["good"]:
        with pytest.raises(ProofError, match="voucher is not signed by"):
            metering.check(raw(row["digest"]), raw(row["signature"]), raw(FIRST["signer"]), "voucher")


@pytest.mark.parametrize("row", VECTORS["proofs"], ids=lambda row: row["name"])
def test_proofs(row: dict[str, Any]) -> None:
    data = raw(row["path"])
    arguments = {
        "sequence": row["sequence"],
        "count": row["count"],
        "path": [data[at : at + 32] for at in range(0, len(data), 32)],
        "root": raw(row["root"]),
    }
    if row["good"]:
        mmr.verify(raw(row["digest"]), **arguments)
    else:
        with pytest.raises(DigestError):
            mmr.verify(raw(row["digest"]), **arguments)


def test_a_signature_holds_in_one_place_only() -> None:
    """Chain, contract, channel and kind: whichever changes, it is somebody else's signature."""
    row = VECTORS["vouchers"][5]
    signature = raw(row["r"]) + raw(row["s"]) + bytes([row["v"]])
    contract, other = raw(FIRST["contract"]), raw(VECTORS["channels"][1]["channel"])
    voucher = Voucher(
        channel=raw(row["channel"]),
        amount=int(row["amount"], 16),
        units=row["units"],
        sequence=row["sequence"],
        root=raw(row["root"]),
    )
    receipt = Receipt(
        channel=voucher.channel,
        sequence=voucher.sequence,
        version=voucher.root,
        units=voucher.units,
        request=bytes(32),
        response=bytes(32),
    )
    moved = Voucher(
        channel=other,
        amount=voucher.amount,
        units=voucher.units,
        sequence=voucher.sequence,
        root=voucher.root,
    )
    digests = [
        voucher.digest(domain_separator(chain_id=1, channels=contract)),
        voucher.digest(domain_separator(chain_id=FIRST["chainId"], channels=other[:20])),
        moved.digest(separator()),
        receipt.digest(separator()),
    ]
    assert len({*digests, voucher.digest(separator())}) == 5
    assert all(metering.recover(digest, signature) != raw(FIRST["signer"]) for digest in digests)


def test_both_sides_have_the_same_key_of_tags() -> None:
    payer, payee = metering.Signer(Secret(b"\x01" * 32)), metering.Signer(Secret(b"\x02" * 32))
    key = payer.call_key(payee.point)
    assert key == payee.call_key(payer.point)
    assert key != payer.call_key(payer.point)
    tag = metering.tag(key, b"call", b"message")
    assert metering.tag_matches(key, b"call", b"message", tag)
    assert not metering.tag_matches(key, b"call", b"messagf", tag)
    assert not metering.tag_matches(key, b"resume", b"message", tag)
    assert metering.address_of(payee.point) == payee.address
    for point in (b"\x02" + b"\xff" * 32, b"", bytes(33)):
        with pytest.raises(ProofError):
            payer.call_key(point)
        with pytest.raises(ProofError):
            metering.address_of(point)


def test_a_signer_does_not_show_its_key() -> None:
    assert "0101" not in repr(metering.Signer(Secret(b"\x01" * 32)))
    for scalar in (bytes(32), b"\xff" * 32):
        with pytest.raises(InputError):
            metering.Signer(Secret(scalar))


def test_bounds() -> None:
    assert amount_of((1 << 128) - 1, 1) == (1 << 128) - 1
    with pytest.raises(AmountError):
        amount_of(1 << 127, 2)
    for name in ("", "é", "x" * 33, "a\n"):
        with pytest.raises(InputError):
            unit_word(name)
    with pytest.raises(InputError):
        metering.compact(bytes(65))


def test_the_key_of_tags_is_computed_once_and_not_kept_for_ever() -> None:
    payer, payee = metering.Signer(Secret(b"\x01" * 32)), metering.Signer(Secret(b"\x02" * 32))
    first = payer.call_key(payee.point)
    assert payer.call_key(bytes(payee.point)) is first
    for number in range(1, 1025):
        payer.call_key(metering.Signer(Secret(number.to_bytes(32, "big"))).point)
    again = payer.call_key(payee.point)
    assert again == first and again is not first
