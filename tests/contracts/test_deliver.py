"""Verified delivery. See trees/Purchases.tree."""

from __future__ import annotations

import pytest

from brownie import Market
from steelyard.crypto import delivery
from steelyard.crypto.curve import N, Point, neg
from steelyard.crypto.secret import Secret
from steelyard.domain.types import OfferKind, Scope, State
from tests.contracts.support.decode import event, events, one, outcome, rejects
from tests.contracts.support.read import read
from tests.contracts.support.rpc import coins, now, warp
from tests.contracts.support.shop import DAY, ETHER, MIN_BOND, PRICE, address, number, proof_abi


def test_opens_the_content_window(shop, market, sealed, buyer, seller):
    order = shop.paid(sealed)

    tx = shop.deliver(order, sealed)

    delivered, proof = shop.delivery(order, sealed)
    assert events(tx) == [
        event("Transfer", from_=bytes(20), to=buyer, tokenId=number(shop.id(order))),
        event(
            "Delivered",
            asset=sealed.version.asset,
            purchase=shop.id(order),
            actor=seller,
            delivered=delivered,
            until=0,
            settlesAt=now() + DAY,
        ),
        event("DeliveryProof", purchase=shop.id(order), proof=proof),
    ]
    record = shop.licence(order)
    assert (record["state"], record["due"], record["until"]) == (State.DELIVERED, now() + DAY, 0)
    assert read(market, "ownerOf", number(shop.id(order))) == address(buyer)
    assert read(market, "balanceOf", buyer) == 1
    assert coins(market) == PRICE + ETHER
    assert read(market, "freeBond", seller) == ETHER - MIN_BOND
    assert shop.balance(shop.node) == 0


def test_settles_at_once_without_a_window(shop, market, treasury, sealed, buyer, seller):
    order = shop.paid(sealed, window=0)

    tx = shop.deliver(order, sealed)

    assert [name for name, _ in events(tx)] == ["Transfer", "Delivered", "Received"]
    assert events(tx)[2] == event(
        "Received", payee=shop.node, source=bytes(32), actor=market, currency=bytes(20), amount=PRICE
    )
    assert shop.licence(order)["state"] == State.SETTLED
    assert one(tx, "Delivered")["settlesAt"] == now()
    assert coins(market) == ETHER
    assert coins(treasury) == shop.balance(shop.node) == PRICE
    assert read(market, "freeBond", seller) == ETHER


def test_settles_a_free_purchase_without_payment(shop, treasury, sealed):
    order = shop.paid(sealed, price=0, window=0)
    assert [name for name, _ in events(shop.deliver(order, sealed))] == ["Transfer", "Delivered"]
    assert coins(treasury) == 0


@pytest.mark.parametrize(
    "changes",
    [{"kind": OfferKind.RENTAL, "period": 5 * DAY}, {"scope": Scope.UNTIL_END, "period": 5 * DAY}],
)
def test_clock_starts_at_delivery(shop, sealed, changes):
    order = shop.paid(sealed, **changes)
    warp(now() + DAY - 7)
    shop.deliver(order, sealed)
    assert shop.licence(order)["until"] == now() + 5 * DAY


def test_buyer_derives_the_content_key_from_the_log(shop, sealed, buyer):
    order = shop.paid(sealed)
    point = Point(*one(shop.deliver(order, sealed), "Delivered")["delivered"])
    key = delivery.unwrap(point, b=shop.blind(buyer, order.salt), commitment=sealed.version.key)
    assert key == sealed.content_key


def test_anybody_may_relay(shop, market, sealed, stranger, buyer):
    order = shop.paid(sealed, window=0)
    shop.deliver(order, sealed, sender=stranger)
    assert read(market, "ownerOf", number(shop.id(order))) == address(buyer)
    assert shop.balance(shop.node) == PRICE
    assert shop.balance(stranger) == 0


@pytest.mark.parametrize("before", [1, 0])
def test_passes_up_to_the_due_time(shop, sealed, before):
    order = shop.paid(sealed)
    warp(shop.licence(order)["due"] - before)
    shop.deliver(order, sealed)


def test_rejects_after_the_due_time(shop, market, sealed, seller):
    order = shop.paid(sealed)
    due = shop.licence(order)["due"]
    warp(due + 1)
    rejects("Purchases_TooLate", due)(
        market.deliver, order.abi(), *shop.delivery(order, sealed), sender=seller
    )


def test_rejects_what_was_not_bought(shop, market, sealed, seller):
    order = shop.order(sealed, shop.offer(sealed))
    rejects("Purchases_WrongState", shop.id(order), State.NONE)(
        market.deliver, order.abi(), *shop.delivery(order, sealed), sender=seller
    )


def test_rejects_a_second_delivery(shop, market, sealed, seller):
    order = shop.delivered(sealed)
    rejects("Purchases_WrongState", shop.id(order), State.DELIVERED)(
        market.deliver, order.abi(), *shop.delivery(order, sealed), sender=seller
    )


def test_rejects_after_a_refund(shop, market, sealed, seller, stranger):
    order = shop.paid(sealed)
    warp(now() + DAY + 1)
    market.refund(order.abi(), {"from": stranger})
    rejects("Purchases_WrongState", shop.id(order), State.REFUNDED)(
        market.deliver, order.abi(), *shop.delivery(order, sealed), sender=seller
    )


def _error(shop, order, answer):
    found = outcome(shop.market.deliver, order.abi(), *answer, sender=shop.roles.seller)
    return None if found is None else found[0]


