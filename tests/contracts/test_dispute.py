"""Disputes about real ciphertext. See trees/Dispute.tree."""

from __future__ import annotations

from dataclasses import replace

import pytest

from steelyard.crypto import content, delivery
from steelyard.crypto.curve import P, Point, add, mul, neg
from steelyard.crypto.secret import Secret
from steelyard.domain.types import State
from tests.contracts.support.decode import event, events, outcome, rejects
from tests.contracts.support.read import read
from tests.contracts.support.rpc import coins, now, warp
from tests.contracts.support.sealed import CONTENT
from tests.contracts.support.shop import (
    CHAIN,
    DAY,
    ETHER,
    MIN_BOND,
    PRICE,
    address,
    number,
    proof_abi,
    word,
)

LAST = 2
"""The partial leaf."""

from tests.contracts.support.tokens import give, make_token, priced


def _error(shop, order, fraud):
    found = outcome(shop.market.dispute, order.abi(), fraud, sender=shop.roles.buyer)
    return None if found is None else found[0]


def test_false_leaf_wins(shop, market, treasury, buyer, seller, capsys):
    false = shop.register("garbage", spoil=0)
    order = shop.delivered(false, supply=5)

    tx = market.dispute(order.abi(), shop.fraud(order, false, 0), {"from": buyer})

    paid = {"payee": word(buyer), "source": bytes(32), "actor": market, "currency": bytes(20)}
    asset = false.version.asset
    assert events(tx) == [
        event("VersionFlagged", asset=asset, version=false.id, actor=buyer, purchase=shop.id(order), index=0),
        event("Transfer", from_=buyer, to=bytes(20), tokenId=number(shop.id(order))),
        event(
            "Refunded",
            asset=asset,
            purchase=shop.id(order),
            actor=buyer,
            payer=buyer,
            price=PRICE,
            bond=MIN_BOND,
        ),
        event("Received", **paid, amount=PRICE),
        event("Received", **paid, amount=MIN_BOND),
    ]
    assert read(market, "flagged", false.id)
    assert shop.licence(order)["state"] == State.REFUNDED
    assert read(market, "balanceOf", buyer) == read(market, "offers", order.offer)[2] == 0
    assert coins(treasury) == shop.balance(buyer) == PRICE + MIN_BOND
    assert coins(market) == read(market, "freeBond", seller) == ETHER - MIN_BOND
    rejects("ERC721NonexistentToken", number(shop.id(order)))(
        market.ownerOf, number(shop.id(order)), sender=buyer
    )
    with capsys.disabled():
        print(f"\ndispute of a leaf of 4,096 bytes: {tx.gas_used:,} gas")


@pytest.mark.parametrize("leaf", [1, LAST])
def test_c18_false_leaf_wins_at_every_place(shop, leaf):
    false = shop.register("garbage", spoil=leaf)
    order = shop.delivered(false)
    assert _error(shop, order, shop.fraud(order, false, leaf)) is None


@pytest.mark.parametrize("leaf", [0, 1, LAST])
def test_c18_honest_leaf_does_not_win(shop, market, sealed, buyer, leaf):
    order = shop.delivered(sealed)
    rejects("FraudChecker_HonestLeaf", leaf)(
        market.dispute, order.abi(), shop.fraud(order, sealed, leaf), sender=buyer
    )


def test_c18_honest_leaves_of_a_false_version_do_not_win(shop, market, buyer):
    false = shop.register("garbage", spoil=1)
    order = shop.delivered(false)
    for leaf in (0, LAST):
        rejects("FraudChecker_HonestLeaf", leaf)(
            market.dispute, order.abi(), shop.fraud(order, false, leaf), sender=buyer
        )


def test_c18_wrong_salt_wins(shop):
    """Right plaintext under salts of another key is not what the format commits to."""
    false = shop.register("garbage", plaintext=CONTENT[:50], salt_key=Secret(bytes(31) + b"\x01"))
    order = shop.delivered(false)
    assert _error(shop, order, shop.fraud(order, false, 0)) is None


def test_c18_content_of_one_byte_can_be_disputed(shop):
    false = shop.register("garbage", plaintext=b"x", spoil=0)
    order = shop.delivered(false)
    assert _error(shop, order, shop.fraud(order, false, 0)) is None


def test_c18_whole_last_leaf_can_be_disputed(shop):
    false = shop.register("garbage", plaintext=CONTENT[: 2 * content.LEAF_SIZE], spoil=1)
    order = shop.delivered(false)
    assert _error(shop, order, shop.fraud(order, false, 1)) is None


