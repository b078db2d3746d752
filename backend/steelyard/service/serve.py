"""The seller's key service: answers purchases and key requests by itself, and settles what can be settled.

It keeps nothing that could not be rebuilt but the outbox, which says what was signed under which nonce. Every
round reads the chain up to its newest block (:mod:`steelyard.service.feed`), asks the contracts whether each
waiting key may be revealed now (:mod:`steelyard.service.gate`), and sends through the outbox
(:mod:`steelyard.service.dispatch`). So it may be killed at any instruction; the next start goes on.
docs/serve.md is the manual.
"""

from __future__ import annotations

import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from steelyard.chain.calls import Call
from steelyard.chain.outbox_file import Entry, OutboxState
from steelyard.domain.records import AssetState, Ledger, PurchaseState, RequestRecord, VersionState
from steelyard.domain.types import Address, PurchaseId, RequestState, State, Version, VersionId
from steelyard.errors import (
    ChainError,
    DigestError,
    NotFoundError,
    RefusedError,
    RevertError,
    RpcError,
    SealError,
    SteelyardError,
    UnavailableError,
    UnsafeError,
    VerificationError,
    WrongChainError,
    WrongKeyError,
)
from steelyard.service.context import Context
from steelyard.service.dispatch import (
    DELIVER,
    KEY,
    SETTLE,
    CommitPoint,
    delivery_call,
    go_on,
    leave,
    name_of,
    open_outbox,
)
from steelyard.service.feed import Feed, Step
from steelyard.service.gate import Gate, Verdict, safe_block
from steelyard.service.keyring import Keyring
from steelyard.service.serving import Event, Served

if TYPE_CHECKING:
    from steelyard.market import Market

