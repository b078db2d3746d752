"""An endpoint in memory: answers from handlers, with faults on demand."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from steelyard.chain.rpc import Rpc
from steelyard.chain.transport import Answer, TransportFault

CHAIN = 31337
Handler = Callable[[list[Any]], Any]
Fault = Callable[[dict[str, Any]], Answer]


class RpcFailure(Exception):
    """A handler answers with a JSON-RPC error."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.error: dict[str, object] = {"code": code, "message": message}
        if data is not None:
            self.error["data"] = data


class FakeTransport:
    """Implements ``Transport``. ``faults`` are used up first, one for each request that is not for the chain id."""

    def __init__(self, handlers: dict[str, Handler] | None = None, *, chain_id: int = CHAIN) -> None:
        self.name = "http://fake"
        self.handlers: dict[str, Handler] = {"eth_chainId": lambda _: hex(chain_id), **(handlers or {})}
        self.faults: deque[Fault] = deque()
        self.calls: list[tuple[str, list[Any]]] = []
        self.closed = False

    def exchange(self, body: bytes) -> Answer:
        request = json.loads(body)
        if isinstance(request, list):
            return Answer(200, json.dumps([self.answer(item) for item in reversed(request)]).encode())
        self.calls.append((request["method"], request["params"]))
        if request["method"] != "eth_chainId" and self.faults:
            return self.faults.popleft()(request)
        return Answer(200, json.dumps(self.answer(request)).encode())

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            result = self.handlers[request["method"]](request["params"])
        except RpcFailure as exc:
            return {"jsonrpc": "2.0", "id": request["id"], "error": exc.error}
        return {"jsonrpc": "2.0", "id": request["id"], "result": result}

    def count(self, method: str) -> int:
        return sum(1 for called, _ in self.calls if called == method)

    def close(self) -> None:
        self.closed = True


def rpc_of(transport: FakeTransport, *, pauses: list[float] | None = None, attempts: int = 4) -> Rpc:
    """An ``Rpc`` that does not wait; what it would have waited goes into ``pauses``."""
    waited = [] if pauses is None else pauses
    return Rpc(transport, chain_id=CHAIN, attempts=attempts, sleep=waited.append)


def status(code: int, body: bytes = b"<html>no</html>", retry_after: float | None = None) -> Fault:
    return lambda _: Answer(code, body, retry_after)


def raw(body: bytes) -> Fault:
    return lambda _: Answer(200, body)


def edited(**changes: object) -> Fault:
    """A well-formed answer with some members changed."""
    return lambda request: Answer(
        200, json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": "0x1", **changes}).encode()
    )


def broken(message: str = "connection reset") -> Fault:
    def fault(_: dict[str, Any]) -> Answer:
        raise TransportFault(message)

    return fault


def log_json(**changes: object) -> dict[str, object]:
    """A well-formed log as an endpoint writes it."""
    log: dict[str, object] = {
        "address": "0x" + "11" * 20,
        "topics": ["0x" + "22" * 32],
        "data": "0x",
        "blockNumber": "0x5",
        "blockHash": "0x" + "33" * 32,
        "transactionHash": "0x" + "44" * 32,
        "transactionIndex": "0x0",
        "logIndex": "0x0",
        "removed": False,
    }
    return log | changes


def words(*values: int) -> str:
    return "0x" + b"".join(value.to_bytes(32, "big") for value in values).hex()


def receipt_json(tx_hash: str, *, block: int = 1, status: int = 1) -> dict[str, object]:
    """A well-formed receipt without logs."""
    return {
        "transactionHash": tx_hash,
        "status": hex(status),
        "gasUsed": "0x5208",
        "effectiveGasPrice": "0x1",
        "blockNumber": hex(block),
        "blockHash": "0x" + "33" * 32,
        "transactionIndex": "0x0",
        "contractAddress": None,
        "logs": [],
    }


def block_json(number: int = 1, **changes: object) -> dict[str, object]:
    """A well-formed block."""
    block: dict[str, object] = {
        "number": hex(number),
        "hash": "0x" + "aa" * 32,
        "parentHash": "0x" + "bb" * 32,
        "timestamp": "0x64",
        "baseFeePerGas": "0x3b9aca00",
        "gasLimit": "0x1c9c380",
    }
    return block | changes


def sequence(values: Sequence[object]) -> Handler:
    """A handler that answers with one value after the other, and stays with the last."""
    left = deque(values)
    return lambda _: left.popleft() if len(left) > 1 else left[0]
