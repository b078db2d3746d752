"""What the client checks before it pays, and what a quote and a dry run say."""

from __future__ import annotations

from pathlib import Path

import pytest

from steelyard.domain.types import State
from steelyard.errors import (
    RefusedError,
    UnsafeError,
)
from steelyard.market import Market
from steelyard.service.results import Offered, Published
from steelyard.storage.embedded import EmbeddedStore
from tests.e2e.support import PRICE, MarketOf, drop_ciphertext, wallet


def test_nothing_is_paid_for_a_version_that_is_not_whole(
    buyer: Market, store: EmbeddedStore, published: Published, offered: Offered
) -> None:
    drop_ciphertext(store, published.cid).unlink()
    before = wallet(buyer)
    with pytest.raises(UnsafeError, match="nothing was paid"):
        buyer.buy(published.ref, wait=False)
    assert wallet(buyer) == before


def test_nothing_is_paid_for_a_version_that_went_away_since_it_was_checked(
    buyer: Market, store: EmbeddedStore, published: Published, offered: Offered
) -> None:
    buyer.quote(published.ref, verify=True)
    drop_ciphertext(store, published.cid).unlink()
    before = wallet(buyer)
    with pytest.raises(UnsafeError, match="nothing was paid"):
        buyer.buy(published.ref, wait=False)
    assert wallet(buyer) == before


def test_what_was_checked_before_paying_is_kept(
    buyer: Market, store: EmbeddedStore, published: Published, offered: Offered
) -> None:
    store.unpin(published.cid)
    buyer.dry_run().buy(published.ref)
    assert not store.is_pinned(published.cid)
    buyer.buy(published.ref, wait=False)
    assert store.is_pinned(published.cid)


def test_nothing_is_paid_for_a_version_with_a_flipped_bit(
    buyer: Market, store: EmbeddedStore, published: Published, offered: Offered
) -> None:
    file = drop_ciphertext(store, published.cid)
    data = bytearray(file.read_bytes())
    data[7] ^= 1
    file.chmod(0o644)
    file.write_bytes(data)
    before = wallet(buyer)
    with pytest.raises(UnsafeError, match="nothing was paid"):
        buyer.buy(published.ref, wait=False)
    assert wallet(buyer) == before


def test_a_folder_that_is_not_the_committed_one_is_refused_by_its_root(
    seller: Market, buyer: Market, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from steelyard.crypto import merkle

    monkeypatch.setattr(merkle, "root", lambda roots: bytes(32))
    published = seller.publish(folder, name="other-root")
    monkeypatch.undo()
    seller.offer(published.ref, price=PRICE)
    before = wallet(buyer)
    with pytest.raises(UnsafeError, match="not what the chain commits to"):
        buyer.buy(published.ref, wait=False)
    assert wallet(buyer) == before


def test_a_price_above_the_limit_is_not_paid(buyer: Market, published: Published, offered: Offered) -> None:
    before = wallet(buyer)
    with pytest.raises(RefusedError, match="above"):
        buyer.buy(published.ref, max_price=PRICE - 1, wait=False)
    assert wallet(buyer) == before


def test_a_closed_offer_is_not_bought_under(
    seller: Market, buyer: Market, published: Published, offered: Offered
) -> None:
    seller.close_offer(published.ref, offered.offer)
    with pytest.raises(RefusedError, match="closed"):
        buyer.buy(published.ref, offer=offered.offer, wait=False)
    with pytest.raises(RefusedError, match="no open perpetual offer"):
        buyer.buy(published.ref, wait=False)


def test_a_purchase_needs_the_sellers_bond(seller: Market, buyer: Market, published: Published) -> None:
    offered = seller.offer(published.ref, price=PRICE, window=3600)
    assert offered.terms.bond == seller.context.deployment.min_bond
    with pytest.raises(RefusedError, match="bond"):
        buyer.buy(published.ref, wait=False)
    seller.fund_bond(offered.terms.bond)
    assert buyer.buy(published.ref, wait=False).state is State.PAID


def test_only_who_is_on_the_allow_list_may_buy(
    market_of: MarketOf, seller: Market, buyer: Market, published: Published
) -> None:
    friend = market_of()
    allow = [buyer.context.account.address, friend.context.account.address]
    offered = seller.offer(published.ref, price=PRICE, allow=allow)
    with pytest.raises(RefusedError, match="not known here"):
        buyer.buy(published.ref, offer=offered.offer, wait=False)
    assert buyer.buy(published.ref, allow=allow, wait=False).state is State.PAID
    with pytest.raises(RefusedError, match="not on the offer's allow-list"):
        market_of().buy(published.ref, offer=offered.offer, allow=allow, wait=False)


def test_a_quote_tells_price_gas_text_and_what_to_beware_of(
    buyer: Market, published: Published, offered: Offered
) -> None:
    quote = buyer.quote(published.ref, verify=True)
    assert quote.price == PRICE and quote.terms == offered.terms
    assert 50_000 < quote.gas < 300_000 and quote.fee_wei > 0
    assert quote.text is not None and "may use the files" in quote.text
    assert any("not attested" in text for text in quote.warnings)
    assert any("no content window" in text for text in quote.warnings)


def test_a_dry_run_sends_nothing(
    seller: Market, buyer: Market, store: EmbeddedStore, folder: Path, published: Published, offered: Offered
) -> None:
    blocks = buyer.context.rpc.block_number()
    usage = store.usage()
    assert buyer.dry_run().buy(published.ref).tx is None
    (folder / "more.txt").write_text("more")
    dry = seller.dry_run().new_version(published.ref, folder)
    assert dry.tx is None and dry.gas_used > 50_000 and dry.number == 2
    assert seller.dry_run().offer(published.ref, price=1).gas_used > 30_000
    assert buyer.context.rpc.block_number() == blocks
    assert store.usage() == usage
