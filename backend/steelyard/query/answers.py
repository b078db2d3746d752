"""Answers of the index: docs/index.md, "Questions".

Ids are 32 bytes, addresses 20, payees 32-byte words; amounts are smallest units of their currency (wei), times Unix
seconds. All are immutable and say nothing that the chain did not, but for :class:`Card`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from steelyard.domain.card import Metric
from steelyard.domain.metering import ChannelId, ChannelState
from steelyard.domain.types import Address, AssetId, OfferId, PurchaseId, RequestId, Stage, State, VersionId

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
        fields: the other fields, by their names in the contract; structs are mappings, enumerations words.
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
class Version:
    """A version as the index has it. ``cid`` is of its public folder, ``size`` bytes of plaintext.

    ``code``: whether it has files that run code when they are loaded, as its manifest declares for ever; None while the
    store's manifest was not read. ``stage``: where it is in its life (docs/stages.md).
    """

    version: VersionId
    asset: AssetId
    number: int
    cid: str
    content_root: bytes
    size: int
    node: bytes
    publisher: Address
    published_at: int
    flagged_at: int | None
    block: int
    code: bool | None
    stage: Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A stage that a version was in from a time on: who moved it, in which block and transaction, and why; published, if no reason."""

    stage: Stage
    since: int
    actor: Address
    reason: str | None
    block: int
    tx: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StageHistory:
    """All stages that a version was in up to a time, oldest first; none if it was not published by then."""

    version: VersionId
    time: int
    stages: tuple[Staged, ...]
    at: At


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """Which version was the newest on sale at a time; None if there was none.

    ``flagged_at`` only if it was by then, ``stage`` as it was then.
    """

    asset: AssetId
    time: int
    version: Version | None
    at: At


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An offer as the index has it, with all its terms.

    ``open``: not closed, and of the asset's present owner; places, a flag or the stage of its version can still stop a sale.
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
    """What a model card says. Its seller's word, not the chain's. Task, framework, licence and tags in lower case."""

    title: str | None
    task: str | None
    framework: str | None
    licence: str | None
    tags: tuple[str, ...]
    metrics: tuple[Metric, ...]


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
        offers: open offers of a version that is on sale, cheapest first, at most 20.
        sales: purchases that were not refunded.
        card: of the newest version that the store has a card of, or None.
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
    """Who held a valid licence at a time.

    Attributes:
        licence: its id.
        holder: who held it then.
        buyer: who had bought it.
        version: that was bought.
        scope: which versions it covers: ``one``, ``until_end`` or ``all``.
        since: when it came to the holder.
        delivered_at: when it became valid.
        until: last second of its validity as it stood then; None for a perpetual one.
    """

    licence: PurchaseId
    holder: Address
    buyer: Address
    version: VersionId
    scope: str
    since: int
    delivered_at: int
    until: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A position's part of an income; what is owed of many is rounded once, so it may exceed the sum of the parts.

    Attributes:
        index: of the position in its node, from 0.
        payee: word of who had the position when the income came.
        weight: basis points.
        amount: ``floor(income * weight / 10,000)``.
    """

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


@dataclass(frozen=True, slots=True, kw_only=True)
class MeteredOffer:
    """A metered offer as the index has it: all terms, and whether a channel can be opened under it.

    ``price`` of one ``unit`` in smallest units of ``currency``, ``window`` in seconds, ``expiry`` the last moment of a claim. ``open`` as of
    the newest block: not closed, of the asset's present epoch, and not expired.
    """

    offer: OfferId
    asset: AssetId
    maker: Address
    payee: Address
    currency: Address
    price: int
    unit: str
    version: VersionId
    node: bytes
    window: int
    in_flight: int
    expiry: int
    text: bytes
    salt: int
    opened_at: int
    open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A channel as the index has it.

    Attributes:
        channel: its id.
        asset: that is used.
        version: the one version that is served.
        offer: metered offer that it was opened under.
        payer: who opened it.
        signer: key that co-signs.
        nonce: chosen by the payer.
        payee: key of the gateway.
        currency: zero address for the native coin.
        price: of one unit, smallest units of ``currency``.
        unit: what is counted.
        deposit: paid in, in all.
        claimed: paid out to the version's node, in all.
        units: that the last claim published, in all; 0 before the first one, as ``sequence``.
        sequence: receipts that it covers.
        receipts_root: root of their tree; zero before the first claim.
        state: where it stands.
        opened_at: when.
        claimed_at: time of the last claim, or None.
        closes_at: when the payer's window ends, or None if he did not begin to close.
        closed_at: when it was closed, or None.
        expiry: last moment of a claim, if it does not close before.
    """

    channel: ChannelId
    asset: AssetId
    version: VersionId
    offer: OfferId
    payer: Address
    signer: Address
    nonce: int
    payee: Address
    currency: Address
    price: int
    unit: str
    deposit: int
    claimed: int
    units: int
    sequence: int
    receipts_root: bytes
    state: ChannelState
    opened_at: int
    claimed_at: int | None
    closes_at: int | None
    closed_at: int | None
    expiry: int
