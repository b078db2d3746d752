"""What the follower tells while it works: ids and numbers, never contents."""

from __future__ import annotations

from dataclasses import dataclass

from steelyard.errors import SteelyardError


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A range of blocks was written.

    Attributes:
        block: last block that is written.
        target: block up to which this step reads.
        entries: written by this step so far.
        rate: entries a second so far.
        left: seconds that the rest will take at the rate of blocks so far, or None as long as nobody can say.
    """

    block: int
    target: int
    entries: int
    rate: float
    left: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """Blocks were replaced, or were not what the contracts say: everything above ``block`` is undone, ``entries`` of them."""

    block: int
    entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Proved:
    """The heads of ``subjects`` subjects are the contracts' at ``block``."""

    block: int
    subjects: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An endpoint failed, or hid or altered something; another one is asked, or the same one later."""

    endpoint: str
    error: SteelyardError


Report = Progress | Undone | Proved | Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a step did.

    Attributes:
        block: up to which the index is complete; -1 before any.
        moved: whether it is another block than before.
        undone: last block that stayed when blocks were undone, or None if none were.
        entries: read.
        behind: the endpoint is behind the index, so nothing was done.
    """

    block: int
    moved: bool
    undone: int | None = None
    entries: int = 0
    behind: bool = False
