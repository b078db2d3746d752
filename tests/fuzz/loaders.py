"""Model files mutated at random, read by the libraries that load them and by us: what they would run, we must have told.

    python -m tests.fuzz.loaders [--seconds N] [--only NAME ...] [--seed N]

A library that hangs or ends its process on a file is killed and goes on with the next seed. Something missed is kept in
build/fuzz/missed, and makes the campaign fail. The libraries are in an environment of their own: `make fuzz-loaders`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from steelyard.errors import FormatError
from steelyard.formats.inspect import look
from steelyard.formats.window import Memory, Window
from tests.fuzz.libraries import LOADERS
from tests.fuzz.library import CODE, Loader

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-loaders" / "bin" / "python"
MISSED = ROOT / "build" / "fuzz" / "missed"
PATIENCE = 0.3
"""Seconds for one file."""
_FAULTS = ("missed", "crash")
_EDGES = (0, 1, 2, 3, 4, 8, 16, 20, 96, 255, 65_535, 2**32 - 1, 2**64 - 1)


def mutate(chance: random.Random, data: bytes, marks: Iterable[bytes]) -> bytes:
    """Change a few bytes, mostly behind the signatures of a format."""
    raw = bytearray(data)
    for _ in range(chance.choice((0, 0, 1, 1, 1, 2, 3, 6))):
        places = [place for mark in marks for place in _places(raw, mark)]
        near = bool(places) and chance.random() < 0.75
        place = chance.choice(places) + chance.randrange(-32, 64) if near else chance.randrange(len(raw) + 1)
        place = max(0, min(len(raw) - 1, place))
        way = chance.randrange(8)
        if way == 0:
            raw[place] = chance.randrange(256)
        elif way == 1:
            raw[place] ^= 1 << chance.randrange(8)
        elif way in (2, 3):
            size = chance.choice((2, 4, 8))
            value = chance.choice((*_EDGES, len(raw), chance.randrange(len(raw))))
            raw[place : place + size] = (value % (1 << 8 * size)).to_bytes(size, "little")
        elif way == 4:
            source, size = chance.randrange(len(raw)), chance.randrange(1, 64)
            raw[place : place + chance.choice((0, size))] = raw[source : source + size]
        elif way == 5:
            del raw[place : place + chance.randrange(1, 9)]
        elif way == 6:
            raw[place:place] = bytes(chance.randrange(1, 6))
        elif raw[place] < 128:  # the same number, spelt longer
            raw[place : place + 1] = bytes([raw[place] | 128]) + b"\x80" * chance.randrange(3) + b"\0"
        if not raw:
            raw = bytearray(b"\0")
    return bytes(raw)


def _places(raw: bytearray, mark: bytes) -> list[int]:
    found: list[int] = []
    place = raw.find(mark)
    while place >= 0 and len(found) < 20:
        found.append(place)
        place = raw.find(mark, place + 1)
    return found


def outcome(loader: Loader, name: str, data: bytes) -> str:
    """Return what came of one file."""
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        found = loader.finds(name, data)
    except Exception:  # noqa: BLE001  # whatever a library raises
        return "not read"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if not found:
        return "harmless"
    try:
        report = look(Window(Memory(data), len(data)), name)
    except FormatError:
        return "refused"
    except Exception:  # noqa: BLE001  # nothing else should come of a file
        return "crash"
    if CODE not in found and report.format in ("binary", "text"):
        return "not known"
    return "told" if report.code or found <= {item.path for item in report.external} else "missed"


def work(which: str, seed: int, until: float) -> None:
    """Read files of one seed until the time is over or one ends this process, and print what came of them as it comes."""
    chance, loader, counts = random.Random(seed), LOADERS[which], Counter[str]()
    told = time.monotonic()
    while told < until:
        name = loader.name(chance)
        data = mutate(chance, loader.make(chance, name), loader.marks)
        found = outcome(loader, name, data)
        counts[found] += 1
        if found in _FAULTS:
            MISSED.mkdir(parents=True, exist_ok=True)
            (MISSED / f"{which}-{seed}-{counts.total()}-{name}").write_bytes(data)
        if time.monotonic() > told + 0.1:
            told = time.monotonic()
            print(json.dumps([seed, counts]), flush=True)


def child(which: str, seed: int, seconds: float) -> None:
    """Fork processes that work, one after the other, with the libraries already imported."""
    until = time.monotonic() + seconds
    LOADERS[which].make(random.Random(0), LOADERS[which].name(random.Random(0)))
    while time.monotonic() < until:
        pid = os.fork()
        if not pid:
            work(which, seed, until)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        if status:
            print(json.dumps([-seed, {"ended by a file": 1}]), flush=True)
        seed += 1


def campaign(which: str, seed: int, seconds: float) -> Counter[str]:
    """Return what came of the files of so many seconds."""
    env = {
        **os.environ,
        "PYTHONPATH": f"{ROOT / 'backend'}{os.pathsep}{ROOT}",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    command = [str(PYTHON), "-m", "tests.fuzz.loaders", "--child", which, str(seed), str(seconds)]
    done = subprocess.run(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True
    )
    last = dict(json.loads(line) for line in done.stdout.splitlines())
    return sum((Counter(counts) for counts in last.values()), Counter[str]())


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60, help="for each library")
    parser.add_argument("--only", nargs="*", choices=sorted(LOADERS), default=list(LOADERS))
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child[0], int(given.child[1]), float(given.child[2]))
        return 0
    print(f"seed {given.seed}")
    missed = 0
    for which in given.only:
        total = campaign(which, given.seed, given.seconds)
        missed += sum(total[fault] for fault in _FAULTS)
        print(
            f"{which:10} {sum(total.values()) - total['ended by a file']:9,} files: {dict(total)}", flush=True
        )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
