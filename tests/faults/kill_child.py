"""Runs the index, or the whole HTTP service with its leader, in a process that is killed, over and over.

The first line of its input is JSON: the settings, and the file descriptor of the listening socket. Then come orders, one line of JSON each:
``{"what": "index", "commit": 3, "when": "before"}`` ends the process by its own hand right before or after its third commit,
``{"what": "index", "after": 0.02}`` from outside after so many seconds, ``{"what": "serve"}`` and ``{"what": "lead", "holder": "a"}``, which
follows the chain under its own name, never: whoever gave the order kills it.
To each the answer is a line with the process id, and a line with how it ended.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import web3  # noqa: F401  # imported once here, not in every child

from steelyard.api import leader, server, worker
from steelyard.api.endpoints import endpoints
from steelyard.api.metrics import size_of
from steelyard.api.service import Limits, Options
from steelyard.api.startup import Startup, shared_memory
from steelyard.chain.deployment import Deployment
from steelyard.chain.rpc import Rpc
from steelyard.config import Config
from steelyard.indexer.database import Database, Reader, Writer, open_database
from steelyard.indexer.run import Indexer
from steelyard.market import Market
from steelyard.service.context import Settings

assert server  # loaded here too, not in every child
HOLDER = "the only one"
"""Of the lease, in every life: a process that comes back would otherwise wait until the lease of the dead one has run out."""


class Killing(Database):
    """A database that ends the process at one of its commits."""

    def __init__(self, inner: Database, *, commit: int, when: str) -> None:
        self._inner = inner
        self.name = inner.name
        self._commit = commit
        self._when = when
        self._count = 0

    @contextmanager
    def write(self) -> Iterator[Writer]:
        with self._inner.write() as writer:
            yield writer
            self._count += 1
            self._reached("before")
        self._reached("after")

    def _reached(self, when: str) -> None:
        if self._count == self._commit and when == self._when:
            os.kill(os.getpid(), signal.SIGKILL)

    @contextmanager
    def read(self) -> Iterator[Reader]:
        with self._inner.read() as reader:
            yield reader

    def check(self, *, full: bool = False) -> None:
        self._inner.check(full=full)

    def clear(self) -> None:
        self._inner.clear()

    def close(self) -> None:
        self._inner.close()


def index(given: dict[str, Any], order: dict[str, Any]) -> None:
    """Bring the index up to the newest block."""
    deployment = Deployment.load(Path(given["deployment"]))
    database = open_database(given["database"])
    if "commit" in order:
        database = Killing(database, commit=order["commit"], when=order["when"])
    Indexer(database, [Rpc(given["rpc"], chain_id=deployment.chain_id)], deployment, holder=HOLDER).catch_up()


def lead(given: dict[str, Any], order: dict[str, Any]) -> None:
    """Follow the chain as one of several processes."""
    deployment = Deployment.load(Path(given["deployment"]))
    rpc = Rpc(given["rpc"], chain_id=deployment.chain_id)
    Indexer(open_database(given["database"]), [rpc], deployment, holder=order["holder"]).run(
        threading.Event(), every=0.05
    )


def serve(given: dict[str, Any], order: dict[str, Any]) -> None:
    """Answer HTTP and lead, in one process."""
    config = Config(
        home=Path(given["home"]),
        rpc=given["rpc"],
        chain_id=given["chain_id"],
        deployment=Path(given["deployment"]),
        store=given["store"],
        database=given["database"],
    )
    options = Options(
        public_url=given["url"], limits=Limits(per_minute=0), allow_private_webhooks=True, max_lag=1 << 40
    )
    startup = Startup(
        kind="http",
        config=config,
        options=options,
        quiet=True,
        socket=given["socket"],
        memory=shared_memory(size_of(len(endpoints()), 1)),
        interval=0.05,
    )
    later = float(order.get("later", 0))
    market = Market(
        config.rpc or "",
        deployment=Deployment.load(Path(given["deployment"])),
        store=open_store(given["store"]),
        settings=Settings(clock=lambda: time.time() + later),
    )
    stop = threading.Event()
    threading.Thread(target=leader.lead, args=(startup, market, stop), daemon=True).start()
    worker.answer(startup, market, stop)


def open_store(folder: str) -> Any:
    """Open the embedded store."""
    from steelyard.storage.embedded import EmbeddedStore

    return EmbeddedStore(folder)


def child(given: dict[str, Any], order: dict[str, Any]) -> int:
    """Run once; returns the signal that ended it, or 0."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            {"index": index, "lead": lead, "serve": serve}[order["what"]](given, order)
            code = 0
        finally:
            os._exit(code)
    print(json.dumps({"pid": pid}), flush=True)
    if "after" in order:
        time.sleep(order["after"])
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return os.WTERMSIG(status)
    return -os.WEXITSTATUS(status)


def main() -> None:
    """Carry out orders until there are none."""
    given = json.loads(sys.stdin.readline())
    if given["database"].startswith("postgresql://"):
        import_module("steelyard.indexer.postgres")  # once here, not in every child
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps({"signal": child(given, json.loads(line))}), flush=True)


if __name__ == "__main__":
    main()
