"""Runs a gateway and a client of it, each in a process of its own, and kills whichever it is told to.

The first line of its input is a JSON object with all places and keys; the listening socket comes as an open file. Then come orders, lines of JSON:
``{"kill": "gateway", "after": 0.1}`` ends that process with SIGKILL after so many seconds and starts it again. The answer is a line of JSON with the signal
that ended it. Everything is imported once, and every life is a fork of this process, which has no threads and no connections.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime  # noqa: F401  # imported once here, not in every child
import web3  # noqa: F401  # likewise

from steelyard.chain.deployment import Deployment
from steelyard.crypto.secret import Secret
from steelyard.errors import RefusedError, SteelyardError, UnavailableError
from steelyard.gateway import worker
from steelyard.gateway.hosted import prepare
from steelyard.gateway.startup import open_gateway
from steelyard.gateway.state import Options
from steelyard.market import Market
from steelyard.service.account import Account
from steelyard.service.budget import Budget
from steelyard.service.context import Settings
from steelyard.service.usage import Usage
from steelyard.service.usage_http import Answer, GatewayClient
from steelyard.storage.embedded import EmbeddedStore

THREADS = 3


def market(told: dict[str, Any], who: str) -> Market:
    """Return the market of the payee or the payer."""
    account = Account.from_key(
        Secret(bytes.fromhex(told[who]["key"])), seed=Secret(bytes.fromhex(told[who]["seed"]))
    )
    return Market(
        told["rpc"],
        deployment=Deployment.load(Path(told["deployment"])),
        store=EmbeddedStore(told["store"]),
        account=account,
        home=Path(told[who]["home"]),
        settings=Settings(poll=0.02, margin=0),
    )


def gateway(told: dict[str, Any]) -> None:
    """Be the gateway; ends only by a signal."""
    payee = market(told, "payee")
    wanted = prepare(payee, told["ref"])
    with open_gateway(payee, told["books"], [wanted], Options(every=0.5)) as opened:
        worker.answer(opened, payee.context, socket.socket(fileno=told["socket"]), threading.Event())


def client(told: dict[str, Any]) -> None:
    """Be the client; writes down each true answer before its receipt is believed. Ends only by a signal."""
    payer = market(told, "payer")
    log = os.open(told["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def noted(ask: Callable[..., Answer]) -> Callable[..., Answer]:
        def call(*arguments: Any) -> Answer:
            answer = ask(*arguments)
            os.write(log, f"answer {sha256(answer.body).hexdigest()}\n".encode())
            return answer

        return call

    # Before anything is asked: a client resumes when it is made.
    GatewayClient.infer = noted(GatewayClient.infer)  # type: ignore[method-assign]
    GatewayClient.answer = noted(GatewayClient.answer)  # type: ignore[method-assign]
    while True:
        try:
            budget = Budget(deposit=told["deposit"])
            with (
                payer.use(told["ref"], url=told["url"], budget=budget) as model,
                ThreadPoolExecutor(THREADS) as pool,
            ):
                list(pool.map(lambda place, model=model: _call(model, place), range(THREADS)))
        except UnavailableError:
            time.sleep(0.02)


def _call(model: Usage, place: int) -> None:
    rng = np.random.default_rng([os.getpid(), place])
    while True:
        x = rng.random((int(rng.integers(1, 5)), 3), dtype=np.float32)
        try:
            if not np.array_equal(model(x)["Y"], 2 * x):
                os._exit(3)
        except UnavailableError:
            time.sleep(0.01)
            return
        except RefusedError as exc:
            if getattr(exc, "code", "") not in ("in-flight", "busy"):
                raise


def start(role: str, told: dict[str, Any]) -> int:
    """Fork a life; returns its process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        (gateway if role == "gateway" else client)(told)
    except SteelyardError as exc:
        print(f"{role}: {type(exc).__name__}: {exc}", file=sys.stderr, flush=True)
    finally:
        os._exit(2)


def main() -> None:
    """Carry out orders until there are none, and end what runs."""
    told = json.loads(sys.stdin.readline())
    lives = {role: start(role, told) for role in ("gateway", "client")}
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        time.sleep(order["after"])
        role = order["kill"]
        os.kill(lives[role], signal.SIGKILL)
        _, status = os.waitpid(lives[role], 0)
        print(
            json.dumps({"ended": os.WTERMSIG(status) if os.WIFSIGNALED(status) else -os.WEXITSTATUS(status)}),
            flush=True,
        )
        lives[role] = start(role, told)
    for pid in lives.values():
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
