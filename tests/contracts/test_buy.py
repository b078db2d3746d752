"""Buying into escrow. See trees/Purchases.tree."""

from __future__ import annotations

from dataclasses import replace

import pytest

from steelyard.crypto.curve import P, Point, neg
from steelyard.domain.types import OfferKind, Scope, State
from tests.contracts.support.allow import leaf, pair
from tests.contracts.support.decode import attempt, event, events, outcome, rejects
from tests.contracts.support.points import NO_KEYS
from tests.contracts.support.read import Method, read
from tests.contracts.support.rpc import coins, now, warp
from tests.contracts.support.shop import DAY, ETHER, HOUR, MIN_BOND, PRICE, Shop, address, number


def test_price_goes_into_escrow(shop: Shop, market, sealed, buyer, seller):
    order = shop.order(sealed, shop.offer(sealed))
    before = coins(buyer)
    assert read(market, "buy", order.abi(), [], sender=buyer, value=PRICE) == number(shop.id(order))

    tx = shop.buy(order)

    due = now() + DAY
    assert events(tx) == [
        event(
            "Purchased",
            asset=sealed.version.asset,
            purchase=shop.id(order),
            actor=buyer,
            version=sealed.id,
            offer=order.offer,
            salt=order.salt,
            key=order.key.abi(),
            price=PRICE,
            due=due,
        )
    ]
    assert shop.licence(order) == {
        "holder": address(buyer),
        "until": 0,
        "due": due,
        "state": State.PAID,
        "flags": 0b11,
        "asset": sealed.version.asset,
    }
    assert before - coins(buyer) == PRICE
    assert coins(market) == PRICE + ETHER
    assert read(market, "freeBond", seller) == ETHER - MIN_BOND
    assert shop.balance(shop.node) == shop.balance(buyer) == 0
    assert read(market, "offers", order.offer) == (due - DAY, 0, 0, False)


def test_ids_are_those_of_the_package(shop, market, sealed):
    order = shop.order(sealed, shop.terms())
    assert read(market, "idsOf", order.abi()) == (sealed.id, order.offer, shop.id(order))


@pytest.mark.parametrize(
    ("changes", "flags"),
    [
        ({"transferable": False}, 0b01),
        ({"kind": OfferKind.RENTAL, "period": DAY}, 0b10),
        ({"scope": Scope.UNTIL_END, "period": DAY}, 0b01_0011),
        ({"scope": Scope.ALL}, 0b10_0011),
        ({"price": 0, "revocable": True}, 0b111),
    ],
)
def test_terms_become_flags(shop, sealed, changes, flags):
    assert shop.licence(shop.paid(sealed, **changes))["flags"] == flags


def test_free_and_bondless_purchase_moves_no_money(shop, market, sealed, buyer, seller):
    before = coins(buyer)
    shop.paid(sealed, price=0, bond=0, window=0)
    assert coins(buyer) == before
    assert read(market, "freeBond", seller) == coins(market) == ETHER


def test_two_orders_of_one_buyer_stand_side_by_side(shop, sealed, market):
    first, second = shop.paid(sealed, salt=1), shop.paid(sealed, salt=2)
    assert shop.id(first) != shop.id(second)
    assert coins(market) == ETHER + 2 * PRICE


def test_limited_offer_counts_its_places(shop, market, sealed, other_buyer):
    order = shop.paid(sealed, supply=2)
    assert read(market, "offers", order.offer)[2] == 1
    shop.paid(sealed, supply=2, buyer=other_buyer)
    assert read(market, "offers", order.offer)[2] == 2


def test_unlimited_offer_counts_nothing(shop, market, sealed):
    assert read(market, "offers", shop.paid(sealed).offer)[2] == 0


def test_allow_list_admits_who_is_on_it(shop, market, sealed, buyer, other_buyer):
    root = pair(leaf(buyer), leaf(other_buyer))
    order = shop.order(sealed, shop.offer(sealed, allow_list=root))
    shop.buy(order, (leaf(other_buyer),))
    assert shop.licence(order)["state"] == State.PAID


