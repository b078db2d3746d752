"""Each rule of either side's books, by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from steelyard.domain.hash import sha256
from steelyard.domain.metering import Receipt, Voucher
from steelyard.domain.mmr import Range
from steelyard.errors import InputError, ProofError, RefusedError, SteelyardError
from steelyard.metering.agreement import Signed, nothing
from steelyard.metering.payee import DepositError, InFlightError, PayeeBooks, UnknownReceiptsError
from steelyard.metering.payer import PayerBooks
from tests.unit.metering.parties import PAYEE, SIGNER, STRANGER, agreement

HERE = agreement(price=7, in_flight=3)
SEPARATOR = HERE.place.separator
DEPOSIT = 10_000


class Served:
    """A payee that has answered some calls."""

    def __init__(self, *units: int) -> None:
        self.books = PayeeBooks(HERE)
        self.totals: list[tuple[int, bytes]] = []
        for count in units:
            self.books.best = nothing(HERE.channel)
            if self.books.open >= 3:
                self.cover(self.books.receipts.count)
            self.books.serve(count, request=sha256(b"q"), response=sha256(b"a"), deposit=DEPOSIT)
            self.totals.append((self.books.units, self.books.receipts.root()))
        self.books.best = nothing(HERE.channel)

    def at(self, sequence: int) -> tuple[int, bytes] | None:
        return self.totals[sequence - 1] if 1 <= sequence <= len(self.totals) else None

    def voucher(self, sequence: int) -> Voucher:
        units, root = self.totals[sequence - 1]
        return Voucher(channel=HERE.channel, amount=7 * units, units=units, sequence=sequence, root=root)

    def cover(self, sequence: int) -> None:
        self.books.take(sign(self.voucher(sequence)))


def sign(voucher: Voucher, key: Any = SIGNER) -> Signed:
    return Signed(voucher=voucher, signature=key.sign(voucher.digest(SEPARATOR)))


def test_a_true_voucher_is_believed_and_only_the_highest_counts() -> None:
    served = Served(1, 2, 3)
    assert served.books.open == 3
    for sequence, higher in ((2, True), (1, False), (2, False), (3, True)):
        signed = sign(served.voucher(sequence))
        assert served.books.judge(signed, served.at) is higher
        served.books.take(signed)
    assert served.books.best == sign(served.voucher(3))
    assert served.books.open == 0


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"units": 4, "amount": 28}, ProofError),
        ({"amount": 20}, ProofError),
        ({"amount": 22}, ProofError),
        ({"root": sha256(b"x")}, ProofError),
        ({"sequence": 1}, ProofError),
        ({"sequence": 4}, UnknownReceiptsError),
        ({"channel": agreement(nonce=2).channel}, ProofError),
        ({"sequence": 0, "units": 0, "amount": 0}, ProofError),
        ({"sequence": 0, "root": bytes(32)}, ProofError),
        ({"sequence": 0, "units": 0, "amount": 0, "root": bytes(32)}, ProofError),
    ],
    ids=str,
)
def test_a_voucher_with_one_thing_wrong_is_not(change: dict[str, Any], error: type[Exception]) -> None:
    served = Served(1, 2)
    before = served.books.best
    with pytest.raises(error):
        served.books.judge(sign(replace(served.voucher(2), **change)), served.at)
    assert served.books.best is before


def test_a_voucher_of_another_key_or_under_another_domain_is_not() -> None:
    served = Served(1, 2)
    voucher = served.voucher(2)
    other = SIGNER.sign(voucher.digest(sha256(b"another contract")))
    for signed in (sign(voucher, STRANGER), Signed(voucher=voucher, signature=other)):
        with pytest.raises(ProofError):
            served.books.judge(signed, served.at)
    for size in (0, 64, 66):
        with pytest.raises(ProofError):
            served.books.judge(Signed(voucher=voucher, signature=bytes(size)), served.at)


def test_nothing_co_signed_is_no_voucher() -> None:
    served = Served(1)
    assert served.books.judge(nothing(HERE.channel), served.at) is False


def test_no_more_than_w_calls_are_open() -> None:
    served = Served(1, 1, 1)
    with pytest.raises(InFlightError):
        served.books.admit(1, deposit=DEPOSIT)
    served.cover(1)
    served.books.admit(1, deposit=DEPOSIT)
    with pytest.raises(InFlightError):
        served.books.admit(1, deposit=DEPOSIT, running=1)
    with pytest.raises(InFlightError):
        Served(1, 1, 1).books.serve(1, request=b"", response=b"", deposit=DEPOSIT)


def test_the_deposit_covers_all_that_is_answered() -> None:
    served = Served(1, 2)
    served.books.admit(2, deposit=35)
    for deposit, running in ((34, 0), (35, 1)):
        with pytest.raises(DepositError):
            served.books.admit(2, deposit=deposit, running_units=running)
    assert served.books.due(deposit=35, claimed=0) == 0
    served.cover(2)
    assert served.books.due(deposit=35, claimed=0) == 21
    assert served.books.due(deposit=20, claimed=5) == 15
    assert served.books.due(deposit=35, claimed=21) == 0


@pytest.mark.parametrize("units", [0, -1, 1 << 128])
def test_a_call_has_units(units: int) -> None:
    with pytest.raises(RefusedError):
        PayeeBooks(HERE).admit(units, deposit=1 << 200)


def test_books_that_were_kept_go_on() -> None:
    served = Served(1, 2, 3)
    served.cover(2)
    kept = PayeeBooks(
        HERE,
        receipts=Range(3, served.books.receipts.peaks),
        units=6,
        best=served.books.best,
    )
    receipt, digest = kept.serve(4, request=sha256(b"q"), response=sha256(b"a"), deposit=DEPOSIT)
    again, same = served.books.serve(4, request=sha256(b"q"), response=sha256(b"a"), deposit=DEPOSIT)
    assert (receipt, digest, kept.receipts.root()) == (again, same, served.books.receipts.root())


# -- the payer -------------------------------------------------------------------------------------------------


def receipt_of(made: Any, sequence: int, **change: Any) -> Receipt:
    good = Receipt(
        channel=HERE.channel,
        sequence=sequence,
        version=HERE.version,
        units=made.units,
        request=made.request,
        response=sha256(b"answer"),
    )
    return replace(good, **change)


def accept(books: PayerBooks, call: int, receipt: Receipt, key: Any = PAYEE) -> None:
    books.accept(call, receipt, key.sign(receipt.digest(SEPARATOR)), response=sha256(b"answer"))


def test_receipts_in_any_order_are_co_signed_without_a_gap() -> None:
    books = PayerBooks(HERE)
    made = [books.begin(sha256(bytes([i])), i + 1) for i in range(3)]
    accept(books, made[1].call, receipt_of(made[1], 3))
    assert books.voucher(SIGNER) == nothing(HERE.channel)
    accept(books, made[0].call, receipt_of(made[0], 1))
    assert books.voucher(SIGNER).voucher.units == 1
    accept(books, made[2].call, receipt_of(made[2], 2))
    voucher = books.voucher(SIGNER).voucher
    assert (voucher.sequence, voucher.units, voucher.amount) == (3, 6, 42)
    assert not books.made and not books.later


@pytest.mark.parametrize(
    "change",
    [
        {"units": 3},
        {"units": 1},
        {"request": sha256(b"x")},
        {"response": sha256(b"x")},
        {"version": sha256(b"x")},
        {"channel": agreement(nonce=2).channel},
        {"sequence": 0},
        {"sequence": 5},
        {"sequence": 2},
    ],
    ids=str,
)
def test_a_receipt_with_one_thing_wrong_is_not_believed(change: dict[str, Any]) -> None:
    books = PayerBooks(HERE)
    first, second = books.begin(sha256(b"0"), 1), books.begin(sha256(b"1"), 2)
    accept(books, first.call, receipt_of(first, 2))  # so 2 is taken, and 1 + w = 4 the last that may come
    with pytest.raises(ProofError):
        accept(books, second.call, replace(receipt_of(second, 1), **change))
    assert (books.receipts.count, books.units, list(books.later)) == (0, 0, [2])
    accept(books, second.call, receipt_of(second, 1))
    assert books.receipts.count == 2


def test_a_receipt_that_a_stranger_signed_is_not_believed() -> None:
    books = PayerBooks(HERE)
    made = books.begin(sha256(b"0"), 1)
    for key in (STRANGER, SIGNER):
        with pytest.raises(ProofError):
            accept(books, made.call, receipt_of(made, 1), key)


def test_a_place_that_was_co_signed_is_not_given_again() -> None:
    books = PayerBooks(HERE)
    for sequence in (1, 1):
        made = books.begin(sha256(b"0"), 1)
        if books.receipts.count:
            with pytest.raises(ProofError, match="two receipts"):
                accept(books, made.call, receipt_of(made, sequence))
        else:
            accept(books, made.call, receipt_of(made, sequence))


def test_one_call_has_one_receipt() -> None:
    books = PayerBooks(HERE)
    made = books.begin(sha256(b"0"), 1)
    accept(books, made.call, receipt_of(made, 1))
    for call in (made.call, 99):
        with pytest.raises(RefusedError):
            accept(books, call, receipt_of(made, 2))


def test_call_numbers_only_grow() -> None:
    books = PayerBooks(HERE, last_call=5)
    numbers = [books.begin(b"", 1, hint=hint).call for hint in (0, 100, 50, 0)]
    assert numbers == [6, 100, 101, 102]


def test_the_last_voucher_serves_for_several_calls() -> None:
    wide = agreement(in_flight=6)
    books = PayerBooks(wide)
    for sequence in range(1, 4):
        made = books.begin(sha256(bytes([sequence])), 1)
        receipt = receipt_of(made, sequence, channel=wide.channel)
        books.accept(made.call, receipt, PAYEE.sign(receipt.digest(SEPARATOR)), response=sha256(b"answer"))
        assert books.voucher(SIGNER, fresh=False).voucher.sequence == (0 if sequence < 3 else 3)


def test_only_the_channels_signer_signs() -> None:
    books = PayerBooks(HERE)
    made = books.begin(sha256(b"0"), 1)
    accept(books, made.call, receipt_of(made, 1))
    with pytest.raises(InputError):
        books.voucher(STRANGER)


def test_errors_are_of_the_tree() -> None:
    assert issubclass(InFlightError, SteelyardError) and issubclass(DepositError, RefusedError)
