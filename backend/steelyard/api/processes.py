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
from dataclasses import dataclass, replace
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


@dataclass(kw_only=True)
class _Child:
    startup: Startup
    process: subprocess.Popen[bytes]
    since: float
    failures: int = 0
    again: float | None = None


class Processes:
    """Starts processes, starts them again, and ends them."""

    def __init__(
        self,
        first: Startup,
        *,
        opened: socket.socket | None,
        workers: int,
        index: bool,
        tell: Tell,
    ) -> None:
        """Remember what to start; nothing runs yet.

        Args:
            first: what all are told.
            opened: the listening socket, or None for no HTTP. It is closed here once they have it.
            workers: how many answer HTTP.
            index: whether one keeps the index.
            tell: told when one ends and is started again.
        """
        self._tell = tell
        self._stop = threading.Event()
        self._children: list[_Child] = []
        self._thread: threading.Thread | None = None
        self._files: tuple[int, ...] = ()
        self._wanted: list[Startup] = []
        # The account is for those that take plaintext, and not for the one that keeps the index.
        if index:
            self._wanted.append(msgspec.structs.replace(first, kind="index", key=None, seed=None))
        if opened is not None:
            from steelyard.api.endpoints import endpoints
            from steelyard.api.metrics import size_of

            memory = startups.shared_memory(size_of(len(endpoints()), workers))
            self._files = (opened.detach(), memory)
            for worker in range(workers):
                self._wanted.append(
                    msgspec.structs.replace(
                        first,
                        kind="http",
                        socket=self._files[0],
                        memory=memory,
                        workers=workers,
                        worker=worker,
                    )
                )

    def start(self) -> None:
        """Start all."""
        for startup in self._wanted:
            self._children.append(self._begin(startup))
        self._thread = threading.Thread(target=self._watch, name="steelyard-processes", daemon=True)
        self._thread.start()

    @property
    def pids(self) -> Sequence[tuple[str, int]]:
        """What runs now, and its process id."""
        return [(child.startup.kind, child.process.pid) for child in self._children]

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
        self._files = ()

    def _begin(self, startup: Startup) -> _Child:
        process = startups.spawn(startup, files=self._files if startup.kind == "http" else ())
        return _Child(startup=startup, process=process, since=time.monotonic())

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
                    self._tell(
                        "ended", f"the {child.startup.kind} process, with {code}; again in {pause:g} s"
                    )
                    assert child.process.stdin is not None
                    child.process.stdin.close()
                elif now >= child.again:
                    self._children[place] = replace(self._begin(child.startup), failures=child.failures)
