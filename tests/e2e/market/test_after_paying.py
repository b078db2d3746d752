"""From the payment to the files: delivery, refund, pull, and what is rebuilt from a seed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from steelyard.chain.calls import Call, call_data
from steelyard.chain.erc20 import Token
from steelyard.chain.sender import Sender
from steelyard.domain.types import Address, State
from steelyard.errors import (
    InputError,
    NotFoundError,
    RefusedError,
    UnsafeError,
)
from steelyard.market import Market
from steelyard.service.results import Offered, Published
from steelyard.storage.embedded import EmbeddedStore
from tests.e2e.support import PRICE, MarketOf, Travel, drop_ciphertext, same_files, wallet


def test_a_bought_model_is_the_sellers_own_files(
    seller: Market, buyer: Market, published: Published, offered: Offered, folder: Path, tmp_path: Path
) -> None:
    purchase = buyer.buy(published.ref, wait=False)
    assert purchase.state is State.PAID
    (delivery,) = seller.deliver_pending()
    assert delivery.id == purchase.id
    path = purchase.refresh().pull(tmp_path / "got")
    assert same_files(folder, path)
    income = seller.income(published.ref)
    assert [item.owed for item in income] == [PRICE]


def test_a_silent_seller_is_paid_nothing(
    buyer: Market, published: Published, offered: Offered, travel: Travel
) -> None:
    purchase = buyer.buy(published.ref, wait=False)
    with pytest.raises(RefusedError, match="may deliver until"):
        buyer.refund(purchase)
    travel(offered.terms.deliver_within + 1)
    assert buyer.refund(purchase).state is State.REFUNDED
    assert buyer.balance().treasury == PRICE
    before = wallet(buyer)
    withdrawn = buyer.withdraw()
    assert withdrawn.amount == PRICE
    assert wallet(buyer) == before + PRICE - withdrawn.fee_wei


def test_what_a_buyer_needs_is_rebuilt_from_seed_and_chain(
    market_of: MarketOf,
    seller: Market,
    buyer: Market,
    published: Published,
    offered: Offered,
    folder: Path,
    tmp_path: Path,
) -> None:
    purchase = buyer.buy(published.ref, wait=False)
    shutil.rmtree(seller.context.home, ignore_errors=True)
    shutil.rmtree(buyer.context.home, ignore_errors=True)
    reborn_seller = market_of(seller.context.account, home=tmp_path / "new-seller")
    reborn_buyer = market_of(buyer.context.account, home=tmp_path / "new-buyer")
    reborn_seller.deliver(purchase.id)
    (found,) = reborn_buyer.purchases()
    assert found.id == purchase.id and found.state is State.SETTLED
    assert same_files(folder, reborn_buyer.pull(published.ref))


def test_another_seed_opens_nothing(
    market_of: MarketOf, seller: Market, buyer: Market, published: Published, offered: Offered
) -> None:
    purchase = buyer.buy(published.ref, wait=False)
    seller.deliver(purchase)
    with pytest.raises(RefusedError, match="buy it"):
        market_of().pull(published.ref)
    with pytest.raises(UnsafeError, match="seed"):
        market_of().deliver(buyer.buy(published.ref, wait=False))


def test_an_unpaid_or_undelivered_version_cannot_be_pulled(
    buyer: Market, published: Published, offered: Offered
) -> None:
    with pytest.raises(RefusedError, match="buy it"):
        buyer.pull(published.ref)
    purchase = buyer.buy(published.ref, wait=False)
    with pytest.raises(RefusedError, match="not delivered yet"):
        purchase.pull()


def test_a_pull_writes_all_or_nothing(
    seller: Market,
    buyer: Market,
    store: EmbeddedStore,
    published: Published,
    offered: Offered,
    tmp_path: Path,
) -> None:
    purchase = buyer.buy(published.ref, wait=False)
    seller.deliver(purchase)
    dest = tmp_path / "out" / "model"
    drop_ciphertext(store, published.cid).unlink()
    with pytest.raises(NotFoundError):
        buyer.pull(purchase, dest)
    assert not dest.parent.exists()


def test_a_pull_takes_only_what_is_asked_for_and_spares_what_is_there(
    seller: Market, buyer: Market, published: Published, offered: Offered, folder: Path, tmp_path: Path
) -> None:
    purchase = buyer.buy(published.ref, wait=False)
    seller.deliver(purchase)
    path = buyer.pull(purchase, include=["extra/*"])
    assert sorted(item.name for item in path.rglob("*") if item.is_file()) == ["empty.txt", "labels.json"]
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="something else"):
        buyer.pull(purchase, taken)
    assert (taken / "mine.txt").read_text() == "mine"
    assert same_files(folder, buyer.pull(purchase))
    assert buyer.pull(purchase) == buyer.pull(published.ref)


def test_a_key_is_not_revealed_before_its_payment_is_deep(
    market_of: MarketOf, seller: Market, buyer: Market, published: Published, offered: Offered, travel: Travel
) -> None:
    from steelyard.service.context import Settings

    careful = market_of(seller.context.account, settings=Settings(depth=4, margin=0))
    purchase = buyer.buy(published.ref, wait=False)
    with pytest.raises(UnsafeError, match="revealed up to block"):
        careful.deliver(purchase)
    assert careful.deliver_pending() == ()
    assert "revealed up to" in careful.sales(open_only=True)[0].waiting
    for _ in range(3):
        travel(1)
    assert careful.deliver(purchase).tx is not None


def test_a_key_is_not_revealed_close_to_the_deadline(
    market_of: MarketOf, seller: Market, buyer: Market, published: Published, offered: Offered, travel: Travel
) -> None:
    from steelyard.service.context import Settings

    careful = market_of(seller.context.account, settings=Settings(margin=600))
    purchase = buyer.buy(published.ref, wait=False)
    travel(offered.terms.deliver_within - 590)
    with pytest.raises(UnsafeError, match="margin"):
        careful.deliver(purchase)
    assert seller.deliver(purchase).tx is not None


def test_what_was_delivered_is_not_delivered_again(
    seller: Market, buyer: Market, published: Published, offered: Offered
) -> None:
    purchase = buyer.buy(published.ref, wait=False)
    seller.deliver(purchase)
    with pytest.raises(RefusedError, match="nothing to deliver"):
        seller.deliver(purchase)
    assert seller.deliver_pending() == ()


def test_a_price_in_a_token_is_paid_shared_and_refunded(
    seller: Market,
    buyer: Market,
    published: Published,
    coin: tuple[Address, Sender],
    travel: Travel,
) -> None:
    token, minter = coin
    me = buyer.context.account.address
    minter.send(Call(token, call_data("mint(address,uint256)", me, 1000), name="mint"))
    offered = seller.offer(published.ref, price=400, currency=token)
    quote = buyer.quote(published.ref)
    assert (quote.balance, quote.price) == (1000, 400) and quote.gas > 80_000
    first, second = buyer.buy(published.ref, wait=False), buyer.buy(published.ref, wait=False)
    assert buyer.balance(token).wallet == 200
    assert Token(buyer.context.rpc, token).allowance(me, buyer.context.deployment.market) == 0
    seller.deliver(first)
    assert seller.withdraw(currency=token).amount == 400
    assert seller.balance(token).wallet == 400
    travel(offered.terms.deliver_within + 1)
    buyer.refund(second)
    assert buyer.withdraw(currency=token).amount == 400
    with pytest.raises(RefusedError, match="has 600 units"):
        buyer.buy(
            published.ref, offer=seller.offer(published.ref, price=601, currency=token).offer, wait=False
        )
