"""Which version and which offer a buyer means, and whether paying for them is safe."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from steelyard.chain.erc20 import Token
from steelyard.domain.records import AssetState, OfferState, VersionState
from steelyard.domain.types import NATIVE, Address, OfferId, OfferKind, Terms, VersionId
from steelyard.errors import NotFoundError, RefusedError, StoreError, UnsafeError, VerificationError
from steelyard.service.checked import check, keep
from steelyard.service.context import FINALIZED, LEAST_MARGIN, Context
from steelyard.service.declare import code_files
from steelyard.service.naming import asset_name, find_asset, pick_version
from steelyard.service.offer import allow_proof, find_offer
from steelyard.service.public import Progress, open_folder, read_text
from steelyard.service.sealing import SCHEME
from steelyard.service.stages import not_on_sale, require_on_sale, warning

_FINALITY = 1200
"""Seconds after which a block is final on Ethereum, with room to spare."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What is to be bought. ``proof`` shows that the account is on the offer's allow-list."""

    asset: AssetState
    version: VersionState
    offer: OfferState
    proof: tuple[bytes, ...]
    name: str


def choose(
    context: Context,
    text: str,
    *,
    offer: OfferId | str | None,
    rental: bool | None,
    allow: Iterable[Address | str],
) -> Choice:
    """Return version and offer for a reference.

    Raises:
        NotFoundError: there is no such asset, version or offer.
        RefusedError: no open offer lets the account in.
        NotOnSaleError: the version is in a stage that is not sold.
        UnsafeError: the version was proved false.
    """
    asset = find_asset(context, text)
    wanted = context.parse(text).version
    given = list(allow)
    if offer is not None:
        found = find_offer(asset, offer)
        version = _version_under(context, asset, found, wanted)
        if rental is not None and rental != (found.terms.kind is OfferKind.RENTAL):
            kind = "a rental" if found.terms.kind is OfferKind.RENTAL else "a perpetual licence"
            raise RefusedError(f"offer 0x{found.id.hex()} is of {kind}")
        _require_open(asset, found)
    else:
        version = pick_version(asset, wanted)
        _require_sound(context, asset, version)
        usable = _usable(context, asset, rental=rental, allow=given)
        if wanted is None:
            version = _newest_sold(asset, usable) or version
        name = asset_name(context, asset, version.number)
        found = _cheapest([item for item in usable if _sells(item, version)], rental=rental, name=name)
    proof = allow_proof(context, found.terms, given=given) if context.has_account else ()
    name = asset_name(context, asset, version.number)
    return Choice(asset=asset, version=version, offer=found, proof=proof, name=name)


def _version_under(
    context: Context, asset: AssetState, offer: OfferState, wanted: int | VersionId | str | None
) -> VersionState:
    """Return the version that is bought under an offer: the one that is wanted, else the one that the offer is bound to."""
    only = offer.terms.version
    if any(only) and VersionId(only) not in asset.versions:
        raise RefusedError(
            f"offer 0x{offer.id.hex()} sells a version that was never published: choose another"
        )
    version = pick_version(asset, VersionId(only) if wanted is None and any(only) else wanted)
    _require_sound(context, asset, version)
    if not _sells(offer, version):
        raise RefusedError(
            f"offer 0x{offer.id.hex()} sells version {asset.versions[VersionId(only)].number} and no other: choose another"
        )
    return version


def _require_sound(context: Context, asset: AssetState, version: VersionState) -> None:
    if version.flagged:
        raise UnsafeError(
            f"{asset_name(context, asset, version.number)} was proved false, by purchase "
            f"0x{(version.flagged_by or b'').hex()}: nobody can buy it"
        )
    require_on_sale(asset_name(context, asset, version.number), version)


def _sells(offer: OfferState, version: VersionState) -> bool:
    return offer.terms.version in (bytes(32), version.id)


def _newest_sold(asset: AssetState, offers: list[OfferState]) -> VersionState | None:
    """Return the newest version on sale that one of the offers sells."""
    for version in reversed(list(asset.versions.values())):
        if version.on_sale and any(_sells(offer, version) for offer in offers):
            return version
    return None


def _require_open(asset: AssetState, offer: OfferState) -> None:
    if not asset.is_open(offer):
        raise RefusedError(f"offer 0x{offer.id.hex()} is closed: choose another")
    if offer.terms.supply and offer.sold >= offer.terms.supply:
        raise RefusedError(
            f"all {offer.terms.supply} licences of offer 0x{offer.id.hex()} are out: choose another"
        )


def _usable(
    context: Context, asset: AssetState, *, rental: bool | None, allow: list[Address | str]
) -> list[OfferState]:
    """Return the open offers that let the account in."""
    found = []
    for offer in asset.offers.values():
        if rental is not None and rental != (offer.terms.kind is OfferKind.RENTAL):
            continue
        try:
            _require_open(asset, offer)
            if context.has_account:
                allow_proof(context, offer.terms, given=allow)
        except RefusedError:
            continue
        found.append(offer)
    return found


