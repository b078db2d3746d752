"""What is tried under every fault: how it is prepared without faults, done through the proxies, and looked at afterwards."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod

from steelyard.chain.hexdata import checksum_address
from steelyard.chain.sender import Sender
from steelyard.domain.types import NATIVE, RequestState, State, account_word
from steelyard.errors import ChainError, UnavailableError
from tests.e2e.kill.shop import PRICE, Service
from tests.faults.index import Follower, differences, folded, rows_of_index, rows_of_ledger
from tests.faults.served import served
from tests.faults.world import Cell


class Operation(ABC):
    """One column of the matrix."""

    name: str
    by_buyer = False

    def prepare(self, cell: Cell) -> None:
        """Bring about what it needs; nothing misbehaves yet. Most need nothing."""
        del cell

    @abstractmethod
    def act(self, cell: Cell) -> None:
        """Do it, through the proxies. Called again after an error."""

    def sender(self, cell: Cell) -> Sender:
        """Whose transactions it sends."""
        return (cell.buyer if self.by_buyer else cell.seller).context.sender

    @abstractmethod
    def done(self, cell: Cell) -> bool:
        """Whether it is done, once: asked of the chain and the disk, not of the proxies."""


class Publish(Operation):
    name = "publish"

    def prepare(self, cell: Cell) -> None:
        cell.facts["model"] = cell.model()

    def act(self, cell: Cell) -> None:
        cell.seller.publish(cell.facts["model"], name=f"asset-{cell.number}")

    def done(self, cell: Cell) -> bool:
        return [asset.label for asset in cell.ledger().assets.values()].count(f"asset-{cell.number}") == 1


class NewVersion(Operation):
    name = "new version"

    def prepare(self, cell: Cell) -> None:
        cell.facts["model"] = cell.model()

    def act(self, cell: Cell) -> None:
        cell.seller.new_version(cell.world.offered.ref, cell.facts["model"])

    def done(self, cell: Cell) -> bool:
        return len(cell.ledger().assets[cell.world.offered.asset].versions) == 3


class Offer(Operation):
    name = "offer"

    def act(self, cell: Cell) -> None:
        cell.seller.offer(cell.world.offered.ref, price=PRICE * 2)

    def done(self, cell: Cell) -> bool:
        return len(cell.ledger().assets[cell.world.offered.asset].offers) == 2


class Buy(Operation):
    name = "buy"
    by_buyer = True

    def act(self, cell: Cell) -> None:
        cell.buyer.buy(cell.world.offered.ref, wait=False)

    def done(self, cell: Cell) -> bool:
        return len(cell.bought()) == 1


class Deliver(Operation):
    """The service runs all the time: it has to get over the fault by itself."""

    name = "deliver"
    lasts = 1.2

    def prepare(self, cell: Cell) -> None:
        cell.facts["bought"] = cell.honest_buyer().buy(cell.world.offered.ref, wait=False).id

    def act(self, cell: Cell) -> None:
        try:
            with Service(cell.seller, interval=0.02, retry_after=0.1) as service:
                end = time.monotonic() + self.lasts
                while time.monotonic() < end and not service.told("delivered", cell.facts["bought"]):
                    service.stopped_for(0.02)
                cell.world.rpc_proxy.lift()
                cell.world.store_proxy.lift()
                service.wait("delivered", cell.facts["bought"], seconds=15)
        finally:
            cell.facts["told"] = service.lines

    def done(self, cell: Cell) -> bool:
        shop = cell.world.shop
        return (
            shop.state(cell.facts["bought"]) is State.SETTLED and shop.deliveries()[cell.facts["bought"]] == 1
        )


class AskKey(Operation):
    name = "key request"
    by_buyer = True

    def act(self, cell: Cell) -> None:
        cell.buyer.request_key(cell.world.licence)

    def done(self, cell: Cell) -> bool:
        requests = cell.ledger().assets[cell.world.offered.asset].requests.values()
        return [item.state for item in requests] == [RequestState.OPEN]


class Pull(Operation):
    name = "pull"
    by_buyer = True

    def act(self, cell: Cell) -> None:
        cell.buyer.pull(cell.world.licence, cell.folder / "pulled")

    def done(self, cell: Cell) -> bool:
        pulled, model = (
            cell.folder / "pulled" / "weights.bin",
            cell.world.folder / "model-digits" / "weights.bin",
        )
        return pulled.exists() and pulled.read_bytes() == model.read_bytes()


class Refund(Operation):
    name = "refund"
    by_buyer = True

    def prepare(self, cell: Cell) -> None:
        bought = cell.honest_buyer().buy(cell.world.offered.ref, wait=False)
        cell.facts["bought"] = bought.id
        cell.world.shop.travel(cell.world.offered.terms.deliver_within + 1)

    def act(self, cell: Cell) -> None:
        cell.buyer.refund(cell.facts["bought"])

    def done(self, cell: Cell) -> bool:
        return cell.world.shop.state(cell.facts["bought"]) is State.REFUNDED


class Withdraw(Operation):
    """Claims what the node owes, then takes it out: two transactions."""

    name = "withdraw"

    def prepare(self, cell: Cell) -> None:
        cell.facts["before"] = cell.world.rpc.get_balance(cell.world.shop.deployment.treasury)
        assert cell.facts["before"] >= PRICE

    def act(self, cell: Cell) -> None:
        cell.seller.withdraw()

    def done(self, cell: Cell) -> bool:
        views = cell.world.shop.seller.context.views
        left = cell.world.rpc.get_balance(cell.world.shop.deployment.treasury)
        return left == cell.facts["before"] - PRICE and not views.balance(
            account_word(cell.world.seller.address), NATIVE
        )


class Bundle(Operation):
    name = "audit bundle"

    def act(self, cell: Cell) -> None:
        place = cell.folder / "trail.json"
        cell.buyer.export(cell.world.offered.ref, place)
        cell.buyer.verify_bundle(place)

    def done(self, cell: Cell) -> bool:
        place = cell.folder / "trail.json"
        if not place.exists():
            return False
        try:
            state = cell.honest_buyer().verify_bundle(place)
        except ChainError:
            return False
        return state == cell.ledger().assets[cell.world.offered.asset]


class IndexAll(Operation):
    """An index is built from the market's first block on."""

    name = "index catch-up"

    def prepare(self, cell: Cell) -> None:
        opened = Follower(
            cell.world.shop, cell.folder / "index.sqlite", urls=[cell.world.rpc_proxy.url], timeout=0.4
        )
        cell.stack.callback(opened.close)
        cell.facts["index"] = opened

    def act(self, cell: Cell) -> None:
        cell.facts["index"].indexer.catch_up()

    def done(self, cell: Cell) -> bool:
        """Whether it is, once the chain is seen as it is, what a fresh one is."""
        shop, follower = cell.world.shop, cell.facts["index"]
        follower.follow()
        fresh = Follower(shop, cell.folder / f"fresh-{time.monotonic_ns()}.sqlite")
        try:
            fresh.follow()
            same = bool(fresh.hash() == follower.hash())
        finally:
            fresh.close()
        return same and not differences(rows_of_index(follower.database), rows_of_ledger(folded(shop)))


