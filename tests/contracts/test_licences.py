"""Licences as ERC-721 tokens. See trees/Licences.tree."""

from __future__ import annotations

import pytest

from brownie import GasBurner, Reenterer
from steelyard.domain.types import OfferKind, Role, Scope, State
from tests.contracts.support.decode import event, events, outcome, rejects
from tests.contracts.support.read import Method, read
from tests.contracts.support.rpc import now, warp
from tests.contracts.support.shop import DAY, address, number

NONE = bytes(32)


@pytest.fixture
def order(shop, sealed):
    """A settled, transferable, perpetual licence of the buyer."""
    return shop.settled(sealed)


@pytest.fixture
def token(shop, order):
    """Its number."""
    return number(shop.id(order))


class TestToken:
    def test_has_no_owner_before_delivery(self, shop, market, sealed, buyer):
        token = number(shop.id(shop.paid(sealed)))
        rejects("ERC721NonexistentToken", token)(market.ownerOf, token, sender=buyer)
        rejects("ERC721NonexistentToken", token)(market.getApproved, token, sender=buyer)
        rejects("ERC721NonexistentToken", token)(market.approve, buyer, token, sender=buyer)
        rejects("ERC721NonexistentToken", token)(market.transferFrom, buyer, buyer, token, sender=buyer)
        assert read(market, "balanceOf", buyer) == 0
        assert not read(market, "isValid", token)
        assert read(market, "userOf", token) == bytes(20)
        assert read(market, "userExpires", token) == 0

    def test_belongs_to_the_buyer_from_delivery_on(self, market, token, buyer):
        assert read(market, "ownerOf", token) == address(buyer)
        assert read(market, "balanceOf", buyer) == 1
        assert read(market, "userOf", token) == address(buyer)

    def test_describes_itself(self, market):
        assert (read(market, "name"), read(market, "symbol")) == ("Steelyard Licences", "LICENCE")

    def test_balance_of_nobody_is_an_error(self, market, buyer):
        rejects("ERC721InvalidOwner", bytes(20))(market.balanceOf, "0x" + "0" * 40, sender=buyer)

    @pytest.mark.parametrize(
        ("interface", "answer"),
        [("0x01ffc9a7", True), ("0x80ac58cd", True), ("0x5b5e139f", True), ("0xffffffff", False)],
    )
    def test_supports(self, market, interface, answer):
        assert read(market, "supportsInterface", interface) is answer


