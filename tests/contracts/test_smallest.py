"""One wei, one second, one place: zero is special in many places, and one must not be. See trees/Smallest.tree."""

from __future__ import annotations

from steelyard.domain.types import OfferKind
from tests.contracts.support.read import read
from tests.contracts.support.rpc import coins, now, rpc, warp
from tests.contracts.support.shop import DAY, ETHER, address, number
from tests.contracts.support.tokens import give, make_token

COIN = bytes(20)


def test_one_wei_is_paid_and_one_wei_of_bond_reserved(shop, market, treasury, sealed, seller):
    order = shop.paid(sealed, price=1, bond=1, window=0)
    assert (coins(market), read(market, "freeBond", seller)) == (ETHER + 1, ETHER - 1)
    shop.deliver(order, sealed)
    assert (coins(market), read(market, "freeBond", seller)) == (ETHER, ETHER)
    assert shop.balance(shop.node) == coins(treasury) == 1


def test_one_wei_is_refunded_with_one_wei_of_bond(shop, market, treasury, sealed, buyer, stranger):
    order = shop.paid(sealed, price=1, bond=1, window=0)
    warp(now() + DAY + 1)
    market.refund(order.abi(), {"from": stranger})
    assert shop.balance(buyer) == coins(treasury) == 2
    assert coins(market) == ETHER - 1


def test_one_unit_of_a_token_is_paid(shop, market, treasury, sealed, deployer, buyer):
    token = make_token("usual", deployer)
    give(shop, token, buyer, 1)
    order = shop.paid(sealed, price=1, currency=address(token), window=0)
    assert (token.of(buyer), token.of(market), token.of(treasury)) == (0, 1, 0)
    shop.deliver(order, sealed)
    assert (token.of(market), token.of(treasury)) == (0, 1)
    assert shop.balance(shop.node, token) == 1


def test_one_wei_of_bond_is_taken_back(shop, market, treasury, seller):
    market.takeBond(1, {"from": seller})
    assert (coins(market), read(market, "freeBond", seller)) == (ETHER - 1, ETHER - 1)
    assert shop.balance(seller) == coins(treasury) == 1


def test_one_wei_is_claimed(shop, treasury, seller, stranger):
    treasury.deposit(shop.node, COIN, 2, {"from": stranger, "value": 2})
    treasury.claim(*shop.node_arguments(0), {"from": stranger})
    assert shop.balance(seller) == 1


def test_nothing_is_asked_of_the_currency_of_a_free_purchase(shop, market, sealed, stranger):
    # An account without code answers no call.
    free = {"price": 0, "bond": 0, "currency": address(stranger)}
    shop.settled(sealed, **free)
    order = shop.paid(sealed, salt=1, window=DAY, **{**free, "bond": shop.terms().bond})
    warp(now() + DAY + 1)
    market.refund(order.abi(), {"from": stranger})


def test_a_rental_of_one_second_lasts_one_second(shop, market, sealed):
    order = shop.settled(sealed, kind=OfferKind.RENTAL, period=1)
    delivered = now()
    assert shop.licence(order)["until"] == delivered + 1
    warp(delivered + 2)
    assert not read(market, "isValid", number(shop.id(order)))


def test_the_only_place_is_free_again_after_a_refund(shop, market, sealed, other_buyer, stranger):
    order = shop.paid(sealed, supply=1)
    warp(now() + DAY + 1)
    market.refund(order.abi(), {"from": stranger})
    shop.paid(sealed, supply=1, buyer=other_buyer)
    assert read(market, "offers", order.terms.id(sealed.version.asset))[2] == 1


def test_the_greatest_fee_of_a_key_request_is_held(shop, market, sealed, asset, buyer):
    order = shop.settled(sealed, scope=2)
    second = shop.publish(asset, "digits 2")
    rpc("anvil_setBalance", str(buyer), hex(2**129))
    shop.ask(shop.request(shop.id(order), second.id, buyer), fee=2**128 - 1)
    assert coins(market) == ETHER + 2**128 - 1
