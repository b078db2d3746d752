"""A market on a chain in memory: random histories that the contracts could have made, and an endpoint that serves them.

Blocks have true header hashes and blooms, heads are folded by the rule of docs/trail.md. It can re-organise, and it can lie.
"""

from __future__ import annotations

import copy
import json
import random
from dataclasses import dataclass, field
from typing import Any

from steelyard.chain.calls import call_data
from steelyard.chain.deployment import Deployed, Deployment
from steelyard.chain.rpc import Rpc
from steelyard.chain.transport import Answer
from steelyard.domain.abi import encode
from steelyard.domain.events import TOPICS, TYPES
from steelyard.domain.hash import keccak256
from steelyard.domain.header import encode_fields
from steelyard.domain.types import Address, Stage, account_word, name_word
from tests.support.metered import CHANNELS, Metered

CHAIN_ID = 31337
START = 1
CONTRACTS = {
    "Treasury": Address(b"\x01" * 20),
    "FraudChecker": Address(b"\x02" * 20),
    "Assets": Address(b"\x03" * 20),
    "Market": Address(b"\x04" * 20),
    "Directory": Address(b"\x05" * 20),
    "Channels": Address(CHANNELS),
}
DEPLOYMENT = Deployment(
    chain_id=CHAIN_ID,
    start_block=START,
    min_bond=0,
    contracts={
        name: Deployed(address=address, tx_hash=bytes(32), arguments=b"")
        for name, address in CONTRACTS.items()
    },
)
EMPTY_DATA = "0x"
MAX = (1 << 128) - 1


def account(number: int) -> Address:
    """Return one of many accounts."""
    return Address(keccak256(b"account %d" % number)[:20])


@dataclass(frozen=True)
class Made:
    """A log before it has a place."""

    contract: str
    topics: tuple[bytes, ...]
    data: bytes


@dataclass
class Sale:
    """What the generator knows of a purchase."""

    id: bytes
    asset: bytes
    version: bytes
    offer: int
    buyer: Address
    holder: Address
    price: int
    state: str = "paid"
    until: int = 0


@dataclass
class World:
    """What exists: enough to make events that the contracts could have made."""

    assets: dict[bytes, dict[str, Any]] = field(default_factory=dict)
    versions: list[tuple[bytes, bytes, bytes]] = field(default_factory=list)
    stages: dict[bytes, Stage] = field(default_factory=dict)
    offers: list[dict[str, Any]] = field(default_factory=list)
    sales: dict[bytes, Sale] = field(default_factory=dict)
    requests: dict[bytes, tuple[Sale, Address, bytes, int]] = field(default_factory=dict)
    metered: list[dict[str, Any]] = field(default_factory=list)
    channels: list[dict[str, Any]] = field(default_factory=list)
    serial: int = 0


