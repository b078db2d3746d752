"""Writes what the fold made into the tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from steelyard.indexer.batch import Batch
from steelyard.indexer.columns import (
    ASSET_EPOCH,
    ASSET_OWNER,
    C_CLAIMED,
    C_CLAIMED_AT,
    C_CLOSED_AT,
    C_CLOSES_AT,
    C_DEPOSIT,
    C_ROOT,
    C_SEQUENCE,
    C_STATE,
    C_UNITS,
    M_CLOSED_AT,
    OFFER_CLOSED_AT,
    P_DELIVERED,
    P_DELIVERED_AT,
    P_DELIVERED_TX,
    P_DUE,
    P_ENDED_AT,
    P_HOLDER,
    P_SETTLED_AT,
    P_STATE,
    P_UNTIL,
    R_ANSWERED_AT,
    R_STATE,
    VERSION_FLAGGED_AT,
    VERSION_FLAGGED_BY,
    VERSION_STAGE,
)
from steelyard.indexer.known import Known
from steelyard.indexer.schema import COLUMNS

_CHANGING: Final = {
    "assets": (ASSET_OWNER, ASSET_EPOCH),
    "versions": (VERSION_FLAGGED_AT, VERSION_FLAGGED_BY, VERSION_STAGE),
    "offers": (OFFER_CLOSED_AT,),
    "purchases": (
        *(P_HOLDER, P_STATE, P_DUE, P_UNTIL, P_DELIVERED, P_DELIVERED_AT, P_DELIVERED_TX),
        *(P_SETTLED_AT, P_ENDED_AT),
    ),
    "requests": (R_STATE, R_ANSWERED_AT),
    "metered_offers": (M_CLOSED_AT,),
    "channels": (
        *(C_DEPOSIT, C_CLAIMED, C_UNITS, C_SEQUENCE, C_ROOT, C_STATE),
        *(C_CLAIMED_AT, C_CLOSES_AT, C_CLOSED_AT),
    ),
}
"""Columns of entities that change."""
_UPDATES: Final = {
    table: f"UPDATE {table} SET {', '.join(f'{COLUMNS[table][place]} = ?' for place in places)} WHERE id = ?"
    for table, places in _CHANGING.items()
}
_HEAD: Final = (
    "INSERT INTO heads (contract, subject, head, pos) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (contract, subject) DO UPDATE SET head = excluded.head, pos = excluded.pos"
)
_END: Final = "UPDATE holdings SET till = ? WHERE licence = ? AND till IS NULL"
_TAKE: Final = "DELETE FROM roles WHERE asset = ? AND epoch = ? AND account = ? AND role = ?"
_GRANT: Final = (
    "INSERT INTO roles (asset, epoch, account, role) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (asset, epoch, account, role) DO NOTHING"
)


class Sink(Protocol):
    """What takes rows: a :class:`steelyard.indexer.database.Writer`, or what keeps them for another process."""

    def many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """Run a statement once for each row of parameters."""

    def insert(self, table: str, rows: Sequence[Sequence[object]]) -> None:
        """Add rows that are not there yet."""


def write_entries(writer: Sink, batch: Batch) -> None:
    """Write what belongs to each entry alone, and the heads."""
    writer.insert("events", batch.events)
    writer.insert("parties", batch.parties)
    writer.insert("payments", batch.payments)
    writer.insert("moves", batch.moves)
    heads = sorted((contract, subject, *head) for (contract, subject), head in batch.heads.items())
    if heads:
        writer.many(_HEAD, heads)


def write_entities(writer: Sink, known: Known, batch: Batch) -> None:
    """Write assets, roles, versions, offers, purchases, holdings, requests and channels that are new or changed."""
    for table in known.tables:
        writer.insert(table.name, list(table.new.values()))
        if table.changed:
            places = (*_CHANGING[table.name], 0)
            writer.many(
                _UPDATES[table.name],
                [tuple([row[place] for place in places]) for row in table.changed.values()],
            )
    if batch.ended:
        writer.many(_END, [(till, licence) for licence, till in batch.ended.items()])
    writer.insert("holdings", [row for rows in batch.holdings.values() for row in rows])
    if batch.cleared:
        writer.many("DELETE FROM roles WHERE asset = ?", [(asset,) for asset in batch.cleared])
    taken = [key for key, granted in batch.granted.items() if not granted]
    if taken:
        writer.many(_TAKE, taken)
    given = [key for key, granted in batch.granted.items() if granted]
    if given:
        writer.many(_GRANT, given)
