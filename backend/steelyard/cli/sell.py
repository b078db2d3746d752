"""Selling: ``publish``, ``sales`` and ``deliver``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from steelyard.cli.context import Session, gas_text, pick, sent_lines
from steelyard.cli.offer import offer_lines, parse_price
from steelyard.cli.options import Command, Parsed, sends, with_session
from steelyard.cli.output import pairs, table
from steelyard.cli.units import count, format_size, format_time, parse_duration
from steelyard.errors import InputError, NotFoundError, SteelyardError

if TYPE_CHECKING:
    from steelyard.domain.types import Address
    from steelyard.market import Market
    from steelyard.service.results import Offered, Published

_CHUNK = 1 << 20


def parse_position(text: str) -> tuple[str, int]:
    """Return a position: ``0xabc...=2500`` or ``alice=25%``, in basis points.

    Raises:
        InputError: it is malformed.
    """
    payee, equals, weight = text.rpartition("=")
    whole, dot, part = weight.removesuffix("%").partition(".")
    percent = weight.endswith("%")
    if (
        not equals
        or not payee
        or not whole.isdigit()
        or (dot and not (percent and part.isdigit() and len(part) <= 2))
    ):
        raise InputError(f"{text!r} is no position: write PAYEE=25%, or PAYEE=2500 in basis points")
    return payee, int(whole) * 100 + int(part.ljust(2, "0") or "0") if percent else int(whole)


@click.command("publish", cls=Command)
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--name", help="Name of the asset; a new one, or one of yours for a new version.")
@click.option("--to", "target", metavar="REF", help="New version of this asset, as a maintainer.")
@click.option(
    "--kind", type=click.Choice(["model", "dataset"]), default="model", show_default=True, help="What it is."
)
@click.option("--price", metavar="AMOUNT", help="Offer it too, for so much, such as 0.05eth.")
@click.option(
    "--window", type=Parsed("duration", parse_duration), help="Content window of that offer, such as 1d."
)
@click.option(
    "--card", type=click.Path(exists=True, path_type=Path), help="Model card; else the folder's README.md."
)
@click.option(
    "--position", "positions", type=Parsed("position", parse_position), multiple=True, metavar="WHO=SHARE",
    help="Who earns, such as alice=70%; repeatable.",
)  # fmt: skip
@click.option(
    "--royalty", type=click.IntRange(0, 1000), default=0, help="Basis points of a resale (ERC-2981)."
)
@click.option("--via", metavar="URL", help="Upload what was sealed to this service first.")
@click.option(
    "--allow-code", is_flag=True, help="Take files that run code when loaded; buyers are warned for ever."
)
@click.option("--preview", is_flag=True, help="Show in the public card what is inside the files.")
@sends
@with_session
def publish_command(
    session: Session,
    folder: Path,
    name: str | None,
    target: str | None,
    kind: str,
    price: str | None,
    window: int | None,
    card: Path | None,
    positions: tuple[tuple[str, int], ...],
    royalty: int,
    via: str | None,
    allow_code: bool,
    preview: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Seal and publish a folder.

    Encrypts it, stores it, and registers it. What its files are is told from their content and stands in the public
    manifest; files that run code when they are loaded are refused. A name that you have published before gets a new version, for
    which old offers go on. The last line on stdout is the reference.
    """
    if (name is None) == (target is None):
        raise InputError("say --name NAME for an asset of yours, or --to REF for one that you maintain")
    market = session.market.dry_run() if dry_run else session.market
    amount = None if price is None else parse_price(session, price, bytes(20))
    if window is not None and amount is None:
        raise InputError("--window belongs to an offer: give --price too")
    shares = _positions(session, positions)
    existing = target or _existing(session, name or "")
    _warn_of_card(session, card or folder / "README.md", kind)
    with session.progress() as progress:
        if existing is None:
            done = market.publish(
                folder,
                name=name or "",
                kind=kind,  # type: ignore[arg-type]  # click checked the choice
                card=card,
                positions=shares,
                royalty=royalty,
                via=via,
                allow_code=allow_code,
                preview=preview,
                progress=progress,
            )
        else:
            done = market.new_version(
                existing,
                folder,
                card=card,
                positions=shares,
                via=via,
                allow_code=allow_code,
                preview=preview,
                progress=progress,
            )
    offered = None
    if amount is not None and not dry_run:
        offered = _offer(session, done, amount, window)
    document = {"published": done, "offered": offered}
    if dry_run:
        session.out.result(document, _dry_lines(session, done, amount))
        session.out.say("dry run: nothing was sealed, stored or sent")
        if amount is not None:
            session.out.say(
                "The offer would be made once the version is there; its gas is not in the estimate."
            )
        return
    session.out.result(
        document, [*_published_lines(done), *(offer_lines(session, offered) if offered else []), done.ref]
    )


