"""Coverage-guided fuzzing of every parser, each in a process of its own, and what came of it.

    python -m tests.fuzz.campaign [--cpu-seconds N] [--slice N] [--jobs N] [--in-order] [--only NAME ...] [--fresh]

The parsers take turns until each has had N seconds of processor time. After every turn the sums are in build/fuzz.json, and what
was found interesting in build/fuzz/corpus: a campaign that was broken off, or is asked for more seconds, goes on from there. A
finding is a file in build/fuzz/found/NAME, and ends the turns of its parser; the next campaign begins with it. `--replay FILE
--only NAME` runs it again here, with a traceback.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from hashlib import sha256
from pathlib import Path

from tests.fuzz.books import Books, Turn
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-atheris" / "bin" / "python"
PLACE = ROOT / "build" / "fuzz"
BOOKS = ROOT / "build" / "fuzz.json"
_FACTS = re.compile(r"^stat::(\w+):\s+(\d+)$", re.MULTILINE)
_COVERED = re.compile(r"cov: (\d+)")
# The limits of time are those of child.py, which counts the processor's: a stopped campaign is not a slow parser.
_OPTIONS = (
    "-timeout=1000000",
    "-report_slow_units=1000000",
    "-interrupted_exitcode=0",
    "-print_final_stats=1",
    "-rss_limit_mb=768",
    "-max_len=70000",
    "-len_control=20",
)


def run(name: str, cpu_seconds: float) -> Turn:
    """Fuzz one parser for some seconds of processor time."""
    corpus, found = PLACE / "corpus" / name, PLACE / "found" / name
    for folder in (corpus, found):
        folder.mkdir(parents=True, exist_ok=True)
    for item in found.iterdir():
        item.rename(corpus / item.name)
    for seed in TARGETS[name].seeds():
        (corpus / sha256(seed).hexdigest()[:16]).write_bytes(seed)
    path = os.pathsep.join([str(ROOT / "backend"), str(ROOT), sysconfig.get_path("purelib")])
    start = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryDirectory() as scratch:
        child = subprocess.Popen(
            [
                str(PYTHON),
                "-m",
                "tests.fuzz.child",
                name,
                str(cpu_seconds),
                *_OPTIONS,
                f"-artifact_prefix={found}/",
                str(corpus),
            ],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "0", "TMPDIR": scratch},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        _, status, used = os.wait4(child.pid, 0)
        code = child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        output = out.read().decode("utf-8", "replace")
    facts = {key: int(value) for key, value in _FACTS.findall(output)}
    covered = [int(item) for item in _COVERED.findall(output)]
    files = sorted(str(item.relative_to(ROOT)) for item in found.iterdir())
    if code and not files:
        files = [f"exit code {code}: {output.strip().splitlines()[-1] if output.strip() else ''}"]
    if files:
        (PLACE / f"{name}.txt").write_text(output[-20_000:], encoding="utf-8")
    return Turn(
        name=name,
        seconds=round(time.monotonic() - start, 1),
        cpu_seconds=round(used.ru_utime + used.ru_stime, 1),
        executions=facts.get("number_of_executed_units", 0),
        covered=max(covered, default=0),
        memory_mb=facts.get("peak_rss_mb", 0),
        found=files,
    )


def campaign(
    names: Sequence[str],
    books: Books,
    run: Callable[[str, float], Turn],
    *,
    cpu_seconds: float,
    portion: float,
    jobs: int,
    in_order: bool,
) -> None:
    """Let parsers take turns until each has had its processor time or found something."""
    running: dict[Future[Turn], str] = {}
    ended: list[str] = []
    with ThreadPoolExecutor(jobs) as pool:
        while True:
            name = books.due(
                names, cpu_seconds=cpu_seconds, busy=[*running.values(), *ended], in_order=in_order
            )
            if name is not None and len(running) < jobs:
                seconds = min(portion, max(1, cpu_seconds - books[name].cpu_seconds))
                running[pool.submit(run, name, seconds)] = name
                continue
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                name = running.pop(future)
                books.add(future.result())
                if books[name].found:
                    ended.append(name)
                print(line(books[name]), flush=True)


def line(turn: Turn) -> str:
    """Return the sums of a parser as a line."""
    return (
        f"{turn.name:16} {turn.seconds:8.1f} s {turn.cpu_seconds:7.1f} CPU s {turn.executions:11,} runs {turn.covered:6,} covered "
        f"{turn.memory_mb:5} MB  {'FOUND ' + turn.found[0] if turn.found else 'nothing found'}"
    )


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--cpu-seconds", type=float, default=60, help="of processor time for each parser, over all campaigns"
    )
    parser.add_argument("--slice", type=float, default=60, help="seconds of processor time in a turn")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument(
        "--in-order", action="store_true", help="one parser after the other rather than in turns"
    )
    parser.add_argument("--only", nargs="*", choices=sorted(TARGETS), default=list(TARGETS))
    parser.add_argument("--fresh", action="store_true", help="begin from the seeds alone, and count anew")
    parser.add_argument("--replay", type=Path)
    given = parser.parse_args()
    if given.replay is not None:
        target = TARGETS[given.only[0]]
        try:
            print(target.run(given.replay.read_bytes()))
        except target.allowed as error:
            print(f"{type(error).__name__}: {error}")
        return 0
    os.nice(10)
    books = Books(BOOKS)
    if given.fresh:
        books.forget(given.only)
        for name in given.only:
            shutil.rmtree(PLACE / "corpus" / name, ignore_errors=True)
    campaign(
        given.only,
        books,
        run,
        cpu_seconds=given.cpu_seconds,
        portion=given.slice,
        jobs=given.jobs,
        in_order=given.in_order,
    )
    print(*(line(books[name]) for name in given.only), sep="\n")
    return 1 if any(books[name].found for name in given.only) else 0


if __name__ == "__main__":
    sys.exit(main())
