"""``steelyard audit events|holders|version|payments|...``: questions to the index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from steelyard.cli.context import Session
from steelyard.cli.lists import (
    TIME,
    Shape,
    account_of,
    amount_of,
    asset_of,
    currency_of,
    listed,
    money_cell,
    payee_cell,
    say_at,
    show_list,
    version_of,
    word_of,
)
from steelyard.cli.options import Command, Parsed, with_session
from steelyard.cli.output import pairs, short, table
from steelyard.cli.units import format_time, parse_duration

if TYPE_CHECKING:
    from steelyard.query.answers import Earning

_PARTIES = ("actor", "owner", "seller", "buyer", "holder", "payee", "payer", "grantee", "publisher")
_PAYMENTS = ("escrow", "income", "refund", "bond", "fee", "answer", "returned", "direct", "claim")
_DUTIES = ("delivery", "window", "renewal", "key", "settlement", "refund")
_STATES = ("open", "closing", "closed")
_DURATION = Parsed("duration", parse_duration)

_REF = click.option("--ref", help="Of this asset.")
_SINCE = click.option("--since", type=TIME, help="Not before: Unix seconds, or 2026-01-01T12:00:00Z.")
_UNTIL = click.option("--until", type=TIME, help="Not after.")
_CURRENCY = click.option("--currency", metavar="ADDRESS", help="ERC-20, or 'native'.")
_LEAST = click.option("--at-least", metavar="AMOUNT", help="This much or more, such as 0.05eth.")
_MOST = click.option("--at-most", metavar="AMOUNT", help="This much or less.")
_OLDEST = click.option("--oldest-first", is_flag=True, help="In the order of the chain.")


@click.command("events", cls=Command)
@_REF
@click.option("--version", metavar="REF", help="About this version, such as alice/digits@2.")
@click.option("--who", metavar="WHO", help="That concern this account.")
@click.option("--as", "party", type=click.Choice(_PARTIES), help="How they concern it.")
@click.option("--event", "kinds", multiple=True, metavar="NAME", help="Of this kind; repeatable.")
@_SINCE
@_UNTIL
@click.option("--from-block", type=int, help="Not before this block.")
@click.option("--to-block", type=int, help="Not after this block.")
@click.option("--tx", metavar="HASH", help="Of this transaction.")
@_CURRENCY
@_LEAST
@_MOST
@_OLDEST
@listed
@with_session
def events(
    session: Session,
    ref: str | None,
    version: str | None,
    who: str | None,
    party: str | None,
    kinds: tuple[str, ...],
    since: int | None,
    until: int | None,
    from_block: int | None,
    to_block: int | None,
    tx: str | None,
    currency: str | None,
    at_least: str | None,
    at_most: str | None,
    oldest_first: bool,
    shape: Shape,
) -> None:
    """List entries of trails, from the index.

    Every option narrows them. The index must be there: see `steelyard index`.
    """
    from steelyard.query.model import EventQuery, Party

    token = currency_of(currency)
    query = EventQuery(
        asset=asset_of(session, ref),
        version=version_of(session, version),
        account=account_of(session, who),
        party=None if party is None else Party(party),
        kinds=kinds,
        since=since,
        until=until,
        first_block=from_block,
        last_block=to_block,
        tx=word_of(tx, "transaction hash"),
        currency=token,
        at_least=amount_of(session, at_least, token),
        at_most=amount_of(session, at_most, token),
        newest_first=not oldest_first,
    )
    show_list(
        session,
        query,
        shape=shape,
        head=("BLOCK", "TIME", "EVENT", "ACTOR", "ABOUT"),
        row=lambda e: (str(e.block), format_time(e.time), e.name, short(e.actor), short(e.id)),
    )


@click.command("holders", cls=Command)
@click.argument("ref")
@click.option("--at", type=TIME, help="At this time; else now, as far as the index is.")
@click.option("--covers", metavar="REF", help="Whose licence covered this version.")
@click.option("--who", metavar="WHO", help="Only licences that this account held.")
@listed
@with_session
def holders(
    session: Session, ref: str, at: int | None, covers: str | None, who: str | None, shape: Shape
) -> None:
    """List who held a valid licence of an asset at a time."""
    from steelyard.query.model import HolderQuery

    query = HolderQuery(
        asset=session.reader.context.asset_id(ref),
        at=at,
        version=version_of(session, covers),
        holder=account_of(session, who),
    )
    show_list(
        session,
        query,
        shape=shape,
        head=("LICENCE", "HOLDER", "SINCE", "UNTIL", "COVERS"),
        row=lambda h: (
            short(h.licence),
            short(h.holder),
            format_time(h.since),
            "for ever" if h.until is None else format_time(h.until),
            "to end" if h.scope == "until_end" else h.scope,
        ),
    )


@click.command("version", cls=Command)
@click.argument("ref")
@click.option("--at", type=TIME, help="At this time; else now, as far as the index is.")
@with_session
def version(session: Session, ref: str, at: int | None) -> None:
    """Show which version was the newest on sale at a time."""
    found = session.reader.audit.version_at(session.reader.context.asset_id(ref), at)
    item = found.version
    lines = [("at", format_time(found.time)), ("version", "none was released")]
    if item is not None:
        flagged = "" if item.flagged_at is None else f"proved false on {format_time(item.flagged_at)}"
        lines = [
            lines[0],
            ("version", str(item.number)),
            ("published", format_time(item.published_at)),
            ("stage", item.stage.name.lower()),
            ("flagged", flagged),
            ("folder", item.cid),
            ("id", "0x" + item.version.hex()),
        ]
    session.out.result(found, pairs(lines))
    say_at(session, found.at)


@click.command("stages", cls=Command)
@click.argument("ref")
@click.option("--at", type=TIME, help="Up to this time; else now, as far as the index is.")
@with_session
def stages(session: Session, ref: str, at: int | None) -> None:
    """Show which stages a version was in, and why.

    REF names the version, such as alice/digits@2. The last line is the stage at that time.
    """
    version = version_of(session, ref)
    assert version is not None
    found = session.reader.audit.stages(version, at)
    rows = [
        (item.stage.name.lower(), format_time(item.since), short(item.actor), item.reason or "published")
        for item in found.stages
    ]
    session.out.result(found, table(("STAGE", "SINCE", "BY", "REASON"), rows))
    say_at(session, found.at)


@click.command("payments", cls=Command)
@click.option("--to", metavar="WHO", help="To this account.")
@click.option("--from", "payer", metavar="WHO", help="From this account.")
@click.option("--share", metavar="WHO", help="To nodes in which this account has a position.")
@click.option("--node", metavar="ID", help="To or from this revenue node.")
@_REF
@click.option("--licence", metavar="ID", help="For this purchase or licence.")
@click.option(
    "--kind", "kinds", multiple=True, type=click.Choice(_PAYMENTS), help="Of this kind; repeatable."
)
@_SINCE
@_UNTIL
@_CURRENCY
@_LEAST
@_MOST
@_OLDEST
@listed
@with_session
def payments(
    session: Session,
    to: str | None,
    payer: str | None,
    share: str | None,
    node: str | None,
    ref: str | None,
    licence: str | None,
    kinds: tuple[str, ...],
    since: int | None,
    until: int | None,
    currency: str | None,
    at_least: str | None,
    at_most: str | None,
    oldest_first: bool,
    shape: Shape,
) -> None:
    """List payments, and with JSON the parts of each income.

    The parts are known where the public folder shows who has the positions of the node.
    """
    from steelyard.domain.types import PurchaseId
    from steelyard.query.model import PaymentKind, PaymentQuery

    token = currency_of(currency)
    wanted = word_of(licence, "id of a purchase")
    query = PaymentQuery(
        payee=account_of(session, to),
        payer=account_of(session, payer),
        share=account_of(session, share),
        node=word_of(node, "node"),
        asset=asset_of(session, ref),
        licence=None if wanted is None else PurchaseId(wanted),
        kinds=tuple(PaymentKind(kind) for kind in kinds),
        since=since,
        until=until,
        currency=token,
        at_least=amount_of(session, at_least, token),
        at_most=amount_of(session, at_most, token),
        newest_first=not oldest_first,
    )
    show_list(
        session,
        query,
        shape=shape,
        head=("TIME", "KIND", "FROM", "TO", "AMOUNT"),
        row=lambda p: (
            format_time(p.time),
            p.kind.value,
            payee_cell(session, p.payer),
            payee_cell(session, p.payee),
            money_cell(session, p.amount, p.currency),
        ),
    )


@click.command("earnings", cls=Command)
@click.argument("who")
@_SINCE
@_UNTIL
@with_session
def earnings(session: Session, who: str, since: int | None, until: int | None) -> None:
    """Sum what an account was paid, by asset.

    Claims, refunds, bonds and answered key requests in the period; then what its positions could claim now, of
    nodes whose positions are known.
    """
    from steelyard.cli.rights import to_address
    from steelyard.query.model import EarningsQuery

    found = session.reader.audit.earnings(
        EarningsQuery(account=to_address(session, who), since=since, until=until)
    )

    def row(item: Earning, what: str) -> tuple[str, ...]:
        asset = item.name or ("-" if item.asset is None else short(item.asset))
        return (asset, what, str(item.count), money_cell(session, item.amount, item.currency))

    rows = [row(item, item.kind.value) for item in found.items] + [row(item, "due") for item in found.due]
    session.out.result(found, table(("ASSET", "KIND", "COUNT", "AMOUNT"), rows))
    if not rows:
        session.out.say("Nothing was earned, and nothing is due.")
    say_at(session, found.at)


@click.command("obligations", cls=Command)
@click.option("--who", metavar="WHO", help="Of this account, as seller, buyer or holder.")
@_REF
@click.option("--kind", "kinds", multiple=True, type=click.Choice(_DUTIES), help="Of this kind; repeatable.")
@click.option("--within", type=_DURATION, help="Due within this time, such as 7d, or overdue.")
@click.option("--now", type=TIME, help="Judge by this time; else by the newest block's.")
@listed
@with_session
def obligations(
    session: Session,
    who: str | None,
    ref: str | None,
    kinds: tuple[str, ...],
    within: int | None,
    now: int | None,
    shape: Shape,
) -> None:
    """List what is open, the soonest due first.

    Deliveries, content windows, rentals that end, key requests, and what anybody may settle or refund.
    """
    from steelyard.query.model import Duty, ObligationQuery

    query = ObligationQuery(
        account=account_of(session, who),
        asset=asset_of(session, ref),
        kinds=tuple(Duty(kind) for kind in kinds),
        within=within,
        now=now,
    )
    show_list(
        session,
        query,
        shape=shape,
        head=("DUE", "KIND", "ID", "WHO", "AMOUNT"),
        row=lambda o: (
            format_time(o.due) + ("!" if o.overdue else ""),
            o.kind.value,
            short(o.id),
            "anybody" if o.debtor is None else short(o.debtor),
            money_cell(session, o.amount, o.currency),
        ),
    )


@click.command("metered-offers", cls=Command)
@_REF
@click.option("--version", metavar="REF", help="Of this version, such as alice/digits@2.")
@click.option("--payee", metavar="WHO", help="Whose calls this key is paid for.")
@click.option(
    "--state", type=click.Choice(("open", "closed")), help="Open: a channel can be opened under it."
)
@listed
@with_session
def metered_offers(
    session: Session,
    ref: str | None,
    version: str | None,
    payee: str | None,
    state: str | None,
    shape: Shape,
) -> None:
    """List what is sold by the unit, the newest first."""
    from steelyard.query.model import MeteredOfferQuery

    query = MeteredOfferQuery(
        asset=asset_of(session, ref),
        version=version_of(session, version),
        payee=account_of(session, payee),
        open=None if state is None else state == "open",
    )
    show_list(
        session,
        query,
        shape=shape,
        head=("OFFER", "VERSION", "PAYEE", "PRICE", "UNIT", "OPEN"),
        row=lambda o: (
            short(o.offer),
            short(o.version),
            short(o.payee),
            money_cell(session, o.price, o.currency),
            o.unit,
            "yes" if o.open else "no",
        ),
    )


@click.command("channels", cls=Command)
@_REF
@click.option("--version", metavar="REF", help="Of this version, such as alice/digits@2.")
@click.option("--offer", metavar="ID", help="Under this metered offer.")
@click.option("--payer", metavar="WHO", help="Opened by this account.")
@click.option("--signer", metavar="ADDRESS", help="That this key co-signs for.")
@click.option("--payee", metavar="WHO", help="That this key claims.")
@click.option(
    "--state", "states", multiple=True, type=click.Choice(_STATES), help="In this state; repeatable."
)
@listed
@with_session
def channels(
    session: Session,
    ref: str | None,
    version: str | None,
    offer: str | None,
    payer: str | None,
    signer: str | None,
    payee: str | None,
    states: tuple[str, ...],
    shape: Shape,
) -> None:
    """List channels of metered use, the newest first.

    What was claimed so far is on the chain; what was used since is in the books of payer and payee. Your own: `steelyard channels`.
    """
    from steelyard.domain.metering import ChannelState
    from steelyard.domain.types import OfferId
    from steelyard.query.model import ChannelQuery

    wanted = word_of(offer, "id of an offer")
    query = ChannelQuery(
        asset=asset_of(session, ref),
        version=version_of(session, version),
        offer=None if wanted is None else OfferId(wanted),
        payer=account_of(session, payer),
        signer=account_of(session, signer),
        payee=account_of(session, payee),
        states=tuple(ChannelState[state.upper()] for state in states),
    )
    show_list(
        session,
        query,
        shape=shape,
        head=("CHANNEL", "PAYER", "DEPOSIT", "CLAIMED", "STATE", "CLOSES"),
        row=lambda c: (
            short(c.channel),
            short(c.payer),
            money_cell(session, c.deposit, c.currency),
            money_cell(session, c.claimed, c.currency),
            c.state.name.lower(),
            "-" if c.closes_at is None else format_time(c.closes_at),
        ),
    )


COMMANDS = (events, holders, version, stages, payments, earnings, obligations, metered_offers, channels)
