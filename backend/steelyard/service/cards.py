"""Model cards, node files and marks of the versions in the index: fetched from the store, checked, and written beside it.

The bytes come from strangers: a card is checked against the folder's digest on the chain, at most 256 KiB, and
read by :mod:`steelyard.domain.card`; positions count only where they hash to the node; whether files run code when they are
loaded is what a manifest of at most 1 MiB declares, and unknown otherwise. What cannot be fetched is
tried again, each time later, and those who fail least come first, one seller's after another's, so nobody's missing,
huge or slow folder keeps the others waiting for long.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from steelyard.domain import manifest as manifests
from steelyard.domain import node as nodes
from steelyard.domain.card import MAX_CARD, Card, parse, plain_card
from steelyard.domain.node import Node
from steelyard.domain.types import NodeId
from steelyard.domain.words import words
from steelyard.errors import DatabaseError, ManifestError, SteelyardError, VerificationError
from steelyard.indexer.database import Database, Reader, Writer
from steelyard.service.declare import code_files
from steelyard.service.public import CARD, MANIFEST, MAX_ENTRIES, NODE
from steelyard.storage.base import Store
from steelyard.storage.cid import CID, Codec, encode_cid

THERE: Final = 1
"""``cards.state`` of a card that was read; below 0 how often it could not be."""
FIRST_PAUSE: Final = 30
"""Seconds after the first failure; each further one doubles them."""
MAX_MARK: Final = 1 << 20
"""Most bytes of a manifest that is read for its mark: some 5,000 files."""
LONGEST: Final = 12
"""Doublings at most: 30 s * 2^11 is 17 hours."""

_LOG: Final = logging.getLogger(__name__)
_BATCH: Final = 64
_LOOKED_AT: Final = 1024
_SHARED: Final = 16
_COLUMNS: Final = "folder, state, text, title, task, framework, licence, tags, metrics, tried_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    folder: bytes
    publisher: bytes
    nodes: tuple[NodeId, ...]
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    card: Card
    code: bool | None
    nodes: tuple[Node, ...]


class CardKeeper:
    """Keeps the cards of an index up to date. One thread calls it; it fetches with a few.

    It needs no lease: what it writes is named by hashes, so two of them write the same.
    """

    def __init__(
        self, database: Database, store: Store, *, threads: int = 4, clock: Callable[[], float] = time.time
    ) -> None:
        """Remember where; nothing is fetched yet.

        Args:
            database: the index.
            store: where public folders are; its own timeout bounds each read.
            threads: folders that are fetched at a time.
            clock: Unix seconds, for tests.
        """
        self._database = database
        self._store = store
        self._threads = threads
        self._clock = clock

    def step(self) -> int:
        """Fetch what is missing and due, at most 64 cards, and return how many were tried.

        Raises:
            DatabaseError: the database failed; nothing is lost.
        """
        now = int(self._clock())
        with self._database.read() as reader:
            wanted = list(_fair(_wanted(reader, now)))[:_BATCH]
        if not wanted:
            return 0
        with ThreadPoolExecutor(self._threads, thread_name_prefix="cards") as pool:
            # Written one by one: what is held in memory is what the threads hold.
            for item, found in zip(wanted, pool.map(self._fetch, wanted), strict=True):
                self._keep(item, found)
        return len(wanted)

    def _keep(self, item: _Wanted, found: _Found | None) -> None:
        now = int(self._clock())
        try:
            with self._database.write() as writer:
                _write(writer, item, found, now)
        except DatabaseError:
            if found is None:
                raise
            # If it is the card that the database does not take, the next ones must come all the same.
            with self._database.write() as writer:
                _write(writer, item, None, now)

    def run(self, stop: threading.Event, *, pause: float = 5.0) -> None:
        """Step until ``stop`` is set, with a pause where nothing was to do, or where the database failed."""
        while not stop.is_set():
            try:
                done = self.step()
            except DatabaseError as exc:
                _LOG.warning("cards wait for the database: %s", exc)
                done = 0
            if not done:
                stop.wait(pause)

    def _fetch(self, item: _Wanted) -> _Found | None:
        """Return what a folder shows, or None if not all of it is there now."""
        try:
            return _read(self._store, item)
        except SteelyardError as exc:
            _LOG.info("no card of folder 0x%s yet: %s", item.folder.hex(), type(exc).__name__)
            return None


def _read(store: Store, item: _Wanted) -> _Found:
    cid = encode_cid(item.folder, codec=Codec.DAG_PB)
    entries = {link.name: link.cid for link in store.list_directory(cid, most=MAX_ENTRIES)}
    if CARD not in entries:
        raise VerificationError(f"the public folder {cid} has no {CARD}")
    data = store.read_file(entries[CARD], max_size=MAX_CARD)
    try:
        card = parse(data)
    except ManifestError as exc:
        _LOG.info("front matter of folder 0x%s: %s", item.folder.hex(), exc)
        card = plain_card(data)
    return _Found(
        card=card, code=_code(store, entries.get(MANIFEST)), nodes=_nodes(store, entries.get(NODE), item)
    )


def _code(store: Store, cid: CID | None) -> bool | None:
    """Return whether a manifest declares files that run code when they are loaded, or None if it cannot be told."""
    if cid is None or store.file_size(cid) > MAX_MARK:
        return None
    try:
        return bool(code_files(manifests.parse(store.read_file(cid, max_size=MAX_MARK))))
    except ManifestError:
        return None


def _nodes(store: Store, cid: CID | None, item: _Wanted) -> tuple[Node, ...]:
    """Return the positions in the folder if they are those of a version's node."""
    if cid is None:
        return ()
    data = store.read_file(cid, max_size=nodes.MAX_BYTES)
    for node in item.nodes:
        try:
            return (nodes.parse(data, expected=node),)
        except (ManifestError, VerificationError):
            continue
    return ()


