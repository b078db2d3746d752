"""Deliveries by hand: what waits for a key, and the delivery of one or of all that may be delivered now.

Whether a key may be revealed is decided by :mod:`steelyard.service.gate` at the moment it is sent, and it is
sent through the outbox that ``steelyard serve`` uses (:mod:`steelyard.service.dispatch`): while one of them
has it, the other is refused.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection
from contextlib import nullcontext
from typing import Final

from steelyard.chain.calls import Call
from steelyard.chain.outbox import Outbox
from steelyard.domain.records import AssetState, PurchaseState, RequestRecord
from steelyard.domain.types import NATIVE, Address, RequestState, Role, State
from steelyard.errors import (
    NotFoundError,
    RefusedError,
    SealError,
    UnsafeError,
    VerificationError,
    WrongKeyError,
)
from steelyard.service.context import Context, Mined, summary
from steelyard.service.dispatch import delivery_call, go_on, leave, name_of, open_outbox
from steelyard.service.gate import Gate, Verdict, Why
from steelyard.service.keyring import Keyring
from steelyard.service.naming import as_id, asset_name, find_asset, find_purchase, find_request
from steelyard.service.results import Delivery, Sale

_LAPSED: Final = (Why.NOT_OPEN, Why.NO_LICENCE, Why.NOT_COVERED)
_REQUEST_STATES: Final = {
    RequestState.OPEN: State.PAID,
    RequestState.ANSWERED: State.SETTLED,
    RequestState.RETURNED: State.REFUNDED,
    RequestState.NONE: State.NONE,
}


def sales(context: Context, text: str | None, *, open_only: bool) -> tuple[Sale, ...]:
    """Return purchases and key requests; see :meth:`steelyard.Market.sales`."""
    found, gate = [], Gate.newest(context)
    for asset in served_assets(context, text):
        found += [_sale(context, gate, asset, item) for item in asset.purchases.values()]
        found += [_request_sale(context, gate, asset, item) for item in asset.requests.values()]
    wanted = [sale for sale in found if sale.state is State.PAID or not open_only]
    return tuple(sorted(wanted, key=lambda sale: sale.paid_at))


def deliver(context: Context, value: object) -> Delivery:
    """Deliver one key; see :meth:`steelyard.Market.deliver`."""
    asset, item = _find(context, value)
    _require_open(item)  # before the outbox is opened, which imports web3
    if context.dry:
        return _delivery(asset, item, context.send(_allowed(context, Keyring(context), asset, item)))
    with open_outbox(context) as outbox:
        _leave_others(outbox, {name_of(item)})
        try:
            call = _allowed(context, Keyring(context), asset, item)
        except RefusedError:
            _hold(outbox, item)
            raise
        return _delivery(asset, item, _send(context, outbox, name_of(item), call))


def deliver_pending(context: Context, text: str | None) -> tuple[Delivery, ...]:
    """Deliver what can be delivered now; see :meth:`steelyard.Market.deliver_pending`."""
    waiting = [item for asset in served_assets(context, text) for item in _open_items(asset)]
    if not waiting:
        return ()
    keyring, done = Keyring(context), []
    with nullcontext() if context.dry else open_outbox(context) as outbox:
        ranks: dict[str, int] = {}
        if outbox is not None:
            _leave_others(outbox, {name_of(item) for item in waiting})
            # What has a nonce comes first, in their order: a later one would wait for it.
            ranks = {entry.name: rank for rank, entry in enumerate(outbox.open_entries())}
        for item in sorted(waiting, key=lambda item: (ranks.get(name_of(item), len(ranks)), item.due)):
            try:
                asset, fresh = _find(context, item.id)
                call = _allowed(context, keyring, asset, fresh)
            except (RefusedError, NotFoundError, SealError, WrongKeyError) as exc:
                # Not yet, not any more, or not ours: `sales` says which. A damaged key must not hold up the
                # rest.
                if isinstance(exc, VerificationError):
                    warnings.warn(f"{_shown(item)} was not delivered: {exc}", stacklevel=2)
                if outbox is not None:
                    _hold(outbox, item)
                continue
            mined = context.send(call) if outbox is None else _send(context, outbox, name_of(fresh), call)
            done.append(_delivery(asset, fresh, mined))
    return tuple(done)


def _find(context: Context, value: object) -> tuple[AssetState, PurchaseState | RequestRecord]:
    identity = as_id(value, what="purchase")
    try:
        return find_purchase(context, identity)
    except NotFoundError:
        found = find_request(context, identity)
        if found is None:
            raise
        return found


def _require_open(item: PurchaseState | RequestRecord) -> None:
    if item.state not in (State.PAID, RequestState.OPEN):
        raise RefusedError(f"{_shown(item)} is {item.state.name.lower()}: there is nothing to deliver")


def _allowed(
    context: Context, keyring: Keyring, asset: AssetState, item: PurchaseState | RequestRecord
) -> Call:
    """Return the call that reveals a key, made only if the gate allows it at this moment.

    Raises:
        UnsafeError: not deep enough, too close to the deadline, flagged, or the account does not have the
            key.
        RefusedError: it is not open any more, or its licence has lapsed.
        NotFoundError: the store does not have the version's manifest.
        SealError: the key was imported, and its file is damaged.
    """
    _require_open(item)
    gate = Gate.newest(context)
    ruling = gate.rule(asset, item)
    if ruling.verdict is not Verdict.REVEAL:
        kind = RefusedError if ruling.why in _LAPSED else UnsafeError
        raise kind(f"{_shown(item)} is {gate.explain(ruling, asset, item)}")
    return delivery_call(context, keyring, asset, item)


def _send(context: Context, outbox: Outbox, name: str, call: Call) -> Mined:
    """Send what was allowed just now, or go on with it, and wait for its block."""
    go_on(context, outbox, name, lambda: call)
    receipt = outbox.send(name, call)
    return Mined(
        tx=receipt.tx_hash, gas_used=receipt.gas_used, fee_wei=receipt.fee, block=receipt.block_number
    )


def _hold(outbox: Outbox, item: PurchaseState | RequestRecord) -> None:
    """Keep back what an earlier run has signed, if it is not out yet."""
    if outbox.find(name_of(item)) is not None:
        outbox.hold(name_of(item))


def _leave_others(outbox: Outbox, names: Collection[str]) -> None:
    """Take up what an earlier run left open: a nonce that is never sent would hold up every later one."""
    for entry in outbox.open_entries():
        if entry.name not in names:
            leave(outbox, entry)


def _delivery(asset: AssetState, item: PurchaseState | RequestRecord, mined: Mined) -> Delivery:
    return Delivery(
        id=item.id,
        asset=asset.id,
        version=item.request.version if isinstance(item, RequestRecord) else item.version,
        to=item.request.holder if isinstance(item, RequestRecord) else item.buyer,
        request=isinstance(item, RequestRecord),
        **summary(mined),
    )


def _shown(item: PurchaseState | RequestRecord) -> str:
    return f"{'key request' if isinstance(item, RequestRecord) else 'purchase'} 0x{item.id.hex()}"


def _open_items(asset: AssetState) -> list[PurchaseState | RequestRecord]:
    purchases = [item for item in asset.purchases.values() if item.state is State.PAID]
    return [*purchases, *(item for item in asset.requests.values() if item.state is RequestState.OPEN)]


def served_assets(context: Context, text: str | None) -> list[AssetState]:
    """Return one asset, or all that the account owns, created, holds a role of, or published for."""
    if text is not None:
        return [find_asset(context, text)]
    own = context.account.address
    return [asset for asset in context.ledger.everything().refresh().assets.values() if _is_ours(asset, own)]


def _is_ours(asset: AssetState, own: Address) -> bool:
    """Whether an account may have keys to deliver: it has a hand in the asset, or published a version."""
    if own in (asset.owner, asset.creator) or any(asset.may(own, role) for role in Role):
        return True
    return any(version.publisher == own for version in asset.versions.values())


def _sale(context: Context, gate: Gate, asset: AssetState, purchase: PurchaseState) -> Sale:
    version = asset.versions[purchase.version]
    waiting = ""
    if purchase.state is State.PAID:
        waiting = gate.explain(gate.by_log(asset, purchase), asset, purchase)
    return Sale(
        ref=asset_name(context, asset, version.number),
        id=purchase.id,
        asset=asset.id,
        version=version.id,
        buyer=purchase.buyer,
        request=False,
        state=purchase.state,
        price=purchase.price,
        currency=asset.offers[purchase.offer].terms.currency,
        paid_at=purchase.paid_at,
        due=purchase.due,
        waiting=waiting,
    )


def _request_sale(context: Context, gate: Gate, asset: AssetState, record: RequestRecord) -> Sale:
    version = asset.versions.get(record.request.version)
    waiting = ""
    if record.state is RequestState.OPEN:
        waiting = gate.explain(gate.by_log(asset, record), asset, record)
    return Sale(
        ref=asset_name(context, asset, None if version is None else version.number),
        id=record.id,
        asset=asset.id,
        version=record.request.version,
        buyer=record.request.holder,
        request=True,
        state=_REQUEST_STATES[record.state],
        price=record.fee,
        currency=NATIVE,
        paid_at=record.asked_at,
        due=record.due,
        waiting=waiting,
    )
