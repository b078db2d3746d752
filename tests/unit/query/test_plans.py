"""How SQLite finds the rows of lists: by seeks in an index, never by reading a whole table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from steelyard.domain.types import NATIVE
from steelyard.indexer.database import Database, Reader, Row, open_database
from steelyard.query import entities, events, holders, metered, obligations, payments
from steelyard.query.model import (
    ChannelQuery,
    EventQuery,
    HolderQuery,
    MeteredOfferQuery,
    ObligationQuery,
    Party,
    PaymentKind,
    PaymentQuery,
    PurchaseQuery,
    VersionQuery,
)
from tests.unit.query.world import ALICE, BOB, GATE, SIGNER, START, World, busy

LARGE = ("e", "p", "q", "y", "s", "b", "h", "v", "o", "r", "m", "c")
"""Names that the questions give to tables that grow."""


class Planned:
    """A reader that remembers how each statement would be run."""

    dialect = "sqlite"

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.plans: list[tuple[str, str]] = []

    def _plan(self, sql: str, params: Sequence[object]) -> None:
        steps = self.reader.rows(f"EXPLAIN QUERY PLAN {sql}", params)
        self.plans += [(str(step[3]), sql) for step in steps]

    def rows(self, sql: str, params: Sequence[object] = ()) -> list[Row]:
        self._plan(sql, params)
        return self.reader.rows(sql, params)

    def row(self, sql: str, params: Sequence[object] = ()) -> Row | None:
        self._plan(sql, params)
        return self.reader.row(sql, params)

    def each(self, sql: str, params: Sequence[object] = ()) -> Iterator[Row]:
        self._plan(sql, params)
        return self.reader.each(sql, params)


@pytest.fixture(scope="module")
def busy_world() -> World:
    return busy(11)


@pytest.fixture(scope="module")
def database(busy_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    made = open_database(tmp_path_factory.mktemp("plans") / "index.sqlite")
    busy_world.feed(made)
    yield made
    made.close()


@contextmanager
def seeks(database: Database, *, sorts: bool = False) -> Iterator[Any]:
    """Fail if a statement scans a table that grows, or (unless ``sorts``) sorts all rows that it finds."""
    with database.read() as reader:
        planned = Planned(reader)
        yield planned
    assert planned.plans
    for step, sql in planned.plans:
        words = step.split()
        # A scan in the order of the key with a limit is a page; "SCAN k" is the page itself.
        scans = words[0] == "SCAN" and words[1] in LARGE and "USING" not in words
        assert not scans, f"{step}: {sql}"
        if not sorts:
            assert "USE TEMP B-TREE FOR ORDER BY" not in step, f"{step}: {sql}"


def event_questions(world: World) -> list[EventQuery]:
    asset = world.events[0].subject
    return [
        EventQuery(kinds=("Purchased",)),
        EventQuery(account=ALICE, party=Party.SELLER),
        EventQuery(tx=world.events[9].tx),
        EventQuery(version=next(iter(world.versions))),  # type: ignore[arg-type]
        EventQuery(asset=asset),  # type: ignore[arg-type]
        EventQuery(account=ALICE),
        EventQuery(kinds=("Purchased", "Delivered")),
        EventQuery(since=START + 10, until=START + 900),
        EventQuery(first_block=110, last_block=200),
    ]


@pytest.mark.parametrize("number", range(9))
@pytest.mark.parametrize("newest_first", [True, False])
def test_events(database: Database, busy_world: World, number: int, newest_first: bool) -> None:
    query = replace(event_questions(busy_world)[number], newest_first=newest_first, limit=3)
    # Several seeks side by side, and the few rows of one transaction, are sorted: at most a page of each.
    several = query.tx is not None or query.asset is not None or len(query.kinds) > 1
    bounded = several or (query.account is not None and query.party is None)
    with seeks(database, sorts=bounded) as reader:
        page = events.events(reader, query)
        if page.next is not None:
            events.events(reader, replace(query, cursor=page.next))
    _no_table_scan(reader.plans, query)


def _no_table_scan(plans: list[tuple[str, str]], query: EventQuery) -> None:
    filtered = query.kinds or query.account or query.tx or query.asset or query.version
    for step, sql in plans:
        if filtered:
            assert not step.startswith("SCAN e"), f"{step}: {sql}"
        else:
            assert not step.startswith("SCAN e") or "e.pos >= ?" in sql


def test_payments(database: Database, busy_world: World) -> None:
    node = next(event.subject for event in busy_world.events if event.name == "Claimed")
    for query in (
        PaymentQuery(payee=ALICE, limit=2),
        PaymentQuery(payer=ALICE, limit=2),
        PaymentQuery(node=node, limit=2),
        PaymentQuery(share=ALICE, limit=2),
        PaymentQuery(asset=busy_world.events[0].subject, limit=2),  # type: ignore[arg-type]
        PaymentQuery(kinds=(PaymentKind.CLAIM,), payee=ALICE, currency=NATIVE),
    ):
        with seeks(database, sorts=True) as reader:
            payments.payments(reader, query)


def test_points_and_lists_of_one_asset(database: Database, busy_world: World) -> None:
    asset = busy_world.ledger().assets[busy_world.events[0].subject]  # type: ignore[index]
    with seeks(database) as reader:
        entities.version(reader, next(iter(asset.versions)))
        entities.offer(reader, next(iter(asset.offers)))
        entities.versions(reader, VersionQuery(asset=asset.id))
        entities.stages(reader, next(iter(asset.versions)), None)
        holders.holders(reader, HolderQuery(asset=asset.id, at=busy_world.time))
        events.event(reader, busy_world.events[5].block, busy_world.events[5].log)


def test_the_version_on_sale(database: Database, busy_world: World) -> None:
    # The moves of a version's stage are few, and have an index of their own.
    asset = busy_world.ledger().assets[busy_world.events[0].subject]  # type: ignore[index]
    with seeks(database) as reader:
        entities.version_at(reader, asset.id, busy_world.time)
    assert any("events_stages" in step for step, _ in reader.plans)


def test_purchases_of_an_asset(database: Database, busy_world: World) -> None:
    asset = busy_world.events[0].subject
    # The key requests of a licence are sorted.
    with seeks(database, sorts=True) as reader:
        entities.purchases(reader, PurchaseQuery(asset=asset))  # type: ignore[arg-type]
    ordered = [step for step, sql in reader.plans if "ORDER BY p.pos" in sql]
    assert not any("ORDER BY" in step for step in ordered)


def test_what_is_open(database: Database) -> None:
    with seeks(database, sorts=True) as reader:
        obligations.obligations(reader, ObligationQuery())


def test_metered_use(database: Database, busy_world: World) -> None:
    opened = next(event for event in busy_world.events if event.name == "ChannelOpened")
    asset, version = opened.subject, next(iter(busy_world.versions))
    with seeks(database) as reader:
        metered.channel(reader, opened.id)  # type: ignore[arg-type]
        for channels in (
            ChannelQuery(),
            ChannelQuery(asset=asset),  # type: ignore[arg-type]
            ChannelQuery(offer=metered.channel(reader, opened.id).offer),  # type: ignore[arg-type]
            ChannelQuery(payer=BOB),
            ChannelQuery(signer=SIGNER),
            ChannelQuery(version=version),  # type: ignore[arg-type]
        ):
            metered.channels(reader, channels)
        for offers in (
            MeteredOfferQuery(),
            MeteredOfferQuery(asset=asset, open=True),  # type: ignore[arg-type]
            MeteredOfferQuery(version=version),  # type: ignore[arg-type]
            MeteredOfferQuery(payee=GATE),
        ):
            metered.metered_offers(reader, offers)
    # The channels of a payee stand under his offers.
    with seeks(database, sorts=True) as reader:
        metered.channels(reader, ChannelQuery(payee=GATE))
