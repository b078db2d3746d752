"""Which store the settings open."""

from __future__ import annotations

import io
from pathlib import Path

from steelyard.config import Config
from steelyard.service.opening import open_store
from steelyard.storage.cid import cid_of
from steelyard.storage.embedded import EmbeddedStore
from steelyard.storage.kubo import KuboStore
from steelyard.storage.server import StoreServer
from steelyard.storage.several import SeveralStores


def test_one_setting_decides_between_a_folder_and_a_node(tmp_path: Path) -> None:
    with open_store(Config(home=tmp_path, store=str(tmp_path / "store"))) as store:
        assert isinstance(store, EmbeddedStore)
    with open_store(Config(home=tmp_path, store="http://127.0.0.1:5001")) as store:
        assert isinstance(store, KuboStore)


def test_all_stores_of_the_settings_are_one(tmp_path: Path) -> None:
    node, gateway = EmbeddedStore(tmp_path / "node"), EmbeddedStore(tmp_path / "gateway")
    gateway.add_file(io.BytesIO(b"far"))
    with StoreServer(node) as first, StoreServer(gateway) as second:
        config = Config(
            home=tmp_path, store=str(tmp_path / "store"), store_more=(first.url,), gateways=(second.url,)
        )
        with open_store(config) as store:
            assert isinstance(store, SeveralStores)
            store.pin(store.add_file(io.BytesIO(b"abc")))
            assert store.get_block(cid_of(b"far")) == b"far"
    assert node.is_pinned(cid_of(b"abc")) and EmbeddedStore(tmp_path / "store").is_pinned(cid_of(b"abc"))
    assert not gateway.has(cid_of(b"abc"))
