"""What happens between payment and delivery, and what a re-organisation changes. See trees/Interleaved.tree."""

from __future__ import annotations

import random

import pytest

from steelyard.domain.types import Role, State
from tests.contracts.support.decode import outcome
from tests.contracts.support.read import read
from tests.contracts.support.rpc import coins, height, now, reorganise, rpc, warp
from tests.contracts.support.shop import DAY, ETHER, MIN_BOND, PRICE, address, number


def _close(shop, order, sealed):
    shop.market.closeOffer(sealed.version.asset, order.terms.abi(), {"from": shop.roles.seller})


def _transfer(shop, order, sealed):
    roles = shop.roles
    shop.assets.transferFrom(
        roles.seller, roles.stranger, number(sealed.version.asset), {"from": roles.seller}
    )


def _publish(shop, order, sealed):
    shop.publish(sealed.version.asset, "newer", node=b"\xff" * 32)


def _revoke_role(shop, order, sealed):
    roles = shop.roles
    for granted in (True, False):
        shop.assets.setRole(sealed.version.asset, roles.agent, Role.SELLER, granted, {"from": roles.seller})


def _move_position(shop, order, sealed):
    salt, positions, index, _ = shop.node_arguments(0)
    shop.treasury.movePosition(salt, positions, index, shop.roles.stranger, {"from": shop.roles.seller})


def _take_bond(shop, order, sealed):
    shop.market.takeBond(ETHER - MIN_BOND, {"from": shop.roles.seller})


def _cheaper_offer(shop, order, sealed):
    shop.offer(sealed, price=1, salt=99)


CHANGES = (_close, _transfer, _publish, _revoke_role, _move_position, _take_bond, _cheaper_offer)


@pytest.mark.parametrize("change", CHANGES)
class TestOutlives:
    def test_c25_delivered_and_settled_as_bought(self, shop, market, sealed, buyer, stranger, change):
        order = shop.paid(sealed)
        before = shop.licence(order)
        change(shop, order, sealed)
        assert shop.licence(order) == before
        shop.deliver(order, sealed, sender=stranger)
        assert shop.licence(order)["due"] == now() + DAY
        warp(now() + DAY + 1)
        market.settle(order.abi(), {"from": stranger})
        assert shop.balance(shop.node) == PRICE
        assert read(market, "ownerOf", number(shop.id(order))) == address(buyer)
        assert read(market, "freeBond", shop.roles.seller) + shop.balance(shop.roles.seller) == ETHER

    def test_c25_refunded_as_bought(self, shop, market, sealed, buyer, stranger, change):
        order = shop.paid(sealed)
        change(shop, order, sealed)
        warp(now() + DAY + 1)
        market.refund(order.abi(), {"from": stranger})
        assert shop.balance(buyer) == PRICE + MIN_BOND


@pytest.mark.parametrize("deliverer", ["seller", "stranger"])
def test_c25_either_owner_delivers_after_a_transfer(shop, sealed, roles, deliverer):
    order = shop.paid(sealed)
    _transfer(shop, order, sealed)
    shop.deliver(order, sealed, sender=getattr(roles, deliverer))
    assert shop.licence(order)["state"] == State.DELIVERED


def test_c25_newer_version_in_front_of_the_purchase_is_not_delivered(shop, market, sealed, seller):
    """The order names its version; the key of a newer one does not fit."""
    newer = shop.publish(sealed.version.asset, "newer")
    order = shop.paid(sealed)
    arguments = shop.delivery(order, newer)
    assert outcome(market.deliver, order.abi(), *arguments, sender=seller)[0] == "Dleq_WrongCommitment"
    shop.deliver(order, sealed)


def test_c29_supply_against_refunds(shop, market, sealed, buyer, other_buyer):
    """A random walk: places taken are the purchases that are paid or licences that are out, never above the supply."""
    chance = random.Random(29)
    terms = shop.offer(sealed, supply=3, window=0)
    offer, taken, waiting, reached = terms.id(sealed.version.asset), 0, [], set()
    for step in range(24):
        buyers = (buyer, other_buyer)
        act = chance.choice(("buy", "buy", "refund", "deliver" if taken - len(waiting) < 2 else "refund"))
        if act == "buy":
            order = shop.order(sealed, terms, salt=step, buyer=buyers[step % 2])
            if taken == 3:
                found = outcome(market.buy, order.abi(), [], sender=buyers[step % 2], value=PRICE)
                assert found == ("Offers_SoldOut", (offer,))
                reached.add("sold out")
                continue
            shop.buy(order)
            taken, waiting = taken + 1, [*waiting, order]
        elif waiting and act == "deliver":
            shop.deliver(waiting.pop(0), sealed)
        elif waiting:
            warp(now() + DAY + 1)
            for order in waiting:
                market.refund(order.abi(), {"from": buyer})
            taken, waiting = taken - len(waiting), []
        reached.add(act)
        assert read(market, "offers", offer)[2] == taken <= 3
    assert reached == {"buy", "refund", "deliver", "sold out"}
    assert coins(market) == read(market, "freeBond", shop.roles.seller) + len(waiting) * (PRICE + MIN_BOND)


def _transaction(tx):
    """Return a transaction of this chain as a request, to be mined again elsewhere."""
    raw = rpc("eth_getTransactionByHash", tx.txid)
    return {
        "from": raw["from"],
        "to": raw["to"],
        "data": raw["input"],
        "value": raw["value"],
        "gas": hex(5_000_000),
    }


class TestReorganisation:
    def test_c26_ids_and_proofs_survive_another_order_of_blocks(
        self, shop, market, sealed, buyer, other_buyer, seller
    ):
        """Two purchases and a publication, mined again the other way round: the same ids, and each proof fits its own."""
        terms = shop.offer(sealed)
        orders = [shop.order(sealed, terms, buyer=b) for b in (buyer, other_buyer)]
        newer = shop.seal(sealed.version.asset, "newer")
        base = height()
        transactions = [_transaction(shop.buy(order)) for order in orders]
        publish = shop.assets.publish(newer.version.abi(), shop.key_proof(newer, seller), {"from": seller})
        transactions.append(_transaction(publish))
        answers = [shop.delivery(order, sealed) for order in orders]

        depth = height() - base
        reorganise(depth, [(tx, depth - 1 - i) for i, tx in enumerate(transactions)])

        assert height() == base + depth
        assert read(shop.assets, "release", newer.id)[1] == 2
        for order, answer in zip(orders, answers, strict=True):
            assert shop.licence(order)["state"] == State.PAID
            assert read(market, "idsOf", order.abi())[2] == shop.id(order)
            assert shop.delivery(order, sealed) == answer
            market.deliver(order.abi(), *answer, {"from": seller})

    def test_c26_dropped_purchase_can_be_paid_again_and_its_old_proof_still_fits(
        self, shop, market, sealed, buyer, seller
    ):
        order = shop.order(sealed, shop.offer(sealed, window=0))
        base = height()
        shop.buy(order)
        shop.deliver(order, sealed)
        answer = shop.delivery(order, sealed)

        reorganise(height() - base, [])

        assert shop.licence(order)["state"] == State.NONE
        shop.buy(order)
        market.deliver(order.abi(), *answer, {"from": seller})
        assert shop.licence(order)["state"] == State.SETTLED
        assert shop.balance(shop.node) == PRICE
        assert outcome(market.deliver, order.abi(), *answer, sender=seller)[0] == "Purchases_WrongState"
        assert outcome(market.buy, order.abi(), [], sender=buyer, value=PRICE)[0] == "Purchases_WrongState"
