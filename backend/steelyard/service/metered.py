"""Metered offers and channels on the chain: made, opened, topped up, closed, listed (docs/metering.md)."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from steelyard.chain.calls import Call
from steelyard.chain.erc20 import Token, approve
from steelyard.chain.metered import ChannelCalls, ChannelViews, channels_of
from steelyard.crypto.derive import voucher_scalar
from steelyard.crypto.metering import Signer
from steelyard.domain.events import TOPICS
from steelyard.domain.hash import sha256
from steelyard.domain.metering import MAX_DEPOSIT, UNITS, ChannelId, ChannelState, MeteredTerms, unit_word
from steelyard.domain.records import AssetState, ChannelRecord, MeteredOfferState
from steelyard.domain.types import NATIVE, Address, AssetId, Role, account_word, checked_amount
from steelyard.errors import AmountError, InputError, NotFoundError, RefusedError, TrailError
from steelyard.metering.agreement import Agreement, Place
from steelyard.service.context import Context, Mined, summary
from steelyard.service.naming import as_id, asset_name, find_asset, find_version, pick_version
from steelyard.service.offer import keep_text, licence_text
from steelyard.service.results import ChannelInfo, MeteredOffered, Sent
from steelyard.service.stages import require_on_sale, require_sold_now

DAY: Final = 86_400
YEAR: Final = 365 * DAY


def offer_metered(
    context: Context,
    ref: str,
    *,
    price: int,
    payee: Address | str | None,
    unit: str,
    currency: Address | str,
    window: int,
    in_flight: int,
    expires_in: int,
    text: str | bytes | Path | None,
    salt: int | None,
) -> MeteredOffered:
    """Make a metered offer; see :meth:`steelyard.Market.offer_metered`."""
    asset, version = find_version(context, ref)
    own = context.account.address
    if not context.views.may(asset.id, own, Role.SELLER):
        raise RefusedError(f"this account may not sell {asset_name(context, asset)}")
    if unit not in UNITS:
        raise InputError(f"{unit!r} is no unit: {', '.join(UNITS)}")
    require_on_sale(asset_name(context, asset, version.number), version)
    licence = licence_text(text)
    terms = MeteredTerms(
        payee=own if payee is None else context.address(payee),
        currency=NATIVE if currency == NATIVE else context.address(currency),
        price=checked_amount(price),
        unit=unit_word(unit),
        version=version.id,
        node=version.commitments.node,
        window=window,
        in_flight=in_flight,
        expiry=context.now() + expires_in,
        text=sha256(licence),
        salt=secrets.randbits(64) if salt is None else salt,
    )
    if not context.dry:
        keep_text(context, licence)
    mined = context.send(calls_of(context).make_offer(version.commitments, terms))
    return MeteredOffered(
        ref=asset_name(context, asset, version.number),
        asset=asset.id,
        offer=terms.id(asset.id),
        terms=terms,
        **summary(mined),
    )


def metered_offers(context: Context, ref: str) -> tuple[MeteredOfferState, ...]:
    """Return the open metered offers of an asset, or of one version if the reference names one, cheapest first."""
    asset, wanted = find_asset(context, ref), context.parse(ref).version
    versions = list(asset.versions.values()) if wanted is None else [pick_version(asset, wanted)]
    sold = {version.id for version in versions if version.on_sale}
    now = context.now(context.follow(asset.id).head)
    found = [
        offer
        for offer in asset.metered.values()
        if offer.terms.version in sold and is_offered(asset, offer, now)
    ]
    return tuple(sorted(found, key=lambda offer: offer.terms.price))


def is_offered(asset: AssetState, offer: MeteredOfferState, now: int) -> bool:
    """Whether channels can be opened under an offer at a time (Unix seconds)."""
    return asset.is_open(offer) and now < offer.terms.expiry


def close_metered(context: Context, asset: AssetId, terms: MeteredTerms) -> Sent:
    """Close a metered offer; channels that are open go on."""
    return context.send(calls_of(context).close_offer(asset, terms))


# -- channels --------------------------------------------------------------------------------------------------------


def open_channel(
    context: Context, asset: AssetId, terms: MeteredTerms, *, amount: int
) -> tuple[Agreement, Mined]:
    """Open a channel of the account under an offer, with a signer that follows from its seed.

    Raises:
        RefusedError: the account has too little.
        RevertError: the contract refuses it.
    """
    nonce = secrets.randbits(63)
    signer = signer_of(context, nonce)
    agreement = Agreement.of(
        place_of(context),
        asset=asset,
        terms=terms,
        payer=context.account.address,
        signer=signer.address,
        nonce=nonce,
    )
    call = calls_of(context).open(asset, terms, signer=signer.address, nonce=nonce, amount=_deposit(amount))
    return agreement, _pay(context, terms, call, amount)


def top_up(context: Context, agreement: Agreement, *, amount: int) -> Mined:
    """Add to the deposit of a channel."""
    parties = (agreement.payer, agreement.signer, agreement.nonce)
    call = calls_of(context).top_up(agreement.asset, agreement.terms, parties, amount=_deposit(amount))
    return _pay(context, agreement.terms, call, amount)


def start_closing(context: Context, agreement: Agreement) -> Mined:
    """Begin to close a channel of the account: the payee may still claim for the offer's window."""
    return context.send(
        calls_of(context).start_closing(
            agreement.asset, agreement.terms, signer=agreement.signer, nonce=agreement.nonce
        )
    )


