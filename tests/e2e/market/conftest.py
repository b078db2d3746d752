"""A small model that is published, and offered for sale."""

from __future__ import annotations

from pathlib import Path

import pytest

from steelyard.market import Market
from steelyard.service.results import Offered, Published
from tests.e2e.support import PRICE


@pytest.fixture
def published(seller: Market, folder: Path) -> Published:
    return seller.publish(folder, name="digits")


@pytest.fixture
def offered(seller: Market, published: Published) -> Offered:
    return seller.offer(published.ref, price=PRICE)
