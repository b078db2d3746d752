from __future__ import annotations

from dataclasses import replace

import pytest

from steelyard.domain.abi import Value
from steelyard.domain.events import TrailEvent
from steelyard.domain.state import fold
from steelyard.domain.types import (
    NATIVE,
    AssetId,
    KeyRequest,
    NodeId,
    OfferKind,
    RequestState,
    Role,
    Scope,
    Stage,
    State,
    Terms,
    account_word,
    name_word,
)
from steelyard.errors import TrailError
from tests.unit.domain.trail import (
    ALICE,
    ASSET,
    BOB,
    CAROL,
    KEY,
    NODE,
    PERPETUAL,
    PURCHASE,
    SECOND,
    VERSION,
    Chain,
    D,
    market,
)


@pytest.fixture
def chain() -> Chain:
    return market()


def test_an_asset_with_a_version_and_an_offer(chain: Chain) -> None:
    asset = chain.asset()
    assert (asset.label, asset.creator, asset.owner, asset.royalty, asset.registered_at) == (
        "digits",
        ALICE,
        ALICE,
        250,
        10,
    )
    version = asset.versions[VERSION.id]
    assert (version.commitments, version.number, version.published_at, version.flagged) == (
        VERSION,
        1,
        20,
        False,
    )
    offer = asset.offers[PERPETUAL.id(ASSET)]
    assert offer.terms == PERPETUAL and asset.is_open(offer) and offer.sold == 0


def test_a_purchase_is_paid_delivered_and_settled(chain: Chain) -> None:
    chain.buy()
    paid = chain.asset().purchases[PURCHASE]
    assert (paid.state, paid.paid_at, paid.block, paid.due, paid.holder) == (State.PAID, 40, 4, 5000, BOB)
    assert chain.asset().offers[PERPETUAL.id(ASSET)].sold == 1
    chain.deliver()
    delivered = chain.asset().purchases[PURCHASE]
    assert (delivered.state, delivered.delivered, delivered.due) == (State.DELIVERED, D, 50 + 600)
    assert (delivered.delivered_at, delivered.delivered_tx) == (50, b"\x05" * 32)
    chain.log("Settled", PURCHASE, CAROL)
    assert chain.asset().purchases[PURCHASE].state is State.SETTLED


def test_a_delivery_without_a_window_settles(chain: Chain) -> None:
    chain.buy()
    chain.deliver(window=0)
    assert chain.asset().purchases[PURCHASE].state is State.SETTLED


@pytest.mark.parametrize("delivered", [False, True])
def test_a_refund_gives_the_place_back(chain: Chain, delivered: bool) -> None:
    chain.buy()
    if delivered:
        chain.deliver()
    chain.log("Refunded", PURCHASE, CAROL, payer=BOB, price=100, bond=7)
    asset = chain.asset()
    assert asset.purchases[PURCHASE].state is State.REFUNDED
    assert asset.offers[PERPETUAL.id(ASSET)].sold == 0


def test_the_order_of_a_purchase_is_whole(chain: Chain) -> None:
    chain.buy()
    asset = chain.asset()
    order = asset.order(asset.purchases[PURCHASE])
    assert (order.version, order.terms, order.buyer, order.salt, order.key) == (
        VERSION,
        PERPETUAL,
        BOB,
        b"\x04" * 32,
        KEY,
    )


def test_a_transfer_ends_roles_and_offers(chain: Chain) -> None:
    chain.log("RoleSet", account_word(CAROL), ALICE, role=1, granted=True)
    assert chain.asset().may(CAROL, Role.SELLER) and not chain.asset().may(CAROL, Role.MAINTAINER)
    chain.log("AssetTransferred", account_word(BOB), ALICE, from_=ALICE, epoch=1)
    asset = chain.asset()
    assert asset.owner == BOB and asset.creator == ALICE
    assert (
        not asset.may(CAROL, Role.SELLER)
        and asset.may(BOB, Role.SELLER)
        and not asset.may(ALICE, Role.SELLER)
    )
    assert not asset.is_open(asset.offers[PERPETUAL.id(ASSET)])


def test_a_role_is_taken_back(chain: Chain) -> None:
    chain.log("RoleSet", account_word(CAROL), ALICE, role=0, granted=True)
    chain.log("RoleSet", account_word(CAROL), ALICE, role=0, granted=False)
    assert not chain.asset().may(CAROL, Role.MAINTAINER)


def _move(chain: Chain, start: int, to: int, reason: str = "why") -> None:
    chain.log("StageMoved", VERSION.id, CAROL, from_=start, to=to, reason=reason)


