"""Where an index and a chain part: the newest block of the index that still stands."""

from __future__ import annotations

from typing import Final

from steelyard.chain.wire import Block
from steelyard.indexer.database import Database
from steelyard.indexer.source import Source

_ROWS: Final = 64


def newest_row(database: Database, number: int) -> int:
    """Return the number of the newest block of the index at or below another one; -1 for none."""
    with database.read() as reader:
        found = reader.row("SELECT max(number) FROM blocks WHERE number <= ?", (number,))
    return -1 if found is None or found[0] is None else int(found[0])


def newest_standing(database: Database, source: Source, target: Block) -> int:
    """Return the number of the newest block of the index, at or below a target, that an endpoint has too; -1 for none."""
    below, count = target.number + 1, 1
    query = "SELECT number, hash FROM blocks WHERE number < ? ORDER BY number DESC LIMIT ?"
    while True:
        with database.read() as reader:
            rows = reader.rows(query, (below, count))
        if not rows:
            return -1
        for (number, block_hash), block in zip(
            rows, source.blocks([number for number, _ in rows]), strict=True
        ):
            if block is not None and block.hash == block_hash:
                return int(number)
        below, count = rows[-1][0], min(_ROWS, count * 4)
