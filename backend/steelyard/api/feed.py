"""What is new in the index, for everybody who listens: one look at a time for the whole process.

A look is one snapshot: whether the chain was re-organised, and what each filter has from the place on up to which its listeners were
told. What a listener has not taken yet stays in the database, so a slow one costs a few kilobytes and not a queue.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from steelyard.api.problem import Problem
from steelyard.api.service import Service
from steelyard.domain.plain import plain
from steelyard.errors import SteelyardError
from steelyard.indexer.database import Reader
from steelyard.indexer.schema import MAX_LOG, SHIFT
from steelyard.query import cursor, events
from steelyard.query.model import Event, EventQuery

INTERVAL: Final = 0.5
"""Seconds between two looks while anybody listens."""
PAGE: Final = 100
"""Entries that a listener gets at a time."""
AHEAD: Final = 2
"""Pages that wait for a listener, at most."""
KNOWN: Final = 2048
"""Blocks whose hashes are remembered."""
FIRST: Final = 256
"""Of these, how many are taken from the database at the first look."""
BACK: Final = 1024
"""Blocks that are taken back from who resumes after a block that is not there any more: it is not known which of those before still stand."""

LOG: Final = logging.getLogger("steelyard.api")
_NEWEST: Final = "SELECT number, hash FROM blocks ORDER BY number DESC LIMIT ?"
_BLOCK: Final = "SELECT hash FROM blocks WHERE number = ?"


@dataclass(eq=False, kw_only=True)
class Listener:
    """One stream.

    Attributes:
        query: the filter, oldest first.
        told: place up to which it was told everything; None: from the newest on.
        sent: place of the last entry that it was told of, or -1.
        block: first bytes of the hash of the block of ``told``, as the listener says; empty if it does not.
        ready: pieces to send.
        woken: set when there is something to send, or the stream must end.
    """

    query: EventQuery
    told: int | None = None
    sent: int = -1
    block: bytes = b""
    ready: deque[bytes] = field(default_factory=deque)
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    def push(self, piece: bytes) -> None:
        """Leave something to send."""
        self.ready.append(piece)
        self.woken.set()


@dataclass(frozen=True, kw_only=True)
class Look:
    """What one look found.

    Attributes:
        above: block above which everything was taken back, or None.
        blocks: numbers and hashes of blocks to remember, ascending; the newest one is the last.
        pages: for each place in the list of questions what is to be sent, and the place up to which that tells everything,
            and of the last entry in it.
        more: a listener has more than a page to come.
    """

    above: int | None
    blocks: Sequence[tuple[int, bytes]]
    pages: Sequence[tuple[bytes, int, int]]
    more: bool


Wanted = tuple[EventQuery, int | None, bytes]
"""A filter, the place up to which it was told, and the block of that place, if it must be checked."""


class Feed:
    """Looks at the index while anybody listens."""

    def __init__(self, service: Service, *, interval: float = INTERVAL) -> None:
        """Remember the service."""
        self._service = service
        self._interval = interval
        self._listeners: set[Listener] = set()
        self._known: deque[tuple[int, bytes]] = deque(maxlen=KNOWN)
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        """Return how many listen."""
        return len(self._listeners)

    def add(self, listener: Listener) -> None:
        """Begin to tell a listener."""
        self._listeners.add(listener)
        self._wake.set()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    def remove(self, listener: Listener) -> None:
        """Tell it no more."""
        self._listeners.discard(listener)
        self._wake.set()

    def pull(self) -> None:
        """Look at once: a listener has room again."""
        self._wake.set()

    async def _run(self) -> None:
        while self._listeners and not self._service.stopping.is_set():
            self._wake.clear()
            more = False
            try:
                more = await self._tick()
            except (SteelyardError, Problem) as exc:
                LOG.warning("stream: %s", exc)
            except Exception:
                LOG.exception("stream")
            if not more:
                try:
                    async with asyncio.timeout(self._interval):
                        await self._wake.wait()
                except TimeoutError:
                    pass
                # Who joins in a crowd must not make a look each.
                await asyncio.sleep(min(0.02, self._interval))
        self._known.clear()
        for listener in self._listeners:
            listener.woken.set()

    async def _tick(self) -> bool:
        """Look once, and hand out what was found; return whether to look again at once."""
        asking = [listener for listener in self._listeners if len(listener.ready) < AHEAD]
        groups: dict[Wanted, list[Listener]] = {}
        for listener in asking:
            groups.setdefault((listener.query, listener.told, listener.block), []).append(listener)
        known = tuple(self._known)
        found = await self._service.thread(look, self._service, known, tuple(groups))
        if found.above is not None:
            self._take_back(found.above)
        for block in found.blocks:
            if not self._known or block[0] > self._known[-1][0]:
                self._known.append(block)
        for listeners, (piece, told, sent) in zip(groups.values(), found.pages, strict=True):
            for listener in listeners:
                listener.told, listener.block = told, b""
                listener.sent = max(sent, listener.sent)
                if piece:
                    listener.push(piece)
        return found.more

    def _take_back(self, above: int) -> None:
        last = ((above + 1) << SHIFT) - 1
        while self._known and self._known[-1][0] > above:
            self._known.pop()
        hash_ = self._known[-1][1] if self._known else b""
        for listener in self._listeners:
            if listener.sent > last:
                listener.push(undone(above, hash_))
                listener.sent = last
            if listener.told is not None:
                listener.told = min(listener.told, last)


def look(service: Service, known: Sequence[tuple[int, bytes]], wanted: Sequence[Wanted]) -> Look:
    """Look at the index in one snapshot; for a thread.

    Args:
        service: with the index.
        known: numbers and hashes of blocks that were there at the last looks, ascending.
        wanted: the questions.
    """
    with service.audit.database.read() as reader:
        rows = reader.rows(_NEWEST, (1 if known else FIRST,))
        blocks = [(int(number), bytes(hash_)) for number, hash_ in reversed(rows)]
        above = _above(reader, known)
        end = ((blocks[-1][0] + 1) << SHIFT) - 1 if blocks else -1
        pages = []
        more = False
        for query, told, block in wanted:
            piece, start = b"", end if told is None else told
            if above is not None and told is not None:
                start = min(start, ((above + 1) << SHIFT) - 1)
            if block and not _stands(reader, start >> SHIFT, block):
                floor = max(-1, (start >> SHIFT) - BACK)
                piece, start = undone(max(0, floor)), ((floor + 1) << SHIFT) - 1
            if start >= end and not piece:
                pages.append((b"", start, -1))
                continue
            found, further = _page(reader, query, start)
            more = more or further
            sent = found[-1].pos if found else -1
            pages.append((piece + _frames(reader, found), sent if further else max(start, end), sent))
        return Look(above=above, blocks=blocks, pages=pages, more=more)


def _above(reader: Reader, known: Sequence[tuple[int, bytes]]) -> int | None:
    """Return the highest known block that still stands, or None if all do: a block's hash holds for all before it."""
    for index, (number, hash_) in enumerate(reversed(known)):
        row = reader.row(_BLOCK, (number,))
        if row is not None and bytes(row[0]) == hash_:
            return None if index == 0 else number
    return -1 if known else None


