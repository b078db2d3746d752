from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from steelyard.storage.embedded import EmbeddedStore
from steelyard.storage.server import StoreServer

VECTORS = Path(__file__).parents[2] / "vectors" / "cid.txt"


@pytest.fixture(scope="session")
def pattern() -> Callable[[int], bytes]:
    """The bytes that tests/vectors/cid.txt is about."""

    @functools.cache
    def data(size: int) -> bytes:
        return bytes((i * 7 + (i >> 8) * 13) % 251 for i in range(size))

    return data


@pytest.fixture(scope="session")
def vectors() -> dict[str, str]:
    lines = VECTORS.read_text("utf-8").splitlines()
    found = dict(line.split() for line in lines if line and not line.startswith("#"))
    assert len(found) == 10
    return found


@pytest.fixture
def store(tmp_path: Path) -> EmbeddedStore:
    return EmbeddedStore(tmp_path / "store")


@pytest.fixture
def server(store: EmbeddedStore) -> Iterator[StoreServer]:
    with StoreServer(store) as running:
        yield running
