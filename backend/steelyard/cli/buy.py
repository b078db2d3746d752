"""Buying: ``buy``, ``rent``, ``renew`` and ``purchases``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from steelyard.cli.context import Session, pick
from steelyard.cli.licences import find_purchase, purchase_lines
from steelyard.cli.look import terms_lines
from steelyard.cli.options import Command, Parsed, sends, with_session
from steelyard.cli.output import table
from steelyard.cli.units import format_time, parse_duration
from steelyard.domain.money import format_native, parse_native, parse_token
from steelyard.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from steelyard.market import Market
    from steelyard.service.results import Purchase, Quote

_OFFER = click.option("--offer", metavar="ID", help="This offer, by its first digits; else the cheapest.")
_MAX = click.option("--max-price", metavar="AMOUNT", help="Pay no more, such as 0.05eth.")
_WAIT = click.option(
    "--wait",
    type=Parsed("duration", parse_duration),
    default="10m",
    show_default=True,
    help="Wait for the key; 0 does not.",
)


@click.command("buy", cls=Command)
@click.argument("ref")
@_OFFER
@_MAX
@_WAIT
@sends
@with_session
def buy_command(
    session: Session, ref: str, offer: str | None, max_price: str | None, wait: int, dry_run: bool, yes: bool
) -> None:
    """Buy a licence, and wait for its key.

    Checks the version's public folder first, and pays into escrow: if no key is delivered in time, `refund`
    returns the money.
    """
    _buy(session, ref, offer, max_price, wait, rental=False, dry_run=dry_run, yes=yes)


@click.command("rent", cls=Command)
@click.argument("ref")
@_OFFER
@_MAX
@_WAIT
@sends
@with_session
def rent_command(
    session: Session, ref: str, offer: str | None, max_price: str | None, wait: int, dry_run: bool, yes: bool
) -> None:
    """Rent, and wait for the key.

    The rental's clock starts at delivery. Who has the weights can keep them after it ends: only the licence
    ends.
    """
    _buy(session, ref, offer, max_price, wait, rental=True, dry_run=dry_run, yes=yes)


@click.command("renew", cls=Command)
@click.argument("purchase")
@_MAX
@sends
@with_session
def renew_command(session: Session, purchase: str, max_price: str | None, dry_run: bool, yes: bool) -> None:
    """Prolong a rental by its period.

    PURCHASE is an id, its first digits, or a reference. The price is earned at once.
    """
    item = find_purchase(session, purchase)
    most = _most(session, max_price, item.terms.currency)
    if most is not None and item.terms.price > most:
        raise RefusedError(
            f"the renewal costs {session.money(item.terms.price, item.terms.currency)}, above --max-price"
        )

    def facts(estimate: Purchase) -> list[str]:
        return [
            f"price  {session.money(item.terms.price, item.terms.currency)}",
            f"until  {format_time(estimate.until)}",
        ]

    done: Purchase = session.act(
        f"Renew {item.ref}?",
        lambda market: market.renew(item.id, max_price=item.terms.price),
        dry_run=dry_run,
        yes=yes,
        facts=facts,
    )
    session.out.result(done, purchase_lines(session, done))


@click.command("purchases", cls=Command)
@click.argument("ref", required=False)
@with_session
def purchases_command(session: Session, ref: str | None) -> None:
    """List your purchases and licences."""
    found = session.market.purchases(ref)
    rows = [
        (
            "0x" + item.id.hex()[:12],
            item.state.name.lower() + (" (flagged)" if item.flagged else ""),
            format_time(item.until)[:10] if item.until else "-",
            item.ref,
        )
        for item in found
    ]
    session.out.result(found, table(("ID", "STATE", "UNTIL", "REF"), rows))
    if not found:
        session.out.say("No purchases.")


def _buy(
    session: Session,
    ref: str,
    offer: str | None,
    max_price: str | None,
    wait: int,
    *,
    rental: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    market = session.market
    chosen = None
    if offer is not None:
        offers = {bytes(item.offer): item for item in market.offers(ref)}
        chosen = "0x" + pick(offer, offers, what="offer").hex()
    quote = market.quote(ref, offer=chosen, rental=rental)
    most = _most(session, max_price, quote.terms.currency)
    if most is not None and quote.price > most:
        raise RefusedError(
            f"{quote.ref} costs {session.money(quote.price, quote.terms.currency)}, above --max-price; nothing was paid"
        )
    if dry_run:
        _show(session, quote)
        session.out.say("dry run: nothing was sent")
        session.out.result({"dry_run": True, "quote": quote}, [])
        return
    _show_and_ask(session, quote, rental=rental, yes=yes)
    # What was shown is what is bought: the offer's id fixes all terms, and the price is the bound.
    act = _act(market, rental=rental)
    with session.progress() as progress:
        done = act(
            quote.ref,
            offer="0x" + quote.offer.hex(),
            max_price=quote.price,
            wait=float(wait) if wait else False,
            progress=progress,
        )
    session.out.result(done, purchase_lines(session, done))
    if done.state.name == "PAID":
        session.out.say(
            f"Paid, not delivered yet. Due {format_time(done.due)}; after that: steelyard refund 0x{done.id.hex()[:12]}"
        )
    else:
        session.out.say(f"Delivered. Next: steelyard pull {done.ref}")


def _act(market: Market, *, rental: bool) -> Callable[..., Purchase]:
    return market.rent if rental else market.buy


def _facts(session: Session, quote: Quote) -> list[str]:
    fee = f"about {quote.gas:,} gas, {format_native(quote.fee_wei)}" if quote.gas else "not known"
    balance = session.money(quote.balance, quote.terms.currency)
    return [quote.ref, *terms_lines(session, quote.terms), f"gas       {fee}", f"you have  {balance}"]


def _show(session: Session, quote: Quote) -> None:
    for warning in quote.warnings:
        session.out.warn(warning)
    if quote.text:
        session.out.say(quote.text.rstrip())
    for fact in _facts(session, quote):
        session.out.say(fact)


def _show_and_ask(session: Session, quote: Quote, *, rental: bool, yes: bool) -> None:
    for warning in quote.warnings:
        session.out.warn(warning)
    text = [quote.text.rstrip(), ""] if quote.text else ["The store does not have the licence's text.", ""]
    price = session.money(quote.price, quote.terms.currency) if quote.price else "nothing"
    session.confirm(
        f"{'Rent' if rental else 'Buy'} it and pay {price}?", [*text, *_facts(session, quote)], yes=yes
    )


def _most(session: Session, text: str | None, currency: bytes) -> int | None:
    if text is None:
        return None
    if not any(currency):
        return parse_native(text)
    symbol, decimals = session.token(currency)
    return parse_token(text, decimals=decimals, symbol=symbol)
