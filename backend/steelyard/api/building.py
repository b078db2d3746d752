"""From the arguments of an act to the calls that it takes: each in one function, over the use cases of the client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from steelyard.api import acts
from steelyard.api.words import amount, coin, hex_bytes, number, point, signature_parts
from steelyard.chain.calls import KeyProof, Permit
from steelyard.crypto.curve import require_on_curve
from steelyard.domain.point import Point
from steelyard.domain.records import AssetState, VersionState
from steelyard.domain.types import (
    AssetId,
    KeyRequest,
    NodeId,
    OfferKind,
    Order,
    RequestState,
    Role,
    Stage,
    Version,
    asset_id,
    name_of,
    name_word,
)
from steelyard.errors import InputError, NotFoundError, ProofError, RefusedError, VerificationError
from steelyard.service import books, rights, stages
from steelyard.service.checked import check
from steelyard.service.keyrequest import plan_request, return_fee
from steelyard.service.naming import asset_name, find_asset, find_purchase
from steelyard.service.offer import close_offer, find_offer, offer
from steelyard.service.prepare import PermitRequest, Preparing, collect_paid
from steelyard.service.publish import MAX_ROYALTY
from steelyard.service.purchase import refund, require_renewable, settle
from steelyard.service.sealing import SCHEME
from steelyard.service.select import choose, require_sellable
from steelyard.service.seller_methods import as_kind

CHECKED_SIZE: Final = 64 << 20
"""Bytes of a version up to which its content is checked here before a purchase is prepared; the buyer's client checks all of any size."""
_KEPT_TEXT: Final = "sign in as that account, and the text of the licence is kept in the store; it was not"


@dataclass(frozen=True, kw_only=True)
class Told:
    """What is said of an act.

    Attributes:
        sentence: what it does, for a person.
        price: smallest units that it pays or moves, beside gas; 0 if none.
        currency: of the price.
        ids: what will come of it, by kind.
        permit: what may be signed in place of an approval.
        notes: what to know first.
    """

    sentence: str
    price: int = 0
    currency: bytes = bytes(20)
    ids: Mapping[str, bytes] = field(default_factory=dict)
    permit: PermitRequest | None = None
    notes: tuple[str, ...] = ()


def _version(asset: AssetId, given: acts.Commitments) -> Version:
    key = point(given.key, "key")
    try:
        require_on_curve(key, "key")
    except ProofError as exc:
        raise InputError(str(exc)) from exc
    if given.scheme != SCHEME:
        raise InputError(f"scheme {given.scheme} is not known: {SCHEME}")
    return Version(
        asset=asset,
        folder=hex_bytes(given.folder, 32, "folder"),
        content_root=hex_bytes(given.content_root, 32, "content_root"),
        size=number(given.size, 1, 1 << 52, "size"),
        scheme=given.scheme,
        key=key,
        node=NodeId(hex_bytes(given.node, 32, "node")),
    )


def _owned(given: acts.KeyOwned) -> KeyProof:
    return KeyProof(number(given.v, 27, 28, "v"), hex_bytes(given.r, 32, "r"), hex_bytes(given.s, 32, "s"))


def register(context: Preparing, body: acts.Register) -> Told:
    """Register an asset with its first version."""
    word = name_word(body.name)
    royalty = number(body.royalty, 0, MAX_ROYALTY, "royalty")
    asset = asset_id(
        chain_id=context.chain_id,
        registry=context.deployment.assets,
        creator=context.account.address,
        name=word,
    )
    version = _version(asset, body.version)
    if context.views.owner_of(asset) is not None:
        raise RefusedError(f"this account has an asset {name_of(word)!r} already: publish a version of it")
    kind = as_kind(body.kind)  # type: ignore[arg-type]  # it checks the text
    context.send(context.calls.register(word, kind, royalty, version, _owned(body.proof)))
    return Told(
        sentence=f"Register the {kind.name.lower()} {name_of(word)} with its first version, {version.size} bytes",
        ids={"asset": asset, "version": version.id},
    )


