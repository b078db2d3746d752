from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from steelyard.errors import DatabaseError, InputError
from steelyard.indexer.database import Database, open_database
from steelyard.indexer.report import Fault, Proved, Report
from steelyard.indexer.run import Indexer
from steelyard.indexer.verify import check
from tests.support.history import DEPLOYMENT, Chain, Market
from tests.unit.indexer.following import follower, hash_of, rows

ROOT = Path(__file__).parents[3]


def grown(blocks: int = 20, seed: int = 1) -> Chain:
    chain = Chain(Market(seed))
    for _ in range(blocks):
        chain.mine(count=6)
    return chain


def test_it_catches_up_and_says_where_it_is(database: Database) -> None:
    indexer = Indexer(database, [grown().rpc()], DEPLOYMENT)
    assert indexer.cursor() is None
    assert indexer.catch_up().block == 20
    at, found = indexer.content_hash()
    assert at is not None and at == indexer.cursor() and at.number == 20
    assert found == hash_of(database)


def test_it_follows_until_it_is_stopped(database: Database) -> None:
    chain, stop = grown(3), threading.Event()

    def tell(report: Report) -> None:
        if isinstance(report, Proved):
            if report.block == 6:
                stop.set()
            else:
                chain.mine(count=3)

    Indexer(database, [chain.rpc()], DEPLOYMENT, tell=tell).run(stop, every=0.001)
    assert rows(database, "SELECT max(number) FROM blocks WHERE proved = 1") == [(6,)]
    assert rows(database, "SELECT * FROM lease") == []


def test_what_fails_is_told_and_tried_again(database: Database) -> None:
    chain, stop, told = grown(3), threading.Event(), list[Report]()
    chain.answer, honest = (  # type: ignore[method-assign]
        lambda method, params: {"code": -32000, "message": "not now"},
        chain.answer,
    )

    def tell(report: Report) -> None:
        told.append(report)
        chain.answer = honest  # type: ignore[method-assign]
        if isinstance(report, Proved):
            stop.set()

    Indexer(database, [chain.rpc()], DEPLOYMENT, tell=tell).run(stop, every=0.001)
    assert isinstance(told[0], Fault)


def test_another_one_takes_over(databases: Callable[[], Database]) -> None:
    chain = grown(3)
    leader, stop = Indexer(databases(), [chain.rpc()], DEPLOYMENT), threading.Event()
    leader.step()
    database = databases()

    def tell(report: Report) -> None:
        if isinstance(report, Proved):
            stop.set()

    heir = Indexer(database, [chain.rpc()], DEPLOYMENT, tell=tell)
    thread = threading.Thread(target=heir.run, args=(stop,), kwargs={"every": 0.001})
    thread.start()
    chain.mine(count=4)
    leader.release()  # or it dies, and the lease runs out
    thread.join()
    assert rows(database, "SELECT max(number) FROM blocks") == [(4,)]


def test_without_an_endpoint_there_is_nothing_to_follow(database: Database) -> None:
    with pytest.raises(InputError):
        Indexer(database, [], DEPLOYMENT)


def test_an_index_of_another_market_is_refused(database: Database) -> None:
    Indexer(database, [grown(1).rpc()], DEPLOYMENT)
    with pytest.raises(DatabaseError, match="another market.*chain_id"):
        Indexer(database, [grown(1).rpc()], replace(DEPLOYMENT, chain_id=1))
    other = dict(DEPLOYMENT.contracts)
    other["Market"] = replace(other["Market"], address=b"\x77" * 20)  # type: ignore[arg-type]
    with pytest.raises(DatabaseError, match=r"another market \(market"):
        Indexer(database, [grown(1).rpc()], replace(DEPLOYMENT, contracts=other))


@pytest.mark.parametrize("where", [0, -4096 * 2])
def test_a_damaged_file_says_what_to_do(tmp_path: Path, where: int) -> None:
    path = tmp_path / "index.sqlite"
    database = open_database(path)
    Indexer(database, [grown(40).rpc()], DEPLOYMENT).step()
    with database.write() as writer:
        writer.execute("DELETE FROM lease")
    database.close()
    data = bytearray(path.read_bytes())
    data[where : where + 64 if where + 64 else None] = os.urandom(64)
    path.write_bytes(data)
    with pytest.raises(DatabaseError, match="damaged.*delete it"):
        database = open_database(path)
        try:
            Indexer(database, [grown(1).rpc()], DEPLOYMENT)
        finally:
            database.close()


def test_a_file_that_is_no_database_says_so(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    path.write_bytes(b"a photograph, say" * 500)
    with pytest.raises(DatabaseError, match="not a database"):
        open_database(path)


def test_another_programs_database_is_not_touched(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "other.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (a)")
    connection.commit()
    connection.close()
    with pytest.raises(DatabaseError, match="no index of this client"):
        open_database(path)


def test_a_check_folds_everything_again(database: Database) -> None:
    indexer = Indexer(database, [grown().rpc()], DEPLOYMENT)
    indexer.step()
    found = check(database, DEPLOYMENT)
    assert (found.at, found.content_hash) == indexer.content_hash()
    assert rows(database, "SELECT count(*) FROM events") == [(found.entries,)]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE purchases SET state = 5 WHERE pos = (SELECT max(pos) FROM purchases)",
        "DELETE FROM payments WHERE pos = (SELECT max(pos) FROM payments)",
        "UPDATE heads SET head = subject",
    ],
)
def test_a_check_finds_a_row_that_the_entries_do_not_make(database: Database, change: str) -> None:
    Indexer(database, [grown().rpc()], DEPLOYMENT).step()
    with database.write() as writer:
        writer.execute(change)
    with pytest.raises(DatabaseError, match="not what its entries make"):
        check(database, DEPLOYMENT)


_WRITER = """
import sys
sys.path[:0] = sys.argv[2:4]
from steelyard.indexer import follow
from tests.unit.indexer.test_run import DEPLOYMENT, Indexer, grown, open_database
follow._ENOUGH = 1
follow.FIRST = 1
chain = grown(60)
chain.most = 1
print("ready", flush=True)
Indexer(open_database(sys.argv[1]), [chain.rpc()], DEPLOYMENT).step()
print("done", flush=True)
"""


def test_killed_while_it_writes_it_loses_nothing(place: str | Path, tmp_path: Path) -> None:
    """At whatever moment: rows and cursor are those of one block, and the next process goes on from there."""
    command = [sys.executable, "-c", _WRITER, str(place), str(ROOT / "backend"), str(ROOT)]
    rnd = random.Random(3)
    chain, stopped = grown(60), set()
    for _ in range(6):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        time.sleep(rnd.uniform(0.05, 0.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        database = open_database(place)
        with database.write() as writer:
            writer.execute("DELETE FROM lease")
        (cursor,) = rows(database, "SELECT max(number) FROM blocks")[0]
        stopped.add(cursor)
        known = Chain(Market(1))
        for _ in range(cursor or 0):
            known.mine(count=6)
        beside = open_database(tmp_path / f"beside-{len(stopped)}.sqlite")
        if cursor:
            follower(beside, known).step()
        beside_hash = hash_of(beside)
        beside.close()
        (tmp_path / f"beside-{len(stopped)}.sqlite").unlink()
        assert hash_of(database) == beside_hash
        database.close()
    database = open_database(place)
    follower(database, chain).step()
    assert rows(database, "SELECT max(number) FROM blocks") == [(60,)]
    database.close()
