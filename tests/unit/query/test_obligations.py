"""What is open against the state that all entries fold to, judged at many times."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from steelyard.domain.types import NATIVE, OfferKind, RequestState, State
from steelyard.errors import InputError
from steelyard.query.audit import Audit
from steelyard.query.model import Duty, ObligationQuery
from tests.unit.query.world import ALICE, BOB, World


def walk(audit: Audit, query: ObligationQuery, limit: int = 3) -> list[Any]:
    found: list[Any] = []
    query = dataclasses.replace(query, limit=limit)
    while True:
        page = audit.obligations(query)
        found += page.items
        if page.next is None:
            return found
        query = dataclasses.replace(query, cursor=page.next)


def expected(world: World, now: int) -> set[tuple[Any, ...]]:
    """Return kind, id, due, debtor, creditor, amount and currency of all that is open."""
    found: set[tuple[Any, ...]] = set()
    for asset in world.ledger().assets.values():
        for p in asset.purchases.values():
            terms = asset.offers[p.offer].terms
            flagged = asset.versions[p.version].flagged
            sale = (p.id, p.due)
            money = (p.price, terms.currency)
            if p.state is State.PAID:
                if flagged or now > p.due:
                    found.add((Duty.REFUND, *sale, None, p.buyer, *money))
                else:
                    found.add((Duty.DELIVERY, *sale, terms.seller, p.buyer, *money))
            elif p.state is State.DELIVERED:
                if flagged:
                    found.add((Duty.REFUND, *sale, None, p.buyer, *money))
                elif now > p.due:
                    found.add((Duty.SETTLEMENT, *sale, None, terms.seller, *money))
                else:
                    found.add((Duty.WINDOW, *sale, terms.seller, p.buyer, *money))
            elif p.state is State.SETTLED and terms.kind is OfferKind.RENTAL and now <= p.until:
                ends = (Duty.RENEWAL, p.id, p.until, p.holder, terms.seller, terms.price, terms.currency)
                found.add(ends)
        for r in asset.requests.values():
            if r.state is RequestState.OPEN:
                found.add((Duty.KEY, r.id, r.due, asset.owner, r.request.holder, r.fee, NATIVE))
    return found


def seen(item: Any) -> tuple[Any, ...]:
    return (item.kind, item.id, item.due, item.debtor, item.creditor, item.amount, item.currency)


def test_all_that_is_open_soonest_first(full: Audit, history: World) -> None:
    kinds = set()
    for now in (history.time - 20_000, history.time - 3000, history.time, history.time + 3000):
        found = walk(full, ObligationQuery(now=now))
        assert len(found) == len({seen(item) for item in found})
        assert {seen(item) for item in found} == expected(history, now)
        assert [item.due for item in found] == sorted(item.due for item in found)
        assert all(item.overdue == (now > item.due) for item in found)
        kinds |= {item.kind for item in found}
    assert kinds == set(Duty)


def test_without_a_time_it_is_the_newest_blocks(full: Audit, history: World) -> None:
    assert walk(full, ObligationQuery()) == walk(full, ObligationQuery(now=history.time))


@pytest.mark.parametrize("account", [ALICE, BOB])
def test_of_an_account(full: Audit, history: World, account: Any) -> None:
    everything = walk(full, ObligationQuery(), 50)
    found = walk(full, ObligationQuery(account=account))
    with full.database.read() as reader:
        sides = {
            row[0]: set(row[1:])
            for row in reader.rows(
                "SELECT p.id, o.seller, p.buyer, p.holder FROM purchases p JOIN offers o ON o.id = p.offer"
            )
        }
        sides |= {
            row[0]: set(row[1:])
            for row in reader.rows(
                "SELECT r.id, r.holder, a.owner FROM requests r JOIN assets a ON a.id = r.asset"
            )
        }
    wanted = [item for item in everything if account in sides[item.id]]
    assert found == wanted and found


def test_of_an_asset_of_a_kind_and_soon(full: Audit, history: World) -> None:
    everything = walk(full, ObligationQuery(), 50)
    asset = everything[0].asset
    assert walk(full, ObligationQuery(asset=asset)) == [item for item in everything if item.asset == asset]
    kinds = (Duty.DELIVERY, Duty.KEY)
    assert walk(full, ObligationQuery(kinds=kinds)) == [item for item in everything if item.kind in kinds]
    soon = [item for item in everything if item.due <= history.time + 60]
    assert walk(full, ObligationQuery(within=60)) == soon


def test_pages_stay_at_the_time_of_the_first(audit: Audit, world: World) -> None:
    asset = world.asset("a")
    version, terms = world.publish(asset), world.offer(asset, deliver_within=100)
    bought = {world.buy(version, terms) for _ in range(6)}
    world.feed(audit.database)
    first = audit.obligations(ObligationQuery(limit=2))
    world.tick(500)
    world.feed(audit.database)
    rest = audit.obligations(ObligationQuery(limit=10, cursor=first.next))
    assert {item.id for item in (*first.items, *rest.items)} == bought
    assert {item.kind for item in rest.items} == {Duty.DELIVERY}
    assert {item.kind for item in audit.obligations().items} == {Duty.REFUND}


@pytest.mark.parametrize("question", [{"limit": 0}, {"within": -1}, {"now": 1 << 41}, {"cursor": "AA"}])
def test_what_cannot_be_asked(full: Audit, question: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        full.obligations(ObligationQuery(**question))
