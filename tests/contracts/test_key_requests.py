"""Key requests. See trees/KeyRequests.tree."""

from __future__ import annotations

from dataclasses import replace

import pytest

from steelyard.crypto import delivery
from steelyard.crypto.curve import N, P, Point
from steelyard.domain.types import OfferKind, RequestState, Scope
from tests.contracts.support.decode import event, events, one, outcome, rejects
from tests.contracts.support.read import read
from tests.contracts.support.rpc import coins, now, rpc, warp
from tests.contracts.support.shop import DAY, ETHER, HOUR, address, number, proof_abi, word

FEE = 10**15
NONE = (bytes(32), bytes(32))


@pytest.fixture
def order(shop, sealed):
    """A settled licence of the buyer for all versions."""
    return shop.settled(sealed, scope=Scope.ALL)


@pytest.fixture
def second(shop, asset, order):
    """A version published after the purchase."""
    return shop.publish(asset, "second")


@pytest.fixture
def request_(shop, order, second, buyer):
    """The buyer's open request for it."""
    request = shop.request(shop.id(order), second.id, buyer)
    shop.ask(request)
    return request


def _deliver(shop, request, sealed, origin=NONE, /, **bound):
    return (request.abi(), sealed.version.abi(), origin, *shop.answer(request, sealed, **bound))


class TestRequestKey:
    def test_holds_the_fee(self, shop, market, asset, order, second, buyer):
        request = shop.request(shop.id(order), second.id, buyer)
        id_ = shop.request_id(request)
        arguments = (number(request.licence), request.version, request.key.abi(), DAY)
        assert read(market, "requestKey", *arguments, sender=buyer, value=FEE) == id_
        assert read(market, "requestOf", request.abi()) == id_

        tx = market.requestKey(*arguments, {"from": buyer, "value": FEE})

        assert events(tx) == [
            event(
                "KeyRequested",
                asset=asset,
                request=id_,
                actor=buyer,
                licence=number(request.licence),
                version=second.id,
                key=request.key.abi(),
                fee=FEE,
                due=now() + DAY,
            )
        ]
        assert read(market, "requests", id_) == (FEE, now() + DAY, RequestState.OPEN)
        assert coins(market) == ETHER + FEE

    @pytest.mark.parametrize("within", [HOUR, 30 * DAY])
    def test_free_and_at_the_limits_of_time(self, shop, market, order, second, buyer, within):
        request = shop.request(shop.id(order), second.id, buyer)
        shop.ask(request, fee=0, within=within)
        assert read(market, "requests", shop.request_id(request)) == (0, now() + within, RequestState.OPEN)

    def _rejected(self, shop, request, error, *, sender=None, within=DAY, value=0):
        arguments = (number(request.licence), request.version, request.key.abi(), within)
        rejects(*error)(shop.market.requestKey, *arguments, sender=sender or shop.roles.buyer, value=value)

    def test_rejects_a_second_one(self, shop, request_):
        error = ("Keys_WrongState", shop.request_id(request_), RequestState.OPEN)
        self._rejected(shop, request_, error)

    def test_rejects_who_does_not_hold_it(self, shop, order, second, stranger):
        request = shop.request(shop.id(order), second.id, stranger)
        error = ("Keys_NotHolder", number(shop.id(order)), stranger)
        self._rejected(shop, request, error, sender=stranger)

    def test_rejects_a_paid_purchase(self, shop, sealed, buyer):
        order = shop.paid(sealed)
        request = shop.request(shop.id(order), sealed.id, buyer)
        self._rejected(shop, request, ("Keys_NotHolder", number(shop.id(order)), buyer))

    def test_rejects_an_ended_licence(self, shop, sealed, buyer):
        order = shop.settled(sealed, kind=OfferKind.RENTAL, period=DAY)
        request = shop.request(shop.id(order), sealed.id, buyer)
        warp(shop.licence(order)["until"] + 1)
        self._rejected(shop, request, ("Keys_NotHolder", number(shop.id(order)), buyer))

    @pytest.mark.parametrize("key", [P, Point(1, 1), Point(N, 1)])
    def test_k6_bad_keys_are_rejected(self, shop, order, second, buyer, key):
        request = replace(shop.request(shop.id(order), second.id, buyer), key=key)
        self._rejected(shop, request, ("Purchases_BadKey",))

    @pytest.mark.parametrize("within", [0, HOUR - 1, 30 * DAY + 1])
    def test_rejects_times_that_cannot_be_kept(self, shop, order, second, buyer, within):
        request = shop.request(shop.id(order), second.id, buyer)
        self._rejected(shop, request, ("Keys_BadTime", within), within=within)

    def test_rejects_a_fee_above_the_limit(self, shop, order, second, buyer):
        rpc("anvil_setBalance", buyer.address, hex(2**129))
        request = shop.request(shop.id(order), second.id, buyer)
        self._rejected(shop, request, ("Keys_FeeTooHigh",), value=2**128)


