"""The index beside what it must be equal to: one that was built at once, and the fold of :mod:`steelyard.domain.state`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from steelyard.chain.rpc import Rpc
from steelyard.domain.point import Point
from steelyard.domain.records import Ledger
from steelyard.domain.state import fold
from steelyard.indexer.database import Database, open_database
from steelyard.indexer.report import Fault, Report
from steelyard.indexer.run import Indexer
from steelyard.indexer.schema import SHIFT
from steelyard.service.ledger import LedgerReader
from tests.e2e.kill.shop import Shop

Rows = dict[str, set[tuple[Any, ...]]]

COLUMNS: Mapping[str, str] = {
    "assets": "id, word, kind, creator, owner, royalty, epoch, registered_at",
    "roles": "asset, epoch, account, role",
    "versions": "id, asset, number, folder, root, size, scheme, key, node, publisher, published_at, flagged_by",
    "offers": "id, asset, price, bond, kind, scope, period, deliver_within, salt, epoch, opened_at",
    "closed": "id",
    "purchases": "id, asset, version, offer, buyer, holder, salt, key, price, state, paid_at, due, until, delivered, "
    "delivered_tx, delivered_at",
    "requests": "id, asset, licence, version, holder, key, fee, state, asked_at, due",
}


class Follower:
    """An index that is kept in a file, and what it told."""

    def __init__(
        self,
        shop: Shop,
        path: Path | str,
        *,
        holder: str = "the only one",
        urls: Sequence[str] = (),
        timeout: float = 20.0,
        attempts: int = 4,
        confirm: bool | None = None,
    ) -> None:
        self.shop = shop
        self.path = path
        self.told: list[Report] = []
        self._confirm = confirm
        self._holder = holder
        self._endpoints = [
            Rpc(url, chain_id=shop.rpc.chain_id, timeout=timeout, attempts=attempts, pause=0.01)
            for url in urls or [shop.node.url]
        ]
        self._open()

    def _open(self) -> None:
        self.database = open_database(self.path)
        self.indexer = Indexer(
            self.database,
            self._endpoints,
            self.shop.deployment,
            confirm=self._confirm,
            holder=self._holder,
            tell=self.told.append,
        )

    def follow(self) -> None:
        """Go on until the newest block is in the index."""
        for _ in range(50):
            head = self.shop.rpc.get_block("latest")
            self.indexer.catch_up()
            cursor = self.indexer.cursor()
            if cursor is not None and cursor.hash == head.hash:
                return
        raise AssertionError(f"it stays at {self.indexer.cursor()}, and the chain is at {head.number}")

    def hash(self) -> bytes:
        """Return the content hash."""
        return self.indexer.content_hash()[1]

    def faults(self) -> list[Fault]:
        """Return what it said about endpoints."""
        return [report for report in self.told if isinstance(report, Fault)]

    def leader(self) -> str:
        """Return the endpoint that is asked first now."""
        return self.indexer._follower._endpoints.leader.name

    def entries(self) -> int:
        """Return how many entries it holds."""
        return self.entries_up_to(1 << 32)

    def entries_up_to(self, block: int) -> int:
        """Return how many entries it holds up to a block."""
        with self.database.read() as reader:
            row = reader.row("SELECT count(*) FROM events WHERE pos < ?", (block + 1 << SHIFT,))
        assert row is not None
        return int(row[0])

    def restart(self) -> None:
        """Throw all of it away."""
        self.database.close()
        assert isinstance(self.path, Path)
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                self.path.with_name(self.path.name + suffix).unlink()
        self._open()

    def close(self) -> None:
        """Close it."""
        self.database.close()
        for rpc in self._endpoints:
            rpc.close()


def folded(shop: Shop, *, last: int | None = None) -> Ledger:
    """Return the state at a block, read at once and folded by the domain."""
    with Rpc(shop.node.url, chain_id=shop.rpc.chain_id) as rpc:
        reader = LedgerReader(rpc, shop.deployment)
        head = rpc.get_block("latest" if last is None else last)
        logs = reader.logs(None, reader.start, head.number)
        return fold(reader.events(logs, head), block=head.number)


def rows_of_index(database: Database) -> Rows:
    """Return what the index says, as far as the domain's fold says it too."""
    with database.read() as reader:
        found = {}
        for name, columns in COLUMNS.items():
            table = f"{name}" if name != "closed" else "offers WHERE closed_at IS NOT NULL"
            found[name] = {tuple(row) for row in reader.rows(f"SELECT {columns} FROM {table}")}
    return found


def rows_of_ledger(ledger: Ledger) -> Rows:
    """Return the same of the domain's fold."""
    found: Rows = {name: set() for name in COLUMNS}
    for asset in ledger.assets.values():
        found["assets"].add(
            (
                *(asset.id, asset.name, int(asset.kind), asset.creator, asset.owner),
                *(asset.royalty, asset.epoch, asset.registered_at),
            )
        )
        found["roles"] |= {(asset.id, asset.epoch, account, int(role)) for account, role in asset.roles}
        for version in asset.versions.values():
            made = version.commitments
            found["versions"].add(
                (
                    *(
                        version.id,
                        asset.id,
                        version.number,
                        made.folder,
                        made.content_root,
                        made.size,
                        made.scheme,
                    ),
                    *(
                        _point(made.key),
                        made.node,
                        version.publisher,
                        version.published_at,
                        version.flagged_by,
                    ),
                )
            )
        for offer in asset.offers.values():
            terms = offer.terms
            found["offers"].add(
                (
                    *(
                        offer.id,
                        asset.id,
                        _amount(terms.price),
                        _amount(terms.bond),
                        int(terms.kind),
                        int(terms.scope),
                    ),
                    *(terms.period, terms.deliver_within, terms.salt.to_bytes(8, "big")),
                    *(offer.epoch, offer.opened_at),
                )
            )
            if offer.closed:
                found["closed"].add((offer.id,))
        for item in asset.purchases.values():
            found["purchases"].add(
                (
                    *(item.id, asset.id, item.version, item.offer, item.buyer, item.holder, item.salt),
                    *(
                        _point(item.key),
                        _amount(item.price),
                        int(item.state),
                        item.paid_at,
                        item.due,
                        item.until,
                    ),
                    None if item.delivered is None else _point(item.delivered),
                    item.delivered_tx or None,
                    item.delivered_at or None,
                )
            )
        for record in asset.requests.values():
            asked = record.request
            found["requests"].add(
                (
                    *(record.id, asset.id, asked.licence, asked.version, asked.holder, _point(asked.key)),
                    *(_amount(record.fee), int(record.state), record.asked_at, record.due),
                )
            )
    return found


def differences(index: Rows, ledger: Rows) -> list[str]:
    """Say in which tables two differ, with a row of each side."""
    found = []
    for name in COLUMNS:
        more, less = index[name] - ledger[name], ledger[name] - index[name]
        if more or less:
            found.append(f"{name}: {len(more)} too many {_one(more)}, {len(less)} missing {_one(less)}")
    return found


def _one(rows: Iterable[tuple[Any, ...]]) -> str:
    for row in sorted(rows, key=repr):
        return str(tuple(item.hex()[:16] if isinstance(item, bytes) else item for item in row))
    return ""


def _amount(value: int) -> bytes:
    return value.to_bytes(16, "big")


def _point(point: Point) -> bytes:
    return point.x.to_bytes(32, "big") + point.y.to_bytes(32, "big")
