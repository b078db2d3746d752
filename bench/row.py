"""A measured figure beside its peer, its limit and its bar; how it is printed and written down."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

LESS_IS_BETTER = frozenset({"gas", "s", "ms", "B", "MiB peak"})
"""Units of which less is better."""

_NAME = 40
_CELL = 10


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure.

    Attributes:
        name: what was done.
        unit: of all figures; those in :data:`LESS_IS_BETTER` should be small, others great.
        ours: median of the rounds, or exact.
        peer: the best peer's figure, or None.
        limit: what the machine allows: the bare primitive in the same run, or what the EVM asks, or None.
        bar: what ours should reach, or None.
        share: in its place: what the ratio should reach; so a machine that drifts between rounds decides nothing.
        ratio: ours to the limit, else to the peer; median of the rounds' ratios where there were rounds.
        against: what ``ratio`` compares with, for the note below the table.
    """

    name: str
    unit: str
    ours: float
    peer: float | None = None
    limit: float | None = None
    bar: float | None = None
    share: float | None = None
    ratio: float | None = None
    against: str = ""

    @property
    def shown_ratio(self) -> float | None:
        """The ratio that is printed."""
        if self.ratio is not None:
            return self.ratio
        other = self.limit or self.peer
        return self.ours / other if other else None

    @property
    def met(self) -> bool | None:
        """Whether the bar is reached; None without a bar."""
        if self.share is not None:
            assert self.shown_ratio is not None, "a share is one of the limit"
            return self.shown_ratio >= self.share
        if self.bar is None:
            return None
        return self.ours <= self.bar if self.unit in LESS_IS_BETTER else self.ours >= self.bar

    @property
    def shown_bar(self) -> float | None:
        """The bar that is printed."""
        return self.share * self.limit if self.share is not None and self.limit else self.bar

    def record(self) -> dict[str, object]:
        """Return the row as ``build/bench.json`` has it."""
        return {
            "name": self.name,
            "unit": self.unit,
            "ours": self.ours,
            "peer": self.peer,
            "limit": self.limit,
            "bar": self.shown_bar,
        }


@dataclass(frozen=True)
class Skipped:
    """A row that could not be measured here, and why."""

    name: str
    reason: str


Outcome = Row | Skipped


def table(title: str, outcomes: Sequence[Outcome]) -> str:
    """Return a table of about 100 columns."""
    head = f"{title:<{_NAME}}" + "".join(
        f"{word:>{_CELL}}" for word in ("peer", "limit", "ours", "ratio", "bar")
    )
    lines = [head, "-" * len(head)]
    notes: list[str] = []
    for item in outcomes:
        if isinstance(item, Skipped):
            lines.append(f"{item.name:<{_NAME}}  skipped: {item.reason}")
            continue
        cells = [number(value) for value in (item.peer, item.limit, item.ours)]
        ratio = item.shown_ratio
        cells.append("" if ratio is None else f"{ratio:.2f}")
        cells.append(number(item.shown_bar))
        mark = {True: "", False: "  missed", None: ""}[item.met]
        unit = "" if item.unit == "gas" else f" {item.unit}"
        lines.append(f"{item.name:<{_NAME}}" + "".join(f"{cell:>{_CELL}}" for cell in cells) + unit + mark)
        if item.against:
            notes.append(f"  {item.name}: {item.against}")
    return "\n".join(lines + (["", *notes] if notes else []))


def number(value: float | None) -> str:
    """Return a figure with at least three digits and commas; empty for None."""
    if value is None:
        return ""
    if float(value).is_integer() or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def write(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Write all measured rows as a JSON list."""
    path.parent.mkdir(parents=True, exist_ok=True)
    records = [item.record() for item in outcomes if isinstance(item, Row)]
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)
