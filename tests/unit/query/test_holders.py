"""Who held what when: against the state that the events up to that time fold to."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest

from steelyard.domain.types import OfferKind, Scope, Stage, VersionId
from steelyard.errors import InputError, NotFoundError
from steelyard.query.audit import Audit
from steelyard.query.model import HolderQuery
from tests.unit.query.world import ALICE, BOB, CAROL, World


def walk(audit: Audit, query: HolderQuery, limit: int = 3) -> list[Any]:
    found: list[Any] = []
    query = dataclasses.replace(query, limit=limit)
    while True:
        page = audit.holders(query)
        found += page.items
        if page.next is None:
            return found
        query = dataclasses.replace(query, cursor=page.next)


def moments(world: World) -> list[int]:
    """Return times around every change."""
    return sorted({event.time + step for event in world.events for step in (-1, 0, 1)})


def test_every_moment_is_what_the_events_until_then_say(full: Audit, history: World) -> None:
    dice = random.Random(1)
    for at in dice.sample(moments(history), 60):
        for asset in history.ledger(at).assets.values():
            wanted = {
                (item.id, item.holder, item.until if item.until else None)
                for item in asset.purchases.values()
                if asset.is_valid(item, at=at)
            }
            perpetual = {
                item.id
                for item in asset.purchases.values()
                if asset.offers[item.offer].terms.kind is OfferKind.PERPETUAL
            }
            wanted = {(id_, who, None if id_ in perpetual else until) for id_, who, until in wanted}
            found = walk(full, HolderQuery(asset=asset.id, at=at), 50)
            assert {(item.licence, item.holder, item.until) for item in found} == wanted


def test_coverage_is_the_rule_of_the_contract(full: Audit, history: World) -> None:
    dice = random.Random(2)
    for at in dice.sample(moments(history), 25):
        for asset in history.ledger(at).assets.values():
            for version in dice.sample(list(asset.versions.values()), min(2, len(asset.versions))):
                wanted = {i.id for i in asset.purchases.values() if asset.covers(i, version, at=at)}
                found = walk(full, HolderQuery(asset=asset.id, at=at, version=version.id))
                assert {item.licence for item in found} == wanted


def holders_at(audit: Audit, world: World, asset: Any, *times: int) -> list[set[Any]]:
    world.tick(10**6)
    world.feed(audit.database)
    return [
        {(item.licence, item.holder, item.until) for item in walk(audit, HolderQuery(asset=asset, at=time))}
        for time in times
    ]


def test_around_a_delivery(audit: Audit, world: World) -> None:
    asset = world.asset("a")
    version, terms = world.publish(asset), world.offer(asset)
    purchase = world.buy(version, terms)
    t = world.tick()
    world.deliver(version, terms, purchase)
    found = holders_at(audit, world, asset, t - 1, t, t + 1)
    assert found == [set(), {(purchase, BOB, None)}, {(purchase, BOB, None)}]


def test_around_a_transfer(audit: Audit, world: World) -> None:
    asset = world.asset("a")
    version, terms = world.publish(asset), world.offer(asset)
    purchase = world.buy(version, terms)
    world.deliver(version, terms, purchase)
    t = world.tick()
    world.give(asset, purchase, BOB, CAROL)
    found = holders_at(audit, world, asset, t - 1, t, t + 1)
    assert found == [{(purchase, BOB, None)}, {(purchase, CAROL, None)}, {(purchase, CAROL, None)}]


def test_two_transfers_in_one_block(audit: Audit, world: World) -> None:
    asset = world.asset("a")
    version, terms = world.publish(asset), world.offer(asset)
    purchase = world.buy(version, terms)
    world.deliver(version, terms, purchase)
    t = world.tick()
    world.give(asset, purchase, BOB, CAROL)
    world.give(asset, purchase, CAROL, ALICE)
    found = holders_at(audit, world, asset, t - 1, t)
    assert found == [{(purchase, BOB, None)}, {(purchase, ALICE, None)}]


def test_around_renewal_and_expiry(audit: Audit, world: World) -> None:
    asset = world.asset("a")
    rental: dict[str, Any] = {
        "kind": OfferKind.RENTAL,
        "scope": Scope.UNTIL_END,
        "period": 100,
        "renew_until": 2**39,
    }
    version, terms = world.publish(asset), world.offer(asset, **rental)
    purchase = world.buy(version, terms)
    world.deliver(version, terms, purchase)
    end = world.time + 100
    renewed = world.tick(60)
    world.renew(version, terms, purchase, BOB, end + 100)
    times = (renewed - 1, renewed, renewed + 1, end + 99, end + 100, end + 101)
    found = holders_at(audit, world, asset, *times)
    first, second = {(purchase, BOB, end)}, {(purchase, BOB, end + 100)}
    assert found == [first, second, second, second, second, set()]


def test_around_a_refund_after_a_dispute(audit: Audit, world: World) -> None:
    asset = world.asset("a")
    version, terms = world.publish(asset), world.offer(asset, window=500)
    purchase = world.buy(version, terms)
    world.deliver(version, terms, purchase)
    t = world.tick()
    world.log("VersionFlagged", asset, version.id, BOB, purchase, 1)
    world.refund(version, terms, purchase, BOB)
    found = holders_at(audit, world, asset, t - 1, t, t + 1)
    assert found == [{(purchase, BOB, None)}, set(), set()]


def test_around_a_revocation(audit: Audit, world: World) -> None:
    asset = world.asset("a")
    version, terms = world.publish(asset), world.offer(asset, price=0, revocable=True)
    purchase = world.buy(version, terms)
    world.deliver(version, terms, purchase)
    t = world.tick()
    world.log("LicenceRevoked", asset, purchase, ALICE, BOB)
    found = holders_at(audit, world, asset, t - 1, t, t + 1)
    assert found == [{(purchase, BOB, None)}, set(), set()]


def test_pages_stay_at_the_time_of_the_first(audit: Audit, world: World) -> None:
    asset = world.asset("a")
    version, terms = world.publish(asset), world.offer(asset)
    bought = [world.buy(version, terms) for _ in range(6)]
    for purchase in bought:
        world.deliver(version, terms, purchase)
    world.feed(audit.database)
    first = audit.holders(HolderQuery(asset=asset, limit=2))
    world.tick()
    for purchase in bought:
        world.give(asset, purchase, BOB, CAROL)
    world.feed(audit.database)
    rest = audit.holders(HolderQuery(asset=asset, limit=10, cursor=first.next))
    assert [item.licence for item in (*first.items, *rest.items)] == bought
    assert {item.holder for item in rest.items} == {BOB}
    assert {item.holder for item in audit.holders(HolderQuery(asset=asset)).items} == {CAROL}


def test_only_what_an_account_held(full: Audit, history: World) -> None:
    for asset in history.ledger().assets:
        everything = walk(full, HolderQuery(asset=asset), 50)
        found = walk(full, HolderQuery(asset=asset, holder=BOB), 50)
        assert found == [item for item in everything if item.holder == BOB]


def test_around_a_release_and_a_flag(audit: Audit, world: World) -> None:
    asset = world.asset("a")
    before = world.tick() - 1
    version, terms = world.publish(asset), world.offer(asset, window=500)
    first = world.time
    purchase = world.buy(version, terms)
    world.deliver(version, terms, purchase)
    flagged = world.tick()
    world.log("VersionFlagged", asset, version.id, BOB, purchase, 1)
    second = world.tick()
    newer = world.publish(asset)
    world.feed(audit.database)
    found = [audit.version_at(asset, time).version for time in (before, first, flagged - 1, flagged, second)]
    assert found[0] is None
    assert [item and (item.version, item.flagged_at) for item in found[1:]] == [
        (version.id, None),
        (version.id, None),
        (version.id, flagged),
        (newer.id, None),
    ]
    assert audit.version_at(asset).version == found[-1]


def test_the_version_on_sale_at_a_time(audit: Audit, world: World) -> None:
    asset = world.asset("a")
    world.tick()
    first, terms = world.publish(asset), world.offer(asset)
    second = world.publish(asset)
    world.buy(second, terms)
    expected = [(world.time, second, Stage.RELEASED)]
    for version, stage, sold in (
        (second, Stage.DRAFT, first),
        (second, Stage.VALIDATED, first),
        (second, Stage.DEPRECATED, second),
        (first, Stage.RETIRED, second),
        (second, Stage.RETIRED, None),
    ):
        world.tick()
        world.move(version, stage)
        expected.append((world.time, sold, Stage.DEPRECATED if sold is second else Stage.RELEASED))
    world.feed(audit.database)
    for time, sold, stage in expected:
        for moment in (time, time + 11):
            found = audit.version_at(asset, moment).version
            assert (found and (found.version, found.stage)) == (sold and (sold.id, stage))
    assert audit.version(second.id).stage is Stage.RETIRED


def test_the_stages_of_a_version(audit: Audit, world: World) -> None:
    asset = world.asset("a")
    before = world.tick() - 1
    version = world.publish(asset)
    born, block = world.time, world.block
    moved = world.tick()
    world.move(version, Stage.DEPRECATED, "größer", BOB)
    last = world.tick()
    world.move(version, Stage.RETIRED, "x" * 256)
    world.feed(audit.database)
    found = audit.stages(version.id)
    assert [(item.stage, item.since, item.actor, item.reason) for item in found.stages] == [
        (Stage.RELEASED, born, ALICE, None),
        (Stage.DEPRECATED, moved, BOB, "größer"),
        (Stage.RETIRED, last, ALICE, "x" * 256),
    ]
    assert [(item.block, item.tx) for item in found.stages] == [
        (block + place, event.tx)
        for place, event in enumerate(event for event in world.events if event.id == version.id)
    ]
    for moment, count in ((before, 0), (born, 1), (moved - 1, 1), (moved, 2), (last, 3)):
        assert audit.stages(version.id, moment).stages == found.stages[:count]
    with pytest.raises(NotFoundError):
        audit.stages(VersionId(b"\x01" * 32))


def test_stages_are_those_of_the_domain(full: Audit, history: World) -> None:
    moves = 0
    for asset in history.ledger().assets.values():
        for version in asset.versions.values():
            found = full.stages(version.id).stages
            assert [(i.stage, i.since, i.actor, i.reason, i.tx) for i in found[1:]] == [
                (m.stage, m.at, m.actor, m.reason, m.tx) for m in version.moves
            ]
            assert full.version(version.id).stage is version.stage is found[-1].stage
            moves += len(version.moves)
    assert moves


def test_what_is_not_there(full: Audit, history: World) -> None:
    asset = next(iter(history.ledger().assets))
    with pytest.raises(NotFoundError):
        full.holders(HolderQuery(asset=b"\x01" * 32))  # type: ignore[arg-type]
    with pytest.raises(NotFoundError):
        full.holders(HolderQuery(asset=asset, version=b"\x01" * 32))  # type: ignore[arg-type]
    with pytest.raises(NotFoundError):
        full.version_at(b"\x01" * 32)  # type: ignore[arg-type]
    with pytest.raises(InputError):
        full.holders(HolderQuery(asset=asset, at=-1))
