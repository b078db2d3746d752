"""A process of the gateway: answers calls. Started by `steelyard host`; ends on SIGTERM, and when standard input ends."""

from __future__ import annotations

import logging
import mmap
import os
import signal
import socket
import sys
import threading
from typing import Final

from steelyard.api.logs import configure
from steelyard.crypto.secret import Secret
from steelyard.errors import SteelyardError
from steelyard.gateway import startup as startups
from steelyard.gateway.hosted import check_again
from steelyard.gateway.startup import Startup
from steelyard.gateway.state import Gateway
from steelyard.market import Market
from steelyard.service.account import Account
from steelyard.service.context import Context

SWITCH: Final = 0.0002
"""Seconds after which a thread is asked to let another one go on."""
LOG: Final = logging.getLogger("steelyard.gateway")


def main() -> int:
    """Run as a process of its own."""
    startup = startups.read(sys.stdin.buffer)
    configure(as_json=startup.json, quiet=startup.quiet)
    # The event loop lets go of the interpreter's lock at every write to a socket; by default it then waits 5 ms for a thread that
    # enters calls or runs a model.
    sys.setswitchinterval(SWITCH)
    stop = threading.Event()
    # Ctrl-C is for the one that started us; it says when to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    threading.Thread(target=_watch, args=(stop,), daemon=True).start()
    try:
        run(startup, stop)
    except SteelyardError as exc:
        LOG.error("gateway: %s", exc)
        return 1
    return 0


def run(startup: Startup, stop: threading.Event) -> None:
    """Answer on the socket that was handed over, until told to stop."""
    from steelyard.service.opening import find_index

    seed = Secret(bytes.fromhex(startup.seed))
    account = Account.from_key(bytes.fromhex(startup.key), seed=seed)
    opened = socket.socket(fileno=startup.socket)
    memory = mmap.mmap(startup.memory, 0)
    with Market.open(startup.config, account=account) as market:
        where = startups.books_place(find_index(startup.config, market.context.deployment))
        with startups.open_gateway(
            market,
            where,
            startup.wanted,
            startup.options,
            memory=memory,
            workers=startup.workers,
            worker=startup.worker,
        ) as gateway:
            answer(gateway, market.context, opened, stop)


def answer(gateway: Gateway, context: Context, opened: socket.socket, stop: threading.Event) -> None:
    """Answer on a socket until told to stop, and look at the versions again and again."""
    from steelyard.api.server import Server
    from steelyard.gateway.app import App

    server = Server(App(gateway), limits=gateway.options.limits, sockets=[opened])
    ended = threading.Event()

    def watch() -> None:
        while not stop.wait(gateway.options.every):
            check_again(context, gateway.hosted())
            if ended.is_set():
                return
        server.stop()

    thread = threading.Thread(target=watch, name="steelyard-versions", daemon=True)
    thread.start()
    try:
        server.serve_until_stopped()
    finally:
        ended.set()


def _watch(stop: threading.Event) -> None:
    # Of the descriptor itself: a thread that waits in Python's own buffer could not be left at the end.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    stop.set()


if __name__ == "__main__":
    sys.exit(main())
