"""Two processes of a gateway over one PostgreSQL serve one channel; one after the other is killed, and books and chain agree."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
import urllib3

from steelyard.api.server import listen, url_of
from steelyard.errors import RefusedError, UnavailableError
from steelyard.market import Market
from steelyard.service.budget import Budget
from tests.e2e.gateway.conftest import PRICE, Shop, claiming, serving
from tests.support.postgres import Postgres

ROOT = Path(__file__).parents[3]
RUN = """
import json, os, signal, sys
from tests.e2e.kill.hosted import start

told = json.loads(sys.stdin.readline())
lives = [start("gateway", item) for item in told]
for line in sys.stdin:
    place = int(line)
    os.kill(lives[place], signal.SIGKILL)
    os.waitpid(lives[place], 0)
    lives[place] = start("gateway", told[place])
    print("again", flush=True)
for pid in lives:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
"""
"""Each life is a fork of a process that has imported everything; all end when its input does."""


@pytest.fixture
def books() -> Iterator[str]:
    """A database that flushes what it commits, as the gateway demands."""
    server = Postgres()
    place = server.database()
    _flush(place, "on")
    yield place
    _flush(place, "off")  # or its end takes a minute
    server.stop()


def _flush(place: str, how: str) -> None:
    with psycopg.connect(place, autocommit=True) as connection:
        connection.execute(f"ALTER SYSTEM SET fsync = {how}")
        connection.execute("SELECT pg_reload_conf()")


class Pair:
    """Two gateways, each a process with a socket of its own."""

    def __init__(self, shop: Shop, books: str, folder: Path) -> None:
        context, account = shop.payee.context, shop.payee.context.account
        context.deployment.save(folder / "deployment.json")
        self.sockets = [listen("127.0.0.1:0") for _ in range(2)]
        self.urls = [url_of(opened) for opened in self.sockets]
        self.told: list[dict[str, Any]] = [
            {
                "payee": {
                    "key": account.key.reveal().hex(),
                    "seed": account.seed.reveal().hex(),
                    "home": str(folder / f"payee-{opened.fileno()}"),
                },
                "rpc": context.rpc.name,
                "deployment": str(folder / "deployment.json"),
                "store": str(context.store.path),  # type: ignore[attr-defined]
                "books": books,
                "ref": shop.ref,
                "socket": opened.fileno(),
            }
            for opened in self.sockets
        ]
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": "backend:."},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=[opened.fileno() for opened in self.sockets],
        )
        self.order(json.dumps(self.told))

    def order(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def ready(self, place: int) -> None:
        """Wait until one of them answers."""
        assert urllib3.request("GET", self.urls[place] + "/v2/health/ready", timeout=60).status == 200

    def kill(self, place: int) -> None:
        """Kill one of them, and start it again."""
        self.order(str(place))
        assert self.process.stdout is not None and self.process.stdout.readline() == "again\n"

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()
        for opened in self.sockets:
            opened.close()


def test_one_of_two_is_killed_again_and_again(shop: Shop, payer: Market, books: str, tmp_path: Path) -> None:
    dice, budget = random.Random(3), Budget(deposit=10**6 * PRICE)
    pair = Pair(shop, books, tmp_path)
    answered = [0, 0]

    def call(model: Any, place: int, ended: threading.Event) -> None:
        x = np.ones((1, 3), np.float32)
        while not ended.is_set():
            with suppress(UnavailableError, RefusedError):
                assert np.array_equal(model(x)["Y"], 2 * x)
                answered[place] += 1

    try:
        for place in (0, 1):
            pair.ready(place)
        for turn in range(6):
            place, ended = turn % 2, threading.Event()
            with (
                suppress(UnavailableError),
                payer.use(shop.ref, url=pair.urls[place], budget=budget) as model,
            ):
                with ThreadPoolExecutor(3) as pool:
                    running = [pool.submit(call, model, place, ended) for _ in range(3)]
                    time.sleep(dice.uniform(0.3, 1.0))
                    pair.kill(place)
                    ended.set()
                    for item in running:
                        item.result()
                pair.ready(place)
        assert min(answered) > 0
    finally:
        pair.close()
    with serving(shop.payee, books, [shop.wanted()]) as (url, gateway):
        with payer.use(shop.ref, url=url, budget=budget) as model:
            model.resume()
            signed = model.settle()
            agreement, units = model.context_of_channel()[0], model.units
            model.close_channel()
        kept = gateway.books.load(agreement)
        assert (kept.units, kept.best) == (units, signed) and units >= sum(answered)
        with claiming(shop.payee, gateway) as claimer:
            for _ in range(2):
                claimer.step()
    assert len(payer.channels()) == 1
    assert shop.earned() == units * PRICE and shop.refunded(payer) == (10**6 - units) * PRICE
