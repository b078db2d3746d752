"""Reading: what the index answers (docs/api.md, "Reading").

A question that one index of the database answers is asked in the event loop, where the index is a file here: it takes less than
handing it to a thread. All others, and all of PostgreSQL, go to a thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import lru_cache
from importlib.metadata import version as package_version
from typing import Any, Final, TypeVar

import msgspec

from steelyard.api.fields import MAX_INTEGER, read_address, read_asset, read_version, read_word
from steelyard.api.problem import Problem
from steelyard.api.reply import Written, write
from steelyard.api.route import Answer, Call, Endpoint
from steelyard.api.service import Service
from steelyard.api.shapes import (
    Accepts,
    AssetHolders,
    AssetOffers,
    AssetPurchases,
    CardText,
    Contracts,
    Listing,
    Moment,
    One,
    Period,
    Root,
)
from steelyard.domain.metering import ChannelId
from steelyard.domain.types import OfferId, PurchaseId
from steelyard.errors import InputError, NotFoundError
from steelyard.indexer.database import Reader
from steelyard.query import account, entities, events, holders, lookup, metered, obligations, payments, search
from steelyard.query.model import (
    Asset,
    AssetPage,
    AssetQuery,
    At,
    Channel,
    ChannelQuery,
    Earnings,
    EarningsQuery,
    Event,
    EventQuery,
    Holder,
    HolderQuery,
    MeteredOffer,
    MeteredOfferQuery,
    Obligation,
    ObligationQuery,
    Offer,
    OfferQuery,
    Page,
    Payment,
    PaymentQuery,
    Purchase,
    PurchaseQuery,
    Released,
    StageHistory,
    Version,
    VersionQuery,
)
from steelyard.query.place import read_at

T = TypeVar("T")
R = TypeVar("R")

LARGE: Final = 100
"""A longer page is answered by a thread: writing it takes longer than handing it over."""


ENTRIES: Final = 8_192
"""Entries whose JSON is kept where one is asked for, some 1 KB each; a page would push them out."""
_ENTRY: Final = f"SELECT {events.COLUMNS} FROM events e WHERE e.pos = ?"


# -- how they ask ----------------------------------------------------------------------------------------------


async def ask(call: Call, function: Callable[[Reader], R], *, cheap: bool = True) -> R:
    """Ask the index in one snapshot.

    Args:
        call: the request.
        function: the question.
        cheap: one index answers it.
    """
    if cheap and call.service.inline:
        return _asked(call.service, function)
    return await call.service.thread(_asked, call.service, function)


def _asked(service: Service, function: Callable[[Reader], R]) -> R:
    with service.audit.database.read() as reader:
        return function(reader)


async def listed(
    call: Call, question: Any, function: Callable[[Reader, Any], Page[Any] | Written], *, cheap: bool = True
) -> Answer:
    """Answer with a page.

    Raises:
        Problem: ``bad-cursor``: the cursor is another question's.
    """
    try:
        if question.limit > LARGE:
            # Written there too: it is most of the work.
            value: object = await ask(call, lambda reader: _written(function(reader, question)), cheap=False)
        else:
            value = await ask(call, lambda reader: function(reader, question), cheap=cheap)
    except InputError as exc:
        if question.cursor is not None and await _is_right(
            call, replace(question, cursor=None, limit=1), function
        ):
            raise Problem("bad-cursor", str(exc), parameter="cursor") from exc
        raise
    return Answer(value=value)


def _written(page: Page[Any] | Written) -> Written:
    return page if isinstance(page, Written) else Written(body=write(page), next=page.next)


async def _is_right(call: Call, question: Any, function: Callable[[Reader, Any], object]) -> bool:
    try:
        await ask(call, lambda reader: function(reader, question), cheap=False)
    except InputError:
        return False
    return True


async def _one(call: Call, function: Callable[[Reader], object], *, cheap: bool = True) -> Answer:
    return Answer(
        value=await ask(call, lambda reader: One(item=function(reader), at=read_at(reader)), cheap=cheap)
    )


def _with(query: object, kind: type[R], **more: object) -> R:
    """Return a question from the parameters of the query and those of the path."""
    return kind(**{item.name: getattr(query, item.name) for item in fields(query)}, **more)  # type: ignore[arg-type]


# -- the service itself ----------------------------------------------------------------------------------------


async def get_root(call: Call) -> Answer:
    """Say what this service is."""
    service = call.service
    deployment, options = service.context.deployment, service.options

    def place(reader: Reader) -> At | None:
        try:
            return read_at(reader)
        except NotFoundError:
            return None

    root = Root(
        name="steelyard",
        version=package_version("steelyard"),
        chain_id=deployment.chain_id,
        contracts=Contracts(
            directory=deployment.directory,
            assets=deployment.assets,
            market=deployment.market,
            treasury=deployment.treasury,
        ),
        accepts=Accepts(
            uploads=service.state is not None,
            plaintext=options.accept_plaintext,
            webhooks=service.state is not None,
            confirmations=options.confirmations,
        ),
        public_url=options.public_url,
        at=await ask(call, place),
    )
    return Answer(value=root)


# -- entries ---------------------------------------------------------------------------------------------------


async def get_events(call: Call) -> Answer:
    """List entries."""
    return await listed(call, call.query, _events, cheap=is_cheap(call.query))


def _events(reader: Reader, query: EventQuery) -> Written:
    """Return what `events.events` would, written: from rows to text, since values in between would be most of the work."""
    rows, following = events.event_rows(reader, query)
    items = msgspec.Raw(f"[{','.join(map(events.to_json, rows))}]")
    page = {"items": items, "next": following, "at": _at(read_at(reader))}
    return Written(body=msgspec.json.encode(page), next=following)


@lru_cache(maxsize=ENTRIES)
def _entry(row: tuple[Any, ...]) -> str:
    # By all that is in the row: after a re-organisation another entry may stand at the same place.
    return events.to_json(row)


def is_cheap(query: EventQuery) -> bool:
    """Return whether one index has the page in its order, so that no more rows are read than are shown."""
    named = (
        query.asset,
        query.version,
        query.account,
        query.tx,
        query.currency,
        query.at_least,
        query.at_most,
    )
    return sum(value is not None for value in named) + len(query.kinds) <= 1


async def get_event(call: Call) -> Answer:
    """Show one entry."""
    pos = read_number("pos", call.path["pos"])
    return Answer(value=await ask(call, lambda reader: _event(reader, pos)))


def _event(reader: Reader, pos: int) -> Written:
    row = reader.row(_ENTRY, (pos,))
    if row is None:
        raise NotFoundError("there is no entry of a trail at this place, as far as the index is")
    return Written(body=msgspec.json.encode({"item": msgspec.Raw(_entry(row)), "at": _at(read_at(reader))}))


@lru_cache(maxsize=16)
def _at(at: At) -> msgspec.Raw:
    return msgspec.Raw(write(at))


def read_number(name: str, text: str) -> int:
    """Return a number of a path.

    Raises:
        Problem: it is none, or 2^53 and more.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 16) or int(text) > MAX_INTEGER:
        raise Problem("bad-parameter", f"{name} must be a whole number below 2^53", parameter=name)
    return int(text)


