"""Work that outlasts a request: done by a thread of one process, seen by all, taken over when that process dies."""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from steelyard.api.problem import Problem, problem_of
from steelyard.errors import SteelyardError

if TYPE_CHECKING:
    from steelyard.api.state import State

BEAT: Final = 10.0
"""Seconds between two signs of life."""
ABANDONED: Final = 60
"""Seconds without a sign of life after which another process may begin the work anew."""
WORKERS: Final = 2
MAX_WAITING: Final = 64
_TOLD: Final = 1.0

RUNNING, DONE, FAILED = "running", "done", "failed"
Progress = Callable[[str, int, int], None]
Work = Callable[[Progress], Mapping[str, object]]
"""Does it and returns what came of it, of JSON's types; may raise SteelyardError or Problem."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Job:
    """How far a piece of work is.

    Attributes:
        state: ``running``, ``done`` or ``failed``.
        what: what is being done.
        done: bytes of it that are done.
        total: bytes of it in all.
        result: what came of it; of a failure ``code``, ``detail`` and ``contract_error``.
    """

    state: str
    what: str
    done: int
    total: int
    result: Mapping[str, object]

    def failure(self) -> Problem:
        """Return the problem that a failed job ended with."""
        code = str(self.result.get("code", "internal"))
        error = self.result.get("contract_error")
        return Problem(
            code, str(self.result.get("detail", "")), contract_error=None if error is None else str(error)
        )


class Jobs:
    """Starts work and tells how far it is."""

    def __init__(self, state: State, *, clock: Callable[[], float] = time.time) -> None:
        """Use these tables; threads start with the first job."""
        self._state = state
        self._clock = clock
        self._threads: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._mine: dict[str, Future[None]] = {}

    def start(self, name: str, work: Work) -> Future[None] | None:
        """Begin work under a name, unless it is under way or done; a failed one begins anew.

        Returns:
            What ends with it, if this process does it.

        Raises:
            Problem: ``not-ready``: too much work waits.
        """
        now, holder = int(self._clock()), secrets.token_bytes(16)
        with self._lock:
            if len(self._mine) >= MAX_WAITING:
                raise Problem("not-ready", "too much work waits", retry_after=30)
            with self._state.write() as writer:
                begun = writer.execute(
                    "INSERT INTO service_jobs (id, state, holder, what, done, total, beat) VALUES (?, ?, ?, '', 0, 0, ?)"
                    " ON CONFLICT (id) DO UPDATE SET state = excluded.state, holder = excluded.holder, what = '', done = 0,"
                    " total = 0, beat = excluded.beat, result = NULL WHERE service_jobs.state = ?"
                    " OR (service_jobs.state = ? AND service_jobs.beat < ?)",
                    (name, RUNNING, holder, now, FAILED, RUNNING, now - ABANDONED),
                )
            if begun != 1:
                return self._mine.get(name)
            if self._threads is None:
                self._threads = ThreadPoolExecutor(WORKERS, thread_name_prefix="steelyard-job")
            future = self._threads.submit(self._run, name, holder, work)
            self._mine[name] = future
        future.add_done_callback(lambda _: self._mine.pop(name, None))
        return future

    def look(self, name: str) -> Job | None:
        """Return how far work is, or None if there is none of that name."""
        sql = "SELECT state, what, done, total, result, beat FROM service_jobs WHERE id = ?"
        with self._state.read() as reader:
            row = reader.row(sql, (name,))
        if row is None:
            return None
        if row[0] == RUNNING and row[5] < int(self._clock()) - ABANDONED:
            result: Mapping[str, object] = {
                "code": "not-ready",
                "detail": "the process that did it ended: ask again",
            }
            return Job(state=FAILED, what=row[1], done=row[2], total=row[3], result=result)
        return Job(state=row[0], what=row[1], done=row[2], total=row[3], result=json.loads(row[4] or "{}"))

    def forget(self, name: str) -> None:
        """Forget the outcome of work that has ended."""
        with self._state.write() as writer:
            writer.execute("DELETE FROM service_jobs WHERE id = ? AND state <> ?", (name, RUNNING))

    def close(self) -> None:
        """Start nothing more, and wait for what is under way."""
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)

    def _run(self, name: str, holder: bytes, work: Work) -> None:
        ended = threading.Event()
        beating = threading.Thread(target=self._beat, args=(name, holder, ended), daemon=True)
        beating.start()
        last = 0.0

        def progress(what: str, done: int, total: int) -> None:
            nonlocal last
            if time.monotonic() - last >= _TOLD or done >= total:
                last = time.monotonic()
                self._write(
                    "UPDATE service_jobs SET what = ?, done = ?, total = ? WHERE id = ? AND holder = ?",
                    (what, done, total, name, holder),
                )

        try:
            state, result = DONE, work(progress)
        except Problem as exc:
            state, result = FAILED, _failure(exc)
        except SteelyardError as exc:
            state, result = FAILED, _failure(problem_of(exc))
        except Exception:  # noqa: BLE001  # whatever it is, who asks is told that it failed, and the log why
            _log.exception("job %s failed", name)
            state, result = FAILED, {"code": "internal", "detail": "a mistake of the service"}
        finally:
            ended.set()
            beating.join()
        self._write(
            "UPDATE service_jobs SET state = ?, result = ?, beat = ? WHERE id = ? AND holder = ?",
            (state, json.dumps(result), int(self._clock()), name, holder),
        )

    def _beat(self, name: str, holder: bytes, ended: threading.Event) -> None:
        while not ended.wait(BEAT):
            try:
                self._write(
                    "UPDATE service_jobs SET beat = ? WHERE id = ? AND holder = ?",
                    (int(self._clock()), name, holder),
                )
            except SteelyardError as exc:
                _log.warning("job %s: %s", name, exc)

    def _write(self, sql: str, params: tuple[object, ...]) -> None:
        with self._state.write() as writer:
            writer.execute(sql, params)


def _failure(problem: Problem) -> dict[str, object]:
    return {"code": problem.code, "detail": problem.detail, "contract_error": problem.contract_error}
