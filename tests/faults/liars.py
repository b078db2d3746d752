"""Two RPC providers of which one lies: the lie is found out and its endpoint named, and the index goes on with the honest one.

    python -m tests.faults.liars [--seed N]

Every lie is told three times: by the preferred endpoint, by the second one, and by one that is asked alone. What counts beside an honest
endpoint: the index ends at the newest block with the content hash of one that only asked the honest endpoint, nothing false is left in
it, and a report names the liar. What counts alone: nothing false stays, but for what nobody can know who asks one endpoint only.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from steelyard.chain.hexdata import to_hex
from steelyard.chain.node import Node
from steelyard.domain.events import TYPES
from steelyard.errors import SteelyardError
from steelyard.indexer.source import LieError
from tests.e2e.kill.shop import Shop, anvil, opened
from tests.faults.forgeries import LOGS, Truth
from tests.faults.index import Follower, differences, folded, rows_of_index, rows_of_ledger
from tests.faults.lies import LIES, Lie
from tests.faults.proxy import Proxy
from tests.faults.stories import Chain, Storyteller, mixed

Place = Literal["preferred", "second", "alone"]
PLACES: Sequence[Place] = ("preferred", "second", "alone")
HARMLESS = ("goes back and forth",)
"""What may pass unnamed where it changes nothing."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one lie: whether it was met and named, what the index is then, and what is wrong."""

    lie: str
    place: Place
    named: bool
    is_right: bool
    is_false: bool
    why: str
    seconds: float
    broken: tuple[str, ...]

    @property
    def sign(self) -> str:
        """One word for it."""
        if self.broken:
            return "FAILED"
        if self.is_right:
            return "right"
        return "refused" if self.named and not self.is_false else "believed"


