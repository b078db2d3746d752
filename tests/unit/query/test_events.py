from __future__ import annotations

import dataclasses
import json
import random
from typing import Any

import pytest

from steelyard.domain.abi import encode
from steelyard.domain.events import USE, TrailEvent
from steelyard.domain.metering import METERED_TERMS
from steelyard.domain.plain import plain
from steelyard.domain.types import NATIVE
from steelyard.errors import AmountError, InputError, NotFoundError
from steelyard.indexer.schema import place
from steelyard.query.audit import Audit
from steelyard.query.fields import KIND_OF, KINDS, Fields
from steelyard.query.model import EventQuery, Party
from tests.unit.query.world import ALICE, BOB, TOKEN, World

Seen = tuple[str, bytes, bytes, int, int]


def key(event: Any) -> Seen:
    return (event.name, event.subject, event.id, event.block, event.log)


def walk(audit: Audit, query: EventQuery, limit: int = 7) -> list[Any]:
    found: list[Any] = []
    query = dataclasses.replace(query, limit=limit)
    while True:
        page = audit.events(query)
        found += page.items
        if page.next is None:
            return found
        assert len(page.items) == limit
        query = dataclasses.replace(query, cursor=page.next)


def newest_first(events: list[TrailEvent]) -> list[Seen]:
    return [key(event) for event in reversed(events)]


def test_all_entries_page_by_page(full: Audit, history: World) -> None:
    assert [key(event) for event in walk(full, EventQuery(), 50)] == newest_first(history.events)
    oldest = walk(full, EventQuery(newest_first=False), 50)
    assert [key(event) for event in oldest] == [key(event) for event in history.events]


def test_an_asset_has_the_entries_of_its_nodes(full: Audit, history: World) -> None:
    contracts = set()
    for asset in {version.asset for version in history.versions.values()}:
        nodes = {version.node for version in history.versions.values() if version.asset == asset}
        wanted = [event for event in history.events if event.subject in nodes | {asset}]
        found = walk(full, EventQuery(asset=asset))
        assert [key(event) for event in found] == newest_first(wanted)
        contracts |= {event.contract for event in found}
    assert contracts == {"Assets", "Market", "Treasury", "Channels"}


@pytest.mark.parametrize("kinds", [("Purchased",), ("Delivered", "Settled", "Claimed")])
def test_kinds(full: Audit, history: World, kinds: tuple[str, ...]) -> None:
    wanted = [event for event in history.events if event.name in kinds]
    assert wanted
    assert [key(event) for event in walk(full, EventQuery(kinds=kinds))] == newest_first(wanted)


def test_a_transaction(full: Audit, history: World) -> None:
    tx = history.events[40].tx
    wanted = [event for event in history.events if event.tx == tx]
    assert [key(event) for event in walk(full, EventQuery(tx=tx))] == newest_first(wanted)


def test_times_and_blocks_are_inclusive(full: Audit, history: World) -> None:
    since, until = history.events[20].time, history.events[90].time
    wanted = [event for event in history.events if since <= event.time <= until]
    assert [key(event) for event in walk(full, EventQuery(since=since, until=until))] == newest_first(wanted)
    assert walk(full, EventQuery(since=since + 1, until=since)) == []
    first, last = history.events[20].block, history.events[90].block
    wanted = [event for event in history.events if first <= event.block <= last]
    found = walk(full, EventQuery(first_block=first, last_block=last))
    assert [key(event) for event in found] == newest_first(wanted)


def test_accounts_by_every_role_and_each(full: Audit, history: World) -> None:
    with full.database.read() as reader:
        parties = reader.rows("SELECT account, role, pos FROM parties")
    by_pos = {place(event.block, event.log): event for event in history.events}
    for account in (ALICE, BOB):
        wanted = [by_pos[pos] for pos in sorted({pos for who, _, pos in parties if who == account})]
        found = walk(full, EventQuery(account=account))
        assert [key(event) for event in found] == newest_first(wanted)
        for number, party in enumerate(Party):
            of = sorted(pos for who, role, pos in parties if (who, role) == (account, number))
            found = walk(full, EventQuery(account=account, party=party))
            assert [event.pos for event in found] == list(reversed(of))


