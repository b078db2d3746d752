"""Kills the index and the HTTP service again and again, and then counts. `make kill ARGS=--index`.

    python -m tests.faults.kill_index [--kills N] [--lives N] [--turns N] [--seed N] [--postgres]

The index is killed right before and right after each of its commits, while it is built, while it goes on, and while it undoes a
re-organisation; then N times at random. After each death its file is checked and folded again from its own entries; at the end its
content hash must be that of a fresh one.

With --postgres the same in PostgreSQL, by SIGKILL of its client. Then two processes keep one index, and the one that leads is killed, N times.

The service (HTTP and leader in one process) is killed N times in the middle of a request, while somebody signs in, uploads, repeats
requests under an ``Idempotency-Key``, and webhooks tell of entries. What was acknowledged must be there in the next life.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from steelyard.api.server import listen, url_of
from steelyard.api.session import MAX_SESSIONS
from steelyard.chain.hexdata import checksum_address
from steelyard.crypto.secret import Secret
from steelyard.errors import SteelyardError
from steelyard.indexer.database import open_database
from steelyard.indexer.verify import check
from steelyard.service.account import Account
from tests.e2e.kill.shop import Service as Keys
from tests.e2e.kill.shop import Shop, opened
from tests.faults.index import Follower, differences, folded, rows_of_index, rows_of_ledger
from tests.faults.served import Served
from tests.faults.stories import Chain, Storyteller, mixed
from tests.support.postgres import Postgres, postgres, stop_postgres

ROOT = Path(__file__).parents[2]
LONGEST = 0.12
"""Seconds of an index's life, at most; a round takes it about half as long."""


@contextmanager
def zygote(given: dict[str, Any], *, files: tuple[int, ...] = ()) -> Iterator[subprocess.Popen[str]]:
    """Start the process that is forked."""
    path = os.pathsep.join([str(ROOT / "backend"), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}
    log = Path(given["deployment"]).with_name("children.log")
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "tests.faults.kill_child"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            pass_fds=files,
        ) as process,
    ):
        assert process.stdin is not None and process.stdout is not None
        print(json.dumps(given), file=process.stdin, flush=True)
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        except BaseException:
            print(
                f"kill: what the processes said last: {log.read_text(errors='replace')[-2000:]}",
                file=sys.stderr,
            )
            raise
        finally:
            process.stdin.close()


def begin(process: subprocess.Popen[str], **order: Any) -> int:
    """Give an order; returns the process id of who carries it out."""
    assert process.stdin is not None and process.stdout is not None
    print(json.dumps(order), file=process.stdin, flush=True)
    return int(json.loads(process.stdout.readline())["pid"])


def ended(process: subprocess.Popen[str]) -> int:
    """Wait for its end; returns the signal, or minus the exit code."""
    assert process.stdout is not None
    return int(json.loads(process.stdout.readline())["signal"])


# -- the index -----------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Index:
    """What the index's part counted."""

    commits: int = 0
    random: int = 0
    damaged: int = 0
    lost: list[str] = field(default_factory=list)
    entries: int = 0
    seconds: float = 0.0

    def line(self) -> str:
        """Return it for people."""
        return (
            f"index: {self.commits} kills at commits, {self.random} at random: damaged after a death {self.damaged}, "
            f"differences from a fresh index {len(self.lost)}, {self.entries} entries; {self.seconds:.0f} s"
        )


