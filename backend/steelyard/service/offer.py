"""Offers: make and close them."""

from __future__ import annotations

import io
import json
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from steelyard.domain.allowlist import AllowList
from steelyard.domain.hash import sha256
from steelyard.domain.records import AssetState, OfferState, VersionState
from steelyard.domain.types import (
    NATIVE,
    Address,
    OfferId,
    OfferKind,
    Role,
    Scope,
    Terms,
    checked_amount,
)
from steelyard.errors import InputError, NotFoundError, RefusedError
from steelyard.service.context import Context, summary
from steelyard.service.naming import asset_name, find_asset, pick_version
from steelyard.service.public import MAX_TEXT
from steelyard.service.results import Offered, Sent

DEFAULT_TEXT: Final = """Licence of a model or dataset sold through Steelyard.

The holder of the licence may use the files for any purpose, in any number of copies of his own, and may keep what he makes with
them. He may not pass the files or their key on to others. Which versions it covers, for how long, and whether it may change
hands, stands in the terms of the offer on the chain. The files come as they are, without warranty of any kind.
"""
"""The licence of an offer whose seller gives none."""

HOUR: Final = 3600
MAX_TIME: Final = 30 * 24 * HOUR
MAX_PERIOD: Final = 3650 * 24 * HOUR
_SCOPES: Final = {"one": Scope.ONE, "until-end": Scope.UNTIL_END, "all": Scope.ALL}


def offer(
    context: Context,
    text_ref: str,
    *,
    price: int,
    currency: Address | str,
    rental_period: int | None,
    renew_until: int,
    scope: str,
    included_for: int,
    transferable: bool,
    revocable: bool,
    supply: int,
    allow: Iterable[Address | str],
    deliver_within: int,
    window: int,
    bond: int | None,
    text: str | bytes | Path | None,
    salt: int | None,
) -> Offered:
    """Make an offer; see :meth:`steelyard.Market.offer`."""
    asset = find_asset(context, text_ref)
    _require_seller(context, asset)
    licence = licence_text(text)
    allowed = [context.address(account) for account in allow]
    tree = AllowList(allowed) if allowed else None
    if scope not in _SCOPES:
        raise InputError(f"{scope!r} is no scope: {', '.join(_SCOPES)}")
    if bond is None:
        bond = context.deployment.min_bond if window else 0
    only = _only_version(context, text_ref, asset, bond=bond)
    terms = Terms(
        seller=context.account.address,
        currency=NATIVE if currency == NATIVE else context.address(currency),
        price=checked_amount(price),
        bond=checked_amount(bond),
        kind=OfferKind.PERPETUAL if rental_period is None else OfferKind.RENTAL,
        scope=_SCOPES[scope],
        transferable=transferable,
        revocable=revocable,
        period=included_for if rental_period is None else rental_period,
        renew_until=renew_until,
        supply=supply,
        deliver_within=deliver_within,
        window=window,
        allow_list=bytes(32) if tree is None else tree.root,
        text=sha256(licence),
        salt=secrets.randbits(64) if salt is None else salt,
        version=bytes(32) if only is None else only.id,
    )
    check_terms(terms, least_bond=context.deployment.min_bond)
    if not context.dry:
        keep_text(context, licence)
        if tree is not None:
            keep_allow_list(context, tree)
    mined = context.send(context.calls.make_offer(asset.id, terms))
    return Offered(
        ref=asset_name(context, asset),
        asset=asset.id,
        offer=terms.id(asset.id),
        terms=terms,
        version=None if only is None else only.number,
        **summary(mined),
    )


def close_offer(context: Context, text: str, wanted: OfferId | str) -> Sent:
    """Close an offer; see :meth:`steelyard.Market.close_offer`."""
    asset = find_asset(context, text)
    _require_seller(context, asset)
    found = find_offer(asset, wanted)
    if not asset.is_open(found):
        raise RefusedError(f"offer 0x{found.id.hex()} is closed already")
    return context.send(context.calls.close_offer(asset.id, found.terms))


def find_offer(asset: AssetState, wanted: OfferId | str) -> OfferState:
    """Return an offer of an asset by its id, or by the first digits of it (at least eight).

    Raises:
        NotFoundError: there is none.
        InputError: several begin so, or it is no id.
    """
    digits = wanted.hex() if isinstance(wanted, bytes) else wanted.lower().removeprefix("0x")
    if len(digits) < 8:
        raise InputError(f"{wanted!r} is too short for the id of an offer: give at least 8 digits")
    found = [item for item in asset.offers.values() if item.id.hex().startswith(digits)]
    if not found:
        raise NotFoundError(f"{asset.label} has no offer 0x{digits}: see its offers")
    if len(found) > 1:
        raise InputError(f"several offers of {asset.label} begin with 0x{digits}: give more digits")
    return found[0]