def test_c18_wrong_counts_cannot_be_disputed(shop, market, buyer):
    """A size that does not go with the tree leaves no path to any leaf: clients must compare before they pay."""
    honest = shop.register("garbage")
    short = shop.seal(honest.version.asset, "short")
    short = replace(short, version=replace(short.version, size=2 * content.LEAF_SIZE))
    version, seller = short.version, shop.roles.seller
    shop.assets.publish(version.abi(), shop.key_proof(short, seller), {"from": seller})
    order = shop.delivered(short)
    witness = replace(short, version=version).witness(0)
    fraud = shop.fraud(order, short, 0)
    assert fraud[7] == witness.path
    rejects("Content_WrongPathLength", 2, 0, 2)(market.dispute, order.abi(), fraud, sender=buyer)


def test_anybody_with_the_opening_may_dispute(shop, market, stranger, buyer):
    false = shop.register("garbage", spoil=LAST)
    order = shop.delivered(false)
    market.dispute(order.abi(), shop.fraud(order, false, LAST), {"from": stranger})
    assert (shop.balance(buyer), shop.balance(stranger)) == (PRICE + MIN_BOND, 0)


@pytest.mark.parametrize("before", [1, 0])
def test_passes_within_the_window(shop, before):
    false = shop.register("garbage", spoil=LAST)
    order = shop.delivered(false)
    warp(shop.licence(order)["due"] - before)
    assert _error(shop, order, shop.fraud(order, false, LAST)) is None


def test_rejects_after_the_window(shop, market, buyer):
    false = shop.register("garbage", spoil=LAST)
    order = shop.delivered(false)
    due = shop.licence(order)["due"]
    warp(due + 1)
    rejects("Purchases_TooLate", due)(
        market.dispute, order.abi(), shop.fraud(order, false, LAST), sender=buyer
    )


def test_rejects_other_states(shop, market, buyer):
    false = shop.register("garbage", spoil=LAST)
    fraud = None
    for state, order in (
        (State.NONE, shop.order(false, shop.terms(), salt=9)),
        (State.PAID, shop.paid(false)),
        (State.SETTLED, shop.settled(false, salt=1)),
    ):
        fraud = shop.fraud(order, false, LAST)
        rejects("Purchases_WrongState", shop.id(order), state)(
            market.dispute, order.abi(), fraud, sender=buyer
        )


def test_rejects_a_second_dispute(shop, market, buyer):
    false = shop.register("garbage", spoil=LAST)
    order = shop.delivered(false)
    fraud = shop.fraud(order, false, LAST)
    market.dispute(order.abi(), fraud, {"from": buyer})
    rejects("Purchases_WrongState", shop.id(order), State.REFUNDED)(
        market.dispute, order.abi(), fraud, sender=buyer
    )


