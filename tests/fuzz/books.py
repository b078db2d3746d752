"""What a campaign has done so far, parser by parser: kept after every turn, so that it can be broken off and go on."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Turn:
    """What came of one run of one parser; added up, of all its runs.

    Attributes:
        name: of the parser.
        seconds: by the clock.
        cpu_seconds: of processor time.
        executions: inputs tried.
        covered: branches reached, the most of a run.
        memory_mb: the most of a run, in MiB.
        found: findings that are open: files below the checkout, or how the process ended.
    """

    name: str
    seconds: float = 0
    cpu_seconds: float = 0
    executions: int = 0
    covered: int = 0
    memory_mb: int = 0
    found: list[str] = field(default_factory=list)

    def then(self, later: Turn) -> Turn:
        """Return both together; what is open is what the later one found."""
        return Turn(
            name=self.name,
            seconds=round(self.seconds + later.seconds, 1),
            cpu_seconds=round(self.cpu_seconds + later.cpu_seconds, 1),
            executions=self.executions + later.executions,
            covered=max(self.covered, later.covered),
            memory_mb=max(self.memory_mb, later.memory_mb),
            found=later.found,
        )


class Books:
    """The sums of all parsers, in a file."""

    def __init__(self, path: Path) -> None:
        """Read what was kept.

        Args:
            path: the file; it need not exist.
        """
        self._path = path
        rows = json.loads(path.read_bytes()) if path.exists() else []
        self._turns = {row["name"]: Turn(**row) for row in rows}

    def __getitem__(self, name: str) -> Turn:
        """Return the sums of a parser."""
        return self._turns.get(name, Turn(name))

    def forget(self, names: Collection[str]) -> None:
        """Begin anew with these parsers."""
        self._turns = {name: turn for name, turn in self._turns.items() if name not in names}

    def add(self, turn: Turn) -> None:
        """Add a turn, and keep it."""
        self._turns[turn.name] = self[turn.name].then(turn)
        text = json.dumps([asdict(row) for row in self._turns.values()], indent=1)
        fresh = self._path.with_suffix(".new")
        fresh.write_text(text + "\n", encoding="utf-8")
        os.replace(fresh, self._path)

    def due(
        self, names: Sequence[str], *, cpu_seconds: float, busy: Collection[str], in_order: bool
    ) -> str | None:
        """Return whose turn it is.

        Args:
            names: the parsers that take part.
            cpu_seconds: of processor time that each is to have.
            busy: those that are running, or not to run again.
            in_order: the first that has not enough, or an open finding, rather than the one that has least.
        """
        left = [
            name
            for name in names
            if name not in busy and (self[name].cpu_seconds < cpu_seconds or self[name].found)
        ]
        return min(left, key=lambda name: 0 if in_order else self[name].cpu_seconds, default=None)
