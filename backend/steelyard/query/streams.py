"""Pages in the order of the chain out of several indexes: each is a seek, and the newest (or oldest) of all come first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MAX_STREAMS: Final = 64
"""Indexes that are read side by side; a question that needs more is answered by one condition over all."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A part of a table that one index has in order of its place.

    Attributes:
        source: what stands after FROM.
        condition: what stands after WHERE.
        params: its parameters.
    """

    source: str
    condition: str
    params: tuple[object, ...] = ()


def page_sql(
    streams: Sequence[Stream],
    *,
    key: str,
    rest: str,
    rest_params: Sequence[object],
    low: int,
    high: int,
    newest_first: bool,
    limit: int,
) -> tuple[str, tuple[object, ...]]:
    """Return SQL and parameters for the places of a page.

    Args:
        streams: at least one; rows in several are returned once.
        key: the column of the place, such as ``e.pos``.
        rest: further conditions, each beginning with AND.
        rest_params: their parameters.
        low: first place.
        high: place before which it ends.
        newest_first: descending.
        limit: most rows.
    """
    order = "DESC" if newest_first else "ASC"
    parts: list[str] = []
    params: list[object] = []
    for number, stream in enumerate(streams):
        inner = (
            f"SELECT {key} AS pos FROM {stream.source} WHERE {stream.condition} AND {key} >= ? AND {key} < ?{rest}"
            f" ORDER BY {key} {order} LIMIT ?"
        )
        parts.append(f"SELECT pos FROM ({inner}) AS s{number}")
        params += [*stream.params, low, high, *rest_params, limit]
    if len(parts) == 1:
        return inner, tuple(params)
    union = f"SELECT pos FROM ({' UNION '.join(parts)}) AS u ORDER BY pos {order} LIMIT ?"
    return union, (*params, limit)
