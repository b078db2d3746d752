"""Build the wheel and try it where nothing else of the project is: what a user gets from `pip install`.

The environment holds the locked run-time dependencies alone, without the extras. Every module must import
there, the command must answer, and every file of the package must have come along.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "backend" / "steelyard"
UV = ROOT / ".venv-uv" / "bin" / "uv"

IMPORT_ALL = """
import importlib, pkgutil, sys, steelyard
# The demonstration needs the extra `demo`.
names = [module.name for module in pkgutil.walk_packages(steelyard.__path__, "steelyard.")]
names = [n for n in names if not n.startswith("steelyard.demo") and not n.endswith(".__main__")]
for name in names:
    importlib.import_module(name)
assert "site-packages" in steelyard.__file__, steelyard.__file__
print(len(names))
"""


class WheelError(Exception):
    """The wheel is not what it should be."""


def run(command: list[str], *, cwd: Path = ROOT) -> str:
    """Run a command without the project on any path; returns its stdout.

    Raises:
        WheelError: It failed; carries what it printed.
    """
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise WheelError(f"{' '.join(command[:4])}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def build(target: Path) -> Path:
    """Build the wheel into an empty folder."""
    shutil.rmtree(target, ignore_errors=True)
    run([sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(target)])
    (wheel,) = target.glob("*.whl")
    return wheel


def check_contents(wheel: Path) -> int:
    """Compare the wheel with the source folder; returns the number of files.

    Raises:
        WheelError: A file is missing, added or different.
    """
    with zipfile.ZipFile(wheel) as archive:
        packed = {n: archive.read(n) for n in archive.namelist() if ".dist-info/" not in n}
    files = [f for f in PACKAGE.rglob("*") if f.is_file() and "__pycache__" not in f.parts]
    expected = {f.relative_to(PACKAGE.parent).as_posix(): f.read_bytes() for f in files}
    if packed != expected:
        differing = sorted(n for n in packed.keys() | expected.keys() if packed.get(n) != expected.get(n))
        raise WheelError(f"differs from backend/steelyard in: {', '.join(differing)}")
    return len(packed)


def try_out(wheel: Path, folder: Path) -> int:
    """Install the wheel into a new environment and use it; returns the number of modules imported."""
    environment = folder / "environment"
    python = environment / "bin" / "python"
    base = os.path.realpath(sys.executable)
    run([str(UV), "--quiet", "venv", "--no-python-downloads", "--python", base, str(environment)])
    install = [str(UV), "--quiet", "pip", "install", "--python", str(python)]
    run([*install, "--require-hashes", "-r", str(ROOT / "locks" / "runtime.txt")])
    run([*install, "--no-deps", str(wheel)])
    modules = int(run([str(python), "-c", IMPORT_ALL], cwd=folder))
    run([str(environment / "bin" / "steelyard"), "--help"], cwd=folder)
    return modules


def main() -> int:
    """Build, compare, try out; returns the exit code."""
    try:
        wheel = build(ROOT / "build" / "wheel")
        files = check_contents(wheel)
        with tempfile.TemporaryDirectory() as folder:
            modules = try_out(wheel, Path(folder))
    except WheelError as error:
        print(error)
        print("wheel: 1 failed")
        return 1
    print(f"{wheel.name}: {files} files, {modules} modules import, the command answers")
    print("wheel: 1 passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
