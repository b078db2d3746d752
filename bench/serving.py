"""The HTTP service and, as its limit, a raw ASGI application: each in a process of its own, under one uvicorn configuration.

``python -m bench.serving ours|raw DATABASE QUESTIONS`` prints its port on 127.0.0.1 and serves, on a core of its own, until its standard input ends. The
raw application is told beforehand which statements answer which path (a pickle that the bench wrote, QUESTIONS): it runs the same statements in a snapshot of its own and writes the same bytes by hand; no routing, no checks, no limits.
"""

from __future__ import annotations

import os
import pickle
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench import stored
from bench.cores import SERVER, pin
from steelyard.domain.events import TYPES
from steelyard.domain.plain import checksum
from steelyard.domain.types import AssetKind, OfferKind, Role, Scope
from steelyard.indexer.schema import MAX_LOG, SHIFT

_POINT: Final = (("x", "uint256"), ("y", "uint256"))
_NESTED: Final = {
    "key": _POINT,
    "delivered": _POINT,
    "commitments": (
        *(("asset", "bytes32"), ("folder", "bytes32"), ("contentRoot", "bytes32"), ("size", "uint64")),
        *(("scheme", "uint16"), ("key", "point"), ("node", "bytes32")),
    ),
    "terms": (
        *(("seller", "address"), ("currency", "address"), ("price", "amount"), ("bond", "amount")),
        *(("kind", "offer"), ("scope", "scope"), ("transferable", "bool"), ("revocable", "bool")),
        *(("period", "uint32"), ("renewUntil", "uint40"), ("supply", "uint32"), ("deliverWithin", "uint32")),
        *(("window", "uint32"), ("allowList", "bytes32"), ("text", "bytes32"), ("salt", "uint64")),
        *(("version", "bytes32"),),
    ),
}
_AMOUNTS: Final = frozenset(("price", "bond", "fee", "amount"))
_WORDS: Final[dict[str, Sequence[str]]] = {
    "offer": [kind.name.lower() for kind in OfferKind],
    "scope": [scope.name.lower() for scope in Scope],
    "asset": [kind.name.lower() for kind in AssetKind],
    "role": [role.name.lower() for role in Role],
}
Send = Callable[[dict[str, object]], Awaitable[None]]


