"""What a licence gives later: renewals, new versions, new holders."""

from __future__ import annotations

from pathlib import Path

import pytest

from steelyard.errors import (
    RefusedError,
    RevertError,
)
from steelyard.market import Market
from steelyard.service.results import Offered, Published
from tests.e2e.support import DAY, PRICE, MarketOf, Travel, same_files


def test_a_rental_is_renewed_while_it_lasts_and_ends(
    seller: Market, buyer: Market, published: Published, travel: Travel
) -> None:
    now = seller.context.now()
    seller.offer(published.ref, price=PRICE, rental_period=DAY, renew_until=now + 3 * DAY)
    purchase = buyer.rent(published.ref, wait=False)
    seller.deliver(purchase)
    first = purchase.refresh()
    assert first.until == first.settles_at + DAY
    renewed = buyer.renew(purchase, max_price=PRICE)
    assert renewed.until == first.until + DAY
    assert seller.income(published.ref)[0].received == 2 * PRICE
    travel(2 * DAY + 60)
    with pytest.raises(RefusedError, match="ended"):
        buyer.renew(purchase)
    assert not buyer.context.views.is_valid(purchase.id)


def test_a_new_version_comes_under_the_entitlement(
    seller: Market, buyer: Market, published: Published, folder: Path, tmp_path: Path
) -> None:
    seller.offer(published.ref, price=PRICE, scope="all")
    purchase = buyer.buy(published.ref, wait=False)
    seller.deliver(purchase)
    (folder / "model.onnx").write_bytes(b"better" * 1000)
    second = seller.new_version(published.ref, folder)
    assert second.number == 2
    with pytest.raises(RefusedError, match="ask for it"):
        buyer.pull(second.ref)
    asked = buyer.request_key(purchase, fee=1000)
    assert asked.version == second.version
    (delivery,) = seller.deliver_pending()
    assert delivery.request and delivery.to == buyer.context.account.address
    assert same_files(folder, buyer.pull(second.ref, tmp_path / "v2"))
    assert seller.balance().treasury == 1000
    with pytest.raises(RefusedError, match="covers no version"):
        buyer.request_key(purchase)


def test_a_licence_for_one_version_covers_no_other(
    seller: Market, buyer: Market, published: Published, offered: Offered, folder: Path
) -> None:
    purchase = buyer.buy(published.ref, wait=False)
    seller.deliver(purchase)
    (folder / "model.onnx").write_bytes(b"better")
    second = seller.new_version(published.ref, folder)
    with pytest.raises(RefusedError, match="does not cover"):
        buyer.request_key(purchase, second.ref)


def test_a_new_holder_asks_for_a_key_of_his_own(
    market_of: MarketOf, seller: Market, buyer: Market, published: Published, offered: Offered, folder: Path
) -> None:
    friend = market_of()
    purchase = buyer.buy(published.ref, wait=False)
    seller.deliver(purchase)
    buyer.transfer_licence(purchase, friend.context.account.address)
    with pytest.raises(RefusedError, match="held by"):
        buyer.request_key(purchase)
    assert [item.id for item in friend.purchases()] == [purchase.id]
    request = friend.request_key(purchase)
    seller.deliver(request)
    fresh = market_of(friend.context.account)
    assert same_files(folder, fresh.pull(published.ref))
    assert fresh.requests()[0].id == request.id


def test_an_unanswered_request_gives_its_fee_back(
    seller: Market, buyer: Market, published: Published, folder: Path, travel: Travel
) -> None:
    seller.offer(published.ref, price=PRICE, scope="all")
    purchase = buyer.buy(published.ref, wait=False)
    seller.deliver(purchase)
    (folder / "model.onnx").write_bytes(b"better")
    seller.new_version(published.ref, folder)
    first = buyer.request_key(purchase, fee=7, within=3600)
    with pytest.raises(RevertError):
        buyer.return_fee(first)
    travel(3601)
    buyer.return_fee(first)
    assert buyer.balance().treasury == 7
    assert buyer.request_key(purchase).id != first.id
