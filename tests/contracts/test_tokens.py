"""Purchases in tokens of every kind. See trees/Tokens.tree."""

from __future__ import annotations

import pytest

from brownie import CoinEntry, FeeCoin
from steelyard.domain.types import OfferKind, State
from tests.contracts.support.decode import error_of, event, events, one, outcome, rejects
from tests.contracts.support.read import Method, read
from tests.contracts.support.rpc import coins, now, revert, rpc, snapshot, warp
from tests.contracts.support.shop import CHAIN, DAY, ETHER, MIN_BOND, PRICE, address, number
from tests.contracts.support.tokens import FALSE, SOUND, give, make_token, priced


@pytest.fixture
def token(request, deployer):
    """A token of the kind that the test is run for; the usual one if it names none."""
    return make_token(getattr(request, "param", "usual"), deployer)


def _held(shop, token):
    return token.of(shop.market), token.of(shop.treasury)


@pytest.mark.parametrize("token", SOUND, indirect=True)
class TestSound:
    def test_c6_sale(self, shop, market, treasury, sealed, token, buyer, seller, contributor):
        give(shop, token, buyer, 1_000)
        order = shop.paid(sealed, **priced(token))
        assert _held(shop, token) == (1_000, 0)
        assert token.of(buyer) == 0
        shop.deliver(order, sealed)
        assert _held(shop, token) == (1_000, 0)
        warp(now() + DAY + 1)

        tx = market.settle(order.abi(), {"from": buyer})

        assert one(tx, "Received") == {
            "payee": shop.node,
            "source": bytes(32),
            "actor": address(market),
            "currency": address(token),
            "amount": 1_000,
        }
        assert _held(shop, token) == (0, 1_000)
        for index, payee, share in ((0, seller, 700), (1, contributor, 300)):
            treasury.claim(*shop.node_arguments(index, token), {"from": buyer})
            treasury.withdraw(payee, token, share, {"from": payee})
            assert token.of(payee) == share
        assert _held(shop, token) == (0, 0)
        assert coins(market) == ETHER
        assert shop.balance(shop.node) == coins(treasury) == 0

    def test_c6_refund(self, shop, market, treasury, sealed, token, buyer):
        give(shop, token, buyer, 1_000)
        order = shop.paid(sealed, **priced(token))
        warp(now() + DAY + 1)
        market.refund(order.abi(), {"from": buyer})
        assert (shop.balance(buyer, token), shop.balance(buyer)) == (1_000, MIN_BOND)
        treasury.withdraw(buyer, token, 1_000, {"from": buyer})
        assert token.of(buyer) == 1_000
        assert _held(shop, token) == (0, 0)

    def test_c6_atomic_rental_and_renewal(self, shop, market, sealed, token, buyer):
        give(shop, token, buyer, 2_000)
        rental = {"kind": OfferKind.RENTAL, "period": DAY, "renew_until": now() + 9 * DAY, "window": 0}
        order = shop.delivered(sealed, **priced(token, **rental))
        market.renew(order.abi(), {"from": buyer})
        assert shop.balance(shop.node, token) == 2_000
        assert _held(shop, token) == (0, 2_000)

    def test_c6_deposit_and_nothing_for_too_few(self, shop, market, treasury, sealed, token, buyer):
        give(shop, token, buyer, 1_000)
        treasury.deposit(shop.node, token, 1, {"from": buyer})
        assert shop.balance(shop.node, token) == token.of(treasury) == 1
        order = shop.order(sealed, shop.offer(sealed, **priced(token)))
        assert outcome(market.buy, order.abi(), [], sender=buyer) is not None


