"""A chain that makes the events of one asset in consecutive blocks, and folds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from steelyard.domain.abi import Value
from steelyard.domain.events import TrailEvent
from steelyard.domain.point import Point
from steelyard.domain.records import AssetState, Ledger
from steelyard.domain.state import fold
from steelyard.domain.types import (
    NATIVE,
    Address,
    AssetId,
    NodeId,
    OfferKind,
    PurchaseId,
    Scope,
    Terms,
    Version,
    name_word,
)

ALICE, BOB, CAROL = (Address(bytes([i]) * 20) for i in (0xA1, 0xB0, 0xCA))
ASSET = AssetId(b"\x11" * 32)
NODE = NodeId(b"\x80" + b"\x22" * 31)
KEY = Point(5, 6)
D = Point(7, 8)
VERSION = Version(ASSET, b"\x01" * 32, b"\x02" * 32, 1000, 1, Point(3, 4), NODE)
SECOND = replace(VERSION, folder=b"\x03" * 32)
PERPETUAL = Terms(
    seller=ALICE,
    currency=NATIVE,
    price=100,
    bond=7,
    kind=OfferKind.PERPETUAL,
    scope=Scope.ONE,
    transferable=True,
    revocable=False,
    period=0,
    renew_until=0,
    supply=3,
    deliver_within=3600,
    window=600,
    allow_list=bytes(32),
    text=b"\x09" * 32,
    salt=1,
)
PURCHASE = PurchaseId(b"\x33" * 32)


class Chain:
    """Makes events in consecutive blocks, ten seconds apart."""

    def __init__(self) -> None:
        self.events: list[TrailEvent] = []

    def log(
        self,
        name: str,
        id_: bytes,
        actor: Address,
        *,
        subject: bytes = ASSET,
        time: int | None = None,
        **fields: Value,
    ) -> None:
        block = len(self.events) + 1
        renamed: Mapping[str, Value] = {key.rstrip("_"): value for key, value in fields.items()}
        self.events.append(
            TrailEvent(
                name=name,
                contract=Address(bytes(20)),
                subject=subject,
                id=id_,
                actor=actor,
                fields=renamed,
                block=block,
                time=block * 10 if time is None else time,
                log=0,
                tx=bytes([block]) * 32,
            )
        )

    def ledger(self) -> Ledger:
        return fold(self.events, block=len(self.events))

    def asset(self) -> AssetState:
        return self.ledger().assets[ASSET]

    def buy(self, purchase: PurchaseId = PURCHASE, terms: Terms = PERPETUAL, buyer: Address = BOB) -> None:
        self.log(
            "Purchased",
            purchase,
            buyer,
            version=VERSION.id,
            offer=terms.id(ASSET),
            salt=b"\x04" * 32,
            key=KEY.abi(),
            price=terms.price,
            due=5000,
        )

    def deliver(self, *, until: int = 0, window: int = 600, purchase: PurchaseId = PURCHASE) -> None:
        time = (len(self.events) + 1) * 10
        self.log("Delivered", purchase, ALICE, delivered=D.abi(), until=until, settlesAt=time + window)


def market() -> Chain:
    """Return a chain with an asset, a version and an offer."""
    made = Chain()
    made.log("AssetRegistered", name_word("digits"), ALICE, kind=0, royalty=250)
    made.log("VersionPublished", VERSION.id, ALICE, number=1, commitments=VERSION.abi())
    made.log("Offered", PERPETUAL.id(ASSET), ALICE, terms=PERPETUAL.abi())
    return made
