from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from steelyard.errors import DatabaseError, LeaseError
from steelyard.indexer.database import Database
from steelyard.indexer.lease import Lease


def test_the_first_to_ask_has_it(databases: Callable[[], Database]) -> None:
    one, other = databases(), databases()
    with one.write() as writer:
        assert Lease(holder="a").hold(writer)
    with pytest.raises(LeaseError), other.write() as writer:
        Lease(holder="b").hold(writer)


def test_who_has_it_renews_it(database: Database) -> None:
    lease = Lease(holder="a", seconds=100)
    with database.write() as writer:
        lease.hold(writer)
        before = writer.row("SELECT until FROM lease")
        writer.execute("UPDATE lease SET until = until - 50000")
    with database.write() as writer:
        assert not lease.hold(writer)
        after = writer.row("SELECT until FROM lease")
    assert before is not None and after is not None and after[0] >= before[0]


def test_one_that_ran_out_goes_to_who_asks(databases: Callable[[], Database]) -> None:
    one, other = databases(), databases()
    lost = Lease(holder="a", seconds=0)
    with one.write() as writer:
        lost.hold(writer)
    with other.write() as writer:
        assert Lease(holder="b").hold(writer)
    with pytest.raises(LeaseError), one.write() as writer:
        lost.hold(writer)


def test_who_lost_it_cannot_commit(databases: Callable[[], Database]) -> None:
    one, other = databases(), databases()
    lost = Lease(holder="a", seconds=0)
    with one.write() as writer:
        lost.hold(writer)
    with other.write() as writer:
        Lease(holder="b").hold(writer)
    with pytest.raises(LeaseError), one.write() as writer:
        writer.insert("blocks", [(1, b"", None, 0, 0)])
        lost.hold(writer)
    with other.read() as reader:
        assert reader.rows("SELECT 1 FROM blocks") == []


def test_given_back_it_is_free_at_once(databases: Callable[[], Database]) -> None:
    one, other = databases(), databases()
    lease = Lease(holder="a", seconds=1000)
    with one.write() as writer:
        lease.hold(writer)
    with one.write() as writer:
        lease.release(writer)
    with other.write() as writer:
        assert Lease(holder="b").hold(writer)


def test_of_many_that_ask_at_once_one_gets_it(databases: Callable[[], Database]) -> None:
    opened = [databases() for _ in range(4)]
    won: list[int] = []
    start = threading.Barrier(len(opened))

    def ask(number: int) -> None:
        start.wait()
        try:
            with opened[number].write() as writer:
                Lease(holder=str(number), seconds=1000).hold(writer)
                won.append(number)
        except (LeaseError, DatabaseError):
            pass

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(opened))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
