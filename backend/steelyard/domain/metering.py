"""Metered use as values: terms, channel ids, receipts, vouchers, and the digests that are signed (docs/metering.md).

Ids and digests are 32 bytes, amounts smallest units of a currency, times Unix seconds. Signing: ``crypto.metering``; the tree of receipts:
``domain.mmr``.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final, NewType

from steelyard.domain.abi import Value, encode
from steelyard.domain.hash import keccak256
from steelyard.domain.types import MAX_AMOUNT, Address, AssetId, NodeId, OfferId, VersionId
from steelyard.errors import AmountError, InputError

ChannelId = NewType("ChannelId", bytes)

METERED_TERMS: Final = "(address,address,uint128,bytes32,bytes32,bytes32,uint32,uint16,uint40,bytes32,uint64)"
NAME: Final = "Steelyard Channels"
VERSION: Final = "1"
ROW: Final = "row"
CALL: Final = "call"
UNITS: Final = (ROW, CALL)
"""What a gateway of ours counts: rows of the batch axis, or calls."""
MAX_DEPOSIT: Final = (1 << 104) - 1
MAX_SEQUENCE: Final = (1 << 64) - 1
MAX_UNITS: Final = (1 << 128) - 1

_DOMAIN_TYPE: Final = keccak256(
    b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
_RECEIPT_TYPE: Final = keccak256(
    b"Receipt(bytes32 channel,uint64 sequence,bytes32 version,uint64 units,bytes32 request,bytes32 response)"
)
_VOUCHER_TYPE: Final = keccak256(
    b"Voucher(bytes32 channel,uint128 amount,uint128 units,uint64 sequence,bytes32 receiptsRoot)"
)
_NAME_HASH: Final = keccak256(NAME.encode())
_VERSION_HASH: Final = keccak256(VERSION.encode())


class ChannelState(enum.IntEnum):
    """Where a channel stands: ``IChannels.State``."""

    NONE = 0
    OPEN = 1
    CLOSING = 2
    CLOSED = 3


@dataclass(frozen=True, kw_only=True)
class MeteredTerms:
    """All terms of a metered offer: ``IMeteredOffers.MeteredTerms``.

    Attributes:
        payee: key that signs receipts and claims.
        currency: ERC-20, or zero for the native coin.
        price: for one unit, smallest units of the currency.
        unit: word of what is counted, 32 bytes; see `unit_word`.
        version: the one version that is served.
        node: revenue node that claims go to.
        window: seconds in which the payee may claim after the payer began to close.
        in_flight: most answered calls that are not co-signed yet.
        expiry: last moment of a claim, Unix seconds.
        text: SHA-256 of the licence's text.
        salt: tells offers of equal terms apart.
    """

    payee: Address
    currency: Address
    price: int
    unit: bytes
    version: VersionId
    node: NodeId
    window: int
    in_flight: int
    expiry: int
    text: bytes
    salt: int

    def abi(self) -> tuple[Value, ...]:
        """Return the value for the ABI type ``METERED_TERMS``."""
        return (
            self.payee,
            self.currency,
            self.price,
            self.unit,
            self.version,
            self.node,
            self.window,
            self.in_flight,
            self.expiry,
            self.text,
            self.salt,
        )

    def id(self, asset: AssetId) -> OfferId:
        """Return the id of the metered offer of ``asset`` under these terms."""
        return OfferId(keccak256(asset + keccak256(encode((METERED_TERMS,), (self.abi(),)))))

    @property
    def unit_name(self) -> str:
        """What is counted, as text."""
        return unit_name(self.unit)


def unit_name(word: bytes) -> str:
    """Return the name in a unit's word; what is not ASCII is replaced."""
    return word.rstrip(b"\0").decode("ascii", "replace")


def unit_word(name: str) -> bytes:
    """Return the word of a unit's name: ASCII, left-aligned, 32 bytes.

    Raises:
        InputError: it is empty, too long or not ASCII.
    """
    if not 1 <= len(name) <= 32 or not name.isascii() or not name.isprintable():
        raise InputError(f"{name!r} is no unit: 1 to 32 printable ASCII characters")
    return name.encode().ljust(32, b"\0")


def channel_id(
    *, chain_id: int, channels: Address, offer: OfferId, payer: Address, signer: Address, nonce: int
) -> ChannelId:
    """Return the id of a channel.

    Args:
        chain_id: EIP-155 chain id.
        channels: address of the contract Channels.
        offer: metered offer.
        payer: who opens it.
        signer: the payer's key that signs vouchers.
        nonce: chosen by the payer, below 2^64.
    """
    types = ("uint256", "address", "bytes32", "address", "address", "uint64")
    return ChannelId(keccak256(encode(types, (chain_id, channels, offer, payer, signer, nonce))))


def amount_of(units: int, price: int) -> int:
    """Return what units cost.

    Raises:
        AmountError: more than 2^128-1.
    """
    amount = units * price
    if not 0 <= amount <= MAX_AMOUNT:
        raise AmountError(f"{units} units at {price} are more than 2^128-1")
    return amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What the payee says of one call: ``IChannels.Receipt``.

    Attributes:
        channel: the channel.
        sequence: its place among the channel's receipts, from 1.
        version: the version that answered.
        units: of this call, at least 1.
        request: SHA-256 of the exact request body.
        response: SHA-256 of the exact response body.
    """

    channel: ChannelId
    sequence: int
    version: VersionId
    units: int
    request: bytes
    response: bytes

    def digest(self, separator: bytes) -> bytes:
        """Return what the payee signs, and the tree's leaf is made of; the domain separator is `domain_separator`."""
        parts = (
            _RECEIPT_TYPE,
            self.channel,
            self.sequence.to_bytes(32, "big"),
            self.version,
            self.units.to_bytes(32, "big"),
            self.request,
            self.response,
        )
        return keccak256(b"\x19\x01" + separator + keccak256(b"".join(parts)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Voucher:
    """What the payer's signer co-signs: the first ``sequence`` receipts of a channel; all fields are cumulative.

    Attributes:
        channel: the channel.
        amount: price times units.
        units: sum of the units of the receipts covered.
        sequence: how many receipts it covers.
        root: root of their tree.
    """

    channel: ChannelId
    amount: int
    units: int
    sequence: int
    root: bytes

    def digest(self, separator: bytes) -> bytes:
        """Return what the signer signs."""
        parts = (
            _VOUCHER_TYPE,
            self.channel,
            self.amount.to_bytes(32, "big"),
            self.units.to_bytes(32, "big"),
            self.sequence.to_bytes(32, "big"),
            self.root,
        )
        return keccak256(b"\x19\x01" + separator + keccak256(b"".join(parts)))


def domain_separator(*, chain_id: int, channels: Address) -> bytes:
    """Return the EIP-712 domain separator of a contract Channels, 32 bytes."""
    types = ("bytes32", "bytes32", "bytes32", "uint256", "address")
    return keccak256(encode(types, (_DOMAIN_TYPE, _NAME_HASH, _VERSION_HASH, chain_id, channels)))
