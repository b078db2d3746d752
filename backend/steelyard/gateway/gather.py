"""Work that comes one by one and is done together: what waits while one round runs makes up the next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Gather(Generic[T, R]):
    """Calls a function with all that waits, in a thread, one round at a time. For one event loop."""

    def __init__(
        self, work: Callable[[Sequence[T]], Sequence[R | Exception]], threads: Executor, *, most: int = 256
    ) -> None:
        """Remember it.

        Args:
            work: gets what waits, and returns an answer or an error for each; raises if all failed.
            threads: runs it.
            most: how many at a time.
        """
        self._work = work
        self._threads = threads
        self._most = most
        self._queue: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._busy = False

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._queue)

    async def do(self, item: T) -> R:
        """Have something done in the next round, and return its answer."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._queue.append((item, future))
        if not self._busy:
            self._busy = True
            self._start()
        return await future

    def _start(self) -> None:
        if not self._queue:
            self._busy = False
            return
        batch = [self._queue.popleft() for _ in range(min(self._most, len(self._queue)))]
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._threads, self._work, [item for item, _ in batch])

        def end(work: asyncio.Future[Sequence[R | Exception]]) -> None:
            try:
                answers = list(work.result())
            except Exception as exc:  # noqa: BLE001  # whatever it is, nobody may wait for ever
                answers = [exc] * len(batch)
            for (_, future), answer in zip(batch, answers, strict=True):
                if future.done():
                    continue  # its caller is gone
                if isinstance(answer, Exception):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)
            self._start()

        work.add_done_callback(end)
