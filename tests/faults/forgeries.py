"""What an RPC provider can forge: proofs, receipts, and headers whose hash fits."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from steelyard.domain.hash import keccak256
from steelyard.domain.header import encode_fields
from tests.faults.faults import Json, each
from tests.faults.proxy import Exchange, Fault, Reply, with_body

LOGS = "eth_getLogs"


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What a liar knows.

    Attributes:
        victim: subject that is hidden or altered.
        place: block and log index, in hexadecimal, of the log in question.
        other: an endpoint of another chain.
        headers: all blocks as JSON-RPC gives them, from 0 on.
    """

    victim: str
    place: tuple[str, str]
    other: str
    headers: Sequence[Json]


def bit(text: str, at: int) -> str:
    """Return hexadecimal with one bit turned."""
    place = at if at >= 0 else len(text) + at
    return text[:place] + f"{int(text[place], 16) ^ 1:x}" + text[place + 1 :]


# -- proofs --------------------------------------------------------------------------------------------------------


def together(*makers: Callable[[Truth], Fault]) -> Callable[[Truth], Fault]:
    """Return what tells several lies at once; each must be about other methods, for the first that applies answers."""

    def make(truth: Truth) -> Fault:
        faults = [maker(truth) for maker in makers]

        def fault(exchange: Exchange) -> Reply | None:
            replies = (one(exchange) for one in faults)
            return next((reply for reply in replies if reply is not None), None)

        return fault

    return make


def refusing(*methods: str) -> Callable[[Truth], Fault]:
    def change(call: Json, answer: Json) -> Json | None:
        return {"jsonrpc": "2.0", "id": answer["id"], "error": {"code": -32601, "message": "no such method"}}

    return lambda _: each(change, *methods)


def proofs(change: Callable[[list[Json]], list[Json]]) -> Callable[[Truth], Fault]:
    def one(call: Json, answer: Json) -> Json | None:
        proof = answer["result"]
        return {**answer, "result": {**proof, "storageProof": change(proof["storageProof"])}}

    return lambda _: each(one, "eth_getProof")


def of_another_key(slots: list[Json]) -> list[Json]:
    """Each slot with the value and the proof of its neighbour."""
    others = [*slots[1:], slots[0]]
    return [{**other, "key": slot["key"]} for slot, other in zip(slots, others, strict=True)]


def absent(slots: list[Json]) -> list[Json]:
    """Each slot as if it were not there: the way to it breaks off."""
    return [{**slot, "value": "0x0", "proof": slot["proof"][:-1]} for slot in slots]


def receipts_of_another_block(truth: Truth) -> Fault:
    """Give for every transaction what another one did."""
    hashes = [tx for header in truth.headers for tx in header["transactions"]]
    other = dict(zip(hashes, [*hashes[7:], *hashes[:7]], strict=True))

    def fault(exchange: Exchange) -> Reply | None:
        asked = json.loads(exchange.body)
        calls = asked if isinstance(asked, list) else [asked]
        if not any(call["method"] == "eth_getTransactionReceipt" for call in calls):
            return None
        moved = [{**call, "params": [other[call["params"][0]]]} for call in calls]
        reply = exchange.forward(json.dumps(moved if isinstance(asked, list) else moved[0]).encode())
        back = {new: old for old, new in other.items()}
        given = json.loads(reply.body)
        for answer in given if isinstance(given, list) else [given]:
            answer["result"]["transactionHash"] = back[answer["result"]["transactionHash"]]
        return with_body(reply, json.dumps(given).encode())

    return fault


# -- headers whose hash fits ---------------------------------------------------------------------------------------


def forged_headers(
    change: Callable[[Json], Json],
    *,
    first: int,
    linked: bool = True,
    logs: Callable[[list[Json], Truth], list[Json]] | None = None,
) -> Callable[[Truth], Fault]:
    """Return what forges headers so that each hashes to its hash, and says the new hashes wherever the old ones stood.

    Args:
        change: makes the false header.
        first: number of the first one; from the end if negative.
        linked: forge all above it too, so that each names its parent; else that one alone.
        logs: what becomes of logs besides.
    """

    def make(truth: Truth) -> Fault:
        headers = truth.headers
        start = first % len(headers)
        hashes: dict[str, str] = {}
        forged: dict[int, Json] = {}
        for number in range(start, len(headers) if linked else start + 1):
            header = change(headers[number])
            header["parentHash"] = hashes.get(header["parentHash"], header["parentHash"])
            header["hash"] = hashes[headers[number]["hash"]] = _hash_of(header)
            forged[number] = header
        return _retold(hashes, forged, truth, logs)

    return make


