"""Compile the accelerator, native/leaves.c, into the package; the package works without it.

    python tools/native.py [COMPILER...]     by that compiler, else the first that is found

Runs on the standard library alone: the set-up uses it, and the build of the wheel does. Only x86-64 has what the source uses.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "native" / "leaves.c"
TARGET = ROOT / "backend" / "steelyard" / "crypto" / "leaves.native"
# It calls no library, so the result runs beside every libc.
FLAGS = ("-O3", "-g0", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-ffreestanding", "-nostdlib")
MACHINES = ("x86_64", "amd64")


def suits() -> bool:
    """Tell whether this machine can have an accelerator."""
    return os.name == "posix" and platform.machine().lower() in MACHINES


def compilers() -> list[list[str]]:
    """Return the commands of C compilers that are installed, best first; ziglang's where this interpreter has it."""
    found = [[path] for name in ("cc", "gcc", "clang") if (path := shutil.which(name))]
    zig = [[sys.executable, "-m", "ziglang", "cc"]] if find_spec("ziglang") else []
    return found + zig


def compile_with(compiler: list[str], target: Path = TARGET) -> str | None:
    """Compile; returns None, or what went wrong. The old file stays until the new one is whole.

    Args:
        compiler: command of a C compiler.
        target: the library to make.
    """
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".native-") as folder:
        new = Path(folder) / target.name
        try:
            command = [*compiler, *FLAGS, "-o", str(new), str(SOURCE)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        if done.returncode or not new.is_file():
            return (done.stderr or done.stdout).strip()[-2000:] or f"exit code {done.returncode}"
        os.replace(new, target)
    return None


def build(commands: list[list[str]] | None = None) -> str | None:
    """Compile by the first compiler that can; returns None, or what went wrong with the last."""
    problem: str | None = "no C compiler is installed"
    for compiler in compilers() if commands is None else commands:
        problem = compile_with(compiler)
        if problem is None:
            return None
    return problem


def main(arguments: list[str]) -> int:
    """Compile, and say how it went."""
    if not suits():
        print(f"native: nothing to do on {platform.system()} {platform.machine()}")
        return 0
    problem = build([arguments] if arguments else None)
    print(f"native: {problem or TARGET}", file=sys.stderr if problem else sys.stdout)
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
