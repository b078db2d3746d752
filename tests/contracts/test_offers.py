"""Offers. See trees/Offers.tree."""

from __future__ import annotations

from dataclasses import replace

import pytest

from steelyard.domain.types import OfferKind, Role, Scope
from tests.contracts.support.decode import attempt, event, events, rejects
from tests.contracts.support.read import Method, read
from tests.contracts.support.rpc import now, warp
from tests.contracts.support.shop import DAY, HOUR, MIN_BOND, address, number


class TestMakeOffer:
    def test_opens_an_offer(self, shop, market, sealed, asset, seller):
        terms = shop.terms(supply=7, allow_list=b"\x05" * 32)
        offer = terms.id(asset)
        assert read(market, "makeOffer", asset, terms.abi(), sender=seller) == offer
        assert read(market, "offerOf", asset, terms.abi()) == offer

        tx = market.makeOffer(asset, terms.abi(), {"from": seller})

        assert events(tx) == [event("Offered", asset=asset, offer=offer, actor=seller, terms=terms.abi())]
        assert read(market, "offers", offer) == (now(), 0, 0, False)

    def test_seller_by_role_makes_his_own(self, shop, market, assets, sealed, asset, seller, agent):
        assets.setRole(asset, agent, Role.SELLER, True, {"from": seller})
        terms = shop.offer(sealed, seller=address(agent), bond=0, window=0)
        assert read(market, "offers", terms.id(asset))[0] == now()

    def test_same_terms_with_another_salt_are_another_offer(self, shop, sealed, asset):
        assert shop.offer(sealed, salt=1).id(asset) != shop.offer(sealed, salt=2).id(asset)

    def test_rejects_what_exists(self, shop, market, sealed, asset, seller):
        terms = shop.offer(sealed)
        rejects("Offers_Exists", terms.id(asset))(market.makeOffer, asset, terms.abi(), sender=seller)

    def test_rejects_what_was_closed(self, shop, market, sealed, asset, seller):
        terms = shop.offer(sealed)
        market.closeOffer(asset, terms.abi(), {"from": seller})
        rejects("Offers_Exists", terms.id(asset))(market.makeOffer, asset, terms.abi(), sender=seller)

    def test_rejects_a_stranger(self, shop, market, asset, stranger):
        terms = shop.terms(seller=address(stranger))
        rejects("Offers_NotAllowed", stranger, asset)(market.makeOffer, asset, terms.abi(), sender=stranger)

    def test_rejects_terms_that_name_another_seller(self, shop, market, assets, asset, seller, agent):
        """One seller cannot put another's bond at stake."""
        assets.setRole(asset, agent, Role.SELLER, True, {"from": seller})
        rejects("Offers_NotAllowed", agent, asset)(market.makeOffer, asset, shop.terms().abi(), sender=agent)

    def test_rejects_a_maintainer(self, shop, market, assets, asset, seller, maintainer):
        assets.setRole(asset, maintainer, Role.MAINTAINER, True, {"from": seller})
        terms = shop.terms(seller=address(maintainer))
        rejects("Offers_NotAllowed", maintainer, asset)(
            market.makeOffer, asset, terms.abi(), sender=maintainer
        )

    def test_rejects_an_asset_that_does_not_exist(self, shop, market, seller):
        rejects("ERC721NonexistentToken", 5)(
            market.makeOffer, number(bytes(31) + b"\5").to_bytes(32, "big"), shop.terms().abi(), sender=seller
        )

    @pytest.mark.parametrize("field", [6, 7, 15])
    def test_rejects_dirty_words(self, shop, market, asset, seller, field):
        """Two booleans and the salt, which nothing but the event reads."""
        data = bytearray.fromhex(Method(market, "makeOffer").encode_input(asset, shop.terms().abi())[2:])
        data[4 + 32 * (1 + field)] = 1
        call = {"from": seller.address, "to": str(market), "data": "0x" + data.hex()}
        assert attempt(call) == ("", ())