def test_rejects_a_proof_for_another_account(shop, market, sealed, buyer, other_buyer, stranger):
    root = pair(leaf(buyer), leaf(other_buyer))
    order = shop.order(sealed, shop.offer(sealed, allow_list=root), buyer=stranger)
    rejects("Purchases_NotAllowed", stranger)(
        market.buy, order.abi(), [leaf(other_buyer)], sender=stranger, value=PRICE
    )
    rejects("Purchases_NotAllowed", stranger)(market.buy, order.abi(), [], sender=stranger, value=PRICE)


def test_rejects_the_same_order_twice(shop, market, sealed, buyer):
    order = shop.paid(sealed)
    rejects("Purchases_WrongState", shop.id(order), State.PAID)(
        market.buy, order.abi(), [], sender=buyer, value=PRICE
    )


def test_rejects_another_caller(shop, market, sealed, buyer, stranger):
    order = shop.order(sealed, shop.offer(sealed))
    rejects("Purchases_NotBuyer", stranger, buyer)(market.buy, order.abi(), [], sender=stranger, value=PRICE)


@pytest.mark.parametrize("key", [*NO_KEYS, Point(P.x, P.y + 1), P, neg(P)])
def test_k6_bad_buyer_keys_are_rejected(shop, market, sealed, buyer, key):
    order = replace(shop.order(sealed, shop.offer(sealed)), key=key)
    rejects("Purchases_BadKey")(market.buy, order.abi(), [], sender=buyer, value=PRICE)


def test_rejects_an_unpublished_version(shop, market, sealed, buyer):
    shop.offer(sealed)
    draft = shop.seal(sealed.version.asset, "draft")
    order = shop.order(draft, shop.terms())
    rejects("Purchases_NoVersion", draft.id)(market.buy, order.abi(), [], sender=buyer, value=PRICE)


def test_rejects_a_version_of_another_asset_under_this_offer(shop, market, sealed, buyer):
    other = shop.register("letters")
    order = shop.order(other, shop.offer(sealed))
    rejects("Offers_NotOpen", order.offer)(market.buy, order.abi(), [], sender=buyer, value=PRICE)


def test_rejects_a_version_under_an_asset_that_it_does_not_name(shop, market, sealed, buyer):
    other = shop.register("letters")
    renamed = replace(sealed.version, asset=other.version.asset)
    order = replace(shop.order(other, shop.offer(other)), version=renamed)
    rejects("Purchases_NoVersion", renamed.id)(market.buy, order.abi(), [], sender=buyer, value=PRICE)


def test_rejects_an_offer_that_was_never_made(shop, market, sealed, buyer):
    order = shop.order(sealed, shop.terms())
    rejects("Offers_NotOpen", order.offer)(market.buy, order.abi(), [], sender=buyer, value=PRICE)


def test_rejects_a_closed_offer(shop, market, sealed, buyer, seller):
    order = shop.order(sealed, shop.offer(sealed))
    market.closeOffer(sealed.version.asset, order.terms.abi(), {"from": seller})
    rejects("Offers_NotOpen", order.offer)(market.buy, order.abi(), [], sender=buyer, value=PRICE)


def test_rejects_an_offer_of_the_owner_before(shop, market, assets, sealed, buyer, seller, stranger):
    order = shop.order(sealed, shop.offer(sealed))
    assets.transferFrom(seller, stranger, number(sealed.version.asset), {"from": seller})
    rejects("Offers_NotOpen", order.offer)(market.buy, order.abi(), [], sender=buyer, value=PRICE)


def test_rejects_when_all_places_are_taken(shop, market, sealed, other_buyer):
    order = shop.paid(sealed, supply=1)
    second = shop.order(sealed, order.terms, buyer=other_buyer)
    rejects("Offers_SoldOut", order.offer)(market.buy, second.abi(), [], sender=other_buyer, value=PRICE)


def test_rejects_when_the_bond_is_used_up(shop, market, sealed, buyer):
    order = shop.order(sealed, shop.offer(sealed, bond=ETHER + 1))
    rejects("Escrow_BondTooLow", ETHER, ETHER + 1)(market.buy, order.abi(), [], sender=buyer, value=PRICE)


