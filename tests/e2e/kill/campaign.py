"""Kills the service again and again while people buy, and then counts.

    python -m tests.e2e.kill.campaign [KILLS] [SEED]

One kill at every commit point, and as many at random moments as asked for (200 by default). Afterwards the service runs undisturbed,
and then: every purchase and key request is delivered exactly once, every one that could be settled is settled, no call of the
service stands twice in the chain, none reverted, and no secret is in anything that was written.
"""

from __future__ import annotations

import base64
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from steelyard.crypto.delivery import content_key, key_point
from steelyard.crypto.secret import Secret
from steelyard.domain.types import PurchaseId, State
from steelyard.service.keyring import Keyring
from steelyard.service.results import Offered
from tests.e2e.kill.shop import ETHER, SEED, Service, Shop, opened

ROOT = Path(__file__).parents[3]
STEPS = ("decided", "planned", "signed", "sent", "marked", "receipt", "mined")
POINTS = ("feed.stepped", *(f"{kind}.{step}" for kind in ("deliver", "key", "settle") for step in STEPS))
WINDOW = 3600


@dataclass(frozen=True)
class Result:
    """What a campaign counted."""

    points: int
    random: int
    purchases: int
    requests: int
    settled: int
    lost: int
    doubled: int
    reverted: int
    leaks: int
    seconds: float
    last: Counter[str]

    def line(self) -> str:
        """Return it for people."""
        return (
            f"{self.points} kills at commit points, {self.random} at random; {self.purchases} purchases, {self.requests} key "
            f"requests, {self.settled} settlements: lost {self.lost}, sent twice {self.doubled}, reverted {self.reverted}, "
            f"secrets found {self.leaks}; {self.seconds:.0f} s"
        )


class Campaign:
    """One shop, and the services that are killed in it."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.log = shop.folder / "serve.log"
        self.now: Offered = shop.publish("at-once", scope="all")
        self.later: Offered = shop.publish("window", window=WINDOW)
        shop.seller.fund_bond(ETHER)
        shop.new_version(self.now.ref)
        self.last: Counter[str] = Counter()
        self.purchases: list[PurchaseId] = []
        self.requests: list[bytes] = []
        self.windows: list[PurchaseId] = []
        with Service(shop.seller) as service:
            (self.licence,) = shop.buy(self.now)
            service.wait("delivered", self.licence)
        self.purchases.append(self.licence)

    @contextmanager
    def zygote(self) -> Iterator[subprocess.Popen[str]]:
        """Start the process that is forked."""
        shop = self.shop
        places = [shop.folder / "deployment.json", shop.folder / "store", shop.folder / "home"]
        keys = [shop.seller_account.key.reveal().hex(), SEED.reveal().hex()]
        command = [sys.executable, "-m", "tests.e2e.kill.zygote"]
        path = os.pathsep.join([str(ROOT / "backend"), str(ROOT)])
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}
        with subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin is not None and process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            # Not on the command line, where everybody could read them.
            print(
                json.dumps([shop.node.url, *map(str, places), *keys, str(self.log)]),
                file=process.stdin,
                flush=True,
            )
            try:
                yield process
            finally:
                process.stdin.close()

    def kill(self, zygote: subprocess.Popen[str], **order: object) -> int:
        """Run the service until it is killed; returns the signal that ended it."""
        assert zygote.stdin is not None and zygote.stdout is not None
        print(json.dumps(order), file=zygote.stdin, flush=True)
        answer = json.loads(zygote.stdout.readline())
        self.last[answer["last"] or "start"] += 1
        return int(answer["signal"])

    def buy(self, count: int = 1) -> None:
        """Have something delivered at once, something with a window, and a key requested."""
        self.purchases += self.shop.buy(self.now, count)

    def request(self) -> None:
        """Ask for a key again with a fresh Q, and with a fee that is worth it."""
        from steelyard.crypto.delivery import blind
        from steelyard.domain.types import KeyRequest

        context = self.shop.buyer.context
        version = list(context.follow(self.now.asset).state().versions)[-1]
        asked = KeyRequest(
            self.licence, version, context.account.address, blind(Secret(os.urandom(31).rjust(32, b"\1")))
        )
        context.send(context.calls.request_key(self.licence, version, asked.key, within=86_400, fee=ETHER))
        self.requests.append(asked.id(chain_id=context.chain_id, market=context.deployment.market))

    def open_window(self) -> None:
        """Have one delivered with a window, and let the window pass."""
        (bought,) = self.shop.buy(self.later)
        self.windows.append(bought)
        with Service(self.shop.seller, settle=False) as service:
            service.wait("delivered", bought)
        self.shop.travel(WINDOW + 1)

    def at_every_point(self) -> int:
        """Kill it once at each commit point."""
        with self.zygote() as zygote:
            for point in POINTS:
                kind = point.partition(".")[0]
                {"key": self.request, "settle": self.open_window}.get(kind, self.buy)()
                ended = self.kill(zygote, point=point)
                assert ended == signal.SIGKILL, f"{point} was not reached"
        return len(POINTS)

    def at_random(self, kills: int, *, seed: int, longest: float = 0.35) -> int:
        """Kill it at random moments, while blocks come at their own pace."""
        chance = random.Random(seed)
        self.last.clear()
        rpc = self.shop.rpc
        rpc.call("anvil_setAutomine", (False,))
        rpc.call("anvil_setIntervalMining", (1,))
        rpc.call("anvil_setAutomine", (True,))
        with self.zygote() as zygote:
            for number in range(kills):
                # Two kinds of life: a block at once, and a transaction that waits while the service dies.
                waiting = number % 2 == 1
                self.buy(chance.randint(1, 3))
                if number % 5 == 0:
                    self.request()
                rpc.call("anvil_setAutomine", (not waiting,))
                assert self.kill(zygote, after=chance.uniform(0.0, longest)) == signal.SIGKILL
                rpc.call("evm_mine")
                rpc.call("anvil_setAutomine", (True,))
        return kills

    def finish(self, *, points: int, kills: int, began: float) -> Result:
        """Let the service run undisturbed, and count."""
        shop = self.shop
        wanted = [*self.purchases, *self.windows, *self.requests]
        with Service(shop.seller) as service:
            end = time.monotonic() + 120
            while time.monotonic() < end and self._open():
                time.sleep(0.05)
            shop.travel(WINDOW + 1)
            while time.monotonic() < end and any(
                shop.state(item) is State.DELIVERED for item in self.windows
            ):
                time.sleep(0.05)
        with self.log.open("a") as file:
            file.write("\n".join(service.lines))
        delivered = shop.deliveries()
        calls = Counter(tx["input"] for tx in shop.sent())
        return Result(
            points=points,
            random=kills,
            purchases=len(self.purchases) + len(self.windows),
            requests=len(self.requests),
            settled=sum(shop.state(item) is State.SETTLED for item in self.windows),
            lost=sum(delivered[item] == 0 for item in wanted),
            doubled=sum(count - 1 for count in calls.values()) + sum(delivered[item] > 1 for item in wanted),
            reverted=shop.reverted(),
            leaks=len(leaks(shop, self.log)),
            seconds=time.monotonic() - began,
            last=self.last,
        )

    def _open(self) -> bool:
        delivered = self.shop.deliveries()
        return any(delivered[item] == 0 for item in [*self.purchases, *self.windows, *self.requests])


def secrets_of(shop: Shop) -> list[bytes]:
    """Return every secret of the seller: key, seed, and for each version the scalar, the key point's abscissa and the content key."""
    found = [shop.seller_account.key.reveal(), SEED.reveal()]
    ring = Keyring(shop.seller.context)
    for asset in shop.seller.context.ledger.everything().refresh().assets.values():
        for version in asset.versions.values():
            kappa = ring.kappa(version.commitments)
            point = key_point(kappa)
            found += [kappa.reveal(), point.x.to_bytes(32, "big"), content_key(point).reveal()]
    return found


