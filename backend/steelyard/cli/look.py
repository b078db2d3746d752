"""Reading the market: ``list``, ``info`` and ``verify``. None of these needs an account."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from steelyard.cli.context import Session
from steelyard.cli.options import Command, with_session
from steelyard.cli.output import pairs, table
from steelyard.cli.units import count, format_duration, format_size, format_time
from steelyard.domain.types import Stage

if TYPE_CHECKING:
    from steelyard.domain.types import Terms
    from steelyard.service.results import AssetInfo

_KIND = click.Choice(["model", "dataset"])
_INSIDE = 40
"""Most lines of what is inside the files."""


@click.command("list", cls=Command)
@click.option("--kind", type=_KIND, help="Only models, or only datasets.")
@click.option("--limit", type=click.IntRange(1), help="At most so many, the newest.")
@with_session
def list_command(session: Session, kind: str | None, limit: int | None) -> None:
    """List models and datasets."""
    _list(session, kind, limit)


@click.command("info", cls=Command)
@click.argument("ref")
@click.option("--no-fetch", is_flag=True, help="Ask the chain only, not the store.")
@click.option("--card", is_flag=True, help="Print the newest version's model card too.")
@with_session
def info_command(session: Session, ref: str, no_fetch: bool, card: bool) -> None:
    """Show an asset, its versions and offers."""
    found = session.reader.info(ref, fetch=not no_fetch)
    session.out.result(found, info_lines(session, found, card=card))


@click.command("verify", cls=Command)
@click.argument("ref")
@with_session
def verify_command(session: Session, ref: str) -> None:
    """Check a version's public folder.

    Fetches manifest, ciphertext and leaves, and compares them with what the chain commits to. Needs no key
    and no account.
    """
    with session.progress() as progress:
        found = session.reader.verify(ref, progress=progress)
    quality = "somebody vouches for it" if found.attested else "not attested"
    lines = pairs(
        [
            ("ok", found.ref),
            ("folder", found.cid),
            ("root", "0x" + found.content_root.hex()),
            (
                "sealed",
                f"{format_size(found.size)}, {count(found.chunks, 'chunk')}, {count(len(found.manifest.files), 'file')}",
            ),
            ("quality", quality),
        ]
    )
    session.out.result(found, lines)


def _list(session: Session, kind: str | None, limit: int | None) -> None:
    found = session.reader.list(kind=kind)  # type: ignore[arg-type]  # click checked the choice
    if limit is not None:
        found = found[-limit:]
    rows = [
        (
            item.ref,
            item.kind.name.lower(),
            str(len(item.versions)),
            str(item.sales),
            _from(session, item),
        )
        for item in found
    ]
    session.out.result(found, table(("REF", "KIND", "VERSIONS", "SALES", "PRICE"), rows))
    if not found:
        session.out.say("Nothing is published here yet.")


def _from(session: Session, asset: AssetInfo) -> str:
    """Return the least price of a version that is on sale."""
    sold = [item.version for item in asset.versions if item.stage.on_sale and not item.flagged]
    terms = [offer.terms for offer in asset.offers if offer.open]
    terms = [item for item in terms if item.version in sold or (sold and not any(item.version))]
    prices = [item.price for item in terms if not any(item.currency)]
    if prices:
        return session.money(min(prices), bytes(20)) if min(prices) else "free"
    return "in a token" if terms else "-"


def info_lines(session: Session, found: AssetInfo, *, card: bool) -> list[str]:
    """Return what to print of an asset, within 80 columns but for ids."""
    from steelyard.chain.hexdata import checksum_address

    lines = pairs(
        [
            ("asset", found.ref),
            ("kind", found.kind.name.lower()),
            ("owner", checksum_address(found.owner)),
            ("creator", checksum_address(found.creator) if found.creator != found.owner else ""),
            ("since", format_time(found.registered_at)),
            ("sales", str(found.sales)),
            ("id", found.canonical),
        ]
    )
    for version in found.versions:
        state = (
            "FLAGGED: proved false" if version.flagged else "attested" if version.attested else "not attested"
        )
        if version.stage is not Stage.RELEASED:
            state += f", {version.stage.name.lower()}"
        lines += ["", f"version {version.number}  {format_time(version.published_at)}  {state}"]
        lines += [f"  folder  {version.cid}", f"  id      0x{version.version.hex()}"]
        for entry in version.manifest.files if version.manifest else ():
            marked = "  RUNS CODE WHEN LOADED" if entry.path in version.code else ""
            lines.append(f"  file    {entry.path}  {format_size(entry.size)}  {entry.format}{marked}")
    for offer in found.offers:
        lines += ["", f"offer   0x{offer.offer.hex()}{'' if offer.open else '  (closed)'}"]
        lines += [
            f"  {line}" for line in terms_lines(session, offer.terms, sold=offer.sold, version=offer.version)
        ]
    newest = found.versions[-1] if found.versions else None
    if newest is not None and newest.card:
        lines += ["", newest.card.rstrip()] if card else _inside(newest.card)
    return lines


def _inside(card: str) -> list[str]:
    """Return the part of a card that shows what is inside the files, if its seller lets it be shown."""
    from steelyard.formats.summary import HEADING

    _, heading, rest = card.rpartition(f"\n{HEADING}\n")
    shown = [line for line in rest.splitlines() if line][: _INSIDE + 1] if heading else []
    more = ["..."] if len(shown) > _INSIDE else []
    return ["", "inside the files, as the seller says:", *shown[1:_INSIDE], *more] if shown else []


def terms_lines(session: Session, terms: Terms, *, sold: int = 0, version: int | None = None) -> list[str]:
    """Return terms as names and values, for people who are about to agree to them.

    Args:
        session: of the command.
        terms: all terms.
        sold: places taken.
        version: number of the only version that is sold under them, where it is known.
    """
    only = f"0x{terms.version.hex()[:16]}..." if version is None else str(version)
    rental = terms.kind.name == "RENTAL"
    covers = {"ONE": "this version", "ALL": "all versions"}.get(terms.scope.name, "versions until it ends")
    if terms.scope.name == "UNTIL_END" and not rental:
        covers = f"versions of the first {format_duration(terms.period)}"
    rights = [] if terms.transferable else ["not transferable"]
    rights += ["revocable"] if terms.revocable else []
    rights += ["by allow-list"] if any(terms.allow_list) else []
    window = (
        f"{format_duration(terms.window)} to prove content false"
        if terms.window
        else "none: no refund once delivered"
    )
    renewal = f", renewable until {format_time(terms.renew_until)}" if terms.renew_until else ""
    return pairs(
        [
            ("price", session.money(terms.price, terms.currency) if terms.price else "free"),
            ("kind", f"rental of {format_duration(terms.period)}{renewal}" if rental else "perpetual"),
            ("version", f"{only} only" if any(terms.version) else ""),
            ("covers", covers),
            ("rights", ", ".join(rights)),
            ("delivery", f"within {format_duration(terms.deliver_within)}, or the money back"),
            ("window", window),
            ("bond", session.money(terms.bond, bytes(20)) if terms.bond else ""),
            ("supply", f"{terms.supply - sold} of {terms.supply} left" if terms.supply else ""),
        ]
    )
