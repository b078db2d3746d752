"""What an endpoint says of some ranges becomes rows: of blocks, and of what the entries make."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from itertools import pairwise

from steelyard.chain.wire import Block
from steelyard.errors import ChainError
from steelyard.indexer import unconfirmed
from steelyard.indexer.database import Reader
from steelyard.indexer.fold import fold
from steelyard.indexer.known import Known
from steelyard.indexer.source import Answered
from steelyard.indexer.store import Sink, write_entities, write_entries

BlockRow = tuple[int, bytes, bytes | None, int, int]
"""A row of ``blocks``."""
Pair = tuple[bytes, bytes]
"""Address of a contract, and a subject of it."""


def block_rows(ready: Sequence[Answered], last: Block, links: Mapping[int, Block]) -> list[BlockRow]:
    """Return the rows of the blocks that have entries, and of the last one.

    Args:
        ready: answers about consecutive ranges.
        last: the last block of them.
        links: blocks whose parents are known, by number.
    """
    rows: dict[int, BlockRow] = {}
    rows[last.number] = (last.number, last.hash, last.parent_hash, last.timestamp, 0)
    for answered in ready:
        for number, block_hash in answered.hashes.items():
            parent = links[number].parent_hash if number in links else None
            rows.setdefault(number, (number, block_hash, parent, answered.times[number], 0))
    return [rows[number] for number in sorted(rows)]


def check_times(rows: Sequence[BlockRow], before: tuple[int, int] | None) -> None:
    """Refuse blocks whose times go back.

    Args:
        rows: in ascending order.
        before: number and time of the block before them, if there is one.

    Raises:
        ChainError: they do.
    """
    times = [(row[0], row[3]) for row in rows]
    if before is not None:
        times.insert(0, before)
    for (number, earlier), (after, later) in pairwise(times):
        if later < earlier:
            raise ChainError(f"block {after} is said to be older than block {number}")


def write_answers(
    reader: Reader,
    sink: Sink,
    known: Known,
    pending: Callable[[Reader], set[Pair]],
    *,
    ready: Sequence[Answered],
    blocks: Sequence[BlockRow],
    alone: int | None,
) -> Container[Pair]:
    """Fold entries and write what they make.

    Args:
        reader: of the database; what was handed over last need not be in it.
        sink: where to write.
        known: what the fold knows.
        pending: gives the heads that changed since they were compared; to be added to.
        ready: answers about consecutive ranges.
        blocks: rows of their blocks.
        alone: first block of them that one endpoint alone told of, or None.

    Returns:
        Contract and subject of the heads that changed.

    Raises:
        TrailError: the contracts would not have done that.
    """
    heads: Container[Pair] = ()
    entries = [entry for answered in ready for entry in answered.entries]
    if entries:
        changed = pending(reader)
        known.load(reader, entries)
        batch = fold(known, entries)
        write_entities(sink, known, batch)
        write_entries(sink, batch)
        changed.update(batch.heads)
        heads = batch.heads
    sink.insert("blocks", blocks)
    if alone is not None:
        unconfirmed.mark(sink, alone)
    return heads
