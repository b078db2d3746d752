"""Folding the events of the contract Channels; docs/metering.md says what it lets happen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from steelyard.domain.metering import ChannelId, ChannelState, MeteredTerms, unit_word
from steelyard.domain.types import NATIVE, Address, NodeId, VersionId, account_word
from steelyard.errors import TrailError
from tests.unit.domain.trail import ALICE, ASSET, BOB, CAROL, NODE, VERSION, Chain, market

TERMS = MeteredTerms(
    payee=ALICE,
    currency=NATIVE,
    price=10,
    unit=unit_word("row"),
    version=VersionId(VERSION.id),
    node=NODE,
    window=600,
    in_flight=8,
    expiry=10_000,
    text=b"\x09" * 32,
    salt=1,
)
OFFER = TERMS.id(ASSET)
OTHER = replace(TERMS, price=20)
CHANNEL = ChannelId(b"\x33" * 32)


class Trail(Chain):
    """Folds after each event; one that is refused did not happen."""

    def log(self, name: str, id_: bytes, actor: Address = ALICE, **fields: Any) -> None:
        super().log(name, id_, actor, **fields)
        try:
            self.ledger()
        except TrailError:
            self.events.pop()
            raise

    def offer(self, terms: MeteredTerms = TERMS) -> None:
        self.log("MeteredOffered", terms.id(ASSET), terms=terms.abi())

    def open(self, offer: bytes = OFFER, channel: bytes = CHANNEL) -> None:
        self.log("ChannelOpened", channel, BOB, offer=offer, signer=CAROL, nonce=1, deposit=100)

    def top_up(self, amount: int, deposit: int) -> None:
        self.log("ChannelToppedUp", CHANNEL, BOB, amount=amount, deposit=deposit)

    def claim(self, *uses: tuple[int, int], offer: bytes = OFFER, channel: bytes = CHANNEL) -> None:
        entries = tuple(
            (channel, amount, units, number, bytes(32)) for number, (amount, units) in enumerate(uses, 1)
        )
        self.log("UsageClaimed", offer, total=sum(amount for amount, _ in uses), uses=entries)

    def closing(self) -> None:
        self.log("ChannelClosing", CHANNEL, BOB, closesAt=900)

    def close(self, refunded: int, payer: Address = BOB) -> None:
        self.log("ChannelClosed", CHANNEL, BOB, payer=payer, refunded=refunded)


@pytest.fixture
def trail() -> Trail:
    made = Trail()
    made.events = market().events
    made.offer()
    made.open()
    return made


def test_a_channel_from_its_offer_to_its_end(trail: Trail) -> None:
    trail.top_up(50, 150)
    trail.claim((30, 3), (10, 4))
    trail.closing()
    trail.claim((110, 99))
    record = trail.asset().channels[CHANNEL]
    assert (record.state, record.closes_at, record.deposit, record.claimed) == (
        ChannelState.CLOSING,
        900,
        150,
        150,
    )
    assert (record.payer, record.signer, record.units, record.sequence) == (BOB, CAROL, 99, 1)
    trail.close(0)
    assert trail.asset().channels[CHANNEL].state is ChannelState.CLOSED
    trail.log("MeteredOfferClosed", OFFER)
    assert trail.asset().metered[OFFER].closed


def refuses(why: str) -> pytest.RaisesExc[TrailError]:
    return pytest.raises(TrailError, match=why)


def test_an_offer_is_what_its_id_says_and_made_once(trail: Trail) -> None:
    with refuses("id says"):
        trail.log("MeteredOffered", b"\x44" * 32, terms=OTHER.abi())
    with refuses("exists already"):
        trail.offer()


@pytest.mark.parametrize(
    "terms",
    [replace(TERMS, version=VersionId(b"\x55" * 32)), replace(TERMS, node=NodeId(b"\x80" + bytes(31)))],
)
def test_an_offer_is_of_a_version_and_its_node(trail: Trail, terms: MeteredTerms) -> None:
    with refuses("no such version"):
        trail.offer(terms)


def test_an_offer_closes_once(trail: Trail) -> None:
    with refuses("no such metered offer"):
        trail.log("MeteredOfferClosed", OTHER.id(ASSET))
    trail.log("MeteredOfferClosed", OFFER)
    with refuses("closed already"):
        trail.log("MeteredOfferClosed", OFFER)


def test_a_channel_opens_once_and_on_an_open_offer(trail: Trail) -> None:
    with refuses("exists already"):
        trail.open()
    with refuses("no such metered offer"):
        trail.open(OTHER.id(ASSET), b"\x34" * 32)
    trail.open(channel=b"\x34" * 32)
    trail.log("MeteredOfferClosed", OFFER)
    with refuses("not open"):
        trail.open(channel=b"\x35" * 32)


def test_an_offer_ends_with_its_owner(trail: Trail) -> None:
    trail.log("AssetTransferred", account_word(BOB), from_=ALICE, epoch=1)
    with refuses("not open"):
        trail.open(channel=b"\x34" * 32)


def test_a_deposit_is_the_sum(trail: Trail) -> None:
    with refuses("another"):
        trail.top_up(50, 149)


def test_a_claim_is_of_its_offer_and_of_what_the_units_cost(trail: Trail) -> None:
    trail.offer(OTHER)
    for offer, channel, use in (
        (OTHER.id(ASSET), CHANNEL, (20, 1)),
        (OFFER, CHANNEL, (9, 1)),
        (OFFER, CHANNEL, (110, 11)),
        (OFFER, b"\x34" * 32, (10, 1)),
        (b"\x44" * 32, CHANNEL, (10, 1)),
    ):
        with refuses("cannot have happened"):
            trail.claim(use, offer=offer, channel=channel)
    trail.claim((100, 11))


def test_a_rest_goes_to_who_paid(trail: Trail) -> None:
    trail.claim((30, 3))
    with refuses("another payer"):
        trail.close(70, CAROL)
    with refuses("another rest"):
        trail.close(71)
    trail.close(70)


def test_nothing_happens_to_a_closed_channel(trail: Trail) -> None:
    trail.closing()
    for later in (trail.closing, lambda: trail.top_up(50, 150)):
        with refuses("in another state"):
            later()
    trail.close(100)
    for later in (
        trail.closing,
        lambda: trail.top_up(50, 150),
        lambda: trail.claim((10, 1)),
        lambda: trail.close(100),
    ):
        with refuses("in another state"):
            later()
