"""Metered offers and channels: what the entries fold to, whichever way they are asked for."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from steelyard.domain.metering import ChannelState
from steelyard.domain.records import AssetState, ChannelRecord, Ledger, MeteredOfferState
from steelyard.domain.types import account_word
from steelyard.errors import InputError, NotFoundError
from steelyard.indexer.database import Database
from steelyard.indexer.known import Known
from steelyard.indexer.undo import undo
from steelyard.query.audit import Audit
from steelyard.query.model import Channel, ChannelQuery, MeteredOffer, MeteredOfferQuery
from tests.support.history import Chain, Market
from tests.unit.indexer.following import MINE, follower
from tests.unit.indexer.test_fold import ledger
from tests.unit.query.world import ALICE, BOB, GATE, SIGNER, World


def every(audit: Audit, query: Any, *, limit: int = 500) -> list[Any]:
    """Return a list, page by page."""
    found: list[Any] = []
    while True:
        page = audit.ask(replace(query, limit=limit))
        assert len(page.items) <= limit
        found += page.items
        if page.next is None:
            return found
        query = replace(query, cursor=page.next)


def offer_of(asset: AssetState, record: MeteredOfferState, now: int) -> MeteredOffer:
    terms = record.terms
    return MeteredOffer(
        offer=record.id,
        asset=asset.id,
        maker=record.maker,
        payee=terms.payee,
        currency=terms.currency,
        price=terms.price,
        unit=terms.unit_name,
        version=terms.version,
        node=terms.node,
        window=terms.window,
        in_flight=terms.in_flight,
        expiry=terms.expiry,
        text=terms.text,
        salt=terms.salt,
        opened_at=record.made_at,
        open=not record.closed and record.epoch == asset.epoch and now < terms.expiry,
    )


def agrees(found: Channel, asset: AssetState, record: ChannelRecord) -> None:
    terms = asset.metered[record.offer].terms
    assert (found.channel, found.asset, found.offer) == (record.id, asset.id, record.offer)
    assert (found.version, found.payee, found.currency) == (terms.version, terms.payee, terms.currency)
    assert (found.price, found.unit, found.expiry) == (terms.price, terms.unit_name, terms.expiry)
    assert (found.payer, found.signer, found.nonce) == (record.payer, record.signer, record.nonce)
    assert (found.deposit, found.claimed, found.units) == (record.deposit, record.claimed, record.units)
    assert (found.sequence, found.receipts_root) == (record.sequence, record.receipts_root)
    assert (found.state, found.opened_at, found.closes_at or 0) == (
        record.state,
        record.opened_at,
        record.closes_at,
    )
    assert (found.claimed_at is None) == (record.claimed == 0)
    assert (found.closed_at is None) == (record.state != ChannelState.CLOSED)


def is_what_the_domain_has(audit: Audit, known: Ledger) -> None:
    """Check that both lists are the domain's, newest first, and each item by its id too."""
    now = audit.at().time
    offers = every(audit, MeteredOfferQuery(), limit=7)
    assert {item.offer: item for item in offers} == {
        record.id: offer_of(asset, record, now)
        for asset in known.assets.values()
        for record in asset.metered.values()
    }
    channels = every(audit, ChannelQuery(), limit=7)
    records = {key: (a, record) for a in known.assets.values() for key, record in a.channels.items()}
    assert [item.channel for item in channels] == list(dict.fromkeys(item.channel for item in channels))
    assert {item.channel for item in channels} == set(records)
    for item in channels:
        agrees(item, *records[item.channel])
    for items in (offers, channels):
        times = [item.opened_at for item in items]
        assert times == sorted(times, reverse=True)
    assert all(audit.metered_offer(item.offer) == item for item in offers)
    assert all(audit.channel(item.channel) == item for item in channels)


@pytest.fixture(scope="module")
def chain() -> Chain:
    """A history in which metered use happens as often as all else."""
    made = Chain(Market(23))
    for _ in range(40):
        made.mine(count=10)
    return made


@pytest.fixture
def random_market(chain: Chain, database: Database) -> Iterator[Audit]:
    follower(database, chain).step()
    yield Audit(database)


def test_undone_to_any_depth_the_answers_are_what_they_were_there(chain: Chain, random_market: Audit) -> None:
    dice, block, states = random.Random(3), len(chain.blocks) - 1, set()
    while block > 2:
        known = ledger(chain, block)
        is_what_the_domain_has(random_market, known)
        states |= {record.state for asset in known.assets.values() for record in asset.channels.values()}
        block = max(2, block - dice.randrange(1, 12))
        with random_market.database.write() as writer:
            undo(writer, Known(MINE), block)
    assert states == {ChannelState.OPEN, ChannelState.CLOSING, ChannelState.CLOSED}