def test_money(full: Audit, history: World) -> None:
    found = walk(full, EventQuery(currency=TOKEN, at_least=100))
    assert found
    assert all(
        event.currency == TOKEN and event.amount is not None and event.amount >= 100 for event in found
    )
    everything = [event for event in walk(full, EventQuery()) if event.currency == TOKEN]
    assert [key(e) for e in found] == [key(e) for e in everything if e.amount >= 100]
    exact = walk(full, EventQuery(at_least=99_999, at_most=99_999))
    assert {event.amount for event in exact} == {99_999}


def test_filters_narrow_together(full: Audit, history: World) -> None:
    dice = random.Random(3)
    everything = {event.pos: event for event in walk(full, EventQuery(), 100)}
    with full.database.read() as reader:
        parties = set(reader.rows("SELECT account, role, pos FROM parties"))
    for _ in range(60):
        sample = dice.choice(list(everything.values()))
        options: dict[str, Any] = {
            "version": sample.version,
            "account": dice.choice((ALICE, BOB)),
            "kinds": (sample.name, "Purchased"),
            "since": sample.time,
            "tx": sample.tx,
            "asset": sample.asset,
            "currency": sample.currency,
            "at_most": sample.amount,
        }
        chosen = {name: options[name] for name in dice.sample(list(options), dice.randint(1, 4))}
        query = EventQuery(**chosen)
        subjects = {query.asset} | {v.node for v in history.versions.values() if v.asset == query.asset}

        def fits(event: Any, query: EventQuery = query, subjects: set[Any] = subjects) -> bool:
            return (
                (query.version is None or event.version == query.version)
                and (
                    query.account is None
                    or any((query.account, role, event.pos) in parties for role in range(9))
                )
                and (not query.kinds or event.name in query.kinds)
                and (query.since is None or event.time >= query.since)
                and (query.tx is None or event.tx == query.tx)
                and (query.asset is None or event.subject in subjects)
                and (query.currency is None or event.currency == query.currency)
                and (query.at_most is None or (event.amount is not None and event.amount <= query.at_most))
            )

        wanted = [pos for pos in sorted(everything, reverse=True) if fits(everything[pos])]
        assert [event.pos for event in walk(full, query, 3)] == wanted, chosen


def test_fields_are_those_of_the_contract(full: Audit, history: World) -> None:
    found = {event.pos: event for event in walk(full, EventQuery(), 100)}
    for event in history.events:
        fields = found[place(event.block, event.log)].fields
        assert set(fields) == set(event.fields)
    offered = next(event for event in found.values() if event.name == "Offered")
    terms = history.terms[offered.id]
    said = offered.fields["terms"]
    assert isinstance(said, dict)
    assert (said["seller"], said["price"], said["deliverWithin"]) == (
        terms.seller,
        terms.price,
        terms.deliver_within,
    )
    assert (said["kind"], said["scope"]) == (terms.kind.name.lower(), terms.scope.name.lower())
    published = next(event for event in found.values() if event.name == "VersionPublished")
    said = published.fields["commitments"]
    assert isinstance(said, dict)
    assert said["key"] == {"x": 3, "y": 4} and said["node"] == history.versions[published.id].node
    requested = next(event for event in found.values() if event.name == "KeyRequested")
    assert isinstance(requested.fields["licence"], bytes)


def test_one_entry_by_its_place(full: Audit, history: World) -> None:
    event = history.events[33]
    assert key(full.event(event.block, event.log)) == key(event)
    with pytest.raises(NotFoundError):
        full.event(event.block, 999)


def test_new_blocks_do_not_shift_a_page(audit: Audit, world: World) -> None:
    for number in range(12):
        world.asset(f"a{number}")
        world.tick()
    world.feed(audit.database)
    before = [key(event) for event in walk(audit, EventQuery())]
    first = audit.events(EventQuery(limit=5))
    world.asset("later")
    world.tick()
    world.feed(audit.database)
    second = audit.events(EventQuery(limit=50, cursor=first.next))
    assert [key(event) for event in (*first.items, *second.items)] == before
    assert second.next is None