def check_terms(terms: Terms, *, least_bond: int) -> None:
    """Check what the contract would refuse, to say it in plainer words, and what would give a bond away.

    Raises:
        InputError: a rule of ``IOffers`` is broken, or anybody could reserve the whole bond for nothing.
    """
    timed = terms.kind is OfferKind.RENTAL or terms.scope is Scope.UNTIL_END
    if timed and not 0 < terms.period <= MAX_PERIOD:
        what = (
            "a rental needs its period"
            if terms.kind is OfferKind.RENTAL
            else "'until-end' needs included_for"
        )
        raise InputError(f"{what}, 1 second to 3,650 days")
    if not timed and terms.period:
        raise InputError("included_for belongs to the scope 'until-end'")
    if terms.kind is not OfferKind.RENTAL and terms.renew_until:
        raise InputError("only a rental can be renewed")
    if not HOUR <= terms.deliver_within <= MAX_TIME:
        raise InputError("the time for delivery is 1 hour to 30 days")
    if terms.window and not HOUR <= terms.window <= MAX_TIME:
        raise InputError("the content window is 0, or 1 hour to 30 days")
    if terms.window and terms.bond < least_bond:
        raise InputError(f"with a content window the bond is at least {least_bond} wei, what a dispute costs")
    if terms.revocable and terms.price:
        raise InputError("only a free licence can be revocable")
    if not terms.price and (terms.supply or terms.bond) and not any(terms.allow_list):
        raise InputError(
            "a free offer with a limited supply or a bond needs an allow-list, or one account could take it all"
        )
    if (
        not 0 <= terms.supply < 1 << 32
        or not 0 <= terms.renew_until < 1 << 40
        or not 0 <= terms.salt < 1 << 64
    ):
        raise InputError("supply, renew_until or salt is out of range")


def keep_allow_list(context: Context, tree: AllowList) -> None:
    """Keep an allow-list below home and in the store, so that proofs can be made from it."""
    path = context.home / "allow" / f"{tree.root.hex()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(["0x" + account.hex() for account in tree.accounts]))


def allow_proof(context: Context, terms: Terms, *, given: Iterable[Address | str] = ()) -> tuple[bytes, ...]:
    """Return the proof that the account may buy under an offer; empty if everybody may.

    Args:
        context: market and account.
        terms: of the offer.
        given: the allow-list, as the seller gave it; not needed if it is kept below home, or names the
            account alone.

    Raises:
        RefusedError: the account is not on the list, or the list is not known.
    """
    if not any(terms.allow_list):
        return ()
    own = context.account.address
    candidates = [[context.address(account) for account in given], [own], _kept(context, terms.allow_list)]
    for accounts in candidates:
        if accounts and (tree := AllowList(accounts)).root == terms.allow_list:
            if own not in tree.accounts:
                raise RefusedError(f"account 0x{own.hex()} is not on the offer's allow-list")
            return tree.proof(own)
    raise RefusedError(
        "the offer has an allow-list that is not known here: ask the seller for it and give it along"
    )


def _kept(context: Context, root: bytes) -> list[Address]:
    try:
        items = json.loads((context.home / "allow" / f"{root.hex()}.json").read_bytes())
        return [Address(bytes.fromhex(item[2:])) for item in items]
    except (OSError, ValueError, TypeError):
        return []


def _only_version(context: Context, text: str, asset: AssetState, *, bond: int) -> VersionState | None:
    """Return the version that an offer is bound to: the one its reference names; with a bond at least the newest.

    A bond answers for what its seller can deliver, not for what a maintainer publishes later.
    """
    wanted = context.parse(text).version
    if wanted is None and not bond:
        return None
    version = pick_version(asset, wanted)
    if version.flagged:
        raise RefusedError(
            f"{asset_name(context, asset, version.number)} was proved false: nobody could buy it"
        )
    return version


def _require_seller(context: Context, asset: AssetState) -> None:
    if not asset.may(context.account.address, Role.SELLER):
        raise RefusedError(
            f"account 0x{context.account.address.hex()} may not sell {asset.label}: its owner can lend the role"
        )


def licence_text(text: str | bytes | Path | None) -> bytes:
    """Return the licence's bytes; given as bytes it is never looked for as a file."""
    if text is None:
        return DEFAULT_TEXT.encode()
    if isinstance(text, str) and "\n" not in text and len(text) < 4096 and Path(text).is_file():
        text = Path(text)
    if isinstance(text, Path):
        try:
            data = text.read_bytes()
            data.decode()
        except (OSError, UnicodeDecodeError) as exc:
            raise InputError(f"cannot read the licence {text}: it must be a text file in UTF-8") from exc
    else:
        data = text.encode() if isinstance(text, str) else text
    if not 0 < len(data) <= MAX_TEXT:
        raise InputError(f"the text of a licence has 1 to {MAX_TEXT} bytes, not {len(data)}")
    return data


def keep_text(context: Context, data: bytes) -> None:
    """Put a licence's text into the store, where buyers find it by its digest."""
    # At most 1 MiB, so the file is one raw block, named by the digest that stands in the terms.
    context.store.pin(context.store.add_file(io.BytesIO(data)))
