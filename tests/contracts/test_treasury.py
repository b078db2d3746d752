"""The books. See trees/Treasury.tree."""

from __future__ import annotations

from fractions import Fraction

import pytest

from brownie import Coin, TestPayer
from steelyard.domain.types import NATIVE, Position, node_id
from tests.contracts.support.decode import attempt, event, events, rejects
from tests.contracts.support.read import read
from tests.contracts.support.rpc import coins
from tests.contracts.support.shop import NODE_SALT, address, word

COIN = "0x" + "0" * 40


@pytest.fixture
def token(deployer, stranger, treasury):
    """A well-behaved ERC-20, of which the stranger has a thousand, all of them allowed to the treasury."""
    token = deployer.deploy(Coin, 18)
    token.mint(stranger, 1_000, {"from": deployer})
    token.approve(treasury, 1_000, {"from": stranger})
    return token


# The source of money that came from outside the books.
PAID_IN = bytes(32)


def _received(payee, source, actor, currency, amount):
    return event("Received", payee=payee, source=source, actor=actor, currency=currency, amount=amount)


class TestDeposit:
    def test_coin_to_an_account(self, shop, treasury, stranger, buyer):
        tx = treasury.deposit(word(buyer), COIN, 5, {"from": stranger, "value": 5})
        assert events(tx) == [_received(word(buyer), PAID_IN, stranger, COIN, 5)]
        assert shop.balance(buyer) == coins(treasury) == 5
        assert bytes(treasury.head(word(buyer))) == bytes(32)

    def test_token_to_a_node(self, shop, treasury, token, stranger):
        tx = treasury.deposit(shop.node, token, 7, {"from": stranger})
        assert events(tx)[-1] == _received(shop.node, PAID_IN, stranger, token, 7)
        assert [name for name, _ in events(tx)] == ["Transfer", "Received"]
        assert shop.balance(shop.node, token) == read(token, "balanceOf", treasury) == 7
        assert shop.balance(shop.node) == 0
        assert bytes(treasury.head(shop.node)) != bytes(32)

    def test_greatest_amount(self, shop, treasury, token, stranger, deployer):
        token.mint(stranger, 2**128, {"from": deployer})
        token.approve(treasury, 2**256 - 1, {"from": stranger})
        treasury.deposit(word(stranger), token, 2**128 - 1, {"from": stranger})
        assert shop.balance(stranger, token) == 2**128 - 1

    @pytest.mark.parametrize("value", [0, 4, 6])
    def test_rejects_another_value(self, treasury, stranger, value):
        rejects("Treasury_WrongValue", value, 5)(
            treasury.deposit, word(stranger), COIN, 5, sender=stranger, value=value
        )

    def test_rejects_coin_beside_a_token(self, treasury, token, stranger):
        rejects("Treasury_WrongValue", 5, 0)(
            treasury.deposit, word(stranger), token, 5, sender=stranger, value=5
        )

    @pytest.mark.parametrize("payee", [bytes(32), bytes(11) + b"\1" + bytes(20), b"\x7f" + bytes(31)])
    def test_rejects_what_is_no_payee(self, treasury, stranger, payee):
        rejects("Treasury_NotAPayee", payee)(treasury.deposit, payee, COIN, 5, sender=stranger, value=5)

    def test_rejects_a_token_without_allowance(self, treasury, token, buyer):
        rejects("ERC20InsufficientAllowance", treasury, 0, 5)(
            treasury.deposit, word(buyer), token, 5, sender=buyer
        )

    def test_rejects_a_currency_without_code(self, treasury, stranger):
        rejects("")(treasury.deposit, word(stranger), stranger, 5, sender=stranger)

    def test_rejects_plain_coin(self, treasury, stranger):
        assert attempt({"from": stranger.address, "to": str(treasury), "value": "0x1"}) == ("", ())


