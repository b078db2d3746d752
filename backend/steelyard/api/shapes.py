"""What reading endpoints take and answer beside the questions and answers of the index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from steelyard.domain.types import Address, OfferId, State, VersionId
from steelyard.query.model import DEFAULT_LIMIT, At, Card

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class One(Generic[T]):
    """One thing, and how far the index is."""

    item: T
    at: At


@dataclass(frozen=True, slots=True, kw_only=True)
class Contracts:
    """The contracts that a trail is written by."""

    directory: Address
    assets: Address
    market: Address
    treasury: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepts:
    """What this service takes."""

    uploads: bool
    plaintext: bool
    webhooks: bool
    confirmations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """What this service is. ``at`` is null while the index is empty."""

    name: str
    version: str
    chain_id: int
    contracts: Contracts
    accepts: Accepts
    public_url: str
    at: At | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CardText:
    """The card of the newest version that the store has a card of; its seller's word.

    ``text`` is Markdown as its seller wrote it: whoever shows it must take out what could run.
    """

    card: Card
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A page of a list."""

    cursor: str | None = None
    limit: int = DEFAULT_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetOffers(Listing):
    """Offers of one asset; fields of ``OfferQuery``."""

    seller: Address | None = None
    open: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetPurchases(Listing):
    """Purchases of one asset; fields of ``PurchaseQuery``."""

    version: VersionId | None = None
    offer: OfferId | None = None
    buyer: Address | None = None
    holder: Address | None = None
    states: tuple[State, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetHolders(Listing):
    """Holders of one asset's licences; fields of ``HolderQuery``."""

    at: int | None = None
    version: VersionId | None = None
    holder: Address | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A time, Unix seconds; the newest block's if none is given."""

    at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A period, Unix seconds, both inclusive."""

    since: int | None = None
    until: int | None = None