def finish(context: Context, agreement: Agreement) -> Mined:
    """Close a channel whose time has passed: what is left goes to the payer's account in the treasury."""
    parties = (agreement.payer, agreement.signer, agreement.nonce)
    return context.send(calls_of(context).close(agreement.asset, agreement.terms, parties))


def channels(context: Context, *, payer: Address | None = None) -> tuple[ChannelInfo, ...]:
    """Return the channels that an account opened, oldest first; the account's own if None."""
    payer = context.account.address if payer is None else payer
    found = [
        (asset, channel)
        for asset in _opened(context, None, account_word(payer))
        for channel in asset.channels.values()
        if channel.payer == payer
    ]
    found.sort(key=lambda pair: pair[1].opened_at)
    return tuple(channel_info(context, asset, channel) for asset, channel in found)


def find_channel(context: Context, channel: ChannelId | str) -> ChannelInfo:
    """Return a channel by its id.

    Raises:
        NotFoundError: there is none.
        TrailError: the contract has it, and the log does not tell of it.
    """
    wanted = ChannelId(as_id(channel, what="channel"))
    for asset in _opened(context, wanted, None):
        if wanted in asset.channels:
            return channel_info(context, asset, asset.channels[wanted])
    if views_of(context).channel(wanted).state is not ChannelState.NONE:
        raise TrailError(f"the node hides the log of channel 0x{wanted.hex()}, or is behind: use another one")
    raise NotFoundError(f"there is no channel 0x{wanted.hex()} in this market")


def _opened(context: Context, channel: bytes | None, payer: bytes | None) -> list[AssetState]:
    """Return the assets of which a channel was opened, by its id or its payer's word."""
    topics = (TOPICS["ChannelOpened"], None, channel, payer)
    logs = context.ledger.find(topics, contract=channels_of(context.deployment))
    assets = dict.fromkeys(AssetId(log.topics[1]) for log in logs)
    known = context.follow(*assets).refresh().assets
    return [known[asset] for asset in assets if asset in known]


def channel_info(context: Context, asset: AssetState, record: ChannelRecord) -> ChannelInfo:
    """Return a channel of an asset for the outside.

    Raises:
        NotFoundError: its id is not that of its parties and terms.
    """
    terms = asset.metered[record.offer].terms
    agreement = Agreement.of(
        place_of(context),
        asset=asset.id,
        terms=terms,
        payer=record.payer,
        signer=record.signer,
        nonce=record.nonce,
    )
    if agreement.channel != record.id:
        raise NotFoundError(f"the log of channel 0x{record.id.hex()} does not give its id")
    return ChannelInfo(
        channel=record.id,
        ref=asset_name(context, asset, asset.versions[terms.version].number),
        agreement=agreement,
        deposit=record.deposit,
        claimed=record.claimed,
        closes_at=record.closes_at,
        state=record.state,
        end=min(terms.expiry, record.closes_at or terms.expiry),
    )


def is_open(info: ChannelInfo) -> bool:
    """Whether calls may be paid from a channel."""
    return info.state is ChannelState.OPEN


def signer_of(context: Context, nonce: int) -> Signer:
    """Return the signer of the account's channel with this nonce."""
    return Signer(
        voucher_scalar(
            context.account.seed,
            chain_id=context.chain_id,
            channels=channels_of(context.deployment),
            payer=context.account.address,
            nonce=nonce,
        )
    )


def place_of(context: Context) -> Place:
    """Return where the channels of a market are."""
    return Place.of(context.chain_id, channels_of(context.deployment))


def calls_of(context: Context) -> ChannelCalls:
    """Return the builder of calls."""
    return ChannelCalls(channels_of(context.deployment))


def views_of(context: Context) -> ChannelViews:
    """Return the reader of what is stored."""
    return ChannelViews(context.rpc, channels_of(context.deployment))


def _deposit(amount: int) -> int:
    if not 0 < amount <= MAX_DEPOSIT:
        raise AmountError(f"a deposit is 1 to 2^104-1 smallest units, not {amount}")
    return amount


def _pay(context: Context, terms: MeteredTerms, call: Call, amount: int) -> Mined:
    # The contract takes deposits for a version in any stage; no gateway would serve them.
    require_sold_now(context, f"version 0x{terms.version.hex()}", terms.version)
    if terms.currency == NATIVE:
        return context.send(call)
    token, own, at = (
        Token(context.rpc, terms.currency),
        context.account.address,
        channels_of(context.deployment),
    )
    with context.spending:
        if token.balance_of(own) < amount:
            raise RefusedError(f"the account has less than {amount} units of token 0x{terms.currency.hex()}")
        if token.allowance(own, at) < amount:
            # Exactly the amount, so nothing is left to take.
            approved = context.send(approve(terms.currency, at, amount))
            if context.dry:
                return approved
        return context.send(call)
