"""The heads of the trail, folded from the logs by this test's own reading of docs/trail.md."""

from __future__ import annotations

from typing import Any

from steelyard.domain.hash import keccak256

from .decode import event_of, raw_logs
from .rpc import rpc

# Names alone: `Transfer`, `Approval` and `Withdrawn` have three indexed fields too, and are no trail events.
TRAIL = {
    "AssetRegistered",
    "VersionPublished",
    "AssetTransferred",
    "RoleSet",
    "StageMoved",
    "Offered",
    "OfferClosed",
    "Purchased",
    "Delivered",
    "Settled",
    "Refunded",
    "Renewed",
    "VersionFlagged",
    "LicenceTransferred",
    "LicenceRevoked",
    "KeyRequested",
    "KeyDelivered",
    "KeyReturned",
    "Claimed",
    "PositionMoved",
    "Listed",
    "MeteredOffered",
    "MeteredOfferClosed",
    "ChannelOpened",
    "ChannelToppedUp",
    "UsageClaimed",
    "ChannelClosing",
    "ChannelClosed",
}


def _is_trail(name: str, subject: bytes) -> bool:
    # Income of an account is an event; income of a node, an entry of its trail.
    return name in TRAIL or (name == "Received" and subject[0] & 0x80 != 0)


def folded(contract: Any) -> dict[bytes, bytes]:
    """Return the head of every subject that a contract's logs give."""
    heads: dict[bytes, bytes] = {}
    times: dict[str, int] = {}
    for log in raw_logs(contract):
        topics = b"".join(bytes.fromhex(word[2:]) for word in log["topics"])
        subject = topics[32:64]
        if len(topics) != 128 or not _is_trail(event_of(log)[0], subject):
            continue
        number = log["blockNumber"]
        if number not in times:
            times[number] = int(rpc("eth_getBlockByNumber", number, False)["timestamp"], 16)
        place = int(number, 16).to_bytes(32, "big") + times[number].to_bytes(32, "big")
        entry = keccak256(place + topics + bytes.fromhex(log["data"][2:]))
        heads[subject] = keccak256(heads.get(subject, bytes(32)) + entry)
    return heads


def assert_heads(*contracts: Any) -> None:
    """Assert invariant T1: each head is the fold of the contract's logs about that subject."""
    for contract in contracts:
        for subject, head in folded(contract).items():
            assert bytes(contract.head(subject)) == head, (contract._name, subject.hex())
