"""Several threads spend from one account."""

from __future__ import annotations

import pytest

from steelyard.domain.types import NATIVE, State
from steelyard.market import Market
from steelyard.service.results import Offered, Published
from tests.e2e.support import PRICE, wallet


def buy_from_threads(seller: Market, buyer: Market, ref: str, *, threads: int, each: int) -> None:
    from concurrent.futures import ThreadPoolExecutor

    before = wallet(buyer)
    with ThreadPoolExecutor(threads) as pool:
        futures = [
            pool.submit(lambda: [buyer.buy(ref, wait=False) for _ in range(each)]) for _ in range(threads)
        ]
        made = [purchase for future in futures for purchase in future.result()]
    assert len({purchase.id for purchase in made}) == threads * each
    assert len({purchase.tx for purchase in made}) == threads * each
    assert wallet(buyer) == before - threads * each * PRICE - sum(purchase.fee_wei for purchase in made)
    assert {item.id for item in seller.sales(ref)} == {purchase.id for purchase in made}
    assert {item.state for item in seller.sales(ref)} == {State.PAID}


def test_no_purchase_is_lost_or_doubled_between_threads(
    seller: Market, buyer: Market, published: Published, offered: Offered
) -> None:
    buy_from_threads(seller, buyer, published.ref, threads=8, each=5)
    assert offered.terms.currency == NATIVE


@pytest.mark.slow
def test_no_purchase_is_lost_or_doubled_between_threads_at_length(
    seller: Market, buyer: Market, published: Published, offered: Offered
) -> None:
    buy_from_threads(seller, buyer, published.ref, threads=8, each=50)
