"""Who held a valid licence at a time, with all entries up to that time and none after it."""

from __future__ import annotations

from typing import Any, Final

from steelyard.domain.types import OfferKind, Scope
from steelyard.errors import InputError, NotFoundError
from steelyard.indexer.database import Reader
from steelyard.query import check, cursor
from steelyard.query.entities import require_asset
from steelyard.query.fields import KIND_OF, Fields
from steelyard.query.model import Holder, HolderQuery, Page
from steelyard.query.place import end_place, read_at

# The latest end is enough to tell validity: a rental is renewed while it is valid only, so no renewal after T can
# make up for an end before T.
_VALID: Final = (
    "SELECT p.id, h.holder, p.buyer, p.version, o.scope, h.since, p.delivered_at, p.until, o.kind, o.period, p.pos"
    " FROM purchases p JOIN offers o ON o.id = p.offer JOIN holdings h ON h.licence = p.id"
    " WHERE p.asset = ? AND p.pos > ? AND p.delivered_at <= ? AND (o.kind = ? OR p.until >= ?)"
    " AND (p.ended_at IS NULL OR p.ended_at > ?) AND h.since <= ? AND (h.till IS NULL OR h.till > ?)"
)
# A literal, not a parameter: the index is one of renewals only.
_RENEWED: Final = (
    f"SELECT e.data FROM events e WHERE e.kind = {KIND_OF['Renewed']} AND e.id = ? AND e.pos < ?"
    " ORDER BY e.pos DESC LIMIT 1"
)


def holders(reader: Reader, query: HolderQuery) -> Page[Holder]:
    """Return who held a licence that was valid at a time, in the order in which the licences were bought.

    The time of the first page holds for all.

    Raises:
        InputError: a field is out of range, or the cursor is another question's.
        NotFoundError: there is no such asset, or no such version of it at that time.
    """
    _check(query)
    at = read_at(reader)
    moment, after = at.time if query.at is None else query.at, -1
    if query.cursor is not None:
        pinned, last = cursor.read(query, query.cursor, (int, int))
        assert isinstance(pinned, int) and isinstance(last, int)
        moment, after = pinned, last
        check.times(moment, None)
    require_asset(reader, query.asset)
    sql = _VALID
    kind = int(OfferKind.PERPETUAL)
    params: list[object] = [query.asset, after, moment, kind, moment, moment, moment, moment]
    if query.version is not None:
        published = _published(reader, query, moment)
        sql += " AND (o.scope = ? OR (o.scope = ? AND p.until >= ?) OR p.version = ?)"
        params += [int(Scope.ALL), int(Scope.UNTIL_END), published, query.version]
    if query.holder is not None:
        sql += " AND h.holder = ?"
        params.append(query.holder)
    rows = reader.rows(f"{sql} ORDER BY p.pos LIMIT ?", (*params, query.limit + 1))
    following = cursor.cut(query, rows, lambda last: (moment, last[10]))
    end = end_place(reader, moment)
    return Page(items=tuple(_holder(reader, row, end) for row in rows), next=following, at=at)


def _holder(reader: Reader, row: tuple[Any, ...], end: int) -> Holder:
    return Holder(
        licence=row[0],
        holder=row[1],
        buyer=row[2],
        version=row[3],
        scope=Scope(row[4]).name.lower(),
        since=row[5],
        delivered_at=row[6],
        until=_until(reader, row, end) if row[8] == OfferKind.RENTAL else None,
    )


def _until(reader: Reader, row: tuple[Any, ...], end: int) -> int:
    """Return the end of a rental as it stood then: that of its last renewal before ``end``, or of its delivery."""
    first = int(row[6]) + int(row[9])
    if row[7] == first:
        return first
    renewed = reader.row(_RENEWED, (row[0], end))
    if renewed is None:
        return first
    until = Fields(KIND_OF["Renewed"], renewed[0])["until"]
    assert isinstance(until, int)
    return until


def _published(reader: Reader, query: HolderQuery, moment: int) -> int:
    """Return when the version that must be covered was published."""
    sql = "SELECT v.published_at FROM versions v WHERE v.id = ? AND v.asset = ? AND v.published_at <= ?"
    row = reader.row(sql, (query.version, query.asset, moment))
    if row is None:
        assert query.version is not None
        raise NotFoundError(f"0x{query.version.hex()} was no version of this asset at {moment}")
    return int(row[0])


def _check(query: HolderQuery) -> None:
    check.limit(query.limit)
    if query.asset is None:
        raise InputError("holders are of one asset: give it")
    check.word(query.asset, "asset")
    check.word(query.version, "version")
    check.address(query.holder, "holder")
    check.times(query.at, None)
