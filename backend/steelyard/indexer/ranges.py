"""Ranges of blocks whose answers are neither too small nor too large: doubled and halved as the endpoints behave.

The next range is fetched while the one before it is written. Fetching is one thread that waits for the network; two threads that
compute would only take Python's lock from each other, row by row.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, TimeoutError
from typing import Final, Generic, TypeVar

from steelyard.chain.transport import TooLargeError, TransportFault
from steelyard.errors import RpcError

T = TypeVar("T")

FIRST: Final = 1000
"""Blocks of the first range."""
_MOST: Final = 1 << 20
_MANY: Final = 8000
"""Entries of a range that is large enough: 9 MB of JSON, a third of a second to write."""
_SLOW: Final = 5.0
"""Seconds for an answer that is slow enough."""
_OBJECTS: Final = 200_000
_PATIENCE: Final = 32
"""Ranges before a size that was refused is tried again."""


def seldom_collecting(items: Iterator[T]) -> Iterator[T]:
    """Yield what another iterator yields, with the garbage collector looking seldom meanwhile.

    Each entry makes some ten tuples that live until its range is written; looking after every 700 of them cost 15 % of the time.
    """
    before = gc.get_threshold()
    gc.set_threshold(max(before[0], _OBJECTS), *before[1:])
    try:
        yield from items
    finally:
        gc.set_threshold(*before)


class Span:
    """How many blocks to ask for."""

    def __init__(self) -> None:
        """Start small."""
        self.blocks = FIRST
        self._most = _MOST
        self._good = 0

    def refused(self, blocks: int) -> None:
        """A range of so many blocks was too much."""
        self.blocks = max(1, blocks // 2)
        self._most, self._good = self.blocks, 0

    def answered(self, blocks: int, entries: int, seconds: float) -> None:
        """A range of so many blocks brought so many entries in so many seconds."""
        self._good += 1
        if self._good >= _PATIENCE:
            self._most, self._good = min(_MOST, self._most * 2), 0
        if entries > _MANY or seconds > _SLOW:
            self.blocks = max(1, blocks // 2)
        elif blocks >= self.blocks and entries * 2 < _MANY and seconds * 2 < _SLOW:
            self.blocks = min(self._most, self.blocks * 2)


class Ranges(Generic[T]):
    """Fetches consecutive ranges, one ahead."""

    def __init__(
        self,
        fetch: Callable[[int, int], T],
        size: Callable[[T], int],
        span: Span,
        *,
        idle: Callable[[], None],
        every: float,
    ) -> None:
        """Remember how.

        Args:
            fetch: gets a range, first and last block; runs in another thread.
            size: entries of what it returned.
            span: how many blocks to ask for; kept from one use to the next.
            idle: called every ``every`` seconds while there is nothing but to wait.
            every: seconds.
        """
        self._fetch = fetch
        self._size = size
        self._span = span
        self._idle = idle
        self._every = every

    def each(self, first: int, last: int) -> Iterator[tuple[int, int, T]]:
        """Yield ``(from, to, answer)`` over consecutive ranges that cover ``first`` to ``last`` without a gap.

        Raises:
            ChainError: the endpoint failed, or refuses even a single block.
        """
        with ThreadPoolExecutor(1, "index-fetch") as pool:
            begun = self._begin(pool, first, last)
            while begun is not None:
                start, end, future = begun
                try:
                    answer, seconds = self._wait(future)
                except (RpcError, TooLargeError, TransportFault):
                    if start == end:
                        raise
                    self._span.refused(end - start + 1)
                    begun = self._begin(pool, start, last)
                    continue
                self._span.answered(end - start + 1, self._size(answer), seconds)
                begun = self._begin(pool, end + 1, last)
                try:
                    yield start, end, answer
                except GeneratorExit:
                    if begun is not None:
                        begun[2].cancel()
                    raise

    def _begin(
        self, pool: ThreadPoolExecutor, first: int, last: int
    ) -> tuple[int, int, Future[tuple[T, float]]] | None:
        if first > last:
            return None
        end = min(last, first + self._span.blocks - 1)
        return first, end, pool.submit(self._timed, first, end)

    def _timed(self, first: int, last: int) -> tuple[T, float]:
        begun = time.monotonic()
        answer = self._fetch(first, last)
        return answer, time.monotonic() - begun

    def _wait(self, future: Future[tuple[T, float]]) -> tuple[T, float]:
        while True:
            try:
                return future.result(timeout=self._every)
            except TimeoutError:
                if future.done():
                    raise
                self._idle()
