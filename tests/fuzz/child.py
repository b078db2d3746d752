"""One parser under atheris, in a process and an environment of its own: see campaign.py.

python -m tests.fuzz.child NAME SECONDS [libFuzzer's options] CORPUS

It ends after so many seconds of processor time; one input may take ten of them. Half of the mutations are libFuzzer's own,
half those of mutation.py where they find something to change.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from random import Random

import atheris  # type: ignore[import-not-found]  # only in .venv-atheris

with atheris.instrument_imports(include=["steelyard"]):
    from tests.fuzz.targets import TARGETS
from tests.fuzz import mutation

MOST = 10.0
"""Seconds of processor time for one input."""


class SlowError(BaseException):
    """An input took too long; nothing may catch it."""


def main() -> None:
    """Run one target until its time is over or something is found."""
    target, seconds = TARGETS[sys.argv.pop(1)], float(sys.argv.pop(1))
    began = 0.0

    def test(data: bytes) -> None:
        nonlocal began
        began = time.process_time()
        try:
            target.run(data)
        except target.allowed:
            pass

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        found = mutation.mutate(data, Random(seed), lambda part: bytes(atheris.Mutate(part, most)))
        return found if len(found) <= most else bytes(atheris.Mutate(data, most))

    def look(_signal: int, _frame: object) -> None:
        now = time.process_time()
        if now - began > MOST:
            raise SlowError(f"one input took more than {MOST} s of processor time")
        if now > seconds:
            os.kill(os.getpid(), signal.SIGUSR1)  # libFuzzer ends in order after the current input

    atheris.Setup(sys.argv, test, custom_mutator=mutate)
    signal.signal(signal.SIGPROF, look)
    signal.setitimer(signal.ITIMER_PROF, 1, 1)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
