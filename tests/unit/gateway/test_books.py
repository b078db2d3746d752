"""The one transaction of a call, over SQLite and PostgreSQL: what is entered, refused, given again, and shared by several processes."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from steelyard.api.tables import Transaction
from steelyard.domain import mmr
from steelyard.domain.hash import sha256
from steelyard.domain.metering import Voucher
from steelyard.errors import ConfigError
from steelyard.gateway.books import Books, CallUsedError, Done, Entry, open_books
from steelyard.metering.agreement import Agreement, Signed
from steelyard.metering.payee import DepositError, InFlightError
from tests.support.postgres import postgres, stop_postgres
from tests.unit.metering.parties import PAYEE, SIGNER, agreement

HERE = agreement(in_flight=3)
SEPARATOR = HERE.place.separator


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[None]:
    yield
    stop_postgres()


@pytest.fixture(params=["sqlite", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str | Path:
    return tmp_path / "books.sqlite" if request.param == "sqlite" else postgres().database()


@pytest.fixture
def books(where: str | Path) -> Iterator[Books]:
    opened = open_books(where, PAYEE, clock=lambda: 1000.0, durable=False)
    yield opened
    opened.close()


def entry(call: int, *, units: int = 2, signed: Signed | None = None, here: Agreement = HERE) -> Entry:
    body = b"answer %d" % call
    return Entry(
        agreement=here,
        deposit=7 * 100,
        signed=signed,
        call=call,
        units=units,
        request=sha256(b"request %d" % call),
        response=sha256(body),
        header=3,
        body=body,
    )


def enter(books: Books, *entries: Entry) -> list[Done | Exception]:
    return books.enter(list(entries))


def co_sign(books: Books, sequence: int, here: Agreement = HERE) -> Signed:
    found = books.totals(here.channel, sequence)
    assert found is not None
    voucher = Voucher(
        channel=here.channel, amount=7 * found[0], units=found[0], sequence=sequence, root=found[1]
    )
    signed = Signed(voucher=voucher, signature=SIGNER.sign(voucher.digest(here.place.separator)))
    assert books.load(here).judge(signed, lambda at: books.totals(here.channel, at))
    return signed


def test_receipts_are_in_order_signed_and_in_the_tree(books: Books) -> None:
    done = enter(books, entry(5), entry(3, units=1), entry(9, units=4))
    digests = []
    for place, item in enumerate(done, 1):
        assert isinstance(item, Done) and item.receipt is not None
        assert item.receipt.sequence == place and not item.again
        digests.append(HERE.receipt_digest(item.receipt, item.signature))
        assert books.totals(HERE.channel, place) == ([2, 3, 7][place - 1], mmr.root(digests))
    kept = books.load(HERE)
    assert (kept.receipts.count, kept.units, kept.receipts.root()) == (3, 7, mmr.root(digests))
    assert [row.call for row in books.rows(HERE, after=1)] == [3, 9]


def test_no_more_than_w_calls_and_a_voucher_lets_more_in(books: Books) -> None:
    done = enter(books, *(entry(call) for call in range(1, 5)))
    assert [type(item) for item in done] == [Done, Done, Done, InFlightError]
    signed = co_sign(books, 2)
    done = enter(books, entry(5, signed=signed), entry(6), entry(7))
    assert [type(item) for item in done] == [Done, Done, InFlightError]
    assert books.load(HERE).best == signed


def test_a_voucher_is_kept_although_its_call_is_refused(books: Books) -> None:
    enter(books, entry(1))
    signed = co_sign(books, 1)
    (done,) = enter(books, replace(entry(2, signed=signed), deposit=14))
    assert isinstance(done, DepositError)
    assert books.load(HERE).best == signed
    (done,) = enter(books, entry(0, units=0))
    assert isinstance(done, Done) and done.receipt is None


def test_the_same_call_is_answered_again_and_counted_once(books: Books) -> None:
    (first,) = enter(books, entry(1))
    (second,) = enter(books, replace(entry(1), response=sha256(b"x"), body=b"x"))
    assert isinstance(first, Done) and isinstance(second, Done)
    assert (second.receipt, second.signature, second.body, second.header) == (
        first.receipt,
        first.signature,
        b"answer 1",
        3,
    )
    assert second.again and books.load(HERE).receipts.count == 1
    (other,) = enter(books, replace(entry(1), request=sha256(b"another")))
    assert isinstance(other, CallUsedError)
    twice = enter(books, entry(2), entry(2))
    assert [type(item) for item in twice] == [Done, CallUsedError]


def test_an_answer_is_kept_until_it_is_co_signed(books: Books) -> None:
    enter(books, entry(1), entry(2))
    enter(books, Entry(agreement=HERE, deposit=0, signed=co_sign(books, 1)))
    first, second = books.answer(HERE, 1), books.answer(HERE, 2)
    assert first is not None and first.body is None
    assert second is not None and second.body == b"answer 2"
    assert books.answer(HERE, 3) is None


def test_an_old_voucher_changes_nothing(books: Books) -> None:
    enter(books, entry(1), entry(2))
    old, new = co_sign(books, 1), co_sign(books, 2)
    for signed in (new, old):
        enter(books, Entry(agreement=HERE, deposit=0, signed=signed))
    assert books.load(HERE).best == new


def test_several_processes_keep_one_order(books: Books, where: str | Path) -> None:
    """Two connections, two channels, many threads: no gap, no fork, never more than w open."""
    other = open_books(where, PAYEE, clock=lambda: 1000.0, durable=False)
    wide = [agreement(in_flight=30, nonce=nonce) for nonce in (11, 12)]
    entered: list[Done | Exception] = []

    def work(opened: Books, start: int) -> None:
        for call in range(start, start + 10):
            # In either order: they would wait for each other if that were the order of the locks.
            order = wide if call % 2 else wide[::-1]
            entered.extend(opened.enter([entry(call, units=1, here=here) for here in order]))

    threads = [
        threading.Thread(target=work, args=(opened, start))
        for opened, start in ((books, 0), (other, 100), (books, 200), (other, 300))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for here in wide:
        rows = other.rows(here, after=0)
        assert [row.receipt.sequence for row in rows] == list(range(1, 31))
        digests = [here.receipt_digest(row.receipt, row.signature) for row in rows]
        assert books.load(here).receipts.root() == mmr.root(digests)
    assert sum(isinstance(item, InFlightError) for item in entered) == 2 * 10
    other.close()


class Told(Transaction):
    """A transaction that notes what the database is asked."""

    def __init__(self, inner: Transaction, asked: list[tuple[str, list[object]]]) -> None:
        self._inner, self._asked = inner, asked

    def rows(self, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        self._asked.append((sql, list(params)))
        return self._inner.rows(sql, params)

    def execute(self, sql: str, params: Sequence[object] = ()) -> int:
        self._asked.append((sql, list(params)))
        return self._inner.execute(sql, params)

    def each(self, sql: str, several: Iterable[Sequence[object]]) -> list[tuple[Any, ...]]:
        self._asked.append((sql, []))
        return self._inner.each(sql, several)


@pytest.fixture
def asked(books: Books, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[object]]]:
    found: list[tuple[str, list[object]]] = []
    write = books.tables.write

    @contextmanager
    def told() -> Iterator[Transaction]:
        with write() as db:
            yield Told(db, found)

    monkeypatch.setattr(books.tables, "write", told)
    return found


def test_a_round_of_many_waits_for_the_database_as_often_as_one_of_a_single_call(
    books: Books, asked: list[tuple[str, list[object]]]
) -> None:
    enter(books, entry(1))
    alone = len(asked)
    channels = [agreement(in_flight=9, nonce=nonce) for nonce in range(100, 120)]
    for start in (0, 4):  # new channels, and known ones
        del asked[:]
        made = [entry(start + call, units=1, here=here) for call in range(3) for here in channels]
        done = enter(books, *made)
        assert all(isinstance(item, Done) for item in done) and len(asked) == alone
    for here in channels:
        rows = books.rows(here, after=0)
        assert [row.receipt.sequence for row in rows] == list(range(1, 7))
        assert [row.call for row in rows] == [0, 1, 2, 4, 5, 6]
        digests = [here.receipt_digest(row.receipt, row.signature) for row in rows]
        assert books.load(here).receipts.root() == mmr.root(digests)


def test_outcomes_stand_where_their_calls_stood(books: Books) -> None:
    other = agreement(in_flight=1, nonce=55)
    enter(books, entry(1), entry(1, here=other))
    signed = co_sign(books, 1, other)
    done = enter(
        books,
        *(entry(1, here=other), entry(2), entry(2, here=other), entry(1), entry(2)),
        entry(3, here=other, signed=signed),
    )
    assert [item.again if isinstance(item, Done) else type(item) for item in done] == [
        *(True, False, InFlightError, True, CallUsedError, False)
    ]
    assert isinstance(done[0], Done) and done[0].receipt is not None
    assert done[0].receipt.channel == other.channel and books.load(other).best == signed
    assert books.answer(other, 1) == replace(done[0], body=None, header=None)


# PostgreSQL reads a small table whole, whatever indexes there are.
@pytest.mark.parametrize("where", ["sqlite"], indirect=True)
def test_earlier_calls_are_looked_up_by_an_index(books: Books, asked: list[tuple[str, list[object]]]) -> None:
    enter(books, *(entry(call) for call in range(1, 4)))
    ((sql, params),) = [item for item in asked if "JOIN gateway_receipts" in item[0]]
    with books.tables.read() as db:
        plan = [row[-1] for row in db.rows("EXPLAIN QUERY PLAN " + sql, params)]
    assert any("USING INDEX gateway_receipts_call (channel=? AND call=?)" in step for step in plan), plan


def test_trials_are_counted_by_asset_caller_and_day(books: Books) -> None:
    asset = sha256(b"asset")
    assert books.try_out([(asset, "a", 1, 2, 5), (asset, "a", 1, 2, 5)]) == [3, 1]
    assert books.try_out([(asset, "a", 1, 2, 5), (asset, "b", 1, 2, 5)]) == [-1, 3]
    assert books.try_out([(asset, "a", 1, 1, 5)]) == [0]
    assert books.try_out([(asset, "a", 2, 1, 5)]) == [4]
    assert books.try_out([(asset, "c", 2, 9, 5)]) == [-1]
    assert books.try_out([(asset, "c", 2, 5, 5)]) == [0]


def test_a_database_that_does_not_flush_is_refused(where: str | Path) -> None:
    if isinstance(where, Path):
        open_books(where, PAYEE, clock=lambda: 0.0).close()
    else:
        with pytest.raises(ConfigError, match="fsync"):
            open_books(where, PAYEE, clock=lambda: 0.0)
