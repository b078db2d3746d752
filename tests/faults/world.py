"""A market with two proxies in front of its chain and its store, put back to the same state before every cell of the matrix."""

from __future__ import annotations

import itertools
import secrets
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steelyard.chain.node import Node
from steelyard.chain.rpc import Rpc
from steelyard.chain.views import Views
from steelyard.chain.wire import read_receipt
from steelyard.domain.records import Ledger
from steelyard.domain.state import fold
from steelyard.domain.types import NATIVE, NodeId, PurchaseId, RequestState, State, account_word
from steelyard.market import Market
from steelyard.service.account import Account
from steelyard.service.context import Settings
from steelyard.service.ledger import LedgerReader
from steelyard.service.results import Offered
from steelyard.storage.base import Store
from steelyard.storage.kubo import KuboStore
from steelyard.storage.server import StoreServer
from tests.e2e.kill.campaign import secrets_of, spellings
from tests.e2e.kill.shop import ETHER, Service, Shop, anvil
from tests.faults.proxy import Proxy

IMPATIENT = Settings(poll=0.02, margin=0, timeout=0.4, pause=0.01, mined_within=1.0)
"""For whoever speaks through a proxy: what takes minutes outside takes a second here; nothing else is changed."""
STORE_SECONDS = 0.4


class World:
    """The market as every cell finds it.

    One asset with two versions, and one offer of all versions; one licence that was bought and delivered; bond; income that
    was not claimed.
    """

    def __init__(self, node: Node, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.shop = Shop(node, folder)
        stack.callback(self.shop.close)
        self.rpc = self.shop.rpc
        self.count = itertools.count()
        self.offered: Offered = self.shop.publish(scope="all")
        self.shop.seller.fund_bond(ETHER)
        (self.licence,) = self.shop.buy(self.offered)
        with Service(self.shop.seller) as service:
            service.wait("delivered", self.licence)
        self.second = self.shop.new_version(self.offered.ref)
        self.seller: Account = self.shop.seller_account
        self.buyer: Account = self.shop.buyer.context.account
        self.secrets = self._secrets()
        store = stack.enter_context(StoreServer(self.shop.store))
        self.rpc_proxy = stack.enter_context(Proxy(node.url))
        self.store_proxy = stack.enter_context(Proxy(store.url))
        self.shop.mine(3)
        self.base = self.rpc.block_number()
        self._snapshot = self.rpc.call("evm_snapshot")

    def _secrets(self) -> list[bytes]:
        found = secrets_of(self.shop)
        found += [self.buyer.key.reveal(), self.buyer.seed.reveal()]
        return [spelling for secret in found for spelling in spellings(secret)]

    @contextmanager
    def cell(self) -> Iterator[Cell]:
        """Put the chain back, and open everything anew."""
        self.rpc_proxy.lift()
        self.store_proxy.lift()
        self.rpc.call("evm_revert", (self._snapshot,))
        self.rpc.call("anvil_dropAllTransactions")
        self._snapshot = self.rpc.call("evm_snapshot")
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            shutil.copytree(self.folder / "home", Path(name) / "seller")
            made = Cell(world=self, folder=Path(name))
            try:
                yield made
            finally:
                self.rpc_proxy.lift()
                self.store_proxy.lift()
                made.close()

    def market(
        self, account: Account | None, home: Path, *, honest: bool, settings: Settings = IMPATIENT
    ) -> Market:
        """Open the market, directly or through the proxies."""
        store: Store = (
            self.shop.store
            if honest
            else KuboStore(self.store_proxy.url, timeout=STORE_SECONDS, pin_timeout=1)
        )
        return Market(
            self.shop.node.url if honest else self.rpc_proxy.url,
            deployment=self.shop.deployment,
            store=store,
            account=account,
            home=home,
            settings=settings,
        )


@dataclass
class Cell:
    """One try of one operation: its people, and what may be remembered between its steps."""

    world: World
    folder: Path
    facts: dict[str, Any] = field(default_factory=dict)
    stack: ExitStack = field(default_factory=ExitStack)
    _opened: list[Market] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.number = next(self.world.count)
        self.seller = self._open(self.world.seller, "seller", honest=False)
        self.buyer = self._open(self.world.buyer, "buyer", honest=False)

    def _open(self, account: Account, name: str, *, honest: bool) -> Market:
        made = self.world.market(account, self.folder / name, honest=honest)
        self._opened.append(made)
        return made

    def honest_buyer(self) -> Market:
        """Open the buyer's market without proxies, to prepare something."""
        return self._open(self.world.buyer, "prepared", honest=True)

    def model(self) -> Path:
        """Return a fresh small model."""
        place = self.folder / f"model-{secrets.token_hex(4)}"
        place.mkdir()
        (place / "weights.bin").write_bytes(secrets.token_bytes(3000))
        return place

    def ledger(self) -> Ledger:
        """Return the state of the chain, read without the proxies."""
        with Rpc(self.world.shop.node.url, chain_id=self.world.rpc.chain_id) as rpc:
            return LedgerReader(rpc, self.world.shop.deployment).everything().refresh()

    def bought(self) -> list[PurchaseId]:
        """Return the purchases that were made in this cell."""
        purchases = self.ledger().assets[self.world.offered.asset].purchases
        return [item for item in purchases if item != self.world.licence]

    def close(self) -> None:
        """Close what was opened."""
        self.stack.close()
        for market in self._opened:
            market.close()
            if isinstance(market.context.store, KuboStore):
                market.context.store.close()

    # -- what must hold whatever happened ----------------------------------------------------------------------

    def broken(self) -> list[str]:
        """Return which invariants do not hold."""
        ledger = self.ledger()
        found = [*self._money(ledger), *self._doubled(), *self._leaks()]
        if ledger != self._folded(ledger.block):
            found.append("the fold of the log is another one when it is read at once")
        return found

    def _folded(self, last: int) -> Ledger:
        reader = LedgerReader(self.world.rpc, self.world.shop.deployment)
        logs = reader.logs(None, reader.start, last)
        return fold(reader.events(logs, self.world.rpc.get_block(last)), block=last)

    def _money(self, ledger: Ledger) -> Iterator[str]:
        world, deployment = self.world, self.world.shop.deployment
        views = Views(world.rpc, deployment)
        people = [world.seller.address, world.buyer.address, deployment.market]
        owed = sum(views.balance(account_word(who), NATIVE) for who in people)
        for node in {v.commitments.node for a in ledger.assets.values() for v in a.versions.values()}:
            owed += views.balance(node, NATIVE) - views.paid(NodeId(node), 0, NATIVE)
        if (held := world.rpc.get_balance(deployment.treasury)) != owed:
            yield f"M1: the treasury holds {held} and owes {owed}"
        waiting = sum(views.free_bond(who) for who in people[:2])
        for asset in ledger.assets.values():
            for purchase in asset.purchases.values():
                if views.licence(purchase.id).state in (State.PAID, State.DELIVERED):
                    waiting += purchase.price + asset.offers[purchase.offer].terms.bond
            waiting += sum(item.fee for item in asset.requests.values() if item.state is RequestState.OPEN)
        if (held := world.rpc.get_balance(deployment.market)) != waiting:
            yield f"M2: the market holds {held}, and {waiting} is undecided"

    def _doubled(self) -> Iterator[str]:
        rpc = self.world.rpc
        calls: Counter[tuple[str, str]] = Counter()
        for number in range(self.world.base + 1, rpc.block_number() + 1):
            for tx in rpc.call("eth_getBlockByNumber", (hex(number), True))["transactions"]:
                receipt = read_receipt(rpc.call("eth_getTransactionReceipt", (tx["hash"],)))
                if receipt.status and tx["input"] != "0x":
                    calls[tx["from"], tx["input"]] += 1
        for (sender, data), count in calls.items():
            if count > 1:
                yield f"{sender} made the call {data[:10]} {count} times"

    def _leaks(self) -> Iterator[str]:
        world = self.world
        sent = b"\n".join([*world.rpc_proxy.sent, *world.store_proxy.sent])
        files = [path for path in self.folder.rglob("*") if path.is_file() and "model" not in path.parts[-2]]
        for name, data in [("a request", sent), *((str(path), path.read_bytes()) for path in files)]:
            if any(secret in data for secret in world.secrets):
                yield f"a secret is in {name}"


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Start an anvil and open the world on it."""
    with ExitStack() as stack:
        node = stack.enter_context(Node.start(anvil()))
        yield World(node, folder, stack)
