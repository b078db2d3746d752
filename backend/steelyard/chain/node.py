"""A development chain on this machine: finds anvil, starts it, and stops that one process again."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections import deque
from pathlib import Path
from typing import Self

from steelyard.errors import ChainError, InputError

CHAIN_ID = 31_337
"""Chain id of a development chain."""

_PACKAGED = Path("node_modules") / "@foundry-rs" / "anvil-linux-amd64" / "bin" / "anvil"
_LISTENING = re.compile(rb"Listening on 127\.0\.0\.1:(\d+)")
_READY_SECONDS = 30.0


def find_anvil(
    *, configured: Path | None = None, search_path: str | None = None, start: Path | None = None
) -> Path:
    """Return the program anvil.

    Looked for in this order: where it is configured, on the search path, in ``node_modules`` of a folder and
    those above it.

    Args:
        configured: a path that must then be right.
        search_path: value of PATH; the environment's own if None.
        start: folder to look in and above; the current one if None.

    Raises:
        InputError: it is nowhere; says how to get it.
    """
    if configured is not None:
        if not configured.is_file() or not os.access(configured, os.X_OK):
            raise InputError(f"{configured} is no program: correct or remove the setting")
        return configured
    if (found := shutil.which("anvil", path=search_path)) is not None:
        return Path(found)
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if os.access(folder / _PACKAGED, os.X_OK):
            return folder / _PACKAGED
    raise InputError(
        "anvil, the development chain, was not found: run `npm install @foundry-rs/anvil-linux-amd64`, "
        "or install Foundry and put anvil on the PATH"
    )


class Node:
    """A running anvil on 127.0.0.1. Stops when closed; use it with ``with``.

    Attributes:
        chain_id: EIP-155 chain id.
        port: TCP port.
        keys: private keys of its funded accounts: public knowledge, worth nothing elsewhere.
    """

    def __init__(self, process: subprocess.Popen[bytes], *, chain_id: int) -> None:
        """Take over a process; use :meth:`start`."""
        self._process = process
        self._printed: deque[bytes] = deque(maxlen=40)
        self._ready = threading.Event()
        self.chain_id = chain_id
        self.port = 0
        self.keys: tuple[bytes, ...] = ()
        # Last: it sets the port.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def url(self) -> str:
        """Its RPC endpoint."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process lives."""
        return self._process.poll() is None

    @classmethod
    def start(
        cls,
        anvil: Path,
        *,
        chain_id: int = CHAIN_ID,
        port: int = 0,
        accounts: int = 10,
        state: Path | None = None,
        block_time: float | None = None,
        options: tuple[str, ...] = (),
    ) -> Node:
        """Start anvil and wait until it answers.

        Args:
            anvil: the program, :func:`find_anvil`.
            chain_id: EIP-155 chain id.
            port: TCP port; 0 for a free one.
            accounts: how many accounts with 10,000 coins it has.
            state: file that the chain is read from at the start and written to at the end; None keeps
                nothing.
            block_time: seconds between blocks; None makes a block for each transaction.
            options: further options of anvil.

        Raises:
            ChainError: it did not start; says what it printed.
        """
        command = [str(anvil), "--host", "127.0.0.1", "--port", str(port), "--chain-id", str(chain_id)]
        command += ["--accounts", str(accounts), *options]
        if state is not None:
            command += ["--state", str(state), "--preserve-historical-states"]
        if block_time is not None:
            command += ["--block-time", f"{block_time:g}"]
        with tempfile.TemporaryDirectory(prefix="steelyard-anvil-") as folder:
            config = Path(folder) / "config.json"
            command += ["--config-out", str(config)]
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    # A Ctrl-C in the terminal is for the caller, who then stops the chain in order.
                    start_new_session=True,
                )
            except OSError as exc:
                raise ChainError(f"cannot start {anvil}: {exc.strerror}") from exc
            node = cls(process, chain_id=chain_id)
            try:
                node._wait_ready()
                node.keys = _keys(config)
            except BaseException:
                node.stop()
                raise
        return node

    def stop(self) -> None:
        """Stop the process, letting it write its state; does nothing if it has stopped."""
        if self.is_running:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
        self._reader.join(5)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop it."""
        self.stop()

    def _read(self) -> None:
        # All that it prints is read, or a full pipe would stop the chain.
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if not self._ready.is_set():
                self._printed.append(line)
                if (match := _LISTENING.search(line)) is not None:
                    self.port = int(match[1])
                    self._ready.set()
        self._ready.set()

    def _wait_ready(self) -> None:
        in_time = self._ready.wait(_READY_SECONDS)
        if self.port == 0:
            told = b"".join(self._printed).decode("utf-8", "replace").strip()[-500:]
            why = told or f"exit code {self._process.poll()}"
            raise ChainError(
                f"anvil did not start: {why}"
                if in_time
                else f"anvil was not ready after {_READY_SECONDS:g} s"
            )


def _keys(config: Path) -> tuple[bytes, ...]:
    try:
        keys = tuple(bytes.fromhex(key[2:]) for key in json.loads(config.read_bytes())["private_keys"])
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise ChainError("anvil did not write down its accounts") from exc
    return keys
