"""The stages of versions, and what a move changes and does not. See trees/Stages.tree."""

from __future__ import annotations

import pytest

from steelyard.domain.types import OfferKind, Role, Scope, Stage, State
from tests.contracts.support.decode import event, events, outcome, rejects
from tests.contracts.support.meter import PRICE as UNIT_PRICE
from tests.contracts.support.meter import Meter
from tests.contracts.support.read import Method, read
from tests.contracts.support.rpc import now, warp
from tests.contracts.support.shop import DAY, MIN_BOND, PRICE, address, number, word
from tests.contracts.support.trail import assert_heads

STAGES = [stage for stage in Stage if stage is not Stage.NONE]
MOVES = [stage for stage in STAGES if stage is not Stage.RELEASED]
ON_SALE = {Stage.RELEASED, Stage.DEPRECATED}
NOT_ON_SALE = [stage for stage in STAGES if stage not in ON_SALE]
CLOSED, SETTLED = 3, int(State.SETTLED)


@pytest.fixture
def move(assets, sealed, seller):
    """Move the stage of a version, the first one of `digits` unless another is given, as its owner."""

    def moved(to, *, sealed=sealed, reason="found better", sender=seller):
        return assets.moveStage(sealed.version.abi(), to, reason, {"from": sender})

    return moved


def _rejected(assets, sealed, to, *error, sender, reason="why"):
    rejects(*error)(assets.moveStage, sealed.version.abi(), to, reason, sender=sender)


class TestMove:
    def test_published_versions_are_released(self, shop, assets, asset, sealed):
        second = shop.publish(asset, "digits 2")
        assert [read(assets, "stageOf", v.id) for v in (sealed, second)] == [Stage.RELEASED] * 2
        assert read(assets, "stageOf", bytes(32)) == Stage.NONE

    def test_keeps_the_rest_and_says_why(self, shop, assets, asset, sealed, seller, move):
        second = shop.publish(asset, "digits 2")
        before = [read(assets, "release", v.id) for v in (sealed, second)]
        info = read(assets, "assetInfo", asset)
        warp(now() + DAY)

        tx = move(Stage.DEPRECATED, reason="digits 2 is better, größer")

        about = {"asset": asset, "version": sealed.id, "actor": seller}
        told = {"from_": Stage.RELEASED, "to": Stage.DEPRECATED, "reason": "digits 2 is better, größer"}
        assert events(tx) == [event("StageMoved", **about, **told)]
        assert [read(assets, "stageOf", v.id) for v in (sealed, second)] == [
            Stage.DEPRECATED,
            Stage.RELEASED,
        ]
        assert [read(assets, "release", v.id) for v in (sealed, second)] == before
        assert read(assets, "assetInfo", asset) == info

    @pytest.mark.parametrize("start", STAGES)
    def test_every_way_out_of_a_stage(self, shop, assets, asset, seller, move, start):
        for place, to in enumerate(Stage):
            sealed = shop.publish(asset, f"from {start} to {place}")
            if start is not Stage.RELEASED:
                move(start, sealed=sealed)
            if start is Stage.RETIRED or to in (start, Stage.NONE):
                _rejected(assets, sealed, to, "Assets_WrongStage", sealed.id, start, to, sender=seller)
                assert read(assets, "stageOf", sealed.id) == start
            else:
                move(to, sealed=sealed)
                assert read(assets, "stageOf", sealed.id) == to

    def test_maintainer_moves_until_the_transfer(
        self, assets, asset, sealed, seller, maintainer, stranger, move
    ):
        assets.setRole(asset, maintainer, Role.MAINTAINER, True, {"from": seller})
        move(Stage.DRAFT, sender=maintainer)
        assets.transferFrom(seller, stranger, number(asset), {"from": seller})
        for sender in (maintainer, seller):
            error = ("Assets_NotAllowed", sender, asset)
            _rejected(assets, sealed, Stage.RELEASED, *error, sender=sender)
        move(Stage.RELEASED, sender=stranger)

    def test_rejects_whom_it_does_not_concern(self, assets, asset, sealed, seller, agent, stranger):
        assets.setRole(asset, agent, Role.SELLER, True, {"from": seller})
        assets.setApprovalForAll(stranger, True, {"from": seller})
        for sender in (agent, stranger):
            error = ("Assets_NotAllowed", sender, asset)
            _rejected(assets, sealed, Stage.RETIRED, *error, sender=sender)

    def test_s1_retired_is_final_for_every_owner(self, assets, asset, sealed, seller, stranger, move):
        move(Stage.RETIRED)
        assets.transferFrom(seller, stranger, number(asset), {"from": seller})
        for to in STAGES:
            error = ("Assets_WrongStage", sealed.id, Stage.RETIRED, to)
            _rejected(assets, sealed, to, *error, sender=stranger)

    def test_rejects_what_is_not_published(self, shop, assets, asset, seller):
        draft = shop.seal(asset, "digits 2")
        error = ("Assets_WrongStage", draft.id, Stage.NONE, Stage.DRAFT)
        _rejected(assets, draft, Stage.DRAFT, *error, sender=seller)

    def test_rejects_an_asset_that_does_not_exist(self, shop, assets, seller):
        draft = shop.seal(bytes(31) + b"\x05", "nothing")
        _rejected(assets, draft, Stage.DRAFT, "ERC721NonexistentToken", 5, sender=seller)

    def test_rejects_an_unknown_stage(self, assets, sealed, seller):
        _rejected(assets, sealed, len(Stage), "", sender=seller)

    def test_reason_has_a_length(self, assets, sealed, seller, move):
        for reason in ("", "x" * 257):
            error = ("Assets_BadReason", len(reason))
            _rejected(assets, sealed, Stage.DRAFT, *error, sender=seller, reason=reason)
        move(Stage.DRAFT, reason="x" * 256)
        move(Stage.RELEASED, reason="x")
        assert read(assets, "MAX_REASON") == 256


