"""What a mutant is, and what it is called."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Change:
    """A replacement of the bytes from ``start`` to ``end`` of a source."""

    operator: str
    start: int
    end: int
    new: str
    # function or constant that it is in
    where: str = ""


@dataclass(frozen=True)
class Mutant:
    """A change of one file, with a name that stays when lines elsewhere change."""

    id: str
    file: str
    line: int
    change: Change
    old: str
    # the first line of the source that the change touches, without its indent
    text: str

    def apply(self, source: bytes) -> str:
        """Return the mutated source."""
        return (source[: self.change.start] + self.change.new.encode() + source[self.change.end :]).decode()


def name_all(file: str, source: bytes, changes: Iterable[Change]) -> list[Mutant]:
    """Order changes by their place, leave out those that change nothing or say the same twice, and name the rest.

    The name is a digest of file, function, operator, old and new text, and of the count of equal ones before it.
    """
    seen: set[tuple[int, int, str]] = set()
    count: Counter[str] = Counter()
    found = []
    for change in sorted(changes, key=lambda c: (c.start, c.end, c.operator, c.new)):
        old = source[change.start : change.end].decode()
        key = (change.start, change.end, change.new)
        if key in seen or old == change.new:
            continue
        seen.add(key)
        what = f"{file}\0{change.where}\0{change.operator}\0{old}\0{change.new}"
        count[what] += 1
        digest = hashlib.sha256(f"{what}\0{count[what]}".encode()).hexdigest()[:12]
        begin = source.rfind(b"\n", 0, change.start) + 1
        stop = source.find(b"\n", change.start)
        text = source[begin : stop if stop >= 0 else len(source)].decode().strip()
        found.append(Mutant(digest, file, source.count(b"\n", 0, change.start) + 1, change, old, text))
    return found
