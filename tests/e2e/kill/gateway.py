"""Kills a gateway and its client again and again, and compares their books after each kill.

    python -m tests.e2e.kill.campaign --gateway [KILLS] [SEED]

After each kill, of one or the other at a random moment: no more than `w` receipts are open, the voucher is the truth about them, no answer left that is
not on the payee's disk, and nothing is co-signed that was not answered. At the end both go on, all is co-signed, claimed and closed, and every wei of the
deposit is with the node or back with the payer.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steelyard.api.server import listen, url_of
from steelyard.chain.node import Node
from steelyard.crypto.metering import Signer
from steelyard.domain import mmr
from steelyard.domain.metering import Receipt
from steelyard.domain.types import account_word
from steelyard.gateway.books import Books, open_books
from steelyard.gateway.claims import Claimer, Rules
from steelyard.gateway.hosted import prepare
from steelyard.gateway.startup import open_gateway
from steelyard.gateway.state import Options
from steelyard.market import Market
from steelyard.metering.agreement import Agreement
from steelyard.service.budget import Budget
from steelyard.service.dispatch import open_outbox
from tests.e2e.kill.shop import Shop, anvil

ROOT = Path(__file__).parents[3]
PRICE = 10**9
DEPOSIT = PRICE * 10**7
IN_FLIGHT = 4
LONGEST = 2.0
LIFE = 0.35
"""Seconds until the next kill, at most, or twice what the first answer took; a life begins with some 0.1 s of loading."""


class Broken(Exception):
    """The books do not agree."""


@dataclass
class Found:
    """What a campaign counted."""

    kills: dict[str, int] = field(default_factory=lambda: {"gateway": 0, "client": 0})
    calls: int = 0
    units: int = 0
    most_open: int = 0
    lost: int = 0
    seconds: float = 0.0

    def line(self) -> str:
        """Return it for people."""
        return (
            f"{self.kills['gateway']} kills of the gateway, {self.kills['client']} of the client, {self.calls} calls, {self.units} units; "
            f"books compared after each: 0 disagreed; most calls open {self.most_open} of {IN_FLIGHT}; the last of them co-signed, claimed "
            f"and closed to the wei; {self.seconds:.0f} s"
        )


class Campaign:
    """One channel and the two that are killed."""

    def __init__(self, payee: Market, payer: Market, ref: str, folder: Path, *, chain: str) -> None:
        self.chain = chain
        self.payee, self.payer, self.ref, self.folder = payee, payer, ref, folder
        self.found = Found()
        self.books = folder / "books.sqlite"
        self.log = folder / "answers.log"
        self.log.touch()
        self.wanted = prepare(payee, ref)
        self._checked = mmr.Range()
        self._units = 0
        self._known: set[bytes] = set()
        self._read = 0
        self._answers: set[bytes] = set()
        self.agreement: Agreement | None = None

    def told(self, opened: int, url: str) -> dict[str, Any]:
        """Return what the processes are told."""
        context = self.payee.context
        place = self.folder / "deployment.json"
        context.deployment.save(place)
        people = {}
        for name, market in (("payee", self.payee), ("payer", self.payer)):
            account = market.context.account
            people[name] = {
                "key": account.key.reveal().hex(),
                "seed": account.seed.reveal().hex(),
                "home": str(market.context.home),
            }
        return {
            **people,
            "rpc": self.chain,
            "deployment": str(place),
            "store": str(context.store.path),  # type: ignore[attr-defined]
            "books": str(self.books),
            "log": str(self.log),
            "ref": self.ref,
            "url": url,
            "socket": opened,
            "deposit": DEPOSIT,
        }

    def run(self, kills: int, rng: random.Random) -> Found:
        """Kill and compare, then go on undisturbed and count."""
        started = time.monotonic()
        opened = listen("127.0.0.1:0")
        url = url_of(opened)
        with lives(self.told(opened.fileno(), url), opened.fileno()) as order:
            life = min(LONGEST, max(LIFE, 2 * self._first_answer(time.monotonic())))
            for _ in range(kills):
                role = rng.choice(("gateway", "client"))
                ended = order({"kill": role, "after": rng.uniform(0.0, life)})
                if ended != signal.SIGKILL:
                    raise Broken(f"the {role} ended by itself: {ended}")
                self.found.kills[role] += 1
                self.compare()
        opened.close()
        self.compare()
        self.finish()
        self.found.seconds = time.monotonic() - started
        return self.found

    def _first_answer(self, started: float) -> float:
        """Wait until a life has been of use once; returns how long that took: on a busy machine lives are longer."""
        while not self.log.stat().st_size:
            if time.monotonic() - started > 60:
                raise Broken("nothing was answered within a minute")
            time.sleep(0.01)
        return time.monotonic() - started

    # -- after each kill -----------------------------------------------------------------------------------------

    def compare(self) -> None:
        """Compare the books. What is contained is read before what contains it, since both grow meanwhile."""
        co_signed = self._co_signed()
        answers = self._answered()
        if not self.books.exists():
            return
        with closing(sqlite3.connect(self.books, timeout=10)) as db:
            db.execute("BEGIN")
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'gateway_channels'").fetchone():
                return  # killed before the tables were made
            row = db.execute(
                "SELECT channel, sequence, units, peaks, best_sequence, best_units, best_root FROM gateway_channels"
            ).fetchone()
            if row is None:
                return
            channel, sequence, units, peaks, covered, covered_units, root = row
            rows = db.execute(
                "SELECT sequence, units, request, response, signature, total, root FROM gateway_receipts"
                " WHERE channel = ? AND sequence > ? ORDER BY sequence",
                (channel, self._checked.count),
            ).fetchall()
        agreement = self._agreement(channel)
        at: dict[int, tuple[int, bytes]] = {self._checked.count: (self._units, self._checked.root())}
        for place, count, request, response, signature, total, root_then in rows:
            receipt = Receipt(
                channel=agreement.channel,
                sequence=place,
                version=agreement.version,
                units=count,
                request=request,
                response=response,
            )
            self._checked.append(agreement.receipt_digest(receipt, signature))
            self._units += count
            self._known.add(response)
            at[place] = (self._units, self._checked.root())
            _must(place == self._checked.count, "a receipt is missing, or there twice")
            _must((int(total), root_then) == at[place], f"the sum at receipt {place} is wrong")
        _must(
            self._checked.count == sequence and int(units) == self._units,
            "the channel's row is not its receipts",
        )
        _must(peaks == self._checked.peaks, "the peaks are not those of the receipts")
        _must(0 <= sequence - covered <= IN_FLIGHT, f"{sequence - covered} receipts are open")
        if covered in at and covered:
            _must((int(covered_units), root) == at[covered], "the voucher is not what its receipts give")
        self.found.most_open = max(self.found.most_open, sequence - covered)
        _must(answers <= self._known, "an answer left that is not on the payee's disk")
        _must(co_signed <= answers, "something is co-signed that was not answered")

    def _answered(self) -> set[bytes]:
        with self.log.open("rb") as file:
            file.seek(self._read)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        self._answers |= {bytes.fromhex(line.split()[1].decode()) for line in whole.splitlines()}
        return self._answers

    def _co_signed(self) -> set[bytes]:
        place = self.payer.context.home / "channels.sqlite"
        if not place.exists():
            return set()
        with closing(sqlite3.connect(place, timeout=10)) as db:
            try:
                return {row[0] for row in db.execute("SELECT response FROM receipts")}
            except sqlite3.OperationalError:
                return set()  # killed before the tables were made

    def _agreement(self, channel: bytes) -> Agreement:
        if self.agreement is None:
            self.agreement = self.payer.channel(channel).agreement  # type: ignore[arg-type]
        assert self.agreement.channel == channel
        return self.agreement

    # -- the end -------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Let both go on, co-sign, claim and close; every wei is somewhere."""
        import threading

        from steelyard.gateway.worker import answer

        node = self.wanted.offers[-1].terms.node
        views = self.payer.context.views
        before = views.balance(account_word(self.payer.context.account.address))
        opened, stop = listen("127.0.0.1:0"), threading.Event()
        with open_gateway(self.payee, self.books, [self.wanted], Options(every=0.5)) as gateway:
            thread = threading.Thread(
                target=answer, args=(gateway, self.payee.context, opened, stop), daemon=True
            )
            thread.start()
            try:
                with self.payer.use(self.ref, url=url_of(opened), budget=Budget(deposit=1)) as model:
                    model.resume()
                    signed = model.settle()
                    agreement, units = model.context_of_channel()[0], model.units
                    deposit = self.payer.channel(agreement.channel).deposit
                    model.close_channel()
            finally:
                stop.set()
                thread.join(20)
            offers = {item.id: item for item in self.wanted.offers}
            with open_outbox(self.payee.context) as outbox:
                claimer = Claimer(self.payee.context, gateway.books, outbox, offers, Rules())
                for _ in range(2):
                    claimer.step()
                    _must(claimer.wait(), "a claim is in no block")
                claimer.release()
        books = self._books()
        kept = books.load(agreement)
        books.close()
        _must((kept.units, kept.best) == (units, signed), "not everything was co-signed in the end")
        earned = views.balance(node)
        refunded = views.balance(account_word(self.payer.context.account.address)) - before
        _must(earned == units * PRICE == signed.voucher.amount, f"the node earned {earned} for {units} units")
        _must(earned + refunded == deposit, f"{earned} and {refunded} are not the deposit {deposit}")
        self.found.calls, self.found.units = signed.voucher.sequence, units

    def _books(self) -> Books:
        return open_books(self.books, Signer(self.payee.context.account.key), clock=time.time)