class TestSale:
    @pytest.mark.parametrize("stage", MOVES)
    def test_sale_state_knows_what_is_on_sale(self, assets, asset, sealed, move, stage):
        published = read(assets, "release", sealed.id)[0]
        move(stage)
        expected = published if stage in ON_SALE else 0
        assert read(assets, "saleState", asset, sealed.id) == (0, expected)

    def test_deprecated_is_sold(self, shop, sealed, move):
        move(Stage.DEPRECATED)
        assert shop.licence(shop.settled(sealed))["state"] == State.SETTLED

    @pytest.mark.parametrize("stage", NOT_ON_SALE)
    @pytest.mark.parametrize("named", [True, False])
    def test_s2_not_sold(self, shop, market, asset, sealed, buyer, move, stage, named):
        second = shop.publish(asset, "digits 2")
        terms = shop.offer(sealed, version=sealed.id if named else bytes(32))
        move(stage)
        order = shop.order(sealed, terms)
        rejects("Purchases_NoVersion", sealed.id)(market.buy, order.abi(), (), sender=buyer, value=PRICE)
        if not named:
            shop.buy(shop.order(second, terms))
        if stage is not Stage.RETIRED:
            move(Stage.RELEASED)
            shop.buy(order)

    @pytest.mark.parametrize("stage", NOT_ON_SALE)
    def test_offers_may_come_before_the_release(self, shop, sealed, move, stage):
        move(stage)
        terms = shop.offer(sealed, version=sealed.id)
        assert read(shop.market, "offers", terms.id(sealed.version.asset))[0] == now()

    @pytest.mark.parametrize("stage", MOVES)
    def test_s2_no_metered_offer(self, shop, sealed, seller, move, stage):
        meter = Meter(shop, sealed)
        terms = meter.terms.__class__(**{**vars(meter.terms), "salt": 2})
        move(stage)
        found = outcome(Method(meter.channels, "makeOffer"), sealed.version.abi(), terms.abi(), sender=seller)
        assert found == (None if stage in ON_SALE else ("MeteredOffers_WrongVersion", (sealed.id,)))


@pytest.mark.parametrize("stage", MOVES)
class TestOutlives:
    """C25, S3: what was paid before a move goes on as if there had been none."""

    def test_c25_delivered_and_settled(self, shop, market, sealed, buyer, stranger, move, stage):
        order = shop.paid(sealed)
        before = shop.licence(order)
        move(stage)
        assert shop.licence(order) == before
        shop.deliver(order, sealed, sender=stranger)
        warp(now() + DAY + 1)
        market.settle(order.abi(), {"from": stranger})
        assert shop.balance(shop.node) == PRICE
        assert read(market, "isValid", number(shop.id(order)))
        assert read(market, "ownerOf", number(shop.id(order))) == address(buyer)

    def test_c25_refunded(self, shop, market, sealed, buyer, stranger, move, stage):
        order = shop.paid(sealed)
        move(stage)
        warp(now() + DAY + 1)
        market.refund(order.abi(), {"from": stranger})
        assert shop.balance(buyer) == PRICE + MIN_BOND

    def test_c25_disputed(self, shop, market, buyer, move, stage):
        false = shop.register("garbage", spoil=2)
        order = shop.delivered(false)
        move(stage, sealed=false)
        market.dispute(order.abi(), shop.fraud(order, false, 2), {"from": buyer})
        assert shop.licence(order)["state"] == State.REFUNDED
        assert read(market, "flagged", false.id)
        assert read(shop.assets, "stageOf", false.id) == stage

    def test_c25_renewed(self, shop, market, sealed, buyer, move, stage):
        rental = {"kind": OfferKind.RENTAL, "period": 20 * DAY, "renew_until": now() + 99 * DAY}
        order = shop.settled(sealed, **rental)
        until = shop.licence(order)["until"]
        move(stage)
        market.renew(order.abi(), {"from": buyer, "value": PRICE})
        assert shop.licence(order)["until"] == until + 20 * DAY

    @pytest.mark.parametrize("first", [True, False])
    def test_c25_keys_of_what_was_bought(
        self, shop, market, asset, sealed, seller, buyer, move, stage, first
    ):
        """The version bought, or another one that the licence covers; the request before the move, or after it."""
        other = shop.publish(asset, "digits 2")
        licence = shop.id(shop.settled(sealed, scope=Scope.ALL))
        for salt, version in enumerate((sealed, other)):
            request = shop.request(licence, version.id, buyer, salt=salt)
            if first:
                shop.ask(request)
            move(stage, sealed=version)
            if not first:
                shop.ask(request)
            arguments = (
                request.abi(),
                version.version.abi(),
                (bytes(32), bytes(32)),
                *shop.answer(request, version),
            )
            market.deliverKey(*arguments, {"from": seller})
            assert read(market, "requests", shop.request_id(request))[2] == 2

    def test_c25_channels_go_on(self, shop, treasury, sealed, buyer, stranger, move, stage):
        meter = Meter(shop, sealed)
        meter.open(5_000)
        move(stage)
        meter.claim(20)
        assert read(treasury, "balanceOf", sealed.version.node, "0x" + "0" * 40) == 20 * UNIT_PRICE
        meter.start_closing()
        meter.claim(30)
        meter.close()
        assert read(meter.channels, "channels", meter.id())[3] == CLOSED
        assert read(treasury, "balanceOf", word(buyer), "0x" + "0" * 40) == 5_000 - 30 * UNIT_PRICE
        meter.open(1_000, nonce=2)
        assert_heads(meter.channels)
