"""What the use cases return: frozen values.

Amounts in smallest units (wei), times in Unix seconds, ids 32 bytes.

``tx`` is None where nothing was sent: a dry run, or something that was done already. Then ``gas_used`` and
``fee_wei`` are estimates, or 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from steelyard.domain.types import (
    Address,
    AssetId,
    AssetKind,
    NodeId,
    OfferId,
    Order,
    Position,
    PurchaseId,
    RequestId,
    RequestState,
    Stage,
    State,
    Terms,
    Version,
    VersionId,
)

if TYPE_CHECKING:
    from pathlib import Path

    from steelyard.domain.manifest import Manifest
    from steelyard.domain.metering import ChannelId, ChannelState, MeteredTerms
    from steelyard.market import Market
    from steelyard.metering.agreement import Agreement


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A transaction that did what it was to do.

    Attributes:
        tx: its hash, or None.
        gas_used: gas; an estimate in a dry run.
        fee_wei: wei paid for gas; an estimate in a dry run.
        block: number of its block, or None.
    """

    tx: bytes | None
    gas_used: int
    fee_wei: int
    block: int | None = None


@dataclass(frozen=True, kw_only=True)
class Published(Sent):
    """A version on the chain and in the store.

    Attributes:
        ref: how people name it, such as ``0xabc.../digits@1``.
        canonical: ``eip155:<chain>/<registry>/<asset>@<version>``.
        asset: the asset.
        version: the version.
        number: its position among the asset's versions, from 1.
        cid: of the public folder.
        size: bytes of the sealed stream.
        files: number of files in it.
        node: revenue node that earns what it sells for.
    """

    ref: str
    canonical: str
    asset: AssetId
    version: VersionId
    number: int
    cid: str
    size: int
    files: int
    node: NodeId


@dataclass(frozen=True, kw_only=True)
class OfferInfo:
    """Terms under which an asset is sold.

    Attributes:
        offer: its id.
        asset: the asset.
        terms: all terms.
        opened_at: when it was made.
        open: whether it can be bought under now, apart from the places left.
        sold: places taken; counted only where the supply is limited.
        text: the licence's text, if the store has it and it has the digest in the terms.
        version: number of the only version that is sold under it; None for any, or if ``terms.version`` is
            none of the asset's.
    """

    offer: OfferId
    asset: AssetId
    terms: Terms
    opened_at: int
    open: bool
    sold: int
    text: str | None = None
    version: int | None = None


@dataclass(frozen=True, kw_only=True)
class Offered(Sent):
    """An offer that was made.

    Attributes:
        ref: the asset, as people name it.
        asset: the asset.
        offer: the offer's id.
        terms: all terms.
        version: number of the only version that is sold under it; None for any.
    """

    ref: str
    asset: AssetId
    offer: OfferId
    terms: Terms
    version: int | None = None


@dataclass(frozen=True, kw_only=True)
class MeteredOffered(Sent):
    """A metered offer that was made.

    Attributes:
        ref: the version, as people name it.
        asset: the asset.
        offer: the offer's id.
        terms: all terms.
    """

    ref: str
    asset: AssetId
    offer: OfferId
    terms: MeteredTerms


@dataclass(frozen=True, kw_only=True)
class ChannelInfo:
    """A channel, as the chain has it.

    Attributes:
        channel: its id.
        ref: the version, as people name it.
        agreement: parties and terms.
        deposit: all that was paid in, smallest units of the terms' currency.
        claimed: what of it went to the version's node.
        closes_at: end of the window, Unix seconds, once the payer began to close; else 0.
        state: where it stands.
        end: last moment of a claim, Unix seconds.
    """

    channel: ChannelId
    ref: str
    agreement: Agreement = field(repr=False)
    deposit: int
    claimed: int
    closes_at: int
    state: ChannelState
    end: int


