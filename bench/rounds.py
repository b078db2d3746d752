"""Interleaved rounds: every contestant runs once in each round, so a machine that slows down slows all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

ROUNDS = 5
"""Least number of rounds."""


@dataclass(frozen=True)
class Timings:
    """Seconds of each round, by contestant."""

    seconds: Mapping[str, tuple[float, ...]]

    def median(self, name: str) -> float:
        """Return the median of a contestant's seconds."""
        return statistics.median(self.seconds[name])

    def speedup(self, name: str, other: str) -> float:
        """Return how many times as fast ``name`` is as ``other``: the median of the ratios within the rounds.

        Two runs of one round are seconds apart, so the ratio holds where machines drift.
        """
        pairs = zip(self.seconds[name], self.seconds[other], strict=True)
        return statistics.median(theirs / own for own, theirs in pairs)


def interleave(
    contestants: Mapping[str, Callable[[], object]],
    *,
    rounds: int = ROUNDS,
    after: Callable[[], None] = lambda: None,
) -> Timings:
    """Run every contestant in every round, in turning order, after one round that does not count.

    Args:
        contestants: what to time, by name.
        rounds: at least :data:`ROUNDS`.
        after: cleans up after each run; not timed.
    """
    names = list(contestants)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(max(rounds, ROUNDS) + 1):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            start = time.perf_counter()
            contestants[name]()
            passed = time.perf_counter() - start
            after()
            if turn:
                seconds[name].append(passed)
    return Timings({name: tuple(values) for name, values in seconds.items()})
