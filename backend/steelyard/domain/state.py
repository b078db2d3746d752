"""The state of assets, folded from their trails: at a block it is a function of the logs up to it.

What the contracts would not do is refused (:class:`~steelyard.errors.TrailError`): such a history is
incomplete or altered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from steelyard.domain.abi import Value
from steelyard.domain.events import TrailEvent
from steelyard.domain.metered import EVENTS as METERED_EVENTS
from steelyard.domain.metered import Meter
from steelyard.domain.point import Point
from steelyard.domain.records import (
    AssetState,
    Ledger,
    NodeState,
    OfferState,
    PurchaseState,
    RequestRecord,
    StageMove,
    VersionState,
)
from steelyard.domain.types import (
    Address,
    AssetId,
    AssetKind,
    KeyRequest,
    NodeId,
    OfferId,
    OfferKind,
    PurchaseId,
    RequestId,
    RequestState,
    Role,
    Scope,
    Stage,
    State,
    Terms,
    Version,
    VersionId,
)
from steelyard.errors import TrailError


def fold(events: Iterable[TrailEvent], *, start: Ledger | None = None, block: int) -> Ledger:
    """Return the state after some events.

    Args:
        events: all that the contracts recorded about the same subjects after ``start``, in the order of the
            chain.
        start: the state before them; the empty one if None. It is not changed.
        block: number of the block that they are complete to.

    Raises:
        TrailError: the events cannot have happened: one is missing, doubled, altered or in the wrong place.
    """
    before = start or Ledger()
    folding = _Folding(before)
    last = (before.block, 1 << 62)
    for event in events:
        place = (event.block, event.log)
        if place <= last or event.block > block:
            raise TrailError(f"{event.name} in block {event.block} is out of order or doubled")
        last = place
        folding.take(event)
    return Ledger(block=block, assets=folding.assets, nodes=folding.nodes)


@dataclass
class _Draft:
    """An asset under way, with tables of its own."""

    asset: AssetState
    versions: dict[VersionId, VersionState]
    offers: dict[OfferId, OfferState]
    purchases: dict[PurchaseId, PurchaseState]
    requests: dict[RequestId, RequestRecord]
    meter: Meter

    @classmethod
    def of(cls, asset: AssetState) -> _Draft:
        tables = (dict(asset.versions), dict(asset.offers), dict(asset.purchases), dict(asset.requests))
        return cls(asset, *tables, Meter(dict(asset.metered), dict(asset.channels)))

    def finish(self) -> AssetState:
        return replace(
            self.asset,
            versions=self.versions,
            offers=self.offers,
            purchases=self.purchases,
            requests=self.requests,
            metered=self.meter.offers,
            channels=self.meter.channels,
        )


class _Folding:
    """A fold under way: an asset's tables are copied when it is first written to."""

    def __init__(self, start: Ledger) -> None:
        self._start = start
        self._drafts: dict[AssetId, _Draft] = {}
        self.nodes = dict(start.nodes)

    @property
    def assets(self) -> dict[AssetId, AssetState]:
        return {**self._start.assets, **{asset: draft.finish() for asset, draft in self._drafts.items()}}

    def take(self, event: TrailEvent) -> None:
        handler = _HANDLERS.get(event.name)
        if handler is None:
            raise TrailError(f"{event.name} is no event that this client knows: use a newer one")
        try:
            handler(self, event)
        except ValueError as exc:  # a number that names no choice
            raise _wrong(event, str(exc)) from exc

    # -- assets ----------------------------------------------------------------------------------------------

    def registered(self, event: TrailEvent) -> None:
        asset = AssetId(event.subject)
        if asset in self._drafts or asset in self._start.assets:
            raise _wrong(event, "the asset exists already")
        made = AssetState(
            id=asset,
            name=event.id,
            kind=AssetKind(_int(event, "kind")),
            creator=event.actor,
            owner=event.actor,
            royalty=_int(event, "royalty"),
            registered_at=event.time,
        )
        self._drafts[asset] = _Draft.of(made)

    def published(self, event: TrailEvent) -> None:
        draft = self._draft(event)
        commitments = _version(event.fields["commitments"])
        number = _int(event, "number")
        if (
            commitments.id != event.id
            or commitments.asset != draft.asset.id
            or number != len(draft.versions) + 1
        ):
            raise _wrong(event, "the version is not what its id says, or not the next one")
        version = VersionState(
            id=VersionId(event.id),
            number=number,
            commitments=commitments,
            publisher=event.actor,
            published_at=event.time,
        )
        draft.versions[version.id] = version

    def transferred(self, event: TrailEvent) -> None:
        draft = self._draft(event)
        asset, epoch = draft.asset, _int(event, "epoch")
        if _bytes(event, "from") != asset.owner or epoch != asset.epoch + 1:
            raise _wrong(event, "not from the owner, or not the next transfer")
        draft.asset = replace(asset, owner=_account(event.id), epoch=epoch, roles=frozenset())

    def role_set(self, event: TrailEvent) -> None:
        draft = self._draft(event)
        asset = draft.asset
        pair = (_account(event.id), Role(_int(event, "role")))
        roles = asset.roles | {pair} if event.fields["granted"] else asset.roles - {pair}
        draft.asset = replace(asset, roles=roles)

    def flagged(self, event: TrailEvent) -> None:
        draft = self._draft(event)
        version = draft.versions.get(VersionId(event.id))
        if version is None:
            raise _wrong(event, "there is no such version")
        by = PurchaseId(_bytes(event, "purchase"))
        draft.versions[version.id] = replace(version, flagged_by=version.flagged_by or by)

    def stage_moved(self, event: TrailEvent) -> None:
        draft = self._draft(event)
        version = draft.versions.get(VersionId(event.id))
        if version is None:
            raise _wrong(event, "there is no such version")
        start, to = Stage(_int(event, "from")), Stage(_int(event, "to"))
        if start is not version.stage or start is Stage.RETIRED or to in (Stage.NONE, start):
            raise _wrong(event, "not from the stage that the version is in, or no way out of it")
        reason = event.fields["reason"]
        assert isinstance(reason, str)
        move = StageMove(stage=to, at=event.time, actor=event.actor, reason=reason, tx=event.tx)
        draft.versions[version.id] = replace(version, moves=(*version.moves, move))

    # -- offers ----------------------------------------------------------------------------------------------

    def offered(self, event: TrailEvent) -> None:
        draft = self._draft(event)
        terms = _terms(event.fields["terms"])
        offer = terms.id(draft.asset.id)
        if offer != event.id or offer in draft.offers:
            raise _wrong(event, "the offer is not what its id says, or exists already")
        made = OfferState(
            id=offer, asset=draft.asset.id, terms=terms, opened_at=event.time, epoch=draft.asset.epoch
        )
        draft.offers[offer] = made

    def closed(self, event: TrailEvent) -> None:
        draft = self._draft(event)
        offer = draft.offers.get(OfferId(event.id))
        if offer is None or offer.closed:
            raise _wrong(event, "there is no such open offer")
        draft.offers[offer.id] = replace(offer, closed=True)

    # -- purchases -------------------------------------------------------------------------------------------

    def purchased(self, event: TrailEvent) -> None:
        draft = self._draft(event)
        offer = draft.offers.get(OfferId(_bytes(event, "offer")))
        version = VersionId(_bytes(event, "version"))
        if offer is None or version not in draft.versions or event.id in draft.purchases:
            raise _wrong(event, "no such offer or version, or the purchase exists already")
        purchase = PurchaseState(
            id=PurchaseId(event.id),
            asset=draft.asset.id,
            version=version,
            offer=offer.id,
            buyer=event.actor,
            holder=event.actor,
            salt=_bytes(event, "salt"),
            key=_point(event.fields["key"]),
            price=_int(event, "price"),
            state=State.PAID,
            paid_at=event.time,
            block=event.block,
            due=_int(event, "due"),
        )
        draft.purchases[purchase.id] = purchase
        draft.offers[offer.id] = replace(offer, sold=offer.sold + 1)

    def delivered(self, event: TrailEvent) -> None:
        purchase = self._purchase(event, State.PAID)
        settles_at = _int(event, "settlesAt")
        changed = replace(
            purchase,
            state=State.SETTLED if settles_at == event.time else State.DELIVERED,
            due=settles_at,
            until=_int(event, "until"),
            delivered=_point(event.fields["delivered"]),
            delivered_tx=event.tx,
            delivered_at=event.time,
        )
        self._put(changed)

    def settled(self, event: TrailEvent) -> None:
        self._put(replace(self._purchase(event, State.DELIVERED), state=State.SETTLED))

    def refunded(self, event: TrailEvent) -> None:
        purchase = self._purchase(event, State.PAID, State.DELIVERED)
        self._put(replace(purchase, state=State.REFUNDED))
        draft = self._draft(event)
        offer = draft.offers[purchase.offer]
        draft.offers[offer.id] = replace(offer, sold=offer.sold - 1)

    def renewed(self, event: TrailEvent) -> None:
        purchase = self._purchase(event, State.SETTLED)
        until = _int(event, "until")
        if until <= purchase.until:
            raise _wrong(event, "a renewal cannot shorten")
        self._put(replace(purchase, until=until))

    def licence_transferred(self, event: TrailEvent) -> None:
        purchase = self._purchase(event, State.SETTLED)
        if _bytes(event, "from") != purchase.holder:
            raise _wrong(event, "not from its holder")
        self._put(replace(purchase, holder=Address(_bytes(event, "to"))))

    def licence_revoked(self, event: TrailEvent) -> None:
        self._put(replace(self._purchase(event, State.SETTLED), state=State.REVOKED))

    # -- key requests ----------------------------------------------------------------------------------------

    def key_requested(self, event: TrailEvent) -> None:
        draft = self._draft(event)
        licence = PurchaseId(_int(event, "licence").to_bytes(32, "big"))
        if event.id in draft.requests or licence not in draft.purchases:
            raise _wrong(event, "the request exists already, or its licence does not")
        request = KeyRequest(
            licence=licence,
            version=VersionId(_bytes(event, "version")),
            holder=event.actor,
            key=_point(event.fields["key"]),
        )
        draft.requests[RequestId(event.id)] = RequestRecord(
            id=RequestId(event.id),
            asset=draft.asset.id,
            request=request,
            state=RequestState.OPEN,
            fee=_int(event, "fee"),
            due=_int(event, "due"),
            asked_at=event.time,
            block=event.block,
        )

    def key_delivered(self, event: TrailEvent) -> None:
        record = self._request(event)
        point = _point(event.fields["delivered"])
        self._put_request(
            replace(record, state=RequestState.ANSWERED, delivered=point, delivered_tx=event.tx)
        )

    def key_returned(self, event: TrailEvent) -> None:
        self._put_request(replace(self._request(event), state=RequestState.RETURNED))

    # -- metered use -----------------------------------------------------------------------------------------

    def metered(self, event: TrailEvent) -> None:
        draft = self._draft(event)
        draft.meter.take(event, draft.asset, draft.versions)

    # -- nodes -----------------------------------------------------------------------------------------------

    def received(self, event: TrailEvent) -> None:
        node = self._node(event)
        currency = Address(_bytes(event, "currency"))
        total = node.received.get(currency, 0) + _int(event, "amount")
        self.nodes[node.id] = replace(node, received={**node.received, currency: total})

    def claimed(self, event: TrailEvent) -> None:
        node = self._node(event)
        key = (_int(event, "index"), Address(_bytes(event, "currency")))
        paid = node.paid.get(key, 0) + _int(event, "amount")
        feeds = node.feeds | {NodeId(event.id)} if event.id[0] & 0x80 else node.feeds
        self.nodes[node.id] = replace(node, paid={**node.paid, key: paid}, feeds=feeds)

    def position_moved(self, event: TrailEvent) -> None:
        node = self._node(event)
        moved = {**node.holders, _int(event, "index"): _account(event.id)}
        self.nodes[node.id] = replace(node, holders=moved)

    # -- lookup ----------------------------------------------------------------------------------------------

    def _draft(self, event: TrailEvent) -> _Draft:
        asset = AssetId(event.subject)
        if asset not in self._drafts:
            if asset not in self._start.assets:
                raise _wrong(event, "the asset was never registered")
            self._drafts[asset] = _Draft.of(self._start.assets[asset])
        return self._drafts[asset]

    def _purchase(self, event: TrailEvent, *allowed: State) -> PurchaseState:
        purchase = self._draft(event).purchases.get(PurchaseId(event.id))
        if purchase is None or purchase.state not in allowed:
            raise _wrong(event, "there is no such purchase, or it is in another state")
        return purchase

    def _request(self, event: TrailEvent) -> RequestRecord:
        record = self._draft(event).requests.get(RequestId(event.id))
        if record is None or record.state is not RequestState.OPEN:
            raise _wrong(event, "there is no such open request")
        return record

    def _node(self, event: TrailEvent) -> NodeState:
        node = NodeId(event.subject)
        return self.nodes.get(node) or NodeState(id=node)

    def _put(self, purchase: PurchaseState) -> None:
        self._drafts[purchase.asset].purchases[purchase.id] = purchase

    def _put_request(self, record: RequestRecord) -> None:
        self._drafts[record.asset].requests[record.id] = record


