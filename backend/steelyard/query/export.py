"""Lists for other programs, as JSON Lines and CSV: the first record says up to which block they are complete.

Written page by page out of one snapshot, so a list of any length takes constant memory.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from steelyard.domain.plain import plain
from steelyard.errors import InputError
from steelyard.query.audit import Audit, ListQuery
from steelyard.query.model import (
    Asset,
    AssetQuery,
    At,
    Channel,
    ChannelQuery,
    Event,
    EventQuery,
    Holder,
    HolderQuery,
    MeteredOffer,
    MeteredOfferQuery,
    Obligation,
    ObligationQuery,
    Offer,
    OfferQuery,
    Page,
    Payment,
    PaymentQuery,
    Purchase,
    PurchaseQuery,
    Version,
    VersionQuery,
)

FORMAT: Final = "steelyard/list/v1"
FORMATS: Final = ("jsonl", "csv")
LISTS: Final[dict[type, tuple[str, type]]] = {
    EventQuery: ("events", Event),
    AssetQuery: ("assets", Asset),
    HolderQuery: ("holders", Holder),
    PaymentQuery: ("payments", Payment),
    ObligationQuery: ("obligations", Obligation),
    VersionQuery: ("versions", Version),
    OfferQuery: ("offers", Offer),
    PurchaseQuery: ("purchases", Purchase),
    MeteredOfferQuery: ("metered-offers", MeteredOffer),
    ChannelQuery: ("channels", Channel),
}
"""For each question the name of its list, and what its rows are."""


def export_list(audit: Audit, query: ListQuery, *, format: str) -> Iterator[str]:
    """Yield the text of a whole list, of one snapshot, in pieces that each end a line.

    Args:
        audit: the index.
        query: the question; its limit does not matter.
        format: ``jsonl`` or ``csv``.

    Raises:
        InputError: there is no such format, or the question cannot be asked.
        NotFoundError: the index is empty.
    """
    return export_pages(audit.walk(query), query, format=format)


def export_pages(pages: Iterable[Page[Any]], query: ListQuery, *, format: str) -> Iterator[str]:
    """Yield the text of some pages of a list; at least one."""
    if format not in FORMATS:
        raise InputError(f"there is no list format {format!r}; choose one of {', '.join(FORMATS)}")
    return _jsonl(pages, query) if format == "jsonl" else _csv(pages, query)


def _jsonl(pages: Iterable[Page[Any]], query: ListQuery) -> Iterator[str]:
    first = True
    for page in pages:
        if first:
            head = {"format": FORMAT, "list": LISTS[type(query)][0], "question": asked(query)}
            yield _line(head | {"complete": complete(page.at)})
            first = False
        for item in page.items:
            yield _line(plain(item))


def _csv(pages: Iterable[Page[Any]], query: ListQuery) -> Iterator[str]:
    """Yield rows: column names, the record ``complete``, then a row each; nested values are JSON."""
    name, kind = LISTS[type(query)]
    columns = [item.name for item in dataclasses.fields(kind)]
    first = True
    for page in pages:
        if first:
            yield _row(["record", *columns, *(f"complete_{key}" for key in complete(page.at))])
            yield _row(["complete", *[""] * len(columns), *complete(page.at).values()])
            first = False
        for item in page.items:
            shown = plain(item)
            assert isinstance(shown, dict)
            yield _row([name, *(shown[column] for column in columns), "", "", "", ""])


def complete(at: At) -> dict[str, object]:
    """Return what an export says of its completeness: nothing in it is later than this block."""
    return {"block": at.block, "hash": "0x" + at.hash.hex(), "time": at.time, "proved": at.proved}


def asked(query: ListQuery) -> dict[str, object]:
    """Return the filters of a question that are set, as JSON has them."""
    shown = plain(query)
    assert isinstance(shown, dict)
    return {
        name: value
        for name, value in shown.items()
        if name not in ("cursor", "limit") and value not in (None, [])
    }


def _row(cells: list[Any]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerow([_cell(cell) for cell in cells])
    return text.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = _line(value)[:-1] if isinstance(value, (dict, list, bool)) else str(value)
    # OWASP, "CSV injection": these start a formula.
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r", "\n") and not _number(value) else text


def _number(value: object) -> bool:
    return isinstance(value, int)


def _line(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":")) + "\n"


__all__ = ["FORMAT", "FORMATS", "LISTS", "asked", "complete", "export_list", "export_pages"]
