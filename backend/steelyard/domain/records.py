"""What is known of assets, sales and nodes at a block: immutable records and their rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from steelyard.domain.metering import ChannelId, ChannelState, MeteredTerms
from steelyard.domain.point import Point
from steelyard.domain.types import (
    Address,
    AssetId,
    AssetKind,
    KeyRequest,
    NodeId,
    OfferId,
    OfferKind,
    Order,
    PurchaseId,
    RequestId,
    RequestState,
    Role,
    Scope,
    Stage,
    State,
    Terms,
    Version,
    VersionId,
    name_of,
)


@dataclass(frozen=True, kw_only=True)
class StageMove:
    """A move of a version to a stage: ``at`` in Unix seconds, ``actor`` who moved it, ``tx`` the transaction."""

    stage: Stage
    at: int
    actor: Address
    reason: str
    tx: bytes


@dataclass(frozen=True, kw_only=True)
class VersionState:
    """A version.

    ``number`` from 1, ``published_at`` in Unix seconds; ``flagged_by`` is the purchase that proved it false; ``moves`` of its stage,
    oldest first.
    """

    id: VersionId
    number: int
    commitments: Version
    publisher: Address
    published_at: int
    flagged_by: PurchaseId | None = None
    moves: tuple[StageMove, ...] = ()

    @property
    def flagged(self) -> bool:
        """Whether it was proved false."""
        return self.flagged_by is not None

    @property
    def stage(self) -> Stage:
        """The stage that it is in."""
        return self.moves[-1].stage if self.moves else Stage.RELEASED

    @property
    def on_sale(self) -> bool:
        """Whether it can be bought: in a stage that is on sale, and not proved false."""
        return self.stage.on_sale and not self.flagged


@dataclass(frozen=True, kw_only=True)
class OfferState:
    """An offer.

    ``epoch`` of the asset when it was made, ``sold`` places taken (counted for every offer here).
    """

    id: OfferId
    asset: AssetId
    terms: Terms
    opened_at: int
    epoch: int
    sold: int = 0
    closed: bool = False


@dataclass(frozen=True, kw_only=True)
class PurchaseState:
    """A purchase, later a licence.

    Attributes:
        id: of the purchase and of the licence.
        asset: the asset.
        version: bought.
        offer: bought under.
        buyer: who paid.
        holder: who holds it now.
        salt: of the order.
        key: ``Q``.
        price: smallest units of the offer's currency.
        state: where it stands.
        paid_at: Unix seconds.
        block: number of the block in which it was paid.
        due: last moment of delivery while paid, of the content window from delivery on; Unix seconds.
        until: end of the licence or of the versions included; Unix seconds, 0 for none.
        delivered: ``D``, or None.
        delivered_tx: transaction that delivered it.
        delivered_at: Unix seconds, 0 before.
    """

    id: PurchaseId
    asset: AssetId
    version: VersionId
    offer: OfferId
    buyer: Address
    holder: Address
    salt: bytes
    key: Point
    price: int
    state: State
    paid_at: int
    block: int
    due: int
    until: int = 0
    delivered: Point | None = None
    delivered_tx: bytes = b""
    delivered_at: int = 0


@dataclass(frozen=True, kw_only=True)
class RequestRecord:
    """A key request. ``fee`` in wei, ``due`` and ``asked_at`` in Unix seconds, ``block`` where it was made.

    ``delivered`` is ``D`` or None, ``delivered_tx`` the transaction that brought it.
    """

    id: RequestId
    asset: AssetId
    request: KeyRequest
    state: RequestState
    fee: int
    due: int
    asked_at: int
    block: int
    delivered: Point | None = None
    delivered_tx: bytes = b""


@dataclass(frozen=True, kw_only=True)
class NodeState:
    """Income of a revenue node, smallest units.

    Attributes:
        id: the node.
        received: all that came in, by currency.
        paid: what positions were paid, by (index, currency).
        holders: accounts that positions were moved to, by index.
        feeds: nodes that were paid by this one.
    """

    id: NodeId
    received: Mapping[Address, int] = field(default_factory=dict)
    paid: Mapping[tuple[int, Address], int] = field(default_factory=dict)
    holders: Mapping[int, Address] = field(default_factory=dict)
    feeds: frozenset[NodeId] = frozenset()


@dataclass(frozen=True, kw_only=True)
class MeteredOfferState:
    """A metered offer. ``made_at`` in Unix seconds, ``epoch`` is the asset's then, ``maker`` who made it."""

    id: OfferId
    asset: AssetId
    terms: MeteredTerms
    maker: Address
    made_at: int
    epoch: int
    closed: bool = False


