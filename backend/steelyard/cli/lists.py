"""How answers of the index are printed: a table, one JSON document, JSON Lines or CSV; a page, or all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from steelyard.cli.options import Parsed
from steelyard.cli.output import short, table
from steelyard.cli.units import count, format_time, parse_time
from steelyard.domain.money import format_native, format_units
from steelyard.errors import ChainError, InputError, SteelyardError

if TYPE_CHECKING:
    from steelyard.cli.context import Session
    from steelyard.domain.types import Address, AssetId, VersionId
    from steelyard.query.answers import At, Page
    from steelyard.query.audit import ListQuery

F = TypeVar("F", bound=Callable[..., Any])
FORMATS = ("table", "json", "jsonl", "csv")
TIME = Parsed("time", parse_time)
MOST = 500


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How much of a list is wanted, and how: the options of :func:`listed`."""

    format: str
    everything: bool
    limit: int
    cursor: str | None


def listed(function: F) -> F:
    """Add the options of a list, and hand them to the command as ``shape``."""
    from functools import wraps

    @wraps(function)
    def call(*args: Any, form: str, everything: bool, limit: int, cursor: str | None, **more: Any) -> Any:
        shape = Shape(format=form, everything=everything, limit=limit, cursor=cursor)
        return function(*args, shape=shape, **more)

    options = (
        click.option(
            "--format", "form", type=click.Choice(FORMATS), default="table", help="How to print it."
        ),
        click.option("--all", "everything", is_flag=True, help="All pages, not only one."),
        click.option("--limit", type=click.IntRange(1, MOST), default=20, help="Rows of a page; else 20."),
        click.option("--cursor", metavar="TEXT", help="Go on after this page."),
    )
    decorated: Any = call
    for option in reversed(options):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]


def show_list(
    session: Session,
    query: ListQuery,
    *,
    shape: Shape,
    head: Sequence[str],
    row: Callable[[Any], Sequence[str]],
) -> None:
    """Ask, and print the answer.

    Args:
        session: of the command.
        query: the question.
        shape: how much, and how.
        head: names of the table's columns.
        row: cells of an item.
    """
    form = "json" if session.as_json and shape.format == "table" else shape.format
    query = replace(query, limit=shape.limit, cursor=shape.cursor)
    pages = pages_of(session, query, everything=shape.everything)
    if form in ("jsonl", "csv"):
        from steelyard.query.export import export_pages

        for text in export_pages(_told(session, pages), query, format=form):
            session.out.write(text)
        return
    if form == "json":
        print_json(session, list(pages))
        return
    shown = 0
    for page in _told(session, pages):
        lines = table(head, [row(item) for item in page.items])
        session.out.result(None, lines[1:] if shown and lines else lines)
        shown += len(page.items)
    if not shown:
        session.out.say("Nothing found.")


def pages_of(session: Session, query: ListQuery, *, everything: bool) -> Iterator[Page[Any]]:
    """Yield one page, or all of one snapshot."""
    audit = session.reader.audit
    if everything:
        yield from audit.walk(query)
    else:
        yield audit.ask(query)


def print_json(session: Session, pages: list[Page[Any]]) -> None:
    """Print pages as one document: items, next, at, and what else the first one says."""
    from steelyard.domain.plain import plain

    first = plain(pages[0])
    assert isinstance(first, dict)
    items = [plain(item) for page in pages for item in page.items]
    session.out.document(first | {"items": items, "next": pages[-1].next})
    warn_behind(session, pages[0].at)


def _told(session: Session, pages: Iterator[Page[Any]]) -> Iterator[Page[Any]]:
    """Pass pages on; after the last one, say how far they are complete, and how to go on."""
    page = None
    for page in pages:
        yield page
    if page is not None:
        say_at(session, page.at)
        if page.next is not None:
            session.out.say(f"There is more: --all, or --cursor {page.next}")


def say_at(session: Session, at: At) -> None:
    """Say on stderr how far an answer is complete and proved, and warn if the chain is further."""
    proved = f"proved to {at.proved}" if at.proved >= 0 else "not proved yet"
    session.out.say(f"Complete to block {at.block} of {format_time(at.time)}, {proved}; 0x{at.hash.hex()}")
    warn_behind(session, at)


def warn_behind(session: Session, at: At) -> None:
    """Warn if the endpoint knows newer blocks than the index; silent where it does not answer."""
    if session.out.quiet:
        return
    try:
        newest = session.reader.context.rpc.get_block("latest").number
    except ChainError:
        return
    if newest > at.block:
        session.out.warn(
            f"the index is {count(newest - at.block, 'block')} behind the chain: run `steelyard index`"
        )


# -- what is typed -------------------------------------------------------------------------------------------


def asset_of(session: Session, ref: str | None) -> AssetId | None:
    """Return the asset that a reference names; whether it exists is not asked."""
    return None if ref is None else session.reader.context.asset_id(ref)


def version_of(session: Session, ref: str | None) -> VersionId | None:
    """Return the version that a reference names, such as ``alice/digits@2``.

    Raises:
        InputError: it names an asset only.
        NotFoundError: there is none.
    """
    if ref is None:
        return None
    parsed = session.reader.context.parse(ref)
    if parsed.version is None:
        raise InputError(f"{ref} names no version: add @ and its number")
    return session.reader.audit.numbered(session.reader.context.asset_id(ref), parsed.version).version


def account_of(session: Session, who: str | None) -> Address | None:
    """Return the address that a text names: itself, an account of this machine, or an alias."""
    from steelyard.cli.rights import to_address

    return None if who is None else to_address(session, who)


def amount_of(session: Session, text: str | None, currency: bytes | None) -> int | None:
    """Return an amount with its unit; of a token, whole tokens."""
    from steelyard.domain.money import parse_native, parse_token

    if text is None:
        return None
    if currency is None or not any(currency):
        return parse_native(text)
    symbol, decimals = session.token(currency)
    return parse_token(text, decimals=decimals, symbol=symbol)


def currency_of(text: str | None) -> Address | None:
    """Return a currency: an ERC-20's address, or ``native``."""
    from steelyard.chain.hexdata import parse_address
    from steelyard.domain.types import NATIVE

    return None if text is None else NATIVE if text.lower() in ("native", "eth") else parse_address(text)


def word_of(text: str | None, what: str) -> bytes | None:
    """Return 32 bytes from 0x and 64 digits.

    Raises:
        InputError: they are not.
    """
    if text is None:
        return None
    try:
        value = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        value = b""
    if len(value) != 32:
        raise InputError(f"{text!r} is no {what}: 0x and 64 hexadecimal digits")
    return value


# -- cells ---------------------------------------------------------------------------------------------------


def money_cell(session: Session, amount: int | None, currency: bytes | None) -> str:
    """Return an amount in few characters; of a token with its short address, since anybody can name a token."""
    if amount is None or currency is None:
        return "-"
    if not any(currency):
        return format_native(amount)
    try:
        _, decimals = session.token(currency)
        return f"{format_units(amount, decimals=decimals)} {short(currency)}"
    except SteelyardError:  # what the token does not answer must not hide the amount
        return f"{amount} units {short(currency)}"


def payee_cell(session: Session, word: bytes) -> str:
    """Return who a word names in few characters: a node, the market, or an account."""
    if word[0] & 0x80:
        return "node " + word.hex()[:6]
    if word[12:] == session.reader.context.deployment.market:
        return "market"
    return short(word[12:])
