"""An entry of a trail as it was logged, and the fold that its contract made of it: docs/trail.md."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from steelyard.domain.hash import keccak256
from steelyard.domain.types import Address

NO_HEAD = bytes(32)
"""Head of a subject about which nothing was recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One trail event.

    Attributes:
        contract: who logged it, 20 bytes.
        block: block number.
        time: of the block, Unix seconds.
        topics: event, subject, id and actor, each 32 bytes.
        data: ABI encoding of the fields that are not indexed.
        log: index of the log in its block; a hint.
        tx: transaction hash, 32 bytes; a hint unless a receipt proof was given.
    """

    contract: Address
    block: int
    time: int
    topics: tuple[bytes, bytes, bytes, bytes]
    data: bytes
    log: int
    tx: bytes

    @property
    def event(self) -> bytes:
        """Hash of the event's signature."""
        return self.topics[0]

    @property
    def subject(self) -> bytes:
        """Asset, node or directory that it is about."""
        return self.topics[1]

    @property
    def id(self) -> bytes:
        """Version, offer, purchase, account or other thing that it is about."""
        return self.topics[2]

    @property
    def actor(self) -> Address:
        """Who called the contract."""
        return Address(self.topics[3][12:])

    @property
    def digest(self) -> bytes:
        """What the contract folded into the subject's head, 32 bytes."""
        return keccak256(
            self.block.to_bytes(32, "big") + self.time.to_bytes(32, "big") + b"".join(self.topics) + self.data
        )


def fold(entries: Iterable[Entry]) -> bytes:
    """Return the head that these entries of one subject in one contract lead to, in this order."""
    head = NO_HEAD
    for entry in entries:
        head = keccak256(head + entry.digest)
    return head
