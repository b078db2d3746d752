"""The market's log as typed values: one class for each event, decoded strictly by the compiled ABI.

Amounts are smallest units (wei), times Unix seconds, ids and words 32 bytes, accounts 20 bytes. Trail events have ``subject``,
``id`` and ``actor`` as their three topics; here they bear the names of the contracts' own declarations.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from steelyard.chain.wire import Log
from steelyard.domain.point import Point
from steelyard.domain.types import (
    Address,
    AssetId,
    AssetKind,
    NodeId,
    OfferId,
    PurchaseId,
    RequestId,
    Role,
    Terms,
    Version,
    VersionId,
)


@dataclass(frozen=True, slots=True)
class Event:
    """Anything the market logged.

    Attributes:
        log: the log entry: contract, topics, data, block, transaction, place.
    """

    log: Log = field(repr=False)

    @property
    def contract(self) -> Address:
        """Who logged it."""
        return self.log.address

    @property
    def block_number(self) -> int:
        """Height of its block."""
        return self.log.block_number

    @property
    def block_hash(self) -> bytes:
        """Hash of its block."""
        return self.log.block_hash

    @property
    def tx_hash(self) -> bytes:
        """Hash of its transaction."""
        return self.log.tx_hash

    @property
    def log_index(self) -> int:
        """Place in its block."""
        return self.log.log_index

    @property
    def removed(self) -> bool:
        """Whether a re-organisation has removed it."""
        return self.log.removed


# -- Assets ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AssetRegistered(Event):
    """An asset exists from now on; ``name`` is the word, ``royalty`` basis points."""

    asset: AssetId
    name: bytes
    actor: Address
    kind: AssetKind
    royalty: int


@dataclass(frozen=True, slots=True)
class VersionPublished(Event):
    """A version was published; ``number`` counts from 1."""

    asset: AssetId
    version: VersionId
    actor: Address
    number: int
    commitments: Version


@dataclass(frozen=True, slots=True)
class AssetTransferred(Event):
    """The asset has a new owner; ``to`` is a word."""

    asset: AssetId
    to: bytes
    actor: Address
    from_: Address
    epoch: int


@dataclass(frozen=True, slots=True)
class RoleSet(Event):
    """A role was lent or taken back; ``account`` is a word."""

    asset: AssetId
    account: bytes
    actor: Address
    role: Role
    granted: bool


@dataclass(frozen=True, slots=True)
class MetadataUpdate(Event):
    """ERC-4906."""

    token_id: int


@dataclass(frozen=True, slots=True)
class BatchMetadataUpdate(Event):
    """ERC-4906; declared and never emitted."""

    from_token_id: int
    to_token_id: int


# -- Offers and purchases ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Offered(Event):
    """An offer was made."""

    asset: AssetId
    offer: OfferId
    actor: Address
    terms: Terms


@dataclass(frozen=True, slots=True)
class OfferClosed(Event):
    """An offer was closed."""

    asset: AssetId
    offer: OfferId
    actor: Address


@dataclass(frozen=True, slots=True)
class Purchased(Event):
    """A purchase was paid; ``due`` is the last moment of delivery."""

    asset: AssetId
    purchase: PurchaseId
    actor: Address
    version: VersionId
    offer: OfferId
    salt: bytes
    key: Point
    price: int
    due: int


@dataclass(frozen=True, slots=True)
class Delivered(Event):
    """The key was delivered; ``settles_at`` is the last moment of the content window."""

    asset: AssetId
    purchase: PurchaseId
    actor: Address
    delivered: Point
    until: int
    settles_at: int


@dataclass(frozen=True, slots=True)
class Settled(Event):
    """The price became revenue of the version."""

    asset: AssetId
    purchase: PurchaseId
    actor: Address


@dataclass(frozen=True, slots=True)
class Refunded(Event):
    """Price and bond went to the payer."""

    asset: AssetId
    purchase: PurchaseId
    actor: Address
    payer: Address
    price: int
    bond: int


@dataclass(frozen=True, slots=True)
class Renewed(Event):
    """A rental was prolonged."""

    asset: AssetId
    licence: PurchaseId
    actor: Address
    price: int
    until: int


@dataclass(frozen=True, slots=True)
class VersionFlagged(Event):
    """A version was proved false by leaf ``index`` of a purchase."""

    asset: AssetId
    version: VersionId
    actor: Address
    purchase: PurchaseId
    index: int


@dataclass(frozen=True, slots=True)
class BondFunded(Event):
    """A seller's free bond grew from outside."""

    seller: Address
    from_: Address
    amount: int


