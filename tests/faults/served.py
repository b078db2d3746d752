"""The HTTP service on a market with something in it, in this process, and what a hostile caller may know of it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from steelyard.api.endpoints import application
from steelyard.api.server import Server, listen, service_of, url_of
from steelyard.api.service import Limits, Options
from steelyard.chain.hexdata import checksum_address
from steelyard.config import Config
from steelyard.crypto.personal import personal_digest
from steelyard.crypto.secret import Secret
from steelyard.market import Market
from steelyard.service.account import Account
from steelyard.service.context import Settings
from steelyard.service.opening import find_index
from steelyard.storage.cid import Codec, encode_cid
from tests.e2e.kill.shop import Service as Keys
from tests.e2e.kill.shop import Shop
from tests.faults.hostile import send
from tests.faults.index import Follower

QUICK = Limits(per_minute=0, seconds=1.5, stall=1.5)
"""No limit of rate, and short patience, for whoever sends hundreds of bad requests."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """A running service."""

    shop: Shop
    config: Config | None
    url: str
    host: str
    port: int
    account: Account

    def ask(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Make one proper request; returns status, headers and body."""
        lines = [f"{method} {path} HTTP/1.1", f"host: {self.host}:{self.port}", "connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        if body is not None:
            lines.append(f"content-length: {len(data)}")
            if "content_type" not in headers:
                lines.append("content-type: application/json")
        answer = send(self.host, self.port, "\r\n".join([*lines, "", ""]).encode() + data)
        if len(answer.body) < int(answer.headers.get("content-length", "0")):
            raise ConnectionError("the answer broke off")
        return answer.status, dict(answer.headers), answer.body

    def sign_in(self) -> str:
        """Return the token of a new session."""
        message = self.message()
        v, r, s = self.account.sign_digest(personal_digest(message.encode()))
        signature = "0x" + (r + s + bytes([v])).hex()
        status, _, body = self.ask("POST", "/v1/session", {"message": message, "signature": signature})
        assert status in (200, 201), body
        return str(json.loads(body)["token"])

    def message(self) -> str:
        """Return a sign-in message with a fresh nonce."""
        status, _, body = self.ask("POST", "/v1/session/nonce")
        assert status in (200, 201), body
        given = json.loads(body)
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        return (
            f"{given['domain']} wants you to sign in with your Ethereum account:\n"
            f"{checksum_address(self.account.address)}\n\n\nURI: {given['uri']}\nVersion: 1\nChain ID: {given['chain_id']}\n"
            f"Nonce: {given['nonce']}\nIssued At: {now}"
        )


def prepare(shop: Shop) -> dict[str, str]:
    """Put something into the market; returns the names of it."""
    offered = shop.publish(scope="all")
    bought = shop.buy(offered, 3)
    with Keys(shop.seller) as service:
        service.wait("delivered", bought[-1])
    asset = shop.seller.context.follow(offered.asset).state()
    version = next(iter(asset.versions.values()))
    account = checksum_address(shop.seller_account.address)
    folder = encode_cid(version.commitments.folder, codec=Codec.DAG_PB)
    return {
        "asset": "0x" + offered.asset.hex(),
        "ref": offered.ref,
        "version": "0x" + version.id.hex(),
        "offer": "0x" + offered.offer.hex(),
        "purchase": "0x" + bought[0].hex(),
        "account": account,
        "lower_account": account.lower(),
        "bad_checksum": "0x" + account[2:].swapcase(),
        "cid": folder,
        "absent_cid": encode_cid(bytes(32)),
    }


@contextmanager
def served(
    shop: Shop,
    *,
    limits: Limits = QUICK,
    options: Options | None = None,
    home: Path | None = None,
    market: Market | None = None,
) -> Iterator[Served]:
    """Index the market, and answer over HTTP in a thread of this process.

    Args:
        shop: the market.
        limits: what a caller may ask for.
        options: further settings.
        home: where the index is kept.
        market: the service's own way to chain and store; a direct one if None.
    """
    home = home or shop.folder / "public"
    deployment = shop.folder / "deployment.json"
    config = Config(
        home=home,
        rpc=shop.node.url,
        chain_id=shop.rpc.chain_id,
        deployment=deployment,
        store=str(shop.folder / "store"),
    )
    with ExitStack() as stack:
        where = find_index(config, shop.deployment)
        assert isinstance(where, Path)
        where.parent.mkdir(parents=True, exist_ok=True)
        follower = Follower(shop, where)
        stack.callback(follower.close)
        follower.follow()
        if market is None:
            settings = Settings(timeout=5.0)
            market = Market(shop.node.url, deployment=shop.deployment, store=shop.store, settings=settings)
            stack.enter_context(market)
        opened = listen("127.0.0.1:0")
        url = url_of(opened)
        chosen = replace(options or Options(), public_url=url, limits=limits)
        service = stack.enter_context(service_of(market, config, chosen))
        assert isinstance(service.threads, ThreadPoolExecutor)
        server = Server(
            application(service), limits=chosen.limits, sockets=[opened], stopping=service.stopping
        )
        thread = threading.Thread(target=server.serve_until_stopped)
        thread.start()
        stack.callback(thread.join, 20)
        stack.callback(server.stop)
        host, _, port = url.removeprefix("http://").partition(":")
        account = Account.from_key(Secret(b"\7" * 32))
        yield Served(shop=shop, config=config, url=url, host=host, port=int(port), account=account)
