"""Runs the service in a process of its own, over and over, each time until it is killed.

The first line of its input is a JSON list: endpoint, deployment record, store, home, key, seed, log. Then come orders. An order is a line of JSON: ``{"point": "deliver.signed"}`` ends the process with SIGKILL by its own hand at that commit point,
``{"after": 0.2}`` ends it with SIGKILL from outside after so many seconds. The answer is a line of JSON with the signal that ended it and the last commit point it had passed.
Everything is imported once, and every run is a fork of this process, which has no threads and no connections; importing web3
for each of some hundred runs would take ten minutes.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import web3  # noqa: F401  # imported once here, not in every child

from steelyard.chain.deployment import Deployment
from steelyard.crypto.secret import Secret
from steelyard.market import Market
from steelyard.service.account import Account
from steelyard.service.context import Settings
from steelyard.service.serve import run
from steelyard.storage.embedded import EmbeddedStore

NEVER = 20.0
"""Seconds after which a run that does not reach its commit point is given up."""


def serve(arguments: list[str], point: str | None) -> None:
    """Be the service; ends only by a signal."""
    rpc, deployment, store, home, key, seed, log = arguments
    account = Account.from_key(Secret(bytes.fromhex(key)), seed=Secret(bytes.fromhex(seed)))
    market = Market(
        rpc,
        deployment=Deployment.load(Path(deployment)),
        store=EmbeddedStore(store),
        account=account,
        home=Path(home),
        settings=Settings(poll=0.02, margin=0),
    )

    trace = os.open(log + ".points", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)

    def reached(name: str) -> None:
        os.pwrite(trace, name.encode().ljust(32), 0)
        if name == point:
            os.kill(os.getpid(), signal.SIGKILL)

    with open(log, "a") as file:
        run(
            market,
            interval=0.01,
            log=lambda line: print(line, file=file, flush=True),
            on_commit_point=reached,
        )


def child(arguments: list[str], order: dict[str, object]) -> int:
    """Run the service once; returns the signal that ended it, or 0."""
    point, after = order.get("point"), order.get("after", NEVER)
    pid = os.fork()
    if pid == 0:
        try:
            serve(arguments, point if isinstance(point, str) else None)
        finally:
            os._exit(1)
    end = time.monotonic() + float(str(after))
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return -1 if point else signal.SIGKILL


def main() -> None:
    """Carry out orders until there are none."""
    print("ready", flush=True)
    arguments = json.loads(sys.stdin.readline())
    points = Path(arguments[-1] + ".points")
    for line in sys.stdin:
        points.unlink(missing_ok=True)
        ended = child(arguments, json.loads(line))
        last = points.read_text().strip() if points.exists() else ""
        print(json.dumps({"signal": ended, "last": last}), flush=True)


if __name__ == "__main__":
    main()