# -- assets and what hangs on them -----------------------------------------------------------------------------


async def get_assets(call: Call) -> Answer:
    """Search."""
    return await listed(call, call.query, search.search, cheap=False)


async def get_asset(call: Call) -> Answer:
    """Show an asset."""
    asset = read_asset(call.service, "asset", call.path["asset"])
    return await _one(call, lambda reader: search.asset(reader, asset))


async def get_asset_versions(call: Call) -> Answer:
    """List the versions of an asset."""
    return await _of_asset(call, VersionQuery, entities.versions, cheap=True)


async def get_asset_offers(call: Call) -> Answer:
    """List the offers of an asset."""
    return await _of_asset(call, OfferQuery, entities.offers, cheap=call.query.seller is None)


async def get_asset_purchases(call: Call) -> Answer:
    """List the purchases of an asset."""
    return await _of_asset(call, PurchaseQuery, entities.purchases)


async def get_asset_holders(call: Call) -> Answer:
    """List who held a valid licence at a time."""
    return await _of_asset(call, HolderQuery, holders.holders)


async def _of_asset(
    call: Call, kind: type[Any], function: Callable[[Reader, Any], Page[Any]], *, cheap: bool = False
) -> Answer:
    asset = read_asset(call.service, "asset", call.path["asset"])

    def known(reader: Reader, query: Any) -> Page[Any]:
        entities.require_asset(reader, asset)
        return function(reader, query)

    return await listed(call, _with(call.query, kind, asset=asset), known, cheap=cheap)


