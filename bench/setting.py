"""What every speed topic is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20
MB = 10**6
"""Speeds are in megabytes of 10^6 bytes a second, as peers state theirs."""


@dataclass(frozen=True)
class Setting:
    """What a topic needs to know.

    Attributes:
        root: the checkout.
        folder: an empty folder on the disk of the checkout.
        size: bytes of large files.
        rounds: number of rounds.
        entries: of the synthetic history that is indexed and asked.
    """

    root: Path
    folder: Path
    size: int
    rounds: int
    entries: int = 100_000
