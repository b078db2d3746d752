"""What is open: deliveries, windows, refunds, settlements, rentals that end, key requests; the soonest due first."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from steelyard.domain.types import NATIVE, Address, OfferKind, RequestState, State
from steelyard.indexer.database import Reader
from steelyard.indexer.schema import amount_of
from steelyard.query import check, cursor
from steelyard.query.model import Duty, Obligation, ObligationQuery, Page
from steelyard.query.place import read_at

_PURCHASES: Final = (
    "SELECT p.due, p.id, p.asset, p.version, o.seller, p.buyer, p.holder, p.price, p.currency"
    " FROM purchases p JOIN offers o ON o.id = p.offer JOIN versions v ON v.id = p.version WHERE "
)
_RENTALS: Final = (
    "SELECT p.until, p.id, p.asset, p.version, o.seller, p.buyer, p.holder, o.price, p.currency"
    " FROM purchases p JOIN offers o ON o.id = p.offer WHERE "
)
_REQUESTS: Final = (
    "SELECT p.due, p.id, p.asset, p.version, a.owner, p.holder, p.holder, p.fee, ?"
    " FROM requests p JOIN assets a ON a.id = p.asset WHERE "
)

Who = Callable[[tuple[Any, ...]], tuple[Address | None, Address]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """Where one kind of duty is found.

    The states are literals: the indexes over what is open hold these states only.

    Attributes:
        sql: columns and tables, up to WHERE.
        condition: with ``?`` for each of ``now``.
        times: how often ``now`` stands in it.
        due: the column that is due.
        parties: conditions that an account is seller (or owner), buyer, holder; ``?`` for it.
        who: debtor and creditor of a row.
        lead: parameters before all others.
    """

    sql: str
    condition: str
    times: int
    due: str
    parties: tuple[str, ...]
    who: Who
    lead: tuple[object, ...] = ()


# By the seller's offers, so that a row is passed over before its offer is fetched.
_SELLER: Final = "p.offer IN (SELECT r.id FROM offers r WHERE r.seller = ?)"
_OF_SALE: Final = (_SELLER, "p.buyer = ?")
_SOURCES: Final = {
    Duty.DELIVERY: _Source(
        sql=_PURCHASES,
        condition=f"p.state IN (1, 2) AND p.state = {int(State.PAID)} AND p.due >= ? AND v.flagged_at IS NULL",
        times=1,
        due="p.due",
        parties=_OF_SALE,
        who=lambda row: (row[4], row[5]),
    ),
    Duty.WINDOW: _Source(
        sql=_PURCHASES,
        condition=f"p.state IN (1, 2) AND p.state = {int(State.DELIVERED)} AND p.due >= ? AND v.flagged_at IS NULL",
        times=1,
        due="p.due",
        parties=_OF_SALE,
        who=lambda row: (row[4], row[5]),
    ),
    Duty.RENEWAL: _Source(
        sql=_RENTALS,
        condition=f"p.state = {int(State.SETTLED)} AND p.until > 0 AND o.kind = {int(OfferKind.RENTAL)} AND p.until >= ?",
        times=1,
        due="p.until",
        parties=(_SELLER, "p.buyer = ?", "p.holder = ?"),
        who=lambda row: (row[6], row[4]),
    ),
    Duty.KEY: _Source(
        sql=_REQUESTS,
        condition=f"p.state = {int(RequestState.OPEN)}",
        times=0,
        due="p.due",
        parties=("a.owner = ?", "p.holder = ?"),
        who=lambda row: (row[4], row[5]),
        lead=(NATIVE,),
    ),
    Duty.SETTLEMENT: _Source(
        sql=_PURCHASES,
        condition=f"p.state IN (1, 2) AND p.state = {int(State.DELIVERED)} AND p.due < ? AND v.flagged_at IS NULL",
        times=1,
        due="p.due",
        parties=_OF_SALE,
        who=lambda row: (None, row[4]),
    ),
    Duty.REFUND: _Source(
        sql=_PURCHASES,
        condition=f"p.state IN (1, 2) AND (v.flagged_at IS NOT NULL OR (p.state = {int(State.PAID)} AND p.due < ?))",
        times=1,
        due="p.due",
        parties=_OF_SALE,
        who=lambda row: (None, row[5]),
    ),
}
_ORDER: Final = tuple(_SOURCES)


def obligations(reader: Reader, query: ObligationQuery) -> Page[Obligation]:
    """Return a page of what is open, the soonest due first.

    The time of the first page holds for all.

    Raises:
        InputError: a field is out of range, or the cursor is another question's.
        NotFoundError: the index is empty.
    """
    _check(query)
    at = read_at(reader)
    now = at.time if query.now is None else query.now
    after: tuple[int, int, bytes] | None = None
    if query.cursor is not None:
        pinned, due, number, id_ = cursor.read(query, query.cursor, (int, int, int, bytes))
        assert isinstance(pinned, int) and isinstance(due, int) and isinstance(number, int)
        assert isinstance(id_, bytes)
        now, after = pinned, (due, number, id_)
        check.times(now, None)
    kinds = [Duty(kind) for kind in query.kinds] or list(_ORDER)
    found = (_rows(reader, query, kind, now, after) for kind in dict.fromkeys(kinds))
    merged = heapq.merge(*found, key=lambda item: item[0])
    rows = [item for item, _ in zip(merged, range(query.limit + 1), strict=False)]
    following = cursor.cut(query, rows, lambda last: (now, *last[0]))
    return Page(items=tuple(_duty(key, row, now) for key, row in rows), next=following, at=at)


def _rows(
    reader: Reader, query: ObligationQuery, kind: Duty, now: int, after: tuple[int, int, bytes] | None
) -> list[tuple[tuple[int, int, bytes], tuple[Any, ...]]]:
    """Return rows of one kind with their keys, in order; one more than the page holds."""
    source, number = _SOURCES[kind], _ORDER.index(kind)
    conditions = [source.condition]
    params: list[object] = [*source.lead, *([now] * source.times)]
    if query.account is not None:
        conditions.append(f"({' OR '.join(source.parties)})")
        params += [query.account] * len(source.parties)
    if query.asset is not None:
        conditions.append("p.asset = ?")
        params.append(query.asset)
    if query.within is not None:
        conditions.append(f"{source.due} <= ?")
        params.append(now + query.within)
    if after is not None:
        due, last, id_ = after
        # Kinds of one due time stand in their own order.
        conditions.append(f"{source.due} >= ?" if number > last else f"{source.due} > ?")
        params.append(due)
        if number == last:
            conditions[-1] = f"({source.due} > ? OR ({source.due} = ? AND p.id > ?))"
            params += [due, id_]
    sql = f"{source.sql}{' AND '.join(conditions)} ORDER BY {source.due}, p.id LIMIT ?"
    return [((row[0], number, row[1]), row) for row in reader.rows(sql, (*params, query.limit + 1))]


def _duty(key: tuple[int, int, bytes], row: tuple[Any, ...], now: int) -> Obligation:
    kind = _ORDER[key[1]]
    debtor, creditor = _SOURCES[kind].who(row)
    return Obligation(
        kind=kind,
        id=row[1],
        asset=row[2],
        version=row[3],
        debtor=debtor,
        creditor=creditor,
        amount=amount_of(row[7]),
        currency=row[8],
        due=row[0],
        overdue=now > row[0],
    )


def _check(query: ObligationQuery) -> None:
    check.limit(query.limit)
    check.address(query.account, "account")
    check.word(query.asset, "asset")
    check.times(query.now, None)
    check.whole(query.within, "within", most=check.MAX_TIME)
