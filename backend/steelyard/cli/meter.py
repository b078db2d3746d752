"""``steelyard meter``: offer a version by the unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from steelyard.cli.context import Session, sent_lines
from steelyard.cli.offer import parse_price
from steelyard.cli.options import Command, Parsed, sends, with_session
from steelyard.cli.output import pairs
from steelyard.cli.rights import to_address
from steelyard.cli.units import format_duration, parse_duration

if TYPE_CHECKING:
    from steelyard.service.results import MeteredOffered

_DURATION = Parsed("duration", parse_duration)


@click.command("meter", cls=Command)
@click.argument("ref")
@click.option("--price", required=True, metavar="AMOUNT", help="Of one unit, such as 0.0001eth.")
@click.option("--currency", metavar="ADDRESS", help="ERC-20; else the native coin.")
@click.option("--payee", metavar="WHO", help="The gateway's account; else yours.")
@click.option(
    "--unit",
    type=click.Choice(("row", "call")),
    default="row",
    show_default=True,
    help="What is counted.",
)
@click.option(
    "--window", type=_DURATION, default="1d", show_default=True, help="To claim, once a payer closes."
)
@click.option(
    "--in-flight",
    type=click.IntRange(1, 65_535),
    default=16,
    show_default=True,
    help="Answered calls not co-signed yet.",
)
@click.option("--expires-in", type=_DURATION, default="365d", show_default=True, help="Until all of it ends.")
@click.option("--licence", metavar="FILE", help="Text of the licence.")
@sends
@with_session
def meter_command(
    session: Session,
    ref: str,
    price: str,
    currency: str | None,
    payee: str | None,
    unit: str,
    window: int,
    in_flight: int,
    expires_in: int,
    licence: str | None,
    dry_run: bool,
    yes: bool,
) -> None:
    """Offer a version by the unit.

    A gateway serves it (`steelyard host`), whose account is the payee: it signs receipts and claims, and receives no money. The
    income goes to the version's revenue node.
    """
    from pathlib import Path

    from steelyard.domain.types import NATIVE, Address

    token = NATIVE if currency is None else Address(session.reader.context.address(currency))
    amount = parse_price(session, price, token)
    account = None if payee is None else to_address(session, payee)
    done: MeteredOffered = session.act(
        "",
        lambda market: market.offer_metered(
            ref,
            price=amount,
            payee=account,
            unit=unit,
            currency=token,
            window=window,
            in_flight=in_flight,
            expires_in=expires_in,
            text=None if licence is None else Path(licence),
        ),
        dry_run=dry_run,
        yes=True,
    )
    del yes
    session.out.result(
        done,
        pairs(
            [
                ("offer", "0x" + done.offer.hex()),
                ("version", done.ref),
                ("price", f"{session.money(done.terms.price, token)} a {unit}"),
                ("window", format_duration(done.terms.window)),
                *sent_lines(done),
            ]
        ),
    )
