"""Kubo itself, where it is installed: its archives, its gateway, and its importer beside ours."""

from __future__ import annotations

import io
from pathlib import Path

from steelyard.storage.car import export_car, import_car
from steelyard.storage.embedded import EmbeddedStore
from steelyard.storage.gateway import GatewayStore
from steelyard.storage.kubo import KuboStore
from steelyard.storage.several import SeveralStores
from tests.peers.conftest import FILES, Given
from tests.support.kubo import Kubo


def test_it_builds_the_same_blocks(real: Kubo, given: Given, folder: Path) -> None:
    assert real.run("add", "-r", "-Q", "--pin=false", str(folder)).decode().split() == [given.root]


def test_archives_go_both_ways_and_are_the_same(real: Kubo, given: Given, store: EmbeddedStore) -> None:
    ours = b"".join(export_car(given.store, given.root))
    assert given.root.encode() in real.run("dag", "import", data=ours)
    theirs = real.run("dag", "export", "--progress=false", given.root)
    assert theirs == ours
    import_car(store, io.BytesIO(theirs))
    assert store.is_pinned(given.root)


def test_we_read_its_gateway(real: Kubo, given: Given, folder: Path) -> None:
    real.run("dag", "import", data=b"".join(export_car(given.store, given.root)))
    with GatewayStore(real.gateway) as gateway:
        gateway.probe()
        for name in FILES:
            assert (
                b"".join(gateway.stream_file(gateway.resolve(given.root, name)))
                == (folder / name).read_bytes()
            )


def test_it_is_one_of_several(real: Kubo, store: EmbeddedStore) -> None:
    with SeveralStores([store, KuboStore(real.rpc)], [GatewayStore(real.gateway)]) as all_of_them:
        root = all_of_them.add_directory({"a": io.BytesIO(b"one of several")})
        all_of_them.pin(root)
        assert store.is_pinned(root) and all_of_them.is_pinned(root)
        assert real.run("cat", f"{root}/a") == b"one of several"
        all_of_them.unpin(root)


def test_the_command_for_garbage_leaves_what_we_pinned(real: Kubo) -> None:
    with KuboStore(real.rpc) as remote:
        root = remote.add_directory({"a": io.BytesIO(b"kept by a pin")})
        remote.pin(root)
        loose = remote.add_file(io.BytesIO(b"not kept"))
        real.run("repo", "gc", "-q")
        assert len(list(remote.blocks(root))) == 2 and not remote.has(loose)
