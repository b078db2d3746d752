"""What the calls of one process work on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field

from steelyard.api.limits import Buckets
from steelyard.api.service import Limits
from steelyard.crypto.metering import Signer
from steelyard.gateway.books import Books, Done, Entry
from steelyard.gateway.channels import Channels
from steelyard.gateway.counters import Counters
from steelyard.gateway.engine import Bounds
from steelyard.gateway.gather import Gather
from steelyard.gateway.hosted import Hosted
from steelyard.metering.agreement import Place


@dataclass(frozen=True, kw_only=True)
class Options:
    """Settings of a gateway.

    Attributes:
        limits: of connections, and of calls without payment (`per_minute`, `burst`).
        bounds: of a call.
        max_body: bytes of a request's body.
        max_answer: bytes of an answer's.
        every: seconds between two looks at a channel or a version.
        intra: threads of one run of a model.
        proxies: addresses of proxies whose last ``X-Forwarded-For`` entry is believed.
        unpaid: answer without payment, to whoever asks: for measuring, and for a seller's own machines.
    """

    limits: Limits = field(default_factory=lambda: Limits(connections=1_024, per_minute=300, burst=100))
    bounds: Bounds = field(default_factory=Bounds)
    max_body: int = 16 << 20
    max_answer: int = 16 << 20
    every: float = 5.0
    intra: int = 1
    proxies: frozenset[str] = frozenset()
    unpaid: bool = False


@dataclass(kw_only=True)
class Gateway:
    """One process.

    Attributes:
        place: chain and contract.
        payee: signs receipts.
        models: what is hosted, by name and version.
        channels: that it has met.
        books: what is kept.
        entering: enters calls, those that wait together.
        trying: counts trials, likewise.
        options: settings.
        threads: for what must not hold up the event loop.
        counters: for Prometheus.
        buckets: calls without payment by address.
        clock: Unix seconds.
    """

    place: Place
    payee: Signer
    models: Mapping[str, Mapping[str, Hosted]]
    channels: Channels
    books: Books
    entering: Gather[Entry, Done]
    trying: Gather[tuple[bytes, str, int, int, int], int]
    options: Options
    threads: Executor
    counters: Counters
    buckets: Buckets
    clock: Callable[[], float] = time.time

    def hosted(self) -> list[Hosted]:
        """Return all that is hosted."""
        return [item for versions in self.models.values() for item in versions.values()]
