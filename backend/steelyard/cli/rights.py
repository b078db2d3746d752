"""What a purchase or an asset allows.

``request-key``, ``refund``, ``dispute``, ``settle``, ``role``, ``revoke``, ``transfer``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from steelyard.cli.context import Session, sent_lines
from steelyard.cli.licences import find_purchase, purchase_lines
from steelyard.cli.options import Command, Group, Parsed, sends, with_session
from steelyard.cli.output import pairs
from steelyard.cli.units import format_time, parse_duration
from steelyard.domain.money import format_native, parse_native
from steelyard.domain.types import State
from steelyard.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from steelyard.domain.types import Address
    from steelyard.market import Market
    from steelyard.service.results import KeyRequested, Purchase, Sent

_ID = re.compile(r"0x[0-9a-fA-F]{8,64}", re.ASCII)


@click.command("request-key", cls=Command)
@click.argument("licence")
@click.option("--version", "number", metavar="N", help="Version wanted; else the newest covered.")
@click.option(
    "--fee", type=Parsed("amount", parse_native), default="0", help="For whoever delivers, such as 1gwei."
)
@click.option(
    "--within",
    type=Parsed("duration", parse_duration),
    default="1d",
    show_default=True,
    help="Time to deliver.",
)
@sends
@with_session
def request_key_command(
    session: Session, licence: str, number: str | None, fee: int, within: int, dry_run: bool, yes: bool
) -> None:
    """Ask for the key of a covered version.

    For a version published later, or the first key after a licence was given to you. LICENCE is an id, its
    first digits, or a reference. If nobody delivers in time, the fee can be taken back with `refund`.
    """
    item = find_purchase(session, licence, states=(State.DELIVERED, State.SETTLED))
    version = int(number) if number is not None and number.isdigit() else number
    done: KeyRequested = session.act(
        "Ask, and set the fee aside?" if fee else "",
        lambda market: market.request_key(item.id, version, fee=fee, within=within),
        dry_run=dry_run,
        yes=yes,
        facts=lambda _: [f"fee    {format_native(fee)}"],
    )
    lines = [("request", "0x" + done.id.hex()), ("of", done.ref), ("deliver by", format_time(done.due))]
    session.out.result(done, pairs([*lines, *sent_lines(done)]))


@click.command("refund", cls=Command)
@click.argument("purchase")
@sends
@with_session
def refund_command(session: Session, purchase: str, dry_run: bool, yes: bool) -> None:
    """Take back the money of a failed purchase.

    Of one that was not delivered in time, or not settled when its version was proved false. Also takes back
    the fee of a key request. The money goes to the payer's balance: see `withdraw`.
    """
    request = _request(session, purchase)
    if request is not None:
        sent: Sent = session.act("", lambda market: market.return_fee(request.id), dry_run=dry_run, yes=yes)
        session.out.result(sent, pairs([("request", "0x" + request.id.hex()), *sent_lines(sent)]))
        return
    _on_purchase(
        session, purchase, (State.PAID, State.DELIVERED), lambda market, item: market.refund(item.id), dry_run
    )


@click.command("settle", cls=Command)
@click.argument("purchase")
@sends
@with_session
def settle_command(session: Session, purchase: str, dry_run: bool, yes: bool) -> None:
    """Turn a price into revenue.

    After the content window of a delivered purchase. Anybody may do it; the price becomes income of the
    version's node.
    """
    market = session.market
    if "/" in purchase or len(purchase) < 66:
        sold = {
            bytes(s.id): s
            for s in market.sales(purchase if "/" in purchase else None)
            if s.state is State.DELIVERED
        }
        fitting = [
            i for i in sold if "/" in purchase or i.hex().startswith(purchase.lower().removeprefix("0x"))
        ]
        if len(fitting) != 1:
            raise InputError(
                f"{len(fitting)} delivered purchases fit {purchase!r}: name one by its id, see `steelyard sales`"
            )
        purchase = "0x" + fitting[0].hex()
    _on_purchase(session, purchase, (), lambda market, item: market.settle(item.id), dry_run)


@click.command("dispute", cls=Command)
@click.argument("purchase")
@sends
@with_session
def dispute_command(session: Session, purchase: str, dry_run: bool, yes: bool) -> None:
    """Prove that content is false.

    Looks for a part that does not decrypt to what the seller committed to, and proves it to the contract, in
    the content window. The version is flagged for ever, and price and bond are yours. A price in a token
    takes a second transaction.
    """
    item = find_purchase(session, purchase, states=(State.DELIVERED,))
    market = session.market.dry_run() if dry_run else session.market
    with session.progress() as progress:
        done = market.dispute(item.id, progress=progress)
    session.out.result(done, purchase_lines(session, done))


@click.group("role", cls=Group)
def role_command() -> None:
    """Lend or take back a role.

    A maintainer publishes versions, a seller makes and closes offers. A transfer of the asset ends all roles.
    """


_ROLE = click.Choice(["maintainer", "seller"])


@role_command.command("grant")
@click.argument("ref")
@click.argument("role", type=_ROLE)
@click.argument("account_address", metavar="ADDRESS")
@sends
@with_session
def grant(session: Session, ref: str, role: str, account_address: str, dry_run: bool, yes: bool) -> None:
    """Lend a role of an asset to an account."""
    _set_role(session, ref, role, account_address, True, dry_run)


@role_command.command("take")
@click.argument("ref")
@click.argument("role", type=_ROLE)
@click.argument("account_address", metavar="ADDRESS")
@sends
@with_session
def take(session: Session, ref: str, role: str, account_address: str, dry_run: bool, yes: bool) -> None:
    """Take a role back."""
    _set_role(session, ref, role, account_address, False, dry_run)


@click.command("revoke", cls=Command)
@click.argument("licence")
@sends
@with_session
def revoke_command(session: Session, licence: str, dry_run: bool, yes: bool) -> None:
    """End a free, revocable licence. LICENCE is its whole id, as in `steelyard sales`."""
    sent: Sent = session.act(
        "End this licence for ever?", lambda market: market.revoke(licence), dry_run=dry_run, yes=yes
    )
    session.out.result(sent, pairs([("licence", licence), *sent_lines(sent)]))


@click.command("transfer", cls=Command)
@click.argument("what")
@click.argument("to")
@sends
@with_session
def transfer_command(session: Session, what: str, to: str, dry_run: bool, yes: bool) -> None:
    """Give away an asset or a licence.

    WHAT is an asset's reference, or the id of a licence or its first digits; TO an address, an account here,
    or an alias. An asset takes no income with it, and no key (see `keys`); its roles and open offers end.
    """
    address = to_address(session, to)
    if "/" in what:

        def act(market: Market) -> Sent:
            return market.transfer_asset(what, address)

        noun = f"the asset {what}"
    else:
        item = find_purchase(session, what)

        def act(market: Market) -> Sent:
            return market.transfer_licence(item.id, address)

        noun = f"the licence of {item.ref}"
    from steelyard.chain.hexdata import checksum_address

    receiver = checksum_address(address)
    sent: Sent = session.act(
        f"Give {noun} away?", act, dry_run=dry_run, yes=yes, facts=lambda _: [f"to     {receiver}"]
    )
    session.out.result(sent, pairs([("given", what), ("to", receiver), *sent_lines(sent)]))


def to_address(session: Session, text: str) -> Address:
    """Return the address that a text names: itself, an account of this machine, or an alias.

    Raises:
        InputError: it is neither.
    """
    from steelyard.chain.hexdata import parse_address

    aliases = session.accounts.aliases()
    if text.lower() in aliases:
        return aliases[text.lower()]
    try:
        return parse_address(text)
    except InputError as exc:
        known = f" Known names: {', '.join(sorted(aliases))}." if aliases else ""
        raise InputError(f"{exc}{known}") from exc


def _set_role(session: Session, ref: str, role: str, account: str, granted: bool, dry_run: bool) -> None:
    address = to_address(session, account)
    sent: Sent = session.act(
        "", lambda market: market.set_role(ref, address, role, granted), dry_run=dry_run, yes=True
    )
    session.out.result(sent, pairs([("asset", ref), ("role", role), *sent_lines(sent)]))


def _on_purchase(
    session: Session,
    text: str,
    states: tuple[State, ...],
    act: Callable[[Market, Purchase], Purchase],
    dry_run: bool,
) -> None:
    item = find_purchase(session, text, states=states)
    done: Purchase = session.act("", lambda market: act(market, item), dry_run=dry_run, yes=True)
    session.out.result(done, purchase_lines(session, done))


def _request(session: Session, text: str) -> KeyRequested | None:
    if not _ID.fullmatch(text):
        return None
    digits = text[2:].lower()
    found = [item for item in session.market.requests() if item.id.hex().startswith(digits)]
    return found[0] if len(found) == 1 else None