@dataclass(frozen=True)
class Served:
    """A server under way."""

    port: int
    process: subprocess.Popen[str]

    def cpu(self) -> float:
        """Return its seconds of processor time so far."""
        text = Path(f"/proc/{self.process.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(text[11]) + int(text[12])) / os.sysconf("SC_CLK_TCK")

    def resident(self) -> float:
        """Return the memory of its own, without mapped files, MiB."""
        return stored.memory("RssAnon", self.process.pid)


@contextmanager
def serving(root: Path, kind: str, database: Path, questions: Path) -> Iterator[Served]:
    """Run a server.

    Args:
        root: the checkout.
        kind: ``ours`` or ``raw``.
        database: the index.
        questions: statements by path, for ``raw``.
    """
    command = [sys.executable, "-m", "bench.serving", kind, str(database), str(questions)]
    with subprocess.Popen(
        command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            yield Served(int(process.stdout.readline()), process)
        finally:
            process.stdin.close()
            process.wait(30)


# -- ours ------------------------------------------------------------------------------------------------------------


def _ours(database: Path) -> None:
    from steelyard.api.endpoints import application
    from steelyard.api.server import Server, listen
    from steelyard.api.service import Limits, Options, Service
    from steelyard.indexer.database import open_database
    from steelyard.market import Market
    from steelyard.query.audit import Audit
    from steelyard.storage.embedded import EmbeddedStore

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(4) as threads:
        market = Market(
            "http://127.0.0.1:9", deployment=stored.deployment(), store=EmbeddedStore(Path(folder) / "store")
        )
        service = Service(
            audit=Audit(open_database(database, readonly=True)),
            market=market,
            # One client asks for all others here.
            options=Options(limits=Limits(per_minute=0)),
            threads=threads,
            inline=True,
        )
        opened = listen("127.0.0.1:0")
        limits = service.options.limits
        server = Server(application(service), limits=limits, sockets=[opened], stopping=service.stopping)
        _until_end(server.stop)
        print(opened.getsockname()[1], flush=True)
        server.serve_until_stopped()


def _until_end(stop: Callable[[], None]) -> None:
    def wait() -> None:
        sys.stdin.read()
        stop()

    threading.Thread(target=wait, daemon=True).start()


# -- raw -------------------------------------------------------------------------------------------------------------


class Raw:
    """The raw application."""

    def __init__(self, database: Path, questions: Path) -> None:
        """Open the database as ours does."""
        self._questions = pickle.loads(questions.read_bytes())
        self._database = sqlite3.connect(
            f"{database.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, cached_statements=512
        )
        for pragma in ("mmap_size = 1073741824", "cache_size = -65536", "query_only = ON"):
            self._database.execute(f"PRAGMA {pragma}")

    async def __call__(self, scope: dict[str, Any], receive: object, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        body = self.body(scope["raw_path"] + b"?" + scope["query_string"])
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def body(self, path: bytes) -> bytes:
        """Return the answer to a path: a page, or one entry."""
        question = self._questions[path]
        run = self._database.execute
        run("BEGIN")
        found = [run(sql, params).fetchall() for sql, params in question["statements"]]
        run("COMMIT")
        entries = [entry_text(row) for row in found[question["entries"]][: question["limit"]]]
        ((block, digest, time, proved),) = found[-1]
        at = f'"at":{{"block":{block},"hash":"0x{digest.hex()}","time":{time},"proved":{proved}}}}}'
        if question["one"]:
            return f'{{"item":{entries[0]},{at}'.encode()
        return f'{{"items":[{",".join(entries)}],"next":{question["next"]},{at}'.encode()


def entry_text(row: Sequence[Any]) -> str:
    """Return an entry as the service writes it."""
    pos, time, kind, subject, id_, actor, tx, asset, version, amount, currency, data = row
    name, contract, fields = _KINDS[kind]
    words = data.hex()
    parts = [write(words[at : at + 64]) for at, write in fields]
    money = "null" if amount is None else f'"{int.from_bytes(amount, "big")}"'
    coin = "null" if currency is None else f'"{checksum(currency)}"'
    return (
        f'{{"pos":{pos},"block":{pos >> SHIFT},"log":{pos & MAX_LOG},"time":{time},"tx":"0x{tx.hex()}","name":"{name}",'
        f'"contract":"{contract}","subject":"0x{subject.hex()}","id":"0x{id_.hex()}","actor":"{checksum(actor)}",'
        f'"asset":{_id(asset)},"version":{_id(version)},"amount":{money},"currency":{coin},"fields":{{{"".join(parts)}}}}}'
    )


def _id(word: bytes | None) -> str:
    return "null" if word is None else f'"0x{word.hex()}"'


def _number(text: str) -> str:
    number = int(text, 16)
    return str(number) if number < 1 << 53 else f'"{number}"'


def _writer(before: str, type_: str, after: str) -> Callable[[str], str]:
    if type_ in _WORDS:
        return lambda text: f'{before}"{_WORDS[type_][int(text, 16)]}"{after}'
    if type_ == "amount":
        return lambda text: f'{before}"{int(text, 16)}"{after}'
    if type_ == "bool":
        return lambda text: f"{before}{'true' if text[-1] == '1' else 'false'}{after}"
    if type_ == "address":
        return lambda text: f'{before}"{checksum(bytes.fromhex(text[24:]))}"{after}'
    if type_.startswith("bytes"):
        return lambda text: f'{before}"0x{text}"{after}'
    return lambda text: f"{before}{_number(text)}{after}"


def _flat(names: Sequence[tuple[str, str]], event: str) -> Iterator[tuple[str, str, str]]:
    """Yield for each word of an event's data what stands before it, its type, and what stands after it."""
    for place, (name, given) in enumerate(names):
        type_ = given
        before = f'{"," if place else ""}"{name}":'
        nested = _POINT if type_ == "point" else _NESTED.get(name) if type_.startswith("(") else None
        if nested is None:
            if name in _AMOUNTS:
                type_ = "amount"
            elif (event, name) in (("AssetRegistered", "kind"), ("RoleSet", "role")):
                type_ = "asset" if name == "kind" else "role"
            elif name == "licence":
                type_ = "bytes32"
            yield before, type_, ""
            continue
        inner = list(_flat(nested, ""))
        for at, (start, kind, end) in enumerate(inner):
            head = f"{before}{{{start}" if at == 0 else start
            yield head, kind, end + ("}" if at == len(inner) - 1 else "")


_KINDS: Final = [
    (
        kind.name,
        kind.contract,
        [
            (64 * at, _writer(*parts))
            for at, parts in enumerate(_flat(list(zip(kind.names, kind.types, strict=True)), kind.name))
        ],
    )
    for kind in TYPES.values()
]


def _raw(database: Path, questions: Path) -> None:
    import uvicorn

    from steelyard.api.server import BACKLOG, KEEP_ALIVE, listen

    opened = listen("127.0.0.1:0")
    config = uvicorn.Config(
        Raw(database, questions),
        http="httptools",
        loop="uvloop",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE,
        backlog=BACKLOG,
    )
    server = uvicorn.Server(config)

    def stop() -> None:
        server.should_exit = True

    _until_end(stop)
    print(opened.getsockname()[1], flush=True)
    server.run(sockets=[opened])


if __name__ == "__main__":
    pin(SERVER)
    if sys.argv[1] == "ours":
        _ours(Path(sys.argv[2]))
    else:
        _raw(Path(sys.argv[2]), Path(sys.argv[3]))