@pytest.mark.parametrize("token", FALSE, indirect=True)
class TestFalse:
    @pytest.fixture(autouse=True)
    def _lie(self, shop, token, buyer, deployer):
        give(shop, token, buyer, 1_000)
        if hasattr(token.contract, "setLie"):
            for account in (shop.market, shop.treasury):
                token.contract.setLie(account, 5_000, {"from": deployer})
        if token.contract._name == "ShrinkingCoin":
            for account in (shop.market, shop.treasury):
                token.contract.mint(account, 5_000, {"from": deployer})

    def test_c6_purchase_reverts(self, shop, market, sealed, token, buyer):
        order = shop.order(sealed, shop.offer(sealed, **priced(token)))
        rejects("Escrow_WrongTransfer", token, 1_000)(market.buy, order.abi(), [], sender=buyer)

    def test_c6_deposit_reverts(self, treasury, token, buyer):
        found = outcome(treasury.deposit, bytes(12) + address(buyer), token, 1_000, sender=buyer)
        moved = {"FeeCoin": 990, "BonusCoin": 1_001}.get(token.contract._name, 0)
        assert found == ("Treasury_WrongTransfer", (address(token), moved, 1_000))


class TestTurnsFalse:
    """An issuer that misbehaves while money is inside: his own column suffers, and nothing is mis-accounted."""

    @pytest.mark.parametrize("token", ["false return"], indirect=True)
    def test_c6_false_answer_reverts(self, shop, market, sealed, token, buyer):
        give(shop, token, buyer, 10)
        order = shop.order(sealed, shop.offer(sealed, **priced(token)))
        rejects("SafeERC20FailedOperation", token)(market.buy, order.abi(), [], sender=buyer)

    @pytest.mark.parametrize("token", ["pausable"], indirect=True)
    def test_c6_pause_delays_and_loses_nothing(self, shop, market, sealed, token, buyer, seller, deployer):
        give(shop, token, buyer, 1_000)
        order = shop.paid(sealed, **priced(token, window=0))
        token.contract.setPaused(True, {"from": deployer})
        arguments = (order.abi(), *shop.delivery(order, sealed))
        rejects("PausableCoin_Paused")(market.deliver, *arguments, sender=seller)
        assert shop.licence(order)["state"] == State.PAID
        token.contract.setPaused(False, {"from": deployer})
        market.deliver(*arguments, {"from": seller})
        assert shop.balance(shop.node, token) == 1_000

    @pytest.mark.parametrize("token", ["rebasing"], indirect=True)
    @pytest.mark.parametrize("rate", [5 * 10**17, 10**18 - 1])
    def test_c6_shrunk_balance_fails_alone(
        self, shop, market, treasury, sealed, token, buyer, rate, deployer
    ):
        give(shop, token, buyer, 1_000)
        order, native = shop.delivered(sealed, **priced(token)), shop.delivered(sealed, salt=1)
        token.contract.rebase(rate, {"from": deployer})
        warp(now() + DAY + 1)
        found = outcome(market.settle, order.abi(), sender=buyer)
        assert found[0] in ("ERC20InsufficientBalance", "Treasury_WrongTransfer")
        market.settle(native.abi(), {"from": buyer})
        assert (shop.balance(shop.node), shop.balance(shop.node, token)) == (PRICE, 0)

    @pytest.mark.parametrize("token", ["rebasing"], indirect=True)
    def test_c6_grown_balance_is_nobodys(self, shop, market, sealed, token, buyer, deployer):
        give(shop, token, buyer, 1_000)
        order = shop.delivered(sealed, **priced(token))
        token.contract.rebase(2 * 10**18, {"from": deployer})
        warp(now() + DAY + 1)
        market.settle(order.abi(), {"from": buyer})
        assert shop.balance(shop.node, token) == 1_000
        assert _held(shop, token) == (1_000, 1_000)

    @pytest.mark.parametrize("token", ["upgradable"], indirect=True)
    def test_c6_upgrade_to_a_fee_stops_payments_until_undone(
        self, shop, market, sealed, token, buyer, deployer
    ):
        give(shop, token, buyer, 1_000)
        order = shop.delivered(sealed, **priced(token))
        warp(now() + DAY + 1)
        usual = token._functions
        token.contract.upgrade(deployer.deploy(FeeCoin), {"from": deployer})
        rejects("Treasury_WrongTransfer", token, 990, 1_000)(market.settle, order.abi(), sender=buyer)
        token.contract.upgrade(usual, {"from": deployer})
        market.settle(order.abi(), {"from": buyer})
        assert shop.balance(shop.node, token) == 1_000

    @pytest.mark.parametrize("token", ["lying"], indirect=True)
    def test_c6_lie_during_withdrawal_reverts(self, shop, treasury, token, buyer, deployer):
        give(shop, token, buyer, 1_000)
        treasury.deposit(bytes(12) + address(buyer), token, 1_000, {"from": buyer})
        token.contract.setLie(treasury, 5, {"from": deployer})
        rejects("Treasury_WrongTransfer", token, 0, 1_000)(
            treasury.withdraw, buyer, token, 1_000, sender=buyer
        )

    @pytest.mark.parametrize("token", ["double entry"], indirect=True)
    def test_c6_two_addresses_are_two_columns(self, shop, treasury, token, buyer, other_buyer, deployer):
        """One pool of tokens under two names: what came in by one name goes out by the same one only."""
        second = CoinEntry[-1]
        give(shop, token, buyer, 1_000)
        token.send(deployer, "mint", other_buyer, 500)
        second.approve(treasury, 500, {"from": other_buyer})
        treasury.deposit(bytes(12) + address(buyer), token, 1_000, {"from": buyer})
        treasury.deposit(bytes(12) + address(other_buyer), second, 500, {"from": other_buyer})
        assert token.of(treasury) == 1_500
        rejects("Treasury_InsufficientBalance", 0, 1)(
            treasury.withdraw, other_buyer, token, 1, sender=other_buyer
        )
        rejects("Treasury_InsufficientBalance", 500, 501)(
            treasury.withdraw, other_buyer, second, 501, sender=other_buyer
        )
        treasury.withdraw(other_buyer, second, 500, {"from": other_buyer})
        treasury.withdraw(buyer, token, 1_000, {"from": buyer})
        assert token.of(treasury) == 0


