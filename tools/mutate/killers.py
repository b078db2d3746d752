"""Forge's tests as killers: run some of them in a copy, and learn whether one failed, and which."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FORGE_FAILED = re.compile(r"^\[FAIL[^\n]*?\] (\w+)\(", re.MULTILINE)
FORGE_INVARIANT = re.compile(r"^\[FAIL", re.MULTILINE)
# Of foundry.toml.
PROFILE = "mutate"
FORGE_SECONDS = 240


class RunnerBroken(Exception):
    """A runner failed for another reason than a test; the message has the end of what it printed."""


@dataclass(frozen=True)
class Run:
    """How a run of tests ended: the test that failed, empty if none did."""

    failed: str = ""
    timed_out: bool = False


def execute(
    command: Sequence[str], *, cwd: Path, env: dict[str, str], seconds: int
) -> tuple[int | None, str]:
    """Run a command in a session of its own; returns its exit code, none if it took too long, and its output."""
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=seconds)
            return process.returncode, output
        except BaseException as exc:
            # With its chain, if it has started one.
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            if isinstance(exc, subprocess.TimeoutExpired):
                return None, output
            raise


def build(copy: Path) -> None:
    """Compile contracts and tests with forge.

    Raises:
        RunnerBroken: They do not compile.
    """
    command = [str(copy / "build" / "bin" / "forge"), "build", "--color", "never"]
    code, output = execute(command, cwd=copy, env={**os.environ, "FOUNDRY_PROFILE": PROFILE}, seconds=1_200)
    if code != 0:
        raise RunnerBroken(f"forge build, exit code {code}: {output[-2000:]}")


def forge(copy: Path, *, match: str = "", skip: str = "") -> Run:
    """Run forge's tests.

    Args:
        copy: The root of the copy.
        match: Pattern of files to run, from the root; all when empty.
        skip: Pattern of files to leave out.

    Raises:
        RunnerBroken: It failed, and no test did.
    """
    command = [str(copy / "build" / "bin" / "forge"), "test", "--fail-fast", "--color", "never"]
    command += ["--match-path", match] if match else []
    command += ["--no-match-path", skip] if skip else []
    env = {**os.environ, "FOUNDRY_PROFILE": PROFILE}
    code, output = execute(command, cwd=copy, env=env, seconds=FORGE_SECONDS)
    if code is None:
        return Run("forge", True)
    if code == 0:
        return Run()
    if found := FORGE_FAILED.search(output):
        return Run(f"forge {found[1]}")
    if FORGE_INVARIANT.search(output):
        return Run("forge, an invariant")
    raise RunnerBroken(f"forge, exit code {code}: {output[-2000:]}")