class IndexCampaign:
    """A chain that goes on and back, and an index that dies."""

    def __init__(self, shop: Shop, *, seed: int, place: Path | str | None = None) -> None:
        self.shop = shop
        self.chance = random.Random(seed)
        self.teller = Storyteller(shop, seed=seed)
        self.chain = Chain(shop, self.teller.people)
        self.place = place or shop.folder / "index.sqlite"
        self.counted = Index()
        self._said = mixed([self.teller.story() for _ in range(3)], self.chance)
        self._fork = ""

    def given(self) -> dict[str, Any]:
        """Return what the process is told."""
        shop = self.shop
        return {
            "rpc": shop.node.url,
            "deployment": str(shop.folder / "deployment.json"),
            "database": str(self.place),
        }

    def news(self) -> None:
        """Make some blocks; every second time after some were taken back."""
        chance, chain, rpc = self.chance, self.chain, self.shop.rpc
        if self._fork and chance.random() < 0.5:
            assert rpc.call("evm_revert", (self._fork,))
            chain.forget()
        self._fork = rpc.call("evm_snapshot")
        for _ in range(chance.randint(1, 3)):
            while len(self._said) < 8:
                self._said += mixed([self.teller.story() for _ in range(3)], chance)
            part, self._said = self._said[:6], self._said[6:]
            chain.mine(chain.sign(part), pause=chance.choice((0, 0, 0, 30_000)))

    def at_every_commit(self, process: subprocess.Popen[str]) -> None:
        """Kill it before and after each commit, until a round has no further one."""
        for what in ("built", "going on", "undoing"):
            for when in ("before", "after"):
                for commit in range(1, 100):
                    if what == "built":
                        self.forget()
                    else:
                        self.news()
                    begin(process, what="index", commit=commit, when=when)
                    found = ended(process)
                    self.look()
                    if found != signal.SIGKILL:
                        assert found == 0, f"it ended with exit code {-found}"
                        break
                    self.counted.commits += 1

    def at_random(self, process: subprocess.Popen[str], kills: int) -> None:
        """Kill it at random moments, so many times; how long a life is at most follows what this machine takes for a round."""
        longest = LONGEST
        for number in range(kills * 10):
            if self.counted.random == kills:
                return
            if number % 20 == 0:
                self.forget()
            self.news()
            begin(process, what="index", after=self.chance.uniform(0, longest))
            found = ended(process)
            assert found in (0, signal.SIGKILL), f"it ended with exit code {-found}"
            killed = found == signal.SIGKILL
            longest = min(LONGEST, longest * 1.2) if killed else max(0.001, longest * 0.7)
            self.counted.random += killed
            self.look()

    def forget(self) -> None:
        """Delete the index: it is only a cache."""
        if isinstance(self.place, str):
            database = open_database(self.place)
            database.clear()
            database.close()
            return
        for suffix in ("", "-wal", "-shm"):
            self.place.with_name(self.place.name + suffix).unlink(missing_ok=True)

    def look(self) -> None:
        """See whether what a death left is sound."""
        follower = Follower(self.shop, self.place)
        try:
            check(follower.database, self.shop.deployment)
        except SteelyardError as exc:
            self.counted.damaged += 1
            self.counted.lost.append(f"{type(exc).__name__}: {exc}")
        finally:
            follower.close()

    def finish(self) -> None:
        """Let it go on undisturbed, and compare."""
        follower = Follower(self.shop, self.place)
        fresh = Follower(self.shop, self.shop.folder / "fresh.sqlite")
        try:
            follower.follow()
            fresh.follow()
            if follower.hash() != fresh.hash():
                self.counted.lost.append("the content hash is another one")
            ledger = rows_of_ledger(folded(self.shop))
            self.counted.lost += differences(rows_of_index(follower.database), ledger)
            self.counted.entries = follower.entries()
        finally:
            follower.close()
            fresh.close()


def index_campaign(folder: Path, *, kills: int, seed: int, place: str | None) -> Index:
    """Run the index's part; in PostgreSQL if a database is given."""
    began = time.monotonic()
    with opened(folder) as shop:
        made = IndexCampaign(shop, seed=seed, place=place)
        made.chain.empty(1200)  # the index is built in two ranges
        made.news()
        with zygote(made.given()) as process:
            made.at_every_commit(process)
            made.at_random(process, kills)
        made.finish()
        made.counted.seconds = time.monotonic() - began
        return made.counted


