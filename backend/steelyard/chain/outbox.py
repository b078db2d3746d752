"""A durable outbox: each business operation is sent by at most one nonce, also over crashes.

An operation has a name, ``deliver:<purchase>``. What is signed for it is on the disk before it is sent; after a crash the very same
bytes are sent again. A transaction that is stuck is replaced under its own nonce by the same call with higher fees, so whichever
is mined, the call is made once. An operation gets a second nonce only if the first is spent for good without it (it reverted, or
another transaction took the nonce) and somebody asks for that by :meth:`Outbox.retry`.

One process at a time: a lock beside the file. The account must send nothing outside the outbox while it is in use.
"""

from __future__ import annotations

import enum
import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from steelyard.chain.calls import Call
from steelyard.chain.hexdata import to_hex
from steelyard.chain.refusals import NonceUsedError
from steelyard.chain.sender import Sender
from steelyard.chain.transaction import Fees, Signed
from steelyard.chain.wire import Receipt
from steelyard.domain.types import Address
from steelyard.errors import (
    ConfigError,
    InputError,
    NotFoundError,
    PendingError,
    RefusedError,
    RevertError,
    UnsafeError,
)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS operations (
    name TEXT PRIMARY KEY,
    target BLOB,
    data BLOB NOT NULL,
    value TEXT NOT NULL,
    label TEXT NOT NULL,
    state TEXT NOT NULL,
    nonce INTEGER UNIQUE,
    mined_in INTEGER,
    tx_hash BLOB,
    settled INTEGER NOT NULL DEFAULT 1,
    note TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE IF NOT EXISTS attempts (
    tx_hash BLOB PRIMARY KEY,
    name TEXT NOT NULL REFERENCES operations (name),
    nonce INTEGER NOT NULL,
    raw BLOB NOT NULL,
    gas_limit TEXT NOT NULL,
    max_fee TEXT NOT NULL,
    priority TEXT NOT NULL,
    signed_at REAL NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS operations_by_state ON operations (state);
CREATE INDEX IF NOT EXISTS attempts_by_name ON attempts (name, nonce);
"""


class OutboxState(enum.StrEnum):
    """Where an operation stands: written down, signed (and perhaps sent), mined, or failed for good."""

    PLANNED = "planned"
    SIGNED = "signed"
    MINED = "mined"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An operation in the outbox.

    Attributes:
        name: of the operation.
        call: what it does.
        state: where it stands.
        nonce: of its transaction, or None before it is signed.
        tx_hash: the transaction that was mined, or None.
        mined_in: its block, or None.
        note: why it failed, or what was wrong the last time.
    """

    name: str
    call: Call
    state: OutboxState
    nonce: int | None
    tx_hash: bytes | None
    mined_in: int | None
    note: str


class Outbox:
    """The outbox of one account on one chain. Safe to use from several threads."""

    def __init__(
        self,
        path: Path,
        sender: Sender,
        *,
        depth: int = 0,
        stuck_after: float = 90.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open or make the file.

        Args:
            path: SQLite file; its folder exists. Only its owner can read it.
            sender: signs and sends; its account must be used by nothing else.
            depth: blocks on top of a mined transaction until it is not looked at again, against re-organisations.
            stuck_after: seconds without being mined after which fees are raised.
            clock: Unix seconds, for tests.

        Raises:
            UnsafeError: another process uses it, it is damaged, or belongs to another account or chain.
            ConfigError: it cannot be opened.
        """
        self._sender = sender
        self._depth = depth
        self._stuck_after = stuck_after
        self._clock = clock
        self._lock = threading.RLock()
        self._guard = _exclude_others(path)
        try:
            self._db = _open(path)
            self._check_owner(path)
            (highest,) = self._db.execute("SELECT max(nonce) FROM attempts").fetchone()
        except BaseException:
            os.close(self._guard)
            raise
        if highest is not None:
            sender.keep_nonces_from(highest + 1)

    def close(self) -> None:
        """Close the file and let another process have it."""
        with self._lock:
            self._db.close()
            os.close(self._guard)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the file."""
        self.close()

    # -- what is in it ---------------------------------------------------------------------------------------

    def entry(self, name: str) -> Entry:
        """Return an operation.

        Raises:
            NotFoundError: there is none of that name.
        """
        found = self._entries("WHERE name = ?", (name,))
        if not found:
            raise NotFoundError(f"the outbox has no operation {name}")
        return found[0]

    def entries(self, state: OutboxState | None = None) -> list[Entry]:
        """Return all operations, or those in one state, in the order of their nonces."""
        if state is None:
            return self._entries("", ())
        return self._entries("WHERE state = ?", (state.value,))

    # -- sending ---------------------------------------------------------------------------------------------

    def plan(self, name: str, call: Call) -> Entry:
        """Write an operation down, without sending it; does nothing if it is there.

        Raises:
            InputError: the name stands for another call.
        """
        row = (name, call.to, call.data, str(call.value), call.name, OutboxState.PLANNED.value)
        with self._write() as db:
            db.execute(
                "INSERT INTO operations (name, target, data, value, label, state) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (name) DO NOTHING",
                row,
            )
        found = self.entry(name)
        if (found.call.to, found.call.data, found.call.value) != (call.to, call.data, call.value):
            raise InputError(f"operation {name} is in the outbox with another call")
        return found

    def send(self, name: str, call: Call) -> Receipt:
        """See an operation through: once it was mined, this only returns its receipt.

        Args:
            name: of the operation; the same name is never sent twice.
            call: what it does; the same every time.

        Raises:
            RevertError: it would revert, and nothing was signed: calling again tries again. Or it did revert, for good.
            RefusedError: fees or funds do not allow it now, or it failed for good earlier.
            PendingError: it is sent and in no block yet; calling again, or :meth:`resume`, goes on.
            ChainError: the endpoint failed.
            InputError: the name stands for another call.
        """
        entry = self.submit(name, call)
        for signed in self._attempts(entry)[-1:] if entry.state is OutboxState.SIGNED else ():
            try:
                self._sender.wait(signed)
            except NonceUsedError:
                pass  # perhaps by an earlier attempt: what follows looks at all of them
            entry = self._advance(entry)
        return self._outcome(entry)

    def submit(self, name: str, call: Call) -> Entry:
        """Plan, sign and send an operation without waiting for it; does nothing more if that is done already.

        Raises:
            RevertError: it would revert; nothing was signed.
            RefusedError: fees or funds do not allow it now.
            PendingError: it was signed, and no answer says whether it arrived; :meth:`resume` goes on.
            ChainError: the endpoint failed.
            InputError: the name stands for another call.
        """
        with self._lock:
            entry = self.plan(name, call)
            if entry.state is OutboxState.PLANNED:
                entry = self._sign(entry)
                self._broadcast(self._attempts(entry)[-1])
            return entry

    def resume(self) -> list[Entry]:
        """Take up everything that is not settled: send again, look for receipts, replace what is stuck.

        Call it at the start and then every few seconds. A planned operation that would revert now stays planned, with a note.

        Returns:
            The operations that it looked at, as they stand now.

        Raises:
            ChainError: the endpoint failed; what was done until then is kept.
        """
        done = []
        with self._lock:
            for entry in self._entries("WHERE state IN ('planned', 'signed') OR settled = 0", ()):
                done.append(self._take_up(entry))
        return done

    def retry(self, name: str) -> Entry:
        """Make a failed operation a planned one again: its nonce is spent without it.

        Raises:
            RefusedError: it has not failed, or a transaction of it was mined after all.
            NotFoundError: there is none of that name.
        """
        with self._lock:
            entry = self.entry(name)
            if entry.state is not OutboxState.FAILED:
                raise RefusedError(f"operation {name} is {entry.state.value}, not failed")
            receipt = self._receipt(entry)
            if receipt is not None and receipt.status:
                raise RefusedError(f"operation {name} was mined after all, in block {receipt.block_number}")
            with self._write() as db:
                db.execute(
                    "UPDATE operations SET state = 'planned', nonce = NULL, tx_hash = NULL, mined_in = NULL,"
                    " settled = 1, note = '' WHERE name = ?",
                    (name,),
                )
            return self.entry(name)

    # -- parts -----------------------------------------------------------------------------------------------

    def _take_up(self, entry: Entry) -> Entry:
        if entry.state is OutboxState.PLANNED:
            try:
                entry = self._sign(entry)
                self._broadcast(self._attempts(entry)[-1])
            except (RefusedError, PendingError) as exc:
                self._note(entry.name, str(exc))
            return self.entry(entry.name)
        return self._advance(entry)

    def _sign(self, entry: Entry) -> Entry:
        """Give a planned operation its nonce: signed and on the disk before anything is sent."""
        estimate = self._sender.estimate(entry.call)
        with self._sender.nonce() as nonce:
            signed = self._sender.sign(
                entry.call, nonce=nonce, gas_limit=estimate.gas_limit, fees=estimate.fees
            )
            with self._write() as db:
                db.execute(
                    "UPDATE operations SET state = 'signed', nonce = ?, settled = 0, note = '' WHERE name = ?",
                    (nonce, entry.name),
                )
                self._keep(db, entry.name, signed)
        return self.entry(entry.name)

    def _advance(self, entry: Entry) -> Entry:
        """Bring a signed or mined operation up to what the chain says."""
        receipt = self._receipt(entry)
        if receipt is not None:
            return self._mined(entry, receipt)
        if entry.state is not OutboxState.SIGNED:
            # A re-organisation took it out of its block.
            self._set(entry.name, OutboxState.SIGNED, note="its block is gone", settled=False)
        attempts = self._attempts(entry)
        try:
            if self._clock() - self._signed_at(attempts[-1]) > self._stuck_after:
                attempts = [*attempts, self._replace(entry, attempts[-1])]
            self._broadcast(attempts[-1])
        except NonceUsedError as exc:
            # Asked again only now: an attempt may have been mined between the two questions.
            receipt = self._receipt(entry)
            if receipt is not None:
                return self._mined(entry, receipt)
            if self._sender.rpc.get_nonce(self._sender.address, block="latest") > attempts[-1].nonce:
                self._set(entry.name, OutboxState.FAILED, note=str(exc), settled=True)
        except (RefusedError, PendingError) as exc:
            self._note(entry.name, str(exc))
        return self.entry(entry.name)

    def _replace(self, entry: Entry, old: Signed) -> Signed:
        """Sign the same call under the same nonce with higher fees."""
        raised, now = old.fees.raised(), self._sender.fees()
        priority = max(raised.priority, now.priority)
        fees = Fees(max_fee=max(raised.max_fee, now.max_fee, priority), priority=priority)
        self._sender.check_fees(fees)
        signed = self._sender.sign(entry.call, nonce=old.nonce, gas_limit=old.gas_limit, fees=fees)
        with self._write() as db:
            self._keep(db, entry.name, signed)
        return signed

    def _broadcast(self, signed: Signed) -> None:
        self._sender.broadcast(signed)

    def _mined(self, entry: Entry, receipt: Receipt) -> Entry:
        settled = self._depth == 0 or self._sender.rpc.block_number() - receipt.block_number >= self._depth
        state, note = OutboxState.MINED, ""
        if not receipt.status:
            state = OutboxState.FAILED
            try:
                self._sender.finish(entry.call, receipt)
            except RevertError as exc:
                note = str(exc)
        self._set(entry.name, state, note=note, settled=settled, receipt=receipt)
        return self.entry(entry.name)

    def _outcome(self, entry: Entry) -> Receipt:
        receipt = self._receipt(entry)
        if receipt is not None:
            return self._sender.finish(entry.call, receipt)
        if entry.state is OutboxState.FAILED:
            raise RefusedError(f"operation {entry.name} failed: {entry.note}")
        newest = self._attempts(entry)[-1].tx_hash
        raise PendingError(
            f"operation {entry.name} is sent as {to_hex(newest)} and in no block yet", tx_hash=newest
        )

    def _receipt(self, entry: Entry) -> Receipt | None:
        for signed in reversed(self._attempts(entry)):
            receipt = self._sender.rpc.get_receipt(signed.tx_hash)
            if receipt is not None:
                return receipt
        return None

    # -- the file --------------------------------------------------------------------------------------------

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except BaseException as exc:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                if isinstance(exc, sqlite3.Error):
                    raise UnsafeError(f"the outbox cannot be written ({exc}): nothing was sent") from exc
                raise

    def _keep(self, db: sqlite3.Connection, name: str, signed: Signed) -> None:
        fees = signed.fees
        values = (signed.tx_hash, name, signed.nonce, signed.raw, str(signed.gas_limit))
        db.execute(
            "INSERT INTO attempts (tx_hash, name, nonce, raw, gas_limit, max_fee, priority, signed_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*values, str(fees.max_fee), str(fees.priority), self._clock()),
        )

    def _set(
        self, name: str, state: OutboxState, *, note: str, settled: bool, receipt: Receipt | None = None
    ) -> None:
        found = (None, None) if receipt is None else (receipt.tx_hash, receipt.block_number)
        with self._write() as db:
            db.execute(
                "UPDATE operations SET state = ?, note = ?, settled = ?, tx_hash = ?, mined_in = ? WHERE name = ?",
                (state.value, note, int(settled), *found, name),
            )

    def _note(self, name: str, note: str) -> None:
        with self._write() as db:
            db.execute("UPDATE operations SET note = ? WHERE name = ?", (note, name))

    def _entries(self, where: str, values: Sequence[object]) -> list[Entry]:
        columns = "name, target, data, value, label, state, nonce, tx_hash, mined_in, note"
        query = f"SELECT {columns} FROM operations {where} ORDER BY nonce IS NULL, nonce, rowid"
        with self._lock:
            rows = self._db.execute(query, values).fetchall()
        return [_entry(row) for row in rows]

    def _attempts(self, entry: Entry) -> list[Signed]:
        columns = "raw, tx_hash, nonce, max_fee, priority, gas_limit"
        query = f"SELECT {columns} FROM attempts WHERE name = ? AND nonce IS ? ORDER BY rowid"
        with self._lock:
            rows = self._db.execute(query, (entry.name, entry.nonce)).fetchall()
        return [
            Signed(
                raw=raw,
                tx_hash=tx_hash,
                nonce=nonce,
                fees=Fees(max_fee=int(max_fee), priority=int(priority)),
                gas_limit=int(gas_limit),
            )
            for raw, tx_hash, nonce, max_fee, priority, gas_limit in rows
        ]

    def _signed_at(self, signed: Signed) -> float:
        with self._lock:
            row = self._db.execute(
                "SELECT signed_at FROM attempts WHERE tx_hash = ?", (signed.tx_hash,)
            ).fetchone()
        return float(row[0])

    def _check_owner(self, path: Path) -> None:
        owner = self._sender.rpc.chain_id.to_bytes(32, "big") + self._sender.address
        with self._write() as db:
            db.execute("INSERT INTO meta VALUES ('owner', ?) ON CONFLICT DO NOTHING", (owner,))
        (found,) = self._db.execute("SELECT value FROM meta WHERE name = 'owner'").fetchone()
        if found != owner:
            raise UnsafeError(f"the outbox {path} belongs to another account or chain")


def _entry(row: tuple[object, ...]) -> Entry:
    name, target, data, value, label, state, nonce, tx_hash, mined_in, note = row
    assert isinstance(data, bytes)  # STRICT tables keep the types of their columns
    to = Address(target) if isinstance(target, bytes) else None
    return Entry(
        name=str(name),
        call=Call(to, data, int(str(value)), str(label)),
        state=OutboxState(str(state)),
        nonce=nonce if isinstance(nonce, int) else None,
        tx_hash=tx_hash if isinstance(tx_hash, bytes) else None,
        mined_in=mined_in if isinstance(mined_in, int) else None,
        note=str(note),
    )


def _exclude_others(path: Path) -> int:
    try:
        handle = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise ConfigError(f"cannot open the outbox {path}: {exc.strerror}") from exc
    try:
        # Released by the kernel when the process ends, however it ends.
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise UnsafeError(f"another process uses the outbox {path}") from None
    return handle


def _open(path: Path) -> sqlite3.Connection:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as exc:
        raise ConfigError(f"cannot open the outbox {path}: {exc}") from exc
    try:
        db.execute("PRAGMA journal_mode = WAL")
        # A transaction that was sent must not be forgotten, not even by a power cut.
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        (verdict,) = db.execute("PRAGMA quick_check").fetchone()
        if verdict != "ok":
            raise UnsafeError(f"the outbox {path} is damaged: {verdict}")
        db.executescript(_SCHEMA)
    except sqlite3.DatabaseError as exc:
        db.close()
        raise UnsafeError(f"the outbox {path} is damaged: {exc}") from exc
    except BaseException:
        db.close()
        raise
    return db
