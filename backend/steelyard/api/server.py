"""The HTTP part of the service: one process that answers on a listening socket (docs/api.md)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import mmap
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uvicorn
from starlette.types import ASGIApp

from steelyard.api.endpoints import endpoints
from steelyard.api.metrics import Metrics
from steelyard.api.protocol import protocol
from steelyard.api.service import Limits, Options, Service
from steelyard.api.state import State
from steelyard.errors import ConfigError

if TYPE_CHECKING:
    from steelyard.config import Config
    from steelyard.market import Market

GRACE: Final = 10
"""Seconds that requests under way have when the service stops."""
KEEP_ALIVE: Final = 15
BACKLOG: Final = 1024


def listen(place: str) -> socket.socket:
    """Return a listening socket.

    Args:
        place: address and port, such as ``127.0.0.1:8640``, or ``[::1]:8640``; port 0 for any.

    Raises:
        ConfigError: the address is not one of this machine, or the port is taken.
    """
    host, _, port = place.rpartition(":")
    host = host.strip("[]")
    try:
        found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        opened = socket.socket(found[0], socket.SOCK_STREAM)
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind(found[4])
            opened.listen(BACKLOG)
            opened.setblocking(False)
        except BaseException:
            opened.close()
            raise
    except OSError as exc:
        raise ConfigError(
            f"cannot listen on {place}: {exc.strerror or exc}; choose another with --http"
        ) from exc
    return opened


def url_of(opened: socket.socket) -> str:
    """Return the URL under which a listening socket is reached from this machine."""
    host, port = opened.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextlib.contextmanager
def service_of(
    market: Market, config: Config, options: Options, *, metrics: Metrics | None = None
) -> Iterator[Service]:
    """Open what endpoints work on, and close it at the end.

    Args:
        market: open; with the account only where plaintext is accepted.
        config: says where the index is.
        options: settings of the service.
        metrics: of this process.

    Raises:
        DatabaseError: index or tables cannot be opened.
        ConfigError: the library of PostgreSQL is missing.
    """
    from steelyard.service.opening import find_index, open_audit

    where = find_index(config, market.context.deployment)
    with contextlib.ExitStack() as stack:
        audit = stack.enter_context(open_audit(where, market.context.deployment))
        state = State.open(state_place(where))
        stack.callback(state.close)
        threads = ThreadPoolExecutor(options.limits.threads, thread_name_prefix="steelyard-http")
        stack.callback(threads.shutdown, wait=True, cancel_futures=True)
        yield Service(
            audit=audit,
            market=market,
            state=state,
            options=options,
            clock=market.context.settings.clock,
            metrics=metrics,
            threads=threads,
            inline=isinstance(where, Path) or "://" not in where,
        )


def state_place(index: str | Path) -> str | Path:
    """Return where the service's own tables are: in the same PostgreSQL, or in a file beside the index."""
    return index if isinstance(index, str) and "://" in index else Path(index).with_name("service.sqlite")


def metrics_of(memory: int, *, workers: int, worker: int) -> Metrics:
    """Return the counters of one of several processes, in memory that they share; ``memory`` is its descriptor."""
    names = [endpoint.name for endpoint in endpoints()]
    return Metrics(names, memory=mmap.mmap(memory, 0), workers=workers, worker=worker)


class Server(uvicorn.Server):
    """uvicorn, told from outside when to stop, whose streams end first."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        limits: Limits,
        sockets: Sequence[socket.socket],
        stopping: asyncio.Event | None = None,
    ) -> None:
        """Remember it; nothing is answered yet.

        Args:
            app: the application.
            limits: of connections and requests.
            sockets: that listen.
            stopping: set when it stops, so that streams end.
        """
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol(limits),
                loop="uvloop",
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE,
                timeout_graceful_shutdown=GRACE,
                backlog=BACKLOG,
            )
        )
        self._stopping = stopping
        self._sockets = list(sockets)
        self._loop: asyncio.AbstractEventLoop | None = None

    def serve_until_stopped(self) -> None:
        """Answer until `stop` is called."""
        self.run(sockets=self._sockets)

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer; uvicorn's."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    def stop(self) -> None:
        """Stop, from any thread: no new requests, streams end, those under way have some seconds."""
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End; uvicorn's, after the streams, for which it would wait."""
        if self._stopping is not None:
            self._stopping.set()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to whoever started the process."""
        yield


LOG: Final = logging.getLogger("steelyard.api")