class TestDeliverKey:
    def test_pays_the_fee_to_who_delivers(self, shop, market, asset, second, request_, stranger, buyer):
        arguments = _deliver(shop, request_, second)

        tx = market.deliverKey(*arguments, {"from": stranger})

        id_ = shop.request_id(request_)
        assert events(tx) == [
            event("KeyDelivered", asset=asset, request=id_, actor=stranger, delivered=arguments[3]),
            event(
                "Received",
                payee=word(stranger),
                source=bytes(32),
                actor=market,
                currency=bytes(20),
                amount=FEE,
            ),
        ]
        assert read(market, "requests", id_)[2] == RequestState.ANSWERED
        assert shop.balance(stranger) == FEE
        assert coins(market) == ETHER
        point = Point(*one(tx, "KeyDelivered")["delivered"])
        b = shop.blind(buyer, (1_000).to_bytes(32, "big"))
        assert delivery.unwrap(point, b=b, commitment=second.version.key) == second.content_key

    def test_scope_one_needs_the_parts_of_its_id(self, shop, market, sealed, buyer, seller):
        order = shop.settled(sealed)
        request = shop.request(shop.id(order), sealed.id, buyer)
        shop.ask(request)
        rejects("Keys_NotCovered", number(shop.id(order)), sealed.id)(
            market.deliverKey, *_deliver(shop, request, sealed), sender=seller
        )
        market.deliverKey(*_deliver(shop, request, sealed, shop.origin(order)), {"from": seller})

    def test_scope_one_does_not_cover_another_version(self, shop, market, sealed, asset, buyer, seller):
        order = shop.settled(sealed)
        other = shop.publish(asset, "other")
        request = shop.request(shop.id(order), other.id, buyer)
        shop.ask(request)
        rejects("Keys_NotCovered", number(shop.id(order)), other.id)(
            market.deliverKey, *_deliver(shop, request, other, shop.origin(order)), sender=seller
        )

    @pytest.mark.parametrize("kind", list(OfferKind))
    def test_until_end_covers_what_is_published_in_its_period(
        self, shop, market, sealed, asset, buyer, seller, kind
    ):
        order = shop.settled(sealed, scope=Scope.UNTIL_END, period=DAY, kind=kind)
        warp(now() + DAY)
        last = shop.publish(asset, "last")
        request = shop.request(shop.id(order), last.id, buyer)
        shop.ask(request)
        market.deliverKey(*_deliver(shop, request, last), {"from": seller})

    def test_until_end_of_a_perpetual_licence_covers_nothing_later(
        self, shop, market, sealed, asset, buyer, seller
    ):
        order = shop.settled(sealed, scope=Scope.UNTIL_END, period=DAY)
        warp(now() + DAY + 1)
        late = shop.publish(asset, "late")
        requests = [shop.request(shop.id(order), s.id, buyer, salt=i) for i, s in ((1, late), (2, sealed))]
        for request in requests:
            shop.ask(request)
        rejects("Keys_NotCovered", number(shop.id(order)), late.id)(
            market.deliverKey, *_deliver(shop, requests[0], late), sender=seller
        )
        # What was included stays included.
        market.deliverKey(*_deliver(shop, requests[1], sealed), {"from": seller})

    def test_first_key_after_a_transfer(self, shop, market, sealed, buyer, other_buyer, seller):
        order = shop.settled(sealed)
        market.transferFrom(buyer, other_buyer, number(shop.id(order)), {"from": buyer})
        request = shop.request(shop.id(order), sealed.id, other_buyer)
        shop.ask(request)
        tx = market.deliverKey(*_deliver(shop, request, sealed, shop.origin(order)), {"from": seller})
        point = Point(*one(tx, "KeyDelivered")["delivered"])
        b = shop.blind(other_buyer, (1_000).to_bytes(32, "big"))
        assert delivery.unwrap(point, b=b, commitment=sealed.version.key) == sealed.content_key

    def test_version_of_another_asset_is_not_covered(self, shop, market, order, buyer, seller):
        other = shop.register("letters")
        request = shop.request(shop.id(order), other.id, buyer)
        shop.ask(request)
        rejects("Keys_NotCovered", number(shop.id(order)), other.id)(
            market.deliverKey, *_deliver(shop, request, other), sender=seller
        )

    def test_unpublished_version_is_not_covered(self, shop, market, order, asset, buyer, seller):
        draft = shop.seal(asset, "draft")
        request = shop.request(shop.id(order), draft.id, buyer)
        shop.ask(request)
        rejects("Keys_NotCovered", number(shop.id(order)), draft.id)(
            market.deliverKey, *_deliver(shop, request, draft), sender=seller
        )

    @pytest.mark.parametrize("before", [1, 0])
    def test_passes_up_to_the_due_time(self, shop, market, second, request_, seller, before):
        warp(now() + DAY - before)
        market.deliverKey(*_deliver(shop, request_, second), {"from": seller})

    def test_rejects_after_the_due_time(self, shop, market, second, request_, seller):
        due = now() + DAY
        warp(due + 1)
        rejects("Purchases_TooLate", due)(market.deliverKey, *_deliver(shop, request_, second), sender=seller)

    def test_rejects_what_was_not_asked(self, shop, market, second, order, buyer, seller):
        request = shop.request(shop.id(order), second.id, buyer, salt=5)
        rejects("Keys_WrongState", shop.request_id(request), RequestState.NONE)(
            market.deliverKey, *_deliver(shop, request, second), sender=seller
        )

    def test_k13_answered_request_is_never_answered_again(
        self, shop, market, second, request_, seller, buyer
    ):
        market.deliverKey(*_deliver(shop, request_, second), {"from": seller})
        id_ = shop.request_id(request_)
        rejects("Keys_WrongState", id_, RequestState.ANSWERED)(
            market.deliverKey, *_deliver(shop, request_, second), sender=seller
        )
        arguments = (number(request_.licence), request_.version, request_.key.abi(), DAY)
        rejects("Keys_WrongState", id_, RequestState.ANSWERED)(market.requestKey, *arguments, sender=buyer)

    def test_rejects_another_version(self, shop, market, sealed, request_, seller):
        rejects("Keys_WrongVersion", sealed.id)(
            market.deliverKey, *_deliver(shop, request_, sealed), sender=seller
        )

    def test_lapses_when_the_licence_changes_hands(
        self, shop, market, second, request_, buyer, other_buyer, seller
    ):
        market.transferFrom(buyer, other_buyer, number(request_.licence), {"from": buyer})
        rejects("Keys_NotHolder", number(request_.licence), buyer)(
            market.deliverKey, *_deliver(shop, request_, second), sender=seller
        )

    def test_lapses_when_the_rental_ends(self, shop, market, sealed, asset, buyer, seller):
        order = shop.settled(sealed, kind=OfferKind.RENTAL, period=DAY, scope=Scope.ALL)
        request = shop.request(shop.id(order), sealed.id, buyer)
        shop.ask(request, within=2 * DAY)
        warp(now() + DAY)
        assert outcome(market.deliverKey, *_deliver(shop, request, sealed), sender=seller) is None
        warp(now() + 1)
        rejects("Keys_NotHolder", number(request.licence), buyer)(
            market.deliverKey, *_deliver(shop, request, sealed), sender=seller
        )

    @pytest.mark.parametrize("bound", [{"chain_id": 1}, {"market": bytes(20)}, {"request": bytes(32)}])
    def test_c3_proof_of_another_chain_market_or_request_is_rejected(
        self, shop, market, second, request_, seller, bound
    ):
        found = outcome(market.deliverKey, *_deliver(shop, request_, second, **bound), sender=seller)
        assert found[0] == "Dleq_WrongCommitment"

    def test_c3_proof_for_a_purchase_is_not_one_for_a_request(self, shop, market, second, request_, seller):
        context = delivery.delivery_context(
            31_337, market=address(market), purchase=shop.request_id(request_)
        )
        point, proof = delivery.deliver(second.kappa, blinded=request_.key, context=context)
        arguments = (request_.abi(), second.version.abi(), NONE, point.abi(), proof_abi(proof))
        assert outcome(market.deliverKey, *arguments, sender=seller)[0] == "Dleq_WrongCommitment"

    def test_c17_key_of_another_version_is_rejected(self, shop, market, sealed, second, request_, seller):
        arguments = _deliver(shop, request_, replace(second, kappa=sealed.kappa))
        assert outcome(market.deliverKey, *arguments, sender=seller)[0] == "Dleq_WrongCommitment"


