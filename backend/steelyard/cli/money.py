"""Money: ``balance``, ``claim``, ``withdraw`` and ``bond``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from steelyard.cli.context import Session, gas_text, sent_lines
from steelyard.cli.offer import parse_price
from steelyard.cli.options import Command, Group, Parsed, sends, with_session
from steelyard.cli.output import pairs, table
from steelyard.domain.money import format_native, parse_native

if TYPE_CHECKING:
    from steelyard.domain.types import Address
    from steelyard.service.results import Sent, Withdrawn

_CURRENCY = click.option("--currency", metavar="ADDRESS", help="ERC-20; else the native coin.")
_AMOUNT = Parsed("amount", parse_native)


@click.command("balance", cls=Command)
@click.argument("who", required=False)
@_CURRENCY
@click.option("--nodes", is_flag=True, help="Also what each revenue node owes.")
@with_session
def balance_command(session: Session, who: str | None, currency: str | None, nodes: bool) -> None:
    """Show what an account has.

    WHO is an address or an account here; else the chosen account. Needs no password.
    """
    from steelyard.chain.hexdata import checksum_address
    from steelyard.cli.rights import to_address

    address = to_address(session, who) if who else session.accounts.address(session.accounts.chosen())
    token = _token(currency)
    found = session.reader.balance(token, account=address)
    income = session.reader.income(account=address) if nodes else ()
    lines = pairs(
        [
            ("account", checksum_address(found.account)),
            ("wallet", session.money(found.wallet, token)),
            ("treasury", f"{session.money(found.treasury, token)}  (see `withdraw`)"),
            ("claimable", f"{session.money(found.claimable, token)}  (see `claim`)"),
            ("bond", "" if any(token) else f"{format_native(found.bond)}  free"),
        ]
    )
    rows = [
        (
            f"0x{item.node.hex()[:12]}",
            str(item.index),
            session.money(item.owed, item.currency),
            ", ".join(item.refs),
        )
        for item in income
    ]
    if rows:
        lines += ["", *table(("NODE", "POSITION", "OWED", "FROM"), rows)]
    session.out.result({"balance": found, "income": income} if nodes else found, lines)


@click.command("claim", cls=Command)
@click.argument("ref", required=False)
@sends
@with_session
def claim_command(session: Session, ref: str | None, dry_run: bool, yes: bool) -> None:
    """Claim what revenue nodes owe.

    Of one asset, or of all. The money goes to your balance in the treasury: `withdraw` does both at once.
    """
    done: tuple[Sent, ...] = session.act("", lambda market: market.claim(ref), dry_run=dry_run, yes=True)
    rows = [("0x" + item.tx.hex() if item.tx else "none sent", gas_text(item)) for item in done]
    session.out.result(done, table(("TRANSACTION", "COST"), rows))
    if not done:
        session.out.say("Nothing is owed.")


@click.command("withdraw", cls=Command)
@click.argument("amount", required=False)
@_CURRENCY
@click.option("--to", metavar="ADDRESS", help="Where it goes; else to the account itself.")
@click.option("--no-claim", is_flag=True, help="Do not claim from revenue nodes first.")
@sends
@with_session
def withdraw_command(
    session: Session,
    amount: str | None,
    currency: str | None,
    to: str | None,
    no_claim: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Take money out of the books.

    AMOUNT such as 0.1eth, of a token in whole tokens; else all.
    """
    from steelyard.chain.hexdata import checksum_address
    from steelyard.cli.rights import to_address

    token = _token(currency)
    units = None if amount is None else parse_price(session, amount, token)
    target = to_address(session, to) if to else session.accounts.address(session.accounts.chosen())

    def facts(estimate: Withdrawn) -> list[str]:
        return [f"amount {session.money(estimate.amount, token)}", f"to     {checksum_address(estimate.to)}"]

    done: Withdrawn = session.act(
        "Withdraw?",
        lambda market: market.withdraw(units, currency=token, to=target, claim=not no_claim),
        dry_run=dry_run,
        yes=yes,
        facts=facts,
    )
    lines = [
        ("amount", session.money(done.amount, token)),
        ("to", checksum_address(done.to)),
        *sent_lines(done),
    ]
    session.out.result(done, pairs(lines))


@click.group("bond", cls=Group)
def bond_command() -> None:
    """Fund or take a seller's bond.

    A part of it is reserved for each open purchase, and is the payer's if the seller fails.
    """


@bond_command.command("fund")
@click.argument("amount", type=_AMOUNT)
@click.option("--seller", metavar="ADDRESS", help="Whose bond; else your own.")
@sends
@with_session
def fund(session: Session, amount: int, seller: str | None, dry_run: bool, yes: bool) -> None:
    """Set AMOUNT aside, such as 0.1eth."""
    from steelyard.cli.rights import to_address

    whose = to_address(session, seller) if seller else None
    sent: Sent = session.act(
        "Set it aside as bond?",
        lambda market: market.fund_bond(amount, seller=whose),
        dry_run=dry_run,
        yes=yes,
        facts=lambda _: [f"bond   {format_native(amount)}"],
    )
    session.out.result(sent, pairs([("bond", format_native(amount)), *sent_lines(sent)]))


@bond_command.command("take")
@click.argument("amount", type=_AMOUNT)
@sends
@with_session
def take(session: Session, amount: int, dry_run: bool, yes: bool) -> None:
    """Move AMOUNT of free bond to your balance in the treasury."""
    sent: Sent = session.act("", lambda market: market.take_bond(amount), dry_run=dry_run, yes=True)
    session.out.result(sent, pairs([("taken", format_native(amount)), *sent_lines(sent)]))


def _token(text: str | None) -> Address:
    from steelyard.chain.hexdata import parse_address
    from steelyard.domain.types import NATIVE

    return parse_address(text) if text else NATIVE