def publish_version(context: Preparing, body: acts.PublishVersion) -> Told:
    """Publish a further version."""
    asset = find_asset(context, body.asset)
    if not asset.may(context.account.address, Role.MAINTAINER):
        raise RefusedError(
            f"this account neither owns nor maintains {asset.label}: its owner can lend the role"
        )
    version = _version(asset.id, body.version)
    context.send(context.calls.publish(version, _owned(body.proof)))
    number_ = len(asset.versions) + 1
    return Told(
        sentence=f"Publish version {number_} of {asset_name(context, asset)}, {version.size} bytes",
        ids={"asset": asset.id, "version": version.id},
    )


def make_offer(context: Preparing, body: acts.MakeOffer) -> Told:
    """Offer an asset."""
    price = amount(body.price, "price")
    made = offer(
        context,
        body.asset,
        price=price,
        currency=body.currency,
        rental_period=body.rental_period,
        renew_until=body.renew_until,
        scope=body.scope,
        included_for=body.included_for,
        transferable=body.transferable,
        revocable=body.revocable,
        supply=body.supply,
        allow=body.allow,
        deliver_within=body.deliver_within,
        window=body.window,
        bond=None if body.bond is None else amount(body.bond, "bond"),
        text=None
        if body.text is None
        else body.text.encode(),  # bytes, or it could name a file of this machine
        salt=None if body.salt is None else amount(body.salt, "salt"),
    )
    kind = (
        "a perpetual licence"
        if made.terms.kind is OfferKind.PERPETUAL
        else f"{made.terms.period} s of rental"
    )
    which = made.ref if made.version is None else f"version {made.version} of {made.ref}"
    return Told(
        sentence=f"Offer {kind} of {which} for {coin(context, price, made.terms.currency)}",
        ids={"asset": made.asset, "offer": made.offer, "text": made.terms.text},
        notes=(_KEPT_TEXT,) if context.dry else (),
    )


def end_offer(context: Preparing, body: acts.CloseOffer) -> Told:
    """Close an offer."""
    close_offer(context, body.asset, body.offer)
    asset = find_asset(context, body.asset)
    found = find_offer(asset, body.offer)
    return Told(
        sentence=f"Close offer 0x{found.id.hex()[:8]}... of {asset_name(context, asset)} for ever",
        ids={"offer": found.id},
    )


def buy(context: Preparing, body: acts.Buy) -> Told:
    """Pay for a version, after the checks that the client makes."""
    most = amount(body.max_price, "max_price")
    key = _fresh_point(body.key)
    choice = choose(context, body.asset, offer=body.offer, rental=body.rental, allow=body.allow)
    terms = choice.offer.terms
    if terms.price > most:
        raise RefusedError(f"{choice.name} costs {terms.price}, above the {most} that may be paid")
    require_sellable(context, choice)
    notes = _check_content(context, choice.version, choice.name)
    order = Order(
        version=choice.version.commitments,
        terms=terms,
        buyer=context.account.address,
        salt=hex_bytes(body.salt, 32, "salt"),
        key=key,
    )
    if body.permit is None:
        call = context.calls.buy(order, choice.proof)
    else:
        v, r, s = signature_parts(body.permit.signature)
        permit = Permit(terms.price, body.permit.deadline, v, r, s)
        call = context.calls.buy_with_permit(order, permit, choice.proof)
    wanted = collect_paid(context, terms, call, permitted=body.permit is not None)
    if terms.kind is OfferKind.PERPETUAL:
        what = f"a perpetual licence of {choice.name}"
    else:
        what = f"a rental of {choice.name} for {terms.period} s"
    window = f", then {terms.window} s in which wrong content can be proved" if terms.window else ""
    return Told(
        sentence=(
            f"Buy {what} from 0x{terms.seller.hex()} for {coin(context, terms.price, terms.currency)}, held by the market until "
            f"the key is delivered (within {terms.deliver_within} s, else it can be taken back){window}"
        ),
        price=terms.price,
        currency=terms.currency,
        ids={
            "purchase": order.id(chain_id=context.chain_id, market=context.deployment.market),
            "version": choice.version.id,
            "offer": choice.offer.id,
        },
        permit=wanted,
        notes=notes,
    )


