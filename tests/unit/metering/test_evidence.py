"""Files of receipts: what is true is proved, and one changed byte or number is noticed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from steelyard.domain import mmr
from steelyard.domain.hash import sha256
from steelyard.domain.metering import Receipt, Voucher
from steelyard.errors import DigestError, InputError, SteelyardError, VerificationError
from steelyard.metering import evidence
from steelyard.metering.agreement import Signed
from tests.unit.metering.parties import PAYEE, SIGNER, agreement

HERE = agreement()
SEPARATOR = HERE.place.separator


def made(count: int, covered: int) -> tuple[Signed, list[tuple[Receipt, bytes]]]:
    receipts = [
        Receipt(
            channel=HERE.channel,
            sequence=i,
            version=HERE.version,
            units=i,
            request=sha256(bytes([i])),
            response=sha256(bytes([i, i])),
        )
        for i in range(1, count + 1)
    ]
    units = sum(range(1, covered + 1))
    root = mmr.root(receipt.digest(SEPARATOR) for receipt in receipts[:covered])
    voucher = Voucher(channel=HERE.channel, amount=7 * units, units=units, sequence=covered, root=root)
    signed = Signed(voucher=voucher, signature=SIGNER.sign(voucher.digest(SEPARATOR)))
    return signed, [(receipt, PAYEE.sign(receipt.digest(SEPARATOR))) for receipt in receipts]


def test_all_receipts() -> None:
    signed, receipts = made(7, 5)
    found = evidence.verify(evidence.write(HERE, signed, receipts), root=signed.voucher.root)
    assert (found.proved, found.units, found.sequence, found.amount) == (5, 15, 5, 105)
    assert (found.channel, found.payee, found.version) == (HERE.channel, PAYEE.address, HERE.version)


@pytest.mark.parametrize("only", [1, 3, 5])
def test_one_receipt(only: int) -> None:
    signed, receipts = made(5, 5)
    data = evidence.write(HERE, signed, receipts, only=only)
    assert (evidence.verify(data).proved, evidence.verify(data).units) == (1, only)


def test_another_root_on_the_chain() -> None:
    signed, receipts = made(3, 3)
    with pytest.raises(VerificationError, match="not the one on the chain"):
        evidence.verify(evidence.write(HERE, signed, receipts), root=bytes(32))


def test_not_so_many() -> None:
    signed, receipts = made(3, 3)
    for arguments in ({"receipts": receipts[:2]}, {"receipts": receipts, "only": 4}):
        with pytest.raises(InputError):
            evidence.write(HERE, signed, **arguments)  # type: ignore[arg-type]


def leaves(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [found for key, item in value.items() for found in leaves(item, (*place, key))]
    if isinstance(value, list):
        return [found for key, item in enumerate(value) for found in leaves(item, (*place, key))]
    return [place]


@pytest.mark.parametrize("only", [None, 2])
def test_whatever_is_changed_is_noticed(only: int | None) -> None:
    signed, receipts = made(4, 3)
    text = evidence.write(HERE, signed, receipts, only=only)
    for place in leaves(json.loads(text)):
        document = json.loads(text)
        target = document
        for key in place[:-1]:
            target = target[key]
        old = target[place[-1]]
        for new in (_other(old), None, "", 2**70, "0x00", -1, 1.5, float("inf"), True, "1_0", "9" * 5000):
            target[place[-1]] = new
            with pytest.raises(SteelyardError):
                evidence.verify(json.dumps(document).encode())
        target[place[-1]] = old
    assert evidence.verify(text)


def _other(value: object) -> object:
    if isinstance(value, int):
        return value + 1
    assert isinstance(value, str)
    if value.startswith("0x"):
        return value[:-1] + ("0" if value[-1] != "0" else "1")
    return str(int(value) + 1) if value.isdigit() else value + "x"


@pytest.mark.parametrize("change", ["swapped", "missing", "doubled", "none"])
def test_the_list_of_receipts(change: str) -> None:
    signed, receipts = made(3, 3)
    document = json.loads(evidence.write(HERE, signed, receipts))
    rows = document["receipts"]
    document["receipts"] = {
        "swapped": [rows[1], rows[0], rows[2]],
        "missing": rows[:2],
        "doubled": [*rows, rows[2]],
        "none": [],
    }[change]
    with pytest.raises(SteelyardError):
        evidence.verify(json.dumps(document).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"format": 1}', b"\xff", b"[" * 5000])
def test_no_file_of_receipts(data: bytes) -> None:
    with pytest.raises(InputError):
        evidence.verify(data)


def test_a_path_of_another_receipt() -> None:
    signed, receipts = made(4, 4)
    one, two = (json.loads(evidence.write(HERE, signed, receipts, only=i)) for i in (1, 2))
    one["receipts"][0]["path"] = two["receipts"][0]["path"]
    with pytest.raises(DigestError):
        evidence.verify(json.dumps(one).encode())