class Market(Metered):
    """Makes random events; ``amounts`` are those that prices, fees and bonds are drawn from."""

    def __init__(
        self, seed: int = 0, *, accounts: int = 12, amounts: tuple[int, ...] = (0, 1, 10**18, 1 << 63, MAX)
    ) -> None:
        """Start with nothing."""
        self.random = random.Random(seed)
        self.world = World()
        self.amounts = amounts
        self.accounts = [account(number) for number in range(accounts)]

    def fresh(self) -> bytes:
        """Return 32 bytes that nobody had."""
        self.world.serial += 1
        return keccak256(b"fresh %d %d" % (self.world.serial, self.random.getrandbits(64)))

    def _log(self, name: str, subject: bytes, id_: bytes, actor: bytes, *values: Any) -> Made:
        kind = TYPES[TOPICS[name]]
        data = encode(kind.types, values)
        return Made(kind.contract, (kind.topic, subject, id_, account_word(Address(actor))), data)

    def some(self, time: int, count: int) -> list[Made]:
        """Return the logs of some transactions, at least ``count`` logs."""
        logs: list[Made] = []
        while len(logs) < count:
            logs += self.one(time)
        return logs

    def one(self, time: int) -> list[Made]:
        """Return the logs of one transaction."""
        world, rnd = self.world, self.random
        choices: list[tuple[int, Any]] = [(1, self.register)]
        if world.assets:
            choices += [(2, self.publish), (1, self.transfer), (2, self.role), (3, self.offer)]
            choices += [(1, self.stage)]
            choices += [(1, self.direct), (1, self.move)]
        if any(not offer["closed"] for offer in world.offers):
            choices += [(12, self.buy), (1, self.close)]
        if world.sales:
            choices += [(24, self.progress), (2, self.claim), (4, self.request)]
        if world.requests:
            choices += [(3, self.answer)]
        choices += self.metered_choices()
        (made,) = rnd.choices([choice for _, choice in choices], weights=[weight for weight, _ in choices])
        found: list[Made] = made(time)
        return found

    # -- assets ------------------------------------------------------------------------------------------------

    def register(self, time: int) -> list[Made]:
        who = self.random.choice(self.accounts)
        asset = bytes([self.fresh()[0] & 0x7F]) + self.fresh()[1:]
        word = name_word(f"model-{self.world.serial}") if self.random.random() < 0.9 else self.fresh()
        self.world.assets[asset] = {"owner": who, "epoch": 0, "versions": 0, "nodes": [self._node()]}
        kind = self.random.randrange(2)
        return [self._log("AssetRegistered", asset, word, who, kind, 250), *self._version(asset)]

    def _node(self) -> bytes:
        return bytes([self.fresh()[0] | 0x80]) + self.fresh()[1:]

    def _version(self, asset: bytes) -> list[Made]:
        record = self.world.assets[asset]
        if self.random.random() < 0.2:
            record["nodes"].append(self._node())
        # Sometimes a node of another asset: then a claim of it belongs to none.
        pool = record["nodes"] if self.random.random() < 0.9 else [self._any_node()]
        node = self.random.choice(pool)
        record["versions"] += 1
        value = (asset, self.fresh(), self.fresh(), self.random.randrange(1 << 36), 1, (5, 7), node)
        kind = TYPES[TOPICS["VersionPublished"]]
        version = keccak256(encode((kind.types[1],), (value,)))
        self.world.versions.append((version, asset, node))
        return [self._log("VersionPublished", asset, version, record["owner"], record["versions"], value)]

    def _any_node(self) -> bytes:
        asset = self.random.choice(list(self.world.assets.values()))
        node: bytes = self.random.choice(asset["nodes"])
        return node

    def _asset(self) -> tuple[bytes, dict[str, Any]]:
        asset = self.random.choice(list(self.world.assets))
        return asset, self.world.assets[asset]

    def publish(self, time: int) -> list[Made]:
        return self._version(self._asset()[0])

    def transfer(self, time: int) -> list[Made]:
        asset, record = self._asset()
        to = self.random.choice(self.accounts)
        before, record["owner"] = record["owner"], to
        record["epoch"] += 1
        for offer in self.world.offers:
            if offer["asset"] == asset:
                offer["closed"] = True
        return [self._log("AssetTransferred", asset, account_word(to), before, before, record["epoch"])]

    def role(self, time: int) -> list[Made]:
        asset, record = self._asset()
        to = account_word(self.random.choice(self.accounts))
        granted = self.random.random() < 0.6
        return [self._log("RoleSet", asset, to, record["owner"], self.random.randrange(2), granted)]

    def stage(self, time: int) -> list[Made]:
        version, asset, _ = self.random.choice(self.world.versions)
        start = self.world.stages.get(version, Stage.RELEASED)
        if start is Stage.RETIRED:
            return []
        to = self.random.choice([stage for stage in Stage if stage not in (Stage.NONE, start)])
        self.world.stages[version] = to
        owner = self.world.assets[asset]["owner"]
        return [self._log("StageMoved", asset, version, owner, int(start), int(to), f"to {to}, größer")]

    # -- offers and purchases ----------------------------------------------------------------------------------

    def offer(self, time: int) -> list[Made]:
        asset, record = self._asset()
        rnd = self.random
        rental = rnd.random() < 0.4
        currency = rnd.choice([bytes(20), b"\xcc" * 20])
        price, bond = rnd.choice(self.amounts), rnd.choice(self.amounts)
        one = rnd.choice([bytes(32), *(version for version, of, _ in self.world.versions if of == asset)][:3])
        window = rnd.choice([0, 600])
        terms = (
            *(record["owner"], currency, price, bond, int(rental), rnd.randrange(3), True, True),
            *(3600 if rental else 0, time + 10**6 if rental else 0, 0, 3600, window),
            *(bytes(32), self.fresh(), rnd.getrandbits(64), one),
        )
        kind = TYPES[TOPICS["Offered"]]
        offer = keccak256(asset + encode(kind.types, (terms,)))
        self.world.offers.append(
            {
                "id": offer,
                "asset": asset,
                "price": price,
                "bond": bond,
                "currency": currency,
                "window": window,
                "rental": rental,
                "seller": record["owner"],
                "closed": False,
            }
        )
        return [self._log("Offered", asset, offer, record["owner"], terms)]

    def close(self, time: int) -> list[Made]:
        offer = self.random.choice([offer for offer in self.world.offers if not offer["closed"]])
        offer["closed"] = True
        return [self._log("OfferClosed", offer["asset"], offer["id"], offer["seller"])]

    def buy(self, time: int) -> list[Made]:
        place = self.random.choice([i for i, offer in enumerate(self.world.offers) if not offer["closed"]])
        offer = self.world.offers[place]
        releases = [version for version, of, _ in self.world.versions if of == offer["asset"]]
        who, id_ = self.random.choice(self.accounts), self.fresh()
        sale = Sale(id_, offer["asset"], self.random.choice(releases), place, who, who, offer["price"])
        self.world.sales[id_] = sale
        values = (sale.version, offer["id"], self.fresh(), (9, 11), sale.price, time + 3600)
        return [self._log("Purchased", sale.asset, id_, who, *values)]

    def progress(self, time: int) -> list[Made]:
        sale = self.random.choice(list(self.world.sales.values()))
        offer = self.world.offers[sale.offer]
        rnd = self.random
        if sale.state == "paid":
            if rnd.random() < 0.15:
                return self._refund(sale, offer)
            sale.until = time + 3600 if offer["rental"] else 0
            settled = offer["window"] == 0
            sale.state = "settled" if settled else "delivered"
            values = ((3, 4), sale.until, time + offer["window"])
            made = [self._log("Delivered", sale.asset, sale.id, offer["seller"], *values)]
            return made + (self._income(sale, offer) if settled else [])
        if sale.state == "delivered":
            if rnd.random() < 0.1:
                flag = self._log("VersionFlagged", sale.asset, sale.version, sale.buyer, sale.id, 3)
                return [flag, *self._refund(sale, offer)]
            sale.state = "settled"
            return [self._log("Settled", sale.asset, sale.id, sale.buyer), *self._income(sale, offer)]
        if sale.state == "settled":
            if offer["rental"] and rnd.random() < 0.3:
                sale.until += 3600
                made = [self._log("Renewed", sale.asset, sale.id, sale.holder, sale.price, sale.until)]
                return made + self._income(sale, offer)
            if rnd.random() < 0.2:
                sale.state = "revoked"
                return [self._log("LicenceRevoked", sale.asset, sale.id, offer["seller"], sale.holder)]
            before, sale.holder = sale.holder, rnd.choice(self.accounts)
            return [self._log("LicenceTransferred", sale.asset, sale.id, before, before, sale.holder)]
        return []

    def _refund(self, sale: Sale, offer: dict[str, Any]) -> list[Made]:
        sale.state = "refunded"
        return [self._log("Refunded", sale.asset, sale.id, sale.buyer, sale.buyer, sale.price, offer["bond"])]

    def _income(self, sale: Sale, offer: dict[str, Any]) -> list[Made]:
        if not sale.price:
            return []
        (node,) = {node for version, _, node in self.world.versions if version == sale.version}
        values = (offer["currency"], sale.price)
        return [self._log("Received", node, bytes(32), CONTRACTS["Market"], *values)]

    # -- keys and nodes ----------------------------------------------------------------------------------------

    def request(self, time: int) -> list[Made]:
        sale = self.random.choice(list(self.world.sales.values()))
        if sale.state != "settled":
            return []
        id_, fee = self.fresh(), self.random.choice(self.amounts)
        self.world.requests[id_] = (sale, sale.holder, sale.version, fee)
        values = (int.from_bytes(sale.id, "big"), sale.version, (1, 2), fee, time + 3600)
        return [self._log("KeyRequested", sale.asset, id_, sale.holder, *values)]

    def answer(self, time: int) -> list[Made]:
        id_ = self.random.choice(list(self.world.requests))
        sale, _, _, _ = self.world.requests.pop(id_)
        who = self.random.choice(self.accounts)
        if self.random.random() < 0.7:
            return [self._log("KeyDelivered", sale.asset, id_, who, (6, 8))]
        return [self._log("KeyReturned", sale.asset, id_, who)]

    def direct(self, time: int) -> list[Made]:
        source = self.random.choice([bytes(32), account_word(self.random.choice(self.accounts))])
        who = source[12:] if any(source) else self.random.choice(self.accounts)
        amount = self.random.choice(self.amounts)
        return [self._log("Received", self._any_node(), source, who, bytes(20), amount)]

    def move(self, time: int) -> list[Made]:
        to = account_word(self.random.choice(self.accounts))
        return [self._log("PositionMoved", self._any_node(), to, self.random.choice(self.accounts), 1)]

    def claim(self, time: int) -> list[Made]:
        node, who = self._any_node(), self.random.choice(self.accounts)
        amount = self.random.choice([1, 77, MAX, 1 << 130])
        if self.random.random() < 0.2:
            other = self._any_node()
            made = self._log("Claimed", node, other, who, 0, bytes(20), amount)
            return [made, self._log("Received", other, node, who, bytes(20), amount)]
        payee = account_word(self.random.choice(self.accounts))
        return [self._log("Claimed", node, payee, who, 1, bytes(20), amount)]


