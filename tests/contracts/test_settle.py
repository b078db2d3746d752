"""Settling, refunding and renewing. See trees/Purchases.tree."""

from __future__ import annotations

import pytest

from steelyard.domain.types import OfferKind, State
from tests.contracts.support.decode import event, events, outcome, rejects
from tests.contracts.support.read import read
from tests.contracts.support.rpc import coins, now, warp
from tests.contracts.support.shop import DAY, ETHER, HOUR, MIN_BOND, PRICE, number, word


class TestSettle:
    def test_price_becomes_revenue(self, shop, market, treasury, sealed, seller, stranger):
        order = shop.delivered(sealed)
        warp(shop.licence(order)["due"] + 1)

        tx = market.settle(order.abi(), {"from": stranger})

        assert events(tx) == [
            event("Settled", asset=sealed.version.asset, purchase=shop.id(order), actor=stranger),
            event(
                "Received",
                payee=shop.node,
                source=bytes(32),
                actor=market,
                currency=bytes(20),
                amount=PRICE,
            ),
        ]
        assert shop.licence(order)["state"] == State.SETTLED
        assert coins(market) == ETHER
        assert coins(treasury) == shop.balance(shop.node) == PRICE
        assert read(market, "freeBond", seller) == ETHER

    @pytest.mark.parametrize("before", [1, 0])
    def test_rejects_within_the_window(self, shop, market, sealed, seller, before):
        order = shop.delivered(sealed)
        due = shop.licence(order)["due"]
        warp(due - before)
        rejects("Purchases_TooEarly", due)(market.settle, order.abi(), sender=seller)

    @pytest.mark.parametrize("state", [State.NONE, State.PAID, State.SETTLED, State.REFUNDED])
    def test_rejects_other_states(self, shop, market, sealed, seller, state):
        order = _in_state(shop, sealed, state)
        rejects("Purchases_WrongState", shop.id(order), state)(market.settle, order.abi(), sender=seller)


def _in_state(shop, sealed, state):
    """Return an order whose purchase is in a state, the due time passed."""
    if state == State.NONE:
        return shop.order(sealed, shop.offer(sealed))
    if state == State.SETTLED:
        return shop.settled(sealed)
    if state == State.REVOKED:
        order = shop.settled(sealed, price=0, revocable=True)
        shop.market.revoke(number(shop.id(order)), {"from": shop.roles.seller})
        return order
    order = shop.delivered(sealed) if state == State.DELIVERED else shop.paid(sealed)
    warp(shop.licence(order)["due"] + 1)
    if state == State.REFUNDED:
        shop.market.refund(order.abi(), {"from": shop.roles.buyer})
    return order


class TestRefund:
    def test_c16_silent_seller_pays_price_and_bond_to_the_buyer(
        self, shop, market, treasury, sealed, buyer, seller, stranger
    ):
        order = shop.paid(sealed, supply=3)
        warp(shop.licence(order)["due"] + 1)

        tx = market.refund(order.abi(), {"from": stranger})

        paid = {"payee": word(buyer), "source": bytes(32), "actor": market, "currency": bytes(20)}
        assert events(tx) == [
            event(
                "Refunded",
                asset=sealed.version.asset,
                purchase=shop.id(order),
                actor=stranger,
                payer=buyer,
                price=PRICE,
                bond=MIN_BOND,
            ),
            event("Received", **paid, amount=PRICE),
            event("Received", **paid, amount=MIN_BOND),
        ]
        assert shop.licence(order)["state"] == State.REFUNDED
        assert read(market, "offers", order.offer)[2] == 0
        assert shop.balance(buyer) == coins(treasury) == PRICE + MIN_BOND
        assert coins(market) == read(market, "freeBond", seller) == ETHER - MIN_BOND
        assert shop.balance(shop.node) == 0

        before = coins(buyer)
        treasury.withdraw(buyer, bytes(20), PRICE + MIN_BOND, {"from": buyer})
        assert coins(buyer) - before == PRICE + MIN_BOND

    def test_free_and_bondless_refund_pays_nothing(self, shop, market, sealed, stranger):
        order = shop.paid(sealed, price=0, bond=0, window=0)
        warp(shop.licence(order)["due"] + 1)
        assert [name for name, _ in events(market.refund(order.abi(), {"from": stranger}))] == ["Refunded"]

    @pytest.mark.parametrize("before", [1, 0])
    def test_rejects_up_to_the_due_time(self, shop, market, sealed, buyer, before):
        order = shop.paid(sealed)
        due = shop.licence(order)["due"]
        warp(due - before)
        rejects("Purchases_TooEarly", due)(market.refund, order.abi(), sender=buyer)

    @pytest.mark.parametrize(
        "state", [State.NONE, State.DELIVERED, State.SETTLED, State.REFUNDED, State.REVOKED]
    )
    def test_rejects_other_states(self, shop, market, sealed, buyer, state):
        order = _in_state(shop, sealed, state)
        rejects("Purchases_WrongState", shop.id(order), state)(market.refund, order.abi(), sender=buyer)

    def test_delivery_and_refund_exclude_each_other_at_every_second(
        self, shop, market, sealed, buyer, seller
    ):
        order = shop.paid(sealed)
        due = shop.licence(order)["due"]
        for time in (due - 1, due, due + 1):
            warp(time)
            deliver = (
                outcome(market.deliver, order.abi(), *shop.delivery(order, sealed), sender=seller) is None
            )
            refund = outcome(market.refund, order.abi(), sender=buyer) is None
            assert (deliver, refund) == (time <= due, time > due)

    def test_refunded_id_never_returns(self, shop, market, sealed, buyer):
        order = _in_state(shop, sealed, State.REFUNDED)
        rejects("Purchases_WrongState", shop.id(order), State.REFUNDED)(
            market.buy, order.abi(), [], sender=buyer, value=PRICE
        )


