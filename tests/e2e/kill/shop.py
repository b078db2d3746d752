"""A seller and a buyer on an anvil of their own, and what the chain says about the seller's transactions."""

from __future__ import annotations

import os
import secrets
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from steelyard.chain.calls import Call
from steelyard.chain.deploy import deploy
from steelyard.chain.deployment import Deployment
from steelyard.chain.node import Node, find_anvil
from steelyard.chain.rpc import Rpc
from steelyard.chain.sender import Sender
from steelyard.crypto.secret import Secret
from steelyard.domain.abi import selector
from steelyard.domain.events import TOPICS
from steelyard.domain.types import PurchaseId, State
from steelyard.market import Market
from steelyard.service.account import Account
from steelyard.service.context import Context, Settings
from steelyard.service.purchase import make_order
from steelyard.service.results import Offered
from steelyard.service.serve import run
from steelyard.service.serving import Event, Served
from steelyard.storage.embedded import EmbeddedStore

ETHER = 10**18
PRICE = ETHER // 100
SEED = Secret(bytes(range(1, 33)))
"""Of the seller; a canary, looked for in everything that is written."""
QUICK = Settings(poll=0.02, margin=0)


def anvil() -> Path:
    """Return the program; raises InputError if there is none."""
    configured = os.environ.get("STEELYARD_ANVIL")
    return find_anvil(configured=Path(configured) if configured else None)


class Shop:
    """One market with one seller and one buyer."""

    def __init__(self, node: Node, folder: Path) -> None:
        self.node = node
        self.folder = folder
        self.rpc = Rpc(node.url, chain_id=node.chain_id)
        self.faucet = Sender(self.rpc, lambda: node.keys[0], poll=0.02)
        self.deployment: Deployment = deploy(self.faucet, min_bond=PRICE)
        self.deployment.save(folder / "deployment.json")
        self.store = EmbeddedStore(folder / "store")
        self.seller_account = Account.from_key(Secret(secrets.token_bytes(32)), seed=SEED)
        self._opened: list[Market] = []
        self.seller = self.market(self.seller_account, home=folder / "home")
        self.buyer = self.market()
        self.faucet.send(Call(self.seller_account.address, b"", 100 * ETHER))

    def market(
        self,
        account: Account | None = None,
        *,
        home: Path | None = None,
        settings: Settings = QUICK,
        url: str | None = None,
    ) -> Market:
        """Open the market for an account; a fresh, rich one if None."""
        if account is None:
            account = Account.from_key(Secret(secrets.token_bytes(32)))
            self.faucet.send(Call(account.address, b"", 1000 * ETHER))
        made = Market(
            url or self.node.url,
            deployment=self.deployment,
            store=self.store,
            account=account,
            home=home,
            settings=settings,
        )
        self._opened.append(made)
        return made

    def helper(self) -> Market:
        """Open the market for another account that has the seller's seed, in a home of its own."""
        account = Account.from_key(Secret(secrets.token_bytes(32)), seed=SEED)
        self.faucet.send(Call(account.address, b"", ETHER))
        return self.market(account)

    def publish(self, name: str = "digits", **offer: Any) -> Offered:
        """Publish a small asset and offer it."""
        place = self.folder / f"model-{name}"
        place.mkdir(exist_ok=True)
        (place / "weights.bin").write_bytes(secrets.token_bytes(5000))
        published = self.seller.publish(place, name=name)
        return self.seller.offer(published.ref, **{"price": PRICE, **offer})

    def new_version(self, ref: str) -> str:
        """Publish a further version of an asset."""
        place = self.folder / f"more-{secrets.token_hex(4)}"
        place.mkdir()
        (place / "weights.bin").write_bytes(secrets.token_bytes(5000))
        return self.seller.new_version(ref, place).ref

    def buy(self, offered: Offered, count: int = 1) -> list[PurchaseId]:
        """Buy the first version several times, without looking at it first."""
        asset = self.buyer.context.follow(offered.asset).state()
        version = next(iter(asset.versions.values())).commitments
        orders = [make_order(self.buyer.context, version, offered.terms) for _ in range(count)]
        calls = [self.buyer.context.calls.buy(order) for order in orders]
        receipts = self.buyer.context.sender.send_many(calls)
        assert all(receipt.status for receipt in receipts)
        return [order.id(chain_id=self.rpc.chain_id, market=self.deployment.market) for order in orders]

    def state(self, purchase: PurchaseId) -> State:
        """Return where a purchase stands."""
        return self.seller.context.views.licence(purchase).state

    def mine(self, count: int = 1) -> None:
        """Make empty blocks."""
        self.rpc.call("anvil_mine", (hex(count),))

    def from_seller(self) -> int:
        """Return how many transactions the seller has in blocks."""
        return self.rpc.get_nonce(self.seller_account.address, block="latest")

    def reopened(self, **settings: Any) -> Market:
        """Open the seller's market anew, as a process that is started again does."""
        return self.market(
            self.seller_account,
            home=self.folder / "home",
            settings=Settings(poll=0.02, **{"margin": 0, **settings}),
        )

    def travel(self, seconds: int) -> None:
        """Move the chain's clock on."""
        self.rpc.call("evm_increaseTime", (seconds,))
        self.rpc.call("evm_mine")

    def reorg(self, depth: int) -> None:
        """Replace the newest blocks by as many empty ones and one more."""
        self.rpc.call("anvil_reorg", (depth, []))
        self.rpc.call("evm_mine")
        for sender in (self.buyer.context.sender, self.faucet):
            sender.forget_nonce()  # their transactions are gone, and nobody sends them again

    def deliveries(self) -> Counter[bytes]:
        """Return how often each purchase and request was delivered, by the log."""
        found: Counter[bytes] = Counter()
        topics = [[TOPICS["Delivered"], TOPICS["KeyDelivered"]]]
        for log in self.rpc.get_logs([self.deployment.market], topics, first=0, last=self.rpc.block_number()):
            found[log.topics[2]] += 1
        return found

    def sent(self) -> list[dict[str, Any]]:
        """Return the seller's transactions that deliver or settle, as they stand in blocks."""
        own, kinds = "0x" + self.seller_account.address.hex(), selectors()
        found = []
        for number in range(self.deployment.start_block, self.rpc.block_number() + 1):
            block = self.rpc.call("eth_getBlockByNumber", (hex(number), True))
            found += [tx for tx in block["transactions"] if tx["from"] == own and tx["input"][2:10] in kinds]
        return found

    def reverted(self) -> int:
        """Return how many of the seller's transactions failed in their block."""
        receipts = [self.rpc.get_receipt(bytes.fromhex(tx["hash"][2:])) for tx in self.sent()]
        return sum(receipt is None or not receipt.status for receipt in receipts)

    def close(self) -> None:
        """Close what was opened."""
        for market in self._opened:
            market.close()
        self.rpc.close()


