"""A process of the service: answers HTTP, or keeps the index. Started by :mod:`steelyard.api.processes`.

It ends on SIGTERM, and when standard input ends, which it does when whoever started it is gone, by whatever death.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from steelyard.api import startup as startups
from steelyard.api.logs import configure
from steelyard.api.startup import Startup
from steelyard.errors import SteelyardError

if TYPE_CHECKING:
    from steelyard.market import Market

LOG = logging.getLogger("steelyard.api")


def main() -> int:
    """Run as a process of its own."""
    startup = startups.load(sys.stdin.buffer)
    configure(as_json=startup.json, quiet=startup.quiet)
    stop = threading.Event()
    # Ctrl-C is for the one that started us; it says when to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    threading.Thread(target=_watch, args=(stop,), daemon=True).start()
    try:
        with _market(startup) as market:
            if startup.kind == "http":
                answer(startup, market, stop)
            else:
                keep_index(startup, market, stop)
    except SteelyardError as exc:
        LOG.error("%s: %s", startup.kind, exc)
        return 1
    return 0


def answer(startup: Startup, market: Market, stop: threading.Event) -> None:
    """Answer HTTP on the socket that was handed over, until told to stop."""
    from steelyard.api.endpoints import application
    from steelyard.api.server import Server, metrics_of, service_of

    opened = socket.socket(fileno=startup.socket)
    metrics = metrics_of(startup.memory, workers=startup.workers, worker=startup.worker)
    with service_of(market, startup.config, startup.options, metrics=metrics) as service:
        limits = service.options.limits
        server = Server(application(service), limits=limits, sockets=[opened], stopping=service.stopping)
        _when(stop, server.stop)
        server.serve_until_stopped()


def keep_index(startup: Startup, market: Market, stop: threading.Event) -> None:
    """Keep the index and deliver webhooks, while this process leads; until told to stop."""
    from steelyard.api.leader import lead

    lead(startup, market, stop)


def _market(startup: Startup) -> Market:
    from steelyard.crypto.secret import Secret
    from steelyard.market import Market
    from steelyard.service.account import Account

    account = None
    if startup.key is not None:
        seed = None if startup.seed is None else Secret(bytes.fromhex(startup.seed))
        account = Account.from_key(bytes.fromhex(startup.key), seed=seed)
    return Market.open(startup.config, account=account)


def _watch(stop: threading.Event) -> None:
    # Of the descriptor itself: a thread that waits in Python's own buffer could not be left at the end.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    stop.set()


def _when(stop: threading.Event, then: Callable[[], None]) -> None:
    def wait() -> None:
        stop.wait()
        then()

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
