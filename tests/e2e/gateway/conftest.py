"""A hosted model on the chain of the run: seller, payee, payer, and the gateway's processes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steelyard.api.server import listen, url_of
from steelyard.domain.records import MeteredOfferState
from steelyard.domain.types import account_word
from steelyard.gateway.claims import Claimer, Due, Rules
from steelyard.gateway.hosted import Wanted, prepare
from steelyard.gateway.startup import open_gateway
from steelyard.gateway.state import Gateway, Options
from steelyard.gateway.worker import answer
from steelyard.market import Market
from steelyard.service.dispatch import open_outbox

PRICE = 10**12


def write_model(folder: Path) -> None:
    """Write a model: X float (n, 3) to Y = 2 X, and S = the sum of each row."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Mul", ["X", "two"], ["Y"]),
        helper.make_node("ReduceSum", ["X", "axis"], ["S"], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "twice",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["n", 3])],
        [
            helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["n", 3]),
            helper.make_tensor_value_info("S", TensorProto.FLOAT, ["n"]),
        ],
        [
            numpy_helper.from_array(np.array(2.0, dtype=np.float32), "two"),
            numpy_helper.from_array(np.array([1], dtype=np.int64), "axis"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    (folder / "README.md").write_text("# Twice\n")


class Waiting(Claimer):
    """A claimer whose steps end when what they sent is in a block."""

    def step(self, *, force: bool = False) -> list[Due]:
        done = super().step(force=force)
        assert self.wait()
        return done


class Shop:
    """One hosted version: who sells it, and who is its payee."""

    def __init__(self, market_of: Callable[..., Market], folder: Path, **terms: Any) -> None:
        self.market_of = market_of
        self.seller = market_of()
        seed = self.seller.context.account.seed
        payee = market_of()
        from steelyard.service.account import Account

        account = Account.from_key(payee.context.account.key, seed=seed)
        self.payee = market_of(account)
        write_model(folder)
        published = self.seller.publish(folder, name="twice")
        self.ref = published.ref
        self.node = published.node
        self.offer = self.seller.offer_metered(
            self.ref, price=PRICE, payee=account.address, **{"in_flight": 4, **terms}
        )

    def wanted(self, **options: Any) -> Wanted:
        return prepare(self.payee, self.ref, **options)

    @contextmanager
    def gateway(
        self, where: Path | str, *, options: Options | None = None, **chosen: Any
    ) -> Iterator[tuple[str, Gateway]]:
        """Run a gateway in threads of this process."""
        with serving(self.payee, where, [self.wanted(**chosen)], options) as found:
            yield found

    @contextmanager
    def claimer(self, gateway: Gateway, rules: Rules | None = None) -> Iterator[Claimer]:
        with claiming(self.payee, gateway, rules) as claimer:
            yield claimer

    def earned(self) -> int:
        return self.payee.context.views.balance(self.node)

    def refunded(self, payer: Market) -> int:
        return payer.context.views.balance(account_word(payer.context.account.address))


@contextmanager
def serving(
    payee: Market, where: Path | str, wanted: Sequence[Wanted], options: Options | None = None
) -> Iterator[tuple[str, Gateway]]:
    """Run a gateway in threads of this process."""
    opened = listen("127.0.0.1:0")
    stop = threading.Event()
    with open_gateway(payee, where, wanted, options or Options(every=0.1)) as gateway:
        thread = threading.Thread(target=answer, args=(gateway, payee.context, opened, stop), daemon=True)
        thread.start()
        try:
            yield url_of(opened), gateway
        finally:
            stop.set()
            thread.join(20)


@contextmanager
def claiming(payee: Market, gateway: Gateway, rules: Rules | None = None) -> Iterator[Claimer]:
    """Claim what a gateway's books say."""
    offers = {item.id: item for item in offers_of(gateway)}
    with open_outbox(payee.context) as outbox:
        claimer = Waiting(payee.context, gateway.books, outbox, offers, rules or Rules())
        try:
            yield claimer
        finally:
            claimer.release()


def offers_of(gateway: Gateway) -> list[MeteredOfferState]:
    return [item for hosted in gateway.hosted() for item in hosted.wanted.offers]


@pytest.fixture
def shop(market_of: Callable[..., Market], tmp_path: Path) -> Shop:
    return Shop(market_of, tmp_path / "twice")


@pytest.fixture
def payer(market_of: Callable[..., Market]) -> Market:
    return market_of()
