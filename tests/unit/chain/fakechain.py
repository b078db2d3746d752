"""A chain in memory with a pool, and a sender on it."""

from __future__ import annotations

from typing import Any

import rlp

from steelyard.chain.hexdata import to_hex
from steelyard.chain.sender import Sender
from steelyard.chain.transaction import GWEI
from steelyard.domain.hash import keccak256

from .fake import FakeTransport, RpcFailure, block_json, receipt_json, rpc_of

KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")


class Chain(FakeTransport):
    """Mines a transaction as soon as all nonces before it are."""

    def __init__(self) -> None:
        super().__init__(
            {
                "eth_getBlockByNumber": lambda _: block_json(1),
                "eth_maxPriorityFeePerGas": lambda _: hex(GWEI),
                "eth_estimateGas": lambda _: hex(21_000),
                "eth_call": lambda _: "0x",
                "eth_getTransactionCount": lambda _: hex(self.nonce),
                "eth_sendRawTransaction": self.take,
                "eth_getTransactionReceipt": self.receipt,
                "eth_getTransactionByHash": lambda params: (
                    {"hash": params[0]} if params[0] in self.known else None
                ),
                "eth_blockNumber": lambda _: "0x64",
            }
        )
        self.nonce = 7
        self.known: dict[str, int] = {}
        self.mined: set[str] = set()
        self.raws: list[str] = []
        self.refusals: list[RpcFailure] = []
        self.mining = True
        self.status = 1

    def take(self, params: list[str]) -> str:
        if self.refusals:
            raise self.refusals.pop(0)
        raw = params[0]
        self.raws.append(raw)
        tx_hash = to_hex(keccak256(bytes.fromhex(raw[2:])))
        if tx_hash in self.known:
            raise RpcFailure(-32000, "already known")
        nonce = nonce_of(raw)
        if nonce < self.nonce:
            raise RpcFailure(-32003, "nonce too low")
        if nonce in self.known.values():
            raise RpcFailure(-32000, "replacement transaction underpriced")
        self.known[tx_hash] = nonce
        self.mine()
        return tx_hash

    def mine(self) -> None:
        while self.mining and (found := [key for key, nonce in self.known.items() if nonce == self.nonce]):
            self.mined.add(found[0])
            self.nonce += 1

    def receipt(self, params: list[str]) -> Any:
        return receipt_json(params[0], status=self.status) if params[0] in self.mined else None


def nonce_of(raw: str) -> int:
    return int.from_bytes(rlp.decode(bytes.fromhex(raw[4:]))[1], "big")


def sender_of(chain: Chain, **options: Any) -> Sender:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    return Sender(rpc_of(chain, attempts=2), lambda: KEY, clock=lambda: now[0], sleep=sleep, **options)