@pytest.mark.parametrize("value", [0, PRICE - 1, PRICE + 1])
def test_rejects_any_other_value(shop, market, sealed, buyer, value):
    order = shop.order(sealed, shop.offer(sealed))
    rejects("Escrow_WrongValue", value, PRICE)(market.buy, order.abi(), [], sender=buyer, value=value)


def test_rejects_coin_for_a_free_or_token_purchase(shop, market, treasury, sealed, buyer):
    free = shop.order(sealed, shop.offer(sealed, price=0))
    rejects("Escrow_WrongValue", 1, 0)(market.buy, free.abi(), [], sender=buyer, value=1)
    token = shop.order(sealed, shop.offer(sealed, currency=address(treasury)))
    rejects("Escrow_WrongValue", PRICE, 0)(market.buy, token.abi(), [], sender=buyer, value=PRICE)


def test_c2_price_cannot_change_between_quote_and_inclusion(shop, market, sealed, buyer, seller):
    """The seller closes the quoted offer and makes a dearer one in front: the buyer's call reverts, or costs what was quoted."""
    quoted = shop.order(sealed, shop.offer(sealed))
    market.closeOffer(sealed.version.asset, quoted.terms.abi(), {"from": seller})
    dearer = shop.offer(sealed, price=2 * PRICE, salt=1)
    assert outcome(market.buy, quoted.abi(), [], sender=buyer, value=PRICE) == (
        "Offers_NotOpen",
        (quoted.offer,),
    )
    assert outcome(market.buy, shop.order(sealed, dearer).abi(), [], sender=buyer, value=PRICE) == (
        "Escrow_WrongValue",
        (PRICE, 2 * PRICE),
    )


def test_c2_dearer_offer_beside_the_quoted_one_changes_nothing(shop, sealed, buyer):
    quoted = shop.offer(sealed)
    shop.offer(sealed, price=2 * PRICE)
    before, order = coins(buyer), shop.order(sealed, quoted)
    shop.buy(order)
    assert before - coins(buyer) == PRICE
    assert shop.id(order) == order.id(chain_id=31_337, market=address(shop.market))


def test_c2_every_changed_term_is_another_offer(shop, market, sealed, buyer):
    terms = shop.offer(sealed)
    changes = {
        "price": PRICE - 1,
        "bond": 0,
        "window": 0,
        "text": bytes(32),
        "deliver_within": HOUR,
        "supply": 9,
    }
    for name, value in changes.items():
        order = shop.order(sealed, replace(terms, **{name: value}))
        found = outcome(market.buy, order.abi(), [], sender=buyer, value=order.terms.price)
        assert found == ("Offers_NotOpen", (order.offer,)), name


def test_dirty_words_name_nothing(shop, market, sealed, buyer):
    """Upper bits that a decoder would cut off make another id: they cannot stand for the clean order."""
    order = shop.order(sealed, shop.offer(sealed))
    data = bytearray.fromhex(Method(market, "buy").encode_input(order.abi(), [])[2:])
    data[4 + 32 * 3] = 1  # upper bits of the version's size
    call = {"from": buyer.address, "to": str(market), "value": hex(PRICE), "data": "0x" + data.hex()}
    found = attempt(call)
    assert found is not None and found[0] == "Purchases_NoVersion"


def test_offer_outlives_time(shop, sealed):
    terms = shop.offer(sealed)
    warp(now() + 400 * DAY)
    shop.buy(shop.order(sealed, terms))


def test_rejects_another_version_than_the_offer_names(shop: Shop, market, sealed, buyer):
    """A bond answers only for what its seller chose to sell: not for what others published under the same asset."""
    other = shop.publish(sealed.version.asset, "other")
    terms = shop.offer(sealed, version=sealed.id)
    order = shop.order(other, terms)
    rejects("Offers_OtherVersion", sealed.id)(market.buy, order.abi(), [], sender=buyer, value=PRICE)

    shop.buy(shop.order(sealed, terms))


def test_an_offer_that_names_no_version_sells_each(shop: Shop, sealed):
    other = shop.publish(sealed.version.asset, "other")
    terms = shop.offer(sealed)
    shop.buy(shop.order(other, terms))
    shop.buy(shop.order(sealed, terms, salt=1))
