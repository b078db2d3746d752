"""What the fold must know of the past to take the next entries: a bounded cache in front of the database."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, TypeAlias

from steelyard.indexer import columns, schema
from steelyard.indexer.database import Reader
from steelyard.indexer.entries import CONTRACT_OF, KIND_OF, Entry

Row: TypeAlias = list[Any]
"""A row of an entity, in the order of its columns; changed in place."""

_CHUNK: Final = 256
_KEPT: Final = 100_000
"""Most rows of a kind that stay after a write: 150 MB if all kinds are full."""

# By what the id of an entry names.
OF_VERSION: Final = frozenset(KIND_OF[name] for name in ("VersionPublished", "VersionFlagged", "StageMoved"))
OF_OFFER: Final = frozenset(KIND_OF[name] for name in ("Offered", "OfferClosed"))
OF_PURCHASE: Final = frozenset(
    KIND_OF[name]
    for name in (
        *("Purchased", "Delivered", "Settled", "Refunded", "Renewed"),
        *("LicenceTransferred", "LicenceRevoked"),
    )
)
OF_REQUEST: Final = frozenset(KIND_OF[name] for name in ("KeyRequested", "KeyDelivered", "KeyReturned"))
OF_NODE: Final = frozenset(KIND_OF[name] for name in ("Received", "Claimed", "PositionMoved"))
OF_METERED: Final = frozenset(
    KIND_OF[name] for name in ("MeteredOffered", "MeteredOfferClosed", "UsageClaimed")
)
OF_CHANNEL: Final = frozenset(
    KIND_OF[name] for name in ("ChannelOpened", "ChannelToppedUp", "ChannelClosing", "ChannelClosed")
)
_METERED, _USED, _OPENED = KIND_OF["MeteredOffered"], KIND_OF["UsageClaimed"], KIND_OF["ChannelOpened"]
_PURCHASED, _FLAGGED, _REQUESTED = KIND_OF["Purchased"], KIND_OF["VersionFlagged"], KIND_OF["KeyRequested"]
_PUBLISHED = KIND_OF["VersionPublished"]
_WANTED: Final = ("version", "offer", "purchase", "request", "metered", "channel")

USE_SIZE: Final = 5 * 32
"""Bytes of one channel in the data of ``UsageClaimed``, behind two words."""


class Table:
    """Rows of one kind of entity by id: those that are new or changed since the last write, and others that were needed."""

    def __init__(self, name: str) -> None:
        """Start empty; the first column of the table ``name`` is the id."""
        self.name = name
        self.rows: dict[bytes, Row] = {}
        self.new: dict[bytes, Row] = {}
        self.changed: dict[bytes, Row] = {}
        self.handed: dict[bytes, Row] = {}
        """New rows that were handed over last; another process may still be writing them."""
        self._select = f"SELECT {schema.column_list(name)} FROM {name} WHERE id IN"

    def load(self, reader: Reader, ids: Iterable[bytes]) -> None:
        """Fetch those of these rows that are not known yet."""
        rows = self.rows
        missing = {id_ for id_ in ids if id_ not in rows}
        for row in select_in(reader, self._select, missing):
            rows[row[0]] = list(row)

    def add(self, row: Row) -> None:
        """Take a new row."""
        self.rows[row[0]] = self.new[row[0]] = row

    def touch(self, row: Row) -> None:
        """Remember that a row was changed."""
        if row[0] not in self.new:
            self.changed[row[0]] = row

    def written(self) -> None:
        """Everything was handed over, and what was handed over before is in the database: forget the oldest of that."""
        trim(self.rows, _KEPT, spare=self.new.keys() | self.changed.keys())
        self.handed, self.new = self.new, {}
        self.changed.clear()

    def forget(self) -> None:
        """Drop everything, written or not."""
        for rows in (self.rows, self.new, self.changed, self.handed):
            rows.clear()


def trim(rows: dict[Any, Any], keep: int, spare: Container[Any] = ()) -> None:
    """Remove the rows that were added first if there are more than ``keep``, down to three quarters of it; but not ``spare``."""
    if len(rows) > keep:
        for key in list(islice(rows, len(rows) - keep * 3 // 4)):
            if key not in spare:
                del rows[key]


def select_in(
    reader: Reader, select: str, ids: Iterable[bytes], extra: Sequence[object] = ()
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of ``select ... IN`` some ids, a few hundred at a time.

    Args:
        reader: the database.
        select: a query up to and including ``IN``.
        ids: may be many.
        extra: parameters that stand before the ids.
    """
    wanted = iter(ids)
    while part := list(islice(wanted, _CHUNK)):
        # A few lengths only, so that prepared statements are found again.
        size = 16 if len(part) <= 16 else _CHUNK
        part.extend([part[-1]] * (size - len(part)))
        yield from reader.rows(_select(select, size), (*extra, *part))


def _select(select: str, size: int) -> str:
    return f"{select} ({', '.join('?' * size)})"


def _want_metered(entry: Entry, wanted: Mapping[str, set[bytes]]) -> None:
    kind, id_, data = entry.kind, entry.id, entry.data
    if kind in OF_CHANNEL:
        if kind == _OPENED:
            wanted["metered"].add(data[:32])
        else:
            wanted["channel"].add(id_)
        return
    wanted["metered"].add(id_)
    if kind == _METERED:
        wanted["version"].add(data[128:160])
    elif kind == _USED:
        wanted["channel"].update(data[start : start + 32] for start in range(64, len(data), USE_SIZE))