def _stands(reader: Reader, number: int, prefix: bytes) -> bool:
    row = reader.row(_BLOCK, (number,))
    return row is not None and bytes(row[0]).startswith(prefix)


def _page(reader: Reader, query: EventQuery, after: int) -> tuple[list[Event], bool]:
    asked = replace(query, limit=PAGE)
    if after >= 0:
        asked = replace(asked, cursor=cursor.make(asked, (after,)))
    rows, following = events.event_rows(reader, asked)
    return [events.to_event(row) for row in rows], following is not None


def _frames(reader: Reader, found: Sequence[Event]) -> bytes:
    hashes: dict[int, str] = {}
    for number in {event.block for event in found}:
        row = reader.row(_BLOCK, (number,))
        hashes[number] = "" if row is None else bytes(row[0])[:8].hex()
    return b"".join(
        b"id: %d-%s\nevent: entry\ndata: %s\n\n"
        % (event.pos, hashes[event.block].encode(), msgspec.json.encode(plain(event)))
        for event in found
    )


def undone(above: int, hash_: bytes = b"") -> bytes:
    """Return the frame that takes everything above a block back; the id is the last place that stands."""
    above = max(0, above)
    mark = b"-" + hash_[:8].hex().encode() if hash_ else b""
    return b'id: %d%s\nevent: undone\ndata: {"above":%d}\n\n' % (above << SHIFT | MAX_LOG, mark, above)