class TestWitness:
    """Each part of the witness, changed alone."""

    @pytest.fixture
    def case(self, shop):
        false = shop.register("garbage", spoil=LAST)
        return false, shop.delivered(false)

    def test_rejects_an_index_beyond_the_leaves(self, shop, market, case, buyer):
        false, order = case
        fraud = shop.fraud(order, false, LAST, index=3)
        rejects("Content_IndexOutOfRange", 3, 3)(market.dispute, order.abi(), fraud, sender=buyer)

    def test_rejects_another_index(self, shop, case):
        false, order = case
        fraud = shop.fraud(order, false, 0, index=1)
        assert _error(shop, order, fraud) == "Content_WrongRoot"

    @pytest.mark.parametrize("change", [-1, 1])
    def test_rejects_another_length(self, shop, market, case, buyer, change):
        false, order = case
        ciphertext = (false.witness(LAST).ciphertext + b"\0")[: 1_000 + change]
        fraud = shop.fraud(order, false, LAST, ciphertext=ciphertext)
        rejects("Content_WrongLength", 1_000 + change, 1_000)(
            market.dispute, order.abi(), fraud, sender=buyer
        )

    def test_rejects_another_ciphertext(self, shop, case):
        false, order = case
        ciphertext = false.witness(LAST).ciphertext
        fraud = shop.fraud(order, false, LAST, ciphertext=ciphertext[:-1] + bytes([ciphertext[-1] ^ 1]))
        assert _error(shop, order, fraud) == "Content_WrongRoot"

    def test_rejects_another_plaintext_hash(self, shop, case):
        false, order = case
        assert (
            _error(shop, order, shop.fraud(order, false, LAST, plaintext_hash=bytes(32)))
            == "Content_WrongRoot"
        )

    def test_rejects_another_path(self, shop, case):
        false, order = case
        path = false.witness(LAST).path
        assert len(path) == 1
        assert _error(shop, order, shop.fraud(order, false, LAST, path=(bytes(32),))) == "Content_WrongRoot"
        for wrong in ((), (*path, bytes(32))):
            assert (
                _error(shop, order, shop.fraud(order, false, LAST, path=wrong)) == "Content_WrongPathLength"
            )

    def test_rejects_another_delivery(self, shop, case):
        """A D of the buyer's own making would open to a key of his choice."""
        false, order = case
        assert (
            _error(shop, order, shop.fraud(order, false, LAST, delivered=P.abi())) == "Dleq_WrongCommitment"
        )

    def test_rejects_another_opening(self, shop, case):
        """So would a W of his own making; that is how honest content would be disputed."""
        false, order = case
        opening = mul(5, false.version.key).abi()
        assert _error(shop, order, shop.fraud(order, false, LAST, opening=opening)) == "Dleq_WrongCommitment"

    def test_rejects_a_proved_opening_of_another_scalar(self, shop, case, buyer):
        false, order = case
        context = delivery.dispute_context(
            CHAIN, market=address(shop.market), purchase=shop.id(order), version=false.id
        )
        b = Secret.from_scalar(5)
        point, proof = delivery.open_dispute(
            b, commitment=false.version.key, blinded=delivery.blind(b), context=context
        )
        fraud = shop.fraud(order, false, LAST, opening=point.abi(), opened=proof_abi(proof))
        assert _error(shop, order, fraud) == "Dleq_WrongCommitment"

    def test_rejects_points_off_the_curve(self, shop, case):
        false, order = case
        assert _error(shop, order, shop.fraud(order, false, LAST, delivered=(1, 1))) == "Dleq_OffCurve"
        assert _error(shop, order, shop.fraud(order, false, LAST, opening=(1, 1))) == "Dleq_OffCurve"

    @pytest.mark.parametrize(
        "bound", [{"market": bytes(20)}, {"purchase": bytes(32)}, {"version": bytes(32)}]
    )
    def test_c3_opening_for_another_market_purchase_or_version_is_rejected(self, shop, case, bound):
        false, order = case
        opening, opened = shop.opening(order, **bound)
        fraud = shop.fraud(order, false, LAST, opening=opening, opened=opened)
        assert _error(shop, order, fraud) == "Dleq_WrongCommitment"

    def test_c3_opening_of_another_purchase_is_rejected(self, shop, case, other_buyer):
        false, order = case
        theirs = shop.delivered(false, buyer=other_buyer)
        opening, opened = shop.opening(theirs)
        fraud = shop.fraud(order, false, LAST, opening=opening, opened=opened)
        assert _error(shop, order, fraud) == "Dleq_WrongCommitment"


class TestFlaggedVersion:
    @pytest.fixture
    def flagged(self, shop, market, buyer):
        """A version that was proved false, with one purchase of each kind beside the disputed one."""
        false = shop.register("garbage", spoil=LAST)
        disputed = shop.delivered(false)
        others = {
            "paid": shop.paid(false, salt=1),
            "delivered": shop.delivered(false, salt=2),
            "settled": shop.settled(false, salt=3, scope=2),
        }
        market.dispute(disputed.abi(), shop.fraud(disputed, false, LAST), {"from": buyer})
        return false, others

    def test_is_not_sold(self, shop, market, flagged, buyer):
        false, _ = flagged
        order = shop.order(false, shop.terms(), salt=7)
        rejects("Purchases_VersionFlagged", false.id)(market.buy, order.abi(), [], sender=buyer, value=PRICE)

    def test_is_not_delivered(self, shop, market, flagged, seller):
        false, others = flagged
        order = others["paid"]
        rejects("Purchases_VersionFlagged", false.id)(
            market.deliver, order.abi(), *shop.delivery(order, false), sender=seller
        )

    def test_is_not_settled(self, shop, market, flagged, seller):
        false, others = flagged
        order = others["delivered"]
        warp(shop.licence(order)["due"] + 1)
        rejects("Purchases_VersionFlagged", false.id)(market.settle, order.abi(), sender=seller)

    @pytest.mark.parametrize("state", ["paid", "delivered"])
    def test_unsettled_purchases_are_refunded_at_once_and_for_ever(self, shop, market, flagged, buyer, state):
        _, others = flagged
        before = shop.balance(buyer)
        warp(now() + (0 if state == "paid" else 90 * DAY))
        market.refund(others[state].abi(), {"from": buyer})
        assert shop.balance(buyer) - before == PRICE + MIN_BOND

    def test_settled_purchase_is_final(self, shop, market, flagged, buyer):
        _, others = flagged
        order = others["settled"]
        rejects("Purchases_WrongState", shop.id(order), State.SETTLED)(
            market.refund, order.abi(), sender=buyer
        )
        assert read(market, "isValid", number(shop.id(order)))

    def test_is_not_delivered_on_request(self, shop, market, flagged, buyer, seller):
        false, others = flagged
        request = shop.request(shop.id(others["settled"]), false.id, buyer)
        shop.ask(request)
        arguments = (request.abi(), false.version.abi(), (bytes(32), bytes(32)), *shop.answer(request, false))
        rejects("Purchases_VersionFlagged", false.id)(market.deliverKey, *arguments, sender=seller)
        market.returnFee(request.abi(), {"from": buyer})

    def test_other_versions_are_not_touched(self, shop, market, flagged, asset):
        false, _ = flagged
        good = shop.publish(false.version.asset, "good")
        shop.deliver(shop.paid(good, salt=8), good)