class Known:
    """All that a fold knows. For one thread; after an exception :meth:`forget` is needed."""

    def __init__(self, contracts: Mapping[str, bytes]) -> None:
        """Start with nothing known.

        Args:
            contracts: addresses by name, 20 bytes: Assets, Market, Treasury, and Channels if there are any.
        """
        self.assets = Table("assets")
        self.versions = Table("versions")
        self.offers = Table("offers")
        self.purchases = Table("purchases")
        self.requests = Table("requests")
        self.metered = Table("metered_offers")
        self.channels = Table("channels")
        self.tables = (
            *(self.assets, self.versions, self.offers, self.purchases, self.requests),
            *(self.metered, self.channels),
        )
        self.heads: dict[tuple[bytes, bytes], bytes] = {}
        """Heads by contract and subject; none for a subject without entries."""
        self.count: dict[bytes, int] = {}
        """Number of versions by asset."""
        self.node_assets: dict[bytes, set[bytes]] = {}
        """Assets whose versions name a node."""
        self.addresses = tuple(contracts.get(name, b"") for name in CONTRACT_OF)
        """Address of the contract that records each kind of entry; empty where the market has no such contract."""

    def forget(self) -> None:
        """Drop everything: the database was changed by somebody else, or could not be."""
        for table in self.tables:
            table.forget()
        self.heads.clear()
        self.count.clear()
        self.node_assets.clear()

    def written(self, heads: Container[tuple[bytes, bytes]] = ()) -> None:
        """Everything was handed over to the database, and what was handed over before is in it.

        What was handed over last stays known, for nobody says when it can be read there.

        Args:
            heads: contract and subject of the heads that changed.
        """
        for table in self.tables:
            table.written()
        trim(self.heads, _KEPT, spare=heads)
        trim(self.count, _KEPT, spare={row[columns.VERSION_ASSET] for row in self.versions.handed.values()})
        trim(self.node_assets, _KEPT)

    def load(self, reader: Reader, entries: Sequence[Entry]) -> None:
        """Fetch what :meth:`take` needs to know for these entries."""
        wanted: dict[str, set[bytes]] = {name: set() for name in _WANTED}
        assets: set[bytes] = set()
        nodes: set[bytes] = set()
        heads: dict[bytes, set[bytes]] = {address: set() for address in self.addresses}
        made: set[bytes] = set()
        for entry in entries:
            kind, subject, id_, data = entry.kind, entry.subject, entry.id, entry.data
            heads[self.addresses[kind]].add(subject)
            if kind in OF_NODE:
                nodes.add(subject)
                continue
            assets.add(subject)
            if kind in OF_PURCHASE:
                if kind == _PURCHASED:
                    made.add(id_)
                    wanted["version"].add(data[:32])
                    wanted["offer"].add(data[32:64])
                elif id_ not in made:
                    wanted["purchase"].add(id_)
            elif kind in OF_REQUEST:
                if kind == _REQUESTED:
                    wanted["purchase"].add(data[:32])
                else:
                    wanted["request"].add(id_)
            elif kind in OF_OFFER:
                wanted["offer"].add(id_)
            elif kind in OF_METERED or kind in OF_CHANNEL:
                _want_metered(entry, wanted)
            elif kind in OF_VERSION:
                wanted["version"].add(id_)
                if kind == _FLAGGED:
                    wanted["purchase"].add(data[:32])
        self._load_heads(reader, heads)
        self.assets.load(reader, assets)
        self._load_counts(reader, entries)
        self.requests.load(reader, wanted["request"])
        self.purchases.load(reader, wanted["purchase"])
        for id_ in wanted["purchase"]:
            purchase = self.purchases.rows.get(id_)
            if purchase is not None:
                wanted["version"].add(purchase[columns.P_VERSION])
                wanted["offer"].add(purchase[columns.P_OFFER])
        self.channels.load(reader, wanted["channel"])
        for id_ in wanted["channel"]:
            channel = self.channels.rows.get(id_)
            if channel is not None:
                wanted["metered"].add(channel[columns.C_OFFER])
        self.metered.load(reader, wanted["metered"])
        self.versions.load(reader, wanted["version"])
        self.offers.load(reader, wanted["offer"])
        self._load_nodes(reader, nodes)

    def _load_heads(self, reader: Reader, wanted: Mapping[bytes, set[bytes]]) -> None:
        known = self.heads
        for address, subjects in wanted.items():
            missing = [subject for subject in subjects if (address, subject) not in known]
            query = "SELECT subject, head FROM heads WHERE contract = ? AND subject IN"
            for subject, head in select_in(reader, query, missing, (address,)):
                known[address, subject] = head

    def _load_counts(self, reader: Reader, entries: Iterable[Entry]) -> None:
        for asset in {entry.subject for entry in entries if entry.kind == _PUBLISHED} - self.count.keys():
            found = reader.row("SELECT count(*) FROM versions WHERE asset = ?", (asset,))
            self.count[asset] = found[0] if found else 0

    def _load_nodes(self, reader: Reader, nodes: Iterable[bytes]) -> None:
        missing = {node for node in nodes if node not in self.node_assets}
        found: dict[bytes, set[bytes]] = {}
        for node, asset in select_in(
            reader, "SELECT DISTINCT node, asset FROM versions WHERE node IN", missing
        ):
            found.setdefault(node, set()).add(asset)
        # Versions that are not written yet, or not for certain, are known by their rows.
        for row in (*self.versions.new.values(), *self.versions.handed.values()):
            if row[columns.VERSION_NODE] in missing:
                found.setdefault(row[columns.VERSION_NODE], set()).add(row[columns.VERSION_ASSET])
        for node in missing:
            self.node_assets[node] = found.get(node, set())