def _fresh_point(text: str) -> Point:
    found = point(text, "key")
    try:
        return require_on_curve(found, "key")
    except ProofError as exc:
        raise InputError(str(exc)) from exc


def _check_content(context: Preparing, version: VersionState, name: str) -> tuple[str, ...]:
    """Check a small version's public folder; say so where it is the client's to do."""
    if version.commitments.size > CHECKED_SIZE:
        return ("the content is large and was not checked here: the client checks it before paying",)
    try:
        check(context, version, name=name)
    except (NotFoundError, VerificationError) as exc:
        raise RefusedError(f"{name} is not what the chain commits to, or not here: {exc}") from exc
    return ()


def renew(context: Preparing, body: acts.Renew) -> Told:
    """Prolong a rental."""
    most = amount(body.max_price, "max_price")
    asset, purchase = find_purchase(context, body.purchase)
    terms = asset.offers[purchase.offer].terms
    if terms.price > most:
        raise RefusedError(f"renewing costs {terms.price}, above the {most} that may be paid")
    require_renewable(context, purchase, terms)
    collect_paid(context, terms, context.calls.renew(asset.order(purchase)), permitted=False)
    return Told(
        sentence=(
            f"Prolong the rental of {asset_name(context, asset)} by {terms.period} s for "
            f"{coin(context, terms.price, terms.currency)}"
        ),
        price=terms.price,
        currency=terms.currency,
        ids={"purchase": purchase.id},
    )


def request_key(context: Preparing, body: acts.RequestKey) -> Told:
    """Ask for a key."""
    key = _fresh_point(body.key)
    fee = amount(body.fee, "fee")
    asset, licence, version = plan_request(
        context, body.licence, body.version, within=body.within, now=context.now(), has_key=_has_key(context)
    )
    name = asset_name(context, asset, version.number)
    notes = _check_content(context, version, name)
    context.send(context.calls.request_key(licence.id, version.id, key, within=body.within, fee=fee))
    request = KeyRequest(licence=licence.id, version=version.id, holder=context.account.address, key=key)
    return Told(
        sentence=f"Ask for the key of {name} within {body.within} s, for a fee of {coin(context, fee)}",
        price=fee,
        ids={
            "request": request.id(chain_id=context.chain_id, market=context.deployment.market),
            "licence": licence.id,
            "version": version.id,
        },
        notes=notes,
    )


def _has_key(context: Preparing) -> Callable[[AssetState, VersionState], bool]:
    """Return what tells, from the chain alone, whether a key of a version was delivered to the account."""
    own = context.account.address

    def has_key(asset: AssetState, version: VersionState) -> bool:
        bought = any(
            item.version == version.id and item.buyer == own and item.delivered is not None
            for item in asset.purchases.values()
        )
        return bought or any(
            item.state is RequestState.ANSWERED
            and item.request.version == version.id
            and item.request.holder == own
            for item in asset.requests.values()
        )

    return has_key


def give_fee_back(context: Preparing, body: acts.ReturnFee) -> Told:
    """Take a fee back."""
    return_fee(context, body.request)
    return Told(sentence=f"Take the fee of key request {body.request} back")


def settle_purchase(context: Preparing, body: acts.OfPurchase) -> Told:
    """Settle a purchase."""
    found = settle(context, body.purchase)
    return Told(
        sentence=f"Settle the purchase of {found.ref}: its price becomes income of the version",
        ids={"purchase": found.id},
    )


def refund_purchase(context: Preparing, body: acts.OfPurchase) -> Told:
    """Refund a purchase."""
    found = refund(context, body.purchase)
    terms = found.order.terms
    return Told(
        sentence=f"Give {coin(context, terms.price, terms.currency)} back to whoever paid for {found.ref}",
        ids={"purchase": found.id},
    )


def revoke(context: Preparing, body: acts.Revoke) -> Told:
    """End a free licence."""
    rights.revoke(context, body.licence)
    return Told(sentence=f"End the free licence {body.licence}")


def transfer_asset(context: Preparing, body: acts.TransferAsset) -> Told:
    """Give an asset away."""
    rights.transfer_asset(context, body.asset, body.to)
    return Told(
        sentence=f"Give {body.asset} to {body.to}: ends its roles and open offers, moves no income and no key"
    )