async def get_asset_version(call: Call) -> Answer:
    """Say which version was the newest on sale at a time."""
    asset = read_asset(call.service, "asset", call.path["asset"])
    moment = call.query.at
    return Answer(value=await ask(call, lambda reader: entities.version_at(reader, asset, moment)))


async def get_asset_card(call: Call) -> Answer:
    """Show an asset's card, with its text."""
    asset = read_asset(call.service, "asset", call.path["asset"])

    def card(reader: Reader) -> CardText:
        found = search.asset(reader, asset).card
        text = lookup.card_text(reader, asset)
        assert found is not None, "it was there in the same snapshot"
        return CardText(card=found, text=text)

    return await _one(call, card)


async def get_version(call: Call) -> Answer:
    """Show a version."""
    return await _one(
        call,
        lambda reader: entities.version(
            reader, read_version(call.service, "version", call.path["version"], reader)
        ),
    )


async def get_stages(call: Call) -> Answer:
    """Show the stages of a version."""
    moment = call.query.at

    def history(reader: Reader) -> StageHistory:
        version = read_version(call.service, "version", call.path["version"], reader)
        return entities.stages(reader, version, moment)

    return Answer(value=await ask(call, history))


async def get_offer(call: Call) -> Answer:
    """Show an offer."""
    offer = OfferId(read_word(call.service, "offer", call.path["offer"]))
    return await _one(call, lambda reader: entities.offer(reader, offer))


async def get_purchase(call: Call) -> Answer:
    """Show a purchase or licence."""
    purchase = PurchaseId(read_word(call.service, "purchase", call.path["purchase"]))
    return await _one(call, lambda reader: entities.purchase(reader, purchase))


# -- metered use -----------------------------------------------------------------------------------------------


async def get_metered_offers(call: Call) -> Answer:
    """List metered offers."""
    return await listed(call, call.query, metered.metered_offers, cheap=False)


async def get_metered_offer(call: Call) -> Answer:
    """Show a metered offer."""
    offer = OfferId(read_word(call.service, "offer", call.path["offer"]))
    return await _one(call, lambda reader: metered.metered_offer(reader, offer))


async def get_channels(call: Call) -> Answer:
    """List channels."""
    return await listed(call, call.query, metered.channels, cheap=False)


async def get_channel(call: Call) -> Answer:
    """Show a channel."""
    channel = ChannelId(read_word(call.service, "channel", call.path["channel"]))
    return await _one(call, lambda reader: metered.channel(reader, channel))


# -- money -----------------------------------------------------------------------------------------------------


async def get_payments(call: Call) -> Answer:
    """List payments."""
    return await listed(call, call.query, payments.payments, cheap=False)


async def get_account(call: Call) -> Answer:
    """Count what an account has to do with the market."""
    address = read_address(call.service, "account", call.path["account"])
    return Answer(value=await ask(call, lambda reader: account.account(reader, address), cheap=False))


async def get_earnings(call: Call) -> Answer:
    """Sum what an account was paid."""
    address = read_address(call.service, "account", call.path["account"])
    query = _with(call.query, EarningsQuery, account=address)
    return Answer(value=await ask(call, lambda reader: payments.earnings(reader, query), cheap=False))


async def get_obligations(call: Call) -> Answer:
    """List what is open."""
    return await listed(call, call.query, obligations.obligations, cheap=False)


