"""How long the command line takes to answer, against Python alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bench.rounds import interleave
from bench.row import Outcome, Row, Skipped
from bench.setting import Setting

_HELP_BAR, _INFO_BAR = 0.25, 1.2
INFO = "STEELYARD_BENCH_INFO"
"""Names an asset of the configured market, for the row `steelyard info`; without it the row is skipped."""


def _run(command: list[str]) -> None:
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=60)


def rows(setting: Setting) -> list[Outcome]:
    """Return the rows; those of commands that fail here are skipped with the reason."""
    program = Path(sys.executable).with_name("steelyard")
    python = [sys.executable, "-c", "pass"]
    found: list[Outcome] = []
    wanted = {"steelyard --help": ([str(program), "--help"], _HELP_BAR)}
    reference = os.environ.get(INFO)
    if reference:
        wanted["steelyard info"] = ([str(program), "info", reference], _INFO_BAR)
    else:
        found.append(Skipped("steelyard info", f"set {INFO} to an asset of a market that is configured here"))
    for name, (command, bar) in wanted.items():
        try:
            _run(command)
        except FileNotFoundError:
            found.append(Skipped(name, "the package is not installed with its command"))
        except subprocess.SubprocessError as exc:
            found.append(Skipped(name, _reason(exc)))
        else:
            found.append(_row(name, command, python, bar, setting.rounds))
    return found


def _reason(exc: subprocess.SubprocessError) -> str:
    text = exc.stderr if isinstance(exc, subprocess.CalledProcessError) else b""
    lines = (text or b"").decode("utf-8", "replace").strip().splitlines()
    return f"it fails here: {lines[-1] if lines else type(exc).__name__}"


def _row(name: str, command: list[str], python: list[str], bar: float, rounds: int) -> Row:
    times = interleave({"ours": lambda: _run(command), "bare": lambda: _run(python)}, rounds=rounds)
    return Row(
        name=name,
        unit="s",
        ours=times.median("ours"),
        limit=times.median("bare"),
        bar=bar,
        ratio=1 / times.speedup("ours", "bare"),
        against="limit: python -c pass",
    )
