"""Builders for tests of the follower."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from steelyard.indexer.content import content_hash
from steelyard.indexer.database import Database
from steelyard.indexer.follow import Follower
from steelyard.indexer.lease import Lease
from steelyard.indexer.report import Report
from steelyard.indexer.source import Source
from tests.support.history import CONTRACTS, START, Chain

MINE = {name: CONTRACTS[name] for name in ("Assets", "Market", "Treasury", "Channels")}


def follower(
    database: Database,
    *chains: Chain,
    tell: Callable[[Report], None] = lambda report: None,
    confirm: bool = True,
    lease: Lease | None = None,
    enough: int | None = None,
) -> Follower:
    """Return a follower of some endpoints."""
    return Follower(
        database,
        [Source(chain.rpc(), CONTRACTS) for chain in chains],
        contracts=MINE,
        start_block=START,
        lease=lease or Lease(),
        confirm=confirm,
        tell=tell,
        enough=enough,
    )


def hash_of(database: Database) -> bytes:
    """Return the content hash."""
    with database.read() as reader:
        return content_hash(reader)


def rows(database: Database, sql: str, *params: object) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    with database.read() as reader:
        return reader.rows(sql, params)
