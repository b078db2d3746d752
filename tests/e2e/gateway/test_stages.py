"""A version whose stage is moved on the chain while it is hosted."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import urllib3

from steelyard.errors import NotOnSaleError, RefusedError
from steelyard.market import Market
from steelyard.service.budget import Budget
from tests.e2e.gateway.conftest import PRICE, Shop
from tests.e2e.gateway.test_gateway import INFER, ONE, send

X = np.ones((2, 3), np.float32)


def _is_ready(url: str, wanted: bool) -> None:
    """Wait for the gateway's next looks at the chain."""
    end = time.monotonic() + 20
    # Its own retries would wait for as long as the refusal says.
    while (urllib3.request("GET", url + "/v2/health/ready", retries=False).status == 200) != wanted:
        assert time.monotonic() < end, "the gateway did not notice"
        time.sleep(0.05)


def test_a_version_is_served_while_it_is_on_sale(shop: Shop, payer: Market, tmp_path: Path) -> None:
    with (
        shop.gateway(tmp_path / "books.sqlite", trial=100) as (url, gateway),
        payer.use(shop.ref, url=url, budget=Budget(deposit=10 * PRICE)) as model,
    ):
        assert np.array_equal(model(X)["Y"], 2 * X)
        shop.seller.move_stage(shop.ref, "deprecated", reason="found better")
        time.sleep(0.5)
        _is_ready(url, True)
        model(X)
        for stage in ("draft", "validated", "retired"):
            shop.seller.move_stage(shop.ref, stage, reason="why")
            _is_ready(url, False)
            status, found, _ = send(url, INFER, ONE)
            assert (status, found["code"]) == (409, "not-served") and stage in found["error"]
            with pytest.raises(RefusedError, match=stage):
                model(X)
            with pytest.raises(RefusedError, match=f"not served: it is {stage}"):
                shop.wanted()
            with pytest.raises(NotOnSaleError, match=stage):
                payer.use(shop.ref, url=url, budget=Budget(deposit=10 * PRICE))
            if stage != "retired":
                shop.seller.move_stage(shop.ref, "released", reason="ready")
                _is_ready(url, True)
                model(X)
        # What was served is paid: nothing was set aside for the three calls that were not.
        assert model.units == 8
        model.settle()
        with shop.claimer(gateway) as claimer:
            claimer.step()
        assert shop.earned() == 8 * PRICE
        model.close_channel()
        with shop.claimer(gateway) as claimer:
            claimer.step()
        assert shop.refunded(payer) == 2 * PRICE


def test_no_deposit_goes_to_a_version_that_is_not_on_sale(shop: Shop, payer: Market, tmp_path: Path) -> None:
    """The model was opened for use before the move, and pays for the first time after it."""
    with (
        shop.gateway(tmp_path / "books.sqlite") as (url, _),
        payer.use(shop.ref, url=url, budget=Budget(deposit=100 * PRICE)) as model,
    ):
        before = payer.balance().wallet
        shop.seller.move_stage(shop.ref, "retired", reason="why")
        with pytest.raises(NotOnSaleError, match="retired"):
            model(X)
        assert payer.balance().wallet == before and not payer.channels()
