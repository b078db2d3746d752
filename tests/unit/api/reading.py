"""A service over a made-up market, for tests of the reading half: asked over ASGI, without a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from steelyard.api import download, export, health, read, stream
from steelyard.api.app import App
from steelyard.api.openapi import endpoint
from steelyard.api.route import Endpoint
from steelyard.api.service import Limits, Options, Service
from steelyard.indexer.database import Database
from steelyard.market import Market
from steelyard.query.audit import Audit
from steelyard.storage.base import Store
from steelyard.storage.embedded import EmbeddedStore
from tests.unit.api.writing import deployment
from tests.unit.chain.fake import FakeTransport

READING = (
    *read.ENDPOINTS,
    *stream.ENDPOINTS,
    *export.ENDPOINTS,
    *download.ENDPOINTS,
    *health.ENDPOINTS,
)


@dataclass
class Got:
    """An answer. ``pieces`` are the messages that its body came in."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[bytes] = field(default_factory=list)
    done: bool = False

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def ask(
    app: Callable[..., Any],
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    *,
    body: bytes = b"",
    parts: Sequence[Mapping[str, Any]] | None = None,
    client: tuple[str, int] = ("127.0.0.1", 1),
    gone: asyncio.Event | None = None,
    got: Got | None = None,
) -> Got:
    """Make a request; ``gone`` is set when the caller goes away, ``parts`` are the messages of the body."""
    found = Got() if got is None else got
    target, _, query = path.partition("?")
    scope = {
        "type": "http",
        "method": method,
        "path": target,
        "raw_path": target.encode(),
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
        "client": client,
        "server": ("127.0.0.1", 80),
        "scheme": "http",
    }
    coming = list(
        parts if parts is not None else [{"type": "http.request", "body": body, "more_body": False}]
    )

    async def receive() -> Mapping[str, Any]:
        if coming:
            return coming.pop(0)
        if gone is not None:
            await gone.wait()
            return {"type": "http.disconnect"}
        await asyncio.Event().wait()  # a caller who waits for the answer
        raise AssertionError("unreachable")

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            assert not found.status, "an answer begins once"
            found.status = message["status"]
            found.headers.update(
                {name.decode(): value.decode("latin-1") for name, value in message["headers"]}
            )
        else:
            found.pieces.append(message.get("body", b""))
            found.done = not message.get("more_body", False)
        await asyncio.sleep(0)

    await app(scope, receive, send)
    return found


class Reader(AbstractContextManager["Reader"]):
    """One service. ``get`` is one request."""

    def __init__(
        self,
        database: Database,
        folder: Path,
        *,
        endpoints: Sequence[Endpoint] = READING,
        store: Store | None = None,
        options: Options | None = None,
        inline: bool = True,
        now: int = 1_700_100_000,
    ) -> None:
        self.now = float(now)
        self.store = store or EmbeddedStore(folder / "store")
        self.market = Market(
            FakeTransport(),  # type: ignore[arg-type]  # Rpc takes either
            deployment=deployment(),
            store=self.store,
            home=folder / "home",
        )
        self.threads = ThreadPoolExecutor(2)
        self.service = Service(
            audit=Audit(database),
            market=self.market,
            options=options or Options(limits=Limits(per_minute=0)),
            clock=lambda: self.now,
            threads=self.threads,
            inline=inline,
        )
        self.app = App(self.service, (*endpoints, endpoint(endpoints)))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.threads.shutdown()
        self.market.close()
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def ask(self, method: str, path: str, headers: Mapping[str, str] | None = None, **more: Any) -> Got:
        async def run() -> Got:
            async with asyncio.timeout(30):
                return await ask(self.app, method, path, headers, **more)

        return asyncio.run(run())

    def get(self, path: str, headers: Mapping[str, str] | None = None, **more: Any) -> Got:
        return self.ask("GET", path, headers, **more)
