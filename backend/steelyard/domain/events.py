"""Trail events as values: what the contracts record about assets, their licences and their revenue nodes.

Sources: ``contracts/interfaces``, docs/trail.md. A test compares every signature with the compiled ABI.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from steelyard.domain.abi import Value, decode, split_types, topic
from steelyard.domain.metering import METERED_TERMS
from steelyard.domain.types import POINT, TERMS, VERSION, Address
from steelyard.errors import TrailError, VerificationError

ASSETS: Final = "Assets"
MARKET: Final = "Market"
TREASURY: Final = "Treasury"
CHANNELS: Final = "Channels"
USE: Final = "(bytes32,uint128,uint128,uint64,bytes32)"
"""What a claim paid for in one channel: ``IChannels.Use``."""

# (contract, name, type of the three indexed fields, types and names of the others)
_EVENTS: Final = (
    (ASSETS, "AssetRegistered", "bytes32,bytes32,address", "uint8 kind,uint16 royalty"),
    (ASSETS, "VersionPublished", "bytes32,bytes32,address", f"uint32 number,{VERSION} commitments"),
    (ASSETS, "AssetTransferred", "bytes32,bytes32,address", "address from,uint32 epoch"),
    (ASSETS, "RoleSet", "bytes32,bytes32,address", "uint8 role,bool granted"),
    (MARKET, "Offered", "bytes32,bytes32,address", f"{TERMS} terms"),
    (MARKET, "OfferClosed", "bytes32,bytes32,address", ""),
    (
        MARKET,
        "Purchased",
        "bytes32,bytes32,address",
        f"bytes32 version,bytes32 offer,bytes32 salt,{POINT} key,uint128 price,uint40 due",
    ),
    (MARKET, "Delivered", "bytes32,bytes32,address", f"{POINT} delivered,uint40 until,uint40 settlesAt"),
    (MARKET, "Settled", "bytes32,bytes32,address", ""),
    (MARKET, "Refunded", "bytes32,bytes32,address", "address payer,uint128 price,uint128 bond"),
    (MARKET, "Renewed", "bytes32,bytes32,address", "uint128 price,uint40 until"),
    (MARKET, "VersionFlagged", "bytes32,bytes32,address", "bytes32 purchase,uint64 index"),
    (MARKET, "LicenceTransferred", "bytes32,bytes32,address", "address from,address to"),
    (MARKET, "LicenceRevoked", "bytes32,bytes32,address", "address from"),
    (
        MARKET,
        "KeyRequested",
        "bytes32,bytes32,address",
        f"uint256 licence,bytes32 version,{POINT} key,uint128 fee,uint40 due",
    ),
    (MARKET, "KeyDelivered", "bytes32,bytes32,address", f"{POINT} delivered"),
    (MARKET, "KeyReturned", "bytes32,bytes32,address", ""),
    (TREASURY, "Received", "bytes32,bytes32,address", "address currency,uint256 amount"),
    (TREASURY, "Claimed", "bytes32,bytes32,address", "uint256 index,address currency,uint256 amount"),
    (TREASURY, "PositionMoved", "bytes32,bytes32,address", "uint256 index"),
    # What comes later stands behind: the index stores places in this list.
    (CHANNELS, "MeteredOffered", "bytes32,bytes32,address", f"{METERED_TERMS} terms"),
    (CHANNELS, "MeteredOfferClosed", "bytes32,bytes32,address", ""),
    (
        CHANNELS,
        "ChannelOpened",
        "bytes32,bytes32,address",
        "bytes32 offer,address signer,uint64 nonce,uint128 deposit",
    ),
    (CHANNELS, "ChannelToppedUp", "bytes32,bytes32,address", "uint128 amount,uint128 deposit"),
    (CHANNELS, "UsageClaimed", "bytes32,bytes32,address", f"{USE}[] uses"),
    (CHANNELS, "ChannelClosing", "bytes32,bytes32,address", "uint40 closesAt"),
    (CHANNELS, "ChannelClosed", "bytes32,bytes32,address", "address payer,uint128 refunded"),
    (ASSETS, "StageMoved", "bytes32,bytes32,address", "uint8 from,uint8 to,string reason"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventType:
    """One kind of trail event.

    Attributes:
        contract: name of the contract that records it.
        name: its name.
        signature: as it is hashed.
        topic: the hash, 32 bytes.
        types: ABI types of the fields that are not indexed.
        names: their names.
    """

    contract: str
    name: str
    signature: str
    topic: bytes
    types: tuple[str, ...]
    names: tuple[str, ...]


def _type(contract: str, name: str, indexed: str, fields: str) -> EventType:
    parts = [part.rsplit(" ", 1) for part in split_types(fields)]
    types, names = tuple(part[0] for part in parts), tuple(part[1] for part in parts)
    signature = f"{name}({','.join((indexed, *types))})"
    return EventType(
        contract=contract, name=name, signature=signature, topic=topic(signature), types=types, names=names
    )


TYPES: Final[Mapping[bytes, EventType]] = {kind.topic: kind for kind in (_type(*row) for row in _EVENTS)}
"""All kinds by topic."""
TOPICS: Final[Mapping[str, bytes]] = {kind.name: kind.topic for kind in TYPES.values()}
"""Topics by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailEvent:
    """One entry of a trail, decoded.

    Attributes:
        name: of the event.
        contract: who recorded it.
        subject: asset or node, 32 bytes.
        id: what it is about, 32 bytes.
        actor: who called.
        fields: the other fields by their names in the contract.
        block: block number.
        time: of the block, Unix seconds.
        log: index of the log in its block.
        tx: transaction hash, 32 bytes.
    """

    name: str
    contract: Address
    subject: bytes
    id: bytes
    actor: Address
    fields: Mapping[str, Value]
    block: int
    time: int
    log: int
    tx: bytes


def decode_event(
    topics: Sequence[bytes], data: bytes, *, contract: Address, block: int, time: int, log: int, tx: bytes
) -> TrailEvent:
    """Decode a log of a trail.

    Args:
        topics: event, subject, id and actor.
        data: the fields that are not indexed.
        contract: who logged it.
        block: block number.
        time: of the block, Unix seconds.
        log: index of the log in its block.
        tx: transaction hash.

    Raises:
        TrailError: it is no event of a trail, or its data does not fit.
    """
    if len(topics) != 4 or topics[0] not in TYPES:
        raise TrailError(f"log {log} of block {block} is no trail event")
    kind = TYPES[topics[0]]
    try:
        values = decode(kind.types, data)
    except VerificationError as exc:
        raise TrailError(f"log {log} of block {block} is no {kind.name}: {exc}") from exc
    return TrailEvent(
        name=kind.name,
        contract=contract,
        subject=topics[1],
        id=topics[2],
        actor=Address(topics[3][12:]),
        fields=dict(zip(kind.names, values, strict=True)),
        block=block,
        time=time,
        log=log,
        tx=tx,
    )
