"""What there is: assets, their versions and their offers."""

from __future__ import annotations

from steelyard.domain.records import AssetState, OfferState, VersionState
from steelyard.domain.types import AssetKind, State, VersionId
from steelyard.errors import NotFoundError, StoreError, VerificationError
from steelyard.service.context import Context
from steelyard.service.declare import code_files
from steelyard.service.naming import asset_name, canonical, find_asset
from steelyard.service.public import folder_cid, open_folder, read_card, read_text
from steelyard.service.results import AssetInfo, OfferInfo, VersionInfo

_PAID = (State.PAID, State.DELIVERED, State.SETTLED, State.REVOKED)


def list_assets(context: Context, *, query: str, kind: AssetKind | None) -> tuple[AssetInfo, ...]:
    """Return the market's assets; see :meth:`steelyard.Market.list`."""
    ledger = context.ledger.everything().refresh()
    found = []
    for asset in ledger.assets.values():
        name = asset_name(context, asset)
        if (kind is None or asset.kind is kind) and query.lower() in name:
            found.append(describe(context, asset, block=ledger.block, fetch=False))
    return tuple(found)


def info(context: Context, text: str, *, fetch: bool) -> AssetInfo:
    """Return an asset; see :meth:`steelyard.Market.info`."""
    asset = find_asset(context, text)
    return describe(context, asset, block=context.follow(asset.id).head.number, fetch=fetch)


def offers(context: Context, text: str, *, open_only: bool) -> tuple[OfferInfo, ...]:
    """Return the offers of an asset; see :meth:`steelyard.Market.offers`."""
    asset = find_asset(context, text)
    found = (describe_offer(context, asset, item, fetch=True) for item in asset.offers.values())
    return tuple(item for item in found if item.open or not open_only)


def describe(context: Context, asset: AssetState, *, block: int, fetch: bool) -> AssetInfo:
    """Return an asset with its versions and offers."""
    return AssetInfo(
        ref=asset_name(context, asset),
        canonical=canonical(context, asset.id),
        asset=asset.id,
        name=asset.label,
        kind=asset.kind,
        creator=asset.creator,
        owner=asset.owner,
        royalty=asset.royalty,
        registered_at=asset.registered_at,
        versions=tuple(_version(context, item, fetch=fetch) for item in asset.versions.values()),
        offers=tuple(describe_offer(context, asset, item, fetch=fetch) for item in asset.offers.values()),
        sales=sum(purchase.state in _PAID for purchase in asset.purchases.values()),
        block=block,
    )


def describe_offer(context: Context, asset: AssetState, offer: OfferState, *, fetch: bool) -> OfferInfo:
    """Return an offer."""
    only = asset.versions.get(VersionId(offer.terms.version))
    return OfferInfo(
        offer=offer.id,
        asset=asset.id,
        terms=offer.terms,
        opened_at=offer.opened_at,
        open=asset.is_open(offer),
        sold=offer.sold,
        text=_text(context, offer) if fetch else None,
        version=None if only is None else only.number,
    )


def _version(context: Context, version: VersionState, *, fetch: bool) -> VersionInfo:
    manifest, card = None, None
    if fetch:
        try:
            folder = open_folder(context, version.commitments)
            manifest, card = folder.manifest, read_card(context, folder)
        except (NotFoundError, StoreError, VerificationError):
            pass  # the chain's side is told all the same; `verify` says what is wrong
    return VersionInfo(
        version=version.id,
        number=version.number,
        commitments=version.commitments,
        cid=folder_cid(version.commitments),
        published_at=version.published_at,
        publisher=version.publisher,
        flagged=version.flagged,
        stage=version.stage,
        manifest=manifest,
        card=card,
        code=() if manifest is None else code_files(manifest),
    )


def _text(context: Context, offer: OfferState) -> str | None:
    try:
        return read_text(context, offer.terms.text)
    except StoreError:
        return None
