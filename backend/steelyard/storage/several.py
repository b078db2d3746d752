"""Several stores as one: written to all that can be written, read from the fastest that proves its bytes.

A store that lies, stalls, cuts off or answers with another block costs time, never bytes: every block is hashed when
it comes, the next store is asked, and who failed how is in the log, or in the error if nobody had the block.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from steelyard.errors import (
    DigestError,
    InputError,
    NotFoundError,
    RefusedError,
    SteelyardError,
    StoreError,
)
from steelyard.storage.base import Store
from steelyard.storage.cid import CID

LOG = logging.getLogger("steelyard.storage")

FIRST_REST = 30.0
"""Seconds for which a store that failed is asked last; twice as long after each further failure."""

LONGEST_REST = 600.0
"""Most of these seconds, and those for a store that answered with other bytes."""

_WEIGHT = 0.3
_CALL_BYTES = 1 << 16
"""What a call costs beside its bytes, in bytes."""


@dataclass
class _Source:
    """A store, and what is known of it.

    Attributes:
        store: the store.
        pace: seconds a byte, of late; 0 until it answered once, so that each store is tried.
        rest: seconds for which it is left alone after its next failure.
        until: time (monotonic) until which it is asked last.
    """

    store: Store
    pace: float = 0.0
    rest: float = FIRST_REST
    until: float = 0.0


class SeveralStores(Store):
    """Several stores behind the interface of one."""

    def __init__(
        self,
        writers: Sequence[Store],
        readers: Sequence[Store] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Combine stores, which are closed with this one.

        Args:
            writers: every block and pin goes to each of them; they are read from too.
            readers: only read from.
            clock: seconds that never go back.

        Raises:
            InputError: there is none to write to.
        """
        if not writers:
            raise InputError("at least one store to write to is needed")
        self.writers = tuple(writers)
        self._sources = [_Source(store) for store in (*writers, *readers)]
        self.at_once = max(source.store.at_once for source in self._sources)
        self._clock = clock
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The stores, for messages."""
        return ", ".join(source.store.name for source in self._sources)

    @contextmanager
    def adding(self) -> Iterator[None]:
        """Keep the collectors of all stores away."""
        with ExitStack() as stack:
            for store in self.writers:
                stack.enter_context(store.adding())
            yield

    def close(self) -> None:
        """Close all stores."""
        for source in self._sources:
            source.store.close()

    # -- what the base class asks for ------------------------------------------------------------------------

    def _fetch(self, cid: CID, limit: int) -> bytes:
        failures: list[tuple[str, SteelyardError]] = []
        for source in self._ranked():
            start = self._clock()
            try:
                block = source.store.get_block(cid)
            except SteelyardError as exc:
                failures.append((source.store.name, exc))
                self._failed(source, exc)
                continue
            self._answered(source, (self._clock() - start) / (len(block) + _CALL_BYTES))
            return block
        raise _all_failed(f"block {cid}", failures)

    def _store(self, cid: CID, data: bytes | memoryview) -> None:
        self._each(f"storing block {cid}", lambda store: store.put_block(cid, data, hashed=True))

    def _has(self, cid: CID) -> bool:
        failures: list[tuple[str, SteelyardError]] = []
        for source in self._ranked():
            try:
                if source.store.has(cid):
                    return True
            except SteelyardError as exc:
                failures.append((source.store.name, exc))
        if len(failures) == len(self._sources):
            raise _all_failed(f"looking for block {cid}", failures)
        return False

    def _pin(self, cid: CID) -> None:
        def pin(store: Store) -> None:
            try:
                store.pin(cid)
            except NotFoundError:
                # It is somewhere else. Pinning means keeping, so it is brought here.
                with store.adding():
                    self._copy(cid, store)
                    store.pin(cid)

        self._each(f"pinning {cid}", pin)

    def _unpin(self, cid: CID) -> None:
        self._each(f"unpinning {cid}", lambda store: store.unpin(cid))

    def _is_pinned(self, cid: CID) -> bool:
        return all(store.is_pinned(cid) for store in self.writers)

    # -- private ---------------------------------------------------------------------------------------------

    def _copy(self, cid: CID, store: Store) -> None:
        for name, block in self.blocks(cid):
            store.put_block(name, block, hashed=True)

    def _each(self, doing: str, act: Callable[[Store], None]) -> None:
        """Do something in every store that is written to, in all of them even if one fails."""
        failures: list[tuple[str, SteelyardError]] = []
        for store in self.writers:
            try:
                act(store)
            except SteelyardError as exc:
                failures.append((store.name, exc))
        if failures:
            raise _all_failed(doing, failures)

    def _ranked(self) -> list[_Source]:
        """Return the sources in the order in which they are asked."""
        now = self._clock()
        with self._lock:
            return sorted(self._sources, key=lambda source: (source.until > now, source.pace))

    def _answered(self, source: _Source, pace: float) -> None:
        with self._lock:
            source.pace = pace if not source.pace else source.pace + _WEIGHT * (pace - source.pace)
            source.rest, source.until = FIRST_REST, 0.0

    def _failed(self, source: _Source, exc: SteelyardError) -> None:
        if isinstance(exc, NotFoundError):  # no failure: it never said that it had it
            return
        with self._lock:
            first = source.until == 0.0
            # Who answers with other bytes is no store that is busy.
            rest = LONGEST_REST if isinstance(exc, DigestError) else source.rest
            source.until = self._clock() + rest
            source.rest = min(2 * rest, LONGEST_REST)
        if first:
            LOG.warning("the store %s failed, and is asked last for a while: %s", source.store.name, exc)


def _all_failed(doing: str, failures: list[tuple[str, SteelyardError]]) -> SteelyardError:
    """Return one error for all: of the kind that says most, with each store and what it did."""
    kinds = (DigestError, StoreError, RefusedError, NotFoundError)
    kind = next((kind for kind in kinds if any(isinstance(exc, kind) for _, exc in failures)), StoreError)
    told = "; ".join(f"{name}: {exc}" for name, exc in failures)
    return kind(f"{doing}: {told}")