@dataclass(frozen=True)
class Mined:
    """A block: header as JSON, its logs as JSON, the heads after it, and the market's state after it."""

    header: dict[str, str]
    logs: tuple[dict[str, Any], ...]
    heads: dict[tuple[bytes, bytes], bytes]
    world: World

    @property
    def hash(self) -> bytes:
        return bytes.fromhex(self.header["hash"][2:])


class Chain:
    """The chain, and the transport of an endpoint of it."""

    def __init__(self, market: Market | None = None, *, times: bool = True, name: str = "memory") -> None:
        """Mine the first block, empty.

        Args:
            market: makes the events.
            times: logs carry ``blockTimestamp``.
            name: of the endpoint.
        """
        self.market = market or Market()
        self.times = times
        self.name = name
        self.blocks: list[Mined] = []
        self.branch = 0
        self.asked: list[tuple[int, int]] = []
        self.calls: list[str] = []
        self.most: int | None = None
        """Most blocks of a range that it answers."""
        self.shown: int | None = None
        """Newest block that it admits to have."""
        self.mine([])

    def mine(self, logs: list[Made] | None = None, *, count: int = 0, time: int | None = None) -> None:
        """Append a block with these logs, or with at least ``count`` random ones."""
        number = len(self.blocks)
        time = 1_000_000 + 10 * number if time is None else time
        made = self.market.some(time, count) if logs is None else logs
        parent = self.blocks[-1].hash if self.blocks else bytes(32)
        header = self._header(number, time, parent, made)
        heads = dict(self.blocks[-1].heads) if self.blocks else {}
        texts = []
        for index, log in enumerate(made):
            place = number.to_bytes(32, "big") + time.to_bytes(32, "big")
            entry = keccak256(place + b"".join(log.topics) + log.data)
            key = (bytes(CONTRACTS[log.contract]), log.topics[1])
            heads[key] = keccak256(heads.get(key, bytes(32)) + entry)
            texts.append(self._text(log, header, index))
        self.blocks.append(Mined(header, tuple(texts), heads, copy.deepcopy(self.market.world)))

    def rewind(self, number: int) -> None:
        """Give up all blocks above a number; what is mined next is another branch."""
        del self.blocks[number + 1 :]
        self.market.world = copy.deepcopy(self.blocks[-1].world)
        self.branch += 1

    @property
    def newest(self) -> int:
        return len(self.blocks) - 1 if self.shown is None else self.shown

    def rpc(self, **options: Any) -> Rpc:
        """Return a reader of this chain."""
        return Rpc(self, chain_id=CHAIN_ID, attempts=1, **options)

    def _header(self, number: int, time: int, parent: bytes, logs: list[Made]) -> dict[str, str]:
        bloom = 0
        for log in logs:
            for value in (CONTRACTS[log.contract], *log.topics):
                digest = keccak256(value)
                for place in (0, 2, 4):
                    bloom |= 1 << (int.from_bytes(digest[place : place + 2], "big") & 2047)
        word = "0x" + "00" * 32
        fields = {
            "parentHash": "0x" + parent.hex(),
            "sha3Uncles": word,
            "miner": "0x" + "00" * 20,
            "stateRoot": word,
            "transactionsRoot": word,
            "receiptsRoot": word,
            "logsBloom": "0x" + bloom.to_bytes(256, "big").hex(),
            "difficulty": "0x0",
            "number": hex(number),
            "gasLimit": hex(30_000_000),
            "gasUsed": "0x0",
            "timestamp": hex(time),
            # Two branches have two hashes even where their blocks are alike.
            "extraData": "0x" + self.branch.to_bytes(8, "big").hex(),
            "mixHash": word,
            "nonce": "0x" + "00" * 8,
            "baseFeePerGas": hex(7),
        }
        return {**fields, "hash": "0x" + keccak256(encode_fields(fields)).hex()}

    def _text(self, log: Made, header: dict[str, str], index: int) -> dict[str, Any]:
        tx = keccak256(bytes.fromhex(header["hash"][2:]) + bytes([index // 2]))
        text = {
            "address": "0x" + CONTRACTS[log.contract].hex(),
            "topics": ["0x" + topic.hex() for topic in log.topics],
            "data": "0x" + log.data.hex(),
            "blockNumber": header["number"],
            "blockHash": header["hash"],
            "transactionHash": "0x" + tx.hex(),
            "transactionIndex": hex(index // 2),
            "logIndex": hex(index),
            "removed": False,
        }
        return {**text, "blockTimestamp": header["timestamp"]} if self.times else text

    # -- transport ---------------------------------------------------------------------------------------------

    def exchange(self, body: bytes) -> Answer:
        asked = json.loads(body)
        batch = asked if isinstance(asked, list) else [asked]
        answers = [self._one(one) for one in batch]
        return Answer(200, json.dumps(answers if isinstance(asked, list) else answers[0]).encode())

    def close(self) -> None:
        """Nothing is open."""

    def _one(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.calls.append(asked["method"])
        found = self.answer(asked["method"], asked["params"])
        outcome = {"error": found} if isinstance(found, dict) and "code" in found else {"result": found}
        return {"jsonrpc": "2.0", "id": asked["id"], **outcome}

    def answer(self, method: str, params: list[Any]) -> Any:
        """Return the result of a call, or an error as a mapping with ``code``."""
        if method == "eth_chainId":
            return hex(CHAIN_ID)
        if method == "eth_getBlockByNumber":
            number = self.newest if params[0] == "latest" else int(params[0], 16)
            return self.blocks[number].header if number <= self.newest else None
        if method == "eth_getLogs":
            return self.logs(params[0])
        if method == "eth_call":
            return self.head(params[0], params[1])
        return {"code": -32601, "message": f"no method {method}"}

    def logs(self, query: dict[str, Any]) -> Any:
        """Answer ``eth_getLogs``."""
        if "blockHash" in query:
            return [
                log
                for block in self.blocks
                if block.header["hash"] == query["blockHash"]
                for log in block.logs
            ]
        first, last = int(query["fromBlock"], 16), int(query["toBlock"], 16)
        self.asked.append((first, last))
        if self.most is not None and last - first >= self.most:
            return {"code": -32005, "message": "range too large"}
        return [log for block in self.blocks[first : min(last, self.newest) + 1] for log in block.logs]

    def head(self, call: dict[str, str], at: dict[str, str]) -> Any:
        """Answer ``eth_call`` of ``head(bytes32)``."""
        subject = bytes.fromhex(call["data"][10:])
        assert call["data"] == "0x" + call_data("head(bytes32)", subject).hex()
        for block in self.blocks:
            if block.header["hash"] == at["blockHash"]:
                head = block.heads.get((bytes.fromhex(call["to"][2:]), subject), bytes(32))
                return "0x" + head.hex()
        return {"code": -32000, "message": "unknown block"}
