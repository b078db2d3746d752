"""A shop on an anvil of its own for every test of the seller's service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from steelyard.errors import InputError
from steelyard.service.results import Offered
from tests.e2e.kill.shop import Shop, anvil, opened


@pytest.fixture(scope="module", autouse=True)
def program() -> None:
    try:
        anvil()
    except InputError as exc:
        pytest.skip(f"anvil is needed: {exc}")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with opened(tmp_path) as made:
        yield made


@pytest.fixture
def offered(shop: Shop) -> Offered:
    return shop.publish(scope="all")