class TestCollect:
    @pytest.fixture
    def payer(self, deployer, token):
        """A contract with a hundred tokens that pays as many as it is told to."""
        payer = deployer.deploy(TestPayer)
        token.mint(payer, 100, {"from": deployer})
        return payer

    def test_credits_what_was_paid(self, shop, treasury, token, payer, stranger, buyer):
        payer.setPays(9, {"from": stranger})
        tx = payer.collect(treasury, word(buyer), token, 9, {"from": stranger})
        assert events(tx)[-1] == _received(word(buyer), PAID_IN, payer, token, 9)
        assert shop.balance(buyer, token) == read(token, "balanceOf", treasury) == 9

    @pytest.mark.parametrize("pays", [0, 8, 10])
    def test_rejects_what_was_not_measured(self, treasury, token, payer, stranger, pays):
        payer.setPays(pays, {"from": stranger})
        rejects("Treasury_WrongTransfer", token, pays, 9)(
            payer.collect, treasury, word(stranger), token, 9, sender=stranger
        )

    def test_rejects_an_account_without_code(self, treasury, token, stranger):
        rejects("")(treasury.collect, word(stranger), token, 9, sender=stranger)

    def test_rejects_what_is_no_payee(self, treasury, token, payer, stranger):
        payer.setPays(9, {"from": stranger})
        rejects("Treasury_NotAPayee", bytes(32))(
            payer.collect, treasury, bytes(32), token, 9, sender=stranger
        )


class TestMove:
    @pytest.fixture(autouse=True)
    def _ten(self, treasury, stranger):
        treasury.deposit(word(stranger), COIN, 10, {"from": stranger, "value": 10})

    def test_to_an_account(self, shop, treasury, stranger, buyer):
        tx = treasury.move(word(buyer), COIN, 4, {"from": stranger})
        assert events(tx)[-1] == _received(word(buyer), word(stranger), stranger, COIN, 4)
        assert (shop.balance(stranger), shop.balance(buyer)) == (6, 4)

    def test_to_a_node_is_income(self, shop, treasury, stranger):
        treasury.move(shop.node, COIN, 10, {"from": stranger})
        assert (shop.balance(stranger), shop.balance(shop.node)) == (0, 10)

    def test_to_himself_changes_nothing(self, shop, treasury, stranger):
        treasury.move(word(stranger), COIN, 10, {"from": stranger})
        assert shop.balance(stranger) == 10

    def test_rejects_more_than_there_is(self, treasury, stranger, buyer):
        rejects("Treasury_InsufficientBalance", 10, 11)(treasury.move, word(buyer), COIN, 11, sender=stranger)
        rejects("Treasury_InsufficientBalance", 0, 1)(treasury.move, word(buyer), COIN, 1, sender=buyer)

    def test_rejects_what_is_no_payee(self, treasury, stranger):
        rejects("Treasury_NotAPayee", bytes(32))(treasury.move, bytes(32), COIN, 1, sender=stranger)


class TestWithdraw:
    def test_coin(self, shop, treasury, stranger, buyer):
        treasury.deposit(word(stranger), COIN, 10, {"from": stranger, "value": 10})
        before = coins(buyer)
        tx = treasury.withdraw(buyer, COIN, 4, {"from": stranger})
        assert events(tx) == [event("Withdrawn", account=stranger, to=buyer, currency=COIN, amount=4)]
        assert coins(buyer) - before == 4
        assert coins(treasury) == shop.balance(stranger) == 6

    def test_token(self, shop, treasury, token, stranger, buyer):
        treasury.deposit(word(stranger), token, 10, {"from": stranger})
        tx = treasury.withdraw(buyer, token, 4, {"from": stranger})
        assert events(tx)[0] == event("Withdrawn", account=stranger, to=buyer, currency=token, amount=4)
        assert read(token, "balanceOf", buyer) == 4
        assert shop.balance(stranger, token) == read(token, "balanceOf", treasury) == 6

    def test_m5_changes_no_other_balance(self, shop, treasury, stranger, buyer):
        for account in (stranger, buyer):
            treasury.deposit(word(account), COIN, 10, {"from": account, "value": 10})
        treasury.withdraw(stranger, COIN, 10, {"from": stranger})
        assert (shop.balance(stranger), shop.balance(buyer)) == (0, 10)

    def test_rejects_more_than_there_is(self, treasury, stranger, buyer):
        treasury.deposit(word(stranger), COIN, 10, {"from": stranger, "value": 10})
        rejects("Treasury_InsufficientBalance", 10, 11)(
            treasury.withdraw, stranger, COIN, 11, sender=stranger
        )
        rejects("Treasury_InsufficientBalance", 0, 1)(treasury.withdraw, buyer, COIN, 1, sender=buyer)

    def test_rejects_a_receiver_that_refuses(self, shop, treasury, stranger):
        treasury.deposit(word(stranger), COIN, 10, {"from": stranger, "value": 10})
        rejects("Treasury_TransferRefused", shop.fraud_checker)(
            treasury.withdraw, shop.fraud_checker, COIN, 10, sender=stranger
        )


