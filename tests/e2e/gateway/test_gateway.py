"""A model hosted, used, paid, claimed and closed, with everything real: chain, store, HTTP, ONNX Runtime."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import urllib3

from steelyard.crypto.metering import Signer
from steelyard.crypto.secret import Secret
from steelyard.domain.hash import sha256
from steelyard.errors import RefusedError, UnsafeError
from steelyard.gateway.claims import Rules
from steelyard.gateway.hosted import check_again
from steelyard.gateway.state import Options
from steelyard.market import Market
from steelyard.metering import wire
from steelyard.metering.agreement import Signed, nothing
from steelyard.metering.evidence import verify
from steelyard.metering.wire import write_payment
from steelyard.service.budget import Budget
from steelyard.service.evidence import export_receipts
from steelyard.service.usage_check import PAGE
from steelyard.service.usage_http import GatewayClient, Seen
from tests.e2e.gateway.conftest import PRICE, Shop, Waiting, offers_of


def test_used_paid_claimed_and_closed(shop: Shop, payer: Market, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    with shop.gateway(tmp_path / "books.sqlite") as (url, gateway):
        with payer.use(shop.ref, url=url, budget=Budget(deposit=100 * PRICE)) as model:
            rows = 0
            for n in (1, 3, 2, 7, 1, 1, 5):
                x = rng.random((n, 3), dtype=np.float32)
                found = model(x)
                assert np.array_equal(found["Y"], 2 * x) and found["S"].shape == (n,)
                rows += n
            assert (model.units, model.spent, model.left) == (rows, rows * PRICE, (100 - rows) * PRICE)
            model.settle()
            with shop.claimer(gateway) as claimer:
                claimer.step()
            assert shop.earned() == rows * PRICE
            model.close_channel()
            with shop.claimer(gateway) as claimer:
                claimer.step()
        assert shop.refunded(payer) == (100 - rows) * PRICE


def send(url: str, path: str, body: bytes, **headers: str) -> tuple[int, dict[str, Any], Any]:
    answer = urllib3.request("POST", url + path, body=body, headers=headers)
    return answer.status, json.loads(answer.data), answer.headers


ONE = json.dumps({"inputs": [{"name": "X", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}).encode()
INFER = "/v2/models/twice/infer"


def test_the_protocol_without_payment(shop: Shop, tmp_path: Path) -> None:
    with shop.gateway(tmp_path / "books.sqlite", trial=2) as (url, _):
        for path, key in (
            ("/v2/health/live", "live"),
            ("/v2/health/ready", "ready"),
            ("/v2/models/twice/ready", "ready"),
        ):
            assert json.loads(urllib3.request("GET", url + path).data)[key] is True
        server = json.loads(urllib3.request("GET", url + "/v2").data)
        assert server["name"] == "steelyard" and "binary_tensor_data" in server["extensions"]
        model = json.loads(urllib3.request("GET", url + "/v2/models/twice/versions/1").data)
        assert model["versions"] == ["1"] and model["platform"] == "onnxruntime_onnx"
        assert model["inputs"] == [{"name": "X", "datatype": "FP32", "shape": [-1, 3]}]
        assert [item["name"] for item in model["outputs"]] == ["Y", "S"]
        assert model["steelyard"]["offer"] == "0x" + shop.offer.offer.hex()
        for left in ("1", "0"):
            status, found, headers = send(url, INFER, ONE)
            assert (status, headers["steelyard-trial-left"]) == (200, left)
            assert found["outputs"][0]["data"] == [2.0, 4.0, 6.0] and found["outputs"][1]["data"] == [6.0]
        status, found, headers = send(url, INFER, ONE)
        assert (status, found["code"], found["status"]) == (402, "payment-required", 402)
        assert found["error"] and headers["content-type"] == "application/problem+json"
        (accepted,) = found["accepts"]
        assert (accepted["scheme"], accepted["amount"], found["x402Version"]) == (
            "steelyard-channel",
            str(PRICE),
            2,
        )
        assert accepted["extra"]["terms"]["in_flight"] == 4
        required = json.loads(base64.b64decode(headers["payment-required"]))
        assert required["accepts"] == found["accepts"]


REFUSALS: list[tuple[str, bytes, dict[str, str], int, str]] = [
    ("/v2/models/none/infer", ONE, {}, 404, "not-found"),
    ("/v2/models/twice/versions/7/infer", ONE, {}, 404, "not-found"),
    ("/nothing", ONE, {}, 404, "not-found"),
    ("/v2/health/live", ONE, {}, 405, "method-not-allowed"),
    (INFER, b"{}", {}, 400, "bad-body"),
    (INFER, ONE.replace(b"FP32", b"FP64"), {}, 400, "bad-body"),
    (INFER, ONE, {"Inference-Header-Content-Length": "x"}, 400, "bad-parameter"),
    (INFER, ONE, {"Inference-Header-Content-Length": "99999"}, 400, "bad-body"),
    (INFER, ONE, {"Content-Encoding": "gzip"}, 415, "unsupported-media-type"),
    (INFER, b"x" * 2048, {}, 413, "too-large"),
    (INFER, ONE, {"Steelyard-Payment": "x"}, 400, "bad-payment"),
    (INFER, ONE, {"Steelyard-Payment": "A" * 340}, 400, "bad-payment"),
    (INFER, ONE, {"Payment-Signature": "e30="}, 400, "bad-payment"),
]


def test_refusals(shop: Shop, tmp_path: Path) -> None:
    options = Options(every=0.1, max_body=1024)
    with shop.gateway(tmp_path / "books.sqlite", trial=100, options=options) as (url, _):
        for path, body, headers, status, code in REFUSALS:
            found = send(url, path, body, **headers)
            assert (found[0], found[1]["code"]) == (status, code), (path, body, headers)
            assert found[1]["error"].startswith(code)


def test_a_header_of_another_channel_payer_or_version(shop: Shop, payer: Market, tmp_path: Path) -> None:
    with (
        shop.gateway(tmp_path / "books.sqlite") as (url, _),
        payer.use(shop.ref, url=url, budget=Budget(deposit=10 * PRICE)) as model,
    ):
        model(np.ones((1, 3), np.float32))
        agreement, signer = model.context_of_channel()
        none = nothing(agreement.channel)

        def paid(signed: Signed = none, call: int = 77, **change: Any) -> tuple[int, str]:
            parts = {"payer": agreement.payer, "nonce": agreement.nonce, "point": signer.point, **change}
            key = parts.pop("key", signer.call_key(model.payee_key))
            header = write_payment(signed, call=call, key=key, **parts)
            status, found, _ = send(url, INFER, ONE, **{"Steelyard-Payment": header})
            return status, found.get("code", "")

        assert paid() == (200, "")
        assert paid(key=bytes(32), call=78) == (401, "bad-tag")
        assert paid(nonce=1, call=78) == (402, "channel-of-another")
        other = Signer(Secret(b"\x07" * 32))
        assert paid(point=other.point, call=78) == (402, "channel-of-another")
        assert paid(point=b"\x02" + b"\xff" * 32, call=78) == (402, "channel-of-another")
        resume = {"key": signer.call_key(model.payee_key), "label": wire.RESUME_LABEL}
        header = write_payment(
            none, payer=agreement.payer, nonce=agreement.nonce, point=signer.point, call=78, **resume
        )
        status, found, _ = send(url, INFER, ONE, **{"Steelyard-Payment": header})
        assert (status, found["code"]) == (401, "bad-tag")
        # Vouchers that are not what the receipts give.
        good = model.settle().voucher
        for change, code in (
            ({"units": good.units + 1, "amount": (good.units + 1) * PRICE}, "bad-voucher"),
            ({"sequence": good.sequence + 9}, "channel-unknown-receipts"),
            ({"sequence": good.sequence + 1, "root": sha256(b"x")}, "bad-voucher"),
        ):
            voucher = replace(good, **change)
            signed = Signed(voucher=voucher, signature=signer.sign(voucher.digest(agreement.place.separator)))
            assert paid(signed, call=90)[1] == code
        stolen = Signed(voucher=good, signature=other.sign(good.digest(agreement.place.separator)))
        assert paid(replace(stolen, voucher=replace(good, sequence=good.sequence + 1)), call=91)[0] in (
            402,
            409,
        )


def test_calls_in_parallel_never_exceed_w(shop: Shop, payer: Market, tmp_path: Path) -> None:
    with (
        shop.gateway(tmp_path / "books.sqlite") as (url, gateway),
        payer.use(shop.ref, url=url, budget=Budget(deposit=200 * PRICE)) as model,
    ):
        x = np.arange(12, dtype=np.float32).reshape(4, 3)
        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda i: model(x[i % 4 : i % 4 + 1])["Y"], range(60)))
        for i, found in enumerate(answers):
            assert np.array_equal(found[0], 2 * x[i % 4])
        assert model.units == 60
        signed = model.settle()
        agreement, _ = model.context_of_channel()
        books = gateway.books.load(agreement)
        assert (books.receipts.count, books.units, books.best) == (60, 60, signed)


def test_books_lost_and_found_again(
    shop: Shop,
    payer: Market,
    market_of: Callable[..., Market],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with shop.gateway(tmp_path / "books.sqlite") as (url, _):
        budget = Budget(deposit=50 * PRICE)
        x = np.ones((1, 3), np.float32)
        with payer.use(shop.ref, url=url, budget=budget) as model:
            for _ in range(5):
                model(x)
            channel, covered = model.channel, model.settle().voucher.sequence
            model(x)
        # The same books: goes on.
        with payer.use(shop.ref, url=url, budget=budget) as model:
            assert (model.channel, model.units) == (channel, 6)
            model(x)
        # A gateway that says the same again and again is asked once.
        with monkeypatch.context() as patch:
            patch.setattr(GatewayClient, "channel", _endless)
            with payer.use(shop.ref, url=url, budget=budget) as model:
                assert model.units == 7
        # Other books, the same account: what was co-signed is its own, what was not it does not know.
        fresh = market_of(payer.context.account)
        with pytest.raises(UnsafeError, match="trust_gateway"):
            fresh.use(shop.ref, url=url, budget=budget)
        with fresh.use(shop.ref, url=url, budget=budget, trust_gateway=True) as model:
            assert (model.channel, model.units) == (channel, 7)
            assert len(model.receipts()) == 7 and covered == 5
            model(x)
            model.settle()
            data = export_receipts(fresh.context, model.context_of_channel()[0])
        assert verify(data).units == 8


def _endless(self: GatewayClient, *args: Any, after: int, real: Any = GatewayClient.channel) -> Seen:
    seen: Seen = real(self, *args, after=0)
    return Seen(receipts=seen.receipts * PAGE, voucher=seen.voucher)


def test_a_gateway_that_lost_its_disk(shop: Shop, payer: Market, tmp_path: Path) -> None:
    x = np.ones((1, 3), np.float32)
    with (
        shop.gateway(tmp_path / "books.sqlite") as (url, _),
        payer.use(shop.ref, url=url, budget=Budget(deposit=50 * PRICE)) as model,
    ):
        for _ in range(3):
            model(x)
    with (
        shop.gateway(tmp_path / "other.sqlite") as (url, _),
        payer.use(shop.ref, url=url, budget=Budget(deposit=50 * PRICE)) as model,
    ):
        with pytest.raises(UnsafeError, match="lost receipts"):
            model(x)
        model.close_channel()


def test_budgets_and_top_up(shop: Shop, payer: Market, tmp_path: Path) -> None:
    x = np.ones((4, 3), np.float32)
    with shop.gateway(tmp_path / "books.sqlite") as (url, _):
        with pytest.raises(RefusedError, match="a unit costs"):
            payer.use(shop.ref, url=url, budget=Budget(deposit=PRICE, price=PRICE - 1))
        budget = Budget(deposit=5 * PRICE, total=9 * PRICE, per_day=12 * PRICE)
        with payer.use(shop.ref, url=url, budget=budget) as model:
            price = model.price(x)
            assert (price.units, price.amount, price.deposit) == (4, 4 * PRICE, 5 * PRICE) and price.gas
            assert model.channel is None
            model(x)
            price = model.price(x)
            assert price.deposit == 4 * PRICE  # no more than the total
            model(x)
            info = payer.channel(model.channel)  # type: ignore[arg-type]
            assert (info.deposit, info.claimed, info.state.name) == (9 * PRICE, 0, "OPEN")
            with pytest.raises(RefusedError, match="the budget allows 0 more"):
                model(x)
            model.limit(replace(budget, total=90 * PRICE, per_day=11 * PRICE))
            with pytest.raises(RefusedError, match="a day"):
                model(x)


def test_closing_while_the_payee_is_down(
    shop: Shop, payer: Market, tmp_path: Path, travel: Callable[[int], None]
) -> None:
    x = np.ones((3, 3), np.float32)
    with shop.gateway(tmp_path / "books.sqlite") as (url, _):
        with payer.use(shop.ref, url=url, budget=Budget(deposit=10 * PRICE)) as model:
            model(x)
            model.settle()
            model(x)
            channel = model.channel
            assert channel is not None
        payer.start_closing(channel)
    travel(50_000)  # down for more than half of the window
    with shop.gateway(tmp_path / "books.sqlite") as (url, gateway):
        with pytest.raises(RefusedError), payer.use(shop.ref, url=url, budget=Budget(deposit=1)) as model:
            model(x)  # the old channel is closing, and a new one cannot be paid
        with shop.claimer(gateway, Rules(at=10**30, max_fee=10**8)) as claimer:
            (done,) = claimer.step()
            assert done.urgent and done.amount == 3 * PRICE
            claimer.step()
    assert shop.earned() == 3 * PRICE
    assert shop.refunded(payer) == 7 * PRICE
    assert payer.channel(channel).state.name == "CLOSED"


def test_claims_at_a_threshold_and_at_a_price_of_gas(shop: Shop, payer: Market, tmp_path: Path) -> None:
    x = np.ones((3, 3), np.float32)
    with (
        shop.gateway(tmp_path / "books.sqlite") as (url, gateway),
        payer.use(shop.ref, url=url, budget=Budget(deposit=100 * PRICE)) as model,
    ):
        model(x)
        model.settle()
        for rules in (Rules(at=4 * PRICE), Rules(at=1, max_fee=1)):
            with shop.claimer(gateway, rules) as claimer:
                assert claimer.step() == [] and shop.earned() == 0
        with shop.claimer(gateway, Rules(at=3 * PRICE)) as claimer:
            assert len(claimer.step()) == 1 and shop.earned() == 3 * PRICE
            assert claimer.step() == []
        model(x)
        model.settle()
        with shop.claimer(gateway, Rules(at=10**30, after=0)) as claimer:
            assert len(claimer.step()) == 1 and shop.earned() == 6 * PRICE


def test_two_claimers_do_not_both_claim(shop: Shop, payer: Market, tmp_path: Path) -> None:
    with (
        shop.gateway(tmp_path / "books.sqlite") as (url, gateway),
        payer.use(shop.ref, url=url, budget=Budget(deposit=100 * PRICE)) as model,
    ):
        model(np.ones((1, 3), np.float32))
        model.settle()
        with shop.claimer(gateway, Rules(at=10**30)) as first:
            first.step()
            other = Waiting(
                shop.payee.context,
                gateway.books,
                first.outbox,
                {shop.offer.offer: offers_of(gateway)[0]},
                Rules(),
            )
            assert other.step() == [] and shop.earned() == 0
            first.release()
            assert len(other.step()) == 1
            other.release()


def test_flagged_is_not_served(
    shop: Shop, payer: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with shop.gateway(tmp_path / "books.sqlite", trial=5) as (url, gateway):
        assert send(url, INFER, ONE)[0] == 200
        (item,) = gateway.hosted()
        monkeypatch.setattr("steelyard.gateway.hosted.not_served", lambda *_, **__: "it was proved false")
        check_again(shop.payee.context, [item])
        status, found, _ = send(url, INFER, ONE)
        assert (status, found["code"]) == (409, "not-served")
        assert urllib3.request("GET", url + "/v2/health/ready", retries=False).status == 503
        monkeypatch.undo()


def test_x402_and_metrics(shop: Shop, payer: Market, tmp_path: Path) -> None:
    with (
        shop.gateway(tmp_path / "books.sqlite") as (url, _),
        payer.use(shop.ref, url=url, budget=Budget(deposit=10 * PRICE)) as model,
    ):
        model(np.ones((2, 3), np.float32))
        agreement, signer = model.context_of_channel()
        header = write_payment(
            nothing(agreement.channel),
            payer=agreement.payer,
            nonce=agreement.nonce,
            point=signer.point,
            call=5,
            key=signer.call_key(model.payee_key),
        )
        text = base64.b64encode(
            json.dumps({"x402Version": 2, "payload": {"payment": header}}).encode()
        ).decode()
        status, _, headers = send(url, INFER, ONE, **{"Payment-Signature": text})
        assert status == 200 and "steelyard-receipt" in headers
        metrics = urllib3.request("GET", url + "/metrics").data.decode()
        assert 'steelyard_gateway_units_total{model="twice"} 3.0' in metrics
        assert 'steelyard_gateway_calls_total{model="twice",outcome="paid"} 2.0' in metrics
        assert 'steelyard_gateway_uncovered_units{model="twice"} 3.0' in metrics
