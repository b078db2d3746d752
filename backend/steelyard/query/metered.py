"""Metered offers and channels: by id, and in lists."""

from __future__ import annotations

from typing import Final

from steelyard.domain.metering import ChannelId, ChannelState
from steelyard.domain.types import OfferId
from steelyard.errors import NotFoundError
from steelyard.indexer.database import Reader
from steelyard.query import check, cursor
from steelyard.query.model import Channel, ChannelQuery, MeteredOffer, MeteredOfferQuery, Page
from steelyard.query.place import END, read_at
from steelyard.query.rows import CHANNEL, METERED_OFFER, to_channel, to_metered_offer

_OFFERS: Final = f"SELECT {METERED_OFFER} FROM metered_offers m JOIN assets a ON a.id = m.asset"
_CHANNELS: Final = f"SELECT {CHANNEL} FROM channels c JOIN metered_offers m ON m.id = c.offer"
_OPEN: Final = "(m.closed_at IS NULL AND m.epoch = a.epoch AND m.expiry > ?)"
# There is an index by asset.
_ASSET: Final = "{}.asset = (SELECT v.asset FROM versions v WHERE v.id = ?)"
_PAYEE: Final = "c.offer IN (SELECT r.id FROM metered_offers r WHERE r.payee = ?)"


def metered_offer(reader: Reader, offer_id: OfferId) -> MeteredOffer:
    """Return a metered offer.

    Raises:
        NotFoundError: there is none, as far as the index is.
    """
    check.word(offer_id, "offer")
    row = reader.row(f"{_OFFERS} WHERE m.id = ?", (offer_id,))
    if row is None:
        raise NotFoundError(f"no metered offer 0x{offer_id.hex()}, as far as the index is")
    return to_metered_offer(row, now=read_at(reader).time)


def channel(reader: Reader, channel_id: ChannelId) -> Channel:
    """Return a channel as it stands.

    Raises:
        NotFoundError: there is none, as far as the index is.
    """
    check.word(channel_id, "channel")
    row = reader.row(f"{_CHANNELS} WHERE c.id = ?", (channel_id,))
    if row is None:
        raise NotFoundError(f"no channel 0x{channel_id.hex()}, as far as the index is")
    return to_channel(row)


def metered_offers(reader: Reader, query: MeteredOfferQuery) -> Page[MeteredOffer]:
    """Return a page of metered offers, newest first."""
    check.limit(query.limit)
    check.word(query.asset, "asset")
    check.word(query.version, "version")
    check.address(query.payee, "payee")
    at = read_at(reader)
    conditions, params = ["m.pos < ?"], [_below(query, query.cursor)]
    for column in ("asset", "version", "payee"):
        if getattr(query, column) is not None:
            conditions.append(f"m.{column} = ?")
            params.append(getattr(query, column))
    if query.version is not None and query.asset is None:
        conditions.append(_ASSET.format("m"))
        params.append(query.version)
    if query.open is not None:
        conditions.append(_OPEN if query.open else f"NOT {_OPEN}")
        params.append(at.time)
    sql = f"{_OFFERS} WHERE {' AND '.join(conditions)} ORDER BY m.pos DESC LIMIT ?"
    rows = reader.rows(sql, (*params, query.limit + 1))
    following = cursor.cut(query, rows, lambda last: (last[18],))
    return Page(items=tuple(to_metered_offer(row, now=at.time) for row in rows), next=following, at=at)


def channels(reader: Reader, query: ChannelQuery) -> Page[Channel]:
    """Return a page of channels as they stand, newest first."""
    check.limit(query.limit)
    for name in ("asset", "version", "offer"):
        check.word(getattr(query, name), name)
    for name in ("payer", "signer", "payee"):
        check.address(getattr(query, name), name)
    conditions, params = ["c.pos < ?"], [_below(query, query.cursor)]
    for column in ("asset", "version", "offer", "payer", "signer"):
        if getattr(query, column) is not None:
            conditions.append(f"c.{column} = ?")
            params.append(getattr(query, column))
    if query.version is not None and query.asset is None:
        conditions.append(_ASSET.format("c"))
        params.append(query.version)
    if query.payee is not None:
        conditions.append(_PAYEE)
        params.append(query.payee)
    if query.states:
        conditions.append(f"c.state IN ({', '.join('?' * len(query.states))})")
        params += [int(ChannelState(state)) for state in query.states]
    sql = f"{_CHANNELS} WHERE {' AND '.join(conditions)} ORDER BY c.pos DESC LIMIT ?"
    rows = reader.rows(sql, (*params, query.limit + 1))
    following = cursor.cut(query, rows, lambda last: (last[22],))
    return Page(items=tuple(to_channel(row) for row in rows), next=following, at=read_at(reader))


def _below(query: object, text: str | None) -> object:
    return END if text is None else cursor.read(query, text, (int,))[0]