def test_answers_say_how_far_they_are_complete(audit: Audit, world: World) -> None:
    with pytest.raises(NotFoundError, match="steelyard index"):
        audit.events()
    world.asset("a")
    world.feed(audit.database)
    proved = audit.events().at
    assert (proved.block, proved.time, proved.proved) == (world.block, world.time, world.block)
    world.tick(100)
    world.feed(audit.database, proved=False)
    assert audit.at().block == world.block and audit.at().proved == proved.block


@pytest.mark.parametrize(
    "question",
    [
        {"limit": 0},
        {"limit": 501},
        {"limit": True},
        {"asset": b"\x01"},
        {"account": b"\x01" * 32},
        {"party": Party.BUYER},
        {"kinds": ("Sold",)},
        {"since": -1},
        {"until": 1 << 41},
        {"first_block": 1 << 34},
        {"tx": b""},
        {"currency": b"\x01"},
        {"cursor": "x"},
    ],
)
def test_what_cannot_be_asked(full: Audit, question: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        full.events(EventQuery(**question))


@pytest.mark.parametrize("amount", [-1, 1 << 128])
def test_amounts_are_those_of_the_contracts(full: Audit, amount: int) -> None:
    with pytest.raises(AmountError):
        full.events(EventQuery(at_least=amount))


def test_the_native_coin_is_a_currency(full: Audit) -> None:
    assert {event.currency for event in walk(full, EventQuery(currency=NATIVE))} == {NATIVE}


def sample(type_: str) -> Any:
    """Return a value of an ABI type."""
    if type_.endswith("[]"):
        return (sample(type_[:-2]),) * 2
    if type_.startswith("("):
        inner, depth, parts = type_[1:-1], 0, [""]
        for letter in inner:
            depth += (letter == "(") - (letter == ")")
            if letter == "," and not depth:
                parts.append("")
            else:
                parts[-1] += letter
        return tuple(sample(part) for part in parts)
    if type_ == "bool":
        return True
    if type_ == "string":
        return "why" * 32  # whole words, so that no padding can be left out
    if type_.startswith("uint"):
        return 1
    return bytes(range(20 if type_ == "address" else int(type_.removeprefix("bytes"))))


@pytest.mark.parametrize("name", sorted(KIND_OF))
def test_the_fields_of_every_kind_have_names_and_become_json(name: str) -> None:
    kind = KINDS[KIND_OF[name]]
    fields = Fields(KIND_OF[name], encode(kind.types, tuple(sample(type_) for type_ in kind.types)))
    shown = plain(fields)
    assert isinstance(shown, dict) and tuple(shown) == kind.names
    for type_, value in zip(kind.types, shown.values(), strict=True):
        if type_.endswith("[]"):
            assert len(value) == 2 and all(isinstance(item, dict) for item in value)
        elif type_.startswith("("):
            assert isinstance(value, dict)
    assert json.loads(json.dumps(shown)) == shown


def test_what_a_claim_and_a_metered_offer_say() -> None:
    claim = encode((f"{USE}[]",), (((b"c" * 32, 1 << 60, 2, 3, b"r" * 32),),))
    (use,) = plain(Fields(KIND_OF["UsageClaimed"], claim))["uses"]  # type: ignore[index]
    assert use == {
        "channel": "0x" + "63" * 32,
        "amount": str(1 << 60),
        "units": 2,
        "sequence": 3,
        "receiptsRoot": "0x" + "72" * 32,
    }
    values = (b"p" * 20, b"t" * 20, 5, b"u" * 32, b"v" * 32, b"n" * 32, 86_400, 8, 9, b"x" * 32, 7)
    terms = Fields(KIND_OF["MeteredOffered"], encode((METERED_TERMS,), (values,)))["terms"]
    assert isinstance(terms, dict) and tuple(terms.values()) == values
    assert terms["price"] == 5 and terms["window"] == 86_400 and terms["inFlight"] == 8
