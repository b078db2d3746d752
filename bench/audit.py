"""Audit questions over HTTP: a page of 20 entries and a single one against a raw ASGI application, and each of the seven questions.

Both servers run at once with one process each; load goes to one of them at a time, taking turns.
"""

from __future__ import annotations

import http.client
import json
import pickle
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench import stored
from bench.load import Load, load
from bench.rounds import ROUNDS, Timings
from bench.row import Outcome, Row
from bench.serving import Served, serving
from bench.setting import Setting
from steelyard.domain.types import Address, AssetId
from steelyard.indexer.database import Database, Reader, open_database
from steelyard.query import events
from steelyard.query.events import COLUMNS
from steelyard.query.model import EventQuery
from steelyard.query.place import read_at

CLIENTS: Final = 32
_BAR: Final = 0.7
_LATENCY_BAR: Final = 25.0
_PEERS: Final = {"page": 404.0, "one": 1300.0}
"""Requests a second of FastAPI with synchronous endpoints, quoted from bars.md: another run."""
_PATHS: Final = 512
_REQUESTS: Final = 4000
_ASKED: Final = 400


class _Recorder:
    """A reader that remembers what is asked."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.dialect = reader.dialect
        self.statements: list[tuple[str, tuple[object, ...]]] = []

    def rows(self, sql: str, params: Sequence[object] = ()) -> list[Any]:
        self.statements.append((sql, tuple(params)))
        return self._reader.rows(sql, params)

    def row(self, sql: str, params: Sequence[object] = ()) -> Any:
        self.statements.append((sql, tuple(params)))
        return self._reader.row(sql, params)


@dataclass(frozen=True)
class Samples:
    """Things to ask about, drawn from an index."""

    assets: list[bytes]
    accounts: list[bytes]
    places: list[int]
    purchases: list[bytes]
    first: int
    last: int

    @classmethod
    def draw(cls, database: Database) -> Samples:
        """Draw them, always the same ones."""
        rng = random.Random(7)
        with database.read() as reader:
            assets = [row[0] for row in reader.rows("SELECT id FROM assets ORDER BY pos")]
            low, high = reader.rows("SELECT min(pos), max(pos) FROM events")[0]
            rows = [
                reader.row(
                    "SELECT pos, actor, id, time FROM events WHERE pos >= ? LIMIT 1",
                    (rng.randrange(low, high),),
                )
                for _ in range(_PATHS)
            ]
            bought = reader.rows("SELECT id FROM purchases ORDER BY id LIMIT 256")
            times = reader.rows("SELECT min(time), max(time) FROM blocks")[0]
        found = [row for row in rows if row is not None]
        return cls(
            assets=[rng.choice(assets) for _ in range(_PATHS // 2)],
            accounts=[row[1] for row in found],
            places=[row[0] for row in found],
            purchases=[row[0] for row in bought],
            first=times[0],
            last=times[1],
        )


def _questions(database: Database, samples: Samples) -> dict[str, dict[str, dict[str, object]]]:
    """Return the paths of pages and of single entries, each with the statements that answer it."""
    asked: list[tuple[str, EventQuery]] = []
    for asset, account in zip(samples.assets, samples.accounts, strict=False):
        asked.append((f"/v1/events?asset=0x{asset.hex()}&limit=20", EventQuery(asset=AssetId(asset))))
        asked.append((f"/v1/events?account=0x{account.hex()}&limit=20", EventQuery(account=Address(account))))
    pages: dict[str, dict[str, object]] = {}
    ones: dict[str, dict[str, object]] = {}
    with database.read() as reader:
        for path, query in asked:
            recorder = _Recorder(reader)
            found = events.events(recorder, query)  # type: ignore[arg-type]  # as much of a reader as is needed
            pages[path] = _question(recorder, limit=20, following=found.next, one=False)
        for pos in samples.places:
            recorder = _Recorder(reader)
            events.event(recorder, pos >> 20, pos & 0xFFFFF)  # type: ignore[arg-type]  # as above
            read_at(recorder)  # type: ignore[arg-type]  # as above
            ones[f"/v1/events/{pos}?"] = _question(recorder, limit=1, following=None, one=True)
    return {"page": pages, "one": ones}


def _question(recorder: _Recorder, *, limit: int, following: str | None, one: bool) -> dict[str, object]:
    statements = recorder.statements
    entries = next(at for at, (sql, _) in enumerate(statements) if sql.startswith(f"SELECT {COLUMNS}"))
    return {
        "statements": statements,
        "entries": entries,
        "limit": limit,
        "next": json.dumps(following),
        "one": one,
    }


def _seven(samples: Samples) -> dict[str, Callable[[random.Random], str]]:
    """Return, for each question of docs/index.md, what makes a path that asks it."""

    def asset(rng: random.Random) -> str:
        return "0x" + rng.choice(samples.assets).hex()

    def account(rng: random.Random) -> str:
        return "0x" + rng.choice(samples.accounts).hex()

    def moment(rng: random.Random) -> int:
        return rng.randrange(samples.first, samples.last)

    words = ("resnet", "bert", "whisper", "llama", "model", "speech")
    return {
        "entries": lambda rng: f"/v1/events?account={account(rng)}&kinds=Purchased&since={moment(rng)}",
        "search": lambda rng: f"/v1/assets?text={rng.choice(words)}&task=text-generation&facets=true",
        "holders": lambda rng: f"/v1/assets/{asset(rng)}/holders?at={moment(rng)}",
        "version": lambda rng: f"/v1/assets/{asset(rng)}/version?at={moment(rng)}",
        "payments": lambda rng: f"/v1/payments?share={account(rng)}",
        "earnings": lambda rng: (
            f"/v1/accounts/{account(rng)}/earnings?since={samples.first}&until={moment(rng)}"
        ),
        "obligations": lambda rng: f"/v1/obligations?account={account(rng)}",
    }


def _get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _same(ours: Served, raw: Served, paths: Sequence[str]) -> None:
    for path in paths:
        one, other = _get(ours.port, path), _get(raw.port, path)
        if one != other:
            raise RuntimeError(f"{path}: ours answers {one[1][:300]!r}, raw {other[1][:300]!r}")


def _write(path: Path, lines: Sequence[str]) -> Path:
    path.write_text("\n".join(lines), encoding="ascii")
    return path


def rows(setting: Setting) -> list[Outcome]:
    """Return the rows."""
    where = stored.database(setting.root, setting.entries)
    database = open_database(where, readonly=True)
    samples = Samples.draw(database)
    questions = _questions(database, samples)
    database.close()
    pickled = setting.folder / "questions.pickle"
    everything = {path.encode(): question for kind in questions.values() for path, question in kind.items()}
    pickled.write_bytes(pickle.dumps(everything))
    found: list[Outcome] = []
    with ExitStack() as stack:
        ours = stack.enter_context(serving(setting.root, "ours", where, pickled))
        raw = stack.enter_context(serving(setting.root, "raw", where, pickled))
        for kind, name in (("page", "audit page of 20 rows"), ("one", "audit point query")):
            _same(ours, raw, list(questions[kind])[:64])
            paths = _write(setting.folder / kind, list(questions[kind]))
            found += _compared(setting, kind, f"{name} from {setting.entries:,}", ours, raw, paths)
        found += list(_latencies(setting, ours, samples))
        found.append(_memory(setting, ours, setting.folder / "page"))
    return found


@dataclass(frozen=True)
class _Measured:
    load: Load
    cpu: float


def _measure(
    setting: Setting, server: Served, paths: Path, requests: int, clients: int = CLIENTS
) -> _Measured:
    before = server.cpu()
    done = load(setting.root, port=server.port, paths=paths, clients=clients, requests=requests)
    if done.failed:
        raise RuntimeError(f"{done.failed} of {done.requests} requests for {paths.name} failed")
    return _Measured(done, server.cpu() - before)


def _compared(
    setting: Setting, kind: str, name: str, ours: Served, raw: Served, paths: Path
) -> Iterator[Outcome]:
    own: list[_Measured] = []
    bare: list[_Measured] = []
    for turn in range(max(setting.rounds, ROUNDS) + 1):
        pair = [(ours, own), (raw, bare)]
        for server, found in pair if turn % 2 else reversed(pair):
            measured = _measure(setting, server, paths, _REQUESTS)
            if turn:
                found.append(measured)
    clock = _timings(own, bare, lambda one: one.load.seconds / one.load.requests)
    cpu = _timings(own, bare, lambda one: one.cpu / one.load.requests)
    generator = sum(one.load.cpu for one in own) / sum(one.load.requests for one in own)
    against = f"limit: raw ASGI, the same statements and bytes, one process each, {CLIENTS} connections"
    yield Row(
        name=name,
        unit="/s",
        ours=1 / clock.median("ours"),
        peer=_PEERS[kind],
        limit=1 / clock.median("raw"),
        share=_BAR,
        ratio=clock.speedup("ours", "raw"),
        against=f"{against}; the generator took {generator * 1e6:.0f} us of processor time a request; peer quoted: FastAPI",
    )
    yield Row(
        name=f"{name}, by processor time",
        unit="/s",
        ours=1 / cpu.median("ours"),
        limit=1 / cpu.median("raw"),
        share=_BAR,
        ratio=cpu.speedup("ours", "raw"),
        against="requests for each second of the server's own processor time: holds on a busy machine",
    )
    p99 = Timings({"ours": tuple(x.load.p99 for x in own), "raw": tuple(x.load.p99 for x in bare)})
    yield Row(
        name=f"{name}, p99 at {CLIENTS} clients",
        unit="ms",
        ours=p99.median("ours") * 1000,
        limit=p99.median("raw") * 1000,
        bar=_LATENCY_BAR if kind == "page" else None,
        against=f"p50 {1000 * sorted(x.load.p50 for x in own)[len(own) // 2]:.1f} ms",
    )


def _timings(
    own: Sequence[_Measured], bare: Sequence[_Measured], of: Callable[[_Measured], float]
) -> Timings:
    return Timings({"ours": tuple(map(of, own)), "raw": tuple(map(of, bare))})


def _latencies(setting: Setting, ours: Served, samples: Samples) -> Iterator[Outcome]:
    rng = random.Random(11)
    for name, make in _seven(samples).items():
        paths = _write(setting.folder / f"question-{name}", [make(rng) for _ in range(_ASKED)])
        done = _measure(setting, ours, paths, _ASKED, clients=1).load
        yield Row(
            name=f"question: {name}, p99, one client",
            unit="ms",
            ours=done.p99 * 1000,
            against=f"p50 {done.p50 * 1000:.2f} ms, {done.size // done.requests} bytes",
        )


def _memory(setting: Setting, ours: Served, paths: Path) -> Row:
    requests = 100_000 if setting.entries >= 10**6 else 20_000
    before = ours.resident()
    _measure(setting, ours, paths, requests)
    after = ours.resident()
    return Row(
        name="service, memory of its own",
        unit="MiB",
        ours=after,
        against=f"{before:.1f} MiB before, {after:.1f} MiB after {requests:,} more requests",
    )
