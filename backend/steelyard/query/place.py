"""How far the index is, and ranges of time and blocks as ranges of places."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from steelyard.errors import NotFoundError
from steelyard.indexer.database import Reader
from steelyard.indexer.schema import SHIFT
from steelyard.query.answers import At

END: Final = 1 << 53
"""Above every place."""

_AT: Final = (
    "SELECT number, hash, time, (SELECT p.number FROM blocks p WHERE p.proved = 1 ORDER BY p.number DESC LIMIT 1)"
    " FROM blocks ORDER BY blocks.number DESC LIMIT 1"
)
_FIRST: Final = "SELECT number FROM blocks WHERE time >= ? ORDER BY time, number LIMIT 1"
_LAST: Final = "SELECT number FROM blocks WHERE time <= ? ORDER BY time DESC, number DESC LIMIT 1"


def read_at(reader: Reader) -> At:
    """Return how far the index is complete and proved; ``proved`` is -1 before anything was.

    Raises:
        NotFoundError: it holds no block yet.
    """
    found = reader.row(_AT)
    if found is None:
        raise NotFoundError("the index is empty: run `steelyard index`")
    return _at(*found)


@lru_cache(maxsize=16)
def _at(block: int, digest: bytes, time: int, proved: int | None) -> At:
    return At(block=block, hash=digest, time=time, proved=-1 if proved is None else proved)


def first_place(reader: Reader, since: int) -> int:
    """Return the first place that is not before a time. Every block with an entry has a row, and time never goes back."""
    found = reader.row(_FIRST, (since,))
    return END if found is None else int(found[0]) << SHIFT


def end_place(reader: Reader, until: int) -> int:
    """Return the place after the last one that is not after a time."""
    found = reader.row(_LAST, (until,))
    return 0 if found is None else (int(found[0]) + 1) << SHIFT


def span(
    reader: Reader,
    *,
    since: int | None = None,
    until: int | None = None,
    first_block: int | None = None,
    last_block: int | None = None,
) -> tuple[int, int]:
    """Return the places of a range of times and blocks: from the first one to before the second."""
    low, high = 0, END
    if since is not None:
        low = first_place(reader, since)
    if until is not None:
        high = end_place(reader, until)
    if first_block is not None:
        low = max(low, first_block << SHIFT)
    if last_block is not None:
        high = min(high, (last_block + 1) << SHIFT)
    return low, high
