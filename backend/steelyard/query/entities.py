"""Versions, offers and purchases: by id, and in lists."""

from __future__ import annotations

from typing import Final, cast

from steelyard.domain.abi import decode
from steelyard.domain.ref import LATEST
from steelyard.domain.types import Address, AssetId, OfferId, PurchaseId, Stage, State, VersionId
from steelyard.errors import NotFoundError
from steelyard.indexer.database import Reader
from steelyard.indexer.schema import ROLES, SHIFT
from steelyard.query import check, cursor
from steelyard.query.fields import KIND_OF, KINDS
from steelyard.query.model import (
    Offer,
    OfferQuery,
    Page,
    Purchase,
    PurchaseQuery,
    Released,
    Staged,
    StageHistory,
    Version,
    VersionQuery,
)
from steelyard.query.place import read_at
from steelyard.query.rows import OFFER, PURCHASE, VERSION, to_offer, to_purchase, to_version

_VERSIONS: Final = f"SELECT {VERSION} FROM versions v"
_OFFERS: Final = f"SELECT {OFFER} FROM offers o JOIN assets a ON a.id = o.asset"
_PURCHASES: Final = f"SELECT {PURCHASE} FROM purchases p JOIN offers o ON o.id = p.offer"
# The second word of an entry's data is the stage that it moved to.
_MOVED: Final = f"FROM events e WHERE e.kind = {KIND_OF['StageMoved']} AND e.id ="
_RELEASED_AT: Final = (
    f"SELECT s.* FROM (SELECT {VERSION}, COALESCE((SELECT substr(e.data, 64, 1) {_MOVED} v.id AND e.time <= ?"
    " ORDER BY e.pos DESC LIMIT 1), ?) AS was FROM versions v WHERE v.asset = ? AND v.published_at <= ?) s"
    " WHERE s.was IN (?, ?) ORDER BY s.number DESC LIMIT 1"
)
_BORN: Final = "SELECT v.published_at, v.publisher, e.pos, e.tx FROM versions v JOIN events e ON e.pos = v.pos WHERE v.id = ?"
_MOVES: Final = f"SELECT e.time, e.actor, e.pos, e.tx, e.data {_MOVED} ? AND e.time <= ? ORDER BY e.pos"
# A buyer is found by his entries; p.pos is the place of the Purchased entry.
_BOUGHT: Final = (
    "p.id IN (SELECT e.id FROM parties b CROSS JOIN events e WHERE b.account = ? AND b.role = ? AND e.pos = b.pos"
    " AND e.kind = ?)"
)


_ON_SALE: Final = tuple(stage for stage in Stage if stage.on_sale)


def version(reader: Reader, version_id: VersionId) -> Version:
    """Return a version.

    Raises:
        NotFoundError: there is none, as far as the index is.
    """
    check.word(version_id, "version")
    row = reader.row(f"{_VERSIONS} WHERE v.id = ?", (version_id,))
    if row is None:
        raise _missing("version", version_id)
    return to_version(row)


def numbered(reader: Reader, asset: AssetId, which: int | VersionId | str) -> Version:
    """Return a version of an asset by number, id, or ``latest``.

    Raises:
        NotFoundError: there is none, as far as the index is.
    """
    check.word(asset, "asset")
    column, value = ("v.id", which) if isinstance(which, bytes) else ("v.number", which)
    condition, params = f"AND {column} = ?", [value]
    if which == LATEST:
        condition, params = "", []
    sql = f"{_VERSIONS} WHERE v.asset = ? {condition} ORDER BY v.number DESC LIMIT 1"
    row = reader.row(sql, (asset, *params))
    if row is None:
        shown = f"0x{which.hex()}" if isinstance(which, bytes) else which
        raise NotFoundError(f"asset 0x{asset.hex()} has no version {shown}, as far as the index is")
    return to_version(row)


def offer(reader: Reader, offer_id: OfferId) -> Offer:
    """Return an offer.

    Raises:
        NotFoundError: there is none, as far as the index is.
    """
    check.word(offer_id, "offer")
    row = reader.row(f"{_OFFERS} WHERE o.id = ?", (offer_id,))
    if row is None:
        raise _missing("offer", offer_id)
    return to_offer(row)


def purchase(reader: Reader, purchase_id: PurchaseId) -> Purchase:
    """Return a purchase or licence as it stands.

    Raises:
        NotFoundError: there is none, as far as the index is.
    """
    check.word(purchase_id, "purchase")
    row = reader.row(f"{_PURCHASES} WHERE p.id = ?", (purchase_id,))
    if row is None:
        raise _missing("purchase", purchase_id)
    return to_purchase(reader, row)


def version_at(reader: Reader, asset: AssetId, time: int | None) -> Released:
    """Return which version was the newest on sale at a time, with all entries up to it; the newest block's if None.

    Raises:
        NotFoundError: there is no such asset.
    """
    check.word(asset, "asset")
    check.times(time, None)
    at = read_at(reader)
    moment = at.time if time is None else time
    require_asset(reader, asset)
    row = reader.row(_RELEASED_AT, (moment, _stored(Stage.RELEASED), asset, moment, *map(_stored, _ON_SALE)))
    if row is not None:
        flagged_at = row[8] if row[8] is not None and row[8] <= moment else None
        row = (*row[:8], flagged_at, *row[9:11], row[13][0], row[12])
    return Released(asset=asset, time=moment, version=None if row is None else to_version(row), at=at)