def _forge(kappa: Secret, shop, order) -> tuple:
    context = delivery.delivery_context(31_337, market=address(shop.market), purchase=shop.id(order))
    point, proof = delivery.deliver(kappa, blinded=order.key, context=context)
    return point.abi(), proof_abi(proof)


def test_c17_key_of_another_version_is_rejected(shop, sealed, asset):
    order = shop.paid(sealed)
    other = shop.publish(asset, "digits 2")
    assert _error(shop, order, _forge(other.kappa, shop, order)) == "Dleq_WrongCommitment"


def test_c17_negated_key_is_rejected(shop, sealed):
    order = shop.paid(sealed)
    mirrored = Secret.from_scalar(N - sealed.kappa.scalar())
    assert _error(shop, order, _forge(mirrored, shop, order)) == "Dleq_WrongCommitment"


def test_c17_honest_proof_for_another_point_is_rejected(shop, sealed):
    order = shop.paid(sealed)
    point, proof = shop.delivery(order, sealed)
    mirrored = neg(Point(*point)).abi()
    assert _error(shop, order, (mirrored, proof)) == "Dleq_WrongCommitment"
    assert _error(shop, order, (sealed.version.key.abi(), proof)) == "Dleq_WrongCommitment"
    assert _error(shop, order, ((point[0], point[1] ^ 1), proof)) == "Dleq_OffCurve"


@pytest.mark.parametrize(
    ("field", "error"),
    [(0, "Dleq_WrongCommitment"), (2, "Dleq_WrongCommitment"), (4, "Dleq_WrongInverse")],
)
def test_c17_changed_field_of_the_proof_is_rejected(shop, sealed, field, error):
    order = shop.paid(sealed)
    point, proof = shop.delivery(order, sealed)
    changed = list(proof)
    changed[field] = bytes([proof[0][0] ^ 1]) + proof[0][1:] if field == 0 else proof[field] + 1
    assert _error(shop, order, (point, tuple(changed))) == error


def test_c17_changed_points_of_the_proof_are_rejected(shop, sealed):
    order = shop.paid(sealed)
    point, (a1, a2, s, cy, inverse) = shop.delivery(order, sealed)
    key = sealed.version.key.abi()
    assert _error(shop, order, (point, (a1, key, s, cy, inverse))) == "Dleq_WrongCommitment"
    assert _error(shop, order, (point, (a1, a2, s, key, inverse))) == "Dleq_WrongHint"
    assert _error(shop, order, (point, (a1, a2, 0, cy, inverse))) == "Dleq_ResponseOutOfRange"
    assert _error(shop, order, (point, (a1, a2, N, cy, inverse))) == "Dleq_ResponseOutOfRange"


def test_c17_delivery_under_another_base_is_rejected(shop, sealed, buyer, other_buyer):
    """An honest delivery for one buyer, proof and all, opens nothing for another."""
    mine, theirs = shop.paid(sealed), shop.paid(sealed, buyer=other_buyer)
    assert _error(shop, mine, shop.delivery(theirs, sealed)) == "Dleq_WrongCommitment"


@pytest.mark.parametrize(
    "bound",
    [
        {"chain_id": 1},
        {"market": bytes(20)},
        {"purchase": bytes(32)},
    ],
)
def test_c3_delivery_proof_of_another_chain_market_or_purchase_is_rejected(shop, sealed, bound):
    order = shop.paid(sealed)
    assert _error(shop, order, shop.delivery(order, sealed, **bound)) == "Dleq_WrongCommitment"


def test_c3_delivery_proof_is_not_one_for_a_key_request(shop, sealed):
    order = shop.paid(sealed)
    context = delivery.key_context(31_337, market=address(shop.market), request=shop.id(order))
    point, proof = delivery.deliver(sealed.kappa, blinded=order.key, context=context)
    assert _error(shop, order, (point.abi(), proof_abi(proof))) == "Dleq_WrongCommitment"


def test_c3_delivery_proof_is_not_one_for_another_purchase_with_the_same_key(shop, sealed, market):
    """The same Q in two orders gives the same D, and still two proofs."""
    first = shop.paid(sealed)
    terms = shop.offer(sealed, salt=1)
    second = type(first)(
        version=first.version, terms=terms, buyer=first.buyer, salt=first.salt, key=first.key
    )
    shop.buy(second)
    assert shop.delivery(first, sealed)[0] == shop.delivery(second, sealed)[0]
    assert _error(shop, second, shop.delivery(first, sealed)) == "Dleq_WrongCommitment"
    assert _error(shop, second, shop.delivery(second, sealed)) is None


def test_c3_delivery_proof_of_another_deployment_is_rejected(shop, sealed, roles):
    """Same registry, same order, another market: the purchase has another id, and the proof another context."""
    other = roles.deployer.deploy(Market, shop.assets, shop.treasury, shop.fraud_checker, MIN_BOND)
    terms = shop.offer(sealed, bond=0, window=0)
    order = shop.order(sealed, terms)
    shop.buy(order)
    other.makeOffer(sealed.version.asset, terms.abi(), {"from": roles.seller})
    other.buy(order.abi(), [], {"from": roles.buyer, "value": PRICE})
    arguments = shop.delivery(order, sealed)
    assert outcome(shop.market.deliver, order.abi(), *arguments, sender=roles.seller) is None
    assert outcome(other.deliver, order.abi(), *arguments, sender=roles.seller)[0] == "Dleq_WrongCommitment"
