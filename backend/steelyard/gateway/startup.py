"""What a process of the gateway is told, and what it is made of."""

from __future__ import annotations

import contextlib
import mmap
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from steelyard.api.limits import Buckets
from steelyard.api.startup import MAX_LINE, decode_hook, encode_hook
from steelyard.chain.metered import channels_of
from steelyard.config import Config
from steelyard.crypto.metering import Signer
from steelyard.gateway.app import ENDPOINTS
from steelyard.gateway.books import open_books
from steelyard.gateway.channels import Channels
from steelyard.gateway.counters import Counters
from steelyard.gateway.gather import Gather
from steelyard.gateway.hosted import Wanted, by_name, load
from steelyard.gateway.measures import measures
from steelyard.gateway.state import Gateway, Options
from steelyard.market import Market
from steelyard.metering.agreement import Place

FILE: Final = "gateway.sqlite"
MODULE: Final = "steelyard.gateway.worker"


class Startup(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a process needs to know.

    Attributes:
        config: the settings, resolved.
        options: settings of the gateway.
        wanted: what is hosted.
        key: private key of the payee, hexadecimal.
        seed: of the account, hexadecimal.
        json: write lines of JSON.
        quiet: write errors only.
        socket: descriptor of the listening socket.
        memory: descriptor of the counters' memory.
        workers: how many processes there are.
        worker: which of them this is.
    """

    config: Config
    options: Options
    wanted: tuple[Wanted, ...]
    key: str
    seed: str
    json: bool = False
    quiet: bool = False
    socket: int = -1
    memory: int = -1
    workers: int = 1
    worker: int = 0

    def __repr__(self) -> str:
        """Name what it is, and no key."""
        return f"Startup(gateway {self.worker})"


def dump(startup: Startup) -> bytes:
    """Return the line that a process is told."""
    return msgspec.json.encode(startup, enc_hook=encode_hook) + b"\n"


def read(stream: BinaryIO) -> Startup:
    """Read the line."""
    return msgspec.json.decode(stream.readline(MAX_LINE), type=Startup, dec_hook=decode_hook)


def books_place(index: str | Path) -> str | Path:
    """Return where the gateway's books are: in the same PostgreSQL as the index, or in a file beside it."""
    return index if isinstance(index, str) and "://" in index else Path(index).with_name(FILE)


def names_of(wanted: Sequence[Wanted]) -> list[str]:
    """Return the names of models, for the counters."""
    return sorted({item.name for item in wanted})


@contextlib.contextmanager
def open_gateway(
    market: Market,
    where: str | Path,
    wanted: Sequence[Wanted],
    options: Options,
    *,
    memory: mmap.mmap | None = None,
    workers: int = 1,
    worker: int = 0,
) -> Iterator[Gateway]:
    """Open what the calls of a process work on, and close it at the end.

    Args:
        market: open, with the account that is the payee.
        where: of the books: a file, or ``postgresql://...``.
        wanted: what is hosted.
        options: settings.
        memory: of the counters; private if None.
        workers: how many processes there are.
        worker: which of them this is.

    Raises:
        DatabaseError: the books cannot be opened.
        ConfigError: a library is missing.
        VerificationError: ONNX Runtime cannot run a model.
    """
    context = market.context
    payee = Signer(context.account.key)
    place = Place.of(context.chain_id, channels_of(context.deployment))
    with contextlib.ExitStack() as stack:
        books = open_books(where, payee, clock=context.settings.clock)
        stack.callback(books.close)
        threads = _pool(stack, options.limits.threads, "steelyard-gateway")
        writing = _pool(stack, 1, "steelyard-books")
        running = _pool(stack, 2, "steelyard-models")
        hosted = [load(item, running, options.bounds, intra=options.intra) for item in wanted]
        limits = options.limits
        gateway = Gateway(
            place=place,
            payee=payee,
            models=by_name(hosted),
            channels=Channels(context, place, payee, every=options.every, clock=time.monotonic),
            books=books,
            entering=Gather(books.enter, writing),
            trying=Gather(books.try_out, writing),
            options=options,
            threads=threads,
            counters=Counters(names_of(wanted), ENDPOINTS, memory=memory, workers=workers, worker=worker),
            buckets=Buckets(per_minute=limits.per_minute, burst=limits.burst, size=limits.callers),
            clock=context.settings.clock,
        )
        gateway.counters.samples = lambda: measures(gateway)
        yield gateway


def _pool(stack: contextlib.ExitStack, size: int, name: str) -> ThreadPoolExecutor:
    pool = ThreadPoolExecutor(size, thread_name_prefix=name)
    stack.callback(pool.shutdown, wait=True, cancel_futures=True)
    return pool