def test_a_stage_moves_and_the_moves_are_kept(chain: Chain) -> None:
    assert chain.asset().versions[VERSION.id].stage is Stage.RELEASED
    _move(chain, Stage.RELEASED, Stage.DEPRECATED, "found better")
    version = chain.asset().versions[VERSION.id]
    assert (version.stage, version.on_sale, version.published_at) == (Stage.DEPRECATED, True, 20)
    _move(chain, Stage.DEPRECATED, Stage.RETIRED)
    version = chain.asset().versions[VERSION.id]
    assert (version.stage, version.on_sale) == (Stage.RETIRED, False)
    assert [(move.stage, move.at, move.actor, move.reason, move.tx) for move in version.moves] == [
        (Stage.DEPRECATED, 40, CAROL, "found better", b"\x04" * 32),
        (Stage.RETIRED, 50, CAROL, "why", b"\x05" * 32),
    ]


def test_a_purchase_goes_on_in_every_stage(chain: Chain) -> None:
    chain.buy()
    _move(chain, Stage.RELEASED, Stage.RETIRED)
    chain.deliver()
    chain.log("Settled", PURCHASE, CAROL)
    asset = chain.asset()
    assert asset.purchases[PURCHASE].state is State.SETTLED
    assert asset.covers(asset.purchases[PURCHASE], asset.versions[VERSION.id], at=999)


@pytest.mark.parametrize(
    ("start", "to"),
    [
        (Stage.DRAFT, Stage.RETIRED),
        (Stage.RELEASED, Stage.RELEASED),
        (Stage.RELEASED, Stage.NONE),
        (Stage.RELEASED, 6),
    ],
)
def test_a_move_that_cannot_be_is_refused(chain: Chain, start: int, to: int) -> None:
    _move(chain, start, to)
    with pytest.raises(TrailError, match="cannot have happened"):
        chain.ledger()


def test_nothing_leaves_retired(chain: Chain) -> None:
    _move(chain, Stage.RELEASED, Stage.RETIRED)
    _move(chain, Stage.RETIRED, Stage.RELEASED)
    with pytest.raises(TrailError, match="no way out"):
        chain.ledger()


def test_a_closed_offer_is_not_open(chain: Chain) -> None:
    chain.log("OfferClosed", PERPETUAL.id(ASSET), ALICE)
    asset = chain.asset()
    assert not asset.is_open(asset.offers[PERPETUAL.id(ASSET)])


def test_a_flag_names_its_purchase(chain: Chain) -> None:
    chain.log("VersionFlagged", VERSION.id, BOB, purchase=PURCHASE, index=4)
    assert chain.asset().versions[VERSION.id].flagged_by == PURCHASE


def test_a_licence_is_transferred_and_revoked(chain: Chain) -> None:
    chain.buy()
    chain.deliver(window=0)
    chain.log("LicenceTransferred", PURCHASE, BOB, from_=BOB, to=CAROL)
    licence = chain.asset().purchases[PURCHASE]
    assert (licence.holder, licence.buyer) == (CAROL, BOB)
    chain.log("LicenceRevoked", PURCHASE, ALICE, from_=CAROL)
    assert chain.asset().purchases[PURCHASE].state is State.REVOKED


@pytest.fixture
def rental(chain: Chain) -> Terms:
    terms = replace(PERPETUAL, kind=OfferKind.RENTAL, scope=Scope.UNTIL_END, period=100, renew_until=500)
    chain.log("Offered", terms.id(ASSET), ALICE, terms=terms.abi())
    chain.buy(terms=terms)
    chain.deliver(until=160, window=0)
    return terms


def test_a_rental_is_valid_up_to_its_end(chain: Chain, rental: Terms) -> None:
    asset = chain.asset()
    licence = asset.purchases[PURCHASE]
    assert asset.is_valid(licence, at=160) and not asset.is_valid(licence, at=161)
    chain.log("Renewed", PURCHASE, BOB, price=100, until=260)
    asset = chain.asset()
    assert asset.is_valid(asset.purchases[PURCHASE], at=260)


def test_a_licence_is_not_valid_before_delivery_or_after_a_refund(chain: Chain) -> None:
    chain.buy()
    assert not chain.asset().is_valid(chain.asset().purchases[PURCHASE], at=1)
    chain.log("Refunded", PURCHASE, BOB, payer=BOB, price=100, bond=7)
    assert not chain.asset().is_valid(chain.asset().purchases[PURCHASE], at=1)


