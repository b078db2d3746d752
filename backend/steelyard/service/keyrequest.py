"""Key requests: the key of a new version under an entitlement, or the first one after a transfer."""

from __future__ import annotations

from collections.abc import Callable

from steelyard.crypto.delivery import blind
from steelyard.domain.events import TOPICS
from steelyard.domain.records import AssetState, PurchaseState, RequestRecord, VersionState
from steelyard.domain.types import (
    AssetId,
    KeyRequest,
    RequestState,
    VersionId,
    account_word,
    checked_amount,
)
from steelyard.errors import InputError, NotFoundError, RefusedError, UnsafeError, VerificationError
from steelyard.service.checked import check
from steelyard.service.context import Context, Mined, summary
from steelyard.service.keys import received, request_scalar
from steelyard.service.naming import asset_name, find_asset, find_purchase, find_request, pick_version
from steelyard.service.offer import HOUR, MAX_TIME
from steelyard.service.results import KeyRequested, Sent


def request_key(
    context: Context, value: object, wanted: str | int | VersionId | None, *, fee: int, within: int
) -> KeyRequested:
    """Ask for a key; see :meth:`steelyard.Market.request_key`."""
    own = context.account.address
    now = context.now()
    asset, licence, version = plan_request(
        context,
        value,
        wanted,
        within=within,
        now=now,
        has_key=lambda asset, version: bool(received(context, asset, version)),
    )
    name = asset_name(context, asset, version.number)
    try:
        check(context, version, name=name)
    except (NotFoundError, VerificationError) as exc:
        raise UnsafeError(f"{name} is not what the chain commits to, so its key is of no use: {exc}") from exc
    counter = _counter(asset, licence, version)
    key = blind(request_scalar(context, licence=licence.id, version=version.id, counter=counter))
    call = context.calls.request_key(licence.id, version.id, key, within=within, fee=checked_amount(fee))
    mined = context.send(call)
    request = KeyRequest(licence=licence.id, version=version.id, holder=own, key=key)
    record = RequestRecord(
        id=request.id(chain_id=context.chain_id, market=context.deployment.market),
        asset=asset.id,
        request=request,
        state=RequestState.OPEN,
        fee=fee,
        due=now + within,
        asked_at=now,
        block=mined.block or 0,
    )
    if not context.dry:
        record = context.follow(asset.id).state().requests.get(record.id, record)
    return describe(context, asset, record, mined)


def plan_request(
    context: Context,
    value: object,
    wanted: str | int | VersionId | None,
    *,
    within: int,
    now: int,
    has_key: Callable[[AssetState, VersionState], bool],
) -> tuple[AssetState, PurchaseState, VersionState]:
    """Return asset, licence and version of a key request that the account may make.

    Args:
        context: market and account.
        value: the licence.
        wanted: reference, number or id of the version; the newest that is covered and whose key is lacking if None.
        within: seconds for the delivery.
        now: Unix seconds.
        has_key: tells whether the account has a key of a version.

    Raises:
        InputError: an argument is out of range, or of another asset.
        RefusedError: the licence is not the account's, not valid, or does not cover the version; or it has that key.
        UnsafeError: the version was proved false.
        NotFoundError: there is no such licence or version.
    """
    if not HOUR <= within <= MAX_TIME:
        raise InputError("the time for delivery is 1 hour to 30 days")
    asset, licence = find_purchase(context, value)
    if licence.holder != context.account.address:
        raise RefusedError(
            f"licence 0x{licence.id.hex()} is held by 0x{licence.holder.hex()}, not by this account"
        )
    if not asset.is_valid(licence, at=now):
        raise RefusedError(f"licence 0x{licence.id.hex()} is not valid (any more, or yet)")
    version = _wanted(context, asset, licence, wanted, now=now, has_key=has_key)
    name = asset_name(context, asset, version.number)
    if has_key(asset, version):
        raise RefusedError(f"this account has a key of {name} already: pull it")
    if version.flagged:
        raise UnsafeError(f"{name} was proved false: its key is not delivered any more")
    return asset, licence, version


def requests(context: Context, text: str | None) -> tuple[KeyRequested, ...]:
    """Return the account's key requests; see :meth:`steelyard.Market.requests`."""
    own = context.account.address
    if text is not None:
        assets = [find_asset(context, text)]
    else:
        topics = [TOPICS["KeyRequested"], None, None, account_word(own)]
        logs = context.ledger.find(topics, contract=context.deployment.market)
        assets = [
            context.follow(AssetId(asset)).state() for asset in dict.fromkeys(log.topics[1] for log in logs)
        ]
    found = [
        (asset, record)
        for asset in assets
        for record in asset.requests.values()
        if record.request.holder == own
    ]
    found.sort(key=lambda pair: pair[1].asked_at)
    return tuple(describe(context, asset, record) for asset, record in found)


def return_fee(context: Context, value: object) -> Sent:
    """Take a fee back; see :meth:`steelyard.Market.return_fee`."""
    found = find_request(context, value)
    if found is None:
        raise NotFoundError("there is no such key request in this market")
    _, record = found
    if record.state is not RequestState.OPEN:
        raise RefusedError(
            f"key request 0x{record.id.hex()} is {record.state.name.lower()}: there is no fee in it"
        )
    return context.send(context.calls.return_fee(record.request))


def describe(context: Context, asset: AssetState, record: RequestRecord, *mined: Mined) -> KeyRequested:
    """Return a key request for the outside."""
    version = asset.versions.get(record.request.version)
    return KeyRequested(
        ref=asset_name(context, asset, None if version is None else version.number),
        id=record.id,
        licence=record.request.licence,
        asset=asset.id,
        version=record.request.version,
        fee=record.fee,
        due=record.due,
        state=record.state,
        **summary(*mined),
    )


def _wanted(
    context: Context,
    asset: AssetState,
    licence: PurchaseState,
    wanted: str | int | VersionId | None,
    *,
    now: int,
    has_key: Callable[[AssetState, VersionState], bool],
) -> VersionState:
    if wanted is None:
        covered = [
            item
            for item in asset.versions.values()
            if asset.covers(licence, item, at=now) and not item.flagged and not has_key(asset, item)
        ]
        if not covered:
            raise RefusedError(f"licence 0x{licence.id.hex()} covers no version whose key this account lacks")
        return covered[-1]
    if isinstance(wanted, str):
        if not wanted.isdecimal():
            ref = context.parse(wanted)
            named = ref.asset_id(chain_id=context.chain_id, registry=context.deployment.assets)
            if named != asset.id:
                raise InputError(f"{wanted!r} is of another asset than the licence")
            version = pick_version(asset, ref.version)
        else:
            version = pick_version(asset, int(wanted))
    else:
        version = pick_version(asset, wanted)
    if not asset.covers(licence, version, at=now):
        raise RefusedError(
            f"licence 0x{licence.id.hex()} does not cover {asset_name(context, asset, version.number)}: buy that version"
        )
    return version


def _counter(asset: AssetState, licence: PurchaseState, version: VersionState) -> int:
    """Return how many requests there were for a licence and a version: each gets a fresh Q."""
    return sum(
        record.request.licence == licence.id and record.request.version == version.id
        for record in asset.requests.values()
    )