_HANDLERS: Final[Mapping[str, Callable[[_Folding, TrailEvent], None]]] = {
    **dict.fromkeys(METERED_EVENTS, _Folding.metered),
    "AssetRegistered": _Folding.registered,
    "VersionPublished": _Folding.published,
    "AssetTransferred": _Folding.transferred,
    "RoleSet": _Folding.role_set,
    "StageMoved": _Folding.stage_moved,
    "Offered": _Folding.offered,
    "OfferClosed": _Folding.closed,
    "Purchased": _Folding.purchased,
    "Delivered": _Folding.delivered,
    "Settled": _Folding.settled,
    "Refunded": _Folding.refunded,
    "Renewed": _Folding.renewed,
    "VersionFlagged": _Folding.flagged,
    "LicenceTransferred": _Folding.licence_transferred,
    "LicenceRevoked": _Folding.licence_revoked,
    "KeyRequested": _Folding.key_requested,
    "KeyDelivered": _Folding.key_delivered,
    "KeyReturned": _Folding.key_returned,
    "Received": _Folding.received,
    "Claimed": _Folding.claimed,
    "PositionMoved": _Folding.position_moved,
}


def _wrong(event: TrailEvent, why: str) -> TrailError:
    return TrailError(
        f"{event.name} of 0x{event.id.hex()} in block {event.block} cannot have happened: {why}; the history is incomplete"
    )


