"""Rows of versions, offers, purchases and channels as answers. The columns stand in the order in which the functions take them."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from steelyard.domain.metering import ChannelState, unit_name
from steelyard.domain.types import OfferKind, Scope, Stage, State
from steelyard.indexer.database import Reader
from steelyard.indexer.schema import SHIFT, amount_of
from steelyard.query.answers import Channel, MeteredOffer, Offer, Purchase, Version
from steelyard.storage.cid import Codec, encode_cid

Row: TypeAlias = tuple[Any, ...]

VERSION: Final = (
    "v.id, v.number, v.folder, v.root, v.size, v.node, v.publisher, v.published_at, v.flagged_at, v.pos, v.asset,"
    " v.stage, (SELECT k.value FROM card_values k WHERE k.folder = v.folder AND k.field = 'code')"
)
OFFER: Final = (
    "o.id, o.asset, o.seller, o.currency, o.price, o.bond, o.kind, o.scope, o.transferable, o.revocable, o.period,"
    ' o.renew_until, o.supply, o.deliver_within, o."window", o.allow_list, o.text, o.salt, o.version, o.opened_at,'
    " o.closed_at, o.epoch, a.epoch, o.pos,"
    " (SELECT COUNT(*) FROM purchases s WHERE s.offer = o.id AND s.state IN (1, 2, 3, 5))"
)
"""Of ``offers o JOIN assets a ON a.id = o.asset``. A place is taken until a refund gives it back."""
PURCHASE: Final = (
    "p.id, p.asset, p.version, p.offer, o.seller, p.buyer, p.holder, p.price, p.currency, p.state, p.paid_at, p.due,"
    " p.until, p.delivered_at, p.settled_at, p.ended_at, p.pos"
)
"""Of ``purchases p JOIN offers o ON o.id = p.offer``."""
METERED_OFFER: Final = (
    'm.id, m.asset, m.maker, m.payee, m.currency, m.price, m.unit, m.version, m.node, m."window", m.in_flight, m.expiry,'
    " m.text, m.salt, m.opened_at, m.closed_at, m.epoch, a.epoch, m.pos"
)
"""Of ``metered_offers m JOIN assets a ON a.id = m.asset``."""
CHANNEL: Final = (
    "c.id, c.asset, c.version, c.offer, c.payer, c.signer, c.nonce, m.payee, c.currency, m.price, m.unit, c.deposit,"
    " c.claimed, c.units, c.sequence, c.root, c.state, c.opened_at, c.claimed_at, c.closes_at, c.closed_at, m.expiry, c.pos"
)
"""Of ``channels c JOIN metered_offers m ON m.id = c.offer``."""

_REQUESTS: Final = "SELECT r.id FROM requests r WHERE r.licence = ? ORDER BY r.pos"


def to_version(row: Row) -> Version:
    """Return a version from :data:`VERSION`."""
    return Version(
        version=row[0],
        asset=row[10],
        number=row[1],
        cid=encode_cid(row[2], codec=Codec.DAG_PB),
        content_root=row[3],
        size=row[4],
        node=row[5],
        publisher=row[6],
        published_at=row[7],
        flagged_at=row[8],
        block=row[9] >> SHIFT,
        stage=Stage(row[11]),
        code=None if row[12] is None else row[12] == "yes",
    )


def to_offer(row: Row) -> Offer:
    """Return an offer from :data:`OFFER`."""
    return Offer(
        offer=row[0],
        asset=row[1],
        seller=row[2],
        currency=row[3],
        price=amount_of(row[4]),
        bond=amount_of(row[5]),
        kind=OfferKind(row[6]).name.lower(),
        scope=Scope(row[7]).name.lower(),
        transferable=bool(row[8]),
        revocable=bool(row[9]),
        period=row[10],
        renew_until=row[11],
        supply=row[12],
        deliver_within=row[13],
        window=row[14],
        allow_list=row[15],
        text=row[16],
        salt=int.from_bytes(row[17], "big"),
        version=row[18],
        opened_at=row[19],
        open=row[20] is None and row[21] == row[22],
        sold=row[24],
    )


def to_purchase(reader: Reader, row: Row) -> Purchase:
    """Return a purchase from :data:`PURCHASE`, with the ids of its key requests."""
    return Purchase(
        purchase=row[0],
        asset=row[1],
        version=row[2],
        offer=row[3],
        seller=row[4],
        buyer=row[5],
        holder=row[6],
        price=amount_of(row[7]),
        currency=row[8],
        state=State(row[9]),
        paid_at=row[10],
        due=row[11],
        until=row[12],
        delivered_at=row[13],
        settled_at=row[14],
        ended_at=row[15],
        requests=tuple(found[0] for found in reader.rows(_REQUESTS, (row[0],))),
    )


def to_metered_offer(row: Row, *, now: int) -> MeteredOffer:
    """Return a metered offer from :data:`METERED_OFFER`, at a time (Unix seconds)."""
    return MeteredOffer(
        offer=row[0],
        asset=row[1],
        maker=row[2],
        payee=row[3],
        currency=row[4],
        price=amount_of(row[5]),
        unit=unit_name(row[6]),
        version=row[7],
        node=row[8],
        window=row[9],
        in_flight=row[10],
        expiry=row[11],
        text=row[12],
        salt=int.from_bytes(row[13], "big"),
        opened_at=row[14],
        open=row[15] is None and row[16] == row[17] and now < row[11],
    )


def to_channel(row: Row) -> Channel:
    """Return a channel from :data:`CHANNEL`."""
    return Channel(
        channel=row[0],
        asset=row[1],
        version=row[2],
        offer=row[3],
        payer=row[4],
        signer=row[5],
        nonce=int.from_bytes(row[6], "big"),
        payee=row[7],
        currency=row[8],
        price=amount_of(row[9]),
        unit=unit_name(row[10]),
        deposit=amount_of(row[11]),
        claimed=amount_of(row[12]),
        units=amount_of(row[13]),
        sequence=int.from_bytes(row[14], "big"),
        receipts_root=row[15],
        state=ChannelState(row[16]),
        opened_at=row[17],
        claimed_at=row[18],
        closes_at=row[19],
        closed_at=row[20],
        expiry=row[21],
    )
