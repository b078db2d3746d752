"""The processes of one `steelyard serve`: those that answer HTTP share a socket, one keeps the index.

Each may die at any moment: it is started again, and nothing that it knew is missed, since what matters is in the databases. They end
when this process does, however that happens.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from steelyard.api import startup as startups
from steelyard.api.startup import Startup

PATIENCE: Final = 20.0
"""Seconds that a process has to end before it is killed."""
LONGEST: Final = 30.0
"""Seconds before a process that ended is started again, at most; doubled from half a second each time."""
STEADY: Final = 60.0
"""Seconds after which a process that ended counts as having run."""

Tell = Callable[[str, str], None]
"""Gets a word and a reason: ``ended``, ``started``."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """A process that is to run.

    Attributes:
        kind: what it is called.
        module: what it runs.
        line: what it is told; may hold a key.
        files: descriptors that it gets.
    """

    kind: str
    module: str
    line: bytes = field(repr=False)
    files: tuple[int, ...] = ()


@dataclass(kw_only=True)
class _Child:
    launch: Launch
    process: subprocess.Popen[bytes]
    since: float
    failures: int = 0
    again: float | None = None


class Processes:
    """Starts processes, starts them again, and ends them."""

    def __init__(self, wanted: Sequence[Launch], *, tell: Tell) -> None:
        """Remember what to start; nothing runs yet.

        Args:
            wanted: what is to run. Descriptors in it are closed here at the end.
            tell: told when one ends and is started again.
        """
        self._tell = tell
        self._stop = threading.Event()
        self._children: list[_Child] = []
        self._thread: threading.Thread | None = None
        self._files = {file for launch in wanted for file in launch.files}
        self._wanted = list(wanted)

    def start(self) -> None:
        """Start all."""
        for launch in self._wanted:
            self._children.append(self._begin(launch))
        self._thread = threading.Thread(target=self._watch, name="steelyard-processes", daemon=True)
        self._thread.start()

    @property
    def pids(self) -> Sequence[tuple[str, int]]:
        """What runs now, and its process id."""
        return [(child.launch.kind, child.process.pid) for child in self._children]

    def stop(self) -> None:
        """End all, in order: first they are asked, then killed."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        for child in self._children:
            child.process.send_signal(signal.SIGTERM)
        until = time.monotonic() + PATIENCE
        for child in self._children:
            try:
                child.process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
            assert child.process.stdin is not None
            child.process.stdin.close()
        for file in self._files:
            os.close(file)
        self._files = set()

    def _begin(self, launch: Launch) -> _Child:
        process = startups.spawn(launch.line, module=launch.module, files=launch.files)
        return _Child(launch=launch, process=process, since=time.monotonic())

    def _watch(self) -> None:
        """Start again what ended."""
        while not self._stop.wait(0.25):
            for place, child in enumerate(self._children):
                code, now = child.process.poll(), time.monotonic()
                if code is None:
                    continue
                if child.again is None:
                    child.failures = 0 if now - child.since > STEADY else child.failures + 1
                    pause = min(LONGEST, 0.25 * 2**child.failures)
                    child.again = now + pause
                    self._tell("ended", f"the {child.launch.kind} process, with {code}; again in {pause:g} s")
                    assert child.process.stdin is not None
                    child.process.stdin.close()
                elif now >= child.again:
                    self._children[place] = replace(self._begin(child.launch), failures=child.failures)


def of_service(first: Startup, *, opened: socket.socket | None, workers: int, index: bool) -> list[Launch]:
    """Return the processes of `steelyard serve`.

    Args:
        first: what all are told.
        opened: the listening socket, or None for no HTTP. Its descriptor is theirs from now on.
        workers: how many answer HTTP.
        index: whether one keeps the index.
    """
    module, wanted = "steelyard.api.worker", []
    # The account is for those that take plaintext, and not for the one that keeps the index.
    if index:
        startup = msgspec.structs.replace(first, kind="index", key=None, seed=None)
        wanted.append(Launch(kind="index", module=module, line=startups.dump(startup)))
    if opened is not None:
        from steelyard.api.endpoints import endpoints
        from steelyard.api.metrics import size_of

        memory = startups.shared_memory(size_of(len(endpoints()), workers))
        files = (opened.detach(), memory)
        for worker in range(workers):
            startup = msgspec.structs.replace(
                first, kind="http", socket=files[0], memory=memory, workers=workers, worker=worker
            )
            wanted.append(Launch(kind="http", module=module, line=startups.dump(startup), files=files))
    return wanted
