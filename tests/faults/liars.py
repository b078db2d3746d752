"""Two RPC providers of which one lies: the lie is found out and its endpoint named, and the index goes on with the honest one.

    python -m tests.faults.liars [--seed N]

Every lie is told twice, once by the preferred endpoint and once by the other one. What counts: the index ends at the newest block with
the content hash of one that only asked the honest endpoint, nothing false is left in it, and a report names the liar.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from steelyard.chain.hexdata import to_hex
from steelyard.chain.node import Node
from tests.e2e.kill.shop import Shop, anvil, opened
from tests.faults.faults import Json, back_and_forth, each, reset, stale, status, timeout
from tests.faults.index import Follower, differences, folded, rows_of_index, rows_of_ledger
from tests.faults.proxy import Exchange, Fault, Proxy, Reply
from tests.faults.stories import Chain, Storyteller, mixed

LOGS = "eth_getLogs"


@dataclass(frozen=True, kw_only=True)
class Lie:
    """One way to lie. ``silent`` if it need not be named: it changes nothing that is believed."""

    name: str
    make: Callable[[Truth], Fault]


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What a liar knows.

    Attributes:
        victim: subject that is hidden or altered.
        place: block and log index, in hexadecimal, of the log in question.
        other: an endpoint of another chain.
    """

    victim: str
    place: tuple[str, str]
    other: str


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
        return [{**log, field: _bit(log[field], at)} if _is_it(log, truth) else log for log in logs]

    return change


def _bit(text: str, at: int) -> str:
    place = at if at >= 0 else len(text) + at
    return text[:place] + f"{int(text[place], 16) ^ 1:x}" + text[place + 1 :]


def _other_actor(logs: list[Json], truth: Truth) -> list[Json]:
    return [
        {**log, "topics": [*log["topics"][:3], _bit(log["topics"][3], -1)]} if _is_it(log, truth) else log
        for log in logs
    ]


def _other_subject(logs: list[Json], truth: Truth) -> list[Json]:
    return [
        {**log, "topics": [log["topics"][0], _bit(log["topics"][1], -1), *log["topics"][2:]]}
        if _is_it(log, truth)
        else log
        for log in logs
    ]


def _other_block(logs: list[Json], truth: Truth) -> list[Json]:
    return [{**log, "blockHash": _bit(log["blockHash"], -1)} if _is_it(log, truth) else log for log in logs]


