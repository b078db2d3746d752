"""Transactions to a local chain: the bulk path of the sender against web3 used the usual way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.rounds import ROUNDS, Timings
from bench.row import Outcome, Row, Skipped
from bench.setting import Setting
from steelyard.chain.calls import Call
from steelyard.chain.node import Node, find_anvil
from steelyard.chain.rpc import Rpc
from steelyard.chain.sender import Sender
from steelyard.domain.types import Address
from steelyard.errors import ChainError, InputError

_MANY = 384
_FEW = 40
_GAS = 50_000
_BAR = 400.0
_BLOCK = 0.05
_PATIENCE = 20.0
_NAME = "transactions to anvil, in bulk"


@contextmanager
def mining(node: Node, every: float) -> Iterator[None]:
    """Make a block every so many seconds. An automining anvil can hang under a flood, so it is told when to mine."""
    stop = threading.Event()

    def mine() -> None:
        with Rpc(node.url, chain_id=node.chain_id) as rpc:
            while not stop.wait(every):
                rpc.call("evm_mine")

    thread = threading.Thread(target=mine, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _bulk(node: Node, rpc: Rpc) -> Callable[[], None]:
    sender = Sender(rpc, lambda: node.keys[0], poll=0.02, timeout=_PATIENCE)
    calls = [Call(Address(bytes(19) + b"\x99"), b"", 1, "transfer")] * _MANY

    def run() -> None:
        if not all(receipt.status for receipt in sender.send_many(calls, gas=_GAS)):
            raise RuntimeError("a transfer of one wei failed")

    return run


def _one_by_one(node: Node) -> Callable[[], None]:
    from web3 import Web3

    web3 = Web3(Web3.HTTPProvider(node.url))
    sender, receiver = (web3.eth.account.from_key(key).address for key in node.keys[:2])

    def run() -> None:
        for _ in range(_FEW):
            tx_hash = web3.eth.send_transaction(
                {"from": sender, "to": receiver, "value": web3.to_wei(1, "wei")}
            )
            web3.eth.wait_for_transaction_receipt(tx_hash)

    return run


def rows(setting: Setting) -> list[Outcome]:
    """Return the row."""
    try:
        anvil = find_anvil(start=setting.root)
        return [_row(anvil, max(setting.rounds, ROUNDS))]
    except (InputError, ChainError) as exc:
        return [Skipped(_NAME, str(exc))]


def _row(anvil: Path, rounds: int) -> Row:
    ours: list[float] = []
    theirs: list[float] = []
    with (
        Node.start(anvil, options=("--no-mining",)) as node,
        Node.start(anvil) as automining,
        Rpc(node.url, chain_id=node.chain_id) as rpc,
    ):
        bulk, one_by_one = _bulk(node, rpc), _one_by_one(automining)
        for turn in range(rounds + 1):
            for work, many, found in ((bulk, _MANY, ours), (one_by_one, _FEW, theirs)):
                with mining(node, _BLOCK):
                    start = time.perf_counter()
                    work()
                    if turn:
                        found.append((time.perf_counter() - start) / many)
    timings = Timings({"ours": tuple(ours), "theirs": tuple(theirs)})
    return Row(
        name=_NAME,
        unit="/s",
        ours=1 / timings.median("ours"),
        peer=1 / timings.median("theirs"),
        bar=_BAR,
        ratio=timings.speedup("ours", "theirs"),
        against=f"a block every {_BLOCK} s; peer, and ratio to it: web3 7 on an automining chain, one by one",
    )