RENTAL = {"kind": OfferKind.RENTAL, "period": 10 * DAY, "window": 0}


class TestRenew:
    def _rental(self, shop, sealed, renewals=2, **changes):
        end = now() + 10 * DAY * (1 + renewals)
        return shop.delivered(sealed, renew_until=end, **{**RENTAL, **changes})

    def test_prolongs_and_earns_at_once(self, shop, market, sealed, stranger):
        order = self._rental(shop, sealed)
        until = shop.licence(order)["until"]
        warp(until - 5)

        tx = market.renew(order.abi(), {"from": stranger, "value": PRICE})

        assert events(tx) == [
            event(
                "Renewed",
                asset=sealed.version.asset,
                licence=shop.id(order),
                actor=stranger,
                price=PRICE,
                until=until + 10 * DAY,
            ),
            event(
                "Received",
                payee=shop.node,
                source=bytes(32),
                actor=market,
                currency=bytes(20),
                amount=PRICE,
            ),
        ]
        assert shop.licence(order)["until"] == until + 10 * DAY
        assert shop.licence(order)["state"] == State.SETTLED
        assert shop.balance(shop.node) == 2 * PRICE
        assert coins(market) == ETHER

    @pytest.mark.parametrize("before", [1, 0])
    def test_c12_renews_up_to_its_end(self, shop, market, sealed, buyer, before):
        order = self._rental(shop, sealed)
        warp(shop.licence(order)["until"] - before)
        market.renew(order.abi(), {"from": buyer, "value": PRICE})
        assert read(market, "isValid", number(shop.id(order)))

    def test_c12_ended_rental_is_never_valid_again(self, shop, market, sealed, buyer):
        order = self._rental(shop, sealed)
        warp(shop.licence(order)["until"] + 1)
        assert not read(market, "isValid", number(shop.id(order)))
        rejects("Purchases_NotRenewable", shop.id(order))(
            market.renew, order.abi(), sender=buyer, value=PRICE
        )

    def test_c12_last_renewal_ends_exactly_at_renew_until(self, shop, market, sealed, buyer):
        order = self._rental(shop, sealed, renewals=2)
        for _ in range(2):
            market.renew(order.abi(), {"from": buyer, "value": PRICE})
        assert shop.licence(order)["until"] == order.terms.renew_until
        rejects("Purchases_NotRenewable", shop.id(order))(
            market.renew, order.abi(), sender=buyer, value=PRICE
        )

    def test_c12_renewal_one_second_beyond_is_rejected(self, shop, market, sealed, buyer):
        end = now() + 20 * DAY - 1
        order = shop.delivered(sealed, renew_until=end, **RENTAL)
        rejects("Purchases_NotRenewable", shop.id(order))(
            market.renew, order.abi(), sender=buyer, value=PRICE
        )

    def test_c12_furthest_end_does_not_overflow(self, shop, market, sealed, buyer):
        longest = read(market, "MAX_PERIOD")
        order = shop.delivered(sealed, **{**RENTAL, "period": longest, "renew_until": 2**40 - 1})
        for i in range(3):
            market.renew(order.abi(), {"from": buyer, "value": PRICE})
            assert shop.licence(order)["until"] == now() + longest * (2 + i)

    def test_c12_perpetual_is_a_flag_and_cannot_be_renewed(self, shop, market, sealed, buyer):
        order = shop.settled(sealed)
        rejects("Purchases_NotRenewable", shop.id(order))(
            market.renew, order.abi(), sender=buyer, value=PRICE
        )
        warp(now() + 100 * 365 * DAY)
        assert read(market, "isValid", number(shop.id(order)))
        assert read(market, "userExpires", number(shop.id(order))) == 2**256 - 1

    def test_rejects_within_the_content_window(self, shop, market, sealed, buyer):
        order = self._rental(shop, sealed, window=HOUR)
        rejects("Purchases_WrongState", shop.id(order), State.DELIVERED)(
            market.renew, order.abi(), sender=buyer, value=PRICE
        )

    def test_rejects_another_price(self, shop, market, sealed, buyer):
        order = self._rental(shop, sealed)
        rejects("Escrow_WrongValue", PRICE - 1, PRICE)(
            market.renew, order.abi(), sender=buyer, value=PRICE - 1
        )

    def test_outlives_the_offer(self, shop, market, sealed, buyer, seller):
        order = self._rental(shop, sealed)
        market.closeOffer(sealed.version.asset, order.terms.abi(), {"from": seller})
        market.renew(order.abi(), {"from": buyer, "value": PRICE})
