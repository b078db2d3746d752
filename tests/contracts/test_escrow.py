"""Bonds, and what the market holds. See trees/Escrow.tree."""

from __future__ import annotations

from tests.contracts.support.decode import attempt, event, events, rejects
from tests.contracts.support.read import read
from tests.contracts.support.rpc import coins
from tests.contracts.support.shop import ETHER, MIN_BOND, PRICE, address, word
from tests.contracts.support.tokens import give, make_token, priced


def test_anybody_funds_a_bond(market, seller, stranger):
    tx = market.fundBond(seller, {"from": stranger, "value": 7})
    assert events(tx) == [event("BondFunded", seller=seller, from_=stranger, amount=7)]
    assert read(market, "freeBond", seller) == coins(market) == ETHER + 7
    assert read(market, "freeBond", stranger) == 0


def test_seller_takes_free_bond_back(shop, market, treasury, seller):
    tx = market.takeBond(ETHER, {"from": seller})
    assert events(tx) == [
        event("BondTaken", seller=seller, amount=ETHER),
        event(
            "Received",
            payee=word(seller),
            source=bytes(32),
            actor=market,
            currency=bytes(20),
            amount=ETHER,
        ),
    ]
    assert read(market, "freeBond", seller) == coins(market) == 0
    assert shop.balance(seller) == coins(treasury) == ETHER


def test_taking_nothing_pays_nothing(market, stranger):
    assert events(market.takeBond(0, {"from": stranger})) == [event("BondTaken", seller=stranger, amount=0)]


def test_rejects_more_than_is_free(shop, market, sealed, seller, stranger):
    shop.paid(sealed)
    free = ETHER - MIN_BOND
    rejects("Escrow_BondTooLow", free, free + 1)(market.takeBond, free + 1, sender=seller)
    rejects("Escrow_BondTooLow", 0, 1)(market.takeBond, 1, sender=stranger)


def test_reserved_bond_stays_while_the_purchase_is_open(shop, market, sealed, seller):
    order = shop.paid(sealed)
    market.takeBond(ETHER - MIN_BOND, {"from": seller})
    assert coins(market) == PRICE + MIN_BOND
    shop.deliver(order, sealed)
    rejects("Escrow_BondTooLow", 0, 1)(market.takeBond, 1, sender=seller)


def test_purchases_in_one_token_are_held_side_by_side(shop, market, sealed, deployer, buyer):
    token = make_token("usual", deployer)
    give(shop, token, buyer, 3_000)
    offer = shop.offer(sealed, **priced(token))
    for salt in range(3):
        shop.buy(shop.order(sealed, offer, salt=salt))
        assert token.of(market) == 1_000 * (salt + 1)


def test_bond_of_the_terms_is_what_answers(shop, market, sealed, seller):
    shop.paid(sealed, bond=3 * MIN_BOND)
    assert read(market, "freeBond", seller) == ETHER - 3 * MIN_BOND


def test_bond_is_the_sellers_who_made_the_offer(shop, market, assets, sealed, asset, seller, agent):
    assets.setRole(asset, agent, 1, True, {"from": seller})
    market.fundBond(agent, {"from": agent, "value": MIN_BOND})
    shop.settled(sealed, seller=address(agent))
    shop.paid(sealed, seller=address(agent), salt=1)
    assert read(market, "freeBond", agent) == 0
    assert read(market, "freeBond", seller) == ETHER


def test_only_the_treasury_asks_for_payment(market, treasury, seller):
    rejects("Payer_NotTreasury", seller)(market.pay, treasury, 1, sender=seller)


def test_rejects_plain_coin(market, seller):
    assert attempt({"from": seller.address, "to": str(market), "value": "0x1"}) == ("", ())


def test_names_its_parts(shop, market):
    assert read(market, "treasury") == address(shop.treasury)
    assert read(market, "assets") == address(shop.assets)
    assert read(market, "fraudChecker") == address(shop.fraud_checker)
