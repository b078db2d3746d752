"""Deliveries: what waits, whether it may be answered now, and the call that answers it.

A key is revealed only when the payment is deep enough, well before the deadline, and never for a version proved false. All of it is
read from the chain at that moment, at the depth that counts; no journal is believed. The delivery of a purchase is a function of
the purchase, so sending it twice reveals nothing new, and the contract takes it once.
"""

from __future__ import annotations

from dataclasses import dataclass

from steelyard.chain.calls import Call
from steelyard.crypto.delivery import deliver as make_delivery
from steelyard.crypto.delivery import delivery_context, key_context
from steelyard.domain.records import AssetState, PurchaseState, RequestRecord
from steelyard.domain.types import NATIVE, Address, RequestState, Role, State
from steelyard.errors import NotFoundError, RefusedError, UnsafeError
from steelyard.service.context import FINALIZED, Context, summary
from steelyard.service.keys import seller_scalar
from steelyard.service.naming import as_id, asset_name, find_asset, find_purchase, find_request
from steelyard.service.results import Delivery, Sale

_FLAGGED = "the version was proved false"
_REQUEST_STATES = {
    RequestState.OPEN: State.PAID,
    RequestState.ANSWERED: State.SETTLED,
    RequestState.RETURNED: State.REFUNDED,
    RequestState.NONE: State.NONE,
}


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A delivery that may be sent now.

    Attributes:
        name: of the business operation, for an outbox: ``deliver:0x...`` or ``deliver-key:0x...``.
        call: what to send.
        sale: what it answers.
    """

    name: str
    call: Call
    sale: Sale


def sales(context: Context, text: str | None, *, open_only: bool) -> tuple[Sale, ...]:
    """Return purchases and key requests; see :meth:`steelyard.Market.sales`."""
    found, moment = [], Moment.of(context)
    for asset in _assets(context, text):
        found += [_sale(context, moment, asset, item) for item in asset.purchases.values()]
        found += [_request_sale(context, moment, asset, item) for item in asset.requests.values()]
    wanted = [sale for sale in found if sale.state is State.PAID or not open_only]
    return tuple(sorted(wanted, key=lambda sale: sale.paid_at))


def deliver(context: Context, value: object) -> Delivery:
    """Deliver one key; see :meth:`steelyard.Market.deliver`."""
    return _send(context, prepare(context, value))


def deliver_pending(context: Context, text: str | None) -> tuple[Delivery, ...]:
    """Deliver what can be delivered now; see :meth:`steelyard.Market.deliver_pending`."""
    done = []
    for sale in sales(context, text, open_only=True):
        try:
            prepared = prepare(context, sale)
        except (UnsafeError, RefusedError, NotFoundError):
            continue  # not yet, not any more, or not ours: `sales` says which
        done.append(_send(context, prepared))
    return tuple(done)


def prepare(context: Context, value: object) -> Prepared:
    """Return the call that delivers a key, made only if everything allows to reveal it now.

    Raises:
        UnsafeError: not deep enough, too close to the deadline, flagged, or the seed does not give the key.
        RefusedError: it is not open any more.
        NotFoundError: there is no such purchase or request, or the store lacks the version's manifest.
    """
    identity = as_id(value, what="purchase")
    try:
        asset, purchase = find_purchase(context, identity)
    except NotFoundError:
        found = find_request(context, identity)
        if found is None:
            raise
        return _prepare_request(context, *found)
    return _prepare_purchase(context, asset, purchase)


def _prepare_purchase(context: Context, asset: AssetState, purchase: PurchaseState) -> Prepared:
    order = asset.order(purchase)
    if purchase.state is not State.PAID:
        raise RefusedError(
            f"purchase 0x{purchase.id.hex()} is {purchase.state.name.lower()}: there is nothing to deliver"
        )
    moment = Moment.of(context)
    record = context.views.licence(purchase.id)
    moment.require(f"purchase 0x{purchase.id.hex()}", paid_in=purchase.block, due=record.due)
    sale = _sale(context, moment, asset, purchase)
    # An id is the hash of the whole order, so what is paid at that block is this very purchase.
    if context.views.at(moment.deep).licence(purchase.id).state is not State.PAID:
        raise UnsafeError(f"purchase 0x{purchase.id.hex()} is not deep enough in the chain yet: wait")
    if record.state is not State.PAID:
        raise RefusedError(
            f"purchase 0x{purchase.id.hex()} is {record.state.name.lower()}: there is nothing to deliver"
        )
    if context.views.flagged(purchase.version):
        raise UnsafeError(f"{sale.ref} was proved false: its key is not delivered any more")
    kappa = seller_scalar(context, order.version)
    bound = delivery_context(context.chain_id, market=context.deployment.market, purchase=purchase.id)
    delivered, proof = make_delivery(kappa, blinded=purchase.key, context=bound)
    call = context.calls.deliver(order, delivered, proof)
    return Prepared(name=f"deliver:0x{purchase.id.hex()}", call=call, sale=sale)


def _prepare_request(context: Context, asset: AssetState, record: RequestRecord) -> Prepared:
    shown = f"key request 0x{record.id.hex()}"
    if record.state is not RequestState.OPEN:
        raise RefusedError(f"{shown} is {record.state.name.lower()}: there is nothing to deliver")
    moment = Moment.of(context)
    now = context.views.request(record.id)
    moment.require(shown, paid_in=record.block, due=now.due)
    sale = _request_sale(context, moment, asset, record)
    if context.views.at(moment.deep).request(record.id).state is not RequestState.OPEN:
        raise UnsafeError(f"{shown} is not deep enough in the chain yet: wait")
    if now.state is not RequestState.OPEN:
        raise RefusedError(f"{shown} is {now.state.name.lower()}: there is nothing to deliver")
    asked = record.request
    licence = asset.purchases[asked.licence]
    version = asset.versions.get(asked.version)
    if version is None:
        raise RefusedError(f"{shown} asks for a version that does not exist")
    if context.views.flagged(version.id):
        raise UnsafeError(f"{sale.ref} was proved false: its key is not delivered any more")
    order = asset.order(licence)
    origin = (licence.offer, order.rest(chain_id=context.chain_id, market=context.deployment.market))
    held = context.views.licence(asked.licence).holder == asked.holder
    covered = context.views.covers(
        asked.licence, asset=asset.id, version=version.id, published_at=version.published_at, origin=origin
    )
    if not held or not covered:
        raise RefusedError(
            f"{shown} has lapsed: its licence ended, changed hands, or does not cover {sale.ref}"
        )
    kappa = seller_scalar(context, version.commitments)
    bound = key_context(context.chain_id, market=context.deployment.market, request=record.id)
    delivered, proof = make_delivery(kappa, blinded=asked.key, context=bound)
    call = context.calls.deliver_key(asked, version.commitments, delivered, proof, origin=origin)
    return Prepared(name=f"deliver-key:0x{record.id.hex()}", call=call, sale=sale)


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What decides whether a key may be revealed now.

    Attributes:
        deep: number of the newest block that is deep enough.
        time: Unix seconds.
        margin: seconds before a deadline in which nothing is revealed.
    """

    deep: int
    time: int
    margin: int

    @classmethod
    def of(cls, context: Context) -> Moment:
        """Ask the chain and the clock."""
        depth = context.settings.depth_on(context.chain_id)
        if isinstance(depth, int):
            deep = context.rpc.block_number() - max(0, depth - 1)
        else:
            deep = context.rpc.get_block(FINALIZED).number
        return cls(deep=deep, time=context.now(), margin=context.settings.margin_on(context.chain_id))

    def waiting(self, *, paid_in: int, due: int) -> str:
        """Return why something paid in that block and due at that time is not delivered now, or nothing."""
        if paid_in > self.deep:
            return f"paid in block {paid_in}, and keys are revealed up to block {self.deep} only: wait"
        if due - self.time <= self.margin:
            return (
                f"due in {due - self.time} s, within the margin of {self.margin} s: "
                "a key that is seen and comes too late is given away"
            )
        return ""

    def require(self, what: str, *, paid_in: int, due: int) -> None:
        """Check the same.

        Raises:
            UnsafeError: not deep enough, or too close to the deadline.
        """
        if why := self.waiting(paid_in=paid_in, due=due):
            raise UnsafeError(f"{what} is {why}")