class TestTransfer:
    def _moved(self, shop, tx, token, asset, actor, to):
        return [
            event("Transfer", from_=shop.roles.buyer, to=to, tokenId=token),
            event(
                "LicenceTransferred",
                asset=asset,
                licence=token.to_bytes(32, "big"),
                actor=actor,
                from_=shop.roles.buyer,
                to=to,
            ),
        ]

    def test_by_the_holder(self, shop, market, asset, order, token, buyer, other_buyer):
        tx = market.transferFrom(buyer, other_buyer, token, {"from": buyer})
        assert events(tx) == self._moved(shop, tx, token, asset, buyer, other_buyer)
        assert read(market, "ownerOf", token) == address(other_buyer)
        assert (read(market, "balanceOf", buyer), read(market, "balanceOf", other_buyer)) == (0, 1)
        assert shop.licence(order)["holder"] == address(other_buyer)
        assert shop.licence(order)["state"] == State.SETTLED

    def test_by_an_approved_account_once(self, shop, market, asset, token, buyer, other_buyer, stranger):
        tx = market.approve(stranger, token, {"from": buyer})
        assert events(tx) == [event("Approval", owner=buyer, approved=stranger, tokenId=token)]
        assert read(market, "getApproved", token) == address(stranger)

        tx = market.transferFrom(buyer, other_buyer, token, {"from": stranger})

        assert events(tx) == self._moved(shop, tx, token, asset, stranger, other_buyer)
        assert read(market, "getApproved", token) == bytes(20)
        rejects("ERC721InsufficientApproval", stranger, token)(
            market.transferFrom, other_buyer, stranger, token, sender=stranger
        )

    def test_by_an_operator(self, shop, market, asset, token, buyer, other_buyer, stranger):
        tx = market.setApprovalForAll(stranger, True, {"from": buyer})
        assert events(tx) == [event("ApprovalForAll", owner=buyer, operator=stranger, approved=True)]
        assert read(market, "isApprovedForAll", buyer, stranger)
        tx = market.transferFrom(buyer, other_buyer, token, {"from": stranger})
        assert events(tx) == self._moved(shop, tx, token, asset, stranger, other_buyer)

    def test_safely_to_a_contract_that_accepts(self, market, token, buyer, deployer):
        receiver = deployer.deploy(Reenterer)
        market.safeTransferFrom(buyer, receiver, token, {"from": buyer})
        assert read(market, "ownerOf", token) == address(receiver)

    def test_safely_with_data(self, market, token, buyer, deployer):
        receiver = deployer.deploy(Reenterer)
        market.safeTransferFrom(buyer, receiver, token, b"data", {"from": buyer})
        assert read(market, "ownerOf", token) == address(receiver)

    def test_rejects_a_contract_that_does_not_accept(self, shop, market, token, buyer, deployer):
        method = Method(market, "safeTransferFrom", 3)
        receiver = shop.fraud_checker
        rejects("ERC721InvalidReceiver", receiver)(method, buyer, receiver, token, sender=buyer)
        burner = deployer.deploy(GasBurner)
        rejects("ERC721InvalidReceiver", burner)(method, buyer, burner, token, sender=buyer)

    def test_rejects_nobody_as_receiver(self, market, token, buyer):
        rejects("ERC721InvalidReceiver", bytes(20))(
            market.transferFrom, buyer, "0x" + "0" * 40, token, sender=buyer
        )

    def test_rejects_a_stranger(self, market, token, buyer, stranger):
        rejects("ERC721InsufficientApproval", stranger, token)(
            market.transferFrom, buyer, stranger, token, sender=stranger
        )

    def test_rejects_a_wrong_owner(self, market, token, buyer, stranger):
        rejects("ERC721IncorrectOwner", stranger, token, buyer)(
            market.transferFrom, stranger, buyer, token, sender=buyer
        )

    def test_rejects_while_refundable(self, shop, market, sealed, buyer, other_buyer):
        order = shop.delivered(sealed)
        token = number(shop.id(order))
        due = shop.licence(order)["due"]
        for time in (now(), due, due + 1):
            warp(time)
            rejects("Licences_NotTransferable", token)(
                market.transferFrom, buyer, other_buyer, token, sender=buyer
            )
        market.settle(order.abi(), {"from": buyer})
        market.transferFrom(buyer, other_buyer, token, {"from": buyer})

    def test_rejects_when_the_terms_forbid_it(self, shop, market, sealed, buyer, other_buyer):
        token = number(shop.id(shop.settled(sealed, transferable=False)))
        rejects("Licences_NotTransferable", token)(
            market.transferFrom, buyer, other_buyer, token, sender=buyer
        )

    def test_refund_clears_an_approval(self, shop, market, buyer, stranger):
        false = shop.register("garbage", spoil=2)
        order = shop.delivered(false)
        token = number(shop.id(order))
        market.approve(stranger, token, {"from": buyer})
        tx = market.dispute(order.abi(), shop.fraud(order, false, 2), {"from": buyer})
        assert event("Transfer", from_=buyer, to=bytes(20), tokenId=token) in events(tx)
        rejects("ERC721NonexistentToken", token)(market.transferFrom, buyer, stranger, token, sender=stranger)

    def test_new_holder_may_pay_for_renewal(self, shop, market, sealed, buyer, other_buyer):
        terms = {"kind": OfferKind.RENTAL, "period": DAY, "renew_until": now() + 9 * DAY}
        order = shop.settled(sealed, **terms)
        token = number(shop.id(order))
        market.transferFrom(buyer, other_buyer, token, {"from": buyer})
        market.renew(order.abi(), {"from": other_buyer, "value": order.terms.price})
        assert read(market, "userOf", token) == address(other_buyer)


class TestValidity:
    def test_rental_is_valid_up_to_its_last_second(self, shop, market, sealed, buyer):
        order = shop.settled(sealed, kind=OfferKind.RENTAL, period=DAY)
        token, until = number(shop.id(order)), now() + DAY
        for time, valid in ((until - 1, True), (until, True), (until + 1, False)):
            warp(time)
            assert read(market, "isValid", token) is valid
            assert read(market, "userOf", token) == (address(buyer) if valid else bytes(20))
            assert read(market, "userExpires", token) == (until if valid else 0)
        assert read(market, "ownerOf", token) == address(buyer)

    def test_delivered_licence_is_valid_within_the_window(self, shop, market, sealed):
        assert read(market, "isValid", number(shop.id(shop.delivered(sealed))))

    def test_perpetual_until_end_stays_valid(self, shop, market, sealed):
        token = number(shop.id(shop.settled(sealed, scope=Scope.UNTIL_END, period=DAY)))
        warp(now() + 10 * DAY)
        assert read(market, "isValid", token)
        assert read(market, "userExpires", token) == 2**256 - 1


