"""What became of each mutant, one line of JSON each, written before the next one is tried."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

INVALID, EQUIVALENT, KILLED, TIMEOUT, SURVIVED = "invalid", "equivalent", "killed", "timeout", "survived"


@dataclass(frozen=True)
class Verdict:
    """The fate of a mutant, and what it was.

    ``source`` is the SHA-256 of the file it was made from: when the file has changed, the verdict is void.
    """

    id: str
    file: str
    source: str
    line: int
    text: str
    operator: str
    old: str
    new: str
    result: str
    killer: str
    seconds: float


def append(path: Path, verdict: Verdict) -> None:
    """Add a line, and see it on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(verdict)) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read(path: Path) -> Iterator[Verdict]:
    """Yield the verdicts, oldest first. A last line that was cut off is passed over."""
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n"):
            yield Verdict(**json.loads(line))


def latest(path: Path) -> dict[str, Verdict]:
    """Return the newest verdict of each mutant, by its name."""
    return {verdict.id: verdict for verdict in read(path)}


def hints(verdicts: Iterable[Verdict], file: str, line: int) -> list[str]:
    """Return the tests of brownie that killed mutants of a file, without parameters: first those of the nearest lines.

    Args:
        verdicts: What is known.
        file: The file of the mutant that is to be killed.
        line: Its line, from 1.
    """
    kills = [v for v in verdicts if v.file == file and v.result == KILLED and v.killer.startswith("brownie ")]
    kills.sort(key=lambda verdict: abs(verdict.line - line))
    return list(dict.fromkeys(v.killer.removeprefix("brownie ").split("[")[0] for v in kills))