class TestReturnFee:
    def test_after_the_due_time(self, shop, market, asset, request_, buyer, stranger):
        warp(now() + DAY + 1)

        tx = market.returnFee(request_.abi(), {"from": stranger})

        id_ = shop.request_id(request_)
        assert events(tx) == [
            event("KeyReturned", asset=asset, request=id_, actor=stranger),
            event(
                "Received",
                payee=word(buyer),
                source=bytes(32),
                actor=market,
                currency=bytes(20),
                amount=FEE,
            ),
        ]
        assert read(market, "requests", id_)[2] == RequestState.RETURNED
        assert shop.balance(buyer) == FEE
        assert coins(market) == ETHER

    @pytest.mark.parametrize("before", [1, 0])
    def test_rejects_up_to_the_due_time(self, shop, market, request_, buyer, before):
        warp(now() + DAY - before)
        rejects("Keys_StillOpen", shop.request_id(request_))(market.returnFee, request_.abi(), sender=buyer)

    def test_at_once_when_the_licence_changed_hands(self, shop, market, request_, buyer, other_buyer):
        market.transferFrom(buyer, other_buyer, number(request_.licence), {"from": buyer})
        market.returnFee(request_.abi(), {"from": other_buyer})
        assert (shop.balance(buyer), shop.balance(other_buyer)) == (FEE, 0)

    def test_at_once_when_the_licence_ended(self, shop, market, sealed, buyer):
        order = shop.settled(sealed, kind=OfferKind.RENTAL, period=DAY)
        request = shop.request(shop.id(order), sealed.id, buyer)
        shop.ask(request, within=2 * DAY)
        warp(now() + DAY + 1)
        market.returnFee(request.abi(), {"from": buyer})

    def test_at_once_when_the_licence_was_revoked(self, shop, market, sealed, buyer, seller):
        order = shop.settled(sealed, price=0, revocable=True)
        request = shop.request(shop.id(order), sealed.id, buyer)
        shop.ask(request)
        market.revoke(number(shop.id(order)), {"from": seller})
        market.returnFee(request.abi(), {"from": buyer})

    def test_rejects_a_second_return(self, shop, market, request_, buyer):
        warp(now() + DAY + 1)
        market.returnFee(request_.abi(), {"from": buyer})
        rejects("Keys_WrongState", shop.request_id(request_), RequestState.RETURNED)(
            market.returnFee, request_.abi(), sender=buyer
        )

    def test_rejects_what_was_answered(self, shop, market, second, request_, buyer, seller):
        market.deliverKey(*_deliver(shop, request_, second), {"from": seller})
        warp(now() + DAY + 1)
        rejects("Keys_WrongState", shop.request_id(request_), RequestState.ANSWERED)(
            market.returnFee, request_.abi(), sender=buyer
        )

    def test_rejects_what_was_never_asked(self, shop, market, order, second, buyer):
        request = shop.request(shop.id(order), second.id, buyer, salt=5)
        rejects("Keys_WrongState", shop.request_id(request), RequestState.NONE)(
            market.returnFee, request.abi(), sender=buyer
        )

    def test_delivery_and_return_exclude_each_other(self, shop, market, second, request_, buyer, seller):
        due = now() + DAY
        for time in (due - 1, due, due + 1):
            warp(time)
            deliver = outcome(market.deliverKey, *_deliver(shop, request_, second), sender=seller) is None
            back = outcome(market.returnFee, request_.abi(), sender=buyer) is None
            assert (deliver, back) == (time <= due, time > due)
