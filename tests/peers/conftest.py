"""Independent implementations of IPFS, as peers of the content store. Who is absent is said aloud."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from steelyard.storage.cid import CID
from steelyard.storage.embedded import EmbeddedStore
from steelyard.storage.server import StoreServer
from steelyard.storage.unixfs import CHUNK
from tests.support import helia, kubo
from tests.support.boxo import Boxo, starter
from tests.support.kubo import Kubo


@pytest.fixture
def boxo() -> Iterator[Boxo]:
    """Starts boxo with arguments; all that were started end with the test."""
    with starter() as start:
        yield start


@pytest.fixture(scope="session")
def node() -> str:
    return helia.find_node()


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubo]:
    with kubo.running(tmp_path_factory.mktemp("kubo")) as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> EmbeddedStore:
    return EmbeddedStore(tmp_path / "store")


@pytest.fixture
def server(store: EmbeddedStore) -> Iterator[StoreServer]:
    with StoreServer(store) as running:
        yield running


FILES = {
    "empty": 0,
    "one": 1,
    "a name with spaces, ü and %": 11,
    "sub/leaf": CHUNK,
    "sub/more": CHUNK + 1,
    "sub/deep/down/large": 3 * CHUNK + 77,
    "sub/deep/same": 11,
}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files that end at, before and after the ends of leaves."""
    top = tmp_path_factory.mktemp("given") / "folder"
    for name, size in FILES.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes((i * 7 + (i >> 8) * 13) % 251 for i in range(size)))
    wide = top / "wide"
    wide.mkdir()
    for i in range(900):  # names so many and so long that it is a trie
        (wide / f"{i:04}-{'x' * 250}").write_bytes(b"%d" % (i % 7))
    return top


def add(store: EmbeddedStore, path: Path) -> CID:
    """Add a file or a folder."""
    if path.is_dir():
        return store.add_directory({name: add(store, path / name) for name in os.listdir(path)})
    with path.open("rb") as file:
        return store.add_file(file)


@dataclass(frozen=True)
class Given:
    """The folder in a store of ours, and where that is served. Nothing is changed in it."""

    store: EmbeddedStore
    root: CID
    url: str


@pytest.fixture(scope="session")
def given(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Given]:
    ours = EmbeddedStore(tmp_path_factory.mktemp("given-store") / "store")
    root = add(ours, folder)
    ours.pin(root)
    with StoreServer(ours) as server:
        yield Given(ours, root, server.url)
