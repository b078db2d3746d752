"""``steelyard search``: models and datasets by words, card, owner and price."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from steelyard.cli.context import Session
from steelyard.cli.lists import (
    Shape,
    account_of,
    amount_of,
    currency_of,
    listed,
    money_cell,
    show_list,
)
from steelyard.cli.options import Command, with_session

if TYPE_CHECKING:
    from steelyard.query.answers import Asset

_SORTS = ("relevance", "newest", "updated", "name", "price", "sales")


@click.command("search", cls=Command)
@click.argument("words", nargs=-1)
@click.option("--tag", "tags", multiple=True, help="With this tag; repeatable.")
@click.option("--task", help="For this task, such as image-classification.")
@click.option("--framework", help="For this library, such as onnx.")
@click.option("--licence", metavar="ID", help="Under this licence, such as apache-2.0.")
@click.option("--metric", help="Whose card reports this metric.")
@click.option("--kind", type=click.Choice(["model", "dataset"]), help="Only models, or only datasets.")
@click.option("--owner", metavar="WHO", help="Owned by this account now.")
@click.option("--at-most", metavar="AMOUNT", help="Offered for this much or less, such as 0.05eth.")
@click.option("--currency", metavar="ADDRESS", help="Offered in this ERC-20, or 'native'.")
@click.option("--on-sale", is_flag=True, help="That can be bought now.")
@click.option(
    "--no-code", is_flag=True, help="Whose files run no code when they are loaded, as their seller declares."
)
@click.option(
    "--sort", type=click.Choice(_SORTS), help="Else by relevance, and without words the newest first."
)
@click.option("--reverse", is_flag=True, help="The other way round.")
@click.option("--facets", is_flag=True, help="Count tasks, frameworks, licences, tags, marks and kinds.")
@listed
@with_session
def search_command(
    session: Session,
    words: tuple[str, ...],
    tags: tuple[str, ...],
    task: str | None,
    framework: str | None,
    licence: str | None,
    metric: str | None,
    kind: str | None,
    owner: str | None,
    at_most: str | None,
    currency: str | None,
    on_sale: bool,
    no_code: bool,
    sort: str | None,
    reverse: bool,
    facets: bool,
    shape: Shape,
) -> None:
    """Find models and datasets by their cards.

    All WORDS must stand in name or card; the last may be the beginning of one. Needs the index: see `steelyard
    index`. A card is its seller's word. Marked +code is a version whose files run code when they are loaded, and code? one
    whose manifest was not read yet.
    """
    from steelyard.domain.types import AssetKind
    from steelyard.query.model import AssetQuery, Sort

    token = currency_of(currency)
    chosen = Sort(sort) if sort else Sort.RELEVANCE if words else Sort.NEWEST
    query = AssetQuery(
        text=" ".join(words) or None,
        tags=tags,
        task=task,
        framework=framework,
        licence=licence,
        metric=metric,
        kind=None if kind is None else AssetKind[kind.upper()],
        owner=account_of(session, owner),
        currency=token,
        at_most=amount_of(session, at_most, token),
        on_sale=on_sale or None,
        code=False if no_code else None,
        sort=chosen,
        descending=(chosen in (Sort.NAME, Sort.PRICE, Sort.RELEVANCE)) if reverse else None,
        facets=facets,
    )
    if facets and shape.format == "table" and not session.as_json:
        _show_facets(session, query, shape)
    show_list(
        session,
        query,
        shape=shape,
        head=("REF", "KIND", "SALES", "PRICE", "TITLE"),
        row=lambda item: _row(session, item),
    )


def _row(session: Session, item: Asset) -> tuple[str, ...]:
    from steelyard.domain import ref as refs

    prices = [offer for offer in item.offers if offer.price and not any(offer.currency)] or list(item.offers)
    price = "-"
    if prices:
        cheapest = min(prices, key=lambda offer: offer.price)
        price = money_cell(session, cheapest.price, cheapest.currency) if cheapest.price else "free"
    title = "" if item.card is None or item.card.title is None else item.card.title
    name = refs.short(item.creator, item.name, aliases=session.reader.context.aliases, version=None)
    return (
        name,
        marked_kind(item),
        str(item.sales),
        price,
        title if len(title) <= 28 else title[:25] + "...",
    )


def marked_kind(item: Asset) -> str:
    """Return an asset's kind, and whether files of its newest version run code when they are loaded."""
    marks = {None: " code?", True: " +code", False: ""}
    return item.kind + ("" if item.latest is None else marks[item.latest.code])


def _show_facets(session: Session, query: object, shape: Shape) -> None:
    from dataclasses import replace

    from steelyard.query.model import AssetPage, AssetQuery

    assert isinstance(query, AssetQuery)
    page = session.reader.audit.ask(replace(query, limit=1))
    assert isinstance(page, AssetPage)
    for field, counts in page.facets.items():
        if counts:
            top = ", ".join(f"{value} {number}" for value, number in list(counts.items())[:8])
            session.out.say(f"{field}: {top}")
