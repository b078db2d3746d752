"""The lock between those who add to a store and those who collect from it, across threads and processes.

Two files, locked with ``flock``, of which a killed process lets go. ``lock`` is held shared while something is added, and
alone while something is collected. ``gate`` is passed on the way to ``lock``, and shut by a collector that waits:
else those who add one after the other, each before the last is done, would keep it out for ever.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from steelyard.errors import RefusedError, StoreError

_POLL_SECONDS = 0.02


class StoreLock:
    """The lock of one folder."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; nothing is locked yet."""
        self._folder = folder
        self._mutex = threading.Lock()
        self._holders = 0

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Hold it beside others who add. May be nested, and handed to threads of the same object."""
        with self._mutex:
            inside = self._holders > 0
            self._holders += 1
        try:
            if not inside:  # who holds the lock already must not wait for one who waits for him
                os.close(_locked(self._folder / "gate", fcntl.LOCK_SH))
            handle = _locked(self._folder / "lock", fcntl.LOCK_SH)
            try:
                yield
            finally:
                os.close(handle)
        finally:
            with self._mutex:
                self._holders -= 1

    @contextmanager
    def alone(self, *, wait: float) -> Iterator[None]:
        """Hold it alone.

        Args:
            wait: seconds for which others may finish what they add; meanwhile nobody begins.

        Raises:
            RefusedError: somebody still adds after that time.
        """
        deadline = time.monotonic() + wait
        gate = self._polled("gate", deadline)
        try:
            handle = self._polled("lock", deadline)
        finally:
            os.close(gate)
        try:
            yield
        finally:
            os.close(handle)

    def _polled(self, name: str, deadline: float) -> int:
        while True:
            try:
                return _locked(self._folder / name, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise RefusedError(
                        f"something is being added to the store {self._folder}; try again when it is done"
                    ) from None
                time.sleep(_POLL_SECONDS)


def _locked(path: Path, kind: int) -> int:
    """Return a descriptor that holds a lock until it is closed.

    Raises:
        BlockingIOError: it is not to be had now, and nobody wants to wait.
        StoreError: the file cannot be opened.
    """
    try:
        # A description of its own each time: locks belong to it, so that threads exclude each other as well.
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as exc:
        raise StoreError(f"cannot lock {path}: {exc}") from exc
    try:
        fcntl.flock(handle, kind)
    except BaseException:
        os.close(handle)
        raise
    return handle
