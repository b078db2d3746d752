"""A service with tables of its own for tests of the writing half: asked over ASGI, with a clock that stands still."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steelyard.api import session
from steelyard.api.app import App
from steelyard.api.idempotency import once
from steelyard.api.route import Endpoint
from steelyard.api.service import Limits, Options, Service
from steelyard.api.state import State
from steelyard.chain.artifacts import CONTRACTS
from steelyard.chain.deployment import Deployed, Deployment
from steelyard.chain.transport import Transport
from steelyard.crypto.personal import personal_digest
from steelyard.crypto.secret import Secret
from steelyard.domain.siwe import Message
from steelyard.domain.types import Address
from steelyard.indexer.database import open_database
from steelyard.market import Market
from steelyard.query.audit import Audit
from steelyard.service.account import Account
from steelyard.storage.base import Store
from steelyard.storage.embedded import EmbeddedStore
from tests.unit.chain.fake import FakeTransport

NOW = 1_800_000_000
ORIGIN = "https://market.example"


class Clock:
    """Unix seconds that move only when told to."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Got:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["code"])


def deployment(chain_id: int = 31337) -> Deployment:
    contracts = {
        name: Deployed(address=Address(bytes([place + 1]) * 20), tx_hash=bytes(32), arguments=b"")
        for place, name in enumerate(CONTRACTS)
    }
    return Deployment(chain_id=chain_id, start_block=0, min_bond=1, contracts=contracts)


def account() -> Account:
    return Account.from_key(Secret(secrets.token_bytes(32)))


class World:
    """One service. ``ask`` is one request."""

    def __init__(
        self,
        folder: Path,
        endpoints: Sequence[Endpoint],
        *,
        state: State | None = None,
        transport: Transport | None = None,
        store: Store | None = None,
        market: Market | None = None,
        options: Options | None = None,
        owner: Account | None = None,
    ) -> None:
        self.clock = Clock()
        self.state = state or State.open(folder / "service.sqlite")
        self.store = store or EmbeddedStore(folder / "store")
        self.market = market or Market(
            transport or FakeTransport(),  # type: ignore[arg-type]  # Rpc takes either
            deployment=deployment(),
            store=self.store,
            account=owner,
            home=folder / "home",
        )
        self.audit = Audit(open_database(folder / "index.sqlite"))
        self.threads = ThreadPoolExecutor(4)
        limits = Limits(per_minute=0)
        self.service = Service(
            audit=self.audit,
            market=self.market,
            state=self.state,
            options=options or Options(public_url=ORIGIN, limits=limits),
            clock=self.clock,
            threads=self.threads,
        )
        self.app = App(
            self.service,
            (*session.ENDPOINTS, *(item for item in endpoints if item not in session.ENDPOINTS)),
            authenticate=session.authenticate,
            once=once,
        )

    def close(self) -> None:
        self.threads.shutdown()
        self.state.close()
        self.audit.close()
        self.market.close()

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        raw: bytes | None = None,
        media: str = "application/json",
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        client: str = "127.0.0.1",
    ) -> Got:
        data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        named = {"host": "market.example", **({"content-type": media} if data else {}), **(headers or {})}
        named["content-length"] = str(len(data))
        if token is not None:
            named["authorization"] = f"Bearer {token}"
        return asyncio.run(_ask(self.app, method, path, data, named, client))

    def sign_in(self, who: Account, **changes: Any) -> str:
        """Sign an account in and return its token."""
        got = self.ask("POST", "/v1/session", self.signed(who, **changes))
        assert got.status == 201, got.body
        return str(got.json["token"])

    def nonce(self) -> str:
        return str(self.ask("POST", "/v1/session/nonce").json["nonce"])

    def signed(self, who: Account, **changes: Any) -> dict[str, str]:
        """Return the body that signs an account in; the message changed as told."""
        fields: dict[str, Any] = {
            "domain": "market.example",
            "address": who.address,
            "uri": ORIGIN,
            "chain_id": 31337,
            "nonce": changes.get("nonce") or self.nonce(),
            "issued_at": int(self.clock.now),
            **changes,
        }
        text = Message(**fields).text()
        v, r, s = who.sign_digest(personal_digest(text.encode()))
        return {"message": text, "signature": "0x" + (r + s + bytes([v])).hex()}


async def _ask(
    app: Callable[..., Any], method: str, path: str, data: bytes, headers: Mapping[str, str], client: str
) -> Got:
    target, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": target,
        "raw_path": target.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": (client, 1),
        "server": ("127.0.0.1", 80),
    }
    parts: list[dict[str, Any]] = [
        {"type": "http.request", "body": data, "more_body": False},
        {"type": "http.disconnect"},
    ]
    status, found, body = 0, {}, b""

    async def receive() -> dict[str, Any]:
        return parts.pop(0) if len(parts) > 1 else parts[0]

    async def send(message: Mapping[str, Any]) -> None:
        nonlocal status, body
        if message["type"] == "http.response.start":
            status = message["status"]
            found.update({name.decode(): value.decode() for name, value in message["headers"]})
        elif message["type"] == "http.response.body":
            body += message.get("body", b"")

    await app(scope, receive, send)
    return Got(status, found, body)