@pytest.mark.parametrize("token", ["blocklist"], indirect=True)
class TestBlocklist:
    @pytest.mark.parametrize("barred", ["seller", "contributor"])
    def test_c7_barred_payee_traps_nobody(self, shop, treasury, sealed, token, deployer, roles, barred):
        give(shop, token, roles.buyer, 1_000)
        shop.settled(sealed, **priced(token))
        payees = {"seller": 700, "contributor": 300}
        token.contract.setBlocked(getattr(roles, barred), True, {"from": deployer})
        for index in (0, 1):
            treasury.claim(*shop.node_arguments(index, token), {"from": roles.stranger})
        for name, share in payees.items():
            payee = getattr(roles, name)
            if name == barred:
                rejects("BlocklistCoin_Blocked", payee)(treasury.withdraw, payee, token, share, sender=payee)
                treasury.withdraw(roles.stranger, token, share, {"from": payee})
            else:
                treasury.withdraw(payee, token, share, {"from": payee})
        assert token.of(treasury) == 0

    def test_c7_barred_buyer_is_refunded_in_the_books(
        self, shop, market, treasury, sealed, token, buyer, stranger, deployer
    ):
        give(shop, token, buyer, 1_000)
        order = shop.paid(sealed, **priced(token))
        token.contract.setBlocked(buyer, True, {"from": deployer})
        warp(now() + DAY + 1)
        market.refund(order.abi(), {"from": stranger})
        treasury.withdraw(stranger, token, 1_000, {"from": buyer})
        assert token.of(stranger) == 1_000

    def test_c7_barred_market_or_treasury_keeps_other_currencies_whole(
        self, shop, market, treasury, sealed, token, buyer, deployer
    ):
        give(shop, token, buyer, 1_000)
        order, native = shop.delivered(sealed, **priced(token)), shop.delivered(sealed, salt=1)
        token.contract.setBlocked(market, True, {"from": deployer})
        warp(now() + DAY + 1)
        rejects("BlocklistCoin_Blocked", market)(market.settle, order.abi(), sender=buyer)
        market.settle(native.abi(), {"from": buyer})
        assert coins(treasury) == shop.balance(shop.node) == PRICE