@pytest.mark.parametrize(
    ("scope", "until", "first", "second"),
    [
        (Scope.ONE, 0, True, False),
        (Scope.ALL, 0, True, True),
        (Scope.UNTIL_END, 69, True, False),
        (Scope.UNTIL_END, 70, True, True),
    ],
)
def test_which_versions_a_licence_covers(
    chain: Chain, scope: Scope, until: int, first: bool, second: bool
) -> None:
    terms = replace(PERPETUAL, scope=scope, period=10 if scope is Scope.UNTIL_END else 0, salt=2)
    chain.log("Offered", terms.id(ASSET), ALICE, terms=terms.abi())
    chain.buy(terms=terms)
    chain.deliver(until=until, window=0)
    chain.log("VersionPublished", SECOND.id, ALICE, number=2, commitments=SECOND.abi())
    asset = chain.asset()
    licence = asset.purchases[PURCHASE]
    covered = [asset.covers(licence, asset.versions[version.id], at=60) for version in (VERSION, SECOND)]
    assert covered == [first, second]


def test_a_key_request_is_answered(chain: Chain) -> None:
    chain.buy()
    chain.deliver(window=0)
    asked = KeyRequest(licence=PURCHASE, version=VERSION.id, holder=BOB, key=KEY)
    identity = asked.id(chain_id=1, market=ALICE)
    chain.log(
        "KeyRequested",
        identity,
        BOB,
        licence=int.from_bytes(PURCHASE, "big"),
        version=VERSION.id,
        key=KEY.abi(),
        fee=9,
        due=900,
    )
    record = chain.asset().requests[identity]
    assert (record.request, record.state, record.fee, record.due, record.block) == (
        asked,
        RequestState.OPEN,
        9,
        900,
        6,
    )
    chain.log("KeyDelivered", identity, ALICE, delivered=D.abi())
    answered = chain.asset().requests[identity]
    assert (answered.state, answered.delivered, answered.delivered_tx) == (
        RequestState.ANSWERED,
        D,
        b"\x07" * 32,
    )
    with pytest.raises(TrailError):
        chain.log("KeyReturned", identity, BOB)
        chain.asset()


def test_a_nodes_income(chain: Chain) -> None:
    chain.log("Received", account_word(ALICE), ALICE, subject=NODE, currency=NATIVE, amount=70)
    chain.log("Received", account_word(ALICE), ALICE, subject=NODE, currency=NATIVE, amount=30)
    inner = NodeId(b"\x81" * 32)
    chain.log("Claimed", account_word(BOB), BOB, subject=NODE, index=0, currency=NATIVE, amount=60)
    chain.log("Claimed", inner, BOB, subject=NODE, index=1, currency=NATIVE, amount=40)
    chain.log("PositionMoved", account_word(CAROL), BOB, subject=NODE, index=0)
    node = chain.ledger().nodes[NODE]
    assert node.received == {NATIVE: 100}
    assert node.paid == {(0, NATIVE): 60, (1, NATIVE): 40}
    assert node.holders == {0: CAROL} and node.feeds == {inner}


# -- the fold itself -------------------------------------------------------------------------------------------------


def whole(chain: Chain) -> list[TrailEvent]:
    chain.buy()
    chain.deliver()
    chain.log("Settled", PURCHASE, CAROL)
    chain.log("LicenceTransferred", PURCHASE, BOB, from_=BOB, to=CAROL)
    return chain.events


def test_folding_in_two_steps_is_folding_at_once(chain: Chain) -> None:
    events = whole(chain)
    at_once = fold(events, block=len(events))
    for cut in range(len(events) + 1):
        before = fold(events[:cut], block=cut)
        kept = repr(before)
        assert fold(events[cut:], start=before, block=len(events)) == at_once
        assert repr(before) == kept


def test_a_missing_event_is_noticed_where_a_later_one_needs_it(chain: Chain) -> None:
    events = whole(chain)
    for missing in range(len(events) - 1):
        with pytest.raises(TrailError):
            fold([event for place, event in enumerate(events) if place != missing], block=len(events))


def test_a_doubled_or_swapped_event_is_noticed(chain: Chain) -> None:
    events = whole(chain)
    for place in range(len(events)):
        with pytest.raises(TrailError):
            fold([*events[: place + 1], *events[place:]], block=len(events))
        with pytest.raises(TrailError, match="cannot have happened"):
            fold([*events, replace(events[place], block=len(events) + 1)], block=len(events) + 1)
    with pytest.raises(TrailError):
        fold(events[::-1], block=len(events))


