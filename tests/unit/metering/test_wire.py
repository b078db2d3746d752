"""The headers: fixed places, one text for the same bytes."""

from __future__ import annotations

import base64

import pytest

from steelyard.crypto import metering
from steelyard.domain.hash import sha256
from steelyard.domain.metering import Receipt, Voucher
from steelyard.errors import InputError
from steelyard.metering import wire
from steelyard.metering.agreement import Signed
from tests.unit.metering.parties import PAYEE, PAYER, SIGNER, agreement

HERE = agreement()
VOUCHER = Voucher(channel=HERE.channel, amount=7 * 300, units=300, sequence=258, root=sha256(b"root"))
SIGNED = Signed(voucher=VOUCHER, signature=SIGNER.sign(VOUCHER.digest(HERE.place.separator)))
KEY = SIGNER.call_key(PAYEE.point)


def header() -> str:
    return wire.write_payment(SIGNED, payer=PAYER, nonce=3, point=SIGNER.point, call=77, key=KEY)


def test_payment_has_the_places_of_the_specification() -> None:
    data = base64.urlsafe_b64decode(header() + "=" * (-len(header()) % 4))
    head = b"\x01" + HERE.channel + PAYER + (3).to_bytes(8, "big") + SIGNER.point + (77).to_bytes(8, "big")
    tag = metering.tag(PAYEE.call_key(SIGNER.point), b"steelyard/call/v1", head)
    rest = (258).to_bytes(8, "big") + (300).to_bytes(16, "big") + VOUCHER.root + SIGNED.signature
    assert data == head + tag + rest
    assert len(data) == wire.PAYMENT_SIZE == 255


def test_payment_is_read_as_it_was_written() -> None:
    found = wire.read_payment(header())
    assert found.signed(7) == SIGNED
    assert (found.payer, found.nonce, found.point, found.call) == (PAYER, 3, SIGNER.point, 77)
    assert metering.tag_matches(KEY, wire.CALL_LABEL, found.tagged, found.tag)
    assert not metering.tag_matches(KEY, wire.RESUME_LABEL, found.tagged, found.tag)


def test_receipt() -> None:
    receipt = Receipt(
        channel=HERE.channel,
        sequence=1 << 40,
        version=HERE.version,
        units=9,
        request=sha256(b"q"),
        response=sha256(b"a"),
    )
    signature = PAYEE.sign(receipt.digest(HERE.place.separator))
    text = wire.write_receipt(receipt, signature)
    assert wire.read_receipt(text, channel=HERE.channel, version=HERE.version) == (receipt, signature)
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    words = (1 << 40).to_bytes(8, "big") + (9).to_bytes(8, "big") + receipt.request + receipt.response
    assert data == words + signature and len(data) == wire.RECEIPT_SIZE == 145


@pytest.mark.parametrize(
    "change", ["short", "long", "padded", "other alphabet", "stray bits", "layout", "empty", "not ascii"]
)
def test_anything_else_is_refused(change: str) -> None:
    good = header()
    data = base64.urlsafe_b64decode(good + "=" * (-len(good) % 4))
    receipt = "A" * 193 + "B"  # 145 bytes take 194 characters, of the last one two bits
    bad = {
        "short": good[:-1],
        "long": good + "A",
        "padded": good + "=",
        "other alphabet": "+" + good[1:],
        "stray bits": receipt,
        "layout": base64.urlsafe_b64encode(b"\x02" + data[1:]).decode().rstrip("="),
        "empty": "",
        "not ascii": "é" + good[1:],
    }[change]
    with pytest.raises(InputError):
        if change == "stray bits":
            wire.read_receipt(bad, channel=HERE.channel, version=HERE.version)
        else:
            wire.read_payment(bad)
