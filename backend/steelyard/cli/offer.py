"""``steelyard offer``: make, close and list offers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from steelyard.cli.context import Session, pick, sent_lines
from steelyard.cli.look import terms_lines
from steelyard.cli.options import Group, Parsed, sends, with_session
from steelyard.cli.output import pairs
from steelyard.cli.units import parse_duration
from steelyard.domain.money import parse_native, parse_token

if TYPE_CHECKING:
    from steelyard.service.results import Offered, Sent

_DURATION = Parsed("duration", parse_duration)


@click.group("offer", cls=Group)
def offer_command() -> None:
    """Make, close and list offers.

    The terms of an offer never change: to change them, close it and make another.
    """


@offer_command.command("make")
@click.argument("ref")
@click.option(
    "--price", required=True, metavar="AMOUNT", help="Such as 0.05eth; of a token, whole tokens; 0 is free."
)
@click.option("--currency", metavar="ADDRESS", help="ERC-20 to be paid in; else the native coin.")
@click.option("--rental", type=_DURATION, help="A rental of this period, such as 30d.")
@click.option("--renewable", type=_DURATION, help="May be renewed for so long from now.")
@click.option(
    "--scope",
    type=click.Choice(["one", "until-end", "all"]),
    default="one",
    show_default=True,
    help="Versions covered.",
)
@click.option("--included", type=_DURATION, help="New versions of so long, with 'until-end'.")
@click.option("--supply", type=click.IntRange(0), default=0, help="Most licences at once; 0 is any number.")
@click.option("--allow", multiple=True, metavar="ADDRESS", help="Who may buy; repeatable; else everybody.")
@click.option(
    "--deliver-within", type=_DURATION, default="1d", show_default=True, help="Time to deliver the key."
)
@click.option("--window", type=_DURATION, default="0", help="Time to prove content false; 0 is none.")
@click.option(
    "--bond", type=Parsed("amount", parse_native), help="Reserved for each purchase; else the least."
)
@click.option("--licence", type=click.Path(exists=True, path_type=Path), help="File with the licence's text.")
@click.option("--no-transfer", is_flag=True, help="Licences may not change hands.")
@click.option("--revocable", is_flag=True, help="Free licences that you may end.")
@sends
@with_session
def make(
    session: Session,
    ref: str,
    price: str,
    currency: str | None,
    rental: int | None,
    renewable: int | None,
    scope: str,
    included: int | None,
    supply: int,
    allow: tuple[str, ...],
    deliver_within: int,
    window: int,
    bond: int | None,
    licence: Path | None,
    no_transfer: bool,
    revocable: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Offer licences of an asset.

    In any of its versions; with a version in REF, such as digits@2, in that one only. With a window or a bond
    in one only too: the newest, if REF names none.
    """
    from steelyard.chain.hexdata import parse_address
    from steelyard.cli.rights import to_address

    token = parse_address(currency) if currency else bytes(20)
    amount = parse_price(session, price, token)
    done: Offered = session.act(
        "",
        lambda market: market.offer(
            ref,
            price=amount,
            currency=token,  # type: ignore[arg-type]  # 20 bytes
            rental_period=rental,
            renew_until=int(time.time()) + renewable if renewable else 0,
            scope=scope,  # type: ignore[arg-type]  # click checked the choice
            included_for=included or 0,
            transferable=not no_transfer,
            revocable=revocable,
            supply=supply,
            allow=[to_address(session, item) for item in allow],
            deliver_within=deliver_within,
            window=window,
            bond=bond,
            text=licence,
        ),
        dry_run=dry_run,
        yes=True,
    )
    session.out.result(done, offer_lines(session, done))


@offer_command.command("close")
@click.argument("ref")
@click.argument("offer")
@sends
@with_session
def close(session: Session, ref: str, offer: str, dry_run: bool, yes: bool) -> None:
    """Close an offer for ever; purchases made under it go on.

    OFFER is its id, or the first digits.
    """
    offers = {bytes(item.offer): item for item in session.market.offers(ref)}
    found = "0x" + pick(offer, offers, what="offer").hex()
    sent: Sent = session.act("", lambda market: market.close_offer(ref, found), dry_run=dry_run, yes=True)
    session.out.result(sent, pairs([("closed", found), *sent_lines(sent)]))


@offer_command.command("list")
@click.argument("ref")
@click.option("--all", "everything", is_flag=True, help="Closed ones too.")
@with_session
def list_all(session: Session, ref: str, everything: bool) -> None:
    """List the offers of an asset."""
    found = session.reader.offers(ref, open_only=not everything)
    lines: list[str] = []
    for item in found:
        lines += ["", f"offer   0x{item.offer.hex()}{'' if item.open else '  (closed)'}"]
        lines += [
            f"  {line}" for line in terms_lines(session, item.terms, sold=item.sold, version=item.version)
        ]
    session.out.result(found, lines[1:])
    if not found:
        session.out.say("No offers.")


def parse_price(session: Session, text: str, currency: bytes) -> int:
    """Return a price in smallest units of a currency.

    Raises:
        AmountError: it is malformed.
    """
    if not any(currency):
        return parse_native(text)
    symbol, decimals = session.token(currency)
    return parse_token(text, decimals=decimals, symbol=symbol)


def offer_lines(session: Session, done: Offered) -> list[str]:
    """Return what to print of an offer that was made."""
    return [
        *pairs([("offer", "0x" + done.offer.hex()), *sent_lines(done)]),
        *(f"  {line}" for line in terms_lines(session, done.terms, version=done.version)),
    ]
