"""Run brownie so that two checkouts, or a checkout and its user, never disturb each other.

brownie writes below `$HOME/.brownie`, and attaches without a word to whatever listens on its port. So it gets
a home in build/ with a network file whose development chains use a free port. Set STEELYARD_BROWNIE_HOME to
use another home, for instance your own with your accounts and networks; its development ports are left alone.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIRST_PORT, PORTS = 20_000, 10_000


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on, the same for a checkout as long as it is free."""
    start = zlib.crc32(str(ROOT).encode()) % PORTS
    for offset in range(PORTS):
        port = FIRST_PORT + (start + offset) % PORTS
        with socket.socket() as probe:
            # A server that has just stopped leaves its port in TIME_WAIT, no matter to the next one.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise SystemExit("brownie: no free port on 127.0.0.1")


def prepare_home(home: Path) -> None:
    """Give the development networks of brownie's network file a free port, keeping everything else in it."""
    import yaml

    file = home / ".brownie" / "network-config.yaml"
    if not file.is_file():
        packaged = next(
            (ROOT / ".venv-brownie").glob("lib/python3.*/site-packages/brownie/data/network-config.yaml")
        )
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(packaged, file)
    networks = yaml.safe_load(file.read_text(encoding="utf-8"))
    port = free_port()
    for network in networks["development"]:
        network.setdefault("cmd_settings", {})["port"] = port
    temporary = file.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(yaml.safe_dump(networks, sort_keys=False), encoding="utf-8")
    temporary.replace(file)


def environment() -> dict[str, str]:
    """Return the environment in which brownie runs."""
    env = dict(os.environ)
    if "STEELYARD_BROWNIE_HOME" in env:
        home = Path(env["STEELYARD_BROWNIE_HOME"]).expanduser().resolve()
    else:
        home = ROOT / "build" / "brownie-home"
        prepare_home(home)
    env["HOME"] = str(home)
    env["SOLCX_BINARY_PATH"] = str(ROOT / "build" / "solc")
    env["PATH"] = os.pathsep.join([str(ROOT / "build" / "bin"), env.get("PATH", os.defpath)])
    # The tests and scripts of the contracts use the package's prover and its ABIs.
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT / "backend"), str(ROOT)])
    return env


def main(arguments: list[str]) -> None:
    """Become brownie."""
    if arguments[:1] == ["test"]:
        arguments = [*arguments, "-c", str(ROOT / "tests" / "contracts" / "pytest.ini")]
    os.chdir(ROOT)
    command = str(ROOT / ".venv-brownie" / "bin" / "brownie")
    os.execve(command, [command, *arguments], environment())


if __name__ == "__main__":
    main(sys.argv[1:])