def _send(context: Context, prepared: Prepared) -> Delivery:
    mined = context.send(prepared.call)
    sale = prepared.sale
    return Delivery(
        id=sale.id,
        asset=sale.asset,
        version=sale.version,
        to=sale.buyer,
        request=sale.request,
        **summary(mined),
    )


def _assets(context: Context, text: str | None) -> list[AssetState]:
    if text is not None:
        return [find_asset(context, text)]
    own = context.account.address
    return [asset for asset in context.ledger.everything().refresh().assets.values() if _is_ours(asset, own)]


def _is_ours(asset: AssetState, own: Address) -> bool:
    """Whether an account may have keys to deliver: it owns, created or maintains the asset, or published a version."""
    if own in (asset.owner, asset.creator) or any(asset.may(own, role) for role in Role):
        return True
    return any(version.publisher == own for version in asset.versions.values())


def _sale(context: Context, moment: Moment, asset: AssetState, purchase: PurchaseState) -> Sale:
    version = asset.versions[purchase.version]
    waiting = ""
    if purchase.state is State.PAID:
        waiting = _FLAGGED if version.flagged else moment.waiting(paid_in=purchase.block, due=purchase.due)
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


def _request_sale(context: Context, moment: Moment, asset: AssetState, record: RequestRecord) -> Sale:
    version = asset.versions.get(record.request.version)
    waiting = ""
    if record.state is RequestState.OPEN:
        flagged = version is None or version.flagged
        waiting = _FLAGGED if flagged else moment.waiting(paid_in=record.block, due=record.due)
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
