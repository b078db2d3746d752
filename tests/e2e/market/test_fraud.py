"""A seller who lies about the content, or hides how he delivered; a node that lies about the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from steelyard.chain.calls import Call, call_data
from steelyard.chain.sender import Sender
from steelyard.domain.types import Address, State
from steelyard.errors import (
    LeafError,
    RefusedError,
    RevertError,
    RpcError,
    UnsafeError,
)
from steelyard.market import Market
from steelyard.service import sealing
from steelyard.service.results import Offered, Published, Purchase
from tests.e2e.support import PRICE, MarketOf, Travel, same_files, seal_falsely


@pytest.fixture
def fraud(seller: Market, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    """A version whose ciphertext and root agree, and one leaf of which is not what the leaf list says."""
    with monkeypatch.context() as patch:
        patch.setattr(sealing, "seal_chunk", seal_falsely)
        published = seller.publish(folder, name="false")
    seller.fund_bond(10 * seller.context.deployment.min_bond)
    seller.offer(published.ref, price=PRICE, window=3600)
    return published


def test_a_false_version_is_disputed_and_everybody_refunded(
    market_of: MarketOf, seller: Market, buyer: Market, fraud: Published, tmp_path: Path
) -> None:
    other = market_of()
    purchase, waiting = buyer.buy(fraud.ref, wait=False), other.buy(fraud.ref, wait=False)
    bond = purchase.terms.bond
    seller.deliver(purchase)
    with pytest.raises(LeafError, match="Dispute purchase") as caught:
        buyer.pull(purchase, tmp_path / "out")
    assert caught.value.leaf == 256 + 5
    assert not (tmp_path / "out").exists()
    disputed = buyer.dispute(purchase)
    assert disputed.state is State.REFUNDED and disputed.flagged
    assert buyer.balance().treasury == PRICE + bond
    assert other.refund(waiting).state is State.REFUNDED
    assert other.balance().treasury == PRICE + bond
    assert seller.deliver_pending() == ()
    with pytest.raises(UnsafeError, match="proved false"):
        other.buy(fraud.ref, wait=False)


def test_honest_content_cannot_be_disputed(seller: Market, buyer: Market, published: Published) -> None:
    seller.fund_bond(seller.context.deployment.min_bond)
    seller.offer(published.ref, price=PRICE, window=3600)
    purchase = buyer.buy(published.ref, wait=False)
    seller.deliver(purchase)
    with pytest.raises(RefusedError, match="every leaf"):
        buyer.dispute(purchase)


def test_a_window_settles_after_it_and_not_before(
    seller: Market, buyer: Market, published: Published, travel: Travel
) -> None:
    seller.fund_bond(seller.context.deployment.min_bond)
    seller.offer(published.ref, price=PRICE, window=3600)
    purchase = buyer.buy(published.ref, wait=False)
    seller.deliver(purchase)
    with pytest.raises(RevertError):
        seller.settle(purchase)
    with pytest.raises(RefusedError, match="once it is settled"):
        buyer.transfer_licence(purchase, seller.context.account.address)
    travel(3601)
    assert seller.settle(purchase).state is State.SETTLED
    assert seller.balance().bond == seller.context.deployment.min_bond


def test_a_dispute_in_a_token_flags_first_and_then_refunds(
    seller: Market, buyer: Market, fraud: Published, coin: tuple[Address, Sender]
) -> None:
    purchase = sold_for_coins(seller, buyer, fraud, coin)
    disputed = buyer.dispute(purchase)
    assert disputed.state is State.REFUNDED and disputed.flagged
    assert buyer.balance(coin[0]).treasury == 400
    with pytest.raises(RefusedError, match="refunded"):
        buyer.dispute(purchase)


def test_a_token_that_is_stuck_does_not_stop_the_flag(
    seller: Market, buyer: Market, fraud: Published, stuck_coin: tuple[Address, Sender]
) -> None:
    token, issuer = stuck_coin
    purchase = sold_for_coins(seller, buyer, fraud, stuck_coin)
    issuer.send(Call(token, call_data("setPaused(bool)", True), name="pause"))
    with pytest.warns(UserWarning, match="take the refund later"):
        disputed = buyer.dispute(purchase)
    assert disputed.state is State.DELIVERED and disputed.flagged
    with pytest.raises(RefusedError, match="take the refund"):
        buyer.dispute(purchase)
    issuer.send(Call(token, call_data("setPaused(bool)", False), name="unpause"))
    assert buyer.refund(purchase).state is State.REFUNDED


def sold_for_coins(
    seller: Market, buyer: Market, version: Published, coin: tuple[Address, Sender]
) -> Purchase:
    token, minter = coin
    minter.send(Call(token, call_data("mint(address,uint256)", buyer.context.account.address, 400)))
    offered = seller.offer(version.ref, price=400, currency=token, window=3600)
    purchase = buyer.buy(version.ref, offer=offered.offer, wait=False)
    seller.deliver(purchase)
    return purchase


def hidden(call: Call, decoy: bytes) -> Call:
    """Return a creation whose code holds a decoy and a call with all words of its proof masked, and makes the call."""
    assert call.to is not None
    size, mask = len(call.data), b"\x5a" * 32
    masked = bytearray(call.data)
    code = bytearray()
    for place in range(size - 7 * 32, size, 32):
        masked[place : place + 32] = bytes(
            a ^ b for a, b in zip(masked[place : place + 32], mask, strict=True)
        )
        at = place.to_bytes(3, "big")
        # memory[place] ^= mask
        code += b"\x7f" + mask + b"\x62" + at + b"\x51\x18\x62" + at + b"\x52"
    # call(gas, market, 0, 0, size, 0, 0), and revert if it fails
    code += b"\x5f\x5f\x62" + size.to_bytes(3, "big") + b"\x5f\x5f\x73" + call.to + b"\x5a\xf1"
    code += b"\x61" + (13 + len(code) + 8).to_bytes(2, "big") + b"\x57\x5f\x5f\xfd\x00\x5b\x00"
    start = 13 + len(code)
    # codecopy(0, start, size)
    head = b"\x62" + size.to_bytes(3, "big") + b"\x62" + start.to_bytes(3, "big") + b"\x5f\x39"
    head = head.ljust(13, b"\x5b")
    return Call(None, head + bytes(code) + bytes(masked) + decoy)


def hide_delivery(seller: Market, purchase: Purchase) -> None:
    """Deliver in a way that no call data shows, with false proofs beside it."""
    from steelyard.service.dispatch import delivery_call
    from steelyard.service.keyring import Keyring
    from steelyard.service.naming import find_purchase

    context = seller.context
    asset, found = find_purchase(context, purchase.id)
    call = delivery_call(context, Keyring(context), asset, found)
    false = bytearray(call.data)
    false[-33] ^= 1
    context.send(hidden(call, bytes(false)))
    assert context.views.licence(purchase.id).state in (State.DELIVERED, State.SETTLED)


def refuse_traces(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    call = market.context.rpc.call

    def refuse(method: str, params: tuple[object, ...] = ()) -> object:
        if method == "debug_traceTransaction":
            raise RpcError("no such method", code=-32601, reason="no such method", data=None)
        return call(method, params)

    monkeypatch.setattr(market.context.rpc, "call", refuse)


@pytest.mark.parametrize("traces", [True, False])
def test_hidden_delivery_data_does_not_stop_a_dispute(
    seller: Market, buyer: Market, fraud: Published, monkeypatch: pytest.MonkeyPatch, traces: bool
) -> None:
    purchase = buyer.buy(fraud.ref, wait=False)
    hide_delivery(seller, purchase)
    if not traces:
        refuse_traces(buyer, monkeypatch)
    with pytest.raises(LeafError, match="Dispute purchase"):
        buyer.pull(purchase)
    assert buyer.dispute(purchase).state is State.REFUNDED


def test_hidden_delivery_data_does_not_stop_a_pull(
    seller: Market,
    buyer: Market,
    published: Published,
    offered: Offered,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    purchase = buyer.buy(published.ref, wait=False)
    hide_delivery(seller, purchase)
    refuse_traces(buyer, monkeypatch)
    assert same_files(folder, buyer.pull(purchase))


def test_a_hidden_proof_is_found_by_a_trace(
    seller: Market, buyer: Market, published: Published, offered: Offered
) -> None:
    from steelyard.service.keys import find_proof, from_purchase
    from steelyard.service.naming import find_purchase

    purchase = buyer.buy(published.ref, wait=False)
    hide_delivery(seller, purchase)
    asset, found = find_purchase(buyer.context, purchase.id)
    item = from_purchase(buyer.context, asset, found)
    assert item is not None
    assert find_proof(buyer.context, item, asset.versions[found.version].commitments) is not None


def test_a_node_that_lies_about_the_key_is_not_taken_for_a_false_seller(
    seller: Market,
    buyer: Market,
    published: Published,
    offered: Offered,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    from dataclasses import replace

    from steelyard.crypto.curve import G
    from steelyard.service import pull

    purchase = buyer.buy(published.ref, wait=False)
    seller.deliver(purchase)
    real = pull.from_purchase  # type: ignore[attr-defined]

    def lie(*args: object) -> object:
        item = real(*args)  # type: ignore[arg-type]
        assert item is not None
        return replace(item, delivered=G)

    monkeypatch.setattr(pull, "from_purchase", lie)
    with pytest.raises(LeafError, match="may lie about it"):
        buyer.pull(purchase, tmp_path / "out")
    assert not (tmp_path / "out").exists()
