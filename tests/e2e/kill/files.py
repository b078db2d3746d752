"""Kills a publisher and a buyer of a large file again and again, and then counts.

    python -m tests.e2e.kill.campaign --files [KILLS] [MIB] [SEED]

Each side is killed so many times (20 by default), at random places in the file, in processes of their own. Some kills of the publisher
are followed by an edit of the file, which he finds out after the next one and takes back. Each process has 200 MiB of data at most. Counted are: chunks that were in the store
and had to be sealed again (at most one a worker), blocks of the store that no journal accounts for (a second plaintext under a
key and nonce would be one), bytes that a resumed pull did not find again, and files that differ at the end.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steelyard.chain.deployment import Deployment
from steelyard.crypto.secret import Secret
from steelyard.market import Market
from steelyard.service.account import Account
from steelyard.service.context import Settings
from steelyard.service.journal import _HEADER, _RECORD
from steelyard.service.sealing import WAITING
from steelyard.storage.embedded import EmbeddedStore
from tests.e2e.kill.shop import PRICE, Shop, opened

ROOT = Path(__file__).parents[3]
MIB = 1 << 20
THREADS = 2
WORKERS = THREADS + WAITING
_SECONDS = 300.0
_MEMORY = 200 << 20
"""Bytes of data that a child may have (``RLIMIT_DATA``)."""


@dataclass(frozen=True)
class Result:
    """What a campaign counted.

    Attributes:
        publisher: kills while sealing.
        buyer: kills while pulling.
        edits: of the file between two kills.
        again: chunks that had to be sealed again, most after one kill.
        unexplained: blocks of the store that no journal accounts for.
        forgotten: kills after which less was found than had been there.
        different: files that differ at the end.
        seconds: in all.
    """

    publisher: int
    buyer: int
    edits: int
    again: int
    unexplained: int
    forgotten: int
    different: int
    seconds: float

    def line(self) -> str:
        """Return it for people."""
        return (
            f"{self.publisher} kills of the publisher, {self.edits} edits, {self.buyer} kills of the buyer: sealed again after a kill "
            f"at most {self.again}, blocks unaccounted for {self.unexplained}, progress forgotten {self.forgotten}, "
            f"files different {self.different}; {self.seconds:.0f} s"
        )

    @property
    def good(self) -> bool:
        """Whether nothing was lost beyond one chunk a worker."""
        return self.again <= WORKERS and not self.unexplained + self.forgotten + self.different


class Child:
    """One publish or pull in a process of its own."""

    def __init__(self, task: dict[str, Any]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.kill.files", "child"],
            cwd=ROOT,
            env=dict(os.environ, PYTHONPATH=f"{ROOT / 'backend'}:{ROOT}"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(task))
        self._process.stdin.close()

    def kill_when(self, there: Callable[[], int], target: int) -> bool:
        """Kill it once so much is there; returns whether it was killed, and not done before."""
        end = time.monotonic() + _SECONDS
        while self._process.poll() is None and there() < target:
            if time.monotonic() > end:
                raise TimeoutError("the child gets nowhere")
            time.sleep(0.002)
        killed = self._process.poll() is None
        self._process.send_signal(signal.SIGKILL)
        return killed

    def result(self) -> tuple[int, str]:
        """Wait; returns the bytes that it found done when it began, and what it says at the end."""
        assert self._process.stdout is not None
        first, last = -1, ""
        with self._process.stdout as lines:
            for line in lines:
                if line.startswith("done "):
                    first = int(line.split()[1]) if first < 0 else first
                else:
                    last = line.strip()
        self._process.wait()
        return first, last


def child() -> None:
    """Do what the standard input says, and print how far it was at the start."""
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
    task = json.load(sys.stdin)
    market = Market(
        task["node"],
        deployment=Deployment.load(Path(task["deployment"])),
        store=EmbeddedStore(task["store"]),
        account=Account.from_key(
            Secret(bytes.fromhex(task["key"])), seed=Secret(bytes.fromhex(task["seed"]))
        ),
        home=Path(task["home"]),
        settings=Settings(poll=0.05, margin=0, threads=THREADS),
    )
    told = False

    def progress(what: str, done: int, total: int) -> None:
        nonlocal told
        if what in ("seal", "open") and not told:
            told = True
            print(f"done {done}", flush=True)

    with market:
        if task["what"] == "publish":
            print(market.publish(task["folder"], name=task["name"], progress=progress).ref, flush=True)
        elif task["what"] == "version":
            print(market.new_version(task["ref"], task["folder"], progress=progress).ref, flush=True)
        else:
            print(market.pull(task["ref"], progress=progress), flush=True)


class Publisher:
    """The seller's side: what his journals say, and what the store has."""

    def __init__(self, shop: Shop, folder: Path) -> None:
        self.home = shop.folder / "publisher"
        self.key = secrets.token_bytes(32)
        account = Account.from_key(Secret(self.key), seed=Secret(self.key))
        shop.market(account, home=self.home)
        shop.faucet.send(_gift(account))
        self.folder = folder
        self._shop = shop
        self._seen: dict[tuple[bytes, int], bytes] = {}
        self.blocks: set[bytes] = set()

    def task(self, name: str) -> dict[str, Any]:
        """Return what a child needs to publish."""
        return _task(self._shop, self.key, self.home) | {
            "what": "publish",
            "folder": str(self.folder),
            "name": name,
        }

    def records(self) -> int:
        """Return the number of records in all journals; a look at their lengths is enough while they grow."""
        return sum(len(blocks) for _, blocks in self._journals())

    def note(self) -> int:
        """Account for the blocks that the journals name; returns how many chunks of the newest journal are recorded.

        Raises:
            AssertionError: two blocks were sealed under one key and nonce.
        """
        newest = 0
        for salt, blocks in self._journals():
            for index, block in blocks.items():
                assert self._seen.setdefault((salt, index), block) == block, (
                    "two plaintexts under one key and nonce"
                )
                self.blocks.add(block)
            newest = max(newest, len(blocks))
        return newest

    def _journals(self) -> list[tuple[bytes, dict[int, bytes]]]:
        found = []
        for path in (self.home / "sealing").glob("*.journal"):
            data = path.read_bytes()
            salt, blocks = data[16:48], {}
            for index in range((len(data) - _HEADER) // _RECORD):
                record = data[_HEADER + index * _RECORD : _HEADER + (index + 1) * _RECORD]
                check = hashlib.sha256(salt + index.to_bytes(8, "big") + record[:-32]).digest()
                if check == record[-32:]:
                    blocks[index] = record[:32]
            found.append((salt, blocks))
        return found

    def stored(self) -> set[bytes]:
        """Return the digests of all blocks of a full chunk in the store."""
        return {digest for digest, entry in self._shop.store.files() if entry.stat().st_size == MIB}


def _gift(account: Account) -> Any:
    from steelyard.chain.calls import Call

    return Call(account.address, b"", 100 * 10**18)


def _task(shop: Shop, key: bytes, home: Path) -> dict[str, Any]:
    return {
        "node": shop.node.url,
        "deployment": str(shop.folder / "deployment.json"),
        "store": str(shop.store.path),
        "home": str(home),
        "key": key.hex(),
        "seed": key.hex(),
    }


def _publish(
    side: Publisher, chance: random.Random, *, kills: int, chunks: int
) -> tuple[list[str], int, int, int]:
    """Publish under kills; returns the references, edits, most chunks sealed again, and times that progress was forgotten."""
    large = side.folder / "large.bin"
    whole, edits, again, forgotten, recorded = large.read_bytes(), 0, 0, 0, 0
    edited = whole[: 3 * MIB] + b"edited" + whole[3 * MIB + 6 :]
    for number in range(kills):
        target = recorded + max(
            1, round((chunks - recorded) * chance.uniform(0.02, 2 / (kills - number + 1)))
        )
        run = Child(side.task("large"))
        killed = run.kill_when(side.records, min(target, chunks - 1))
        found, _ = run.result()
        assert killed, "it was done before the kill"
        forgotten += 0 <= found < recorded * MIB - 2 * MIB
        recorded = side.note()
        again = max(again, len(side.stored() - side.blocks))
        if number % 5 == 1:  # edited, killed once more, and taken back
            edits += 1
            large.write_bytes(edited)
            before = side.records()
            run = Child(side.task("large"))
            assert run.kill_when(side.records, before + 2), "it was done before the kill"
            run.result()
            side.note()
            large.write_bytes(whole)
    found, ref = Child(side.task("large")).result()
    forgotten += 0 <= found < recorded * MIB - 2 * MIB
    refs = [ref]
    if edits:  # it goes on too, so that what it had in hand without a record can be accounted for
        large.write_bytes(edited)
        refs.append(Child(side.task("large") | {"what": "version", "ref": ref}).result()[1])
        large.write_bytes(whole)
    return refs, edits, again, forgotten


def _pull(
    shop: Shop, task: dict[str, Any], home: Path, chance: random.Random, *, kills: int, size: int
) -> tuple[Path, int]:
    """Pull under kills; returns the folder, and how often progress was forgotten."""

    def there() -> int:
        total = 0
        for path in home.glob("models/*/partial/*/*"):
            try:
                total += path.stat().st_size if path.name != "roots" else 0
            except FileNotFoundError:
                pass
        return total

    forgotten, before = 0, 0
    for number in range(kills):
        target = before + max(1, round((size - before) * chance.uniform(0.02, 2 / (kills - number + 1))))
        run = Child(task)
        killed = run.kill_when(there, min(target, size - MIB))
        found, _ = run.result()
        assert killed, "it was done before the kill"
        forgotten += 0 <= found < before or there() < before
        before = there()
    found, path = Child(task).result()
    forgotten += 0 <= found < before
    return Path(path), forgotten


def campaign(folder: Path, *, kills: int, mib: int, seed: int) -> Result:
    """Run it on an anvil of its own.

    Args:
        folder: an empty one.
        kills: on each side.
        mib: size of the large file.
        seed: of the places of the kills.
    """
    start, chance = time.monotonic(), random.Random(seed)
    model = folder / "model"
    model.mkdir()
    with (model / "large.bin").open("wb") as file:
        for _ in range(mib):
            file.write(chance.randbytes(MIB))
    for number in range(30):
        (model / f"small-{number}.bin").write_bytes(chance.randbytes(chance.randrange(9000)))
    size = sum(path.stat().st_size for path in model.iterdir())
    with opened(folder) as shop:
        side = Publisher(shop, model)
        refs, edits, again, forgotten = _publish(side, chance, kills=kills, chunks=size // MIB)
        seller = shop.market(Account.from_key(Secret(side.key), seed=Secret(side.key)), home=side.home)
        ref = refs[0]
        manifest = seller.verify(ref).manifest
        unexplained = len(side.stored() - _expected(side, seller, refs))
        seller.offer(ref, price=PRICE)
        key = secrets.token_bytes(32)
        account, home = Account.from_key(Secret(key), seed=Secret(key)), folder / "buyer"
        shop.faucet.send(_gift(account))
        buyer = shop.market(account, home=home)
        purchase = buyer.buy(ref, wait=False)
        seller.deliver(purchase)
        task = _task(shop, key, home) | {"what": "pull", "ref": ref}
        path, lost = _pull(shop, task, home, chance, kills=kills, size=size)
        different = sum(
            (path / entry.path).read_bytes() != (model / entry.path).read_bytes() for entry in manifest.files
        )
    return Result(
        publisher=kills + edits,
        buyer=kills,
        edits=edits,
        again=again,
        unexplained=unexplained,
        forgotten=forgotten + lost,
        different=different,
        seconds=time.monotonic() - start,
    )


def _expected(side: Publisher, seller: Market, refs: list[str]) -> set[bytes]:
    """Return the blocks that the journals named, and those of the published folders."""
    from steelyard.storage.cid import digest_of

    found = set(side.blocks)
    for ref in refs:
        walk = seller.context.store.walk(seller.verify(ref).cid, leaves=False)
        found |= {digest_of(block.cid) for block in walk}
    return found


def main(arguments: list[str]) -> int:
    """Run from the command line."""
    kills, mib = (int(arguments[i]) if len(arguments) > i else value for i, value in ((0, 20), (1, 256)))
    seed = int(arguments[2]) if len(arguments) > 2 else random.SystemRandom().randrange(1 << 32)
    print(f"kill: seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="steelyard-kill-") as folder:
        result = campaign(Path(folder), kills=kills, mib=mib, seed=seed)
    print(f"kill: {result.line()}")
    return 0 if result.good else 1


if __name__ == "__main__":
    child()