class TestPermit:
    def _permit(self, token, owner, spender, value, deadline, nonce=0):
        types = {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            "Permit": [
                {"name": "owner", "type": "address"},
                {"name": "spender", "type": "address"},
                {"name": "value", "type": "uint256"},
                {"name": "nonce", "type": "uint256"},
                {"name": "deadline", "type": "uint256"},
            ],
        }
        domain = {"name": "Coin", "version": "1", "chainId": CHAIN, "verifyingContract": str(token)}
        message = {
            "owner": str(owner),
            "spender": str(spender),
            "value": str(value),
            "nonce": str(nonce),
            "deadline": str(deadline),
        }
        typed = {"types": types, "domain": domain, "primaryType": "Permit", "message": message}
        signature = bytes.fromhex(rpc("eth_signTypedData_v4", str(owner), typed)[2:])
        return value, deadline, signature[64], signature[:32], signature[32:64]

    @pytest.fixture
    def case(self, shop, market, sealed, token, buyer, deployer):
        """A buyer without allowance, an order in the token, and his permit."""
        token.send(deployer, "mint", buyer, 1_000)
        order = shop.order(sealed, shop.offer(sealed, **priced(token)))
        return order, self._permit(token, buyer, market, 1_000, now() + DAY)

    def test_allowance_by_signature(self, shop, market, token, case, buyer):
        order, permit = case
        method = Method(market, "buyWithPermit")
        assert outcome(market.buy, order.abi(), [], sender=buyer)[0] == "ERC20InsufficientAllowance"
        assert outcome(method, order.abi(), [], permit, sender=buyer) is None

        tx = market.buyWithPermit(order.abi(), [], permit, {"from": buyer})

        assert [name for name, _ in events(tx)] == ["Approval", "Purchased", "Transfer"]
        assert shop.licence(order)["state"] == State.PAID
        assert token.of(market) == 1_000

    def test_c21_front_run_permit_is_no_obstacle(self, shop, market, token, case, buyer, stranger):
        order, permit = case
        token.send(stranger, "permit", buyer, market, *permit)
        market.buyWithPermit(order.abi(), [], permit, {"from": buyer})
        assert shop.licence(order)["state"] == State.PAID

    def test_token_without_permit_needs_an_allowance_only(self, shop, market, sealed, buyer, deployer):
        token = make_token("no return", deployer)
        give(shop, token, buyer, 1_000)
        order = shop.order(sealed, shop.offer(sealed, **priced(token)))
        market.buyWithPermit(order.abi(), [], (0, 0, 0, bytes(32), bytes(32)), {"from": buyer})
        assert token.of(market) == 1_000

    @pytest.mark.parametrize("fault", ["value", "deadline", "signature"])
    def test_bad_permit_leaves_no_allowance(self, market, case, buyer, fault):
        order, (value, deadline, v, r, s) = case
        wrong = {
            "value": (value - 1, deadline, v, r, s),
            "deadline": (value, now() - 1, v, r, s),
            "signature": (value, deadline, 55 - v, r, s),
        }[fault]
        rejects("ERC20InsufficientAllowance", market, 0, 1_000)(
            market.buyWithPermit, order.abi(), [], wrong, sender=buyer
        )

    def test_rejects_another_caller(self, market, case, buyer, stranger):
        order, permit = case
        rejects("Purchases_NotBuyer", stranger, buyer)(
            market.buyWithPermit, order.abi(), [], permit, sender=stranger
        )

    def test_native_coin_has_no_permit(self, shop, market, sealed, buyer):
        order = shop.order(sealed, shop.offer(sealed))
        rejects("")(
            market.buyWithPermit, order.abi(), [], (0, 0, 0, bytes(32), bytes(32)), sender=buyer, value=PRICE
        )


GUARDED = {
    "market": [
        "buy",
        "buyWithPermit",
        "deliver",
        "settle",
        "refund",
        "renew",
        "dispute",
        "requestKey",
        "deliverKey",
        "returnFee",
        "takeBond",
    ],
    "treasury": ["deposit", "collect", "move", "withdraw", "claim", "movePosition"],
}


