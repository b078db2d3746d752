"""The words of the market as values: what the contracts hash, in the same order, and the ids that follow.

Bytes-like ids are 32 bytes, addresses 20 bytes, times Unix seconds, amounts smallest units of their currency
(wei). Sources: ``contracts/interfaces``; every ``*_id`` here equals the contract's, which a test proves.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NewType

from steelyard.domain.abi import Value, encode
from steelyard.domain.hash import keccak256
from steelyard.domain.point import Point
from steelyard.errors import AmountError, InputError

Address = NewType("Address", bytes)
AssetId = NewType("AssetId", bytes)
VersionId = NewType("VersionId", bytes)
OfferId = NewType("OfferId", bytes)
PurchaseId = NewType("PurchaseId", bytes)
RequestId = NewType("RequestId", bytes)
NodeId = NewType("NodeId", bytes)

NATIVE = Address(bytes(20))
MAX_AMOUNT = (1 << 128) - 1
BASIS = 10_000
MAX_NAME = 32

POINT = "(uint256,uint256)"
VERSION = f"(bytes32,bytes32,bytes32,uint64,uint16,{POINT},bytes32)"
TERMS = "(address,address,uint128,uint128,uint8,uint8,bool,bool,uint32,uint40,uint32,uint32,uint32,bytes32,bytes32,uint64,bytes32)"
ORDER = f"({VERSION},{TERMS},address,bytes32,{POINT})"
KEY_REQUEST = f"(uint256,bytes32,address,{POINT})"
POSITION = "(bytes32,uint16)"


class AssetKind(enum.IntEnum):
    """What an asset is."""

    MODEL = 0
    DATASET = 1


class OfferKind(enum.IntEnum):
    """What an offer sells."""

    PERPETUAL = 0
    RENTAL = 1


class Scope(enum.IntEnum):
    """Which versions a licence covers (entitlement)."""

    ONE = 0
    UNTIL_END = 1
    ALL = 2


class State(enum.IntEnum):
    """Where a purchase stands."""

    NONE = 0
    PAID = 1
    DELIVERED = 2
    SETTLED = 3
    REFUNDED = 4
    REVOKED = 5


class RequestState(enum.IntEnum):
    """Where a key request stands."""

    NONE = 0
    OPEN = 1
    ANSWERED = 2
    RETURNED = 3


class Role(enum.IntEnum):
    """Rights that an asset's owner can lend."""

    MAINTAINER = 0
    SELLER = 1


class Stage(enum.IntEnum):
    """Where a version is in its life: docs/stages.md."""

    NONE = 0
    DRAFT = 1
    VALIDATED = 2
    RELEASED = 3
    DEPRECATED = 4
    RETIRED = 5

    @property
    def on_sale(self) -> bool:
        """Whether a version in this stage can be bought and is hosted."""
        return self in (Stage.RELEASED, Stage.DEPRECATED)


@dataclass(frozen=True)
class Version:
    """An immutable release: all commitments of ``IAssets.Version``."""

    asset: AssetId
    folder: bytes
    content_root: bytes
    size: int
    scheme: int
    key: Point
    node: NodeId

    def abi(self) -> tuple[Value, ...]:
        """Return the value for the ABI type ``VERSION``."""
        return (self.asset, self.folder, self.content_root, self.size, self.scheme, self.key.abi(), self.node)

    @property
    def id(self) -> VersionId:
        """The version's id."""
        return VersionId(keccak256(encode((VERSION,), (self.abi(),))))


@dataclass(frozen=True)
class Terms:
    """All terms of an offer: ``IOffers.Terms``.

    Times in seconds, ``renew_until`` in Unix seconds, ``bond`` in wei.
    """

    seller: Address
    currency: Address
    price: int
    bond: int
    kind: OfferKind
    scope: Scope
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
    version: bytes = bytes(32)

    def abi(self) -> tuple[Value, ...]:
        """Return the value for the ABI type ``TERMS``."""
        return (
            self.seller,
            self.currency,
            self.price,
            self.bond,
            int(self.kind),
            int(self.scope),
            self.transferable,
            self.revocable,
            self.period,
            self.renew_until,
            self.supply,
            self.deliver_within,
            self.window,
            self.allow_list,
            self.text,
            self.salt,
            self.version,
        )

    def id(self, asset: AssetId) -> OfferId:
        """Return the id of the offer of ``asset`` under these terms."""
        return OfferId(keccak256(encode(("bytes32", TERMS), (asset, self.abi()))))


