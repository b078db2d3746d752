"""Run slither and compare what it finds with docs/slither.md, which answers every finding.

Succeeds only if exactly the findings in the document's table occur. A new one is named, with the beginning of
the row that its answer needs; so is one that the document still answers and slither no longer finds. The
table is the only list: there is no second one to keep in step.

A finding's mark is the first 8 digits of the SHA-256 of its text without line numbers: it stays while code
above it moves, and changes when the finding itself does.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "slither.md"
SLITHER = ROOT / ".venv-audit" / "bin" / "slither"
PLACE = re.compile(r" \([^()\s]+\.sol#[0-9-]+\)")
ROW = re.compile(r"^\| `([0-9a-f]{8})` \| ([a-z0-9-]+) \| `([^`|]+)` \| ([^|]+) \| ([^|]+) \|$")
COUNT = re.compile(r"\b([0-9]+) findings\b")


class AuditError(Exception):
    """Slither did not run to its end, or the document cannot be read; the message is for a developer."""


@dataclass(frozen=True, order=True)
class Finding:
    """One finding, as the document names it.

    Attributes:
        detector: slither's name of the rule.
        where: contract, function and variable, as far as it has them.
        mark: 8 hexadecimal digits, of its text.
    """

    detector: str
    where: str
    mark: str

    def __str__(self) -> str:
        """Return the beginning of its row."""
        return f"| `{self.mark}` | {self.detector} | `{self.where}` |"


def where_of(element: dict[str, Any]) -> str:
    """Return the dotted name of an element of slither's: contract, function, variable."""
    names: list[str] = []
    while element:
        names.append(str(element["name"]))
        element = element.get("type_specific_fields", {}).get("parent") or {}
    return ".".join(reversed(names))


def found_in(report: dict[str, Any]) -> dict[Finding, str]:
    """Return the findings of slither's JSON report and their texts.

    Raises:
        AuditError: slither failed, so that an empty report says nothing.
    """
    if report.get("success") is not True:
        raise AuditError(f"slither failed: {report.get('error')}")
    found: dict[Finding, str] = {}
    seen: Counter[str] = Counter()
    for item in report["results"].get("detectors", []):
        text = "\n".join(sorted(PLACE.sub("", item["description"]).splitlines()))
        seen[text] += 1
        # Two of one text, in one function, are still two.
        mark = hashlib.sha256(f"{text}\n{seen[text]}".encode()).hexdigest()[:8]
        found[Finding(item["check"], where_of(item["elements"][0]), mark)] = item["description"].strip()
    return found


def answered_in(document: str) -> list[Finding]:
    """Return the findings that the document's table answers.

    Raises:
        AuditError: a row of the table is malformed or stands there twice, or their number is not the one in
            the text.
    """
    lines = document.splitlines()
    try:
        start = next(i for i, line in enumerate(lines) if line.startswith("|---"))
    except StopIteration:
        raise AuditError("the document has no table") from None
    answered: list[Finding] = []
    for line in lines[start + 1 :]:
        if not line.startswith("|"):
            break
        if (row := ROW.match(line)) is None:
            raise AuditError(f"not a row of mark, detector, place, answer and test: {line}")
        answered.append(Finding(row[2], row[3], row[1]))
    twice = [str(finding) for finding, count in Counter(answered).items() if count > 1]
    if twice:
        raise AuditError(f"answered twice: {', '.join(twice)}")
    if COUNT.findall(document) != [str(len(answered))]:
        raise AuditError(
            f"the text must say once how many findings there are, and the table has {len(answered)}"
        )
    return answered


def compare(found: dict[Finding, str], answered: Iterable[Finding]) -> list[str]:
    """Return what is wrong: new findings, and answers to what is not found any more."""
    known = set(answered)
    wrong = [f"new: {finding}\n{found[finding]}" for finding in sorted(set(found) - known)]
    return wrong + [f"answered, but not found any more: {finding}" for finding in sorted(known - set(found))]


def run_slither(arguments: list[str]) -> dict[str, Any]:
    """Run slither over the checkout and return its report.

    Raises:
        AuditError: it is not installed, or wrote none.
    """
    if not SLITHER.is_file():
        raise AuditError("slither is not installed: run `make audit`")
    with tempfile.TemporaryDirectory(prefix="steelyard-audit-") as folder:
        target = Path(folder) / "report.json"
        path = f"{ROOT / 'build' / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
        done = subprocess.run(
            [str(SLITHER), ".", "--json", str(target), *arguments],
            cwd=ROOT,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        # Its exit code speaks of findings too; the report says whether it ran to its end.
        try:
            report: dict[str, Any] = json.loads(target.read_bytes())
        except (OSError, ValueError) as exc:
            raise AuditError(f"slither wrote no report:\n{done.stderr.strip()[-4000:]}") from exc
    return report


def main(arguments: list[str]) -> int:
    """Run it; returns the exit code."""
    try:
        answered = answered_in(DOCUMENT.read_text(encoding="utf-8"))
        found = found_in(run_slither(arguments))
    except AuditError as exc:
        print(f"audit: {exc}", file=sys.stderr)
        return 1
    wrong = compare(found, answered)
    for text in wrong:
        print(f"audit: {text}", file=sys.stderr)
    name = DOCUMENT.relative_to(ROOT)
    print(
        f"audit: {len(found)} findings; "
        + (f"{len(wrong)} not as {name} says" if wrong else f"all answered in {name}")
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