@dataclass(frozen=True, slots=True)
class BondTaken(Event):
    """A seller took free bond back."""

    seller: Address
    amount: int


# -- Licences and keys -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LicenceTransferred(Event):
    """A licence changed hands."""

    asset: AssetId
    licence: PurchaseId
    actor: Address
    from_: Address
    to: Address


@dataclass(frozen=True, slots=True)
class LicenceRevoked(Event):
    """A free, revocable licence was revoked."""

    asset: AssetId
    licence: PurchaseId
    actor: Address
    from_: Address


@dataclass(frozen=True, slots=True)
class KeyRequested(Event):
    """A key was asked for; ``due`` is the last moment of delivery, ``fee`` is wei."""

    asset: AssetId
    request: RequestId
    actor: Address
    licence: PurchaseId
    version: VersionId
    key: Point
    fee: int
    due: int


@dataclass(frozen=True, slots=True)
class KeyDelivered(Event):
    """A requested key was delivered."""

    asset: AssetId
    request: RequestId
    actor: Address
    delivered: Point


@dataclass(frozen=True, slots=True)
class KeyReturned(Event):
    """The fee of a key request went back."""

    asset: AssetId
    request: RequestId
    actor: Address


# -- Treasury ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Received(Event):
    """A payee (account or node, a word) received money from a source (likewise)."""

    payee: bytes
    source: bytes
    actor: Address
    currency: Address
    amount: int


@dataclass(frozen=True, slots=True)
class Claimed(Event):
    """A position of a node was paid."""

    node: NodeId
    payee: bytes
    actor: Address
    index: int
    currency: Address
    amount: int


@dataclass(frozen=True, slots=True)
class PositionMoved(Event):
    """A position was given to another account; ``to`` is a word."""

    node: NodeId
    to: bytes
    actor: Address
    index: int


@dataclass(frozen=True, slots=True)
class Withdrawn(Event):
    """Money left the books."""

    account: Address
    to: Address
    currency: Address
    amount: int


# -- Directory, ERC-721, Ownable ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Listed(Event):
    """A contract was listed; ``subject`` and ``id`` are addresses as words."""

    subject: bytes
    id: bytes
    actor: Address
    index: int
    code_hash: bytes


@dataclass(frozen=True, slots=True)
class OwnershipTransferStarted(Event):
    """The curatorship was offered to an account."""

    previous_owner: Address
    new_owner: Address


@dataclass(frozen=True, slots=True)
class OwnershipTransferred(Event):
    """The directory has another curator, or none: zero."""

    previous_owner: Address
    new_owner: Address


@dataclass(frozen=True, slots=True)
class Transfer(Event):
    """ERC-721: an asset or licence token changed hands."""

    from_: Address
    to: Address
    token_id: int


@dataclass(frozen=True, slots=True)
class Approval(Event):
    """ERC-721: an account may transfer one token."""

    owner: Address
    approved: Address
    token_id: int


@dataclass(frozen=True, slots=True)
class ApprovalForAll(Event):
    """ERC-721: an account may transfer all tokens of another."""

    owner: Address
    operator: Address
    approved: bool


EVENTS: tuple[type[Event], ...] = (
    AssetRegistered,
    VersionPublished,
    AssetTransferred,
    RoleSet,
    MetadataUpdate,
    BatchMetadataUpdate,
    Offered,
    OfferClosed,
    Purchased,
    Delivered,
    Settled,
    Refunded,
    Renewed,
    VersionFlagged,
    BondFunded,
    BondTaken,
    LicenceTransferred,
    LicenceRevoked,
    KeyRequested,
    KeyDelivered,
    KeyReturned,
    Received,
    Claimed,
    PositionMoved,
    Withdrawn,
    Listed,
    OwnershipTransferStarted,
    OwnershipTransferred,
    Transfer,
    Approval,
    ApprovalForAll,
)
"""Every event class; its name is the event's."""
