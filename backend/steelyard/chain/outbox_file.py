"""The file of an outbox: operations, what was signed for each, and what was sent. One process at a time."""

from __future__ import annotations

import enum
import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from steelyard.chain.calls import Call
from steelyard.chain.transaction import Fees, Signed
from steelyard.chain.wire import Receipt
from steelyard.domain.types import Address
from steelyard.errors import ConfigError, InputError, NotFoundError, UnsafeError

_SCHEMA: Final = """
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
CREATE TABLE IF NOT EXISTS sent (tx_hash BLOB PRIMARY KEY) STRICT;
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


class OutboxFile:
    """The file. Safe to use from several threads; every write is on the disk when it returns."""

    def __init__(self, path: Path, *, owner: bytes) -> None:
        """Open or make it.

        Args:
            path: its folder exists. Only its owner can read it.
            owner: chain id, 32 bytes, and address of the account; another file than theirs is refused.

        Raises:
            UnsafeError: another process uses it, it is damaged, or belongs to another account or chain.
            ConfigError: it cannot be opened.
        """
        self.lock = threading.RLock()
        self._guard = _exclude_others(path)
        try:
            self._db = _open(path)
            with self._write() as db:
                db.execute("INSERT INTO meta VALUES ('owner', ?) ON CONFLICT DO NOTHING", (owner,))
            (found,) = self._db.execute("SELECT value FROM meta WHERE name = 'owner'").fetchone()
            if found != owner:
                raise UnsafeError(f"the outbox {path} belongs to another account or chain")
        except BaseException:
            os.close(self._guard)
            raise

    def close(self) -> None:
        """Close the file and let another process have it."""
        with self.lock:
            self._db.close()
            os.close(self._guard)

    # -- looking ---------------------------------------------------------------------------------------------

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

    def unsettled(self) -> list[Entry]:
        """Return what is not finished, and what was mined too recently to be beyond a re-organisation."""
        return self._entries("WHERE state IN ('planned', 'signed') OR settled = 0", ())

    def attempts(self, entry: Entry) -> list[Signed]:
        """Return what was signed for an operation under its nonce, oldest first."""
        columns = "raw, tx_hash, nonce, max_fee, priority, gas_limit"
        query = f"SELECT {columns} FROM attempts WHERE name = ? AND nonce IS ? ORDER BY rowid"
        return [
            Signed(
                raw=raw,
                tx_hash=tx_hash,
                nonce=nonce,
                fees=Fees(max_fee=int(max_fee), priority=int(priority)),
                gas_limit=int(gas_limit),
            )
            for raw, tx_hash, nonce, max_fee, priority, gas_limit in self._read(
                query, (entry.name, entry.nonce)
            )
        ]

    def signed_at(self, signed: Signed) -> float:
        """Return when something was signed, Unix seconds."""
        (row,) = self._read("SELECT signed_at FROM attempts WHERE tx_hash = ?", (signed.tx_hash,))
        return float(row[0])

    def highest_nonce(self) -> int | None:
        """Return the highest nonce that anything was ever signed under, or None."""
        found: int | None = self._read("SELECT max(nonce) FROM attempts")[0][0]
        return found

    def is_marked(self, signed: Signed) -> bool:
        """Whether something was marked as sent."""
        return bool(self._read("SELECT 1 FROM sent WHERE tx_hash = ?", (signed.tx_hash,)))

    # -- writing ---------------------------------------------------------------------------------------------

    def plan(self, name: str, call: Call) -> Entry:
        """Write an operation down; does nothing if it is there.

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

    def sign(self, name: str, signed: Signed, *, at: float) -> None:
        """Keep the first transaction of an operation, and with it the nonce; ``at`` in Unix seconds."""
        with self._write() as db:
            db.execute(
                "UPDATE operations SET state = 'signed', nonce = ?, settled = 0, note = '' WHERE name = ?",
                (signed.nonce, name),
            )
            _keep(db, name, signed, at)

    def keep(self, name: str, signed: Signed, *, at: float) -> None:
        """Keep a further transaction of an operation under its nonce; ``at`` in Unix seconds."""
        with self._write() as db:
            _keep(db, name, signed, at)

    def mark(self, signed: Signed) -> None:
        """Mark something as sent."""
        with self._write() as db:
            db.execute("INSERT INTO sent VALUES (?) ON CONFLICT DO NOTHING", (signed.tx_hash,))

    def set(
        self, name: str, state: OutboxState, *, note: str, settled: bool, receipt: Receipt | None = None
    ) -> None:
        """Write where an operation stands, and the transaction that was mined."""
        found = (None, None) if receipt is None else (receipt.tx_hash, receipt.block_number)
        with self._write() as db:
            db.execute(
                "UPDATE operations SET state = ?, note = ?, settled = ?, tx_hash = ?, mined_in = ?"
                " WHERE name = ?",
                (state.value, note, int(settled), *found, name),
            )

    def note(self, name: str, note: str) -> None:
        """Write what was wrong the last time."""
        with self._write() as db:
            db.execute("UPDATE operations SET note = ? WHERE name = ?", (note, name))

    def renew(self, name: str) -> None:
        """Make an operation a planned one without a nonce."""
        with self._write() as db:
            db.execute(
                "UPDATE operations SET state = 'planned', nonce = NULL, tx_hash = NULL, mined_in = NULL,"
                " settled = 1, note = '' WHERE name = ?",
                (name,),
            )

    def drop(self, name: str) -> None:
        """Forget an operation that is only planned."""
        with self._write() as db:
            # Of one that was made anew after a failure the attempts stay, and with them what is known of it.
            db.execute(
                "DELETE FROM operations WHERE name = ? AND state = 'planned'"
                " AND name NOT IN (SELECT name FROM attempts)",
                (name,),
            )

    # -- parts -----------------------------------------------------------------------------------------------

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self.lock:
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

    def _read(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        with self.lock:
            return self._db.execute(query, values).fetchall()

    def _entries(self, where: str, values: Sequence[object]) -> list[Entry]:
        columns = "name, target, data, value, label, state, nonce, tx_hash, mined_in, note"
        query = f"SELECT {columns} FROM operations {where} ORDER BY nonce IS NULL, nonce, rowid"
        return [_entry(row) for row in self._read(query, values)]


def _keep(db: sqlite3.Connection, name: str, signed: Signed, at: float) -> None:
    fees = signed.fees
    values = (signed.tx_hash, name, signed.nonce, signed.raw, str(signed.gas_limit))
    db.execute(
        "INSERT INTO attempts (tx_hash, name, nonce, raw, gas_limit, max_fee, priority, signed_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (*values, str(fees.max_fee), str(fees.priority), at),
    )


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