def _other_tx(logs: list[Json], truth: Truth) -> list[Json]:
    return [
        {**log, "transactionHash": _bit(log["transactionHash"], -1)} if _is_it(log, truth) else log
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
            {**answer, "result": _bit(result, -1)} if isinstance(result, str) and len(result) == 66 else None
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
            return {**answer, "result": {**block, field: _bit(block[field], -1)}} if block else None

        return each(change, "eth_getBlockByNumber", "eth_getBlockByHash")

    return make


def _elsewhere(truth: Truth) -> Fault:
    """Answer everything from another chain."""

    def fault(exchange: Exchange) -> Reply | None:
        import urllib.request

        request = urllib.request.Request(
            truth.other, exchange.body, {"content-type": "application/json"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return Reply(body=answer.read())

    return fault


def _silence(truth: Truth) -> Fault:
    return timeout


LIES: Sequence[Lie] = (
    Lie(name="leaves one log out", make=_logs(_without_it)),
    Lie(name="gives one log twice", make=_logs(_twice)),
    Lie(name="gives them in reverse", make=_logs(_turned)),
    Lie(name="swaps what two logs say", make=_logs(_two_turned)),
    Lie(name="breaks off after half", make=_logs(_first_half)),
    Lie(name="gives none", make=_logs(_none)),
    Lie(name="alters data", make=_logs(_altered("data", -1))),
    Lie(name="alters the actor", make=_logs(_other_actor)),
    Lie(name="alters the subject", make=_logs(_other_subject)),
    Lie(name="alters the address", make=_logs(_altered("address", -1))),
    Lie(name="alters the block hash of a log", make=_logs(_other_block)),
    Lie(name="alters the block number of a log", make=_logs(_altered("blockNumber", -1))),
    Lie(name="alters the transaction hash of a log", make=_logs(_other_tx)),
    Lie(name="invents a log", make=_logs(_invented)),
    Lie(name="calls a log removed", make=_logs(_removed)),
    Lie(name="hides an asset from the start, heads too", make=_hidden),
    Lie(name="gives false heads", make=_false_heads),
    Lie(name="gives no heads", make=_no_heads),
    Lie(name="alters the time of blocks", make=_false_header("timestamp")),
    Lie(name="alters the hash of blocks", make=_false_header("hash")),
    Lie(name="alters the parent of blocks", make=_false_header("parentHash")),
    Lie(name="alters the bloom of blocks", make=_false_header("logsBloom")),
    Lie(name="serves another chain", make=_elsewhere),
    Lie(name="stays behind", make=lambda _: stale),
    Lie(name="goes back and forth", make=lambda _: back_and_forth()),
    Lie(name="answers nothing", make=_silence),
    Lie(name="breaks off its answers", make=lambda _: reset),
    Lie(name="answers 502", make=lambda _: status(502, b"<html>", "text/html")),
)

HARMLESS = ("goes back and forth", "stays behind", "alters the bloom of blocks")
"""What may pass unnamed where it changes nothing: an endpoint that is behind at times is believed only up to where it is."""
UNSEEN = ("alters the time of blocks", "alters the parent of blocks")
"""What nobody looks at when the second endpoint says it: headers are those of the preferred one, checked against their hash."""


OPEN = {
    "alters the transaction hash of a log": "no head covers it: of two that disagree, the preferred one is believed",
    "swaps what two logs say": "no head covers the order of two subjects within a block: the preferred one is believed",
    "invents a log": "the index stops until the lie ends",
    "hides an asset from the start, heads too": "the index stops until the lie ends",
    "gives false heads": "the index stops until the lie ends",
    "stays behind": "the index stays behind with it",
    "alters the hash of blocks": "not named when the second endpoint does it",
}
"""Lies that are not dealt with yet, and what comes of them; none is believed silently."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one lie: whether it was met, named, and what is wrong."""

    lie: str
    preferred: bool
    hits: int
    named: bool
    why: str
    seconds: float
    broken: tuple[str, ...]


class Stage:
    """A chain with a history, an honest endpoint and one that will lie."""

    def __init__(self, shop: Shop, stack: ExitStack, *, seed: int) -> None:
        self.shop = shop
        chance = random.Random(seed)
        teller = Storyteller(shop, seed=seed)
        chain = Chain(shop, teller.people)
        said = mixed([teller.story() for _ in range(3)], chance)
        for start in range(0, len(said), 6):
            chain.mine(chain.sign(said[start : start + 6]), pause=chance.choice((0, 0, 0, 0, 0, 0, 30_000)))
        self.honest = stack.enter_context(Proxy(shop.node.url))
        self.liar = stack.enter_context(Proxy(shop.node.url))
        other = stack.enter_context(Node.start(anvil(), chain_id=shop.rpc.chain_id + 1))
        self.truth = self._truth(other.url, chance)
        with tempfile.TemporaryDirectory() as name:
            fresh = Follower(shop, Path(name) / "fresh.sqlite")
            fresh.follow()
            self.hash = fresh.hash()
            fresh.close()
        self.ledger = rows_of_ledger(folded(shop))

    def _truth(self, other: str, chance: random.Random) -> Truth:
        raw = self.shop.rpc.call(
            LOGS, ({"address": to_hex(self.shop.deployment.market), "fromBlock": "0x0"},)
        )
        assets = self.shop.rpc.call(
            LOGS, ({"address": to_hex(self.shop.deployment.assets), "fromBlock": "0x0"},)
        )
        # In the middle, and with a neighbour in its block.
        pairs = [
            first
            for first, second in itertools.pairwise(raw)
            if first["blockNumber"] == second["blockNumber"]
            and int(second["logIndex"], 16) == int(first["logIndex"], 16) + 1
            and len(first["topics"]) == len(second["topics"]) == 4
        ]
        log = chance.choice(pairs[len(pairs) // 3 :])
        victim = next(item["topics"][1] for item in assets if len(item["topics"]) == 4)
        return Truth(victim=victim, place=(log["blockNumber"], log["logIndex"]), other=other)

    def tell(self, lie: Lie, *, preferred: bool, folder: Path) -> Outcome:
        """Have the one endpoint lie while an index is built, then see whether it is true."""
        began = time.monotonic()
        urls = [self.liar.url, self.honest.url] if preferred else [self.honest.url, self.liar.url]
        self.liar.arm(lie.make(self.truth))
        follower = Follower(self.shop, folder / "index.sqlite", urls=urls, timeout=0.5, attempts=2)
        broken = []
        try:
            try:
                follower.follow()
            except Exception as exc:  # noqa: BLE001  # judged here
                broken.append(f"it does not go on: {type(exc).__name__}: {exc}"[:400])
            else:
                if follower.hash() != self.hash:
                    broken.append("the content hash is another one")
                broken += differences(rows_of_index(follower.database), self.ledger)
            port = self.liar.url.rpartition(":")[2]
            faults = [fault for fault in follower.faults() if port in fault.endpoint]
            wrongly = [fault for fault in follower.faults() if port not in fault.endpoint]
            if not faults and lie.name not in HARMLESS and (preferred or lie.name not in UNSEEN):
                broken.append("the liar is not named")
            if wrongly and not faults:
                broken.append(f"only the honest one is named: {wrongly[0].error}"[:300])
            if not self.liar.hits:
                broken.append("the lie was not met")
            return Outcome(
                lie=lie.name,
                preferred=preferred,
                hits=self.liar.hits,
                named=bool(faults),
                why=f"{type(faults[0].error).__name__}: {faults[0].error}" if faults else "",
                seconds=time.monotonic() - began,
                broken=tuple(broken),
            )
        finally:
            self.liar.lift()
            follower.close()


@contextmanager
def stage(folder: Path, *, seed: int) -> Iterator[Stage]:
    """Set the stage."""
    with ExitStack() as stack:
        shop = stack.enter_context(opened(folder))
        yield Stage(shop, stack, seed=seed)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    given = parser.parse_args()
    print(f"liars: seed {given.seed}", flush=True)
    outcomes = []
    with (
        tempfile.TemporaryDirectory(prefix="steelyard-liars-") as name,
        stage(Path(name), seed=given.seed) as made,
    ):
        for lie in LIES:
            for preferred in (True, False):
                with tempfile.TemporaryDirectory(dir=name) as place:
                    outcome = made.tell(lie, preferred=preferred, folder=Path(place))
                outcomes.append(outcome)
                who = "preferred" if preferred else "second"
                sign = "X" if outcome.broken else "named" if outcome.named else "harmless"
                print(
                    f"{lie.name:42} {who:9} {sign:8} {outcome.seconds:5.1f} s  {outcome.why[:150]}",
                    flush=True,
                )
                for fault in outcome.broken:
                    print(f"liars: {lie.name}, {who}: {fault}", flush=True)
    failed = sum(bool(item.broken) for item in outcomes)
    named = sum(item.named for item in outcomes)
    print(
        f"liars: {len(LIES)} lies, each by the preferred and by the second endpoint: {named} of {len(outcomes)} named, "
        f"{sum(not item.named and not item.broken for item in outcomes)} without effect, {failed} failed; the index is right in "
        f"{len(outcomes) - failed} of {len(outcomes)}"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
