"""Numbers and bytes of documents: one spelling each, and within bounds."""

from __future__ import annotations

from typing import Any

import pytest

from steelyard.errors import InputError, VerificationError
from steelyard.metering.document import hex_bytes, read_receipt, read_voucher, whole
from steelyard.service import usage_check
from tests.unit.metering.parties import agreement

HERE = agreement()
ROW = {
    "call": 4,
    "sequence": 1,
    "units": "3",
    "request": "0x" + "0a" * 32,
    "response": "0x" + "0b" * 32,
    "signature": "0x" + "0c" * 65,
}
BEST = {"sequence": 2, "units": "3", "root": "0x" + "0a" * 32, "signature": "0x" + "0c" * 65}
HUGE = [
    -1,
    "-1",
    1.5,
    float("inf"),
    float("nan"),
    True,
    None,
    "",
    "0x1",
    "1_0",
    "\u0661",
    " 1",
    [],
    {},
    1 << 256,
    "9" * 5000,
]


def test_whole_numbers() -> None:
    assert [whole(value) for value in (0, 7, "0", "007", (1 << 256) - 1)] == [0, 7, 0, 7, (1 << 256) - 1]
    assert whole(3, least=3, most=3) == 3


@pytest.mark.parametrize("value", HUGE, ids=lambda value: repr(value)[:20])
def test_what_is_no_whole_number(value: object) -> None:
    with pytest.raises(InputError):
        whole(value)


@pytest.mark.parametrize(("least", "most"), [(4, 5), (1, 2)])
def test_a_number_out_of_range(least: int, most: int) -> None:
    with pytest.raises(InputError, match=f"from {least} to {most}"):
        whole(3, least=least, most=most)


@pytest.mark.parametrize(
    "value",
    ["0x" + "00" * 31, "0x" + "00" * 33, "00" * 33, "0x" + "zz" * 32, "0x " + "00" * 31 + "0", None, 5],
)
def test_what_is_no_word(value: object) -> None:
    assert hex_bytes("0x" + "aB" * 32) == b"\xab" * 32
    with pytest.raises(InputError):
        hex_bytes(value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sequence", 0),
        ("sequence", 1 << 64),
        ("units", 0),
        ("units", 1 << 64),
        ("request", ""),
        ("signature", "0x"),
    ],
)
def test_a_receipt_out_of_range(name: str, value: Any) -> None:
    receipt, signature = read_receipt(HERE, ROW)
    assert (receipt.sequence, receipt.units, signature) == (1, 3, b"\x0c" * 65)
    with pytest.raises(InputError):
        read_receipt(HERE, {**ROW, name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [("sequence", -1), ("sequence", 1 << 64), ("units", 1 << 127), ("root", "0x"), ("signature", "0x")],
)
def test_a_voucher_out_of_range(name: str, value: Any) -> None:
    assert read_voucher(HERE, BEST).voucher.amount == 21
    with pytest.raises(InputError):
        read_voucher(HERE, {**BEST, name: value})


@pytest.mark.parametrize(
    "change", [{"units": -1}, {"sequence": 1 << 300}, {"call": float("inf")}, {"call": -1}, {"request": None}]
)
def test_what_a_gateway_lists_is_read_or_refused(change: dict[str, Any]) -> None:
    assert usage_check.read_row(HERE, ROW)[0] == 4
    with pytest.raises(VerificationError):
        usage_check.read_row(HERE, {**ROW, **change})


@pytest.mark.parametrize("item", [{}, {**BEST, "units": -1}, {**BEST, "sequence": float("inf")}, [], "x"])
def test_what_a_gateway_calls_its_best_is_read_or_refused(item: Any) -> None:
    assert usage_check.read_voucher(HERE, BEST).voucher.sequence == 2
    with pytest.raises(VerificationError):
        usage_check.read_voucher(HERE, item)
