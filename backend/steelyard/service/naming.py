"""From references to assets, versions and purchases, and back to names for people."""

from __future__ import annotations

from steelyard.domain import ref as refs
from steelyard.domain.events import TOPICS
from steelyard.domain.records import AssetState, PurchaseState, RequestRecord, VersionState
from steelyard.domain.types import AssetId, PurchaseId, RequestId, VersionId
from steelyard.errors import InputError, NotFoundError
from steelyard.service.context import Context
from steelyard.service.results import KeyRequested, Purchase, Sale


def asset_name(context: Context, asset: AssetState, number: int | None = None) -> str:
    """Return how people name an asset or its version of that number."""
    return refs.short(asset.creator, asset.label, aliases=context.aliases, version=number)


def canonical(context: Context, asset: AssetId, version: VersionId | None = None) -> str:
    """Return the canonical reference."""
    return refs.canonical(
        asset, chain_id=context.chain_id, registry=context.deployment.assets, version=version
    )


def find_asset(context: Context, text: str) -> AssetState:
    """Return the asset that a reference names.

    Raises:
        NotFoundError: there is none.
        InputError: it is no reference, or one of another market.
    """
    try:
        return context.follow(context.asset_id(text)).state()
    except NotFoundError as exc:
        raise NotFoundError(f"no asset {text!r} in this market: check the name and the creator") from exc


def find_version(context: Context, text: str) -> tuple[AssetState, VersionState]:
    """Return the version that a reference names; the newest on sale if it names none, else the newest not flagged.

    Raises:
        NotFoundError: there is none.
        InputError: it is no reference, or one of another market.
    """
    asset = find_asset(context, text)
    return asset, pick_version(asset, context.parse(text).version)


def pick_version(asset: AssetState, wanted: int | VersionId | str | None) -> VersionState:
    """Return a version by number or id; the newest for ``latest``; for None the newest on sale, else the newest not flagged.

    Raises:
        NotFoundError: there is none.
    """
    versions = list(asset.versions.values())
    if wanted is None:
        on_sale = [version for version in versions if version.on_sale]
        sound = [version for version in versions if not version.flagged]
        return (on_sale or sound or versions)[-1]
    if wanted == refs.LATEST:
        return versions[-1]
    for version in versions:
        if wanted in (version.number, version.id):
            return version
    shown = f"0x{wanted.hex()}" if isinstance(wanted, bytes) else wanted
    raise NotFoundError(f"{asset.label} has no version {shown}; it has {len(versions)}")


def as_id(value: object, *, what: str) -> bytes:
    """Return 32 bytes from themselves, from hexadecimal, or from a result that has an id.

    Raises:
        InputError: it is none of these.
    """
    if isinstance(value, Purchase | Sale | KeyRequested):
        return value.id
    if isinstance(value, str):
        try:
            value = bytes.fromhex(value.removeprefix("0x"))
        except ValueError:
            value = b""
    if not isinstance(value, bytes) or len(value) != 32:
        raise InputError(f"that is no id of a {what}: 0x and 64 hexadecimal digits")
    return value


def find_purchase(context: Context, value: object) -> tuple[AssetState, PurchaseState]:
    """Return a purchase by its id, with its asset.

    Raises:
        NotFoundError: there is none.
        InputError: it is no id.
    """
    purchase = PurchaseId(as_id(value, what="purchase"))
    asset = context.views.licence(purchase).asset
    if asset == bytes(32):
        raise NotFoundError(f"no purchase 0x{purchase.hex()} in this market")
    state = context.follow(asset).state()
    if purchase not in state.purchases:
        raise NotFoundError(f"purchase 0x{purchase.hex()} was re-organised away: look again")
    return state, state.purchases[purchase]


def find_request(context: Context, value: object) -> tuple[AssetState, RequestRecord] | None:
    """Return a key request by its id, with its asset, or None if there is none.

    Raises:
        InputError: it is no id.
    """
    request = RequestId(as_id(value, what="key request"))
    topics = [TOPICS["KeyRequested"], None, request]
    logs = context.ledger.find(topics, contract=context.deployment.market)
    if not logs:
        return None
    state = context.follow(AssetId(logs[-1].topics[1])).state()
    record = state.requests.get(request)
    return None if record is None else (state, record)