def spellings(secret: bytes) -> list[bytes]:
    """Return how a secret could have been written down."""
    number = str(int.from_bytes(secret, "big")).encode()
    plain = [secret, number, secret.hex().encode(), secret.hex().upper().encode()]
    coded = [
        code(secret).rstrip(b"=")[:-1]
        for code in (base64.b64encode, base64.urlsafe_b64encode, base64.b32encode)
    ]
    return [*plain, *coded, repr(secret).encode()[2:-1]]


def leaks(shop: Shop, log: Path) -> list[str]:
    """Return the files of the home folder and the log that hold a secret in any spelling."""
    wanted = [spelling for secret in secrets_of(shop) for spelling in spellings(secret)]
    files = [log, *(path for path in (shop.folder / "home").rglob("*") if path.is_file())]
    return [str(path) for path in files if any(spelling in path.read_bytes() for spelling in wanted)]


def campaign(folder: Path, *, kills: int, seed: int) -> Result:
    """Run all of it."""
    began = time.monotonic()
    with opened(folder) as shop:
        made = Campaign(shop)
        points = made.at_every_point()
        made.at_random(kills, seed=seed)
        return made.finish(points=points, kills=kills, began=began)


def main() -> int:
    """Run from the command line."""
    if "--index" in sys.argv:
        from tests.faults.kill_index import main as index_main

        return index_main()
    if "--files" in sys.argv:
        from tests.e2e.kill.files import main as files_main

        return files_main([word for word in sys.argv[1:] if word != "--files"])
    if "--gateway" in sys.argv:
        from tests.e2e.kill.gateway import main as gateway_main

        return gateway_main()
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 32)
    print(f"kill: seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="steelyard-kill-") as folder:
        result = campaign(Path(folder), kills=kills, seed=seed)
    print(f"kill: {result.line()}")
    passed = ", ".join(f"{name} {count}" for name, count in result.last.most_common())
    print(f"kill: last point passed before a random kill: {passed}")
    return 1 if result.lost or result.doubled or result.reverted or result.leaks else 0


if __name__ == "__main__":
    sys.exit(main())