def test_filters_leave_what_a_look_at_each_row_leaves(random_market: Audit) -> None:
    dice = random.Random(5)
    offers, channels = every(random_market, MeteredOfferQuery()), every(random_market, ChannelQuery())
    assert len(offers) > 8 and len(channels) > 20
    kept = 0
    for _ in range(60):
        model = dice.choice(channels)
        names = dice.sample(("asset", "version", "offer", "payer", "signer", "payee"), dice.randrange(4))
        states = tuple(dice.sample(list(ChannelState), dice.choice((0, 1, 2))))
        query = ChannelQuery(states=states, **{name: getattr(model, name) for name in names})
        wanted = [
            item
            for item in channels
            if all(getattr(item, name) == getattr(model, name) for name in names)
            and (not states or item.state in states)
        ]
        assert every(random_market, query, limit=dice.choice((1, 2, 500))) == wanted
        kept += len(wanted)
        sold = dice.choice(offers)
        names = dice.sample(("asset", "version", "payee"), dice.randrange(4))
        opened = dice.choice((None, True, False))
        narrowed = MeteredOfferQuery(open=opened, **{name: getattr(sold, name) for name in names})
        assert every(random_market, narrowed, limit=dice.choice((1, 2, 500))) == [
            item
            for item in offers
            if all(getattr(item, name) == getattr(sold, name) for name in names)
            and opened in (None, item.open)
        ]
    assert kept > 100


def test_new_channels_do_not_shift_a_page(audit: Audit, world: World) -> None:
    asset = world.asset("digits")
    terms = world.meter(world.publish(asset))
    first = [world.open_channel(asset, terms) for _ in range(4)]
    world.tick()
    world.feed(audit.database)
    page = audit.channels(ChannelQuery(limit=2))
    world.open_channel(asset, terms)
    world.tick()
    world.feed(audit.database)
    rest = audit.channels(ChannelQuery(limit=9, cursor=page.next))
    assert [item.channel for item in page.items + rest.items] == first[::-1] and rest.next is None
    with pytest.raises(InputError):
        audit.channels(ChannelQuery(payer=BOB, cursor=page.next))


def test_an_offer_is_open_until_its_expiry_and_the_assets_transfer(audit: Audit, world: World) -> None:
    asset = world.asset("digits")
    version = world.publish(asset)
    short = world.meter(version, expiry=world.time + 100).id(asset)
    long = world.meter(version).id(asset)
    world.feed(audit.database)

    def opened() -> list[bytes]:
        return [item.offer for item in every(audit, MeteredOfferQuery(open=True))]

    assert opened() == [long, short]
    world.tick(99)
    world.feed(audit.database)
    assert opened() == [long, short]
    world.tick(1)
    world.feed(audit.database)
    assert opened() == [long] and not audit.metered_offer(short).open
    world.tick()
    world.log("AssetTransferred", asset, account_word(BOB), ALICE, ALICE, 1)
    world.feed(audit.database)
    assert opened() == []
    assert [item.offer for item in every(audit, MeteredOfferQuery(open=False))] == [long, short]


def test_a_channel_is_found_by_its_keys(full: Audit, history: World) -> None:
    opened = [event.id for event in history.events if event.name == "ChannelOpened"][::-1]
    assert [item.channel for item in every(full, ChannelQuery(payee=GATE))] == opened
    assert [item.channel for item in every(full, ChannelQuery(signer=SIGNER))] == opened
    mine = every(full, ChannelQuery(payer=BOB, states=(ChannelState.OPEN,)))
    assert len(mine) == 3 and all(item.units == 2 and any(item.receipts_root) for item in mine)


@pytest.mark.parametrize(
    "query",
    [
        ChannelQuery(limit=0),
        ChannelQuery(limit=501),
        ChannelQuery(cursor="AAAA"),
        ChannelQuery(payer=b"\x01"),  # type: ignore[arg-type]
        ChannelQuery(signer=b"\x01"),  # type: ignore[arg-type]
        ChannelQuery(payee=b"\x01"),  # type: ignore[arg-type]
        ChannelQuery(asset=b"\x01"),  # type: ignore[arg-type]
        ChannelQuery(version=b"\x01"),  # type: ignore[arg-type]
        ChannelQuery(offer=b"\x01"),  # type: ignore[arg-type]
        MeteredOfferQuery(limit=0),
        MeteredOfferQuery(cursor="AAAA"),
        MeteredOfferQuery(payee=b"\x01"),  # type: ignore[arg-type]
        MeteredOfferQuery(asset=b"\x01"),  # type: ignore[arg-type]
        MeteredOfferQuery(version=b"\x01"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_asked(full: Audit, query: Any) -> None:
    with pytest.raises(InputError):
        full.ask(query)


def test_unknown_ids(full: Audit) -> None:
    for ask in (full.metered_offer, full.channel):
        with pytest.raises(NotFoundError):
            ask(b"\x01" * 32)  # type: ignore[arg-type]
        with pytest.raises(InputError):
            ask(b"\x01")  # type: ignore[arg-type]
