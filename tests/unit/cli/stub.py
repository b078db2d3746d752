"""A market that answers from memory, for tests of the command line alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from steelyard.domain.types import (
    NATIVE,
    Address,
    AssetId,
    AssetKind,
    NodeId,
    OfferId,
    OfferKind,
    Order,
    Point,
    PurchaseId,
    Scope,
    Stage,
    State,
    Terms,
    Version,
    VersionId,
)
from steelyard.service.results import (
    AssetInfo,
    Balance,
    OfferInfo,
    Published,
    Purchase,
    Quote,
    Sent,
    VersionInfo,
    Withdrawn,
)
from steelyard.service.stages import Staged, StageMoved, VersionStages

ALICE = Address(bytes.fromhex("70997970c51812dc3a010c7d01b50e0d17dc79c8"))
ASSET = AssetId(b"\xaa" * 32)
OFFER = OfferId(b"\x0f" * 32)
PURCHASE = PurchaseId(b"\xbb" * 32)
PRICE = 5 * 10**16
TERMS = Terms(
    seller=ALICE,
    currency=NATIVE,
    price=PRICE,
    bond=0,
    kind=OfferKind.PERPETUAL,
    scope=Scope.ONE,
    transferable=True,
    revocable=False,
    period=0,
    renew_until=0,
    supply=0,
    deliver_within=86_400,
    window=0,
    allow_list=bytes(32),
    text=bytes(32),
    salt=2**63,
)
VERSION = Version(
    asset=ASSET,
    folder=b"\x01" * 32,
    content_root=b"\x02" * 32,
    size=2048,
    scheme=1,
    key=Point(1, 2),
    node=NodeId(b"\x83" * 32),
)
PAID = Purchase(
    tx=b"\x11" * 32,
    gas_used=90_000,
    fee_wei=90_000 * 10**9,
    block=7,
    ref="alice/digits@1",
    id=PURCHASE,
    asset=ASSET,
    version=VERSION.id,
    offer=OFFER,
    order=Order(version=VERSION, terms=TERMS, buyer=ALICE, salt=bytes(32), key=Point(3, 4)),
    state=State.SETTLED,
    holder=ALICE,
    paid_at=1_700_000_000,
    due=1_700_086_400,
    until=0,
    settles_at=0,
    flagged=False,
)
QUOTE = Quote(
    ref="alice/digits@1",
    asset=ASSET,
    version=VERSION.id,
    offer=OFFER,
    terms=TERMS,
    text="Use it well.",
    price=PRICE,
    gas=90_000,
    fee_wei=90_000 * 10**9,
    balance=10**18,
    allowance=0,
    warnings=("no content window: no refund once delivered",),
)
OFFER_INFO = OfferInfo(offer=OFFER, asset=ASSET, terms=TERMS, opened_at=1_700_000_000, open=True, sold=0)
INFO = AssetInfo(
    ref="0x70997970c51812dc3a010c7d01b50e0d17dc79c8/digits",
    canonical=f"eip155:31337/0x{'5f' * 20}/0x{'aa' * 32}",
    asset=ASSET,
    name="digits",
    kind=AssetKind.MODEL,
    creator=ALICE,
    owner=ALICE,
    royalty=0,
    registered_at=1_700_000_000,
    versions=(
        VersionInfo(
            version=VersionId(VERSION.id),
            number=1,
            commitments=VERSION,
            cid="bafy" + "a" * 55,
            published_at=1_700_000_000,
            publisher=ALICE,
            flagged=False,
            stage=Stage.RELEASED,
            card="# digits",
        ),
    ),
    offers=(OFFER_INFO,),
    sales=3,
    block=9,
)
STAGES = VersionStages(
    ref="alice/digits@1",
    version=VERSION.id,
    stage=Stage.DEPRECATED,
    history=(
        Staged(stage=Stage.RELEASED, since=1_700_000_000, actor=ALICE),
        Staged(
            stage=Stage.DEPRECATED,
            since=1_700_000_060,
            actor=ALICE,
            reason="found\x1b better",
            tx=b"\x15" * 32,
        ),
    ),
)
MOVED = StageMoved(
    tx=b"\x16" * 32,
    gas_used=43_000,
    fee_wei=43_000 * 10**9,
    block=9,
    ref="alice/digits@1",
    version=VERSION.id,
    before=Stage.RELEASED,
    stage=Stage.RETIRED,
    reason="why",
)
SENT = Sent(tx=b"\x12" * 32, gas_used=50_000, fee_wei=50_000 * 10**9, block=8)


class StubMarket:
    """Records every call as (method, arguments, keywords), and answers with the values above."""

    def __init__(
        self, *, dry: bool = False, calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] | None = None
    ):
        self.dry = dry
        self.calls = [] if calls is None else calls
        self.answers: dict[str, Any] = {}
        self.closed = False

    @property
    def names(self) -> list[str]:
        return [name for name, _, _ in self.calls]

    def dry_run(self) -> StubMarket:
        copy = StubMarket(dry=True, calls=self.calls)
        copy.answers = self.answers
        return copy

    def close(self) -> None:
        self.closed = True

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append((f"dry:{name}" if self.dry else name, args, kwargs))
            answer = self.answers.get(name, DEFAULTS.get(name))
            if isinstance(answer, Exception):
                raise answer
            if isinstance(answer, Sent) and self.dry:
                return replace(answer, tx=None)
            return answer

        return call


DEFAULTS: dict[str, Any] = {
    "balance": Balance(account=ALICE, currency=NATIVE, wallet=2**70, treasury=1, claimable=0, bond=0),
    "buy": PAID,
    "rent": PAID,
    "renew": PAID,
    "refund": PAID,
    "settle": PAID,
    "dispute": PAID,
    "info": INFO,
    "list": (INFO,),
    "offers": (OFFER_INFO,),
    "publish": Published(
        tx=b"\x13" * 32,
        gas_used=200_000,
        fee_wei=1,
        block=3,
        ref="alice/digits@1",
        canonical=INFO.canonical,
        asset=ASSET,
        version=VERSION.id,
        number=1,
        cid="bafy" + "a" * 55,
        size=2048,
        files=2,
        node=VERSION.node,
    ),
    "pull": Path("/home/models/digits"),
    "purchase": PAID,
    "purchases": (PAID,),
    "quote": QUOTE,
    "requests": (),
    "sales": (),
    "set_role": SENT,
    "stages": STAGES,
    "move_stage": MOVED,
    "take_bond": SENT,
    "fund_bond": SENT,
    "transfer_asset": SENT,
    "transfer_licence": SENT,
    "close_offer": SENT,
    "withdraw": Withdrawn(
        tx=b"\x14" * 32, gas_used=1, fee_wei=1, to=ALICE, currency=NATIVE, amount=7, claimed=0
    ),
}
