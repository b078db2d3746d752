"""All questions on one database; each answer is of one consistent snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from types import TracebackType
from typing import Any, Final, Self

from steelyard.domain.metering import ChannelId
from steelyard.domain.types import AssetId, OfferId, PurchaseId, VersionId
from steelyard.indexer.database import Database, Reader
from steelyard.query import entities, events, holders, metered, obligations, payments, search
from steelyard.query.model import (
    MAX_LIMIT,
    Asset,
    AssetPage,
    AssetQuery,
    At,
    Channel,
    ChannelQuery,
    Earnings,
    EarningsQuery,
    Event,
    EventQuery,
    Holder,
    HolderQuery,
    MeteredOffer,
    MeteredOfferQuery,
    Obligation,
    ObligationQuery,
    Offer,
    OfferQuery,
    Page,
    Payment,
    PaymentQuery,
    Purchase,
    PurchaseQuery,
    Released,
    StageHistory,
    Version,
    VersionQuery,
)
from steelyard.query.place import read_at

ListQuery = (
    EventQuery
    | AssetQuery
    | HolderQuery
    | PaymentQuery
    | ObligationQuery
    | VersionQuery
    | OfferQuery
    | PurchaseQuery
    | MeteredOfferQuery
    | ChannelQuery
)
"""The questions whose answers come in pages."""

_LISTS: Final[dict[type, Callable[[Reader, Any], Page[Any]]]] = {
    EventQuery: events.events,
    AssetQuery: search.search,
    HolderQuery: holders.holders,
    PaymentQuery: payments.payments,
    ObligationQuery: obligations.obligations,
    VersionQuery: entities.versions,
    OfferQuery: entities.offers,
    PurchaseQuery: entities.purchases,
    MeteredOfferQuery: metered.metered_offers,
    ChannelQuery: metered.channels,
}


class Audit:
    """Questions on an index. Safe to use from several threads; close it, or use ``with``.

    All methods raise :class:`~steelyard.errors.InputError` for a question that cannot be asked,
    :class:`~steelyard.errors.NotFoundError` where the index is empty or a named thing is not in it, and
    :class:`~steelyard.errors.DatabaseError` where the database fails.
    """

    def __init__(self, database: Database) -> None:
        """Take a database over; it is closed with this object."""
        self.database = database

    def at(self) -> At:
        """Return how far the index is complete and proved."""
        with self.database.read() as reader:
            return read_at(reader)

    # -- lists -----------------------------------------------------------------------------------------------

    def events(self, query: EventQuery | None = None) -> Page[Event]:
        """Return entries by whatever concerns them, the newest first."""
        with self.database.read() as reader:
            return events.events(reader, query or EventQuery())

    def search(self, query: AssetQuery | None = None) -> AssetPage:
        """Return assets by words, card, owner or offer."""
        with self.database.read() as reader:
            return search.search(reader, query or AssetQuery())

    def holders(self, query: HolderQuery) -> Page[Holder]:
        """Return who held a valid licence of an asset at a time."""
        with self.database.read() as reader:
            return holders.holders(reader, query)

    def payments(self, query: PaymentQuery | None = None) -> Page[Payment]:
        """Return money that moved, and the parts of incomes, the newest first."""
        with self.database.read() as reader:
            return payments.payments(reader, query or PaymentQuery())

    def obligations(self, query: ObligationQuery | None = None) -> Page[Obligation]:
        """Return what is open, the soonest due first."""
        with self.database.read() as reader:
            return obligations.obligations(reader, query or ObligationQuery())

    def versions(self, query: VersionQuery) -> Page[Version]:
        """Return the versions of an asset, the newest first."""
        with self.database.read() as reader:
            return entities.versions(reader, query)

    def offers(self, query: OfferQuery | None = None) -> Page[Offer]:
        """Return offers, the newest first."""
        with self.database.read() as reader:
            return entities.offers(reader, query or OfferQuery())

    def purchases(self, query: PurchaseQuery | None = None) -> Page[Purchase]:
        """Return purchases and licences as they stand, the newest first."""
        with self.database.read() as reader:
            return entities.purchases(reader, query or PurchaseQuery())

    def metered_offers(self, query: MeteredOfferQuery | None = None) -> Page[MeteredOffer]:
        """Return metered offers, the newest first."""
        with self.database.read() as reader:
            return metered.metered_offers(reader, query or MeteredOfferQuery())

    def channels(self, query: ChannelQuery | None = None) -> Page[Channel]:
        """Return channels as they stand, the newest first."""
        with self.database.read() as reader:
            return metered.channels(reader, query or ChannelQuery())

    # -- one thing -------------------------------------------------------------------------------------------

    def version_at(self, asset: AssetId, time: int | None = None) -> Released:
        """Return which version of an asset was the newest on sale at a time (Unix seconds; the newest block's if None)."""
        with self.database.read() as reader:
            return entities.version_at(reader, asset, time)

    def stages(self, version: VersionId, time: int | None = None) -> StageHistory:
        """Return the stages that a version was in up to a time (Unix seconds; the newest block's if None), oldest first."""
        with self.database.read() as reader:
            return entities.stages(reader, version, time)

    def earnings(self, query: EarningsQuery) -> Earnings:
        """Return what an account was paid in a period, and what it could claim now."""
        with self.database.read() as reader:
            return payments.earnings(reader, query)

    def event(self, block: int, log: int) -> Event:
        """Return the entry at a log of a block."""
        with self.database.read() as reader:
            return events.event(reader, block, log)

    def asset(self, asset: AssetId) -> Asset:
        """Return an asset by its id."""
        with self.database.read() as reader:
            return search.asset(reader, asset)

    def version(self, version: VersionId) -> Version:
        """Return a version by its id."""
        with self.database.read() as reader:
            return entities.version(reader, version)

    def offer(self, offer: OfferId) -> Offer:
        """Return an offer by its id."""
        with self.database.read() as reader:
            return entities.offer(reader, offer)

    def purchase(self, purchase: PurchaseId) -> Purchase:
        """Return a purchase or licence by its id."""
        with self.database.read() as reader:
            return entities.purchase(reader, purchase)

    def metered_offer(self, offer: OfferId) -> MeteredOffer:
        """Return a metered offer by its id."""
        with self.database.read() as reader:
            return metered.metered_offer(reader, offer)

    def channel(self, channel: ChannelId) -> Channel:
        """Return a channel by its id."""
        with self.database.read() as reader:
            return metered.channel(reader, channel)

    def numbered(self, asset: AssetId, which: int | VersionId | str) -> Version:
        """Return a version of an asset by number, id, or ``latest``."""
        with self.database.read() as reader:
            return entities.numbered(reader, asset, which)

    # -- all of a list ---------------------------------------------------------------------------------------

    def ask(self, query: ListQuery) -> Page[Any]:
        """Return a page of whatever list a question is of."""
        with self.database.read() as reader:
            return _LISTS[type(query)](reader, query)

    def walk(self, query: ListQuery) -> Iterator[Page[Any]]:
        """Yield all pages of a list from its cursor on, in constant memory and all of one snapshot.

        The snapshot is held until the last page was taken or the iterator is closed.
        """
        answer = _LISTS[type(query)]
        with self.database.read() as reader:
            current = replace(query, limit=MAX_LIMIT)
            while True:
                page = answer(reader, current)
                yield page
                if page.next is None:
                    return
                current = replace(current, cursor=page.next)

    # -- life ------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def __enter__(self) -> Self:
        """Return the object itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the database."""
        self.close()


__all__ = ["Audit", "ListQuery"]