def _wanted(reader: Reader, now: int) -> Iterator[_Wanted]:
    """Yield folders without a card that are due, those that failed least first, the newest of these first."""
    due: list[str] = []
    params: list[object] = []
    for failures in range(1, LONGEST + 1):
        due.append(f"(c.state {'<=' if failures == LONGEST else '='} ? AND c.tried_at <= ?)")
        params += [-failures, now - FIRST_PAUSE * (1 << (failures - 1))]
    sql = (
        "SELECT v.folder, v.publisher, c.state FROM versions v LEFT JOIN cards c ON c.folder = v.folder"
        f" WHERE c.folder IS NULL OR {' OR '.join(due)}"
        f" ORDER BY COALESCE(c.state, 0) DESC, v.pos DESC LIMIT {_LOOKED_AT}"
    )
    seen: set[bytes] = set()
    for folder, publisher, state in reader.rows(sql, params):
        if folder not in seen:
            seen.add(folder)
            found = reader.rows(
                f"SELECT DISTINCT v.node FROM versions v WHERE v.folder = ? LIMIT {_SHARED}", (folder,)
            )
            shared = tuple(NodeId(row[0]) for row in found)
            yield _Wanted(folder=folder, publisher=publisher, nodes=shared, failures=-(state or 0))


def _fair(items: Iterator[_Wanted]) -> Iterator[_Wanted]:
    """Yield one item of each publisher in turn."""
    queues: dict[bytes, deque[_Wanted]] = {}
    for item in items:
        queues.setdefault(item.publisher, deque()).append(item)
    while queues:
        for publisher in list(queues):
            yield queues[publisher].popleft()
            if not queues[publisher]:
                del queues[publisher]


def _write(writer: Writer, item: _Wanted, found: _Found | None, now: int) -> None:
    row: tuple[object, ...] = (item.folder, -(item.failures + 1), *[None] * 7, now)
    if found is not None:
        card = found.card
        metrics = json.dumps([[one.name, one.value, one.dataset] for one in card.metrics], ensure_ascii=False)
        shown = (card.title, card.task, card.framework, card.licence)
        row = (
            item.folder,
            THERE,
            _searched(card),
            *shown,
            json.dumps(card.tags, ensure_ascii=False),
            metrics,
            now,
        )
    writer.execute("DELETE FROM cards WHERE folder = ?", (item.folder,))
    writer.execute(f"INSERT INTO cards ({_COLUMNS}) VALUES ({', '.join('?' * 10)})", row)
    if found is None:
        return
    writer.execute("DELETE FROM card_values WHERE folder = ?", (item.folder,))
    writer.many(
        "INSERT INTO card_values (folder, field, value) VALUES (?, ?, ?)",
        [(item.folder, field, value) for field, value in sorted(_values(found))],
    )
    for node in found.nodes:
        _write_node(writer, node)


def _write_node(writer: Writer, node: Node) -> None:
    rows: list[tuple[Any, ...]] = [
        (node.id, index, position.payee, position.weight) for index, position in enumerate(node.positions)
    ]
    writer.execute("DELETE FROM positions WHERE node = ?", (node.id,))
    writer.many('INSERT INTO positions (node, "index", payee, weight) VALUES (?, ?, ?, ?)', rows)


def _searched(card: Card) -> str:
    """Return all words of a card as they are searched."""
    return " ".join(words(" ".join((card.title or "", *card.tags, *card.datasets, *card.bases, card.text))))


def _values(of: _Found) -> set[tuple[str, str]]:
    """Return what a version can be found and counted by, besides its card's words."""
    card = of.card
    fields = {"framework": card.framework, "licence": card.licence}
    found = {(field, value) for field, value in fields.items() if value is not None}
    found |= {("task", task) for task in card.tasks}
    if of.code is not None:
        found.add(("code", "yes" if of.code else "no"))
    found |= {("tag", tag) for tag in card.tags} | {("metric", metric.name) for metric in card.metrics}
    return found | ({("title", card.title.lower())} if card.title else set())
