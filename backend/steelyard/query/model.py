"""Questions that the index answers, and the answers: docs/index.md, "Questions".

Ids are 32 bytes, addresses 20, payees 32-byte words; amounts are smallest units of their currency (wei), times Unix
seconds, both inclusive. A question only says what is asked: whether it can be asked is checked by ``check``.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from steelyard.domain.types import (
    Address,
    AssetId,
    AssetKind,
    OfferId,
    PurchaseId,
    RequestId,
    State,
    VersionId,
)

MAX_LIMIT: Final = 500
"""Most rows of a page."""
DEFAULT_LIMIT: Final = 20

T = TypeVar("T")


class Party(enum.StrEnum):
    """How an account is concerned by an entry."""

    ACTOR = "actor"
    OWNER = "owner"
    SELLER = "seller"
    BUYER = "buyer"
    HOLDER = "holder"
    PAYEE = "payee"
    PAYER = "payer"
    GRANTEE = "grantee"
    PUBLISHER = "publisher"


class PaymentKind(enum.StrEnum):
    """What money moved for."""

    ESCROW = "escrow"
    INCOME = "income"
    REFUND = "refund"
    BOND = "bond"
    FEE = "fee"
    ANSWER = "answer"
    RETURNED = "returned"
    DIRECT = "direct"
    CLAIM = "claim"


class Sort(enum.StrEnum):
    """Order of assets."""

    RELEVANCE = "relevance"
    NEWEST = "newest"
    UPDATED = "updated"
    NAME = "name"
    PRICE = "price"
    SALES = "sales"


class Duty(enum.StrEnum):
    """What is open."""

    DELIVERY = "delivery"
    """A paid purchase; the seller must deliver until ``due``, later the price is the payer's."""
    WINDOW = "window"
    """A delivered purchase in its content window; it settles after ``due``."""
    RENEWAL = "renewal"
    """A valid rental that ends at ``due``."""
    KEY = "key"
    """An open key request."""
    SETTLEMENT = "settlement"
    """A purchase whose window has passed and that nobody has settled."""
    REFUND = "refund"
    """A paid purchase past its due time, or of a version proved false: anybody can have it refunded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class At:
    """How far an answer is complete.

    Attributes:
        block: number of the block.
        hash: of that block.
        time: of that block.
        proved: number of the block up to which all heads were compared with the contracts.
    """

    block: int
    hash: bytes
    time: int
    proved: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """One page of a list.

    Attributes:
        items: its rows, in the order asked for.
        next: cursor of the page after it, or None at the end.
        at: how far the index is.
    """

    items: tuple[T, ...]
    next: str | None
    at: At


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
class Event:
    """An entry of a trail.

    Attributes:
        pos: its place, ``block * 2^20 + log``.
        block: block number.
        log: index of the log in its block.
        time: of the block.
        tx: transaction hash.
        name: of the event.
        contract: name of the contract that recorded it.
        subject: asset or node.
        id: what it is about.
        actor: who called.
        asset: the asset, if it is known.
        version: the version, if it is about one.
        amount: money moved, or None.
        currency: its currency, or None.
        fields: the other fields, by their names in the contract; structs are mappings.
    """

    pos: int
    block: int
    log: int
    time: int
    tx: bytes
    name: str
    contract: str
    subject: bytes
    id: bytes
    actor: Address
    asset: AssetId | None
    version: VersionId | None
    amount: int | None
    currency: Address | None
    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetQuery:
    """Assets; every field that is set narrows them.

    Attributes:
        text: words that name, task, framework, licence, tags or card must contain; the last one may be a beginning.
        tags: all of these.
        task: pipeline tag of the card.
        framework: library name of the card.
        licence: SPDX id of the card.
        metric: name of a metric that the card reports.
        kind: model or dataset.
        owner: present owner.
        currency: that an open offer asks for; zero address for the native coin.
        at_most: highest price of an open offer in ``currency`` (native coin if that is None).
        on_sale: has an open offer.
        sort: order; relevance needs ``text``, price needs one currency (native if None).
        descending: reversed; None for what is usual for the sort.
        facets: count values of task, framework, licence, tags and kind over all that match.
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
    sort: Sort = Sort.NEWEST
    descending: bool | None = None
    facets: bool = False
    cursor: str | None = None
    limit: int = DEFAULT_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version as the index has it. ``cid`` is of its public folder, ``size`` bytes of plaintext."""

    version: VersionId
    number: int
    cid: str
    content_root: bytes
    size: int
    node: bytes
    publisher: Address
    published_at: int
    flagged_at: int | None
    block: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An offer as the index has it: all terms, and whether it can be bought under (apart from places).

    ``price`` in smallest units of ``currency``, ``bond`` in wei, ``period``, ``deliver_within`` and ``window`` in
    seconds; ``sold`` places taken now.
    """

    offer: OfferId
    asset: AssetId
    seller: Address
    currency: Address
    price: int
    bond: int
    kind: str
    scope: str
    transferable: bool
    revocable: bool
    period: int
    renew_until: int
    supply: int
    deliver_within: int
    window: int
    allow_list: bytes
    text: bytes
    salt: int
    version: VersionId | None
    opened_at: int
    open: bool
    sold: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a model card says. Its seller's word, not the chain's."""

    title: str | None
    task: str | None
    framework: str | None
    licence: str | None
    tags: tuple[str, ...]
    metrics: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """An asset as the index has it.

    Attributes:
        asset: its id.
        name: its name.
        kind: ``model`` or ``dataset``.
        creator: who registered it.
        owner: who owns it.
        royalty: basis points.
        registered_at: when.
        epoch: transfers so far.
        latest: its newest version, or None.
        offers: open offers, cheapest first, at most 20.
        sales: purchases that were not refunded.
        card: of the newest version, or None where the store did not have it yet.
    """

    asset: AssetId
    name: str
    kind: str
    creator: Address
    owner: Address
    royalty: int
    registered_at: int
    epoch: int
    latest: Version | None
    offers: tuple[Offer, ...]
    sales: int
    card: Card | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetPage(Page[Asset]):
    """Assets; ``total`` of all that match, ``facets`` by field and value if they were asked for."""

    total: int
    facets: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who held a licence, and whether it was valid then; ``until`` is None for perpetual ones."""

    licence: PurchaseId
    holder: Address
    buyer: Address
    version: VersionId
    scope: str
    since: int
    delivered_at: int
    until: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentQuery:
    """Payments; every field that is set narrows them.

    Attributes:
        payee: to this account.
        payer: from this account.
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
class Part:
    """A position's part of an income: ``floor(amount * weight / 10,000)``; parts of many incomes are owed without rounding each."""

    index: int
    payee: bytes
    weight: int
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """Money that moved.

    Attributes:
        pos: place of the entry that it stands in.
        kind: what for.
        payer: word of who paid.
        payee: word of who was paid.
        currency: zero address for the native coin.
        amount: how much.
        asset: for which asset, or None.
        version: for which version, or None.
        licence: for which purchase or licence, or None.
        time: of the block.
        block: number.
        tx: transaction hash.
        parts: of an income, what each position of the node has of it; empty where the node's positions are not known.
    """

    pos: int
    kind: PaymentKind
    payer: bytes
    payee: bytes
    currency: Address
    amount: int
    asset: AssetId | None
    version: VersionId | None
    licence: PurchaseId | None
    time: int
    block: int
    tx: bytes
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Earning:
    """What an account was paid, for one asset, in one currency, for one thing."""

    asset: AssetId | None
    name: str | None
    currency: Address
    kind: PaymentKind
    count: int
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Earnings:
    """What an account earned in a period. ``due`` is what its positions could claim now, of nodes whose positions are known."""

    account: Address
    since: int | None
    until: int | None
    items: tuple[Earning, ...]
    due: tuple[Earning, ...]
    at: At


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
class Obligation:
    """Something open; soonest due first.

    Attributes:
        kind: what.
        id: purchase, licence or request.
        asset: of which asset.
        version: of which version.
        debtor: who must act, or None if anybody can.
        creditor: whom it is owed to.
        amount: money at stake, smallest units.
        currency: its currency.
        due: last moment, or the moment from which it can be done.
        overdue: whether that has passed.
    """

    kind: Duty
    id: bytes
    asset: AssetId
    version: VersionId
    debtor: Address | None
    creditor: Address
    amount: int
    currency: Address
    due: int
    overdue: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """A purchase or licence as the index has it; times None where they have not come, ``until`` 0 for none."""

    purchase: PurchaseId
    asset: AssetId
    version: VersionId
    offer: OfferId
    seller: Address
    buyer: Address
    holder: Address
    price: int
    currency: Address
    state: State
    paid_at: int
    due: int
    until: int
    delivered_at: int | None
    settled_at: int | None
    ended_at: int | None
    requests: tuple[RequestId, ...] = ()