@dataclass(frozen=True)
class Order:
    """Everything a buyer agrees to: ``IPurchases.Order``."""

    version: Version
    terms: Terms
    buyer: Address
    salt: bytes
    key: Point

    def abi(self) -> tuple[Value, ...]:
        """Return the value for the ABI type ``ORDER``."""
        return (self.version.abi(), self.terms.abi(), self.buyer, self.salt, self.key.abi())

    @property
    def offer(self) -> OfferId:
        """The id of the offer."""
        return self.terms.id(self.version.asset)

    def rest(self, *, chain_id: int, market: Address) -> bytes:
        """Return the hash of what the order adds to version and offer, 32 bytes."""
        types = ("uint256", "address", "address", "bytes32", "uint256", "uint256")
        return keccak256(encode(types, (chain_id, market, self.buyer, self.salt, self.key.x, self.key.y)))

    def id(self, *, chain_id: int, market: Address) -> PurchaseId:
        """Return the id of the purchase, later of the licence."""
        parts = (self.version.id, self.offer, self.rest(chain_id=chain_id, market=market))
        return PurchaseId(keccak256(b"".join(parts)))


@dataclass(frozen=True)
class KeyRequest:
    """What a holder asks: ``IKeyRequests.KeyRequest``."""

    licence: PurchaseId
    version: VersionId
    holder: Address
    key: Point

    def abi(self) -> tuple[Value, ...]:
        """Return the value for the ABI type ``KEY_REQUEST``."""
        return (int.from_bytes(self.licence, "big"), self.version, self.holder, self.key.abi())

    def id(self, *, chain_id: int, market: Address) -> RequestId:
        """Return the request's id."""
        types = ("uint256", "address", KEY_REQUEST)
        return RequestId(keccak256(encode(types, (chain_id, market, self.abi()))))


@dataclass(frozen=True)
class Position:
    """One beneficiary's part of a revenue node; ``weight`` in basis points."""

    payee: bytes
    weight: int


def account_word(account: Address) -> bytes:
    """Return an account as a payee or a topic: 32 bytes, left-padded."""
    return bytes(12) + account


def node_id(salt: bytes, positions: tuple[Position, ...]) -> NodeId:
    """Return the name of a revenue node.

    Raises:
        InputError: the positions are no valid node (1 to 32, weights above 0 that sum to 10,000).
    """
    if not 1 <= len(positions) <= 32 or sum(p.weight for p in positions) != BASIS:
        raise InputError("a revenue node has 1 to 32 positions whose weights sum to 10,000 basis points")
    if any(p.weight <= 0 or len(p.payee) != 32 for p in positions):
        raise InputError("every position needs a payee and a weight above 0")
    values = tuple((p.payee, p.weight) for p in positions)
    digest = keccak256(encode(("bytes32", f"{POSITION}[]"), (salt, values)))
    return NodeId(bytes([digest[0] | 0x80]) + digest[1:])


def name_word(name: str) -> bytes:
    """Return an asset's name as the contract's word: folded, padded with zeros, 1 to 32 of ``a-z 0-9 . _ -``.

    Raises:
        InputError: the name has another character, or is empty or too long.
    """
    folded = name.lower()
    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789._-")
    if not 1 <= len(folded) <= MAX_NAME or not set(folded) <= allowed or folded[0] in ".-":
        raise InputError(
            f"{name!r} is no asset name: 1 to {MAX_NAME} of a-z, 0-9, '.', '_', '-', not starting with '.' or '-'"
        )
    return folded.encode().ljust(32, b"\0")


def name_of(word: bytes) -> str:
    """Return the name in a contract's word, or its hex if no client of ours would have made it."""
    text = word.rstrip(b"\0").decode("ascii", "replace")
    try:
        return text if name_word(text) == word else "0x" + word.hex()
    except InputError:
        return "0x" + word.hex()


def asset_id(*, chain_id: int, registry: Address, creator: Address, name: bytes) -> AssetId:
    """Return the id of an asset; ``name`` is the 32-byte word."""
    types = ("uint256", "address", "address", "bytes32")
    digest = keccak256(encode(types, (chain_id, registry, creator, name)))
    return AssetId(bytes([digest[0] & 0x7F]) + digest[1:])


def checked_amount(value: int) -> int:
    """Return ``value`` if it is an amount the contracts accept.

    Raises:
        AmountError: below 0 or above 2^128-1.
    """
    if not 0 <= value <= MAX_AMOUNT:
        raise AmountError(f"{value} is no amount: 0 to 2^128-1 smallest units")
    return value
