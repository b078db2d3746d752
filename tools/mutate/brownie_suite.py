"""Brownie's tests as killers, run by a process that has brownie loaded already: see ``nursery.py``."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .killers import Run, RunnerBroken, execute

FAILED = re.compile(r"^(?:FAILED|ERROR) tests/contracts/(\S+)", re.MULTILINE)
# What brownie says when the machine is too slow for it, or its chain does not start.
OVERLOADED = re.compile(r"ReadTimeout|ConnectTimeout|ConnectionError|RPCConnectionError|RPCProcessError")
# With a home and a port of the copy's own, see tools/brownie.py.
ENVIRONMENT = "import json, runpy; print(json.dumps(runpy.run_path('tools/brownie.py')['environment']()))"
ATTEMPTS = 3


def compile_artifacts(copy: Path) -> None:
    """Compile what brownie has no artifact of the present source for: it would do so later too, over a mutant put in place.

    Raises:
        RunnerBroken: It does not compile.
    """
    command = [str(copy / ".venv-brownie" / "bin" / "brownie"), "compile"]
    code, output = execute(command, cwd=copy, env=_environment(copy), seconds=1_200)
    # Its exit code says nothing.
    if code != 0 or "Project has been compiled" not in output:
        raise RunnerBroken(f"brownie compile, exit code {code}: {output[-2000:]}")


def _python(copy: Path) -> str:
    return str(copy / ".venv-brownie" / "bin" / "python")


def _environment(copy: Path) -> dict[str, str]:
    command = [_python(copy), "-c", ENVIRONMENT]
    asked = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(asked.stdout)
    # Without files of byte code every run would compile all tests.
    found.pop("PYTHONDONTWRITEBYTECODE", None)
    return found


class Brownie:
    """Runs brownie's tests in one copy. Not for two threads at once."""

    def __init__(self, copy: Path, /, *, seconds: int = 900) -> None:
        """Prepare it; nothing is started before the first run.

        Args:
            copy: The root of the copy.
            seconds: Limit of one run.
        """
        self._copy, self._seconds = copy, seconds
        self._output = copy / "build" / "brownie.log"
        self._process: subprocess.Popen[str] | None = None

    def run(self, first: Sequence[str], *, alone: bool = False, hints: Sequence[str] = ()) -> Run:
        """Run the tests, some files before the others.

        Args:
            first: Files to run first, without `test_` and `.py`.
            alone: Run no others.
            hints: Tests of these files that come before all others, as in what ``Run`` says of a failure.

        Raises:
            RunnerBroken: It failed, and no test did.
        """
        files = [f"tests/contracts/test_{name}.py" for name in first]
        if not alone:
            folder = self._copy / "tests" / "contracts"
            files += sorted({f"tests/contracts/{f.name}" for f in folder.glob("test_*.py")} - set(files))
        for _ in range(ATTEMPTS):
            code = self._ask(["-c", "tests/contracts/pytest.ini", "-x", "-q", "--color=no", *files], hints)
            output = self._output.read_text(encoding="utf-8", errors="replace") if code is not None else ""
            if not OVERLOADED.search(output):
                break
            self.stop()
        else:
            raise RunnerBroken(f"brownie, {ATTEMPTS} times: {output[-2000:]}")
        if code is None:
            return Run("brownie", True)
        if code == 0:
            return Run()
        if code == 1 and (found := FAILED.search(output)):
            return Run(f"brownie {found[1]}")
        raise RunnerBroken(f"brownie, exit code {code}: {output[-2000:]}")

    def stop(self) -> None:
        """End the process, with its chain if it has one."""
        if self._process:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
            self._process = None

    def _ask(self, arguments: list[str], first: Sequence[str]) -> int | None:
        """Run pytest; returns its exit code, none if it took too long."""
        process = self._process = self._process or self._start()
        assert process.stdin and process.stdout
        process.stdin.write(json.dumps({"arguments": arguments, "first": list(first)}) + "\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], self._seconds)
        answer = process.stdout.readline().strip() if ready else ""
        if not answer:
            self.stop()
            if ready:
                raise RunnerBroken("brownie's process ended")
            return None
        return int(answer)

    def _start(self) -> subprocess.Popen[str]:
        # -P: the folder of the script holds no modules for it.
        command = [_python(self._copy), "-P", str(Path(__file__).with_name("nursery.py")), str(self._output)]
        return subprocess.Popen(
            command,
            cwd=self._copy,
            env=_environment(self._copy),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