@dataclass(frozen=True, kw_only=True)
class ChannelRecord:
    """A channel; amounts in smallest units of the offer's currency, times in Unix seconds.

    Attributes:
        id: the channel.
        offer: opened under.
        payer: who opened it.
        signer: whose vouchers count.
        nonce: in the id.
        opened_at: when.
        deposit: all that was paid in.
        claimed: what of it went to the node.
        units: co-signed by the last claim, in all.
        sequence: receipts co-signed by the last claim, in all.
        receipts_root: root of their tree.
        state: where it stands.
        closes_at: end of the window, 0 before the payer began to close.
        refunded: what went back to the payer.
    """

    id: ChannelId
    offer: OfferId
    payer: Address
    signer: Address
    nonce: int
    opened_at: int
    deposit: int
    claimed: int = 0
    units: int = 0
    sequence: int = 0
    receipts_root: bytes = bytes(32)
    state: ChannelState = ChannelState.OPEN
    closes_at: int = 0
    refunded: int = 0


@dataclass(frozen=True, kw_only=True)
class AssetState:
    """An asset and everything that hangs on it.

    Attributes:
        id: the asset.
        name: the word that its name is.
        kind: model or dataset.
        creator: who registered it.
        owner: who owns it now.
        royalty: basis points.
        registered_at: Unix seconds.
        epoch: how often it has been transferred.
        roles: (account, role) pairs lent by the present owner.
        versions: by id, oldest first.
        offers: by id, oldest first.
        purchases: by id, oldest first.
        requests: by id, oldest first.
        metered: metered offers by id, oldest first.
        channels: by id, oldest first.
    """

    id: AssetId
    name: bytes
    kind: AssetKind
    creator: Address
    owner: Address
    royalty: int
    registered_at: int
    epoch: int = 0
    roles: frozenset[tuple[Address, Role]] = frozenset()
    versions: Mapping[VersionId, VersionState] = field(default_factory=dict)
    offers: Mapping[OfferId, OfferState] = field(default_factory=dict)
    purchases: Mapping[PurchaseId, PurchaseState] = field(default_factory=dict)
    requests: Mapping[RequestId, RequestRecord] = field(default_factory=dict)
    metered: Mapping[OfferId, MeteredOfferState] = field(default_factory=dict)
    channels: Mapping[ChannelId, ChannelRecord] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Its name as text."""
        return name_of(self.name)

    def may(self, account: Address, role: Role) -> bool:
        """Whether an account may act in a role."""
        return account == self.owner or (account, role) in self.roles

    def is_open(self, offer: OfferState | MeteredOfferState) -> bool:
        """Whether an offer can be bought under, apart from its supply or its expiry."""
        return not offer.closed and offer.epoch == self.epoch

    def order(self, purchase: PurchaseState) -> Order:
        """Return the order of a purchase in full."""
        return Order(
            version=self.versions[purchase.version].commitments,
            terms=self.offers[purchase.offer].terms,
            buyer=purchase.buyer,
            salt=purchase.salt,
            key=purchase.key,
        )

    def is_valid(self, licence: PurchaseState, *, at: int) -> bool:
        """Whether a licence is valid at a time (Unix seconds); the rule of ``ILicences.isValid``."""
        if licence.state not in (State.DELIVERED, State.SETTLED):
            return False
        return self.offers[licence.offer].terms.kind is OfferKind.PERPETUAL or at <= licence.until

    def covers(self, licence: PurchaseState, version: VersionState, *, at: int) -> bool:
        """Whether a licence that is valid at a time covers a version; the rule of ``ILicences.covers``."""
        if not self.is_valid(licence, at=at):
            return False
        scope = self.offers[licence.offer].terms.scope
        if scope is Scope.ALL:
            return True
        if scope is Scope.UNTIL_END:
            return version.published_at <= licence.until
        return version.id == licence.version


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Assets and nodes up to and including a block.

    Attributes:
        block: number of that block; -1 before any.
        assets: by id.
        nodes: by id.
    """

    block: int = -1
    assets: Mapping[AssetId, AssetState] = field(default_factory=dict)
    nodes: Mapping[NodeId, NodeState] = field(default_factory=dict)
