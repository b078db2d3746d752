"""Tells webhooks of entries: at least once, in the order of the chain, signed as Standard Webhooks describes.

The queue of a hook is the index itself, from the place of the last entry that was delivered on: a row that says "until here" cannot lose
what a row for each delivery could, and needs none. The place moves after a 2xx, in one statement, so whoever is killed
between sending and writing sends again. Run by the process that leads; two at once would only tell some things twice.

Source: Standard Webhooks, "Signature scheme" and "Payload structure" (github.com/standard-webhooks/standard-webhooks).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol

from steelyard.api.filters import query_of
from steelyard.api.outgoing import Outgoing, Response
from steelyard.api.state import State
from steelyard.api.tables import Transaction
from steelyard.domain.plain import plain
from steelyard.domain.types import Address
from steelyard.errors import InputError, NotFoundError, SteelyardError
from steelyard.indexer.schema import MAX_LOG, SHIFT
from steelyard.query import cursor
from steelyard.query.model import At, Event, EventQuery, Page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from steelyard.api.service import Service

FIRST_WAIT: Final = 5
LONGEST_WAIT: Final = 6 * 3600
GIVE_UP: Final = 3 * 86_400
"""Seconds of failure after which a hook is paused."""
PAGE: Final = 50
SLICE: Final = 30.0
"""Seconds for which one hook is served before others come."""
THREADS: Final = 8
INTERVAL: Final = 2.0
"""Seconds between two looks at the index."""
STRIDE: Final = 1000
"""Blocks without an entry for a hook after which its place moves on."""
MAX_LOOKED: Final = 10_000
ACTIVE, PAUSED = "active", "paused"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Hook:
    """A webhook, as its table has it; ``failing`` is when the present row of failures began, ``due`` the next attempt."""

    id: str
    account: Address
    url: str
    filter: str
    secret: bytes = field(repr=False)
    pos: int
    state: str
    attempt: int
    failing: int | None
    due: int
    said: str | None
    created: int

    def insert(self, writer: Transaction) -> None:
        """Add it to its table."""
        marks = ", ".join("?" * len(_COLUMNS))
        sql = f"INSERT INTO service_webhooks ({', '.join(_COLUMNS)}) VALUES ({marks})"
        writer.execute(sql, [getattr(self, name) for name in _COLUMNS])


_COLUMNS: Final = tuple(Hook.__dataclass_fields__)


class Entries(Protocol):
    """Where entries come from: :class:`steelyard.query.audit.Audit`."""

    def at(self) -> At:
        """Return how far it is complete and proved."""
        ...

    def events(self, query: EventQuery | None = None) -> Page[Event]:
        """Return a page of entries."""
        ...


def find_hook(state: State, account: Address, name: str) -> Hook | None:
    """Return a hook of an account, or None."""
    found = [hook for hook in read_hooks(state, account) if hook.id == name]
    return found[0] if found else None


def read_hooks(state: State, account: Address | None = None, *, due: int | None = None) -> list[Hook]:
    """Return hooks, oldest first.

    Args:
        state: the tables.
        account: only of this account.
        due: only active ones whose next attempt is not after this time.
    """
    conditions, params = ["1 = 1"], []
    if account is not None:
        conditions.append("account = ?")
        params.append(account)
    values: list[object] = list(params)
    if due is not None:
        conditions.append("state = ? AND due <= ?")
        values += [ACTIVE, due]
    sql = f"SELECT {', '.join(_COLUMNS)} FROM service_webhooks WHERE {' AND '.join(conditions)} ORDER BY created, id"
    with state.read() as reader:
        rows = reader.rows(sql, values)
    return [_hook(dict(zip(_COLUMNS, row, strict=True))) for row in rows]


def _hook(values: dict[str, object]) -> Hook:
    for name in ("account", "secret"):
        values[name] = bytes(values[name])  # type: ignore[call-overload]  # bytes, or what psycopg gives for them
    return Hook(**values)  # type: ignore[arg-type]  # as in the table


def signature_headers(secret: bytes, name: str, body: bytes, *, now: int) -> dict[str, str]:
    """Return the headers that name, date and sign a message.

    Args:
        secret: of the hook.
        name: of the message; the same at each attempt.
        body: what is sent.
        now: Unix seconds of this attempt.
    """
    signed = f"{name}.{now}.".encode() + body
    mac = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    return {"webhook-id": name, "webhook-timestamp": str(now), "webhook-signature": f"v1,{mac}"}


class Hooks:
    """Delivers. Safe to use from several threads."""

    def __init__(
        self,
        entries: Entries,
        state: State,
        outgoing: Outgoing,
        *,
        confirmations: int = 1,
        clock: Callable[[], float] = time.time,
        on_delivered: Callable[[Hook], None] | None = None,
    ) -> None:
        """Remember what from, whom to and how.

        Args:
            entries: the index.
            state: the tables with the hooks.
            outgoing: what sends.
            confirmations: blocks, its own included, that an entry must be under.
            clock: Unix seconds.
            on_delivered: called between a delivery and writing it down, for tests that end the process there.
        """
        self._entries = entries
        self._state = state
        self._outgoing = outgoing
        self._confirmations = max(1, confirmations)
        self._clock = clock
        self._on_delivered = on_delivered
        # Up to where a hook was found to have nothing, so that an unchanged index is not asked again.
        self._looked: dict[str, tuple[int, int]] = {}

    @classmethod
    def of(cls, service: Service) -> Hooks:
        """Return what delivers the hooks of a service."""
        from steelyard.api.session import state_of

        return cls(
            service.audit,
            state_of(service),
            Outgoing(allow_private=service.options.allow_private_webhooks),
            confirmations=service.options.confirmations,
            clock=service.clock,
        )

    def run(self, stop: threading.Event, *, leads: Callable[[], bool] = lambda: True) -> None:
        """Deliver until told to stop; while ``leads`` says no, wait."""
        while not stop.wait(INTERVAL):
            if not leads():
                continue
            try:
                self.step(stop)
            except SteelyardError as exc:
                _log.warning("webhooks: %s", exc)

    def step(self, stop: threading.Event | None = None) -> int:
        """Deliver what is there to deliver now; return how many entries were.

        Raises:
            DatabaseError: a database failed.
        """
        due = read_hooks(self._state, due=int(self._clock()))
        if not due:
            return 0
        try:
            at = self._entries.at()
        except NotFoundError:  # an empty index
            return 0
        # A proof that fails later takes entries back; nobody is told of them before.
        last = min(at.block - self._confirmations + 1, at.proved)
        waiting = [
            hook
            for hook in due
            if hook.pos < last << SHIFT | MAX_LOG and self._looked.get(hook.id) != (hook.pos, last)
        ]
        if not waiting:
            return 0
        with ThreadPoolExecutor(min(THREADS, len(waiting)), thread_name_prefix="steelyard-hook") as threads:
            return sum(threads.map(lambda hook: self._serve(hook, last, stop), waiting))

    def test(self, hook: Hook) -> tuple[int | None, str]:
        """Send a test message and return the status that came back, if any, and what is said of it."""
        body = json.dumps(
            {"type": "test", "timestamp": _date(self._clock()), "data": {"hook": hook.id}}
        ).encode()
        return self._post(hook, f"test-{secrets.token_hex(8)}", body)

    def wake(self, hook: Hook) -> None:
        """Go on with a paused hook, where it was."""
        with self._state.write() as writer:
            writer.execute(
                "UPDATE service_webhooks SET state = ?, attempt = 0, failing = NULL, due = 0 WHERE id = ?",
                (ACTIVE, hook.id),
            )

    def _serve(self, hook: Hook, last: int, stop: threading.Event | None) -> int:
        """Deliver to one hook up to a block, as long as it takes them and its time lasts."""
        end, told = time.monotonic() + SLICE, 0
        try:
            while time.monotonic() < end and not (stop is not None and stop.is_set()):
                entries = self._after(hook, last)
                for entry in entries:
                    status, said = self._post(hook, *message_of(hook, entry))
                    if status is None or not 200 <= status < 300:
                        self._failed(hook, said)
                        return told
                    if self._on_delivered is not None:
                        self._on_delivered(hook)
                    if not self._delivered(hook, entry.pos, said):
                        return told  # another process was quicker, or it was deleted
                    told += 1
                    hook = replace(hook, pos=entry.pos, attempt=0, failing=None)
                    if time.monotonic() > end or (stop is not None and stop.is_set()):
                        return told
                if len(entries) < PAGE:
                    self._note(hook, last)
                    return told
        except SteelyardError as exc:
            _log.warning("webhook %s: %s", hook.id, exc)
        return told

    def _note(self, hook: Hook, last: int) -> None:
        """Note that a hook has nothing more below a block; written down now and then, so that its next look is short."""
        if last - (hook.pos >> SHIFT) >= STRIDE:
            self._delivered(hook, last << SHIFT | MAX_LOG, hook.said)
        if len(self._looked) > MAX_LOOKED:
            self._looked.clear()
        self._looked[hook.id] = (hook.pos, last)

    def _after(self, hook: Hook, last: int) -> tuple[Event, ...]:
        query = replace(query_of(hook.filter), last_block=last, limit=PAGE)
        page = self._entries.events(replace(query, cursor=cursor.make(query, (hook.pos,))))
        return page.items

    def _post(self, hook: Hook, name: str, body: bytes) -> tuple[int | None, str]:
        headers = {
            "content-type": "application/json",
            "user-agent": "steelyard-webhooks/1",
            **signature_headers(hook.secret, name, body, now=int(self._clock())),
        }
        try:
            answer: Response = self._outgoing.post(hook.url, body, headers)
        except (SteelyardError, InputError) as exc:
            return None, str(exc)[:200]
        return answer.status, f"status {answer.status}"

    def _delivered(self, hook: Hook, pos: int, said: str | None) -> bool:
        sql = (
            "UPDATE service_webhooks SET pos = ?, attempt = 0, failing = NULL, due = 0, said = ?"
            " WHERE id = ? AND pos = ? AND state = ?"
        )
        with self._state.write() as writer:
            return writer.execute(sql, (pos, said, hook.id, hook.pos, ACTIVE)) == 1

    def _failed(self, hook: Hook, said: str) -> None:
        now = int(self._clock())
        failing = now if hook.failing is None else hook.failing
        state = PAUSED if now - failing >= GIVE_UP else ACTIVE
        due = now + wait_after(hook.attempt + 1)
        with self._state.write() as writer:
            writer.execute(
                "UPDATE service_webhooks SET state = ?, attempt = ?, failing = ?, due = ?, said = ? WHERE id = ? AND pos = ?",
                (state, hook.attempt + 1, failing, due, said, hook.id, hook.pos),
            )


def wait_after(attempt: int) -> int:
    """Return the seconds to wait after the failed attempt of this number, from 1."""
    return min(LONGEST_WAIT, FIRST_WAIT << min(attempt - 1, 20))


def message_of(hook: Hook, entry: Event) -> tuple[str, bytes]:
    """Return name and body of the message about an entry. The name is the entry's: place, and transaction for what is re-organised."""
    data: Mapping[str, object] = {
        "type": "entry",
        "timestamp": _date(entry.time),
        "hook": hook.id,
        "data": entry,
    }
    return f"{entry.pos}-{entry.tx[:8].hex()}", json.dumps(plain(data)).encode()


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
