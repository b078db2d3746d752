"""The process that writes beside the one that folds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from steelyard.errors import DatabaseError, LeaseError, TrailError
from steelyard.indexer import known
from steelyard.indexer.beside import Beside, Recorder
from steelyard.indexer.database import Database, open_database
from steelyard.indexer.follow import Follower
from steelyard.indexer.lease import Lease
from steelyard.indexer.report import Progress, Report
from tests.support.history import Chain, Market
from tests.unit.indexer.following import MINE, follower, hash_of, rows

FIRST = (7, b"\1" * 32, None, 9, 0)
SECOND = (8, b"\2" * 32, None, 10, 0)
AT = (7, b"\1" * 32, 9)


@pytest.fixture(scope="module")
def chain() -> Chain:
    made = Chain(Market(3))
    for _ in range(40):
        made.mine(count=8)
    return made


@pytest.fixture(scope="module")
def expected(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The content hash of what one process writes."""
    made = open_database(tmp_path_factory.mktemp("alone") / "index.sqlite")
    follower(made, chain).step()
    found = hash_of(made)
    made.close()
    return found


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Database]:
    made = open_database(tmp_path / "index.sqlite")
    yield made
    made.close()


def soon(database: Database, chain: Chain, told: list[Report] | None = None) -> Follower:
    """Return a follower that begins the other process after some 20 entries, and asks for four blocks at a time."""
    made = follower(
        database, chain, tell=lambda report: told.append(report) if told is not None else None, enough=20
    )
    made._span.blocks = made._span._most = 4
    return made


def blocks(*given: tuple[object, ...]) -> Recorder:
    recorder = Recorder()
    recorder.insert("blocks", list(given))
    return recorder


# -- what is written -------------------------------------------------------------------------------------------


def test_two_processes_write_what_one_writes(database: Database, chain: Chain, expected: bytes) -> None:
    told: list[Report] = []
    step = soon(database, chain, told).step()
    assert rows(database, "SELECT count(*) FROM events") == [(step.entries,)]
    assert rows(database, "SELECT proved FROM blocks ORDER BY number DESC LIMIT 1") == [(1,)]
    assert hash_of(database) == expected
    assert sum(isinstance(report, Progress) for report in told) > 5, "of several transactions"


def test_what_is_under_way_is_not_forgotten(
    file: Database, chain: Chain, expected: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "_KEPT", 4)
    soon(file, chain).step()
    assert hash_of(file) == expected


def test_the_number_of_versions_stays_known_until_they_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "_KEPT", 1)
    found = known.Known(MINE)
    for name in (b"a", b"b", b"c"):
        found.count[name] = 1
    found.versions.add([b"version", b"a", 1])
    found.written()
    assert b"a" in found.count and b"b" not in found.count
    found.written()
    found.count[b"d"] = 1
    found.written()
    assert b"a" not in found.count


def test_an_index_that_is_there_goes_on(file: Database, chain: Chain, expected: bytes) -> None:
    lease = Lease()
    short = Chain(Market(3))
    for _ in range(3):
        short.mine(count=8)
    follower(file, short, lease=lease).step()
    following = soon(file, chain)
    following._lease = lease
    following.step()
    assert hash_of(file) == expected


# -- what goes wrong -------------------------------------------------------------------------------------------


def test_after_its_death_the_next_step_goes_on(
    file: Database, chain: Chain, expected: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, sent = Beside.write, []

    def dying(self: Beside, *args: object) -> None:
        sent.append(1)
        if len(sent) == 3:
            self._process.kill()
        write(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Beside, "write", dying)
    following = soon(file, chain)
    with pytest.raises(DatabaseError, match="ended: try again"):
        following.step()
    assert rows(file, "SELECT count(*) FROM events") < [(300,)]
    following.step()
    assert hash_of(file) == expected


def test_it_writes_nothing_without_the_lease(file: Database) -> None:
    lease = Lease()
    with file.write() as writer:
        lease.hold(writer)
    with Beside(file.file or Path(), lease) as beside:
        beside.write(None, blocks(FIRST).statements)
        beside.wait()
        with file.write() as writer:
            lease.release(writer)
            Lease(holder="another").hold(writer)
        beside.write(AT, blocks(SECOND).statements)
        with pytest.raises(LeaseError, match="another process"):
            beside.wait()
        with file.write() as writer:
            Lease(holder="another").release(writer)
        beside.write(AT, blocks(SECOND).statements)
        with pytest.raises(LeaseError, match="lost and won again"):
            beside.wait()
    assert rows(file, "SELECT number FROM blocks") == [(7,)]


def test_it_writes_only_where_the_index_was_left(file: Database) -> None:
    lease = Lease()
    with file.write() as writer:
        lease.hold(writer)
    with Beside(file.file or Path(), lease) as beside:
        beside.write(None, blocks(FIRST).statements)
        # Told of what came before it.
        beside.write((6, *AT[1:]), blocks(SECOND).statements)
        with pytest.raises(DatabaseError, match="changed by another process"):
            beside.wait()
        beside.write(AT, blocks(SECOND, FIRST).statements)
        with pytest.raises(TrailError, match="doubles"):
            beside.wait()
    assert rows(file, "SELECT number FROM blocks") == [(7,)], "a transaction is whole, or not at all"


def test_it_ends_when_who_began_it_does(file: Database) -> None:
    path, lease = file.file, Lease()
    command = [sys.executable, "-m", "steelyard.indexer.beside", str(path), lease.holder, "5"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write((100).to_bytes(8, "big") + b"half")
        process.stdin.close()
        assert process.wait(30) == 0