def transfer_licence(context: Preparing, body: acts.TransferLicence) -> Told:
    """Give a licence away."""
    rights.transfer_licence(context, body.licence, body.to)
    return Told(sentence=f"Give licence {body.licence} to {body.to}")


def move_stage(context: Preparing, body: acts.MoveStage) -> Told:
    """Move a version to another stage."""
    moved = stages.move_stage(context, body.version, body.stage, body.reason)
    final = ", for ever" if moved.stage is Stage.RETIRED else ""
    return Told(
        sentence=f"Move {moved.ref} from {moved.before.name.lower()} to {moved.stage.name.lower()}{final}",
        ids={"version": moved.version},
    )


def set_role(context: Preparing, body: acts.SetRole) -> Told:
    """Lend a role or take it back."""
    rights.set_role(context, body.asset, body.account, body.role, granted=body.granted)
    does = "Lend the role" if body.granted else "Take back the role"
    return Told(sentence=f"{does} {body.role.lower()} of {body.asset}: {body.account}")


def claim(context: Preparing, body: acts.Claim) -> Told:
    """Claim what nodes owe."""
    currency = None if body.currency is None else context.address(body.currency)
    owed = [
        item
        for item in books.income(context, body.asset, account=context.account.address)
        if item.owed and currency in (None, item.currency)
    ]
    if not owed:
        raise RefusedError(f"the revenue nodes of {body.asset} owe nothing to this account")
    for item in owed:
        context.send(context.calls.claim(item.salt, item.positions, item.index, item.currency))
    sums = ", ".join(coin(context, item.owed, item.currency) for item in owed)
    return Told(sentence=f"Claim {sums} from the revenue of {body.asset} into the account's books")


def withdraw(context: Preparing, body: acts.Withdraw) -> Told:
    """Take money out of the books."""
    taken = books.withdraw(
        context,
        None if body.amount is None else amount(body.amount, "amount"),
        currency=body.currency,
        to=body.to,
        claim_first=False,
        text=None,
    )
    money = coin(context, taken.amount, taken.currency)
    return Told(sentence=f"Withdraw {money} from the books to 0x{taken.to.hex()}")


def fund_bond(context: Preparing, body: acts.FundBond) -> Told:
    """Set wei aside as bond."""
    wei = amount(body.amount, "amount")
    books.fund_bond(context, wei, seller=body.seller)
    whose = "" if body.seller is None else f" of {body.seller}"
    return Told(sentence=f"Set {coin(context, wei)} aside as bond{whose}", price=wei)


def withdraw_bond(context: Preparing, body: acts.WithdrawBond) -> Told:
    """Move free bond to the account's books."""
    wei = amount(body.amount, "amount")
    books.take_bond(context, wei)
    return Told(sentence=f"Move {coin(context, wei)} of free bond to the account's books")


ACTS: Final[Mapping[str, tuple[type[acts.Act], Callable[[Preparing, Any], Told]]]] = {
    "register": (acts.Register, register),
    "publish-version": (acts.PublishVersion, publish_version),
    "offer": (acts.MakeOffer, make_offer),
    "close-offer": (acts.CloseOffer, end_offer),
    "buy": (acts.Buy, buy),
    "renew": (acts.Renew, renew),
    "request-key": (acts.RequestKey, request_key),
    "return-fee": (acts.ReturnFee, give_fee_back),
    "settle": (acts.OfPurchase, settle_purchase),
    "refund": (acts.OfPurchase, refund_purchase),
    "revoke": (acts.Revoke, revoke),
    "transfer-asset": (acts.TransferAsset, transfer_asset),
    "transfer-licence": (acts.TransferLicence, transfer_licence),
    "set-role": (acts.SetRole, set_role),
    "move-stage": (acts.MoveStage, move_stage),
    "claim": (acts.Claim, claim),
    "withdraw": (acts.Withdraw, withdraw),
    "fund-bond": (acts.FundBond, fund_bond),
    "withdraw-bond": (acts.WithdrawBond, withdraw_bond),
}
"""What reads and what builds each act."""
