"""What a synthetic market holds: offers, revenue nodes, assets and purchases as they stand, for :mod:`bench.history`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from steelyard.domain.types import Position


@dataclass(slots=True)
class Offer:
    """An open offer."""

    id: bytes
    seller: bytes
    currency: bytes
    price: int
    bond: int
    rental: bool
    window: int


@dataclass(slots=True)
class Node:
    """A revenue node: what came in and what its positions were paid, by currency."""

    id: bytes
    salt: bytes
    positions: tuple[Position, ...]
    received: Counter[bytes] = field(default_factory=Counter)
    paid: Counter[tuple[int, bytes]] = field(default_factory=Counter)
    moved: dict[int, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class Asset:
    """An asset as it is."""

    id: bytes
    owner: bytes
    node: Node
    epoch: int = 0
    versions: int = 0
    version: bytes = b""
    offers: list[Offer] = field(default_factory=list)


@dataclass(slots=True)
class Purchase:
    """A purchase or licence."""

    id: bytes
    asset: Asset
    version: bytes
    offer: Offer
    holder: bytes
    buyer: bytes
    due: int = 0
    until: int = 0