class TestCovers:
    def _covers(self, shop, order, sealed, published, origin=(NONE, NONE), asset=None):
        token = number(shop.id(order))
        return read(shop.market, "covers", token, asset or sealed.version.asset, sealed.id, published, origin)

    def test_one_covers_the_version_bought(self, shop, sealed, order, asset):
        second = shop.publish(asset, "second")
        origin = shop.origin(order)
        assert self._covers(shop, order, sealed, now(), origin)
        assert not self._covers(shop, order, second, now(), origin)
        assert not self._covers(shop, order, sealed, now())
        assert not self._covers(shop, order, sealed, now(), (origin[1], origin[0]))

    def test_all_covers_every_version_of_the_asset(self, shop, sealed):
        order = shop.settled(sealed, scope=Scope.ALL)
        assert self._covers(shop, order, sealed, 2**40 - 1)
        assert not self._covers(shop, order, sealed, 0)
        assert not self._covers(shop, order, sealed, now(), asset=bytes(32))

    @pytest.mark.parametrize("kind", list(OfferKind))
    def test_until_end_covers_what_is_published_up_to_then(self, shop, sealed, kind):
        order = shop.settled(sealed, scope=Scope.UNTIL_END, period=DAY, kind=kind)
        until = now() + DAY
        assert self._covers(shop, order, sealed, until)
        assert not self._covers(shop, order, sealed, until + 1)
        warp(until + 1)
        # The perpetual licence goes on; what it includes does not grow.
        assert self._covers(shop, order, sealed, until) is (kind == OfferKind.PERPETUAL)

    def test_nothing_before_delivery(self, shop, sealed):
        assert not self._covers(shop, shop.paid(sealed, scope=Scope.ALL), sealed, now())


class TestRevoke:
    @pytest.fixture
    def free(self, shop, sealed):
        """A free and revocable licence."""
        return shop.settled(sealed, price=0, revocable=True)

    def test_ends_a_free_licence(self, shop, market, asset, free, seller, buyer):
        token = number(shop.id(free))

        tx = market.revoke(token, {"from": seller})

        assert events(tx) == [
            event("Transfer", from_=buyer, to=bytes(20), tokenId=token),
            event("LicenceRevoked", asset=asset, licence=shop.id(free), actor=seller, from_=buyer),
        ]
        assert shop.licence(free)["state"] == State.REVOKED
        assert not read(market, "isValid", token)
        assert read(market, "balanceOf", buyer) == 0
        rejects("ERC721NonexistentToken", token)(market.ownerOf, token, sender=buyer)

    def test_by_a_seller_of_the_asset(self, shop, market, assets, asset, free, seller, agent):
        assets.setRole(asset, agent, Role.SELLER, True, {"from": seller})
        market.revoke(number(shop.id(free)), {"from": agent})

    def test_ends_it_in_other_hands(self, shop, market, free, seller, buyer, other_buyer):
        token = number(shop.id(free))
        market.transferFrom(buyer, other_buyer, token, {"from": buyer})
        tx = market.revoke(token, {"from": seller})
        assert events(tx)[0] == event("Transfer", from_=other_buyer, to=bytes(20), tokenId=token)

    def test_rejects_a_stranger(self, shop, market, asset, free, stranger, buyer):
        token = number(shop.id(free))
        for account in (stranger, buyer):
            rejects("Licences_NotAllowed", account, asset)(market.revoke, token, sender=account)

    def test_rejects_the_owner_before(self, shop, market, assets, asset, free, seller, stranger):
        assets.transferFrom(seller, stranger, number(asset), {"from": seller})
        token = number(shop.id(free))
        rejects("Licences_NotAllowed", seller, asset)(market.revoke, token, sender=seller)
        market.revoke(token, {"from": stranger})

    def test_rejects_what_was_paid(self, market, token, seller):
        rejects("Licences_NotRevocable", token)(market.revoke, token, sender=seller)

    def test_rejects_a_free_licence_that_is_not_revocable(self, shop, market, sealed, seller):
        token = number(shop.id(shop.settled(sealed, price=0)))
        rejects("Licences_NotRevocable", token)(market.revoke, token, sender=seller)

    def test_rejects_before_settlement(self, shop, market, sealed, seller):
        token = number(shop.id(shop.delivered(sealed, price=0, revocable=True)))
        rejects("Licences_NotRevocable", token)(market.revoke, token, sender=seller)

    def test_rejects_what_does_not_exist(self, market, seller):
        rejects("Licences_NotRevocable", 5)(market.revoke, 5, sender=seller)

    def test_l3_revoked_licence_never_returns(self, shop, market, sealed, free, seller, buyer):
        market.revoke(number(shop.id(free)), {"from": seller})
        expected = ("Purchases_WrongState", (shop.id(free), State.REVOKED))
        assert outcome(market.buy, free.abi(), [], sender=buyer) == expected
        assert outcome(market.deliver, free.abi(), *shop.delivery(free, sealed), sender=seller) == expected
        assert outcome(market.refund, free.abi(), sender=buyer) == expected
