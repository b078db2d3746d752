"""A sale whose two sides share no store: written to two, read through gateways, of which one lies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from steelyard.errors import UnsafeError
from steelyard.storage.car import save_car
from steelyard.storage.embedded import EmbeddedStore
from steelyard.storage.gateway import GatewayStore
from steelyard.storage.kubo import KuboStore
from steelyard.storage.server import StoreServer
from steelyard.storage.several import SeveralStores
from tests.e2e.support import PRICE, MarketOf, same_files
from tests.support import boxo, kubo
from tests.unit.storage.liar import liar, says

Remote = tuple[list[KuboStore], Callable[[str], str]]
"""Further stores of the seller, and what gives the URL of a gateway that has a folder."""


@pytest.fixture(params=["ours", "boxo", "kubo"])
def remote(request: pytest.FixtureRequest, store: EmbeddedStore, tmp_path: Path) -> Iterator[Remote]:
    with ExitStack() as stack:
        if request.param == "ours":
            server = stack.enter_context(StoreServer(EmbeddedStore(tmp_path / "node")))
            yield [KuboStore(server.url)], lambda cid: server.url
        elif request.param == "boxo":
            start = stack.enter_context(boxo.starter())

            def serve(cid: str) -> str:
                save_car(store, cid, tmp_path / "folder.car")
                return start("serve", tmp_path / "folder.car").url

            yield [], serve
        else:
            node = stack.enter_context(kubo.running(tmp_path))
            yield [KuboStore(node.rpc)], lambda cid: node.gateway


def test_a_sale_between_two_machines(
    market_of: MarketOf, folder: Path, store: EmbeddedStore, remote: Remote, tmp_path: Path
) -> None:
    further, gateway_with = remote
    seller = market_of(other_store=SeveralStores([store, *further]))
    published = seller.publish(folder, name="digits")
    seller.offer(published.ref, price=PRICE)
    assert all(one.is_pinned(published.cid) for one in (store, *further))

    own = EmbeddedStore(tmp_path / "own")
    with liar(says(b"not the block")) as false_one:
        with pytest.raises(UnsafeError, match="nothing was paid"):
            market_of(other_store=SeveralStores([own], [GatewayStore(false_one)])).buy(
                published.ref, wait=False
            )
        gateways = [GatewayStore(false_one), GatewayStore(gateway_with(published.cid))]
        buyer = market_of(other_store=SeveralStores([own], gateways))
        buyer.buy(published.ref, wait=False)
        assert own.is_pinned(published.cid)
        seller.deliver_pending()
        path = buyer.pull(published.ref)
    assert same_files(path, folder)
