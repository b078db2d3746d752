"""Questions that the index answers: docs/index.md, "Questions". The answers are in ``answers.py``, and named here too.

Ids are 32 bytes, addresses 20; amounts are smallest units of their currency (wei), times Unix seconds, both
inclusive. A question only says what is asked: whether it can be asked is checked where it is answered
(:class:`~steelyard.errors.InputError`).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from steelyard.domain.card import Metric
from steelyard.domain.metering import ChannelState
from steelyard.domain.types import Address, AssetId, AssetKind, OfferId, PurchaseId, State, VersionId
from steelyard.query.answers import (
    Asset,
    AssetPage,
    At,
    Card,
    Channel,
    Duty,
    Earning,
    Earnings,
    Event,
    Holder,
    MeteredOffer,
    Obligation,
    Offer,
    Page,
    Part,
    Party,
    Payment,
    PaymentKind,
    Purchase,
    Released,
    Staged,
    StageHistory,
    Version,
)

MAX_LIMIT: Final = 500
"""Most rows of a page."""
DEFAULT_LIMIT: Final = 20


class Sort(enum.StrEnum):
    """Order of assets."""

    RELEVANCE = "relevance"
    NEWEST = "newest"
    UPDATED = "updated"
    NAME = "name"
    PRICE = "price"
    SALES = "sales"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventQuery:
    """Entries of trails; every field that is set narrows them.

    Attributes:
        asset: about this asset or a revenue node of one of its versions.
        version: about this version.
        account: that concern this account.
        party: in this way; needs ``account``.
        kinds: names of events.
        since: not before this time.
        until: not after this time.
        first_block: not before this block.
        last_block: not after this block.
        tx: of this transaction.
        currency: that moved this currency.
        at_least: that moved this much or more.
        at_most: that moved this much or less.
        newest_first: order of the chain reversed.
        cursor: ``Page.next`` of the page before.
        limit: rows of a page, 1 to 500.
    """

    asset: AssetId | None = None
    version: VersionId | None = None
    account: Address | None = None
    party: Party | None = None
    kinds: tuple[str, ...] = ()
    since: int | None = None
    until: int | None = None
    first_block: int | None = None
    last_block: int | None = None
    tx: bytes | None = None
    currency: Address | None = None
    at_least: int | None = None
    at_most: int | None = None
    newest_first: bool = True
    cursor: str | None = None
    limit: int = DEFAULT_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetQuery:
    """Assets; every field that is set narrows them.

    Attributes:
        text: words that name, task, framework, licence, tags or card must contain; the last one may be a beginning.
        tags: all of these.
        task: pipeline tag of the card.
        framework: library name of the card.
        licence: SPDX id of the card.
        metric: name of a metric that the card reports, such as ``accuracy``.
        kind: model or dataset.
        owner: present owner.
        currency: that an open offer of a version on sale asks for; zero address for the native coin.
        at_most: highest price of such an offer in ``currency`` (native coin if that is None).
        on_sale: has such an offer.
        code: the newest version has, or has no files that run code when they are loaded; not known is neither.
        sort: order; relevance needs ``text``, price needs one currency (native if None).
        descending: reversed; None for what is usual for the sort.
        facets: count values of task, framework, licence, tags, code and kind over all that match.
        cursor: ``Page.next`` of the page before.
        limit: rows of a page, 1 to 500.
    """

    text: str | None = None
    tags: tuple[str, ...] = ()
    task: str | None = None
    framework: str | None = None
    licence: str | None = None
    metric: str | None = None
    kind: AssetKind | None = None
    owner: Address | None = None
    currency: Address | None = None
    at_most: int | None = None
    on_sale: bool | None = None
    code: bool | None = None
    sort: Sort = Sort.NEWEST
    descending: bool | None = None
    facets: bool = False
    cursor: str | None = None
    limit: int = DEFAULT_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentQuery:
    """Payments; every field that is set narrows them.

    Attributes:
        payee: to this account.
        payer: from this account.
        share: to nodes in which this account has or had a position, as far as their positions are known.
        node: to or from this node.
        asset: for this asset.
        licence: for this purchase or licence.
        kinds: of these kinds.
        currency: in this currency.
        since: not before.
        until: not after.
        at_least: this much or more.
        at_most: this much or less.
        newest_first: order of the chain reversed.
        cursor: ``Page.next`` of the page before.
        limit: rows of a page, 1 to 500.
    """

    payee: Address | None = None
    payer: Address | None = None
    share: Address | None = None
    node: bytes | None = None
    asset: AssetId | None = None
    licence: PurchaseId | None = None
    kinds: tuple[PaymentKind, ...] = ()
    currency: Address | None = None
    since: int | None = None
    until: int | None = None
    at_least: int | None = None
    at_most: int | None = None
    newest_first: bool = True
    cursor: str | None = None
    limit: int = DEFAULT_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class ObligationQuery:
    """What is open.

    Attributes:
        account: as seller, buyer or holder; None for all.
        asset: of this asset.
        kinds: of these kinds.
        within: due at most this many seconds after ``now``; what is overdue is always there.
        now: time to judge by; the newest block's if None.
        cursor: ``Page.next`` of the page before.
        limit: rows of a page, 1 to 500.
    """

    account: Address | None = None
    asset: AssetId | None = None
    kinds: tuple[Duty, ...] = ()
    within: int | None = None
    now: int | None = None
    cursor: str | None = None
    limit: int = DEFAULT_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderQuery:
    """Who held a valid licence, oldest purchase first.

    Attributes:
        asset: for this asset.
        at: at this time, with all entries up to it; the newest block's if None.
        version: that covered this version of the asset, if it was published by then.
        holder: held by this account.
        cursor: ``Page.next`` of the page before.
        limit: rows of a page, 1 to 500.
    """

    asset: AssetId
    at: int | None = None
    version: VersionId | None = None
    holder: Address | None = None
    cursor: str | None = None
    limit: int = DEFAULT_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionQuery:
    """Versions of an asset, newest first."""

    asset: AssetId
    cursor: str | None = None
    limit: int = DEFAULT_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferQuery:
    """Offers, newest first; every field that is set narrows them.

    Attributes:
        asset: of this asset.
        seller: made by this account.
        open: can, or cannot, be bought under (apart from places).
        cursor: ``Page.next`` of the page before.
        limit: rows of a page, 1 to 500.
    """

    asset: AssetId | None = None
    seller: Address | None = None
    open: bool | None = None
    cursor: str | None = None
    limit: int = DEFAULT_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseQuery:
    """Purchases and licences as they stand, newest first; every field that is set narrows them.

    Attributes:
        asset: of this asset.
        version: bought for this version.
        offer: under this offer.
        buyer: paid by this account.
        holder: held by this account now.
        states: in one of these states.
        cursor: ``Page.next`` of the page before.
        limit: rows of a page, 1 to 500.
    """

    asset: AssetId | None = None
    version: VersionId | None = None
    offer: OfferId | None = None
    buyer: Address | None = None
    holder: Address | None = None
    states: tuple[State, ...] = ()
    cursor: str | None = None
    limit: int = DEFAULT_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class MeteredOfferQuery:
    """Metered offers, newest first; every field that is set narrows them.

    Attributes:
        asset: of this asset.
        version: of this version.
        payee: whose receipts and claims this key signs.
        open: a channel can, or cannot, be opened under them.
        cursor: ``Page.next`` of the page before.
        limit: rows of a page, 1 to 500.
    """

    asset: AssetId | None = None
    version: VersionId | None = None
    payee: Address | None = None
    open: bool | None = None
    cursor: str | None = None
    limit: int = DEFAULT_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelQuery:
    """Channels as they stand, newest first; every field that is set narrows them.

    Attributes:
        asset: of this asset.
        version: of this version.
        offer: under this metered offer.
        payer: opened by this account.
        signer: that this key co-signs for.
        payee: that this key claims.
        states: in one of these states.
        cursor: ``Page.next`` of the page before.
        limit: rows of a page, 1 to 500.
    """

    asset: AssetId | None = None
    version: VersionId | None = None
    offer: OfferId | None = None
    payer: Address | None = None
    signer: Address | None = None
    payee: Address | None = None
    states: tuple[ChannelState, ...] = ()
    cursor: str | None = None
    limit: int = DEFAULT_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class EarningsQuery:
    """What an account was paid between two times; None for no bound."""

    account: Address
    since: int | None = None
    until: int | None = None


__all__ = [
    "DEFAULT_LIMIT",
    "MAX_LIMIT",
    "Asset",
    "AssetPage",
    "AssetQuery",
    "At",
    "Card",
    "Channel",
    "ChannelQuery",
    "Duty",
    "Earning",
    "Earnings",
    "EarningsQuery",
    "Event",
    "EventQuery",
    "Holder",
    "HolderQuery",
    "MeteredOffer",
    "MeteredOfferQuery",
    "Metric",
    "Obligation",
    "ObligationQuery",
    "Offer",
    "OfferQuery",
    "Page",
    "Part",
    "Party",
    "Payment",
    "PaymentKind",
    "PaymentQuery",
    "Purchase",
    "PurchaseQuery",
    "Released",
    "Sort",
    "StageHistory",
    "Staged",
    "Version",
    "VersionQuery",
]
