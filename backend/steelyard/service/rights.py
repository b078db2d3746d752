"""Ownership and roles: transfer of assets and licences, roles lent, licences revoked."""

from __future__ import annotations

from steelyard.domain.types import Address, OfferKind, Role, State
from steelyard.errors import InputError, RefusedError
from steelyard.service.context import Context
from steelyard.service.naming import find_asset, find_purchase
from steelyard.service.results import Sent


def transfer_asset(context: Context, text: str, to: Address | str) -> Sent:
    """Give an asset to another account; see :meth:`steelyard.Market.transfer_asset`."""
    asset = find_asset(context, text)
    target = _target(context, to)
    if asset.owner != context.account.address:
        raise RefusedError(f"{asset.label} is owned by 0x{asset.owner.hex()}, not by this account")
    return context.send(context.calls.transfer_asset(asset.id, owner=asset.owner, to=target))


def transfer_licence(context: Context, value: object, to: Address | str) -> Sent:
    """Give a licence to another account; see :meth:`steelyard.Market.transfer_licence`."""
    asset, licence = find_purchase(context, value)
    target = _target(context, to)
    terms = asset.offers[licence.offer].terms
    if licence.holder != context.account.address:
        raise RefusedError(
            f"licence 0x{licence.id.hex()} is held by 0x{licence.holder.hex()}, not by this account"
        )
    if not terms.transferable:
        raise RefusedError("the terms of this licence forbid to transfer it")
    if licence.state is not State.SETTLED:
        raise RefusedError(
            f"purchase 0x{licence.id.hex()} is {licence.state.name.lower()}: a licence can be transferred once it is settled"
        )
    return context.send(context.calls.transfer_licence(licence.id, holder=licence.holder, to=target))


def set_role(context: Context, text: str, account: Address | str, role: Role | str, *, granted: bool) -> Sent:
    """Lend a role or take it back; see :meth:`steelyard.Market.set_role`."""
    asset = find_asset(context, text)
    if isinstance(role, str):
        names = {item.name.lower(): item for item in Role}
        if role.lower() not in names:
            raise InputError(f"{role!r} is no role: {', '.join(names)}")
        role = names[role.lower()]
    if asset.owner != context.account.address:
        raise RefusedError(f"only its owner, 0x{asset.owner.hex()}, can lend roles of {asset.label}")
    return context.send(context.calls.set_role(asset.id, context.address(account), role, granted))


def revoke(context: Context, value: object) -> Sent:
    """End a free licence; see :meth:`steelyard.Market.revoke`."""
    asset, licence = find_purchase(context, value)
    terms = asset.offers[licence.offer].terms
    if not terms.revocable or licence.state is not State.SETTLED:
        kind = "rental" if terms.kind is OfferKind.RENTAL else "licence"
        raise RefusedError(f"{kind} 0x{licence.id.hex()} is not revocable by its terms, or not settled")
    if not asset.may(context.account.address, Role.SELLER):
        raise RefusedError(f"this account may not act for {asset.label}: its owner can lend the role")
    return context.send(context.calls.revoke(licence.id))


def _target(context: Context, to: Address | str) -> Address:
    target = context.address(to)
    # The contracts do not ask a receiver, so what goes to one of them, or nowhere, is lost.
    if target == bytes(20) or target in {item.address for item in context.deployment.contracts.values()}:
        raise InputError("the receiver is the zero address or a contract of this market: it would be lost")
    return target
