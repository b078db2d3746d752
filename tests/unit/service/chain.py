"""A chain in memory that answers JSON-RPC as far as the feed asks: blocks with logs, and the heads that they fold to."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from steelyard.chain.calls import call_data
from steelyard.chain.deployment import Deployed, Deployment
from steelyard.chain.rpc import Rpc
from steelyard.chain.transport import Answer
from steelyard.domain.abi import encode
from steelyard.domain.events import TOPICS
from steelyard.domain.hash import keccak256
from steelyard.domain.types import Address, account_word
from steelyard.service.ledger import LedgerReader

CHAIN = 31337
NAMES = ("Treasury", "FraudChecker", "Assets", "Market", "Directory")
DEPLOYMENT = Deployment(
    chain_id=CHAIN,
    start_block=1,
    min_bond=0,
    contracts={
        name: Deployed(address=Address(bytes([index + 1]) * 20), tx_hash=bytes(32), arguments=b"")
        for index, name in enumerate(NAMES)
    },
)
OWNER = Address(b"\xaa" * 20)


@dataclass(frozen=True)
class Made:
    """A log as it was made: an asset that was registered."""

    asset: bytes
    owner: Address = OWNER

    @property
    def topics(self) -> tuple[bytes, ...]:
        return (TOPICS["AssetRegistered"], self.asset, b"digits".ljust(32, b"\0"), account_word(self.owner))

    @property
    def data(self) -> bytes:
        return encode(("uint8", "uint16"), (0, 0))


@dataclass
class Chain:
    """The chain; also the transport of its endpoint."""

    blocks: list[list[Made]] = field(default_factory=lambda: [[]])
    branch: list[int] = field(default_factory=lambda: [0])
    hidden: set[bytes] = field(default_factory=set)
    asked: list[tuple[int, int]] = field(default_factory=list)
    shown: int | None = None
    name: str = "memory"

    def mine(self, *logs: Made, branch: int = 0) -> None:
        """Append a block."""
        self.blocks.append(list(logs))
        self.branch.append(branch)

    def replace_last(self, count: int, *blocks: list[Made]) -> None:
        """Re-organise: give up the newest blocks, and append others."""
        del self.blocks[-count:], self.branch[-count:]
        for logs in blocks:
            self.mine(*logs, branch=1)

    def reader(self) -> LedgerReader:
        """Return a reader of this chain."""
        return LedgerReader(Rpc(self, chain_id=CHAIN, attempts=1), DEPLOYMENT)

    # -- transport ---------------------------------------------------------------------------------------------

    def exchange(self, body: bytes) -> Answer:
        asked = json.loads(body)
        batch = asked if isinstance(asked, list) else [asked]
        answers = [
            {"jsonrpc": "2.0", "id": one["id"], "result": self._answer(one["method"], one["params"])}
            for one in batch
        ]
        return Answer(200, json.dumps(answers if isinstance(asked, list) else answers[0]).encode())

    def close(self) -> None:
        """Nothing is open."""

    def _answer(self, method: str, params: list[Any]) -> Any:
        if method == "eth_chainId":
            return hex(CHAIN)
        if method == "eth_getBlockByNumber":
            number = self._newest if params[0] == "latest" else int(params[0], 16)
            return self._block(number) if number <= self._newest else None
        if method == "eth_getLogs":
            return self._logs(params[0])
        assert method == "eth_call"
        (number,) = (
            n for n in range(len(self.blocks)) if "0x" + self._hash(n).hex() == params[1]["blockHash"]
        )
        return (
            "0x"
            + self._call(
                bytes.fromhex(params[0]["to"][2:]), bytes.fromhex(params[0]["data"][2:]), number
            ).hex()
        )

    @property
    def _newest(self) -> int:
        return len(self.blocks) - 1 if self.shown is None else self.shown

    def _hash(self, number: int) -> bytes:
        what = repr(
            [(logs, branch) for logs, branch in zip(self.blocks, self.branch, strict=True)][: number + 1]
        )
        return keccak256(what.encode())

    def _block(self, number: int) -> dict[str, str]:
        parent = self._hash(number - 1) if number else bytes(32)
        return {
            "number": hex(number),
            "hash": "0x" + self._hash(number).hex(),
            "parentHash": "0x" + parent.hex(),
            "timestamp": hex(1000 + number),
            "gasLimit": hex(30_000_000),
            "baseFeePerGas": hex(1),
        }

    def _logs(self, query: dict[str, Any]) -> list[dict[str, object]]:
        first, last = int(query["fromBlock"], 16), int(query["toBlock"], 16)
        self.asked.append((first, last))
        found = []
        for number in range(first, last + 1):
            for index, log in enumerate(self.blocks[number]):
                if log.asset not in self.hidden:
                    found.append(
                        {
                            "address": "0x" + DEPLOYMENT.assets.hex(),
                            "topics": ["0x" + topic.hex() for topic in log.topics],
                            "data": "0x" + log.data.hex(),
                            "blockNumber": hex(number),
                            "blockHash": "0x" + self._hash(number).hex(),
                            "transactionHash": "0x" + "11" * 32,
                            "transactionIndex": "0x0",
                            "logIndex": hex(index),
                            "removed": False,
                        }
                    )
        return found

    def _call(self, to: Address | bytes, data: bytes, block: int) -> bytes:
        if data[:4] == call_data("balanceOf(address)", OWNER)[:4]:
            owned = sum(log.owner == data[16:36] for logs in self.blocks[: block + 1] for log in logs)
            return owned.to_bytes(32, "big")
        head = bytes(32)
        if to == DEPLOYMENT.assets:
            for number, logs in enumerate(self.blocks[: block + 1]):
                place = number.to_bytes(32, "big") + (1000 + number).to_bytes(32, "big")
                for log in logs:
                    if log.asset == data[4:]:
                        head = keccak256(head + keccak256(place + b"".join(log.topics) + log.data))
        return head
