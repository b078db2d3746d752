"""What a process of the service is told when it starts, and how it is started.

A process gets one line of JSON on standard input, and lives as long as that stays open: when whoever started it is gone, however it
went, standard input ends and the process with it. The listening socket and the counters' memory come as open files.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

import msgspec

from steelyard.api.service import Options
from steelyard.config import Config

MAX_LINE: Final = 1 << 20
Kind = Literal["http", "index"]


class Startup(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a process needs to know.

    Attributes:
        kind: ``http`` or ``index``.
        config: the settings, resolved.
        options: settings of the service.
        json: write lines of JSON.
        quiet: write errors only.
        key: private key, only where plaintext is accepted; hexadecimal.
        seed: the like.
        socket: descriptor of the listening socket.
        memory: descriptor of the counters' memory.
        workers: how many answer HTTP.
        worker: which of them this is.
        interval: seconds between two looks at the chain.
    """

    kind: Kind
    config: Config
    options: Options
    json: bool = False
    quiet: bool = False
    key: str | None = None
    seed: str | None = None
    socket: int = -1
    memory: int = -1
    workers: int = 1
    worker: int = 0
    interval: float = 2.0

    def __repr__(self) -> str:
        """Name what it is, and no key."""
        return f"Startup({self.kind} {self.worker})"


def dump(startup: Startup) -> bytes:
    """Return the line."""
    return msgspec.json.encode(startup, enc_hook=encode_hook) + b"\n"


def load(stream: BinaryIO) -> Startup:
    """Read the line."""
    return msgspec.json.decode(stream.readline(MAX_LINE), type=Startup, dec_hook=decode_hook)


def spawn(line: bytes, *, module: str, files: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    """Start a process; close its ``stdin`` and it ends.

    Args:
        line: what it is told, with a line feed at its end.
        module: what it runs.
        files: descriptors that it gets under the same numbers.
    """
    process = subprocess.Popen(
        # In a group of its own: Ctrl-C is for the one that started it, which ends the others in order.
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        pass_fds=tuple(files),
        process_group=0,
    )
    assert process.stdin is not None
    try:
        process.stdin.write(line)
        process.stdin.flush()
    except BrokenPipeError:
        pass  # it ended at once, which its exit code says
    return process


def shared_memory(size: int) -> int:
    """Return the descriptor of an unnamed file of so many zeros, for processes to share."""
    import tempfile

    with tempfile.TemporaryFile() as file:
        file.truncate(size)
        return os.dup(file.fileno())


def encode_hook(value: object) -> object:
    """Return a path as text, and a mapping that is only to be read as a table."""
    if isinstance(value, Path):
        return str(value)
    return dict(value)  # type: ignore[call-overload]  # a mapping that is only to be read


def decode_hook(kind: type, value: Any) -> object:
    """Return what `encode_hook` wrote."""
    if kind is Path:
        return Path(value)
    raise NotImplementedError(kind)
