"""The process behind ``steelyard up``: keeps the local chain and the store's server until it is told to stop.

It holds a lock for as long as it lives, so that what its file says is believed only while that is true,
whatever became of the process id since. The chain's state is on the disk every few seconds, and at the end.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from steelyard.chain.node import CHAIN_ID, Node
from steelyard.errors import ChainError, ConfigError, SteelyardError
from steelyard.service.files import private_folder, write_private
from steelyard.storage.embedded import EmbeddedStore
from steelyard.storage.server import StoreServer

FOLDER: Final = "local"
RUN_FILE: Final = "run.json"
LAST_FILE: Final = "last.json"
LOCK_FILE: Final = "lock"
PORTS_FILE: Final = "ports.json"
LOG_FILE: Final = "keeper.log"
_ORPHAN_LOOKS: Final = 200
STATE_SECONDS: Final = 5
"""How often the chain writes its state: what a power cut can lose of a chain that is worth nothing."""


def folder(home: Path) -> Path:
    """Return the folder of the local machine's state; made if it does not exist."""
    return private_folder(home / FOLDER)


def running(home: Path) -> dict[str, object] | None:
    """Return what a living keeper wrote of itself, ``{}`` if it is still starting, or None if none lives."""
    place = home / FOLDER
    try:
        handle = os.open(place / LOCK_FILE, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        try:
            found = json.loads((place / RUN_FILE).read_bytes())
            return found if isinstance(found, dict) else {}
        except (OSError, ValueError):
            return {}
    finally:
        os.close(handle)
    return None


def stop_orphan(home: Path) -> None:
    """End the chain of a killed keeper, and wait: two chains on one state file would lose one's blocks.

    Only a process whose command line names our state file is touched.

    Raises:
        ChainError: it does not end.
    """
    try:
        pid = int(json.loads((home / FOLDER / LAST_FILE).read_bytes())["anvil_pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return
    for _ in range(_ORPHAN_LOOKS):
        if not _is_our_chain(pid, home):
            return
        os.kill(pid, signal.SIGTERM)
        time.sleep(0.1)
    raise ChainError(f"process {pid}, a chain of an earlier run, does not end")


def _is_our_chain(pid: int, home: Path) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:  # no such process, or a system without /proc
        try:
            command = subprocess.run(
                ["ps", "-o", "args=", "-p", str(pid)], capture_output=True, check=False
            ).stdout
        except OSError:
            return False
    return str(home / FOLDER).encode() in command


def run(
    home: Path, *, anvil: Path | None, chain_id: int, block_time: float | None, store: Path | None
) -> None:
    """Start what is wanted, write where it is, and wait for SIGTERM or SIGINT.

    Raises:
        ConfigError: another keeper runs here.
        ChainError: the chain did not start, or ended by itself.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    place = folder(home)
    os.chdir(place)  # so that no other folder is kept busy
    handle = os.open(place / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        raise ConfigError("it runs already") from exc
    if (place / RUN_FILE).exists():
        os.replace(place / RUN_FILE, place / LAST_FILE)
    stop_orphan(home)
    ports = _ports(place)
    record: dict[str, object] = {"pid": os.getpid()}
    with ExitStack() as stack:
        if store is not None:
            record["store_url"] = _serve_store(stack, store, ports)
        node = None
        if anvil is not None:
            node = _start_chain(stack, place, anvil, chain_id, block_time, ports)
            record |= {"rpc": node.url, "chain_id": chain_id, "anvil_pid": node.pid}
        write_private(place / PORTS_FILE, json.dumps(ports).encode(), replace=True)
        write_private(place / RUN_FILE, json.dumps(record).encode(), replace=True)
        stack.callback((place / RUN_FILE).unlink, missing_ok=True)
        while not stop.wait(1.0):
            if node is not None and not node.is_running:
                raise ChainError("the local chain ended by itself")


def _start_chain(
    stack: ExitStack, place: Path, anvil: Path, chain_id: int, block_time: float | None, ports: dict[str, int]
) -> Node:
    state = private_folder(place / f"chain-{chain_id}") / "state.json"
    options = ("--state-interval", str(STATE_SECONDS))
    for port in (ports.get("chain", 0), 0):  # the port of last time may be somebody else's now
        try:
            node = Node.start(
                anvil, chain_id=chain_id, port=port, state=state, block_time=block_time, options=options
            )
            break
        except ChainError:
            if not port:
                raise
    stack.callback(node.stop)
    ports["chain"] = node.port
    return node


def _serve_store(stack: ExitStack, path: Path, ports: dict[str, int]) -> str:
    private_folder(path.parent)
    store = EmbeddedStore(path)
    try:
        server = StoreServer(store, port=ports.get("store", 0))
    except ConfigError:
        server = StoreServer(store)
    server.start()
    stack.callback(server.close)
    ports["store"] = int(server.url.rpartition(":")[2])
    return server.url


def _ports(place: Path) -> dict[str, int]:
    try:
        found = json.loads((place / PORTS_FILE).read_bytes())
        return {name: int(found[name]) for name in ("chain", "store") if name in found}
    except (OSError, ValueError, TypeError):
        return {}


def main() -> int:
    """Run as a process of its own; started by ``steelyard up``."""
    parser = argparse.ArgumentParser(prog="python -m steelyard.cli.keeper")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--anvil", type=Path)
    parser.add_argument("--chain-id", type=int, default=CHAIN_ID)
    parser.add_argument("--block-time", type=float)
    parser.add_argument("--store", type=Path)
    given = parser.parse_args()
    given.home = given.home.absolute()
    try:
        run(
            given.home,
            anvil=given.anvil,
            chain_id=given.chain_id,
            block_time=given.block_time,
            store=given.store,
        )
    except SteelyardError as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
