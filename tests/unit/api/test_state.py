from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from steelyard.api.jobs import ABANDONED, DONE, FAILED, RUNNING, Jobs, Progress
from steelyard.api.problem import Problem
from steelyard.api.state import ANSWER_TIME, JOB_TIME, State
from steelyard.errors import DatabaseError, NotFoundError
from tests.unit.api.writing import NOW, Clock


def test_what_was_written_is_there_when_opened_again(state_place: str | Path) -> None:
    first = State.open(state_place)
    with first.write() as writer:
        writer.execute("INSERT INTO service_nonces (nonce, expires) VALUES (?, ?)", ("n", 1))
    first.close()
    second = State.open(state_place)
    with second.read() as reader:
        assert reader.rows("SELECT nonce, expires FROM service_nonces") == [("n", 1)]
    second.close()


def test_a_transaction_that_fails_leaves_nothing(state: State) -> None:
    with pytest.raises(RuntimeError), state.write() as writer:
        writer.execute("INSERT INTO service_nonces (nonce, expires) VALUES (?, ?)", ("n", 1))
        raise RuntimeError
    with state.read() as reader:
        assert reader.rows("SELECT nonce FROM service_nonces") == []


def test_a_failing_statement_is_a_database_error_and_not_the_end(state: State) -> None:
    with pytest.raises(DatabaseError), state.write() as writer:
        writer.execute("INSERT INTO nowhere VALUES (1)")
    with state.write() as writer:
        assert writer.rows("SELECT 1") == [(1,)]


def test_bytes_and_large_numbers_come_back_as_they_were(state: State) -> None:
    with state.write() as writer:
        writer.execute(
            "INSERT INTO service_sessions (token, account, created, expires) VALUES (?, ?, ?, ?)",
            (bytes(range(32)), b"\xff" * 20, 2**53, 2**62),
        )
        (row,) = writer.rows("SELECT token, account, created, expires FROM service_sessions")
    assert row == (bytes(range(32)), b"\xff" * 20, 2**53, 2**62)


def test_the_file_is_for_its_owner_and_every_commit_goes_to_the_disk(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "service.sqlite"
    state = State.open(place)
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    with state.write() as writer:
        assert writer.rows("PRAGMA synchronous") == [(2,)]
        assert writer.rows("PRAGMA journal_mode") == [("wal",)]
    state.close()


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError):
        State.open(tmp_path)


def test_what_has_ended_is_swept_and_the_rest_stays(state: State) -> None:
    with state.write() as writer:
        for name, expires in (("old", NOW - 1), ("new", NOW)):
            writer.execute("INSERT INTO service_nonces (nonce, expires) VALUES (?, ?)", (name, expires))
        for token, expires in ((b"old", NOW), (b"new", NOW + 1)):
            writer.execute(
                "INSERT INTO service_sessions (token, account, created, expires) VALUES (?, ?, 0, ?)",
                (token, b"a", expires),
            )
        for key, started in ((b"old", NOW - ANSWER_TIME - 1), (b"new", NOW - ANSWER_TIME)):
            writer.execute(
                "INSERT INTO service_answers (key, caller, digest, holder, started) VALUES (?, ?, ?, ?, ?)",
                (key, b"c", b"d", b"h", started),
            )
        for name, stands in (("old", DONE), ("new", RUNNING)):
            writer.execute(
                "INSERT INTO service_jobs (id, state, holder, what, done, total, beat) VALUES (?, ?, ?, '', 0, 0, ?)",
                (name, stands, b"h", NOW - JOB_TIME - 1),
            )
    assert state.sweep(NOW) == 4
    with state.read() as reader:
        assert reader.rows("SELECT nonce FROM service_nonces") == [("new",)]
        assert [bytes(row[0]) for row in reader.rows("SELECT token FROM service_sessions")] == [b"new"]
        assert [bytes(row[0]) for row in reader.rows("SELECT key FROM service_answers")] == [b"new"]
        assert reader.rows("SELECT id FROM service_jobs") == [("new",)]


# -- jobs ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def jobs(state: State, clock: Clock) -> Jobs:
    state.jobs = Jobs(state, clock=clock)
    return state.jobs


def test_a_job_is_done_and_its_result_kept(jobs: Jobs) -> None:
    future = jobs.start("j", lambda progress: {"x": 1})
    assert future is not None
    future.result()
    found = jobs.look("j")
    assert found is not None and (found.state, found.result) == (DONE, {"x": 1})


def test_progress_is_seen_while_it_runs(jobs: Jobs) -> None:
    told, go = threading.Event(), threading.Event()

    def work(progress: Progress) -> dict[str, object]:
        progress("seal", 3, 10)
        told.set()
        go.wait(10)
        return {}

    future = jobs.start("j", work)
    told.wait(10)
    found = jobs.look("j")
    go.set()
    assert future is not None and found is not None
    assert (found.state, found.what, found.done, found.total) == (RUNNING, "seal", 3, 10)
    future.result()


def test_a_job_that_is_done_is_not_done_again(jobs: Jobs) -> None:
    first = jobs.start("j", lambda progress: {"x": 1})
    assert first is not None
    first.result()
    assert jobs.start("j", lambda progress: {"x": 2}) is None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFoundError("gone"), "not-found"),
        (Problem("conflict", "no"), "conflict"),
        (ZeroDivisionError(), "internal"),
    ],
)
def test_a_job_that_fails_says_why_and_can_be_begun_anew(jobs: Jobs, error: Exception, code: str) -> None:
    def work(progress: Progress) -> dict[str, object]:
        raise error

    first = jobs.start("j", work)
    assert first is not None
    first.result()
    found = jobs.look("j")
    assert found is not None and found.state == FAILED and found.failure().code == code
    second = jobs.start("j", lambda progress: {})
    assert second is not None
    second.result()
    again = jobs.look("j")
    assert again is not None and again.state == DONE


def test_a_job_whose_process_died_is_taken_over(jobs: Jobs, state: State, clock: Clock) -> None:
    with state.write() as writer:
        writer.execute(
            "INSERT INTO service_jobs (id, state, holder, what, done, total, beat) VALUES ('j', ?, ?, '', 0, 0, ?)",
            (RUNNING, b"dead", NOW),
        )
    assert jobs.start("j", lambda progress: {}) is None
    clock.now += ABANDONED + 1
    found = jobs.look("j")
    assert found is not None and found.state == FAILED
    future = jobs.start("j", lambda progress: {"x": 2})
    assert future is not None
    future.result()
    again = jobs.look("j")
    assert again is not None and again.result == {"x": 2}
