"""What all endpoints work on: the index, the chain and the store, the service's own tables, its settings and its clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

from steelyard.domain.types import Address

if TYPE_CHECKING:
    from starlette.requests import Request

    from steelyard.api.feed import Feed
    from steelyard.api.limits import Counts
    from steelyard.api.metrics import Metrics
    from steelyard.api.state import State
    from steelyard.market import Market
    from steelyard.query.audit import Audit
    from steelyard.service.context import Context

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a caller may ask for. Counts are those of one process: with several workers each counts for itself.

    Attributes:
        per_minute: requests in a minute, of one address (of IPv6 one /64) or one session; 0 for no limit.
        burst: how many of them at once.
        upload: MiB of blocks in a second of one account, which are no requests of the others; 0 for no limit.
        callers: how many callers are remembered; the one that was quiet for longest is forgotten.
        header: bytes of request line and headers.
        seconds: until a request has arrived, and until it is answered (streams apart).
        stall: seconds that a reader may take for a piece of a stream.
        streams: streams of events of one address.
        all_streams: streams of events of one process.
        connections: open connections of one process.
        waiting: requests that wait for a thread, in one process.
        threads: threads for slow questions.
    """

    per_minute: int = 300
    burst: int = 100
    upload: int = 64
    callers: int = 20_000
    header: int = 65_536
    seconds: float = 30.0
    stall: float = 30.0
    streams: int = 20
    all_streams: int = 1_000
    connections: int = 2_000
    waiting: int = 64
    threads: int = 4


@dataclass(frozen=True, kw_only=True)
class Options:
    """Settings of the service.

    Attributes:
        public_url: under which others reach it, without a slash at the end; sign-in messages and links name it.
        max_lag: seconds that the index may be behind for the service to be ready.
        limits: what a caller may ask for.
        proxies: addresses of proxies whose last ``X-Forwarded-For`` entry is believed.
        accept_plaintext: whether drafts of plaintext are taken, from the account that runs the service.
        allow_private_webhooks: whether webhooks may go to private addresses.
        confirmations: blocks, its own included, that an entry must be under before a webhook tells of it.
        quota: bytes of open uploads of one account.
    """

    public_url: str = "http://127.0.0.1:8640"
    max_lag: int = 60
    limits: Limits = field(default_factory=Limits)
    proxies: frozenset[str] = frozenset()
    accept_plaintext: bool = False
    allow_private_webhooks: bool = False
    confirmations: int = 1
    quota: int = 64 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer as it leaves: what idempotency keeps and gives again.

    Attributes:
        status: HTTP status.
        headers: names in lower case; without length, and without those that every answer has.
        body: its bytes.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


Authenticate = Callable[["Service", "Request"], "Address | None | Awaitable[Address | None]"]
"""Returns who is signed in: None without ``Authorization``; raises ``Problem`` for a token that does not hold.

Called when the request has that header or the endpoint wants a session."""


class Once(Protocol):
    """Keeps the first answer to an ``Idempotency-Key``."""

    async def __call__(
        self,
        service: Service,
        /,
        *,
        caller: str,
        key: str,
        digest: bytes,
        run: Callable[[], Awaitable[Reply]],
    ) -> Reply:
        """Return the kept answer, or call ``run`` once and keep what it answers.

        Args:
            service: with the tables.
            caller: who asks: an account as text, or the address of who is not signed in.
            key: the header's value, checked: 1 to 255 printable ASCII characters.
            digest: SHA-256 over method, path, query and body: 32 bytes.
            run: does it; problems are answers too, and nothing is raised.

        Raises:
            Problem: ``idempotency-mismatch`` or ``idempotency-busy``.
        """
        ...


@dataclass(kw_only=True)
class Service:
    """What endpoints work on; one for a process.

    Attributes:
        audit: answers from the index.
        market: chain and store; with the account only where plaintext is accepted.
        state: the service's own tables; None where nothing private is served.
        options: settings.
        clock: Unix seconds.
        metrics: counters of this process.
        threads: for what must not hold up the event loop.
        stopping: set when the process ends; streams end then.
        waiting: calls of `thread` under way.
        exports: how many exports are under way; made when there is the first.
        streams: the same for streams of events.
        feed: what they listen to.
        inline: the index is a file of this machine, so cheap questions need no thread.
    """

    audit: Audit
    market: Market
    state: State | None = None
    options: Options = field(default_factory=Options)
    clock: Callable[[], float] = time.time
    metrics: Metrics | None = None
    threads: Executor | None = None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    inline: bool = False
    waiting: int = 0
    exports: Counts | None = None
    streams: Counts | None = None
    feed: Feed | None = None

    @property
    def context(self) -> Context:
        """Chain, deployment, store and settings."""
        return self.market.context

    def now(self) -> int:
        """Return the time, Unix seconds."""
        return int(self.clock())

    async def thread(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function in a thread of the service and wait for it: whatever asks the chain, the store or searches long.

        Raises:
            Problem: ``not-ready``: too many wait already; ``timeout``.
        """
        from steelyard.api.problem import Problem

        if self.waiting >= self.options.limits.waiting:
            raise Problem("not-ready", "too many requests wait for a thread", retry_after=1)
        self.waiting += 1
        work = asyncio.get_running_loop().run_in_executor(self.threads, partial(function, *args, **kwargs))
        # A caller who is gone, or out of time, leaves the thread at work: it counts until it is done.
        work.add_done_callback(self._thread_done)
        try:
            async with asyncio.timeout(self.options.limits.seconds):
                return await asyncio.shield(work)
        except TimeoutError as exc:
            raise Problem("timeout", "it took too long; ask for less") from exc

    async def work(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function in a thread for something that was let in already: it waits its turn, however many there are."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.threads, partial(function, *args, **kwargs))

    def _thread_done(self, work: asyncio.Future[R]) -> None:
        self.waiting -= 1
        if not work.cancelled():
            work.exception()  # taken, or the loop would log it when nobody waits any more