def stages(reader: Reader, version_id: VersionId, time: int | None) -> StageHistory:
    """Return the stages that a version was in, with all entries up to a time; the newest block's if None.

    Raises:
        NotFoundError: there is no such version.
    """
    check.word(version_id, "version")
    check.times(time, None)
    at = read_at(reader)
    moment = at.time if time is None else time
    born = reader.row(_BORN, (version_id,))
    if born is None:
        raise _missing("version", version_id)
    found: list[Staged] = []
    if born[0] <= moment:
        found.append(_staged(Stage.RELEASED, None, *born))
    types = KINDS[KIND_OF["StageMoved"]].types
    for moved_at, actor, pos, tx, data in reader.rows(_MOVES, (version_id, moment)):
        _, to, reason = decode(types, data)
        found.append(_staged(Stage(cast(int, to)), cast(str, reason), moved_at, actor, pos, tx))
    return StageHistory(version=version_id, time=moment, stages=tuple(found), at=at)


def versions(reader: Reader, query: VersionQuery) -> Page[Version]:
    """Return a page of the versions of an asset, newest first."""
    check.limit(query.limit)
    check.word(query.asset, "asset")
    below: int | bytes = 1 << 53
    if query.cursor is not None:
        (below,) = cursor.read(query, query.cursor, (int,))
    sql = f"{_VERSIONS} WHERE v.asset = ? AND v.number < ? ORDER BY v.number DESC LIMIT ?"
    rows = reader.rows(sql, (query.asset, below, query.limit + 1))
    following = cursor.cut(query, rows, lambda last: (last[1],))
    return Page(items=tuple(to_version(row) for row in rows), next=following, at=read_at(reader))


def offers(reader: Reader, query: OfferQuery) -> Page[Offer]:
    """Return a page of offers, newest first."""
    check.limit(query.limit)
    check.word(query.asset, "asset")
    check.address(query.seller, "seller")
    conditions, params = ["o.pos < ?"], [_below(query, query.cursor)]
    if query.asset is not None:
        conditions.append("o.asset = ?")
        params.append(query.asset)
    if query.seller is not None:
        conditions.append("o.seller = ?")
        params.append(query.seller)
    if query.open is not None:
        is_open = "(o.closed_at IS NULL AND o.epoch = a.epoch)"
        conditions.append(is_open if query.open else f"NOT {is_open}")
    sql = f"{_OFFERS} WHERE {' AND '.join(conditions)} ORDER BY o.pos DESC LIMIT ?"
    rows = reader.rows(sql, (*params, query.limit + 1))
    following = cursor.cut(query, rows, lambda last: (last[23],))
    return Page(items=tuple(to_offer(row) for row in rows), next=following, at=read_at(reader))


def purchases(reader: Reader, query: PurchaseQuery) -> Page[Purchase]:
    """Return a page of purchases and licences as they stand, newest first."""
    check.limit(query.limit)
    for name in ("asset", "version", "offer"):
        check.word(getattr(query, name), name)
    check.address(query.buyer, "buyer")
    check.address(query.holder, "holder")
    conditions, params = ["p.pos < ?"], [_below(query, query.cursor)]
    for column in ("asset", "version", "offer", "holder"):
        if getattr(query, column) is not None:
            conditions.append(f"p.{column} = ?")
            params.append(getattr(query, column))
    if query.version is not None and query.asset is None:  # there is an index by asset
        conditions.append("p.asset = (SELECT v.asset FROM versions v WHERE v.id = ?)")
        params.append(query.version)
    if query.buyer is not None:
        conditions.append(_BOUGHT)
        params += [query.buyer, ROLES.index("buyer"), KIND_OF["Purchased"]]
    if query.states:
        conditions.append(f"p.state IN ({', '.join('?' * len(query.states))})")
        params += [int(State(state)) for state in query.states]
    sql = f"{_PURCHASES} WHERE {' AND '.join(conditions)} ORDER BY p.pos DESC LIMIT ?"
    rows = reader.rows(sql, (*params, query.limit + 1))
    following = cursor.cut(query, rows, lambda last: (last[16],))
    return Page(items=tuple(to_purchase(reader, row) for row in rows), next=following, at=read_at(reader))


def require_asset(reader: Reader, asset: AssetId) -> None:
    """Check that an asset is known.

    Raises:
        NotFoundError: it is not.
    """
    if reader.row("SELECT 1 FROM assets a WHERE a.id = ?", (asset,)) is None:
        raise _missing("asset", asset)


def _staged(stage: Stage, reason: str | None, since: int, actor: bytes, pos: int, tx: bytes) -> Staged:
    return Staged(stage=stage, since=since, actor=Address(actor), reason=reason, block=pos >> SHIFT, tx=tx)


def _stored(stage: Stage) -> bytes:
    return bytes((stage,))


def _below(query: object, text: str | None) -> object:
    return 1 << 53 if text is None else cursor.read(query, text, (int,))[0]


def _missing(what: str, id_: bytes) -> NotFoundError:
    return NotFoundError(f"no {what} 0x{id_.hex()}, as far as the index is")
