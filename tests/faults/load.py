"""Load with constant memory: many clients ask the HTTP service for minutes, and the memory of its process is looked at.

    python -m tests.faults.load [--clients 32] [--seconds 180] [--stories 60] [--seed N]

The service and its leader run in one process of their own, the clients here. They ask what auditors and buyers ask: lists with
filters, single things, holders, earnings, search, files and their ranges, prepared transactions; two follow the stream of events, and
one makes blocks. Counted: answers by status, latencies, and the resident memory of the service after a quarter of the time and at the end.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steelyard.api.server import listen, url_of
from tests.e2e.kill.shop import Shop, opened
from tests.faults.index import Follower
from tests.faults.kill_index import begin, ended, zygote
from tests.faults.served import prepare
from tests.faults.stories import Chain, Storyteller, mixed

WARM = 0.25
"""Part of the time after which memory is looked at first: caches are full by then."""
GROWTH = 1.10
"""What the memory at the end may be of that: more is a leak."""


@dataclass
class Seen:
    """What the clients saw."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    streamed: int = 0
    failures: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def resident(pid: int) -> int:
    """Return the resident memory of a process, bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the system does not tell")


def requests_of(
    known: dict[str, str], chance: random.Random
) -> Iterator[tuple[str, str, dict[str, str], Any]]:
    """Yield requests without end."""
    asset, version, account = known["asset"], known["version"], known["account"]
    lists = ["/v1/events", "/v1/payments", "/v1/assets", "/v1/obligations", f"/v1/assets/{asset}/purchases"]
    while True:
        draw = chance.random()
        if draw < 0.35:
            yield "GET", f"{chance.choice(lists)}?limit={chance.choice((1, 20, 100, 500))}", {}, None
        elif draw < 0.5:
            yield "GET", f"/v1/events?asset={asset}&limit={chance.randint(1, 500)}", {}, None
        elif draw < 0.6:
            yield (
                "GET",
                f"/v1/assets/{asset}/{chance.choice(('holders', 'version', 'versions', 'offers'))}",
                {},
                None,
            )
        elif draw < 0.68:
            yield "GET", f"/v1/accounts/{account}/earnings?since=0&until=99999999999", {}, None
        elif draw < 0.76:
            yield "GET", f"/v1/assets?text=digits{chance.randrange(10)}&facets=true", {}, None
        elif draw < 0.86:
            first = chance.randrange(4000)
            name = chance.choice(("manifest.json", "ciphertext", "card.md"))
            yield (
                "GET",
                f"/v1/versions/{version}/files/{name}",
                {"range": f"bytes={first}-{first + 500}"},
                None,
            )
        elif draw < 0.9:
            yield (
                "POST",
                "/v1/tx/fund-bond",
                {},
                {"from": account, "amount": str(chance.randrange(1, 1 << 50))},
            )
        elif draw < 0.95:
            yield "GET", f"/v1/events/{chance.randrange(1 << 40)}", {}, None
        else:
            yield "GET", f"/v1/events?cursor={chance.randrange(1 << 60):x}", {}, None


def client(host: str, port: int, known: dict[str, str], *, seed: int, end: float, seen: Seen) -> None:
    """Be one client, over one kept connection, until the end."""
    chance = random.Random(seed)
    connection = http.client.HTTPConnection(host, port, timeout=30)
    statuses: Counter[int] = Counter()
    seconds = []
    for method, path, headers, body in requests_of(known, chance):
        if time.monotonic() > end:
            break
        data = None if body is None else json.dumps(body).encode()
        sent = {**headers, **({"content-type": "application/json"} if data else {})}
        began = time.monotonic()
        try:
            connection.request(method, path, data, sent)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as exc:
            connection.close()
            with seen.lock:
                seen.failures.append(f"{method} {path}: {exc!r}")
            continue
        seconds.append(time.monotonic() - began)
        statuses[answer.status] += 1
    connection.close()
    with seen.lock:
        seen.statuses += statuses
        seen.seconds += seconds


def reader(host: str, port: int, *, end: float, seen: Seen) -> None:
    """Follow the stream of events."""
    connection = http.client.HTTPConnection(host, port, timeout=20)
    connection.request("GET", "/v1/events/stream")
    answer = connection.getresponse()
    while time.monotonic() < end and (line := answer.readline()):
        if line.startswith(b"event: entry"):
            with seen.lock:
                seen.streamed += 1
    connection.close()


@contextmanager
def running(shop: Shop, folder: Path) -> Iterator[tuple[str, int, int]]:
    """Run the service in a process of its own; yields host, port and process id."""
    listening = listen("127.0.0.1:0")
    url = url_of(listening)
    host, _, port = url.removeprefix("http://").partition(":")
    home = folder / "service"
    home.mkdir()
    given = {
        "rpc": shop.node.url,
        "chain_id": shop.rpc.chain_id,
        "deployment": str(folder / "deployment.json"),
        "store": str(folder / "store"),
        "home": str(home),
        "database": str(home / "index.sqlite"),
        "socket": listening.fileno(),
        "url": url,
    }
    follower = Follower(shop, home / "index.sqlite")
    follower.follow()
    follower.indexer.release()
    follower.close()
    try:
        with zygote(given, files=(listening.fileno(),)) as process:
            pid = begin(process, what="serve")
            try:
                yield host, int(port), pid
            finally:
                os.kill(pid, signal.SIGKILL)
                ended(process)
    finally:
        listening.close()


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=int, default=180)
    parser.add_argument("--stories", type=int, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    given = parser.parse_args()
    print(f"load: seed {given.seed}", flush=True)
    seen = Seen()
    with tempfile.TemporaryDirectory(prefix="steelyard-load-") as name, opened(Path(name)) as shop:
        known = prepare(shop)
        teller = Storyteller(shop, seed=given.seed)
        chain = Chain(shop, teller.people)
        said = mixed([teller.story() for _ in range(given.stories)], random.Random(given.seed))
        half = len(said) // 2
        for start in range(0, half, 25):
            chain.mine(chain.sign(said[start : start + 25]))
        with running(shop, Path(name)) as (host, port, pid):
            end = time.monotonic() + given.seconds
            ready = http.client.HTTPConnection(host, port, timeout=30)
            ready.request("GET", "/healthz")
            ready.getresponse().read()
            ready.close()
            at_first = resident(pid)
            threads = [
                threading.Thread(
                    target=client,
                    args=(host, port, known),
                    kwargs={"seed": given.seed + n, "end": end, "seen": seen},
                )
                for n in range(given.clients)
            ]
            threads += [
                threading.Thread(target=reader, args=(host, port), kwargs={"end": end, "seen": seen})
                for _ in range(2)
            ]
            for thread in threads:
                thread.start()
            samples = []
            rest = said[half:]
            while time.monotonic() < end:
                part, rest = rest[:5], rest[5:]
                chain.mine(chain.sign(part))
                samples.append((time.monotonic(), resident(pid)))
                time.sleep(max(0.2, given.seconds * 5 / max(1, len(said) - half)))
            for thread in threads:
                thread.join(40)
            at_last = resident(pid)
    begun = end - given.seconds
    warm = [size for when, size in samples if when - begun >= given.seconds * WARM]
    print(
        f"load: {given.clients} clients, {given.seconds} s: {len(seen.seconds)} answers "
        f"({', '.join(f'{status} {count}' for status, count in sorted(seen.statuses.items()))}), "
        f"{len(seen.seconds) / given.seconds:.0f} a second; latency p50 {_ms(seen.seconds, 0.5)}, p95 {_ms(seen.seconds, 0.95)}, "
        f"p99 {_ms(seen.seconds, 0.99)} ms; {seen.streamed} events streamed, {len(seen.failures)} broken connections"
    )
    mib = 1 << 20
    print(
        f"load: resident memory {at_first / mib:.0f} MiB at the start, {warm[0] / mib:.0f} after a quarter, "
        f"{max(warm) / mib:.0f} at most, {at_last / mib:.0f} at the end, median of the last quarter "
        f"{statistics.median(warm[-max(1, len(warm) // 3) :]) / mib:.0f}"
    )
    errors = sum(count for status, count in seen.statuses.items() if status >= 500)
    for failure in seen.failures[:5]:
        print(f"load: {failure}")
    leaks = statistics.median(warm[-max(1, len(warm) // 3) :]) > GROWTH * warm[0] + 8 * mib
    return 1 if errors or leaks or seen.failures or not seen.streamed else 0


def _ms(values: list[float], part: float) -> str:
    found = sorted(values)[min(len(values) - 1, int(len(values) * part))]
    return f"{found * 1000:.1f}"


if __name__ == "__main__":
    sys.exit(main())
