"""The 27 faults of the matrix, and a few more that only a liar commits, as functions for :class:`tests.faults.proxy.Proxy`."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import rlp

from steelyard.domain.hash import keccak256
from tests.faults.proxy import Exchange, Fault, Reply, with_body

LAG = 2
"""Blocks by which a stale endpoint is behind."""
HOLD = 30.0
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One row of the matrix.

    Attributes:
        name: as in the table.
        where: what misbehaves.
        make: makes the fault anew, for some have a memory.
    """

    name: str
    where: Literal["rpc", "store"]
    make: Callable[[], Fault]


# -- the connection ------------------------------------------------------------------------------------------------


def timeout(exchange: Exchange) -> Reply | None:
    return Reply(hold=HOLD)


def reset(exchange: Exchange) -> Reply | None:
    reply = exchange.forward()
    return Reply(status=reply.status, headers=reply.headers, body=reply.body, cut=len(reply.body) // 2)


def status(code: int, body: bytes, kind: str = "application/json") -> Fault:
    def fault(exchange: Exchange) -> Reply | None:
        return Reply(status=code, body=body, headers=(("content-type", kind),))

    return fault


PAGE = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


def truncated(exchange: Exchange) -> Reply | None:
    reply = exchange.forward()
    return with_body(reply, reply.body[: max(1, len(reply.body) * 2 // 3)])


# -- JSON-RPC ------------------------------------------------------------------------------------------------------


def each(change: Callable[[Json, Json], Json | None], *methods: str) -> Fault:
    """Return the fault that changes answers: ``change`` takes call and answer, and returns another answer or None."""

    def fault(exchange: Exchange) -> Reply | None:
        asked = json.loads(exchange.body)
        calls = asked if isinstance(asked, list) else [asked]
        if methods and not any(call["method"] in methods for call in calls):
            return None
        reply = exchange.forward()
        try:
            given = json.loads(reply.body)
        except ValueError:
            return None
        answers = given if isinstance(given, list) else [given]
        by_id = {call["id"]: call for call in calls}
        done = []
        for place, answer in enumerate(answers):
            call = by_id.get(answer.get("id"))
            if call is None or (methods and call["method"] not in methods):
                continue
            changed = change(call, answer)
            if changed is not None:
                answers[place] = changed
                done.append(place)
        return (
            with_body(reply, json.dumps(given if isinstance(given, list) else answers[0]).encode())
            if done
            else None
        )

    return fault


def _null(call: Json, answer: Json) -> Json | None:
    return None if answer.get("result") is None else {**answer, "result": None}


def _wrong_id(call: Json, answer: Json) -> Json | None:
    return {**answer, "id": answer["id"] + 7_000_000}


def _other_chain(call: Json, answer: Json) -> Json | None:
    return {**answer, "result": "0x1"}


def _missing(call: Json, answer: Json) -> Json | None:
    logs = answer.get("result")
    return {**answer, "result": logs[: len(logs) // 2] + logs[len(logs) // 2 + 1 :]} if logs else None


def _doubled(call: Json, answer: Json) -> Json | None:
    logs = answer.get("result")
    return {**answer, "result": logs + [logs[-1]]} if logs else None


def _shuffled(call: Json, answer: Json) -> Json | None:
    logs = answer.get("result")
    return {**answer, "result": logs[::-1]} if logs and len(logs) > 1 else None


def _flip(text: str) -> str:
    return text[:-1] + ("0" if text[-1] != "0" else "1")


def _wrong_hash(call: Json, answer: Json) -> Json | None:
    result = answer.get("result")
    if not result:
        return None
    if call["method"] == "eth_getLogs":
        return {**answer, "result": [{**log, "blockHash": _flip(log["blockHash"])} for log in result]}
    field = "hash" if call["method"].startswith("eth_getBlock") else "blockHash"
    return {**answer, "result": {**result, field: _flip(result[field])}} if result.get(field) else None


def _gas_reverts(call: Json, answer: Json) -> Json | None:
    return {
        "jsonrpc": "2.0",
        "id": answer["id"],
        "error": {"code": 3, "message": "execution reverted", "data": "0x"},
    }


def other_receipts() -> Fault:
    """Return the fault that answers with another transaction's receipt, every second time under the right hash."""
    turns = itertools.count()

    def fault(exchange: Exchange) -> Reply | None:
        def change(call: Json, answer: Json) -> Json | None:
            if not answer.get("result"):
                return None
            block = _ask(exchange, "eth_getBlockByNumber", "0x1", False)
            other = _ask(exchange, "eth_getTransactionReceipt", block["transactions"][0])
            if next(turns) % 2:
                other["transactionHash"] = answer["result"]["transactionHash"]
            return {**answer, "result": other}

        return each(change, "eth_getTransactionReceipt")(exchange)

    return fault


def _ask(exchange: Exchange, method: str, *params: object) -> Any:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
    return json.loads(exchange.forward(json.dumps(body).encode()).body).get("result")


# -- an endpoint that is behind ------------------------------------------------------------------------------------

_STATE = {
    "eth_call": 1,
    "eth_estimateGas": 1,
    "eth_getBalance": 1,
    "eth_getCode": 1,
    "eth_getTransactionCount": 1,
    "eth_getStorageAt": 2,
    "eth_getProof": 2,
}


def stale(exchange: Exchange) -> Reply | None:
    """Answer as an endpoint that is LAG blocks behind; transactions are passed on."""
    asked = json.loads(exchange.body)
    calls = asked if isinstance(asked, list) else [asked]
    if all(call["method"] in ("eth_chainId", "eth_sendRawTransaction") for call in calls):
        return None
    head = int(_ask(exchange, "eth_blockNumber"), 16) - LAG
    moved = [_behind(call, head) for call in calls]
    reply = exchange.forward(json.dumps(moved if isinstance(asked, list) else moved[0]).encode())
    given = json.loads(reply.body)
    answers = given if isinstance(given, list) else [given]
    methods = {call["id"]: call["method"] for call in calls}
    for answer in answers:
        _forget(methods.get(answer.get("id"), ""), answer, head)
    return with_body(reply, json.dumps(given if isinstance(given, list) else answers[0]).encode())


def _behind(call: Json, head: int) -> Json:
    method, params = call["method"], list(call["params"])
    if method in _STATE:
        place = _STATE[method]
        if len(params) <= place or params[place] in ("latest", "pending"):
            params[place:] = [hex(head)]
    elif method == "eth_getBlockByNumber" and params[0] in ("latest", "pending"):
        params[0] = hex(head)
    elif method == "eth_getBlockByNumber" and params[0].startswith("0x") and int(params[0], 16) > head:
        params[0] = hex(1 << 60)
    elif method == "eth_getLogs" and "fromBlock" in params[0]:
        query = params[0]
        if int(query["fromBlock"], 16) > head:
            query = {**query, "address": "0x" + "11" * 20, "toBlock": query["fromBlock"]}
        params[0] = {
            **query,
            "toBlock": hex(min(max(head, int(query["fromBlock"], 16)), int(query["toBlock"], 16))),
        }
    return {**call, "params": params}


def _forget(method: str, answer: Json, head: int) -> None:
    result = answer.get("result")
    if method == "eth_blockNumber" and result:
        answer["result"] = hex(head)
    elif (
        method == "eth_getTransactionReceipt"
        and result
        and int(result["blockNumber"], 16) > head
        or method == "eth_getBlockByHash"
        and result
        and int(result["number"], 16) > head
    ):
        answer["result"] = None


def back_and_forth() -> Fault:
    """Return the fault of two endpoints behind one address, one of which is behind."""
    turns = itertools.count()
    return lambda exchange: stale(exchange) if next(turns) % 2 else None


# -- transactions --------------------------------------------------------------------------------------------------


def refuse_sending(message: str) -> Fault:
    """Return the fault that refuses every transaction without passing it on."""

    def fault(exchange: Exchange) -> Reply | None:
        return _instead(
            exchange, "eth_sendRawTransaction", lambda call: {"error": {"code": -32000, "message": message}}
        )

    return fault


def swallow() -> Fault:
    """Return the fault that takes transactions, says it has them, and gives them to nobody."""
    taken: set[str] = set()

    def fault(exchange: Exchange) -> Reply | None:
        def take(call: Json) -> Json:
            taken.add("0x" + keccak256(bytes.fromhex(call["params"][0][2:])).hex())
            return {"result": "0x" + keccak256(bytes.fromhex(call["params"][0][2:])).hex()}

        call = json.loads(exchange.body)
        if (
            isinstance(call, dict)
            and call["method"] == "eth_getTransactionByHash"
            and call["params"][0] in taken
        ):
            return _instead(exchange, call["method"], lambda asked: {"result": {"hash": asked["params"][0]}})
        return _instead(exchange, "eth_sendRawTransaction", take)

    return fault


def _instead(exchange: Exchange, method: str, answer: Callable[[Json], Json]) -> Reply | None:
    call = json.loads(exchange.body)
    if not isinstance(call, dict) or call["method"] != method:
        return None
    return Reply(body=json.dumps({"jsonrpc": "2.0", "id": call["id"], **answer(call)}).encode())


def revert_in_block() -> Fault:
    """Return the fault by which a transaction that was fine when it was simulated fails in its block, really."""
    lock = threading.Lock()

    def fault(exchange: Exchange) -> Reply | None:
        call = json.loads(exchange.body)
        if not isinstance(call, dict) or call["method"] != "eth_sendRawTransaction":
            return None
        fields = rlp.decode(bytes.fromhex(call["params"][0][4:]))
        target = "0x" + fields[5].hex()
        with lock:
            code = _ask(exchange, "eth_getCode", target, "latest")
            _ask(exchange, "anvil_setCode", target, "0x60006000fd")
            reply = exchange.forward()
            _ask(exchange, "anvil_setCode", target, code)
        return reply

    return fault


def nonce_taken() -> Fault:
    """Return the fault by which another process of the account was faster: its transaction takes the nonce, really."""

    def fault(exchange: Exchange) -> Reply | None:
        call = json.loads(exchange.body)
        if not isinstance(call, dict) or call["method"] != "eth_sendRawTransaction":
            return None
        from eth_account import Account

        sender = Account.recover_transaction(call["params"][0])
        _ask(exchange, "anvil_impersonateAccount", sender)
        _ask(exchange, "eth_sendTransaction", {"from": sender, "to": sender, "value": "0x0"})
        _ask(exchange, "anvil_stopImpersonatingAccount", sender)
        return exchange.forward()

    return fault


# -- the content store ---------------------------------------------------------------------------------------------


def block_of(exchange: Exchange) -> str:
    """Return the CID that is asked for with ``block/get`` or ``block/stat``, or an empty text."""
    parts = urlsplit(exchange.path)
    if parts.path.rpartition("/api/v0/")[2] not in ("block/get", "block/stat"):
        return ""
    return parse_qs(parts.query).get("arg", [""])[0]


ABSENT = json.dumps(
    {"Message": "block was not found locally (offline): ipld: could not find", "Code": 0, "Type": "error"}
).encode()


def missing_block(exchange: Exchange) -> Reply | None:
    return Reply(status=500, body=ABSENT) if block_of(exchange) else None


def partial(exchange: Exchange) -> Reply | None:
    """A DAG of which every second block is missing, as a CAR that broke off would leave it; nothing here reads CARs."""
    cid = block_of(exchange)
    return Reply(status=500, body=ABSENT) if cid and ord(cid[-1]) % 2 else None


def _get(exchange: Exchange, change: Callable[[bytes], bytes]) -> Reply | None:
    if not block_of(exchange) or "block/get" not in exchange.path:
        return None
    reply = exchange.forward()
    return with_body(reply, change(reply.body)) if reply.status == 200 and reply.body else None


def wrong_bytes(exchange: Exchange) -> Reply | None:
    return _get(exchange, lambda body: body[:-1] + bytes([body[-1] ^ 1]))


def wrong_size(exchange: Exchange) -> Reply | None:
    if "block/stat" in exchange.path:
        reply = exchange.forward()
        stat = json.loads(reply.body)
        return with_body(reply, json.dumps({**stat, "Size": 10**12}).encode()) if "Size" in stat else None
    return _get(exchange, lambda body: body + bytes(len(body) + 3_000_000))


def slow_loris(exchange: Exchange) -> Reply | None:
    reply = exchange.forward()
    return Reply(status=reply.status, headers=reply.headers, body=reply.body + b" " * 1000, drip=0.05)


def _rpc(name: str, make: Callable[[], Fault]) -> Kind:
    return Kind(name=name, where="rpc", make=make)


def _store(name: str, fault: Fault) -> Kind:
    return Kind(name=name, where="store", make=lambda: fault)


LOGS = ("eth_getLogs",)
_HASHED = ("eth_getLogs", "eth_getBlockByNumber", "eth_getBlockByHash", "eth_getTransactionReceipt")
KINDS: Sequence[Kind] = (
    _rpc("timeout", lambda: timeout),
    _rpc("reset mid-body", lambda: reset),
    _rpc("429", lambda: status(429, b'{"error":"slow down"}')),
    _rpc("500", lambda: status(500, b"oops", "text/plain")),
    _rpc("502 HTML", lambda: status(502, PAGE, "text/html")),
    _rpc("truncated JSON", lambda: truncated),
    _rpc("wrong id", lambda: each(_wrong_id)),
    _rpc("null result", lambda: each(_null)),
    _rpc("stale head", lambda: stale),
    _rpc("head going back", back_and_forth),
    _rpc("other chain id", lambda: each(_other_chain, "eth_chainId")),
    _rpc("missing log", lambda: each(_missing, *LOGS)),
    _rpc("duplicate log", lambda: each(_doubled, *LOGS)),
    _rpc("wrong order", lambda: each(_shuffled, *LOGS)),
    _rpc("wrong blockHash", lambda: each(_wrong_hash, *_HASHED)),
    _rpc("receipts of another block", other_receipts),
    _rpc("gas estimate revert", lambda: each(_gas_reverts, "eth_estimateGas")),
    _rpc("nonce too low", nonce_taken),
    _rpc("replacement underpriced", lambda: refuse_sending("replacement transaction underpriced")),
    _rpc("accepted, never mined", swallow),
    _rpc("mined but reverted", revert_in_block),
    _store("IPFS missing block", missing_block),
    _store("IPFS wrong bytes", wrong_bytes),
    _store("IPFS slow-loris", slow_loris),
    _store("IPFS 404 gateway", status(404, PAGE.replace(b"502 Bad Gateway", b"404 Not Found"), "text/html")),
    _store("IPFS partial DAG", partial),
    _store("IPFS wrong size", wrong_size),
)
MORE: Sequence[Kind] = (
    _rpc("nonce too low, a lie", lambda: refuse_sending("nonce too low")),
    _store("IPFS timeout", timeout),
    _store("IPFS reset mid-body", reset),
    _store("IPFS 429", status(429, b"slow down", "text/plain")),
    _store("IPFS 500", status(500, b"oops", "text/plain")),
    _store("IPFS 502 HTML", status(502, PAGE, "text/html")),
    _store("IPFS truncated", truncated),
)
"""What the matrix in security.md does not name: the faults of a connection on the store's side too, and one more lie."""
