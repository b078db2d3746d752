"""A sale of real models whose two sides share no store: written to two, read through gateways, of which one lies."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from steelyard.demo.model import train
from steelyard.errors import UnsafeError
from steelyard.storage.car import save_car
from steelyard.storage.embedded import EmbeddedStore
from steelyard.storage.gateway import GatewayStore
from steelyard.storage.kubo import KuboStore
from steelyard.storage.server import StoreServer
from steelyard.storage.several import SeveralStores
from tests.e2e.support import PRICE, MarketOf, same_files
from tests.support import boxo, helia, kubo
from tests.unit.storage.liar import liar, says

FORMATS = {
    "model.onnx": "onnx",
    "images.npz": "npz",
    "safetensors.safetensors": "safetensors",
    "gguf.gguf": "gguf",
    "keras.keras": "keras",
    "skops.skops": "skops",
    "parquet.parquet": "parquet",
}


@dataclass(frozen=True)
class Remote:
    """The machine between seller and buyer.

    Attributes:
        further: stores that the seller writes to.
        gateway_with: returns the URL of its gateway, that has a folder of the seller's by now.
        build: imports a folder as an implementation that is not ours does, and returns its CID.
    """

    further: list[KuboStore]
    gateway_with: Callable[[str], str]
    build: Callable[[Path], str]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trees trained here, of several chunks, with their data, and files that five other libraries wrote."""
    folder = tmp_path_factory.mktemp("models") / "models"
    trained = train(folder, trees=50)
    np.savez(folder / "images.npz", images=trained.images, answers=trained.answers)
    with zipfile.ZipFile(Path(__file__).parents[2] / "vectors" / "formats.zip") as archive:
        for name in FORMATS:
            if not (folder / name).exists():
                archive.extract(name, folder)
    return folder


@pytest.fixture(params=["ours", "boxo", "kubo"])
def remote(request: pytest.FixtureRequest, store: EmbeddedStore, tmp_path: Path) -> Iterator[Remote]:
    with ExitStack() as stack:
        if request.param == "ours":
            node = helia.find_node()
            server = stack.enter_context(StoreServer(EmbeddedStore(tmp_path / "node")))
            yield Remote(
                [KuboStore(server.url)],
                lambda cid: server.url,
                lambda folder: str(helia.answer(node, "build", folder, tmp_path / "theirs.car")),
            )
        elif request.param == "boxo":
            start = stack.enter_context(boxo.starter())

            def serve(cid: str) -> str:
                save_car(store, cid, tmp_path / "folder.car")
                return start("serve", tmp_path / "folder.car").url

            yield Remote([], serve, lambda folder: start("serve", folder).roots[str(folder)])
        else:
            real = stack.enter_context(kubo.running(tmp_path))
            yield Remote(
                [KuboStore(real.rpc)],
                lambda cid: real.gateway,
                lambda folder: real.run("add", "-r", "-Q", "--only-hash", str(folder)).decode().strip(),
            )


def test_models_of_seven_formats_are_sold_between_two_machines(
    market_of: MarketOf, models: Path, store: EmbeddedStore, remote: Remote, tmp_path: Path
) -> None:
    seller = market_of(other_store=SeveralStores([store, *remote.further]))
    published = seller.publish(models, name="digits")
    seller.offer(published.ref, price=PRICE)
    assert all(one.is_pinned(published.cid) for one in (store, *remote.further))
    assert remote.build(_written_out(store, published.cid, tmp_path / "public")) == published.cid

    own = EmbeddedStore(tmp_path / "own")
    with liar(says(b"not the block")) as false_one:
        with pytest.raises(UnsafeError, match="nothing was paid"):
            market_of(other_store=SeveralStores([own], [GatewayStore(false_one)])).buy(
                published.ref, wait=False
            )
        gateways = [GatewayStore(false_one), GatewayStore(remote.gateway_with(published.cid))]
        buyer = market_of(other_store=SeveralStores([own], gateways))
        (version,) = buyer.info(published.ref).versions
        assert version.manifest is not None
        assert FORMATS.items() <= {entry.path: entry.format for entry in version.manifest.files}.items()
        buyer.buy(published.ref, wait=False)
        assert own.is_pinned(published.cid)
        seller.deliver_pending()
        path = buyer.pull(published.ref)
    assert same_files(path, models)


def _written_out(store: EmbeddedStore, cid: str, folder: Path) -> Path:
    """Write a public folder out as files."""
    folder.mkdir()
    for link in store.list_directory(cid):
        with (folder / link.name).open("wb") as file:
            file.writelines(store.stream_file(link.cid))
    return folder