class TestHooks:
    """C1: every guarded function called from inside every transfer of a token with hooks."""

    def _inner(self, shop, order, sealed):
        """Return call data that would pass the decoder of every guarded function."""
        delivered, proof = shop.delivery(order, sealed)
        fraud = shop.fraud(order, sealed, 2)
        request = shop.request(shop.id(order), sealed.id, shop.roles.buyer)
        permit = (0, 0, 0, bytes(32), bytes(32))
        node = shop.node_arguments(0)
        who = bytes(12) + address(shop.roles.stranger)
        arguments = {
            "buy": (order.abi(), []),
            "buyWithPermit": (order.abi(), [], permit),
            "deliver": (order.abi(), delivered, proof),
            "dispute": (order.abi(), fraud),
            "requestKey": (number(request.licence), request.version, request.key.abi(), DAY),
            "deliverKey": (request.abi(), sealed.version.abi(), (bytes(32), bytes(32)), delivered, proof),
            "returnFee": (request.abi(),),
            "takeBond": (0,),
            "deposit": (who, bytes(20), 0),
            "collect": (who, order.terms.currency, 0),
            "move": (who, bytes(20), 0),
            "withdraw": (shop.roles.stranger, bytes(20), 0),
            "claim": node,
            "movePosition": (*node[:3], shop.roles.stranger),
        }
        return {
            (part, name): Method(getattr(shop, part), name).encode_input(*arguments.get(name, (order.abi(),)))
            for part, names in GUARDED.items()
            for name in names
        }

    @pytest.mark.parametrize("outer", ["buy", "deliver", "settle", "refund", "renew", "withdraw", "deposit"])
    def test_c1_no_way_back_in(self, shop, market, treasury, sealed, deployer, buyer, seller, outer):
        token = make_token("hooks", deployer)
        give(shop, token, buyer, 10_000)
        window = 0 if outer in ("deliver", "renew") else DAY
        rental = {"kind": OfferKind.RENTAL, "period": DAY, "renew_until": now() + 99 * DAY}
        terms = priced(token, window=window, **(rental if outer == "renew" else {}))
        order = shop.order(sealed, shop.offer(sealed, **terms))
        call = self._outer(shop, sealed, order, token, outer)
        for (part, name), data in self._inner(shop, order, sealed).items():
            state = snapshot()
            token.contract.setHook(getattr(shop, part), data, {"from": deployer})
            before = token.of(market) + token.of(treasury)
            call()
            inside = outer in ("withdraw", "deposit", "deliver", "settle", "refund")
            if part == "market" and outer not in ("withdraw", "deposit") or part == "treasury" and inside:
                assert not read(token.contract, "succeeded"), name
                assert error_of(read(token.contract, "answer")) == ("ReentrancyGuardReentrantCall", ()), name
            moved = token.of(market) + token.of(treasury) - before
            paid_in = {"buy": 1_000, "renew": 1_000, "deposit": 1_000, "withdraw": -1_000}
            assert moved == paid_in.get(outer, 0)
            books = shop.balance(shop.node, token) + shop.balance(buyer, token)
            assert books == token.of(treasury)
            revert(state)

    def _outer(self, shop, sealed, order, token, outer):
        """Bring the purchase where the outer call is possible, and return that call."""
        market, treasury, buyer = shop.market, shop.treasury, shop.roles.buyer
        if outer == "deposit":
            return lambda: treasury.deposit(bytes(12) + address(buyer), token, 1_000, {"from": buyer})
        if outer == "withdraw":
            treasury.deposit(bytes(12) + address(buyer), token, 1_000, {"from": buyer})
            return lambda: treasury.withdraw(buyer, token, 1_000, {"from": buyer})
        if outer == "buy":
            return lambda: shop.buy(order)
        shop.buy(order)
        if outer == "deliver":
            return lambda: shop.deliver(order, sealed)
        if outer == "refund":
            warp(now() + DAY + 1)
            return lambda: market.refund(order.abi(), {"from": buyer})
        shop.deliver(order, sealed)
        if outer == "settle":
            warp(now() + DAY + 1)
            return lambda: market.settle(order.abi(), {"from": buyer})
        return lambda: market.renew(order.abi(), {"from": buyer})


def test_events_of_a_token_purchase(shop, market, sealed, token, buyer):
    give(shop, token, buyer, 1_000)
    order = shop.order(sealed, shop.offer(sealed, **priced(token)))
    tx = shop.buy(order)
    assert [name for name, _ in events(tx)] == ["Purchased", "Transfer"]
    assert events(tx)[1] == event("Transfer", from_=buyer, to=market, value=1_000)
