"""Run the test suites, and say at the end what passed, what was skipped and why.

The unit tests use one core: beside them run the suites of the contracts, hostile input and the wheel, printed after them. Those that end
processes and take the whole machine come last, alone.

    python tools/suites.py                 all of them
    python tools/suites.py unit forge      some of them
    python tools/suites.py unit -- -k x    with further arguments for the suite's own runner

The exit code is 0 only if every suite passed. A suite with no tests in its folder has failed: it was lost.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = str(ROOT / ".venv" / "bin" / "python")


@dataclass(frozen=True)
class Suite:
    """One suite: where its tests are and how to run them."""

    name: str
    what: str
    pattern: str
    command: tuple[str, ...]
    beside: bool = False  # the unit tests


SUITES = (
    Suite(
        "unit",
        "the Python package",
        "tests/unit/**/test_*.py",
        (PYTHON, "-m", "pytest", "tests/unit"),
    ),
    Suite(
        "contracts",
        "the contracts, by brownie",
        "tests/contracts/**/test_*.py",
        ("tools/brownie", "test"),
        beside=True,
    ),
    Suite(
        "forge",
        "the contracts, by forge: fuzz and invariants",
        "tests/forge/**/*.t.sol",
        ("build/bin/forge", "test"),
        beside=True,
    ),
    Suite(
        "hostile",
        "hostile files, names and texts",
        "tests/hostile/**/test_*.py",
        (PYTHON, "-m", "pytest", "tests/hostile"),
        beside=True,
    ),
    Suite("wheel", "the built package on its own", "tools/wheel.py", (PYTHON, "tools/wheel.py"), beside=True),
    Suite(
        "e2e",
        "everything together, under faults, and beside peers",
        "tests/e2e/**/test_*.py",
        (PYTHON, "-m", "pytest", "tests/e2e", "tests/faults", "tests/peers"),
    ),
)


@dataclass
class Outcome:
    """What became of a suite."""

    suite: Suite
    passed: bool
    closing: str
    seconds: float = 0.0
    skipped: list[str] = field(default_factory=list)


COLOURS = re.compile(r"\x1b\[[0-9;]*m")
CLOSING = (
    re.compile(r"^=+ (.*\b(?:passed|failed|skipped|error|errors|no tests ran)\b.* in [\d.]+s.*?) =+$"),
    re.compile(r"^Ran \d+ test suites? in .*: (.*)$"),
    re.compile(r"^(wheel: .*)$"),
)
SKIPPED = (
    re.compile(r"^SKIPPED \[(\d+)\] (.*)$"),
    re.compile(r"^\[SKIP(?:: (.*?))?\] (.*)$"),
)


def show(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def stream(command: list[str], env: dict[str, str], say: Callable[[str], None]) -> Iterator[str]:
    """Run a command and say its output; yields its lines without colours, and last the exit code."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    with process:
        for line in process.stdout or ():
            say(line.rstrip("\n"))
            yield COLOURS.sub("", line.rstrip())
    yield str(process.returncode)


def run(suite: Suite, extra: list[str], say: Callable[[str], None] = show) -> Outcome:
    """Run one suite."""
    say(f"\n--- {suite.name}: {suite.what}")
    if not any(ROOT.glob(suite.pattern)):
        return Outcome(suite, False, f"absent: nothing matches {suite.pattern}")
    env = dict(os.environ, PATH=f"{ROOT / 'build' / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}")
    start = time.monotonic()
    outcome = Outcome(suite, False, "it printed no result")
    code = ""
    for code in stream([*suite.command, *extra], env, say):
        for pattern in CLOSING:
            if match := pattern.match(code):
                outcome.closing = match[1]
        if match := SKIPPED[0].match(code):
            outcome.skipped.append(f"{match[2]}" + (f" ({match[1]} tests)" if match[1] != "1" else ""))
        elif match := SKIPPED[1].match(code):
            outcome.skipped.append(f"{match[2]}: {match[1] or 'no reason given'}")
    outcome.passed = code == "0"
    outcome.seconds = time.monotonic() - start
    if not outcome.passed:
        outcome.closing += f" (exit code {code})"
    return outcome


def run_all(suites: list[Suite], extra: list[str]) -> list[Outcome]:
    """Run suites; some beside the unit tests, if these are among them."""
    if not any(suite.name == "unit" for suite in suites):
        return [run(suite, extra) for suite in suites]
    kept: dict[str, list[str]] = {suite.name: [] for suite in suites}
    with ThreadPoolExecutor(1) as lane:
        beside = {
            suite.name: lane.submit(run, suite, extra, kept[suite.name].append)
            for suite in suites
            if suite.beside
        }
        outcomes = []
        for suite in suites:
            if suite.beside:
                outcomes.append(beside[suite.name].result())
                show("\n".join(kept[suite.name]))
            else:
                outcomes.append(run(suite, extra))
    return outcomes


def total(outcomes: list[Outcome], word: str) -> int:
    """Add up what the closing lines say of a word such as `passed`."""
    return sum(int(n) for o in outcomes for n in re.findall(rf"(\d+) (?:tests )?{word}\b", o.closing))


def report(outcomes: list[Outcome], seconds: float) -> None:
    """Print the summary; it took so many seconds by the clock."""
    print("\n--- summary")
    for outcome in outcomes:
        mark = "ok    " if outcome.passed else "FAILED"
        print(f"{mark} {outcome.suite.name:10} {outcome.seconds:6.1f} s  {outcome.closing}")
    reasons = [f"  {o.suite.name}: {reason}" for o in outcomes for reason in o.skipped]
    reasons += [f"  {o.suite.name}: {o.closing}" for o in outcomes if o.closing.startswith("absent")]
    print("skipped, and why:" if reasons else "nothing was skipped")
    for reason in reasons:
        print(reason)
    failures = total(outcomes, "failed") + total(outcomes, "errors?")
    parts = [f"{failures} failed"] if failures else []
    parts += [f"{total(outcomes, 'passed')} passed", f"{total(outcomes, 'skipped')} skipped"]
    broken = [o.suite.name for o in outcomes if not o.passed]
    verdict = f"failed: {', '.join(broken)}" if broken else "all suites passed"
    print(f"=== {verdict}: {', '.join(parts)} in {seconds:.1f}s ===", flush=True)


def main(arguments: list[str]) -> int:
    """Run the suites named, or all; returns the exit code."""
    split = arguments.index("--") if "--" in arguments else len(arguments)
    further = arguments[split + 1 :]
    chosen = arguments[:split] or [suite.name for suite in SUITES]
    unknown = set(chosen) - {suite.name for suite in SUITES}
    if unknown:
        print(f"tests: no such suite: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    started = time.monotonic()
    outcomes = run_all([suite for suite in SUITES if suite.name in chosen], further)
    report(outcomes, time.monotonic() - started)
    return 0 if all(outcome.passed for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