class Stage:
    """A chain with a history, two honest endpoints and one that will lie."""

    def __init__(self, shop: Shop, stack: ExitStack, *, seed: int) -> None:
        self.shop = shop
        chance = random.Random(seed)
        teller = Storyteller(shop, seed=seed)
        chain = Chain(shop, teller.people)
        said = mixed([teller.story() for _ in range(3)], chance)
        for start in range(0, len(said), 6):
            chain.mine(chain.sign(said[start : start + 6]), pause=chance.choice((0, 0, 0, 0, 0, 0, 30_000)))
        self.honest, self.liar, self.third = (stack.enter_context(Proxy(shop.node.url)) for _ in range(3))
        other = stack.enter_context(Node.start(anvil(), chain_id=shop.rpc.chain_id + 1))
        self.truth = self._truth(other.url, chance)
        with tempfile.TemporaryDirectory() as name:
            fresh = Follower(shop, Path(name) / "fresh.sqlite")
            fresh.follow()
            self.hash = fresh.hash()
            self.events = _events(fresh)
            fresh.close()
        self.ledger = rows_of_ledger(folded(shop))

    def _truth(self, other: str, chance: random.Random) -> Truth:
        rpc = self.shop.rpc
        entries = [
            to_hex(topic) for topic in TYPES
        ]  # and none of the transfers of tokens, which no index asks for
        market = {
            "address": to_hex(self.shop.deployment.market),
            "topics": [entries],
            "fromBlock": "0x0",
        }
        raw = rpc.call(LOGS, (market,))
        assets = rpc.call(LOGS, ({"address": to_hex(self.shop.deployment.assets), "fromBlock": "0x0"},))
        # In the middle, and with a neighbour in its block.
        pairs = [
            first
            for first, second in itertools.pairwise(raw)
            if first["blockNumber"] == second["blockNumber"]
            and int(second["logIndex"], 16) == int(first["logIndex"], 16) + 1
        ]
        log = chance.choice(pairs[len(pairs) // 3 :])
        victim = next(item["topics"][1] for item in assets if len(item["topics"]) == 4)
        headers = [
            rpc.call("eth_getBlockByNumber", (hex(number), False)) for number in range(rpc.block_number() + 1)
        ]
        place = (log["blockNumber"], log["logIndex"])
        return Truth(victim=victim, place=place, other=other, headers=headers)

    def tell(self, lie: Lie, *, place: Place, folder: Path) -> Outcome:
        """Have the one endpoint lie while an index is built, then see whether it is true."""
        began = time.monotonic()
        honest = [] if place == "alone" else [self.honest.url, *([self.third.url] if lie.of_three else [])]
        urls = [*honest[:1], self.liar.url, *honest[1:]] if place == "second" else [self.liar.url, *honest]
        self.liar.arm(lie.make(self.truth))
        follower = Follower(self.shop, folder / "index.sqlite", urls=urls, timeout=0.5, attempts=2)
        try:
            stopped = self._follow(follower)
            for _ in range(0 if stopped else lie.looks):
                follower.indexer.step()
            wrong, false = self._wrong(follower), self._false(follower)
            port = self.liar.url.rpartition(":")[2]
            named = [fault for fault in follower.faults() if port in fault.endpoint]
            innocent = [fault for fault in follower.faults() if port not in fault.endpoint]
            broken = []
            if place == "alone":
                if not lie.believed:
                    broken += false
                    if wrong and not named:
                        broken.append("the liar is not named")
            else:
                broken += [*stopped, *wrong, *false]
                if not named and lie.name not in HARMLESS:
                    broken.append("the liar is not named")
                if port in follower.leader() and any(isinstance(fault.error, LieError) for fault in named):
                    broken.append("the liar leads on")
                if innocent and not named:
                    broken.append(f"only an honest one is named: {innocent[0].error}"[:300])
            if not self.liar.hits:
                broken.append("the lie was not met")
            return Outcome(
                lie=lie.name,
                place=place,
                named=bool(named),
                is_right=not wrong and not false,
                is_false=bool(false),
                why=f"{type(named[0].error).__name__}: {named[0].error}" if named else "",
                seconds=time.monotonic() - began,
                broken=tuple(broken),
            )
        finally:
            self.liar.lift()
            follower.close()

    def _follow(self, follower: Follower) -> list[str]:
        """Follow the chain, three times if it stops: what is refused once must be refused again."""
        why = ""
        for _ in range(3):
            try:
                follower.follow()
            except (SteelyardError, AssertionError) as exc:
                why = f"it does not go on: {type(exc).__name__}: {exc}"[:400]
            else:
                return []
        return [why]

    def _wrong(self, follower: Follower) -> list[str]:
        found = []
        if follower.hash() != self.hash:
            found.append("the content hash is another one")
        return found + differences(rows_of_index(follower.database), self.ledger)

    def _false(self, follower: Follower) -> list[str]:
        """Say what is in the index that the chain does not have."""
        found = []
        more = _events(follower) - self.events
        if more:
            found.append(f"{len(more)} false entries")
        with follower.database.read() as reader:
            blocks = reader.rows("SELECT number, hash, time FROM blocks ORDER BY number")
        for number, block_hash, when in blocks:
            header = self.truth.headers[number] if number < len(self.truth.headers) else {}
            if (header.get("hash"), header.get("timestamp")) != (to_hex(block_hash), hex(when)):
                found.append(f"block {number} is a false one")
        return found


def _events(follower: Follower) -> set[tuple[Any, ...]]:
    with follower.database.read() as reader:
        return {tuple(row) for row in reader.rows("SELECT * FROM events")}


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
            for place in PLACES:
                with tempfile.TemporaryDirectory(dir=name) as folder:
                    outcome = made.tell(lie, place=place, folder=Path(folder))
                outcomes.append(outcome)
                print(
                    f"{lie.name:52} {place:9} {outcome.sign:8} {outcome.seconds:5.1f} s  {outcome.why[:150]}",
                    flush=True,
                )
                for fault in outcome.broken:
                    print(f"liars: {lie.name}, {place}: {fault}", flush=True)
    failed = sum(bool(item.broken) for item in outcomes)
    for place in PLACES:
        here = [item for item in outcomes if item.place == place]
        print(
            f"liars: {len(here)} lies, {place}: {sum(item.named for item in here)} named, the index right in "
            f"{sum(item.is_right for item in here)}, refused {sum(item.sign == 'refused' for item in here)}, "
            f"believed {sum(item.sign == 'believed' for item in here)}, failed {sum(bool(item.broken) for item in here)}"
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