def _int(event: TrailEvent, name: str) -> int:
    value = event.fields[name]
    assert isinstance(value, int)
    return value


def _bytes(event: TrailEvent, name: str) -> bytes:
    value = event.fields[name]
    assert isinstance(value, bytes)
    return value


def _account(word: bytes) -> Address:
    return Address(word[12:])


def _point(value: Value) -> Point:
    assert isinstance(value, tuple)
    x, y = value
    assert isinstance(x, int) and isinstance(y, int)
    return Point(x, y)


def _version(value: Value) -> Version:
    assert isinstance(value, tuple)
    asset, folder, root, size, scheme, key, node = value
    assert (
        isinstance(asset, bytes)
        and isinstance(folder, bytes)
        and isinstance(root, bytes)
        and isinstance(node, bytes)
    )
    assert isinstance(size, int) and isinstance(scheme, int)
    return Version(AssetId(asset), folder, root, size, scheme, _point(key), NodeId(node))


def _terms(value: Value) -> Terms:
    assert isinstance(value, tuple)
    seller, currency, price, bond, kind, scope, transferable, revocable, *rest = value
    period, renew_until, supply, deliver_within, window, allow_list, text, salt, version = rest
    assert isinstance(seller, bytes) and isinstance(currency, bytes)
    assert isinstance(allow_list, bytes) and isinstance(text, bytes) and isinstance(version, bytes)
    return Terms(
        seller=Address(seller),
        currency=Address(currency),
        price=_number(price),
        bond=_number(bond),
        kind=OfferKind(_number(kind)),
        scope=Scope(_number(scope)),
        transferable=bool(transferable),
        revocable=bool(revocable),
        period=_number(period),
        renew_until=_number(renew_until),
        supply=_number(supply),
        deliver_within=_number(deliver_within),
        window=_number(window),
        allow_list=allow_list,
        text=text,
        salt=_number(salt),
        version=version,
    )


def _number(value: Value) -> int:
    assert isinstance(value, int)
    return value