def _must(fact: bool, what: str) -> None:
    if not fact:
        raise Broken(what)


@contextmanager
def lives(told: dict[str, Any], opened: int) -> Iterator[Any]:
    """Run both, and yield what gives orders."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.kill.hosted"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "backend:."},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=(opened,),
    )
    assert process.stdin is not None and process.stdout is not None
    pipe_in, pipe_out = process.stdin, process.stdout
    pipe_in.write(json.dumps(told) + "\n")
    pipe_in.flush()
    assert pipe_out.readline().strip() == "ready"

    def order(what: dict[str, Any]) -> int:
        pipe_in.write(json.dumps(what) + "\n")
        pipe_in.flush()
        return int(json.loads(pipe_out.readline())["ended"])

    try:
        yield order
    finally:
        pipe_in.close()
        process.wait(30)
        pipe_out.close()


def campaign(folder: Path, *, kills: int, seed: int) -> Found:
    """Run a campaign on a chain of its own.

    Raises:
        Broken: the books do not agree.
    """
    from tests.e2e.gateway.conftest import write_model

    with Node.start(anvil()) as node:
        shop = Shop(node, folder)
        try:
            payee = shop.market(shop.seller_account, home=folder / "payee")
            payer = shop.market(home=folder / "payer")
            write_model(folder / "twice")
            ref = payee.publish(folder / "twice", name="twice").ref
            payee.offer_metered(ref, price=PRICE, in_flight=IN_FLIGHT)
            return Campaign(payee, payer, ref, folder, chain=node.url).run(kills, random.Random(seed))
        finally:
            shop.close()


def main() -> int:
    """Run from the command line."""
    numbers = [int(item) for item in sys.argv[1:] if item.isdigit()]
    kills = numbers[0] if numbers else 1_000
    seed = numbers[1] if len(numbers) > 1 else random.SystemRandom().randrange(1 << 32)
    print(f"kill: seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="steelyard-kill-") as folder:
        try:
            found = campaign(Path(folder), kills=kills, seed=seed)
        except Broken as exc:
            print(f"kill: {exc}")
            return 1
    print(f"kill: {found.line()}")
    return 0