@dataclass(frozen=True, kw_only=True)
class VersionInfo:
    """A version, as the chain has it and, where the store has it, as its public folder says.

    Attributes:
        version: its id.
        number: from 1.
        commitments: all that the id is the hash of.
        cid: of the public folder.
        published_at: when.
        publisher: who.
        flagged: whether it was proved false; then it is neither sold nor delivered.
        stage: where it is in its life: docs/stages.md.
        attested: whether somebody vouches for its quality; always False so far.
        manifest: the public manifest, or None if it was not fetched.
        card: the model card, or None if it was not fetched.
        code: paths of the files that run code when they are loaded, as the seller declares; empty if the manifest was
            not fetched.
    """

    version: VersionId
    number: int
    commitments: Version
    cid: str
    published_at: int
    publisher: Address
    flagged: bool
    stage: Stage
    attested: bool = False
    manifest: Manifest | None = None
    card: str | None = None
    code: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class AssetInfo:
    """A model or a dataset.

    Attributes:
        ref: how people name it: ``<creator>/<name>``, with an alias where there is one.
        canonical: ``eip155:<chain>/<registry>/<asset>``.
        asset: its id.
        name: its name.
        kind: model or dataset.
        creator: who registered it.
        owner: who owns it now.
        royalty: basis points of a resale, ERC-2981.
        registered_at: when.
        versions: all, oldest first.
        offers: all, oldest first, closed ones included.
        sales: purchases that were paid and not refunded.
        block: number of the block up to which this is complete.
    """

    ref: str
    canonical: str
    asset: AssetId
    name: str
    kind: AssetKind
    creator: Address
    owner: Address
    royalty: int
    registered_at: int
    versions: tuple[VersionInfo, ...]
    offers: tuple[OfferInfo, ...]
    sales: int
    block: int


@dataclass(frozen=True, kw_only=True)
class Verified:
    """The public folder of a version is what the chain commits to. Says nothing of how good the model is.

    Attributes:
        ref: the version, as people name it.
        version: its id.
        cid: of the public folder.
        size: bytes of the sealed stream.
        chunks: how many chunks were hashed.
        content_root: the root that came out and that the chain has.
        manifest: the public manifest.
        attested: whether somebody vouches for its quality; always False so far.
    """

    ref: str
    version: VersionId
    cid: str
    size: int
    chunks: int
    content_root: bytes
    manifest: Manifest
    attested: bool = False


@dataclass(frozen=True, kw_only=True)
class Quote:
    """What a purchase or renewal would cost now. Nothing was paid.

    Attributes:
        ref: the version, as people name it.
        asset: the asset.
        version: the version.
        offer: the offer's id.
        terms: all terms.
        text: the licence's text, or None if the store does not have it.
        price: smallest units of ``terms.currency``.
        gas: gas of the transaction, estimated; 0 if there is no account to estimate for.
        fee_wei: gas at today's price.
        balance: of the account, in ``terms.currency``.
        allowance: ERC-20 that the market may already take; 0 for the native coin.
        warnings: what a careful buyer should read first.
    """

    ref: str
    asset: AssetId
    version: VersionId
    offer: OfferId
    terms: Terms
    text: str | None
    price: int
    gas: int
    fee_wei: int
    balance: int
    allowance: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Purchase(Sent):
    """A purchase, later a licence, as of the last look at the chain.

    Attributes:
        ref: the version bought, as people name it.
        id: of the purchase and of the licence.
        asset: the asset.
        version: the version bought.
        offer: the offer.
        order: everything the buyer agreed to.
        state: where it stands.
        holder: the buyer, later who holds the licence.
        paid_at: when it was paid.
        due: last moment of delivery.
        until: end of the licence, or of the versions included; 0 for none.
        settles_at: last moment of the content window; 0 before delivery.
        flagged: whether the version was proved false.
    """

    ref: str
    id: PurchaseId
    asset: AssetId
    version: VersionId
    offer: OfferId
    order: Order
    state: State
    holder: Address
    paid_at: int
    due: int
    until: int
    settles_at: int
    flagged: bool
    market: Market | None = field(default=None, repr=False, compare=False)

    @property
    def terms(self) -> Terms:
        """The terms it was bought under."""
        return self.order.terms

    @property
    def delivered(self) -> bool:
        """Whether the key was delivered and not refunded since."""
        return self.state in (State.DELIVERED, State.SETTLED)

    def pull(self, dest: str | Path | None = None, **options: object) -> Path:
        """Fetch, decrypt and check the version bought; see :meth:`steelyard.Market.pull`."""
        return self._market().pull(self, dest, **options)  # type: ignore[arg-type]

    def refresh(self) -> Purchase:
        """Return the purchase as it stands now."""
        return self._market().purchase(self.id)

    def wait(self, *, timeout: float = 600.0) -> Purchase:
        """Wait for the delivery; see :meth:`steelyard.Market.wait`."""
        return self._market().wait(self, timeout=timeout)

    def _market(self) -> Market:
        if self.market is None:
            raise RuntimeError("this purchase was not made by a Market object")
        return self.market


