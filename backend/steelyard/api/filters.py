"""Which entries a webhook is told of: a question without its time and its page, as the body has it and as it is kept."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from steelyard.domain.plain import plain
from steelyard.domain.types import Address, AssetId, VersionId
from steelyard.query.model import EventQuery, Party


@dataclass(frozen=True, kw_only=True)
class EventFilter:
    """Which entries: the fields of ``EventQuery`` that do not say when or how many. Empty for all."""

    asset: AssetId | None = None
    version: VersionId | None = None
    account: Address | None = None
    party: Party | None = None
    kinds: tuple[str, ...] = ()
    currency: Address | None = None
    at_least: int | None = None
    at_most: int | None = None


def pack_filter(value: EventFilter) -> str:
    """Return a filter as it is kept: JSON with bytes in hexadecimal."""
    given = {name: item for name, item in asdict(value).items() if item not in (None, ())}
    return json.dumps(plain(given), sort_keys=True)


def unpack_filter(text: str) -> EventFilter:
    """Return the filter that :func:`pack_filter` wrote."""
    raw: dict[str, Any] = json.loads(text)
    for name in ("asset", "version", "account", "currency"):
        if name in raw:
            raw[name] = bytes.fromhex(raw[name][2:])
    for name in ("at_least", "at_most"):
        if name in raw:
            raw[name] = int(raw[name])
    if "party" in raw:
        raw["party"] = Party[raw["party"].upper()]
    return EventFilter(**{**raw, "kinds": tuple(raw.get("kinds", ()))})


def query_of(text: str) -> EventQuery:
    """Return the question that a kept filter asks, oldest first."""
    value = unpack_filter(text)
    return EventQuery(**{item.name: getattr(value, item.name) for item in fields(value)}, newest_first=False)