RENTAL = OfferKind.RENTAL
LONGEST = 3650 * DAY


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": RENTAL, "period": 1},
        {"kind": RENTAL, "period": LONGEST},
        {"kind": RENTAL, "period": DAY, "renew_until": 2**40 - 1},
        {"kind": RENTAL, "period": DAY, "scope": Scope.UNTIL_END},
        {"scope": Scope.UNTIL_END, "period": 1},
        {"scope": Scope.ALL},
        {"deliver_within": HOUR},
        {"deliver_within": 30 * DAY},
        {"window": 0, "bond": 0},
        {"window": HOUR},
        {"window": 30 * DAY},
        {"bond": MIN_BOND},
        {"price": 0, "revocable": True},
        {"price": 0, "supply": 1, "allow_list": b"\1" * 32},
        {"price": 2**128 - 1, "bond": 2**128 - 1, "supply": 2**32 - 1, "salt": 2**64 - 1},
    ],
)
def test_sound_terms(shop, sealed, asset, market, changes):
    assert read(market, "offers", shop.offer(sealed, **changes).id(asset))[0] == now()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"kind": RENTAL, "period": 0}, ("Offers_BadPeriod", 0)),
        ({"kind": RENTAL, "period": LONGEST + 1}, ("Offers_BadPeriod", LONGEST + 1)),
        ({"scope": Scope.UNTIL_END, "period": 0}, ("Offers_BadPeriod", 0)),
        ({"scope": Scope.UNTIL_END, "period": LONGEST + 1}, ("Offers_BadPeriod", LONGEST + 1)),
        ({"scope": Scope.ALL, "period": 1}, ("Offers_BadPeriod", 1)),
        ({"period": 1}, ("Offers_BadPeriod", 1)),
        ({"renew_until": 1}, ("Offers_BadRenewal", 1)),
        ({"scope": Scope.UNTIL_END, "period": 1, "renew_until": 1}, ("Offers_BadRenewal", 1)),
        ({"deliver_within": HOUR - 1}, ("Offers_BadDeliveryTime", HOUR - 1)),
        ({"deliver_within": 30 * DAY + 1}, ("Offers_BadDeliveryTime", 30 * DAY + 1)),
        ({"window": HOUR - 1}, ("Offers_BadWindow", HOUR - 1)),
        ({"window": 30 * DAY + 1}, ("Offers_BadWindow", 30 * DAY + 1)),
        ({"bond": MIN_BOND - 1}, ("Offers_BondTooLow", MIN_BOND - 1, MIN_BOND)),
        ({"price": 1, "revocable": True}, ("Offers_PaidRevocable",)),
        ({"price": 0, "supply": 1}, ("Offers_OpenFreeSupply",)),
    ],
)
def test_unsound_terms(shop, market, asset, seller, changes, error):
    rejects(*error)(market.makeOffer, asset, shop.terms(**changes).abi(), sender=seller)


class TestCloseOffer:
    def test_closes_for_ever(self, shop, market, sealed, asset, seller):
        terms = shop.offer(sealed)
        opened = now()
        warp(opened + 5)

        tx = market.closeOffer(asset, terms.abi(), {"from": seller})

        assert events(tx) == [event("OfferClosed", asset=asset, offer=terms.id(asset), actor=seller)]
        assert read(market, "offers", terms.id(asset)) == (opened, 0, 0, True)

    def test_any_seller_of_the_asset_closes(self, shop, market, assets, sealed, asset, seller, agent):
        terms = shop.offer(sealed)
        assets.setRole(asset, agent, Role.SELLER, True, {"from": seller})
        market.closeOffer(asset, terms.abi(), {"from": agent})
        assert read(market, "offers", terms.id(asset))[3]

    def test_rejects_a_stranger(self, shop, market, sealed, asset, stranger):
        terms = shop.offer(sealed)
        rejects("Offers_NotAllowed", stranger, asset)(market.closeOffer, asset, terms.abi(), sender=stranger)

    def test_rejects_the_maker_who_lost_his_role(self, shop, market, assets, sealed, asset, seller, agent):
        assets.setRole(asset, agent, Role.SELLER, True, {"from": seller})
        terms = shop.offer(sealed, seller=address(agent))
        assets.setRole(asset, agent, Role.SELLER, False, {"from": seller})
        rejects("Offers_NotAllowed", agent, asset)(market.closeOffer, asset, terms.abi(), sender=agent)

    def test_rejects_what_was_never_open(self, shop, market, asset, seller):
        terms = shop.terms()
        rejects("Offers_NotOpen", terms.id(asset))(market.closeOffer, asset, terms.abi(), sender=seller)

    def test_rejects_what_is_closed(self, shop, market, sealed, asset, seller):
        terms = shop.offer(sealed)
        market.closeOffer(asset, terms.abi(), {"from": seller})
        rejects("Offers_NotOpen", terms.id(asset))(market.closeOffer, asset, terms.abi(), sender=seller)

    def test_l5_terms_of_other_offers_stay(self, shop, market, sealed, asset, seller):
        terms = shop.offer(sealed)
        other = replace(terms, salt=1)
        shop.offer(sealed, salt=1)
        market.closeOffer(asset, terms.abi(), {"from": seller})
        assert not read(market, "offers", other.id(asset))[3]


def test_constants(market):
    assert read(market, "MAX_PERIOD") == LONGEST
    assert (read(market, "MIN_TIME"), read(market, "MAX_TIME")) == (HOUR, 30 * DAY)
    assert read(market, "minBond") == MIN_BOND