@dataclass(frozen=True, kw_only=True)
class KeyRequested(Sent):
    """A key that was asked for.

    Attributes:
        ref: the version, as people name it.
        id: of the request.
        licence: the licence.
        asset: the asset.
        version: the version.
        fee: wei for whoever delivers.
        due: last moment of delivery.
        state: where it stands.
    """

    ref: str
    id: RequestId
    licence: PurchaseId
    asset: AssetId
    version: VersionId
    fee: int
    due: int
    state: RequestState


@dataclass(frozen=True, kw_only=True)
class Delivery(Sent):
    """A key that was delivered.

    Attributes:
        id: of the purchase or the request.
        asset: the asset.
        version: the version.
        to: who can open it now.
        request: True for a key request, False for a purchase.
    """

    id: bytes
    asset: AssetId
    version: VersionId
    to: Address
    request: bool


@dataclass(frozen=True, kw_only=True)
class Sale:
    """A purchase or key request as the seller sees it.

    Attributes:
        ref: the version, as people name it.
        id: of the purchase or the request.
        asset: the asset.
        version: the version asked for.
        buyer: who wants the key.
        request: True for a key request.
        state: where the purchase stands; of a request the nearest word for it: PAID, SETTLED or REFUNDED.
        price: smallest units of ``currency``; of a request the fee in wei.
        currency: ERC-20, or zero for the native coin.
        paid_at: when.
        due: last moment of delivery.
        waiting: why it is not delivered now; empty if it can be, or is done.
    """

    ref: str
    id: bytes
    asset: AssetId
    version: VersionId
    buyer: Address
    request: bool
    state: State
    price: int
    currency: Address
    paid_at: int
    due: int
    waiting: str


@dataclass(frozen=True, kw_only=True)
class KeyHandover:
    """Version keys that went into a file, or came out of one.

    Attributes:
        ref: the asset, as people name it.
        asset: the asset.
        versions: numbers of the versions whose keys the file holds.
        missing: of an export, numbers of those that the account has no key of; of an import, none.
        path: the file.
    """

    ref: str
    asset: AssetId
    versions: tuple[int, ...]
    missing: tuple[int, ...]
    path: Path


@dataclass(frozen=True, kw_only=True)
class VersionKey:
    """Whether the account can deliver a version; never the key itself.

    Attributes:
        ref: the version, as people name it.
        asset: the asset.
        version: the version.
        source: where its key comes from: ``imported``, ``seed``, or ``none``; ``damaged`` if the imported
            file is, ``unknown`` while the store does not give the manifest that would tell.
    """

    ref: str
    asset: AssetId
    version: VersionId
    source: str


@dataclass(frozen=True, kw_only=True)
class Income:
    """What positions of an account in a revenue node are owed.

    Attributes:
        node: the node.
        salt: its salt.
        positions: its positions.
        index: the position, from 0.
        currency: ERC-20, or zero for the native coin.
        received: all that the node ever received.
        paid: what the position was paid so far.
        owed: what a claim would pay now.
        refs: the assets it earns from, as people name them.
    """

    node: NodeId
    salt: bytes
    positions: tuple[Position, ...]
    index: int
    currency: Address
    received: int
    paid: int
    owed: int
    refs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Balance:
    """Money of an account in one currency, smallest units.

    Attributes:
        account: whose.
        currency: ERC-20, or zero for the native coin.
        wallet: in the account itself.
        treasury: in the books, to be withdrawn.
        claimable: owed by revenue nodes, to be claimed.
        bond: free bond in the market; native coin only.
    """

    account: Address
    currency: Address
    wallet: int
    treasury: int
    claimable: int
    bond: int


@dataclass(frozen=True, kw_only=True)
class Withdrawn(Sent):
    """Money that left the books.

    Attributes:
        to: where it went.
        currency: ERC-20, or zero for the native coin.
        amount: smallest units.
        claimed: how much of it was claimed from revenue nodes on the way.
    """

    to: Address
    currency: Address
    amount: int
    claimed: int
