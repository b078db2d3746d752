"""The SQL of docs/audit.md, run as an auditor would, and what it gives against the answers of the package."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from steelyard.domain.events import TYPES
from steelyard.domain.types import State, account_word
from steelyard.indexer.schema import PAYMENTS, ROLES, amount_of
from steelyard.query.audit import Audit
from steelyard.query.model import EarningsQuery, EventQuery, HolderQuery, ObligationQuery, Party, PaymentQuery
from tests.unit.query.world import ALICE, World

DOCS = (Path(__file__).parents[3] / "docs" / "audit.md").read_text()
BLOCKS = re.findall(r"^## (.*?)$|^```sql\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL)


def blocks() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    title = ""
    for heading, sql in BLOCKS:
        title = heading or title
        if sql:
            found.setdefault(title, []).append(sql.strip().rstrip(";"))
    return found


SQL = blocks()
ON_SALE = {"released": b"\x03", "deprecated": b"\x04"}


def run(audit: Audit, sql: str, **values: object) -> list[Any]:
    names = re.findall(r"(?<!:):([a-z]+)", sql)
    with audit.database.read() as reader:
        return reader.rows(re.sub(r"(?<!:):[a-z]+", "?", sql), [values[name] for name in names])


def every(audit: Audit, query: Any) -> list[Any]:
    return [item for page in audit.walk(query) for item in page.items]


def test_every_block_runs(full: Audit, history: World) -> None:
    values = {
        "asset": history.events[0].subject,
        "time": history.time,
        "account": ALICE,
        "version": next(iter(history.versions)),
        **ON_SALE,
        "word": account_word(ALICE),
    }
    assert sum(len(parts) for parts in SQL.values()) == 11
    for parts in SQL.values():
        for sql in parts:
            run(full, sql, **values)


def test_how_far(full: Audit) -> None:
    newest, proved = SQL["How far is the index?"]
    at = full.at()
    assert run(full, newest) == [(at.block, at.hash, at.time)] and run(full, proved) == [(at.proved,)]


def test_of_an_asset(full: Audit, history: World) -> None:
    for asset in history.ledger().assets:
        (sql,) = SQL["What happened to this asset?"]
        found = run(full, sql, asset=asset)
        wanted = every(full, EventQuery(asset=asset, newest_first=False))
        assert [(row[0], row[3]) for row in found] == [(item.block, item.id) for item in wanted]
        (sql,) = SQL["Who held a valid licence at a time?"]
        for time in (history.time - 5000, history.time - 1000):
            holders = run(full, sql, asset=asset, time=time)
            query = HolderQuery(asset=asset, at=time)
            assert [row[:2] for row in holders] == [(i.licence, i.holder) for i in every(full, query)]
            (version,) = SQL["Which version was released at a time?"]
            released = full.version_at(asset, time).version
            assert [row[1] for row in run(full, version, asset=asset, time=time, **ON_SALE)] == (
                [] if released is None else [released.version]
            )


def test_of_an_account(full: Audit, history: World) -> None:
    (sql,) = SQL["What did this account do, and what concerned it?"]
    wanted = every(full, EventQuery(account=ALICE, party=Party.BUYER, newest_first=False))
    assert [row[0] for row in run(full, sql, account=ALICE)] == [item.pos for item in wanted]
    (sql,) = SQL["What was paid, to whom?"]
    paid = every(full, PaymentQuery(payee=ALICE))
    assert [amount_of(row[4]) for row in run(full, sql, word=account_word(ALICE))] == [i.amount for i in paid]
    (sql,) = SQL["What did an account earn, with which asset?"]
    rows = run(full, sql, word=account_word(ALICE), time=history.time)
    earned = full.earnings(EarningsQuery(account=ALICE)).items
    assert sum(amount_of(row[3]) for row in rows) == sum(item.amount for item in earned)


def test_what_is_open(full: Audit, history: World) -> None:
    (sql,) = SQL["What is open?"]
    time = history.time - 3000
    flagged = {event.id for event in history.events if event.name == "VersionFlagged"}
    paid = [item for item in every(full, ObligationQuery(now=time)) if item.kind.value == "delivery"]
    found = {row[0] for row in run(full, sql, time=time)}
    assert {item.id for item in paid} <= found and flagged


@pytest.mark.parametrize(
    ("numbers", "names"),
    [
        (r"(\d+)\s+([A-Z]\w+)[,.]", [kind.name for kind in TYPES.values()]),
        (r"`role` is (.*?)\.", list(ROLES)),
        (r"`kind` is (0 escrow.*?) \(", list(PAYMENTS)),
        (r"\(state (1 is paid.*?)\)", [state.name.lower() for state in State if state]),
    ],
)
def test_numbers_are_those_of_the_tables(numbers: str, names: list[str]) -> None:
    found = re.findall(numbers, DOCS, re.DOTALL)
    pairs = found if isinstance(found[0], tuple) else re.findall(r"(\d+) (?:is )?(\w+)", found[0])
    start = int(pairs[0][0])
    assert [(int(number), name) for number, name in pairs] == list(enumerate(names, start=start))
