"""The figures of a journal, in Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from .campaign import Plan
from .journal import EQUIVALENT, INVALID, KILLED, SURVIVED, TIMEOUT, Verdict
from .targets import TARGETS

HEADER = """| file | mutants | tried | invalid | equivalent | killed | timed out | survived | score |
|---|---:|---:|---:|---:|---:|---:|---:|---:|"""


def current(scheme: Plan, verdicts: Mapping[str, Verdict]) -> dict[str, Verdict]:
    """Return the verdicts that are about the sources as they are."""
    names = {mutant.id for mutant in scheme.mutants}
    return {
        name: verdict
        for name, verdict in verdicts.items()
        if name in names and verdict.source == scheme.digest(verdict.file)
    }


def _row(title: str, mutants: int, verdicts: Iterable[Verdict]) -> str:
    count = Counter(verdict.result for verdict in verdicts)
    caught = count[KILLED] + count[TIMEOUT]
    judged = caught + count[SURVIVED]
    score = f"{100 * caught / judged:.1f} %" if judged else "-"
    cells = [
        title,
        mutants,
        count.total(),
        *(count[r] for r in (INVALID, EQUIVALENT, KILLED, TIMEOUT, SURVIVED)),
        score,
    ]
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def table(scheme: Plan, verdicts: Mapping[str, Verdict]) -> str:
    """Return the table: a row for each file, one for each group, one for all."""
    by_file = Counter(mutant.file for mutant in scheme.mutants)
    rows = [HEADER]
    for group in dict.fromkeys(t.group for t in TARGETS):
        files = [t.file for t in TARGETS if t.group == group]
        for file in files:
            name = f"`{file.removeprefix('contracts/')}`"
            rows.append(_row(name, by_file[file], (v for v in verdicts.values() if v.file == file)))
        total = sum(by_file[file] for file in files)
        rows.append(_row(f"**{group}**", total, (v for v in verdicts.values() if v.file in files)))
    rows.append(_row("**all**", len(scheme.mutants), verdicts.values()))
    return "\n".join(rows)


def survivors(verdicts: Mapping[str, Verdict]) -> str:
    """Return the survivors, by file and line."""
    lines: list[str] = []
    for v in _ordered(v for v in verdicts.values() if v.result == SURVIVED):
        lines.append(f"- `{v.id}` {v.file.removeprefix('contracts/')}:{v.line} {v.operator}\n")
        lines.append(f"  `{v.text}`\n  `{_flat(v.old)}` -> `{_flat(v.new)}`\n")
    return "".join(lines)


def _ordered(verdicts: Iterable[Verdict]) -> Sequence[Verdict]:
    place = {t.file: i for i, t in enumerate(TARGETS)}
    return sorted(verdicts, key=lambda v: (place[v.file], v.line, v.id))


def _flat(text: str) -> str:
    return " ".join(text.split()) or "(nothing)"
