"""Purchases: quote, buy, renew, settle, refund, and look them up."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable

from steelyard.chain.hexdata import to_hex
from steelyard.crypto.delivery import blind
from steelyard.crypto.derive import blind_scalar
from steelyard.crypto.secret import Secret
from steelyard.domain.abi import topic
from steelyard.domain.events import TOPICS, decode_event
from steelyard.domain.records import AssetState, PurchaseState
from steelyard.domain.types import (
    Address,
    AssetId,
    OfferId,
    OfferKind,
    Order,
    PurchaseId,
    State,
    Terms,
    Version,
    account_word,
)
from steelyard.errors import ChainError, RefusedError, RpcError
from steelyard.service.context import Context, Mined, summary
from steelyard.service.naming import asset_name, find_asset, find_purchase
from steelyard.service.paying import buy_call, pay
from steelyard.service.public import Progress
from steelyard.service.results import Purchase, Quote
from steelyard.service.select import (
    choose,
    holdings,
    licence_text,
    require_safe,
    warnings,
)

_TRANSFER = topic("Transfer(address,address,uint256)")
_FIRST_PAUSE = 0.05


def quote(
    context: Context,
    text: str,
    *,
    offer: OfferId | str | None,
    rental: bool | None,
    allow: Iterable[Address | str],
    verify: bool,
) -> Quote:
    """Return what buying would cost; see :meth:`steelyard.Market.quote`."""
    choice = choose(context, text, offer=offer, rental=rental, allow=allow)
    if verify:
        require_safe(context, choice, progress=None)
    terms = choice.offer.terms
    licence = licence_text(context, terms)
    notes = list(warnings(context, choice, text=licence))
    balance, allowance = holdings(context, terms)
    gas, fee = 0, 0
    if context.has_account:
        order = make_order(context, choice.version.commitments, terms)
        try:
            call, with_permit = buy_call(context, order, choice.proof)
            mined = pay(context.dry_run(), terms, call, with_permit=with_permit)
            gas, fee = sum(part.gas_used for part in mined), sum(part.fee_wei for part in mined)
        except (RefusedError, RpcError) as exc:
            notes.append(f"it would be refused now: {exc}")
    return Quote(
        ref=choice.name,
        asset=choice.asset.id,
        version=choice.version.id,
        offer=choice.offer.id,
        terms=terms,
        text=licence,
        price=terms.price,
        gas=gas,
        fee_wei=fee,
        balance=balance,
        allowance=allowance,
        warnings=tuple(notes),
    )


def buy(
    context: Context,
    text: str,
    *,
    offer: OfferId | str | None,
    rental: bool | None,
    max_price: int | None,
    allow: Iterable[Address | str],
    progress: Progress | None,
) -> Purchase:
    """Check and pay; see :meth:`steelyard.Market.buy`. Does not wait for the delivery."""
    choice = choose(context, text, offer=offer, rental=rental, allow=allow)
    terms = choice.offer.terms
    if max_price is not None and terms.price > max_price:
        raise RefusedError(
            f"{choice.name} costs {terms.price}, above the {max_price} that may be paid; nothing was paid"
        )
    require_safe(context, choice, progress=progress)
    order = make_order(context, choice.version.commitments, terms)
    call, with_permit = buy_call(context, order, choice.proof)
    mined = pay(context, terms, call, with_permit=with_permit)
    due = context.now() + terms.deliver_within if context.dry else _due(context, order, mined[-1])
    return Purchase(
        ref=choice.name,
        id=order.id(chain_id=context.chain_id, market=context.deployment.market),
        asset=choice.asset.id,
        version=choice.version.id,
        offer=choice.offer.id,
        order=order,
        state=State.NONE if context.dry else State.PAID,
        holder=order.buyer,
        paid_at=due - terms.deliver_within,
        due=due,
        until=0,
        settles_at=0,
        flagged=False,
        **summary(*mined),
    )


def make_order(context: Context, version: Version, terms: Terms) -> Order:
    """Return a fresh order of the account. All that it hides can be derived again from the seed and the order's salt."""
    salt = secrets.token_bytes(32)
    b = order_scalar(context, buyer=context.account.address, salt=salt)
    return Order(version=version, terms=terms, buyer=context.account.address, salt=salt, key=blind(b))


def order_scalar(context: Context, *, buyer: Address, salt: bytes) -> Secret:
    """Return the blinding scalar of an order of the account."""
    return blind_scalar(
        context.account.seed,
        chain_id=context.chain_id,
        market=context.deployment.market,
        buyer=buyer,
        salt=salt,
    )


def renew(context: Context, value: object, *, max_price: int | None) -> Purchase:
    """Prolong a rental; see :meth:`steelyard.Market.renew`."""
    asset, purchase = find_purchase(context, value)
    terms = asset.offers[purchase.offer].terms
    if max_price is not None and terms.price > max_price:
        raise RefusedError(
            f"renewing costs {terms.price}, above the {max_price} that may be paid; nothing was paid"
        )
    require_renewable(context, purchase, terms)
    mined = pay(context, terms, context.calls.renew(asset.order(purchase)), with_permit=None)
    return after(context, purchase.id, *mined)