def selectors() -> set[str]:
    """Return the selectors of the calls that the service makes."""
    from steelyard.chain.artifacts import artifact

    wanted = {"deliver", "deliverKey", "settle"}
    functions = [item for item in artifact("Market").items if item.kind == "function" and item.name in wanted]
    return {selector(item.signature).hex() for item in functions}


@contextmanager
def opened(folder: Path, *options: str, block_time: float | None = None) -> Iterator[Shop]:
    """Start an anvil and open a shop on it."""
    with Node.start(anvil(), options=options, block_time=block_time) as node:
        shop = Shop(node, folder)
        try:
            yield shop
        finally:
            shop.close()


class Crash(BaseException):
    """Stands for the end of the process at a commit point: nothing of the package catches it."""


class Service:
    """The service in a thread, with what it told."""

    def __init__(self, market: Market | Context, **options: Any) -> None:
        self.events: list[Event] = []
        self.lines: list[str] = []
        self._told = threading.Condition()
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self.served: Served | None = None
        arguments = {"interval": 0.02, "on_event": self._take, "log": self.lines.append, **options}
        self._thread = threading.Thread(target=self._run, args=(market, arguments))

    @staticmethod
    def crash(market: Market, point: str, **options: Any) -> None:
        """Run the service until a commit point, and end it there."""

        def reached(name: str) -> None:
            if name == point:
                raise Crash(name)

        service = Service(market, on_commit_point=reached, **options)
        service._thread.start()
        service._thread.join(30)
        assert isinstance(service._error, Crash), f"{point} was not reached; it told {service.lines}"

    def _run(self, market: Market | Context, arguments: dict[str, Any]) -> None:
        try:
            self.served = run(market, stop=self._stop, **arguments)
        except BaseException as exc:  # noqa: BLE001  # handed to the test
            self._error = exc
        with self._told:
            self._told.notify_all()

    def _take(self, event: Event) -> None:
        with self._told:
            self.events.append(event)
            self._told.notify_all()

    def told(self, kind: str, id_: bytes = b"") -> list[Event]:
        """Return the events of a kind, about an id."""
        return [event for event in self.events if event.kind == kind and event.id[: len(id_)] == id_]

    def wait(self, kind: str, id_: bytes = b"", *, count: int = 1, seconds: float = 60.0) -> Event:
        """Wait until an event came so many times."""
        with self._told:
            found = self._told.wait_for(lambda: len(self.told(kind, id_)) >= count or self._error, seconds)
        if self._error is not None:
            raise self._error
        assert found, f"no {kind}; it told {self.lines}"
        return self.told(kind, id_)[-1]

    def stopped_for(self, seconds: float) -> None:
        """Wait a little, unless the service failed."""
        with self._told:
            self._told.wait(seconds)
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive()
        if self._error is not None and exc[0] is None:
            raise self._error
