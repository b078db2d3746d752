"""A Kubo node for tests, where ``ipfs`` is on PATH: offline, on free loopback ports, in a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Kubo:
    """A running node: its RPC, its gateway, and how to call its command."""

    rpc: str
    gateway: str
    binary: str
    home: Path

    def run(self, *arguments: str, data: bytes = b"") -> bytes:
        """Call ``ipfs`` and return its stdout."""
        return _run(self.binary, self.home, *arguments, data=data)


def _run(binary: str, home: Path, *arguments: str, data: bytes = b"") -> bytes:
    environment = os.environ | {"IPFS_PATH": str(home)}
    done = subprocess.run(
        [binary, *arguments], env=environment, check=True, capture_output=True, timeout=60, input=data
    )
    return done.stdout


@contextmanager
def running(folder: Path) -> Iterator[Kubo]:
    """Start a node below a folder and stop it; skips the test where there is none."""
    binary = shutil.which("ipfs")
    if binary is None:
        pytest.skip("Kubo itself was not tested: no `ipfs` on PATH")
    home = folder / "ipfs"

    def run(*arguments: str) -> None:
        _run(binary, home, *arguments)

    run("init", "--profile=test")
    run("config", "profile", "apply", "unixfs-v1-2025")
    run("bootstrap", "rm", "--all")
    run("config", "--json", "AutoConf.Enabled", "false")
    run("config", "--json", "Addresses.Swarm", "[]")
    run("config", "Addresses.API", "/ip4/127.0.0.1/tcp/0")
    run("config", "Addresses.Gateway", "/ip4/127.0.0.1/tcp/0")
    process = subprocess.Popen(
        [binary, "daemon", "--offline"],
        env=os.environ | {"IPFS_PATH": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while not ((home / "api").exists() and (home / "gateway").exists()):
            assert process.poll() is None and time.monotonic() < deadline, "Kubo did not start"
            time.sleep(0.1)
        _, _, host, _, port = (home / "api").read_text().strip().split("/")[:5]
        yield Kubo(f"http://{host}:{port}", (home / "gateway").read_text().strip(), binary, home)
    finally:
        process.terminate()
        process.wait(30)
