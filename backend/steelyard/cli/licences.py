"""Finding the purchase that somebody means: by id, its first digits, or reference of what was bought."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from steelyard.cli.context import Session, pick, sent_lines
from steelyard.cli.output import pairs
from steelyard.cli.units import format_time
from steelyard.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Collection

    from steelyard.domain.types import State
    from steelyard.service.results import Purchase

_WHOLE = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)


def find_purchase(session: Session, text: str, *, states: Collection[State] = ()) -> Purchase:
    """Return the purchase that a text names.

    Args:
        session: the run.
        text: a purchase's id, at least its first 8 digits, or a reference; a reference only if it leaves one
            purchase.
        states: the states that the act asks for, to choose among several of one reference; any if empty.

    Raises:
        NotFoundError: there is none.
        InputError: there are several.
    """
    market = session.market
    if _WHOLE.fullmatch(text):
        return market.purchase(text)
    if "/" not in text:
        mine = {bytes(item.id): item for item in market.purchases()}
        return mine[pick(text, mine, what="purchase")]
    found = market.purchases(text)
    fitting = [item for item in found if not states or item.state in states]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        seen = ", ".join(sorted({item.state.name.lower() for item in found}))
        raise NotFoundError(f"no purchase of {text} for this" + (f"; yours are {seen}" if seen else ""))
    ids = ", ".join(f"0x{item.id.hex()[:12]}" for item in fitting)
    raise InputError(f"{len(fitting)} purchases of {text} fit: name one by its id ({ids})")


def purchase_lines(session: Session, item: Purchase) -> list[str]:
    """Return what to print of a purchase."""
    waiting = item.state.name == "PAID"
    return pairs(
        [
            ("purchase", "0x" + item.id.hex()),
            ("of", item.ref),
            ("state", ("FLAGGED, " if item.flagged else "") + item.state.name.lower()),
            ("price", session.money(item.terms.price, item.terms.currency) if item.terms.price else "free"),
            ("deliver by", format_time(item.due) if waiting else ""),
            ("until", format_time(item.until) if item.until else ""),
            ("settles", format_time(item.settles_at) if item.state.name == "DELIVERED" else ""),
            *sent_lines(item),
        ]
    )