_LIST: Final = ("bad-reference", "bad-cursor", "not-ready")
_ITEM: Final = ("bad-reference", "not-found", "not-ready")
_BOTH: Final = ("bad-reference", "bad-cursor", "not-found", "not-ready")


def _get(
    path: str, handler: Any, summary: str, tag: str, answer: Any, problems: tuple[str, ...], **more: Any
) -> Endpoint:
    return Endpoint(
        method="GET",
        path=path,
        handler=handler,
        name=handler.__name__,
        summary=summary,
        tag=tag,
        answer=answer,
        problems=problems,
        **more,
    )


ENDPOINTS: tuple[Endpoint, ...] = (
    _get("/v1", get_root, "What this service is", "service", Root, ("not-ready",)),
    _get("/v1/events", get_events, "Entries of trails", "trail", Page[Event], (*_LIST, "not-found"), query=EventQuery),
    _get("/v1/events/{pos}", get_event, "One entry", "trail", One[Event], _ITEM),
    _get("/v1/assets", get_assets, "Search", "assets", AssetPage, (*_LIST, "not-found"), query=AssetQuery),
    _get("/v1/assets/{asset}", get_asset, "One asset", "assets", One[Asset], _ITEM),
    _get(
        "/v1/assets/{asset}/versions", get_asset_versions, "Its versions, newest first", "assets", Page[Version], _BOTH,
        query=Listing,
    ),
    _get(
        "/v1/assets/{asset}/offers", get_asset_offers, "Its offers, newest first", "assets", Page[Offer], _BOTH,
        query=AssetOffers,
    ),
    _get(
        "/v1/assets/{asset}/purchases", get_asset_purchases, "Its purchases and licences, newest first", "assets",
        Page[Purchase], _BOTH, query=AssetPurchases,
    ),
    _get(
        "/v1/assets/{asset}/holders", get_asset_holders, "Who held a valid licence at a time", "assets", Page[Holder],
        _BOTH, query=AssetHolders,
    ),
    _get(
        "/v1/assets/{asset}/version", get_asset_version, "Which version was the newest on sale at a time", "assets", Released,
        _ITEM, query=Moment,
    ),
    _get("/v1/assets/{asset}/card", get_asset_card, "Its model card, with the text", "assets", One[CardText], _ITEM),
    _get("/v1/versions/{version}", get_version, "One version", "assets", One[Version], _ITEM),
    _get(
        "/v1/versions/{version}/stages", get_stages, "Its stages up to a time", "assets", StageHistory, _ITEM, query=Moment,
    ),
    _get("/v1/offers/{offer}", get_offer, "One offer", "assets", One[Offer], _ITEM),
    _get("/v1/purchases/{purchase}", get_purchase, "One purchase or licence", "assets", One[Purchase], _ITEM),
    _get(
        "/v1/metered-offers", get_metered_offers, "Metered offers, newest first", "assets", Page[MeteredOffer],
        (*_LIST, "not-found"), query=MeteredOfferQuery,
    ),
    _get("/v1/metered-offers/{offer}", get_metered_offer, "One metered offer", "assets", One[MeteredOffer], _ITEM),
    _get(
        "/v1/channels", get_channels, "Channels, newest first", "money", Page[Channel], (*_LIST, "not-found"),
        query=ChannelQuery,
    ),
    _get("/v1/channels/{channel}", get_channel, "One channel", "money", One[Channel], _ITEM),
    _get(
        "/v1/payments", get_payments, "Payments and their parts", "money", Page[Payment], (*_LIST, "not-found"),
        query=PaymentQuery,
    ),
    _get("/v1/accounts/{account}", get_account, "What an account owns, sells and holds", "money", account.Account, _ITEM),
    _get(
        "/v1/accounts/{account}/earnings", get_earnings, "What an account was paid", "money", Earnings, _ITEM,
        query=Period,
    ),
    _get(
        "/v1/obligations", get_obligations, "What is open, soonest due first", "money", Page[Obligation],
        (*_LIST, "not-found"), query=ObligationQuery,
    ),
)  # fmt: skip

__all__ = ["ENDPOINTS", "One", "ask", "is_cheap", "listed", "read_number"]
