"""A client of the protocol that is not ours, against the gateway, with nothing but a header added."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from steelyard.market import Market
from steelyard.metering.agreement import nothing
from steelyard.metering.wire import write_payment
from steelyard.service.budget import Budget
from tests.e2e.gateway.conftest import PRICE, Shop


def test_tritonclient(shop: Shop, payer: Market, tmp_path: Path) -> None:
    pytest.importorskip("tritonclient", reason="the client is not installed: make setup")
    with (
        shop.gateway(tmp_path / "books.sqlite") as (url, gateway),
        payer.use(shop.ref, url=url, budget=Budget(deposit=50 * PRICE)) as model,
    ):
        model(np.ones((1, 3), np.float32))
        agreement, signer = model.context_of_channel()
        key = signer.call_key(model.payee_key)
        payments = [
            write_payment(
                nothing(agreement.channel),
                payer=agreement.payer,
                nonce=agreement.nonce,
                point=signer.point,
                call=call,
                key=key,
            )
            for call in (1, 2)
        ]
        script = Path(__file__).with_name("triton_calls.py")
        place = url.removeprefix("http://")
        done = subprocess.run(
            [sys.executable, str(script), place, "twice", json.dumps(payments)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found["live"] and found["ready"] and found["model_ready"]
        assert "binary_tensor_data" in found["server"]["extensions"]
        assert found["model"]["inputs"] == [{"name": "X", "datatype": "FP32", "shape": [-1, 3]}]
        assert found["answers"] == 2 * [[[[0, 2, 4], [6, 8, 10]], [3, 12], "7"]]
        status, message = found["refused"]
        assert status == "402" and message.startswith("payment-required")
        assert gateway.books.load(agreement).units == 5