# -- the service ---------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Lives:
    """What the service's part counted."""

    kills: int = 0
    sessions: int = 0
    answers: int = 0
    blocks: int = 0
    hooks: int = 0
    twice: int = 0
    lost: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def line(self) -> str:
        """Return it for people."""
        return (
            f"service: {self.kills} kills in the middle of requests; {self.sessions} sessions, {self.answers} kept answers, "
            f"{self.blocks} uploaded blocks, {self.hooks} entries told to a webhook (some again: {self.twice}); lost "
            f"{len(self.lost)}; {self.seconds:.0f} s"
        )


class Receiver:
    """Where webhooks come to: remembers what was told, and fails now and then."""

    def __init__(self, chance: random.Random, *, failing: float) -> None:
        self.told: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                failed = chance.random() < failing
                if not failed:
                    receiver.told.append(int(json.loads(body)["data"]["pos"]))
                self.send_response(500 if failed else 204)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/hook"

    def close(self) -> None:
        """Stop."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class LivesCampaign:
    """Somebody who uses the service, and what he was promised."""

    def __init__(self, shop: Shop, client: Served, receiver: Receiver, *, seed: int) -> None:
        self.shop = shop
        self.client = client
        self.receiver = receiver
        self.chance = random.Random(seed)
        self.counted = Lives()
        self.offered = shop.publish(scope="all")
        version = next(iter(shop.seller.context.follow(self.offered.asset).state().versions.values()))
        from steelyard.storage.cid import Codec, encode_cid

        self.folder = encode_cid(version.commitments.folder, codec=Codec.DAG_PB)
        self.parts = [item.cid for item in shop.store.walk(self.folder)]
        # A further session ends the oldest; of one that was begun at a kill the client does not know.
        self.tokens: deque[str] = deque(maxlen=MAX_SESSIONS // 2)
        self.kept: dict[str, tuple[bytes, bytes]] = {}
        self.open: dict[str, bytes] = {}
        self.upload = ""
        self.put: set[str] = set()
        self.first = shop.rpc.block_number() + 1

    # -- one life --------------------------------------------------------------------------------------------

    def live(self, process: subprocess.Popen[str]) -> None:
        """Start it, use it, and kill it while it answers something."""
        pid = begin(process, what="serve")
        self._wait()
        self._recall()
        for _ in range(self.chance.randint(0, 2)):
            self._act()
        killer = threading.Timer(self.chance.uniform(0, 0.02), os.kill, (pid, signal.SIGKILL))
        killer.start()
        try:
            self._act()
            if self.chance.random() < 0.5:
                self._act()
        finally:
            killer.join()
        if ended(process) == signal.SIGKILL:
            self.counted.kills += 1

    def _wait(self) -> None:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                if self.client.ask("GET", "/healthz")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.01)
        raise AssertionError("the service does not come up")

    def _ask(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        try:
            return self.client.ask(method, path, body, **headers)
        except OSError:
            return 0, {}, b""

    def _act(self) -> None:
        self.chance.choice((self._sign_in, self._repeat, self._repeat, self._put, self._buy))()

    def _sign_in(self) -> None:
        try:
            self.tokens.append(self.client.sign_in())
            self.counted.sessions += 1
        except (OSError, AssertionError, ValueError):
            pass  # killed in between: nothing was promised

    def _repeat(self) -> None:
        key = f"key-{self.chance.randrange(1 << 60):x}"
        account = checksum_address(self.shop.seller_account.address)
        body = json.dumps({"from": account, "amount": str(self.chance.randrange(1, 1 << 40))}).encode()
        status, _, answer = self._ask("POST", "/v1/tx/fund-bond", body, idempotency_key=key)
        if status == 200:
            self.kept[key] = (body, answer)
        elif status == 0:
            self.open[key] = body
        else:
            self.counted.lost.append(f"a request under a fresh key was answered {status}: {answer[:200]!r}")

    def _put(self) -> None:
        if not self.tokens:
            return self._sign_in()
        bearer = {"authorization": f"Bearer {self.tokens[-1]}"}
        if not self.upload:
            size = sum(len(self.shop.store.get_block(cid)) for cid in self.parts)
            status, _, body = self._ask(
                "POST", "/v1/uploads", {"folder": self.folder, "bytes": size}, **bearer
            )
            if status in (200, 201):
                self.upload = str(json.loads(body)["id"])
            return None
        known = json.loads(self._ask("GET", f"/v1/uploads/{self.upload}", **bearer)[2] or b"{}")
        missing = known.get("missing", [])
        if missing:
            data = self.shop.store.get_block(missing[0])
            path = f"/v1/uploads/{self.upload}/blocks/{missing[0]}"
            status, _, _ = self._ask("PUT", path, data, content_type="application/vnd.ipld.raw", **bearer)
            if status == 204:
                self.put.add(missing[0])
        return None

    def _buy(self) -> None:
        self.shop.buy(self.offered)

    # -- what was promised -----------------------------------------------------------------------------------

    def _recall(self, *, everything: bool = False) -> None:
        """See whether a few of the promises hold, or all of them."""
        chance = self.chance
        tokens = self.tokens if everything else chance.sample(self.tokens, min(2, len(self.tokens)))
        for token in tokens:
            status, _, body = self._ask("GET", "/v1/webhooks", authorization=f"Bearer {token}")
            if status != 200:
                self.counted.lost.append(f"a session is gone: {status} {body[:200]!r}")
        for key in list(self.kept) if everything else chance.sample(list(self.kept), min(2, len(self.kept))):
            data, first = self.kept[key]
            status, headers, body = self._ask("POST", "/v1/tx/fund-bond", data, idempotency_key=key)
            if (status, body, headers.get("idempotent-replayed")) != (200, first, "true"):
                self.counted.lost.append(f"an answer is not given again: {status} {body[:200]!r}")
        if self.upload:
            status, _, body = self._ask(
                "GET", f"/v1/uploads/{self.upload}", authorization=f"Bearer {self.tokens[-1]}"
            )
            again = (
                set(json.loads(body).get("missing", [])) & self.put
                if status == 200
                else {"the upload itself"}
            )
            if again:
                self.counted.lost.append(f"uploaded and missing again: {sorted(again)[:2]}")

    def hook(self, process: subprocess.Popen[str]) -> None:
        """Make the webhook, in a life that nobody ends before."""
        pid = begin(process, what="serve")
        self._wait()
        self._sign_in()
        status, _, body = self._ask(
            "POST", "/v1/webhooks", {"url": self.receiver.url}, authorization=f"Bearer {self.tokens[0]}"
        )
        assert status == 201, body
        self.started = int(json.loads(body)["pos"])
        os.kill(pid, signal.SIGKILL)
        ended(process)

    def finish(self, process: subprocess.Popen[str]) -> None:
        """Give it a long life, in which the keys of the dead are free again, and see what became of everything."""
        self._buy()
        pid = begin(process, what="serve", later=130)
        self._wait()
        self._recall(everything=True)
        for key, data in self.open.items():
            status, _, body = self._ask("POST", "/v1/tx/fund-bond", data, idempotency_key=key)
            if status != 200:
                self.counted.lost.append(f"a key is busy for ever: {status} {body[:200]!r}")
        for _ in range(4 * len(self.parts)):
            self._put()
        bearer = {"authorization": f"Bearer {self.tokens[-1]}"}
        status, _, body = self._ask("POST", f"/v1/uploads/{self.upload}/complete", **bearer)
        if status not in (200, 202):
            self.counted.lost.append(f"the upload is not completed: {status} {body[:200]!r}")
        wanted = self._wanted()
        # As long as it goes on: each failure of the receiver makes it wait.
        count, end = 0, time.monotonic() + 60
        while time.monotonic() < end and not set(wanted) <= set(self.receiver.told):
            if len(self.receiver.told) > count:
                count, end = len(self.receiver.told), time.monotonic() + 60
            time.sleep(0.1)
        os.kill(pid, signal.SIGKILL)
        ended(process)
        told = self.receiver.told
        missing = [pos for pos in wanted if pos not in told]
        if missing:
            self.counted.lost.append(f"{len(missing)} entries were never told")
        first = list(dict.fromkeys(told))
        if first != sorted(first):
            self.counted.lost.append("entries were told out of order")
        self.counted.answers = len(self.kept) + len(self.open)
        self.counted.blocks, self.counted.hooks = len(self.put), len(first)
        self.counted.twice = len(told) - len(first)

    def _wanted(self) -> list[int]:
        """Return the places of all entries that came after the webhook was made."""
        with tempfile.TemporaryDirectory(dir=self.shop.folder) as name:
            fresh = Follower(self.shop, Path(name) / "fresh.sqlite")
            try:
                fresh.follow()
                with fresh.database.read() as reader:
                    rows = reader.rows("SELECT pos FROM events WHERE pos > ? ORDER BY pos", (self.started,))
                return [int(pos) for (pos,) in rows]
            finally:
                fresh.close()


def lives_campaign(folder: Path, *, lives: int, seed: int, failing: float = 0.05) -> Lives:
    """Run the service's part."""
    began = time.monotonic()
    receiver = Receiver(random.Random(seed), failing=failing)
    listening = listen("127.0.0.1:0")
    url = url_of(listening)
    host, _, port = url.removeprefix("http://").partition(":")
    try:
        with opened(folder) as shop:
            account = Account.from_key(Secret(b"\7" * 32))
            client = Served(shop=shop, config=None, url=url, host=host, port=int(port), account=account)
            made = LivesCampaign(shop, client, receiver, seed=seed)
            with Keys(shop.seller) as keys:
                (bought,) = shop.buy(made.offered)
                keys.wait("delivered", bought)
            home = folder / "service"
            home.mkdir()
            given = {
                "rpc": shop.node.url,
                "chain_id": shop.rpc.chain_id,
                "deployment": str(folder / "deployment.json"),
                "store": str(folder / "public-store"),
                "home": str(home),
                "database": str(home / "index.sqlite"),
                "socket": listening.fileno(),
                "url": url,
            }
            follower = Follower(shop, home / "index.sqlite")
            follower.follow()
            follower.indexer.release()
            follower.close()
            with zygote(given, files=(listening.fileno(),)) as process:
                made.hook(process)
                for _ in range(lives):
                    made.live(process)
                made.finish(process)
            made.counted.seconds = time.monotonic() - began
            return made.counted
    finally:
        receiver.close()
        listening.close()


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--index", action="store_true", help="as `make kill ARGS=--index` says it")
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--lives", type=int, default=300)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--postgres", action="store_true", help="the index alone, in PostgreSQL")
    given = parser.parse_args()
    print(f"kill: seed {given.seed}", flush=True)
    server = postgres() if given.postgres else None
    try:
        return campaign(given, server)
    finally:
        stop_postgres()


def campaign(given: argparse.Namespace, server: Postgres | None) -> int:
    """Run all parts; returns the exit code."""
    failed = 0
    with tempfile.TemporaryDirectory(prefix="steelyard-kill-") as name:
        for part in ("index", "take-over", *(() if server else ("service",))):
            place = Path(name) / part
            place.mkdir()
            counted: Any
            database = server.database() if server else None
            if part == "index":
                counted = index_campaign(place, kills=given.kills, seed=given.seed, place=database)
            elif part == "take-over":
                from tests.faults.take_over import take_over_campaign

                counted = take_over_campaign(place, turns=given.turns, seed=given.seed, place=database)
            else:
                counted = lives_campaign(place, lives=given.lives, seed=given.seed)
            print(f"kill: {counted.line()}", flush=True)
            for what in list(dict.fromkeys(counted.lost))[:20]:
                print(f"kill: {part}: {what}", flush=True)
            failed += len(counted.lost)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