def test_c28_ten_open_purchases_and_one_proof(shop, market, treasury, buyer, other_buyer, stranger, seller):
    false = shop.register("garbage", spoil=LAST)
    orders = [shop.paid(false, salt=i, buyer=(buyer, other_buyer)[i % 2]) for i in range(10)]
    for order in orders[:5]:
        shop.deliver(order, false)
    market.dispute(orders[0].abi(), shop.fraud(orders[0], false, LAST), {"from": buyer})
    for order in orders[1:]:
        market.refund(order.abi(), {"from": stranger})
    assert shop.balance(buyer) == shop.balance(other_buyer) == 5 * (PRICE + MIN_BOND)
    assert coins(market) == read(market, "freeBond", seller) == ETHER - 10 * MIN_BOND
    assert coins(treasury) == 10 * (PRICE + MIN_BOND)
    assert shop.balance(shop.node) == 0


def test_c28_self_dispute_wins_the_seller_no_other_bond(shop, market, seller, buyer, roles):
    """The seller buys from himself and disputes: he gets his own price and bond back, and the others' stay theirs."""
    false = shop.register("garbage", spoil=LAST)
    victim = shop.delivered(false)
    own = shop.delivered(false, buyer=seller)
    market.dispute(own.abi(), shop.fraud(own, false, LAST), {"from": seller})
    assert shop.balance(seller) == PRICE + MIN_BOND
    market.refund(victim.abi(), {"from": buyer})
    assert shop.balance(buyer) == PRICE + MIN_BOND


def test_c27_dispute_with_a_reused_key_does_not_open_another_version(shop, market, buyer):
    """Q is used for an honest v1 and a false v2. After the dispute on v2 all that is public is combined in vain."""
    first = shop.register("double")
    second = shop.publish(first.version.asset, "second", spoil=LAST)
    one, two = shop.delivered(first), shop.delivered(second)
    assert one.key == two.key
    market.dispute(two.abi(), shop.fraud(two, second, LAST), {"from": buyer})

    d1, d2 = (Point(*shop.delivery(o, s)[0]) for o, s in ((one, first), (two, second)))
    w2 = Point(*shop.opening(two)[0])
    # What the dispute is meant to open, it opens.
    assert delivery.content_key(add(d2, neg(w2))) == second.content_key
    # b itself would open v1; only W = b*V2 is public.
    b = shop.blind(buyer, one.salt)
    assert delivery.unwrap(d1, b=b, commitment=first.version.key) == first.content_key
    public = [d1, d2, w2, one.key, first.version.key, second.version.key, P, add(one.key, neg(P))]
    sums = [*public, *(add(x, y) for x in public for y in (*public, *map(neg, public)) if x != neg(y))]
    candidates = {delivery.content_key(add(d1, neg(x))).reveal() for x in sums if x != d1}
    candidates |= {delivery.content_key(x).reveal() for x in sums}
    assert first.content_key.reveal() not in candidates
    assert len(candidates) > 100
    sent = bytes.fromhex(str(market.dispute.encode_input(two.abi(), shop.fraud(two, second, LAST)))[2:])
    assert b.reveal() not in sent


def test_a_token_that_does_not_move_cannot_stop_the_flag(shop, market, treasury, deployer, buyer):
    """The dispute flags; the refund follows when the token moves again, and the seller cannot settle meanwhile."""
    false = shop.register("garbage", spoil=0)
    coin = make_token("pausable", deployer)
    give(shop, coin, buyer, 1_000)
    order = shop.delivered(false, **priced(coin))
    coin.send(deployer, "setPaused", True)

    market.dispute(order.abi(), shop.fraud(order, false, 0), {"from": buyer})

    assert read(market, "flagged", false.id)
    assert shop.licence(order)["state"] == State.DELIVERED
    coin.send(deployer, "setPaused", False)
    warp(now() + 2 * DAY)
    rejects("Purchases_VersionFlagged", false.id)(market.settle, order.abi(), sender=buyer)
    market.refund(order.abi(), {"from": buyer})
    assert shop.balance(buyer, coin) == 1_000
    assert shop.balance(buyer) == MIN_BOND
