"""What one process does for all: it keeps the index and its cards, delivers webhooks, and clears away what has ended.

Several may run, on several machines over one database. Who has the index's lease leads; when it dies another takes over within seconds
(docs/index.md, "One writer").
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from steelyard.api.hooks import Hooks
from steelyard.api.logs import tell
from steelyard.api.receiving import sweep_uploads
from steelyard.api.server import service_of
from steelyard.api.service import Service
from steelyard.api.startup import Startup
from steelyard.api.uploads import is_published
from steelyard.chain.rpc import Rpc
from steelyard.errors import SteelyardError
from steelyard.indexer.database import open_database
from steelyard.indexer.run import Fault, Indexer, Progress, Report, Undone
from steelyard.market import Market
from steelyard.service.cards import CardKeeper
from steelyard.service.opening import endpoint, find_index

LOG: Final = logging.getLogger("steelyard.api")
SWEEP: Final = 600.0
"""Seconds between two clearings."""
_LEADS: Final = "SELECT holder, until FROM lease"
_EVERY: Final = 10.0
"""Seconds between two lines of progress while the index is built."""


def lead(startup: Startup, market: Market, stop: threading.Event) -> None:
    """Do it until told to stop; while another process leads, wait.

    Raises:
        DatabaseError: the index is damaged or another market's.
        ConfigError: there is no endpoint.
    """
    config, deployment = startup.config, market.context.deployment
    where = find_index(config, deployment)
    holder = secrets.token_hex(8)
    with contextlib.ExitStack() as stack:
        database = open_database(where)
        stack.callback(database.close)
        rpcs = [
            stack.enter_context(Rpc(url, chain_id=deployment.chain_id, timeout=config.timeout))
            for url in (endpoint(config), *config.rpc_more)
        ]
        indexer = Indexer(database, rpcs, deployment, holder=holder, tell=Talk())
        service = stack.enter_context(service_of(market, config, startup.options))
        leads = partial(_leads, service, holder)
        hooks = threading.Thread(target=Hooks.of(service).run, args=(stop,), kwargs={"leads": leads})
        sweeps = threading.Thread(target=_sweep, args=(service, stop, leads))
        cards = threading.Thread(target=CardKeeper(database, market.context.store).run, args=(stop,))
        for thread in (hooks, sweeps, cards):
            thread.start()
            stack.callback(thread.join)
        # Before the threads are waited for, also when the index fails.
        stack.callback(stop.set)
        indexer.run(stop, every=startup.interval)


def sweep(service: Service) -> None:
    """Clear away what has ended, once.

    Raises:
        DatabaseError: a database failed.
        StoreError: the store did not let go of a folder.
    """
    state, now = service.state, service.now()
    if state is None:
        return
    state.sweep(now)
    sweep_uploads(state, service.context.store, published=partial(is_published, service), now=now)


def _sweep(service: Service, stop: threading.Event, leads: Callable[[], bool]) -> None:
    while not stop.wait(SWEEP):
        try:
            if leads():
                sweep(service)
        except SteelyardError as exc:
            LOG.warning("sweep: %s", exc)


def _leads(service: Service, holder: str) -> bool:
    """Return whether this process had the lease at its last step."""
    try:
        with service.audit.database.read() as reader:
            row = reader.row(_LEADS)
    except SteelyardError:
        return False
    return row is not None and row[0] == holder and row[1] > time.time() * 1000


class Talk:
    """Tells what the index does."""

    def __init__(self) -> None:
        """Begin."""
        self._next = 0.0
        self._said = ""

    def __call__(self, report: Report) -> None:
        """Tell of it, unless it is the same as before."""
        if isinstance(report, Fault):
            why = f"{report.endpoint}: {type(report.error).__name__}: {report.error}"
            if why != self._said:
                tell("fault", f"index: {why}")
            self._said = why
            return
        self._said = ""
        if isinstance(report, Undone):
            tell("moved-back", f"index: {report.entries} entries above block {report.block} were replaced")
        elif isinstance(report, Progress) and report.block < report.target and time.monotonic() >= self._next:
            self._next = time.monotonic() + _EVERY
            tell("indexing", f"block {report.block} of {report.target}, {report.entries} entries")
