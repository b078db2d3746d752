"""Whether the service says truly that it is ready, and what it counts."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

import pytest

from steelyard.api.metrics import BUCKETS, Metrics, size_of
from steelyard.indexer.database import Database, open_database
from steelyard.indexer.lease import SECONDS, Lease
from tests.unit.api.reading import Reader
from tests.unit.query.world import World


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(tmp_path / "index.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def reader(database: Database, tmp_path: Path) -> Iterator[Reader]:
    with Reader(database, tmp_path) as opened:
        yield opened


def test_it_lives_without_an_index(reader: Reader) -> None:
    assert reader.get("/healthz").json == {"status": "ok"}


def test_an_empty_index_is_not_ready(reader: Reader) -> None:
    got = reader.get("/readyz")
    assert (got.status, got.json["code"]) == (503, "not-ready")


def test_it_is_ready_as_long_as_its_newest_block_is_new(reader: Reader, database: Database) -> None:
    world = World()
    world.tick()
    world.feed(database)
    reader.now = world.time + 60
    assert (reader.get("/readyz").status, reader.get("/readyz").json["lag"]) == (200, 60)
    reader.now = world.time + 61
    got = reader.get("/readyz")
    assert (got.status, got.json["lag"], got.json["at"]["block"]) == (503, 61, world.block)


def test_on_a_quiet_chain_it_is_ready_as_long_as_somebody_looks(reader: Reader, database: Database) -> None:
    world = World()
    world.tick()
    world.feed(database)
    lease = Lease(holder="me")
    with database.write() as writer:
        lease.hold(writer)
        ((until,),) = writer.rows("SELECT until FROM lease")
    looked = until // 1000 - int(SECONDS)
    reader.now = looked + 60
    assert (reader.get("/readyz").status, reader.get("/readyz").json["lag"]) == (200, 60)
    reader.now = looked + 61
    assert reader.get("/readyz").status == 503


def test_who_is_only_on_the_way_is_not_ready_for_looking(reader: Reader, database: Database) -> None:
    world = World()
    world.tick()
    world.feed(database, proved=False)
    with database.write() as writer:
        Lease(holder="me").hold(writer)
        ((until,),) = writer.rows("SELECT until FROM lease")
    reader.now = until // 1000
    assert reader.get("/readyz").status == 503


def test_a_service_that_stops_is_not_ready(reader: Reader, database: Database) -> None:
    world = World()
    world.tick()
    world.feed(database)
    reader.now = world.time
    reader.service.stopping.set()
    assert reader.get("/readyz").status == 503


def test_counters_are_prometheus(reader: Reader, database: Database) -> None:
    world = World()
    world.tick()
    world.feed(database)
    reader.now = world.time + 3
    reader.get("/healthz")
    got = reader.get("/metrics")
    assert got.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = got.body.decode().splitlines()
    assert 'steelyard_http_requests_total{endpoint="get_alive",status="200"} 1.0' in lines
    assert "steelyard_index_lag_seconds 3.0" in lines
    assert f"steelyard_index_block {float(world.block)}" in lines
    assert "steelyard_index_up 1.0" in lines


def test_processes_count_together() -> None:
    memory = mmap.mmap(-1, size_of(2, 3))
    several = [Metrics(["a", "b"], memory=memory, workers=3, worker=worker) for worker in range(3)]
    for worker, metrics in enumerate(several):
        for _ in range(worker + 1):
            metrics.count("b", 200, 0.002)
    for metrics in several:
        assert 'steelyard_http_requests_total{endpoint="b",status="200"} 6.0' in metrics.text().decode()


def test_times_are_in_buckets() -> None:
    metrics = Metrics(["a"])
    for seconds in (0.0005, 0.001, 0.002, 100):
        metrics.count("a", 200, seconds)
    text = metrics.text().decode()
    name = "steelyard_http_request_seconds"
    assert f'{name}_bucket{{endpoint="a",le="{BUCKETS[0]}"}} 2.0' in text
    assert f'{name}_bucket{{endpoint="a",le="{BUCKETS[1]}"}} 3.0' in text
    assert f'{name}_bucket{{endpoint="a",le="+Inf"}} 4.0' in text
    assert f'{name}_count{{endpoint="a"}} 4.0' in text


def test_a_status_that_is_not_foreseen_counts_as_another() -> None:
    metrics = Metrics(["a"])
    metrics.count("a", 299, 0.1)
    assert 'endpoint="a",status="other"' in metrics.text().decode()