def _hash_of(header: Json) -> str:
    return "0x" + keccak256(encode_fields(header)).hex()


def _retold(
    hashes: Mapping[str, str],
    forged: Mapping[int, Json],
    truth: Truth,
    logs: Callable[[list[Json], Truth], list[Json]] | None,
) -> Fault:
    back = {new: old for old, new in hashes.items()}

    def fault(exchange: Exchange) -> Reply | None:
        asked = json.loads(_said(exchange.body.decode(), back))
        calls = asked if isinstance(asked, list) else [asked]
        if all(call["method"] == "eth_chainId" for call in calls):
            return None
        reply = exchange.forward(json.dumps(asked).encode())
        given = json.loads(reply.body)
        methods = {call["id"]: call["method"] for call in calls}
        for answer in given if isinstance(given, list) else [given]:
            method, result = methods[answer["id"]], answer.get("result")
            if method.startswith("eth_getBlock") and result:
                answer["result"] = forged.get(int(result["number"], 16), result)
            elif result:
                if method == LOGS and logs is not None:
                    result = logs(result, truth)
                answer["result"] = json.loads(_said(json.dumps(result), hashes))
        return with_body(reply, json.dumps(given).encode())

    return fault


def _said(text: str, hashes: Mapping[str, str]) -> str:
    for old, new in hashes.items():
        text = text.replace(old, new)
    return text


def state(header: Json) -> Json:
    return {**header, "stateRoot": bit(header["stateRoot"], -1)}


def parent(header: Json) -> Json:
    """Name another parent."""
    return {**header, "parentHash": bit(header["parentHash"], -1)}


def receipts(header: Json) -> Json:
    return {**header, "receiptsRoot": bit(header["receiptsRoot"], -1)}


def later(header: Json) -> Json:
    return {**header, "timestamp": hex(int(header["timestamp"], 16) + 1)}


def without_bloom(header: Json) -> Json:
    return {**header, "logsBloom": "0x" + "00" * 256}


def newer(by: int) -> Callable[[Truth], Fault]:
    """Return what claims a block that there is not, so many above the newest one; a child of it if it is the next."""

    def make(truth: Truth) -> Fault:
        last = truth.headers[-1]
        number = int(last["number"], 16) + by
        header = {
            **last,
            "number": hex(number),
            "parentHash": last["hash"],
            "transactions": [],
            "logsBloom": "0x" + "00" * 256,
        }
        header["timestamp"] = hex(int(last["timestamp"], 16) + 12 * by)
        header["hash"] = _hash_of(header)

        there = {"latest", header["number"], header["hash"]}

        def fault(exchange: Exchange) -> Reply | None:
            asked = json.loads(exchange.body)
            calls = asked if isinstance(asked, list) else [asked]
            if all(call["method"] == "eth_chainId" for call in calls):
                return None
            # What is asked about the block that there is not, the newest one answers.
            real = {header["hash"]: last["hash"], header["number"]: last["number"]}
            reply = exchange.forward(_said(json.dumps(asked), real).encode())
            given = json.loads(reply.body)
            by_id = {call["id"]: call for call in calls}
            for answer in given if isinstance(given, list) else [given]:
                call = by_id[answer["id"]]
                if call["method"].startswith("eth_getBlock") and call["params"][0] in there:
                    answer["result"] = header
                if call["method"] == LOGS and header["number"] == call["params"][0].get("fromBlock"):
                    answer["result"] = []
            return with_body(reply, json.dumps(given).encode())

        return fault

    return make


def two_headers(truth: Truth) -> Fault:
    """Give false times in JSON, and the true headers raw."""
    raw = {header["number"]: "0x" + encode_fields(header).hex() for header in truth.headers}

    def change(call: Json, answer: Json) -> Json | None:
        if call["method"] == "debug_getRawHeader":
            return {"jsonrpc": "2.0", "id": answer["id"], "result": raw[call["params"][0]]}
        return {**answer, "result": later(answer["result"])} if answer.get("result") else None

    return each(change, "eth_getBlockByNumber", "eth_getBlockByHash", "debug_getRawHeader")