def _cheapest(found: list[OfferState], *, rental: bool | None, name: str) -> OfferState:
    if not found:
        kind = {None: "", True: " rental", False: " perpetual"}[rental]
        raise RefusedError(f"there is no open{kind} offer of {name} for this account: see its offers")
    native = [offer for offer in found if offer.terms.currency == NATIVE]
    if not native and len({offer.terms.currency for offer in found}) > 1:
        raise RefusedError(f"the offers of {name} are in several currencies: name one of them")
    return min(native or found, key=lambda offer: offer.terms.price)


def require_safe(context: Context, choice: Choice, *, progress: Progress | None) -> None:
    """Check everything that can be checked before paying.

    Raises:
        UnsafeError: the public folder is missing or wrong, or the client does not know how the key would be
            delivered.
        RefusedError: the seller's bond does not cover another purchase.
        StoreError: the store does not answer.
        ChainError: the endpoint failed.
    """
    require_sellable(context, choice)
    try:
        found = check(context, choice.version, name=choice.name, progress=progress)
        if not context.dry:
            keep(context, found)
    except NotFoundError as exc:
        raise UnsafeError(f"{choice.name} is not whole in the store, so nothing was paid: {exc}") from exc
    except VerificationError as exc:
        raise UnsafeError(
            f"{choice.name} is not what the chain commits to, so nothing was paid: {exc}"
        ) from exc


def require_sellable(context: Context, choice: Choice) -> None:
    """Check what the contracts say before paying; the content is another matter.

    Raises:
        UnsafeError: the version was proved false, or the client does not know how its key would be delivered.
        RefusedError: the offer is closed, or the seller's bond does not cover another purchase.
        NotOnSaleError: the version is in a stage that is not sold.
        ChainError: the endpoint failed.
    """
    commitments, terms = choice.version.commitments, choice.offer.terms
    if commitments.scheme != SCHEME:
        raise UnsafeError(
            f"{choice.name} delivers its key by scheme {commitments.scheme}: use a newer client"
        )
    # The trail's word is compared with what the contracts answer, at one block.
    if context.views.flagged(choice.version.id):
        raise UnsafeError(f"{choice.name} was proved false; nothing was paid")
    offer = context.views.offer(choice.offer.id)
    epoch, published_at = context.views.sale_state(choice.asset.id, choice.version.id)
    if not offer.opened_at or offer.closed or offer.epoch != epoch:
        raise RefusedError(f"offer 0x{choice.offer.id.hex()} is closed; nothing was paid")
    if not published_at:
        if stage := context.views.stage(choice.version.id):
            raise not_on_sale(choice.name, stage)
        raise UnsafeError(f"{choice.name} is not on the chain any more; nothing was paid")
    if terms.bond and context.views.free_bond(terms.seller) < terms.bond:
        raise RefusedError(
            "the seller's bond does not cover another purchase: he must fund it, or wait for open ones"
        )


def licence_text(context: Context, terms: Terms) -> str | None:
    """Return the licence's text, or None if the store does not have it or does not answer."""
    try:
        return read_text(context, terms.text)
    except StoreError:
        return None


def warnings(context: Context, choice: Choice, *, text: str | None) -> tuple[str, ...]:
    """Return what a careful buyer should read first."""
    terms = choice.offer.terms
    found = _code_warnings(context, choice)
    if deprecated := warning(choice.version):
        found.append(deprecated)
    found += ["not attested: nobody vouches that the model is good, only that the bytes are those committed"]
    if terms.price and not terms.window:
        found.append("no content window: once the key is delivered, wrong content gives no refund")
    if text is None:
        found.append(
            f"the text of the licence (SHA-256 {terms.text.hex()}) is not in the store: ask the seller for it"
        )
    if terms.currency != NATIVE:
        found.append(
            f"the price is in the token 0x{terms.currency.hex()}: whoever made it decides what it is worth"
        )
    if (
        context.settings.depth_on(context.chain_id) == FINALIZED
        and terms.deliver_within < _FINALITY + LEAST_MARGIN
    ):
        found.append("the time for delivery is so short that a careful seller may not deliver")
    if terms.kind is OfferKind.RENTAL:
        found.append("a rental's end binds by law, not by technique: who has the key can keep it")
    return tuple(found)


def _code_warnings(context: Context, choice: Choice) -> list[str]:
    """Return a warning if files of a version run code when they are loaded, or if that cannot be known now."""
    try:
        paths = code_files(open_folder(context, choice.version.commitments).manifest)
    except (NotFoundError, StoreError, VerificationError):
        return [
            "the manifest is not in the store now, so nobody can say whether a file runs code when it is loaded"
        ]
    if not paths:
        return []
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return [
        f"RUNS CODE WHEN LOADED: {', '.join(map(ascii, paths[:3]))}{more}. Load it only if you trust the seller"
    ]


def holdings(context: Context, terms: Terms) -> tuple[int, int]:
    """Return balance and allowance of the account in the currency of an offer; zeros without an account."""
    if not context.has_account:
        return 0, 0
    own = context.account.address
    if terms.currency == NATIVE:
        return context.rpc.get_balance(own), 0
    token = Token(context.rpc, terms.currency)
    return token.balance_of(own), token.allowance(own, context.deployment.market)
