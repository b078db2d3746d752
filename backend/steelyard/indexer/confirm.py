"""Two endpoints about one range: what one leaves out, the other one has.

The heads prove the entries of every subject that is known; an endpoint that hides a subject from its first entry on is found only by
asking another one.
"""

from __future__ import annotations

from dataclasses import dataclass

from steelyard.errors import ChainError, NotFoundError, TrailError
from steelyard.indexer.entries import Entry
from steelyard.indexer.report import Fault
from steelyard.indexer.schema import SHIFT
from steelyard.indexer.source import Answered, Source


@dataclass(frozen=True, slots=True)
class Confirmed:
    """An answer to go on with, and what is to be said about the endpoints."""

    answered: Answered
    faults: tuple[Fault, ...]


def confirmed(one: Source, other: Source, first: int, last: int, answered: Answered) -> Confirmed:
    """Compare an answer with what another endpoint says about the same range.

    Where one answer has all that the other one has and more, it is taken; the heads will tell whether it is true. Where each has
    what the other one has not, the first is taken, for the same reason.

    Args:
        one: who answered.
        other: whom to ask besides.
        first: first block.
        last: last block.
        answered: its answer.
    """
    try:
        second = other.entries(first, last)
        if other.blocks([last])[0] is None:
            raise NotFoundError(
                f"{other.name} does not have block {last} yet: it is behind, and confirms nothing"
            )
    except (ChainError, NotFoundError) as exc:
        return Confirmed(answered, (Fault(endpoint=other.name, error=exc),))
    if second.entries == answered.entries:
        return Confirmed(answered, ())
    ours, theirs = set(answered.entries), set(second.entries)
    if ours < theirs:
        return Confirmed(second, (_hides(one, other, theirs - ours),))
    if theirs < ours:
        return Confirmed(answered, (_hides(other, one, ours - theirs),))
    different = min(ours ^ theirs)
    error = TrailError(
        f"{one.name} and {other.name} disagree about an entry about 0x{different.subject.hex()} in block {different.pos >> SHIFT}"
    )
    return Confirmed(answered, (Fault(endpoint=other.name, error=error),))


def _hides(who: Source, other: Source, entries: set[Entry]) -> Fault:
    first = min(entries)
    error = TrailError(
        f"{who.name} leaves out {len(entries)} entries that {other.name} has, the first about 0x{first.subject.hex()} in block "
        f"{first.pos >> SHIFT}"
    )
    return Fault(endpoint=who.name, error=error)
