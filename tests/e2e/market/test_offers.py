"""Offers of one version, and of any."""

from __future__ import annotations

from pathlib import Path

import pytest

from steelyard.errors import (
    InputError,
    RefusedError,
    RevertError,
)
from steelyard.market import Market
from steelyard.service.results import Published
from tests.e2e.support import PRICE


def test_an_offer_with_a_bond_sells_the_newest_version_only(
    seller: Market, buyer: Market, published: Published, folder: Path
) -> None:
    asset = published.ref.partition("@")[0]
    seller.fund_bond(seller.context.deployment.min_bond)
    bound = seller.offer(asset, price=PRICE, window=3600)
    assert bound.terms.version == published.version and bound.version == 1
    assert [item.version for item in seller.offers(asset)] == [1]
    (folder / "model.onnx").write_bytes(b"better")
    second = seller.new_version(asset, folder)
    with pytest.raises(RefusedError, match="no open"):
        buyer.quote(second.ref)
    with pytest.raises(RefusedError, match="sells version 1 and no other"):
        buyer.buy(second.ref, offer=bound.offer, wait=False)
    assert buyer.quote(asset).version == published.version
    assert buyer.buy(asset, offer=bound.offer, wait=False).version == published.version


def test_an_offer_without_a_bond_sells_any_version_unless_one_is_named(
    seller: Market, buyer: Market, published: Published, folder: Path
) -> None:
    asset = published.ref.partition("@")[0]
    cheap = seller.offer(f"{asset}@1", price=PRICE)
    assert cheap.terms.version == published.version
    (folder / "model.onnx").write_bytes(b"better")
    second = seller.new_version(asset, folder)
    dear = seller.offer(asset, price=2 * PRICE)
    assert dear.terms.version == bytes(32)
    assert (buyer.quote(asset).version, buyer.quote(asset).offer) == (second.version, dear.offer)
    assert buyer.quote(f"{asset}@1").offer == cheap.offer
    assert buyer.quote(asset, offer=cheap.offer).version == published.version


def test_the_market_itself_refuses_another_version(
    seller: Market, buyer: Market, published: Published, folder: Path
) -> None:
    from steelyard.service.purchase import make_order

    bound = seller.offer(f"{published.ref.partition('@')[0]}@1", price=PRICE)
    (folder / "model.onnx").write_bytes(b"better")
    second = seller.new_version(published.ref, folder)
    commitments = buyer.info(second.ref).versions[1].commitments
    order = make_order(buyer.context, commitments, bound.terms)
    with pytest.raises(RevertError, match="choose another offer"):
        buyer.context.send(buyer.context.calls.buy(order, ()))


def test_a_free_offer_with_a_bond_needs_an_allow_list(seller: Market, published: Published) -> None:
    with pytest.raises(InputError, match="allow-list"):
        seller.offer(published.ref, price=0, bond=seller.context.deployment.min_bond)
