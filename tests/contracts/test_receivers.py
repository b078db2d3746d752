"""Receivers that burn, shout, refuse or come back, and coin that nobody asked for. See trees/Receivers.tree."""

from __future__ import annotations

import pytest

from brownie import GasBurner, LargeAnswer, Reenterer
from tests.contracts.support.decode import error_of, outcome, rejects
from tests.contracts.support.read import Method, read
from tests.contracts.support.rpc import coins, now, warp
from tests.contracts.support.shop import DAY, ETHER, MIN_BOND, PRICE, address, number, word

COIN = "0x" + "0" * 40


@pytest.fixture
def _ten(treasury, stranger):
    """Ten wei of the stranger in the books."""
    treasury.deposit(word(stranger), COIN, 10, {"from": stranger, "value": 10})


@pytest.mark.usefixtures("_ten")
class TestReceivers:
    def test_c8_gas_burner_is_refused_and_traps_nobody(self, shop, treasury, stranger, deployer):
        burner = deployer.deploy(GasBurner)
        rejects("Treasury_TransferRefused", burner)(treasury.withdraw, burner, COIN, 10, sender=stranger)
        treasury.withdraw(stranger, COIN, 10, {"from": stranger})

    def test_c8_megabyte_of_failure_is_not_copied(self, treasury, stranger, deployer):
        shouter = deployer.deploy(LargeAnswer, True)
        rejects("Treasury_TransferRefused", shouter)(treasury.withdraw, shouter, COIN, 10, sender=stranger)

    def test_c8_megabyte_of_success_costs_its_receiver_alone(self, treasury, stranger, deployer):
        shouter = deployer.deploy(LargeAnswer, False)
        tx = treasury.withdraw(shouter, COIN, 10, {"from": stranger})
        assert coins(shouter) == 10
        # A megabyte of memory is two million gas. Copied, it would be four.
        assert 2_000_000 < tx.gas_used < 2_200_000

    @pytest.mark.parametrize("name", ["withdraw", "move", "deposit", "claim"])
    def test_c1_receiver_of_coin_does_not_come_back(self, shop, treasury, stranger, deployer, name):
        receiver = deployer.deploy(Reenterer)
        treasury.deposit(word(receiver), COIN, 10, {"from": stranger, "value": 10})
        arguments = {
            "withdraw": (receiver, COIN, 5),
            "move": (word(stranger), COIN, 5),
            "deposit": (word(stranger), COIN, 0),
            "claim": shop.node_arguments(0),
        }[name]
        receiver.setCall(treasury, Method(treasury, name).encode_input(*arguments), {"from": stranger})
        out = treasury.withdraw.encode_input(receiver, COIN, 5)

        receiver.execute(treasury, 0, out, {"from": stranger})

        assert read(receiver, "called")
        assert not read(receiver, "succeeded")
        assert error_of(read(receiver, "answer")) == ("ReentrancyGuardReentrantCall", ())
        assert (shop.balance(receiver), coins(receiver)) == (5, 5)


def test_c8_refund_is_a_credit_that_no_buyer_can_block(shop, market, treasury, sealed, deployer, stranger):
    buyer = deployer.deploy(Reenterer)
    order = shop.order(sealed, shop.offer(sealed), buyer=buyer)
    buyer.setCall(market, market.refund.encode_input(order.abi()), {"from": stranger})
    buyer.execute(market, PRICE, market.buy.encode_input(order.abi(), []), {"from": stranger, "value": PRICE})
    warp(now() + DAY + 1)
    market.refund(order.abi(), {"from": stranger})
    assert not read(buyer, "called")
    assert shop.balance(buyer) == PRICE + MIN_BOND


def test_c1_delivery_calls_no_receiver(shop, market, sealed, deployer, stranger):
    """The token of a licence is minted without a callback: a contract that would come back is never asked."""
    buyer = deployer.deploy(Reenterer)
    order = shop.order(sealed, shop.offer(sealed, window=0), buyer=buyer)
    buyer.setCall(market, market.refund.encode_input(order.abi()), {"from": stranger})
    buyer.execute(market, PRICE, market.buy.encode_input(order.abi(), []), {"from": stranger, "value": PRICE})
    shop.deliver(order, sealed)
    assert not read(buyer, "called")
    assert read(market, "ownerOf", number(shop.id(order))) == address(buyer)


def test_c1_licence_receiver_comes_back_to_a_finished_transfer(
    shop, market, sealed, deployer, buyer, stranger
):
    receiver = deployer.deploy(Reenterer)
    token = number(shop.id(shop.settled(sealed)))
    back = market.transferFrom.encode_input(receiver, stranger, token)
    receiver.setCall(market, back, {"from": stranger})
    market.safeTransferFrom(buyer, receiver, token, {"from": buyer})
    assert read(receiver, "succeeded")
    assert read(market, "ownerOf", token) == address(stranger)
    assert [read(market, "balanceOf", a) for a in (buyer, receiver, stranger)] == [0, 0, 1]


def _force(account, target, amount):
    """Send coin to a contract that takes none: creation code that destroys itself in favour of the target."""
    code = "0x73" + str(target)[2:] + "ff"
    account.transfer(None, amount, data=code, gas_limit=200_000)


class TestForcedCoin:
    def test_c19_changes_no_book(self, shop, market, treasury, sealed, stranger, seller, buyer):
        for contract in (market, treasury):
            _force(stranger, contract, 7)
        assert (coins(market), coins(treasury)) == (ETHER + 7, 7)
        first, second = shop.settled(sealed), shop.paid(sealed, salt=1)
        warp(now() + DAY + 1)
        market.refund(second.abi(), {"from": buyer})
        assert shop.balance(shop.node) == first.terms.price
        assert shop.balance(buyer) == PRICE + MIN_BOND
        assert coins(market) - 7 == read(market, "freeBond", seller) == ETHER - MIN_BOND
        assert coins(treasury) - 7 == 2 * PRICE + MIN_BOND

    def test_c19_surplus_is_nobodys(self, shop, market, treasury, stranger, seller):
        for contract in (market, treasury):
            _force(stranger, contract, 7)
        rejects("Escrow_BondTooLow", ETHER, ETHER + 1)(market.takeBond, ETHER + 1, sender=seller)
        rejects("Treasury_InsufficientBalance", 0, 7)(treasury.withdraw, stranger, COIN, 7, sender=stranger)
        assert outcome(market.takeBond, ETHER, sender=seller) is None