class IndexStep(IndexAll):
    """An index that was complete goes on."""

    name = "index step"

    def prepare(self, cell: Cell) -> None:
        super().prepare(cell)
        cell.facts["index"].follow()
        buyer = cell.honest_buyer()
        for _ in range(2):
            buyer.buy(cell.world.offered.ref, wait=False)
        cell.world.shop.mine(2)


class ProblemError(UnavailableError):
    """The HTTP service said 408, 409, 502 or 503, as a problem."""


class HttpRead(Operation):
    """The HTTP service is asked for a file of the store, for a question of the index, and for a prepared transaction."""

    name = "http read"

    def prepare(self, cell: Cell) -> None:
        world = cell.world
        market = world.market(None, cell.folder / "public", honest=False)
        cell.stack.callback(market.close)
        home = cell.folder / "served"
        cell.facts["service"] = cell.stack.enter_context(served(world.shop, home=home, market=market))

    def act(self, cell: Cell) -> None:
        service = cell.facts["service"]
        versions = cell.ledger().assets[cell.world.offered.asset].versions
        files = f"/v1/versions/0x{next(iter(versions)).hex()}/files"
        account = checksum_address(cell.world.seller.address)
        asked = [
            ("GET", "/v1/events", None),
            ("GET", f"{files}/manifest.json", None),
            ("POST", "/v1/tx/fund-bond", {"from": account, "amount": "5"}),
        ]
        answers = [service.ask(method, path, body) for method, path, body in asked]
        for status, headers, body in answers:
            if status in (408, 409, 502, 503) and headers["content-type"] == "application/problem+json":
                raise ProblemError(body.decode())
            assert status == 200, body
        cell.facts["answers"] = [status for status, _, _ in answers]

    def done(self, cell: Cell) -> bool:
        return bool(cell.facts.get("answers") == [200, 200, 200])


OPERATIONS: tuple[type[Operation], ...] = (
    Publish,
    NewVersion,
    Offer,
    Buy,
    Deliver,
    AskKey,
    Pull,
    Refund,
    Withdraw,
    Bundle,
    IndexAll,
    IndexStep,
    HttpRead,
)