class TestNode:
    def test_name_is_that_of_the_package(self, shop, treasury):
        positions = [(p.payee, p.weight) for p in shop.positions]
        assert read(treasury, "nodeOf", NODE_SALT, positions) == shop.node
        assert read(treasury, "nodeOf", b"\1" * 32, positions) != shop.node
        assert shop.node[0] & 0x80

    def test_most_positions(self, treasury, seller):
        weights = [312] * 31 + [10_000 - 31 * 312]
        positions = tuple(Position(word(seller), weight) for weight in weights)
        expected = node_id(NODE_SALT, positions)
        assert read(treasury, "nodeOf", NODE_SALT, [(p.payee, p.weight) for p in positions]) == expected

    @pytest.mark.parametrize(
        "weights", [[], [9_999], [10_001], [0, 10_000], [5_000, 5_001], [65_535, 1], [100] * 100, [304] * 33]
    )
    def test_rejects_bad_weights(self, treasury, seller, weights):
        positions = [(word(seller), weight) for weight in weights]
        rejects("Treasury_BadPositions")(treasury.nodeOf, NODE_SALT, positions, sender=seller)

    def test_rejects_thirty_three_positions_of_the_right_sum(self, treasury, seller):
        positions = [(word(seller), 303)] * 32 + [(word(seller), 10_000 - 32 * 303)]
        rejects("Treasury_BadPositions")(treasury.nodeOf, NODE_SALT, positions, sender=seller)

    @pytest.mark.parametrize("payee", [bytes(32), b"\x40" + bytes(31)])
    def test_rejects_what_is_no_payee(self, treasury, seller, payee):
        rejects("Treasury_BadPositions")(treasury.nodeOf, NODE_SALT, [(payee, 10_000)], sender=seller)


class TestClaim:
    @pytest.fixture(autouse=True)
    def _income(self, shop, treasury, stranger):
        treasury.deposit(shop.node, COIN, 101, {"from": stranger, "value": 101})

    def test_pays_a_position(self, shop, treasury, stranger, seller, contributor):
        assert read(treasury, "claim", *shop.node_arguments(1, COIN), sender=stranger) == 30
        tx = treasury.claim(*shop.node_arguments(1, COIN), {"from": stranger})
        assert events(tx) == [
            event(
                "Claimed",
                node=shop.node,
                payee=word(contributor),
                actor=stranger,
                index=1,
                currency=COIN,
                amount=30,
            ),
            _received(word(contributor), shop.node, stranger, COIN, 30),
        ]
        assert shop.balance(contributor) == 30
        assert shop.balance(seller) == 0
        assert shop.balance(shop.node) == 101
        assert read(treasury, "paid", shop.node, 1, NATIVE) == 30

    def test_second_claim_pays_nothing_and_logs_nothing(self, shop, treasury, stranger):
        treasury.claim(*shop.node_arguments(0, COIN), {"from": stranger})
        tx = treasury.claim(*shop.node_arguments(0, COIN), {"from": stranger})
        assert events(tx) == []

    def test_later_income_is_owed_in_full(self, shop, treasury, stranger, seller, contributor):
        """Rounding is of the sum, not of each claim: after every wei claimed the result is the same."""
        for _ in range(9):
            for index in (0, 1):
                treasury.claim(*shop.node_arguments(index, COIN), {"from": stranger})
            treasury.deposit(shop.node, COIN, 1, {"from": stranger, "value": 1})
        for index in (1, 0):
            treasury.claim(*shop.node_arguments(index, COIN), {"from": stranger})
        assert (shop.balance(seller), shop.balance(contributor)) == (77, 33)

    def test_m3_dust_is_below_the_number_of_positions(self, shop, treasury, stranger, seller, contributor):
        for index in (0, 1):
            treasury.claim(*shop.node_arguments(index, COIN), {"from": stranger})
        paid = shop.balance(seller) + shop.balance(contributor)
        assert paid <= 101 < paid + 2

    def test_currencies_are_apart(self, shop, treasury, token, stranger, seller):
        assert read(treasury, "claim", *shop.node_arguments(0, token), sender=stranger) == 0
        treasury.deposit(shop.node, token, 10, {"from": stranger})
        treasury.claim(*shop.node_arguments(0, token), {"from": stranger})
        assert (shop.balance(seller, token), shop.balance(seller)) == (7, 0)

    def test_income_of_a_node_passes_on(self, shop, treasury, stranger, contributor):
        """Shares multiply along paths: a fifth of three tenths."""
        parent, salt = shop.node, b"\2" * 32
        positions = (Position(word(stranger), 8_000), Position(parent, 2_000))
        child = node_id(salt, positions)
        values = [(p.payee, p.weight) for p in positions]
        treasury.deposit(child, COIN, 1_000, {"from": stranger, "value": 1_000})
        tx = treasury.claim(salt, values, 1, COIN, {"from": stranger})
        assert events(tx) == [
            event("Claimed", node=child, payee=parent, actor=stranger, index=1, currency=COIN, amount=200),
            _received(parent, child, stranger, COIN, 200),
        ]
        assert shop.balance(parent) == 301
        treasury.claim(*shop.node_arguments(1, COIN), {"from": stranger})
        assert shop.balance(contributor) == Fraction(301) * 3_000 // 10_000

    def test_rejects_an_index_beyond(self, shop, treasury, stranger):
        rejects("Treasury_NoPosition", 2, 2)(treasury.claim, *shop.node_arguments(2, COIN), sender=stranger)

    def test_rejects_bad_positions(self, treasury, stranger):
        rejects("Treasury_BadPositions")(
            treasury.claim, NODE_SALT, [(word(stranger), 1)], 0, COIN, sender=stranger
        )

    def test_other_positions_are_another_node(self, shop, treasury, stranger):
        salt, _, index, currency = shop.node_arguments(0, COIN)
        mine = [(word(stranger), 10_000)]
        assert read(treasury, "claim", salt, mine, index, currency, sender=stranger) == 0