@click.command("sales", cls=Command)
@click.argument("ref", required=False)
@click.option("--open", "open_only", is_flag=True, help="Only those that wait for a key.")
@with_session
def sales_command(session: Session, ref: str | None, open_only: bool) -> None:
    """List purchases and key requests."""
    found = session.market.sales(ref, open_only=open_only)
    rows = [
        (
            "0x" + item.id.hex()[:12],
            "key request" if item.request else "purchase",
            item.state.name.lower(),
            format_time(item.due)[:16] if item.state.name == "PAID" else "-",
            item.waiting or item.ref,
        )
        for item in found
    ]
    session.out.result(found, table(("ID", "WHAT", "STATE", "DUE (UTC)", "REF, OR WHY IT WAITS"), rows))
    if not found:
        session.out.say("Nothing waits for a key." if open_only else "No sales.")


@click.command("deliver", cls=Command)
@click.argument("sale", required=False)
@click.option("--all", "everything", is_flag=True, help="Everything that can be delivered now.")
@sends
@with_session
def deliver_command(session: Session, sale: str | None, everything: bool, dry_run: bool, yes: bool) -> None:
    """Deliver keys that are paid for.

    SALE is an id from `steelyard sales`, or its first digits. `steelyard serve` does this by itself.
    """
    if (sale is None) != everything:
        raise InputError("name a sale, or say --all")
    market = session.market
    acting = market.dry_run() if dry_run else market
    if sale is None:
        done = acting.deliver_pending()
    else:
        waiting = {bytes(item.id): item for item in market.sales(open_only=True)}
        whole = len(sale) == 66
        done = (acting.deliver(sale if whole else "0x" + pick(sale, waiting, what="open sale").hex()),)
    rows = [
        ("0x" + item.id.hex()[:12], "key request" if item.request else "purchase", gas_text(item))
        for item in done
    ]
    session.out.result(done, table(("ID", "WHAT", "COST"), rows))
    if not done:
        session.out.say("Nothing can be delivered now; `steelyard sales --open` says why.")


def _warn_of_card(session: Session, card: Path, kind: str) -> None:
    """Say what is wrong with a card; `publish` itself refuses only what could act where it is shown."""
    from steelyard.domain.types import AssetKind
    from steelyard.service.describe import describe

    if card.is_file():
        for item in describe(card, kind=AssetKind[kind.upper()]).findings:
            if item.wrong:
                session.out.warn(f"card, {item.field}: {item.text}")


def _existing(session: Session, name: str) -> str | None:
    ref = f"0x{session.accounts.address(session.accounts.chosen()).hex()}/{name}"
    try:
        session.market.info(ref, fetch=False)
    except NotFoundError:
        return None
    return ref


def _positions(
    session: Session, given: tuple[tuple[str, int], ...]
) -> list[tuple[Address | str, int]] | None:
    if not given:
        return None
    aliases = session.accounts.aliases()
    return [(aliases.get(payee.lower(), payee), weight) for payee, weight in given]


def _offer(session: Session, done: Published, price: int, window: int | None) -> Offered:
    market: Market = session.market
    # With a window it is bound to this version by its bond; without one, to none.
    ref = done.ref if window else done.ref.rpartition("@")[0]
    try:
        return market.offer(ref, price=price, window=window or 0)
    except SteelyardError:
        # The version stands; the exit code is that of the offer.
        session.out.warn(
            f"{done.ref} is published, but the offer failed: try `steelyard offer make {done.ref} --price ...`"
        )
        raise


def _published_lines(done: Published) -> list[str]:
    return pairs(
        [
            ("version", f"{done.number}, {count(done.files, 'file')}, {format_size(done.size)}"),
            ("folder", done.cid),
            ("id", done.canonical),
            *sent_lines(done),
        ]
    )


def _dry_lines(session: Session, done: Published, price: int | None) -> list[str]:
    return pairs(
        [
            ("version", f"{done.number}, {count(done.files, 'file')}"),
            ("size", f"{done.size:,} bytes in {count(-(-done.size // _CHUNK), 'chunk')}"),
            ("price", "" if price is None else session.money(price, bytes(20))),
            ("gas", f"about {gas_text(done)}"),
        ]
    )
