"""The lies of an RPC provider, as functions for :class:`tests.faults.proxy.Proxy`: about logs, heads, headers, and itself."""

from __future__ import annotations

import itertools
import json
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.faults.faults import Json, back_and_forth, each, reset, stale, status, timeout
from tests.faults.forgeries import (
    LOGS,
    Truth,
    absent,
    bit,
    forged_headers,
    later,
    newer,
    of_another_key,
    parent,
    proofs,
    receipts,
    receipts_of_another_block,
    refusing,
    state,
    together,
    two_headers,
    without_bloom,
)
from tests.faults.proxy import Exchange, Fault, Reply

EVIDENCE = ("eth_getProof", "eth_getTransactionReceipt", "eth_getRawTransactionByHash")
UNCOVERED = "no head covers transaction hashes, nor the order of two subjects in a block"
ALONE = "whoever is asked alone about everything is believed what fits together"


@dataclass(frozen=True, kw_only=True)
class Lie:
    """One way to lie.

    Attributes:
        name: for the table.
        make: makes the fault anew, for some have a memory.
        of_three: it is told between two honest ones: nobody can say which of two chains of headers is the chain.
        looks: how often to look again after the index was right.
        believed: why an index with this endpoint alone believes it; empty if it does not.
    """

    name: str
    make: Callable[[Truth], Fault]
    of_three: bool = False
    looks: int = 0
    believed: str = ""


def _logs(change: Callable[[list[Json], Truth], list[Json]]) -> Callable[[Truth], Fault]:
    """Return what makes a lie about logs."""

    def make(truth: Truth) -> Fault:
        def one(call: Json, answer: Json) -> Json | None:
            logs = answer.get("result")
            if not logs:
                return None
            changed = change(logs, truth)
            return None if changed == logs else {**answer, "result": changed}

        return each(one, LOGS)

    return make


def _is_it(log: Json, truth: Truth) -> bool:
    return (log["blockNumber"], log["logIndex"]) == truth.place


def _without_it(logs: list[Json], truth: Truth) -> list[Json]:
    return [log for log in logs if not _is_it(log, truth)]


def _twice(logs: list[Json], truth: Truth) -> list[Json]:
    return [log for log in logs for _ in range(2 if _is_it(log, truth) else 1)]


def _turned(logs: list[Json], truth: Truth) -> list[Json]:
    return logs[::-1]


def _two_turned(logs: list[Json], truth: Truth) -> list[Json]:
    """Two neighbours that change places, numbers and all but what they say."""
    for first, second in itertools.pairwise(logs):
        if first["blockNumber"] == second["blockNumber"] and _is_it(first, truth):
            said = ("topics", "data", "address")
            swapped = [
                {**first, **{name: second[name] for name in said}},
                {**second, **{name: first[name] for name in said}},
            ]
            at = logs.index(first)
            return [*logs[:at], *swapped, *logs[at + 2 :]]
    return logs


