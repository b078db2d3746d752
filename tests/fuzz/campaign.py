"""Coverage-guided fuzzing of every parser, each in a process of its own, and what came of it.

    python -m tests.fuzz.campaign [--seconds N] [--jobs N] [--only NAME ...] [--fresh]

What was found interesting is kept in build/fuzz/corpus and is where the next run begins. A finding is a file in
build/fuzz/found/NAME; `--replay FILE --only NAME` runs it again here, with a traceback. Writes build/fuzz.json.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-atheris" / "bin" / "python"
PLACE = ROOT / "build" / "fuzz"
_FACTS = re.compile(r"^stat::(\w+):\s+(\d+)$", re.MULTILINE)
_COVERED = re.compile(r"cov: (\d+)")


@dataclass(frozen=True)
class Result:
    """What came of one parser."""

    name: str
    seconds: float
    cpu_seconds: float
    executions: int
    covered: int
    memory_mb: int
    found: list[str]


def run(name: str, *, seconds: int, fresh: bool) -> Result:
    """Fuzz one parser."""
    corpus, found = PLACE / "corpus" / name, PLACE / "found" / name
    if fresh:
        shutil.rmtree(corpus, ignore_errors=True)
    shutil.rmtree(found, ignore_errors=True)
    for folder in (corpus, found):
        folder.mkdir(parents=True, exist_ok=True)
    for seed in TARGETS[name].seeds():
        (corpus / sha256(seed).hexdigest()[:16]).write_bytes(seed)
    options = [
        f"-max_total_time={seconds}",
        "-print_final_stats=1",
        "-rss_limit_mb=768",
        "-timeout=10",
        "-max_len=70000",
    ]
    options += [f"-artifact_prefix={found}/", "-len_control=20"]
    path = os.pathsep.join([str(ROOT / "backend"), str(ROOT), sysconfig.get_path("purelib")])
    start = time.monotonic()
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(
            [str(PYTHON), "-m", "tests.fuzz.child", name, *options, str(corpus)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "0"},
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
        (found / "output.txt").write_text(output[-20_000:], encoding="utf-8")
    return Result(
        name=name,
        seconds=round(time.monotonic() - start, 1),
        cpu_seconds=round(used.ru_utime + used.ru_stime, 1),
        executions=facts.get("number_of_executed_units", 0),
        covered=max(covered, default=0),
        memory_mb=facts.get("peak_rss_mb", 0),
        found=files,
    )


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="*", choices=sorted(TARGETS), default=list(TARGETS))
    parser.add_argument("--fresh", action="store_true", help="begin from the seeds alone")
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
    results = []
    with ThreadPoolExecutor(given.jobs) as pool:
        for result in pool.map(lambda name: run(name, seconds=given.seconds, fresh=given.fresh), given.only):
            results.append(result)
            print(
                f"{result.name:16} {result.seconds:7.1f} s {result.cpu_seconds:7.1f} CPU s {result.executions:10,} runs {result.covered:6,} covered "
                f"{result.memory_mb:5} MB  {'FOUND ' + result.found[0] if result.found else 'nothing found'}",
                flush=True,
            )
    text = json.dumps([asdict(result) for result in results], indent=1)
    (ROOT / "build" / "fuzz.json").write_text(text + "\n", encoding="utf-8")
    return 1 if any(result.found for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
