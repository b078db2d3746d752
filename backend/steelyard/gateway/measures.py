"""What the books say of money, for Prometheus (docs/gateway.md, "Metrics")."""

from __future__ import annotations

from typing import Final

from steelyard.domain.plain import plain
from steelyard.gateway.counters import Sample
from steelyard.gateway.state import Gateway

MOST: Final = 1_000
"""Channels that are told of one by one: those with the most to claim."""
_ROWS: Final = (
    "SELECT channel, version, units, best_units, claimed FROM gateway_channels WHERE state = 'open'"
)
_REVENUE: Final = "Co-signed in open channels, smallest units."
_UNCLAIMED: Final = "Co-signed and not claimed, smallest units."
_UNCOVERED: Final = "Units answered and not co-signed."


def measures(gateway: Gateway) -> list[Sample]:
    """Return gauges by model and by channel."""
    models = {item.wanted.version: item for item in gateway.hosted()}
    with gateway.books.tables.read() as db:
        rows = db.rows(_ROWS)
    totals: dict[str, list[int]] = {item.wanted.name: [0, 0, 0] for item in models.values()}
    channels: list[tuple[int, bytes, int]] = []
    for channel, version, units, covered, claimed in rows:
        item = models.get(version)
        if item is None:
            continue
        revenue = int(covered) * item.terms.price
        unclaimed = max(0, revenue - int(claimed))
        sums = totals[item.wanted.name]
        for place, value in enumerate((revenue, unclaimed, int(units) - int(covered))):
            sums[place] += value
        channels.append((unclaimed, bytes(channel), int(units)))
    found: list[Sample] = []
    for name, (revenue, unclaimed, uncovered) in totals.items():
        label = {"model": name}
        found.append(("steelyard_gateway_revenue", _REVENUE, label, revenue))
        found.append(("steelyard_gateway_unclaimed", _UNCLAIMED, label, unclaimed))
        found.append(("steelyard_gateway_uncovered_units", _UNCOVERED, label, uncovered))
    for unclaimed, channel, units in sorted(channels, reverse=True)[:MOST]:
        label = {"channel": str(plain(channel))}
        found.append(("steelyard_gateway_channel_unclaimed", _UNCLAIMED, label, unclaimed))
        found.append(("steelyard_gateway_channel_units", "Units answered.", label, units))
    return found