def _first_half(logs: list[Json], truth: Truth) -> list[Json]:
    return logs[: len(logs) // 2]


def _none(logs: list[Json], truth: Truth) -> list[Json]:
    return []


def _altered(field: str, at: int) -> Callable[[list[Json], Truth], list[Json]]:
    def change(logs: list[Json], truth: Truth) -> list[Json]:
        return [{**log, field: bit(log[field], at)} if _is_it(log, truth) else log for log in logs]

    return change


def _other_actor(logs: list[Json], truth: Truth) -> list[Json]:
    return [
        {**log, "topics": [*log["topics"][:3], bit(log["topics"][3], -1)]} if _is_it(log, truth) else log
        for log in logs
    ]


def _other_subject(logs: list[Json], truth: Truth) -> list[Json]:
    return [
        {**log, "topics": [log["topics"][0], bit(log["topics"][1], -1), *log["topics"][2:]]}
        if _is_it(log, truth)
        else log
        for log in logs
    ]


def _other_block(logs: list[Json], truth: Truth) -> list[Json]:
    return [{**log, "blockHash": bit(log["blockHash"], -1)} if _is_it(log, truth) else log for log in logs]


def _other_tx(logs: list[Json], truth: Truth) -> list[Json]:
    return [
        {**log, "transactionHash": bit(log["transactionHash"], -1)} if _is_it(log, truth) else log
        for log in logs
    ]


def _invented(logs: list[Json], truth: Truth) -> list[Json]:
    for at, log in enumerate(logs):
        if _is_it(log, truth):
            more = {**log, "logIndex": hex(int(log["logIndex"], 16) + 4000)}
            last = max(at for at, other in enumerate(logs) if other["blockNumber"] == log["blockNumber"])
            return [*logs[: last + 1], more, *logs[last + 1 :]]
    return logs


def _removed(logs: list[Json], truth: Truth) -> list[Json]:
    return [{**log, "removed": True} if _is_it(log, truth) else log for log in logs]


def _hidden(truth: Truth) -> Fault:
    """Hide a subject from its first entry on, and lie about its heads too."""
    digits = truth.victim.removeprefix("0x")

    def change(call: Json, answer: Json) -> Json | None:
        if call["method"] == LOGS:
            logs = answer.get("result") or []
            left = [log for log in logs if digits not in "".join(log["topics"]) + log["data"]]
            return {**answer, "result": left} if left != logs else None
        return {**answer, "result": "0x" + "00" * 32} if digits in json.dumps(call["params"]) else None

    return each(change, LOGS, "eth_call")


def _false_heads(truth: Truth) -> Fault:
    def change(call: Json, answer: Json) -> Json | None:
        result = answer.get("result")
        return (
            {**answer, "result": bit(result, -1)} if isinstance(result, str) and len(result) == 66 else None
        )

    return each(change, "eth_call")


def _no_heads(truth: Truth) -> Fault:
    def change(call: Json, answer: Json) -> Json | None:
        return {
            "jsonrpc": "2.0",
            "id": answer["id"],
            "error": {"code": -32000, "message": "missing trie node"},
        }

    return each(change, "eth_call")


def _false_header(field: str) -> Callable[[Truth], Fault]:
    def make(truth: Truth) -> Fault:
        def change(call: Json, answer: Json) -> Json | None:
            block = answer.get("result")
            return {**answer, "result": {**block, field: bit(block[field], -1)}} if block else None

        return each(change, "eth_getBlockByNumber", "eth_getBlockByHash")

    return make


def _elsewhere(truth: Truth) -> Fault:
    """Answer everything from another chain."""

    def fault(exchange: Exchange) -> Reply | None:
        request = urllib.request.Request(
            truth.other, exchange.body, {"content-type": "application/json"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return Reply(body=answer.read())

    return fault


def _silence(truth: Truth) -> Fault:
    return timeout


def _later(logs: list[Json], truth: Truth) -> list[Json]:
    return [{**log, "blockTimestamp": hex(int(log["blockTimestamp"], 16) + 1)} for log in logs]


def _invented_asset(logs: list[Json], truth: Truth) -> list[Json]:
    """A registration that never was, at the end of the block of another one."""
    for log in logs:
        if log["topics"][1] == truth.victim:
            same = [other for other in logs if other["blockNumber"] == log["blockNumber"]]
            topics = [log["topics"][0], bit(log["topics"][1], -1), *log["topics"][2:]]
            more = {**log, "topics": topics, "logIndex": hex(int(same[-1]["logIndex"], 16) + 1)}
            at = logs.index(same[-1]) + 1
            return [*logs[:at], more, *logs[at:]]
    return logs


LIES: Sequence[Lie] = (
    Lie(name="leaves one log out", make=_logs(_without_it)),
    Lie(name="gives one log twice", make=_logs(_twice)),
    Lie(name="gives them in reverse", make=_logs(_turned)),
    Lie(name="swaps what two logs say", make=_logs(_two_turned), believed=UNCOVERED),
    Lie(name="breaks off after half", make=_logs(_first_half)),
    Lie(name="gives none", make=_logs(_none), believed=ALONE),
    Lie(name="alters data", make=_logs(_altered("data", -1))),
    Lie(name="alters the actor", make=_logs(_other_actor)),
    Lie(name="alters the subject", make=_logs(_other_subject)),
    Lie(name="alters the address", make=_logs(_altered("address", -1))),
    Lie(name="alters the block hash of a log", make=_logs(_other_block)),
    Lie(name="alters the block number of a log", make=_logs(_altered("blockNumber", -1))),
    Lie(name="alters the transaction hash of a log", make=_logs(_other_tx), believed=UNCOVERED),
    Lie(name="invents a log", make=_logs(_invented)),
    Lie(name="calls a log removed", make=_logs(_removed)),
    Lie(name="hides an asset from the start, heads too", make=_hidden, believed=ALONE),
    Lie(name="gives false heads", make=_false_heads),
    Lie(name="gives no heads", make=_no_heads),
    Lie(name="alters the time of blocks", make=_false_header("timestamp")),
    Lie(name="alters the hash of blocks", make=_false_header("hash")),
    Lie(name="alters the parent of blocks", make=_false_header("parentHash")),
    Lie(name="alters the bloom of blocks", make=_false_header("logsBloom")),
    Lie(name="serves another chain", make=_elsewhere),
    Lie(name="stays behind", make=lambda _: stale, believed=ALONE),
    Lie(name="goes back and forth", make=lambda _: back_and_forth()),
    Lie(name="answers nothing", make=_silence),
    Lie(name="breaks off its answers", make=lambda _: reset),
    Lie(name="answers 502", make=lambda _: status(502, b"<html>", "text/html")),
    Lie(name="invents an asset", make=_logs(_invented_asset)),
    Lie(name="hides a log, and refuses every proof", make=together(_logs(_without_it), refusing(*EVIDENCE))),
    Lie(
        name="gives false heads, and proofs of another key",
        make=together(_false_heads, proofs(of_another_key)),
    ),
    Lie(
        name="gives false heads, and proves that there are none",
        make=together(_false_heads, proofs(absent)),
    ),
    Lie(
        name="invents a log, and gives receipts of another block",
        make=together(_logs(_invented), receipts_of_another_block),
    ),
    Lie(name="alters the time of blocks, not in raw headers", make=two_headers),
    Lie(name="forges an old header (state root)", make=forged_headers(state, first=20, linked=False)),
    Lie(name="forges an old header (receipts root)", make=forged_headers(receipts, first=20, linked=False)),
    Lie(name="forges the newest header (parent)", make=forged_headers(parent, first=-1)),
    Lie(
        name="forges the newest header (state root), gives no heads",
        make=together(_no_heads, forged_headers(state, first=-1)),
        believed=ALONE,
    ),
    Lie(name="claims a million blocks more", make=newer(1_000_000), looks=25),
    Lie(
        name="forges the newest header (state root)",
        make=forged_headers(state, first=-1),
        of_three=True,
        believed=ALONE,
    ),
    Lie(
        name="forges all headers (times)",
        make=forged_headers(later, first=1, logs=_later),
        of_three=True,
    ),
    Lie(
        name="forges all headers (blooms), hides all logs",
        make=forged_headers(without_bloom, first=1, logs=_none),
        of_three=True,
        believed=ALONE,
    ),
)
