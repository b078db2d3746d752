"""``python -m bench [gas] [speed] [breakdown]``: measures, prints a table, and writes ``build/bench.json``."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from pathlib import Path

from bench import breakdown, gas, speed
from bench.row import Outcome, Skipped, table, write

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: list[str]) -> int:
    """Run what was asked for; both tables by default."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "what", nargs="*", choices=[[], "gas", "speed", "breakdown"], help="gas and speed by default"
    )
    parser.add_argument("--size", type=int, default=128, help="MiB of the file of the speed rows")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds, at least 5")
    parser.add_argument(
        "--entries", type=int, default=100_000, help="of the history of the rows index and audit"
    )
    parser.add_argument(
        "--full", action="store_true", help="the same as --entries 1000000; an hour on a busy machine"
    )
    parser.add_argument("--only", default="", help="speed rows of these topics, separated by commas")
    options = parser.parse_args(arguments)
    what = options.what or ["gas", "speed"]
    print(
        f"{time.strftime('%Y-%m-%d')}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    found: list[Outcome] = []
    if "gas" in what:
        found += (outcomes := gas.rows(ROOT))
        print("\n" + table("gas, from receipts; ratio to the peer", outcomes), flush=True)
    if "speed" in what:
        only = frozenset(filter(None, options.only.split(",")))
        outcomes = speed.rows(
            ROOT,
            size=options.size << 20,
            rounds=options.rounds,
            entries=1_000_000 if options.full else options.entries,
            only=only,
        )
        found += outcomes
        print("\n" + table("speed, medians of rounds", outcomes), flush=True)
    if "breakdown" in what:
        print("\n" + breakdown.report(ROOT), flush=True)
    if found:
        write(ROOT / "build" / "bench.json", found)
        missed = [row.name for row in found if not isinstance(row, Skipped) and row.met is False]
        print(f"\nbuild/bench.json: {len(found)} rows; bars missed: {', '.join(missed) or 'none'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