@pytest.mark.parametrize(
    ("name", "id_", "fields"),
    [
        ("AssetRegistered", name_word("digits"), {"kind": 0, "royalty": 250}),
        ("AssetTransferred", account_word(BOB), {"from_": BOB, "epoch": 1}),
        ("AssetTransferred", account_word(BOB), {"from_": ALICE, "epoch": 2}),
        ("VersionFlagged", SECOND.id, {"purchase": PURCHASE, "index": 0}),
        ("StageMoved", SECOND.id, {"from_": 1, "to": 2, "reason": ""}),
        ("VersionPublished", SECOND.id, {"number": 3, "commitments": SECOND.abi()}),
        ("Offered", PERPETUAL.id(ASSET), {"terms": PERPETUAL.abi()}),
        ("OfferClosed", b"\x44" * 32, {}),
        ("LicenceTransferred", PURCHASE, {"from_": CAROL, "to": ALICE}),
        (
            "KeyRequested",
            b"\x66" * 32,
            {"licence": 7, "version": VERSION.id, "key": KEY.abi(), "fee": 9, "due": 900},
        ),
    ],
)
def test_what_cannot_have_happened(chain: Chain, name: str, id_: bytes, fields: dict[str, Value]) -> None:
    chain.buy()
    chain.deliver(window=0)
    chain.ledger()
    chain.log(name, id_, ALICE, **fields)
    with pytest.raises(TrailError, match="cannot have happened"):
        chain.ledger()


def test_an_offer_closes_once_and_a_key_is_asked_for_once(chain: Chain) -> None:
    chain.buy()
    chain.deliver(window=0)
    asked = {
        "licence": int.from_bytes(PURCHASE, "big"),
        "version": VERSION.id,
        "key": KEY.abi(),
        "fee": 9,
        "due": 900,
    }
    chain.log("OfferClosed", PERPETUAL.id(ASSET), ALICE)
    chain.log("KeyRequested", b"\x66" * 32, BOB, **asked)
    chain.ledger()
    for event in chain.events[-2:]:
        with pytest.raises(TrailError, match="cannot have happened"):
            fold([*chain.events, replace(event, block=9)], block=9)


def test_events_that_could_change_places_may_not(chain: Chain) -> None:
    chain.log("RoleSet", account_word(CAROL), ALICE, role=1, granted=True)
    chain.log("RoleSet", account_word(BOB), ALICE, role=1, granted=True)
    first, second = chain.events[-2:]
    with pytest.raises(TrailError, match="out of order"):
        fold([*chain.events[:-2], second, first], block=9)


def test_an_asset_is_registered_once_over_two_steps(chain: Chain) -> None:
    with pytest.raises(TrailError, match="exists already"):
        fold([replace(chain.events[0], block=9)], block=9, start=chain.ledger())


def test_a_version_is_of_the_asset_that_it_names(chain: Chain) -> None:
    other = replace(SECOND, asset=AssetId(b"\x12" * 32))
    chain.log("VersionPublished", other.id, ALICE, number=2, commitments=other.abi())
    with pytest.raises(TrailError, match="id says"):
        chain.ledger()


def test_a_key_is_delivered_to_who_asked(chain: Chain) -> None:
    chain.log("KeyDelivered", b"\x66" * 32, ALICE, delivered=D.abi())
    with pytest.raises(TrailError, match="cannot have happened"):
        chain.ledger()


def test_an_event_after_the_block_is_refused(chain: Chain) -> None:
    with pytest.raises(TrailError, match="out of order"):
        fold(chain.events, block=1)


def test_a_version_or_offer_that_is_not_what_its_id_says_is_refused(chain: Chain) -> None:
    for place in (1, 2):
        events = list(chain.events)
        events[place] = replace(events[place], id=b"\x55" * 32)
        with pytest.raises(TrailError, match="id says"):
            fold(events, block=9)


def test_a_rental_cannot_shrink(chain: Chain, rental: Terms) -> None:
    chain.log("Renewed", PURCHASE, BOB, price=100, until=160)
    with pytest.raises(TrailError, match="shorten"):
        chain.ledger()


def test_an_unknown_event_and_an_unknown_choice_are_refused(chain: Chain) -> None:
    with pytest.raises(TrailError, match="newer"):
        fold([replace(chain.events[0], name="Novelty")], block=9)
    odd = replace(chain.events[0], fields={"kind": 9, "royalty": 0})
    with pytest.raises(TrailError, match="cannot have happened"):
        fold([odd], block=9)


def test_the_state_says_up_to_which_block_it_is_complete(chain: Chain) -> None:
    assert fold(chain.events, block=77).block == 77
