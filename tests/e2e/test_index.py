"""The index on a real chain: real sales, blocks that are replaced, and an endpoint that hides a log."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from steelyard.chain.calls import Calls
from steelyard.chain.deploy import deploy
from steelyard.chain.deployment import Deployment
from steelyard.chain.node import Node, find_anvil
from steelyard.chain.rpc import Rpc
from steelyard.chain.sender import Sender
from steelyard.chain.transport import Answer, HttpTransport
from steelyard.domain.state import fold
from steelyard.domain.types import NATIVE
from steelyard.errors import InputError, TrailError
from steelyard.indexer.database import Database, open_database
from steelyard.indexer.report import Fault, Report
from steelyard.indexer.run import Indexer
from steelyard.indexer.schema import amount_of
from steelyard.indexer.verify import check
from steelyard.market import Market
from steelyard.service.ledger import LedgerReader
from tests.e2e.support import HOUR, PRICE, Travel
from tests.support.replay import serve

NODE = b"\x80" + b"\x07" * 31


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(tmp_path / "index.sqlite")
    yield opened
    opened.close()


class Own:
    """A chain that one test has for itself."""

    def __init__(self, node: Node, rpc: Rpc) -> None:
        self.rpc = rpc
        self.url = node.url
        self._node = node
        self.deployment = deploy(Sender(rpc, lambda: node.keys[0]), min_bond=0)
        self.calls = Calls(self.deployment)
        self._amounts = itertools.count(1)

    def grow(self, blocks: int) -> None:
        """Mine blocks with an entry each."""
        # A new one, for blocks that went took its last nonces with them.
        sender = Sender(self.rpc, lambda: self._node.keys[0])
        for _ in range(blocks):
            sender.send(self.calls.deposit(NODE, NATIVE, next(self._amounts)))


@pytest.fixture
def own() -> Iterator[Own]:
    configured = os.environ.get("STEELYARD_ANVIL")
    try:
        anvil = find_anvil(configured=Path(configured) if configured else None)
    except InputError as exc:
        pytest.skip(f"anvil is needed: {exc}")
    with Node.start(anvil) as node, Rpc(node.url, chain_id=node.chain_id) as rpc:
        yield Own(node, rpc)


def built(rpc: Rpc, deployment: Deployment, path: Path) -> bytes:
    """Return the content hash of a new index."""
    path.unlink(missing_ok=True)
    database = open_database(path)
    indexer = Indexer(database, [rpc], deployment)
    indexer.catch_up()
    _, found = indexer.content_hash()
    database.close()
    return found


class Proxy:
    """An endpoint that passes everything on, but for some logs."""

    def __init__(self, url: str, hides: Callable[[dict[str, Any]], bool]) -> None:
        self.transport = HttpTransport(url)
        self.hides = hides

    def exchange(self, body: bytes) -> Answer:
        answer = self.transport.exchange(body)
        asked = json.loads(body)
        if isinstance(asked, list) or asked["method"] != "eth_getLogs":
            return answer
        said = json.loads(answer.body)
        said["result"] = [log for log in said["result"] if not self.hides(log)]
        return Answer(200, json.dumps(said).encode())

    def close(self) -> None:
        self.transport.close()


def test_sales_are_in_the_index_as_they_were_made(
    seller: Market,
    buyer: Market,
    folder: Path,
    travel: Travel,
    rpc: Rpc,
    deployment: Deployment,
    database: Database,
    tmp_path: Path,
) -> None:
    published = seller.publish(folder, name="digits")
    seller.offer(published.ref, price=PRICE)
    sold = buyer.buy(published.ref, wait=False)
    seller.deliver(sold)
    late = buyer.buy(published.ref, wait=False)
    indexer = Indexer(database, [rpc], deployment)
    indexer.catch_up()
    travel(48 * HOUR)
    buyer.refund(late)
    seller.claim(published.ref)
    indexer.catch_up()
    with database.read() as reader:
        query = "SELECT kind, amount FROM payments WHERE asset = ? ORDER BY pos, part"
        paid = [(kind, amount_of(amount)) for kind, amount in reader.rows(query, (published.asset,))]
        states: dict[bytes, int] = dict(
            reader.rows("SELECT id, state FROM purchases WHERE asset = ?", (published.asset,))
        )
    assert [item for item in paid if item[0] in (0, 1, 2, 8)] == [
        *((0, PRICE), (1, PRICE), (0, PRICE), (2, PRICE), (8, PRICE)),
    ]
    ledger_reader = LedgerReader(rpc, deployment)
    head = rpc.get_block("latest")
    logs = ledger_reader.logs([published.asset], deployment.start_block, head.number)
    ledger = fold(ledger_reader.events(logs, head), block=head.number)
    purchases = ledger.assets[published.asset].purchases
    assert states == {id_: int(purchase.state) for id_, purchase in purchases.items()}
    found = check(database, deployment)
    assert found.content_hash == built(rpc, deployment, tmp_path / "fresh.sqlite")


def test_replaced_blocks_of_any_depth_leave_no_trace(own: Own, database: Database, tmp_path: Path) -> None:
    own.grow(8)
    told: list[Report] = []
    indexer = Indexer(database, [own.rpc], own.deployment, tell=told.append)
    indexer.catch_up()
    for depth in (1, 3, 9, 64):
        own.grow(depth)
        indexer.catch_up()
        own.rpc.call("anvil_reorg", (depth, []))
        indexer.catch_up()
        own.grow(1)
        assert indexer.catch_up().block == own.rpc.block_number()
        assert indexer.content_hash()[1] == built(own.rpc, own.deployment, tmp_path / "fresh.sqlite")
    assert not any(isinstance(report, Fault) for report in told)


def test_a_hidden_log_is_found_and_the_honest_endpoint_is_followed(
    own: Own, database: Database, tmp_path: Path
) -> None:
    own.grow(12)
    number = own.rpc.block_number() - 5
    proxy = Proxy(own.url, lambda log: int(log["blockNumber"], 16) == number)
    with closing(proxy), serve(proxy) as url, Rpc(url, chain_id=own.rpc.chain_id) as lying:
        with pytest.raises(TrailError):
            Indexer(database, [lying], own.deployment, holder="one").step()
        told: list[Report] = []
        both = Indexer(database, [lying, own.rpc], own.deployment, holder="one", tell=told.append)
        both.catch_up()
    faults = [report for report in told if isinstance(report, Fault)]
    assert faults and faults[0].endpoint in url
    assert both.content_hash()[1] == built(own.rpc, own.deployment, tmp_path / "fresh.sqlite")