def refund(context: Context, value: object) -> Purchase:
    """Take the money back; see :meth:`steelyard.Market.refund`."""
    asset, purchase = find_purchase(context, value)
    _require_state(purchase, State.PAID, State.DELIVERED)
    if not asset.versions[purchase.version].flagged:
        if purchase.state is State.DELIVERED:
            raise RefusedError("the key was delivered: if the content is wrong, dispute it in its window")
        if context.now() <= purchase.due:
            raise RefusedError(
                f"the seller may deliver until {purchase.due} (Unix seconds): a refund is possible after that"
            )
    return after(context, purchase.id, context.send(context.calls.refund(asset.order(purchase))))


def settle(context: Context, value: object) -> Purchase:
    """Turn the price into revenue; see :meth:`steelyard.Market.settle`."""
    asset, purchase = find_purchase(context, value)
    _require_state(purchase, State.DELIVERED)
    return after(context, purchase.id, context.send(context.calls.settle(asset.order(purchase))))


def look(context: Context, value: object) -> Purchase:
    """Return a purchase as it stands now."""
    asset, purchase = find_purchase(context, value)
    return describe(context, asset, purchase)


def wait(context: Context, value: object, *, timeout: float) -> Purchase:
    """Wait for the delivery; see :meth:`steelyard.Market.wait`."""
    _, purchase = find_purchase(context, value)
    end = time.monotonic() + timeout
    pause = _FIRST_PAUSE
    while context.views.licence(purchase.id).state is State.PAID and time.monotonic() < end:
        time.sleep(min(pause, max(0.0, end - time.monotonic())))
        pause = min(context.settings.poll, pause * 1.5)
    return look(context, purchase.id)


def purchases(context: Context, text: str | None) -> tuple[Purchase, ...]:
    """Return the account's purchases and licences; see :meth:`steelyard.Market.purchases`."""
    own = context.account.address
    if text is not None:
        assets = [find_asset(context, text)]
    else:
        assets = [context.follow(asset).state() for asset in _assets_of(context, own)]
    found = [
        describe(context, asset, purchase)
        for asset in assets
        for purchase in asset.purchases.values()
        if own in (purchase.buyer, purchase.holder)
    ]
    return tuple(sorted(found, key=lambda item: item.paid_at))


def describe(context: Context, asset: AssetState, purchase: PurchaseState, *mined: Mined) -> Purchase:
    """Return a purchase for the outside."""
    version = asset.versions[purchase.version]
    return Purchase(
        ref=asset_name(context, asset, version.number),
        id=purchase.id,
        asset=asset.id,
        version=purchase.version,
        offer=purchase.offer,
        order=asset.order(purchase),
        state=purchase.state,
        holder=purchase.holder,
        paid_at=purchase.paid_at,
        due=purchase.due,
        until=purchase.until,
        settles_at=purchase.due if purchase.delivered is not None else 0,
        flagged=version.flagged,
        **summary(*mined),
    )


def after(context: Context, purchase: PurchaseId, *mined: Mined) -> Purchase:
    """Return a purchase as it stands after something was sent about it."""
    return describe(context, *find_purchase(context, purchase), *mined)


def _due(context: Context, order: Order, mined: Mined) -> int:
    """Return the deadline that the market set, from its log."""
    wanted = order.id(chain_id=context.chain_id, market=context.deployment.market)
    for log in mined.logs:
        if log.address == context.deployment.market and log.topics[:1] == (TOPICS["Purchased"],):
            event = decode_event(
                log.topics,
                log.data,
                contract=log.address,
                block=log.block_number,
                time=0,
                log=log.log_index,
                tx=log.tx_hash,
            )
            due = event.fields["due"]
            if event.id == wanted and isinstance(due, int):
                return due
    raise ChainError(
        f"transaction {to_hex(mined.tx or b'')} was mined without the purchase that it should make"
    )


def _assets_of(context: Context, own: Address) -> list[AssetId]:
    """Return the assets of which the account bought or received licences."""
    market, word = context.deployment.market, account_word(own)
    bought = context.ledger.find([TOPICS["Purchased"], None, None, word], contract=market)
    received = context.ledger.find([_TRANSFER, None, word], contract=market)
    found = dict.fromkeys(AssetId(log.topics[1]) for log in bought)
    known = {log.topics[2] for log in bought}
    for log in received:
        if log.topics[3] not in known:
            found[context.views.licence(PurchaseId(log.topics[3])).asset] = None
    return list(found)


def _require_state(purchase: PurchaseState, *allowed: State) -> None:
    if purchase.state not in allowed:
        raise RefusedError(
            f"purchase 0x{purchase.id.hex()} is {purchase.state.name.lower()}: that is not possible any more"
        )


def require_renewable(context: Context, purchase: PurchaseState, terms: Terms) -> None:
    """Check that a rental can be prolonged now.

    Raises:
        RefusedError: it cannot.
    """
    if terms.kind is not OfferKind.RENTAL:
        raise RefusedError("only a rental can be renewed; this licence never ends")
    _require_state(purchase, State.SETTLED)
    if context.now() > purchase.until:
        raise RefusedError("the rental has ended, and an ended one cannot be renewed: rent again")
    if purchase.until + terms.period > terms.renew_until:
        raise RefusedError("the terms allow no further renewal: rent again when it ends")