LONGEST_PAUSE: Final = 60.0
"""Seconds between two tries while an endpoint or store does not answer, at most."""
_NO_KEY: Final = "the seed gives another key, and none was imported"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One thing that may be there to do.

    Attributes:
        name: of the operation: ``deliver:<purchase>``, ``key:<request>`` or ``settle:<purchase>``.
        id: of the purchase or request.
        due: last moment, Unix seconds.
        asset: its asset.
        item: the purchase or request.
    """

    name: str
    id: bytes
    due: int
    asset: AssetState
    item: PurchaseState | RequestRecord


@dataclass(frozen=True, kw_only=True)
class Options:
    """How the service goes about it.

    Attributes:
        refs: assets to serve, all versions whose key the account has; empty for all that the account created,
            owns or published.
        interval: seconds between two looks at the chain.
        settle: settle purchases after their content window too.
        stuck_after: seconds without being mined after which a transaction's fees are raised.
        retry_after: seconds until something is tried again that a contract, the store or the price of gas
            refused.
    """

    refs: Sequence[str] = ()
    interval: float = 2.0
    settle: bool = True
    stuck_after: float = 90.0
    retry_after: float = 30.0


def run(
    market: Market | Context,
    *,
    refs: Sequence[str] = (),
    interval: float = 2.0,
    settle: bool = True,
    stuck_after: float = 90.0,
    retry_after: float = 30.0,
    stop: threading.Event | None = None,
    on_event: Callable[[Event], None] | None = None,
    log: Callable[[str], None] | None = None,
    on_commit_point: CommitPoint | None = None,
) -> Served:
    """Serve until told to stop.

    Args:
        market: open, with the account that pays for gas; its seed, or keys it imported, open the versions.
        refs: see :class:`Options`.
        interval: seconds between two looks at the chain.
        settle: settle purchases after their content window too.
        stuck_after: seconds without being mined after which a transaction's fees are raised.
        retry_after: seconds until what was refused is tried again.
        stop: set it to end the run after the step under way. None: SIGTERM and SIGINT do that.
        on_event: told of everything.
        log: gets a line of JSON for each event; standard error if neither it nor ``on_event`` is given.
        on_commit_point: called with the name of each durable step, for tests that end the process there.

    Raises:
        WrongChainError: the endpoint serves another chain than the deployment's.
        UnsafeError: another service runs on this home, or its outbox is damaged.
        ConfigError: the market was opened without an account.
        NotFoundError: there is no market at the deployment's address.
    """
    context = market if isinstance(market, Context) else market.context
    options = Options(
        refs=refs, interval=interval, settle=settle, stuck_after=stuck_after, retry_after=retry_after
    )
    if on_event is None and log is None:
        log = _to_stderr

    def tell(event: Event) -> None:
        if on_event is not None:
            on_event(event)
        if log is not None:
            log(event.line(at=time.time()))

    with _stopping(stop) as ending:
        server = Server(context, options, stop=ending, tell=tell, on_commit_point=on_commit_point)
        try:
            return server.run()
        finally:
            server.close()


class Server:
    """One run of the service."""

    def __init__(
        self,
        context: Context,
        options: Options,
        *,
        stop: threading.Event,
        tell: Callable[[Event], None],
        on_commit_point: CommitPoint | None = None,
    ) -> None:
        """Check the chain and take the outbox; nothing is sent.

        Raises:
            WrongChainError: the endpoint serves another chain.
            UnsafeError: another service has the outbox, or it is damaged.
        """
        context.rpc.check_chain()
        if not context.rpc.get_code(context.deployment.market):
            raise NotFoundError(
                f"there is no contract at 0x{context.deployment.market.hex()}: check deployment and chain"
            )
        self._context = context
        self._options = options
        self._stop = stop
        self._tell = tell
        self._reach = on_commit_point or (lambda _: None)
        self._me: Address = context.account.address
        self._assets = frozenset(context.asset_id(ref) for ref in options.refs) or None
        self._feed = Feed(context.ledger, assets=self._assets)
        self._keyring = Keyring(context)
        self._served = Served()
        self._said: dict[bytes, str] = {}
        self._later: dict[str, float] = {}
        self._head = -1
        self._outbox = open_outbox(
            context,
            stuck_after=options.stuck_after,
            on_commit_point=on_commit_point,
            on_mined=self._found_mined,
        )

    def close(self) -> None:
        """Let another process have the outbox."""
        self._outbox.close()

    def run(self) -> Served:
        """Serve until the event is set."""
        self._tell(Event(kind="started", id=self._me))
        failures = 0
        while not self._stop.is_set():
            try:
                self.round()
                failures, pause = 0, self._options.interval
            except WrongChainError:
                raise
            except (UnavailableError, VerificationError, NotFoundError) as exc:
                failures += 1
                self._tell(Event(kind="fault", block=self._head, why=f"{type(exc).__name__}: {exc}"))
                pause = min(LONGEST_PAUSE, self._options.interval * 2 ** min(failures, 16))
                # Not for a secret: many services should not come back at once.
                pause *= random.uniform(0.5, 1.0)
            self._stop.wait(pause)
        self._tell(Event(kind="stopped", block=self._head))
        return self._served

    def round(self) -> None:
        """Look at the chain once, and do what can be done.

        Raises:
            ChainError: the endpoint failed; what was done until then is kept.
            TrailError: the endpoint's logs are not those of the contracts.
        """
        context = self._context
        step = self._step()
        now = max(step.head.timestamp, int(context.settings.clock()))
        gate = Gate(context, head=step.head, safe=safe_block(context, step.head), now=now)
        jobs = sorted(self._jobs(step.ledger, now), key=lambda job: job.due)
        done = set()
        for job in jobs:
            if self._stop.is_set():
                return
            done.add(job.name)
            self._try(job, gate)
        self._tidy(done, moved=step.moved)

    # -- what there is to do ---------------------------------------------------------------------------------

    def _step(self) -> Step:
        step = self._feed.step()
        self._head = step.head.number
        if step.dropped is not None:
            self._tell(Event(kind="moved-back", block=step.dropped, why="the chain was re-organised"))
            self._said.clear()
            self._context.sender.forget_nonce()
        self._reach("feed.stepped")
        return step

    def _jobs(self, ledger: Ledger, now: int) -> Iterator[Job]:
        served = self._serving(ledger)
        for asset_id in {version.asset for version in served.values()}:
            asset = ledger.assets[asset_id]
            for purchase in asset.purchases.values():
                if purchase.version not in served:
                    continue
                if purchase.state is State.PAID:
                    yield _job(purchase, due=purchase.due, asset=asset)
                elif self._may_settle(asset, purchase, now):
                    # After everything that has a deadline.
                    yield _job(purchase, due=1 << 40, asset=asset, settle=True)
            for record in asset.requests.values():
                if record.state is RequestState.OPEN and record.request.version in served:
                    yield _job(record, due=record.due, asset=asset)

    def _may_settle(self, asset: AssetState, purchase: PurchaseState, now: int) -> bool:
        open_ = purchase.state is State.DELIVERED and purchase.due < now
        return self._options.settle and open_ and not asset.versions[purchase.version].flagged

    def _serving(self, ledger: Ledger) -> dict[VersionId, Version]:
        """Return the versions whose key the account has, of the assets that are this service's business."""
        served: dict[VersionId, Version] = {}
        for asset in ledger.assets.values():
            for state in asset.versions.values():
                mine = self._me in (asset.owner, asset.creator, state.publisher)
                if (mine or self._assets) and self._opens(state):
                    served[state.id] = state.commitments
        owner = self._me if self._assets is None else None
        self._feed.watch({version.asset for version in served.values()}, owner=owner)
        return served

    def _opens(self, version: VersionState) -> bool:
        name = f"manifest:0x{version.id.hex()}"
        if time.monotonic() < self._later.get(name, 0.0):
            return False
        try:
            opens = self._keyring.opens(version.commitments)
        except (NotFoundError, DigestError, UnavailableError) as exc:
            # A store that is away must not hold up the versions whose salts are known.
            self._later[name] = time.monotonic() + self._options.retry_after
            self._say("waiting", version.id, f"manifest: {type(exc).__name__}: {exc}")
            return False
        except (SealError, WrongKeyError) as exc:
            self._later[name] = time.monotonic() + self._options.retry_after
            self._say("not-serving", version.id, f"imported key: {type(exc).__name__}: {exc}")
            return False
        self._say("serving" if opens else "not-serving", version.id, "" if opens else _NO_KEY)
        return opens

    # -- doing it --------------------------------------------------------------------------------------------

    def _try(self, job: Job, gate: Gate) -> None:
        try:
            self._do(job, gate)
        except WrongChainError:
            raise
        except ChainError as exc:
            # Others come first in the next round: a question that an endpoint always fails at must not hold
            # up the rest.
            self._put_off(job, exc)
            if not isinstance(exc, RpcError):
                raise
        except SteelyardError as exc:
            self._put_off(job, exc)

    def _do(self, job: Job, gate: Gate) -> None:
        entry = self._outbox.find(job.name)
        if entry is not None and entry.state is OutboxState.MINED:
            # The log does not show it: the feed is a block behind, or a re-organisation took it out.
            self._outbox.push(job.name)
            return
        if time.monotonic() < self._later.get(job.name, 0.0):
            return
        if isinstance(job.item, PurchaseState) and job.item.state is State.DELIVERED:
            self._send(job, entry)
            return
        ruling = gate.rule(job.asset, job.item)
        if ruling.verdict is Verdict.REVEAL and self._is_worth_it(job):
            self._send(job, entry)
            return
        if ruling.verdict is Verdict.REVEAL:
            self._later[job.name] = time.monotonic() + self._options.retry_after  # gas may become cheaper
        kind = "waiting" if ruling.verdict is Verdict.WAIT else "held-back"
        self._say(kind, job.id, ruling.why or "fee-below-gas")
        if entry is not None and entry.state is not OutboxState.FAILED:
            self._outbox.hold(job.name)

    def _send(self, job: Job, entry: Entry | None) -> None:
        kind = job.name.partition(":")[0]
        self._reach(f"{kind}.decided")
        sent = go_on(self._context, self._outbox, job.name, lambda: self._call(job))
        if entry is not None and sent.nonce == entry.nonce:
            return
        self._tell(Event(kind="sent", id=job.id, block=self._head, why=kind))
        if sent.state is OutboxState.SIGNED:
            # On a chain that makes a block at once this finds the receipt; elsewhere the next rounds do.
            self._outbox.push(job.name)

    def _call(self, job: Job) -> Call:
        item = job.item
        if isinstance(item, PurchaseState) and item.state is State.DELIVERED:
            return self._context.calls.settle(job.asset.order(item))
        return delivery_call(self._context, self._keyring, job.asset, item)

    def _is_worth_it(self, job: Job) -> bool:
        """Whether a key request is this holder's first for the version, or one whose fee covers the gas.

        Without this, a holder could have the service pay gas for ever: each request with a fresh Q is a new
        one.
        """
        record = job.item
        if not isinstance(record, RequestRecord):
            return True
        asked = record.request
        same = (
            other.id
            for other in job.asset.requests.values()
            if replace(other.request, key=asked.key) == asked and other.state is not RequestState.RETURNED
        )
        licence = job.asset.purchases[PurchaseId(asked.licence)]
        bought = licence.buyer == asked.holder and licence.version == asked.version
        if next(same) == record.id and not bought:
            return True
        return record.fee >= self._context.sender.estimate(self._call(job)).fee

    def _tidy(self, done: Collection[str], *, moved: bool) -> None:
        """Take up what the log gave no cause for: purchases that are answered, ended, or gone."""
        for entry in self._outbox.open_entries():
            if self._stop.is_set():
                return
            if entry.name in done or (not moved and entry.state in (OutboxState.MINED, OutboxState.FAILED)):
                continue
            try:
                leave(self._outbox, entry)
            except RefusedError as exc:
                self._say("waiting", _id_of(entry.name), f"{type(exc).__name__}: {exc}")

    # -- telling ---------------------------------------------------------------------------------------------

    def _put_off(self, job: Job, exc: Exception) -> None:
        """Leave something for later: gas too dear, too little money, somebody else was faster."""
        reverts = isinstance(exc, RevertError) and not isinstance(exc, UnsafeError)
        self._later[job.name] = time.monotonic() + (
            self._options.retry_after if reverts else self._options.interval
        )
        self._say("waiting", job.id, f"{type(exc).__name__}: {exc}")

    def _found_mined(self, entry: Entry) -> None:
        kind = entry.name.partition(":")[0]
        failed = entry.state is OutboxState.FAILED
        if failed:
            self._served.reverted += 1
        elif kind == DELIVER:
            self._served.delivered += 1
        elif kind == KEY:
            self._served.answered += 1
        else:
            self._served.settled += 1
        words = {DELIVER: "delivered", KEY: "answered", SETTLE: "settled"}
        event = "reverted" if failed else words[kind]
        self._tell(
            Event(kind=event, id=_id_of(entry.name), block=entry.mined_in or -1, tx=entry.tx_hash or b"")
        )

    def _say(self, kind: str, id_: bytes, why: str) -> None:
        """Tell what has not been told of this id last."""
        if self._said.get(id_) != kind + why:
            self._said[id_] = kind + why
            self._tell(Event(kind=kind, id=id_, block=self._head, why=why))


def _job(item: PurchaseState | RequestRecord, *, due: int, asset: AssetState, settle: bool = False) -> Job:
    return Job(name=name_of(item, settle=settle), id=item.id, due=due, asset=asset, item=item)


def _id_of(name: str) -> bytes:
    return bytes.fromhex(name.partition(":0x")[2])


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextmanager
def _stopping(stop: threading.Event | None) -> Iterator[threading.Event]:
    """Yield the event that ends the run; without one, SIGTERM and SIGINT set it."""
    if stop is not None:
        yield stop
        return
    ending = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: ending.set()) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield ending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