class TestMovePosition:
    def test_gives_it_whole(self, shop, treasury, seller, contributor, stranger):
        treasury.deposit(shop.node, COIN, 100, {"from": stranger, "value": 100})
        salt, positions, index, _ = shop.node_arguments(1)

        tx = treasury.movePosition(salt, positions, index, stranger, {"from": contributor})

        assert events(tx) == [
            event("PositionMoved", node=shop.node, to=word(stranger), actor=contributor, index=1)
        ]
        assert read(treasury, "holder", shop.node, 1) == address(stranger)
        tx = treasury.claim(*shop.node_arguments(1, COIN), {"from": seller})
        assert events(tx)[0][1]["payee"] == word(stranger)
        assert (shop.balance(stranger), shop.balance(contributor)) == (30, 0)

    def test_new_holder_moves_it_on_and_back(self, shop, treasury, contributor, stranger):
        salt, positions, index, _ = shop.node_arguments(1)
        treasury.movePosition(salt, positions, index, stranger, {"from": contributor})
        rejects("Treasury_NotHolder", contributor)(
            treasury.movePosition, salt, positions, index, contributor, sender=contributor
        )
        treasury.movePosition(salt, positions, index, contributor, {"from": stranger})
        assert read(treasury, "holder", shop.node, 1) == address(contributor)

    def test_transfer_of_the_asset_moves_no_position(self, shop, treasury, assets, asset, seller, stranger):
        assets.transferFrom(seller, stranger, int.from_bytes(asset, "big"), {"from": seller})
        treasury.deposit(shop.node, COIN, 100, {"from": stranger, "value": 100})
        treasury.claim(*shop.node_arguments(0, COIN), {"from": stranger})
        assert shop.balance(seller) == 70

    def test_rejects_who_does_not_hold_it(self, shop, treasury, seller, stranger):
        salt, positions, _, _ = shop.node_arguments(1)
        for account in (seller, stranger):
            rejects("Treasury_NotHolder", account)(
                treasury.movePosition, salt, positions, 1, account, sender=account
            )

    def test_rejects_the_position_of_a_node(self, shop, treasury, stranger):
        rejects("Treasury_NotHolder", stranger)(
            treasury.movePosition, NODE_SALT, [(shop.node, 10_000)], 0, stranger, sender=stranger
        )

    def test_rejects_an_index_beyond(self, shop, treasury, contributor):
        salt, positions, _, _ = shop.node_arguments(1)
        rejects("Treasury_NoPosition", 2, 2)(
            treasury.movePosition, salt, positions, 2, contributor, sender=contributor
        )

    def test_rejects_nobody(self, shop, treasury, contributor):
        salt, positions, _, _ = shop.node_arguments(1)
        rejects("Treasury_NotAPayee", bytes(32))(
            treasury.movePosition, salt, positions, 1, COIN, sender=contributor
        )

    def test_rejects_bad_positions(self, treasury, contributor):
        rejects("Treasury_BadPositions")(
            treasury.movePosition, NODE_SALT, [], 0, contributor, sender=contributor
        )


def test_constants(treasury):
    assert (read(treasury, "BASIS"), read(treasury, "MAX_POSITIONS")) == (10_000, 32)
