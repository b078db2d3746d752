"""The payer's books on the disk: what was asked before it left, and each receipt when it came (docs/gateway.md, "When what is on the disk").

SQLite in WAL mode. It survives the end of the process at any moment; after a power cut the newest calls may be missing, and then the
gateway's receipts for them are such as nobody here asked for.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from steelyard.domain.metering import ChannelId, Receipt, Voucher
from steelyard.domain.mmr import Range
from steelyard.errors import DatabaseError
from steelyard.metering.agreement import Agreement, Signed
from steelyard.metering.payer import Made, PayerBooks

FILE: Final = "channels.sqlite"
"""In the account's home."""
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS channels (
    channel BLOB NOT NULL PRIMARY KEY, offer BLOB NOT NULL, nonce TEXT NOT NULL, url TEXT NOT NULL,
    sequence INTEGER NOT NULL, units TEXT NOT NULL, peaks BLOB NOT NULL, last_call TEXT NOT NULL,
    best_sequence INTEGER NOT NULL, best_units TEXT NOT NULL, best_root BLOB NOT NULL, best_signature BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS calls (
    channel BLOB NOT NULL, call TEXT NOT NULL, request BLOB NOT NULL, units INTEGER NOT NULL, PRIMARY KEY (channel, call)
) STRICT;
CREATE TABLE IF NOT EXISTS receipts (
    channel BLOB NOT NULL, sequence INTEGER NOT NULL, version BLOB NOT NULL, units INTEGER NOT NULL, request BLOB NOT NULL,
    response BLOB NOT NULL, signature BLOB NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (channel, sequence)
) STRICT;
CREATE TABLE IF NOT EXISTS spent (
    offer BLOB NOT NULL, day INTEGER NOT NULL, amount TEXT NOT NULL, PRIMARY KEY (offer, day)
) STRICT;
"""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A channel that the books know.

    Attributes:
        channel: its id.
        offer: its offer.
        nonce: of the payer.
        url: of its gateway.
    """

    channel: ChannelId
    offer: bytes
    nonce: int
    url: str


class UsageBooks:
    """The file. Safe to use from several threads, and from several processes one channel at a time."""

    def __init__(self, path: Path) -> None:
        """Open or make the file; only its owner can read it.

        Raises:
            DatabaseError: it cannot be opened, or is damaged.
        """
        self._lock = threading.RLock()
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as exc:
            raise DatabaseError(f"the books of channels {path} cannot be opened: {exc}") from exc

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    # -- channels ------------------------------------------------------------------------------------------------

    def add(self, agreement: Agreement, *, url: str) -> None:
        """Remember a channel; does nothing but for the gateway's place if it is there."""
        books = PayerBooks(agreement)
        with self._write() as db:
            db.execute(
                "INSERT INTO channels VALUES (?, ?, ?, ?, 0, '0', x'', '0', 0, '0', ?, ?)"
                " ON CONFLICT (channel) DO UPDATE SET url = excluded.url",
                (
                    agreement.channel,
                    agreement.offer,
                    str(agreement.nonce),
                    url,
                    books.best.voucher.root,
                    books.best.signature,
                ),
            )

    def kept(self) -> list[Kept]:
        """Return all channels."""
        rows = self._read("SELECT channel, offer, nonce, url FROM channels ORDER BY rowid")
        return [
            Kept(channel=ChannelId(channel), offer=offer, nonce=int(nonce), url=url)
            for channel, offer, nonce, url in rows
        ]

    def load(self, agreement: Agreement) -> PayerBooks | None:
        """Return the books of a channel as they were kept, or None if it is not known."""
        channel = agreement.channel
        rows = self._read(
            "SELECT sequence, units, peaks, last_call, best_sequence, best_units, best_root, best_signature"
            " FROM channels WHERE channel = ?",
            (channel,),
        )
        if not rows:
            return None
        sequence, units, peaks, last_call, best, best_units, root, signature = rows[0]
        made = {
            int(call): Made(call=int(call), request=request, units=count)
            for call, request, count in self._read(
                "SELECT call, request, units FROM calls WHERE channel = ?", (channel,)
            )
        }
        later = {
            place: (digest, count)
            for place, digest, count in self._read(
                "SELECT sequence, digest, units FROM receipts WHERE channel = ? AND sequence > ?",
                (channel, sequence),
            )
        }
        voucher = Voucher(
            channel=channel,
            amount=int(best_units) * agreement.terms.price,
            units=int(best_units),
            sequence=best,
            root=root,
        )
        return PayerBooks(
            agreement,
            receipts=Range(sequence, peaks),
            units=int(units),
            made=made,
            later=later,
            best=Signed(voucher=voucher, signature=signature),
            last_call=int(last_call),
        )

    # -- calls ---------------------------------------------------------------------------------------------------

    def begun(self, books: PayerBooks, made: Made) -> None:
        """Keep a call before it leaves, and the voucher that goes with it."""
        channel = books.agreement.channel
        with self._write() as db:
            db.execute(
                "INSERT INTO calls VALUES (?, ?, ?, ?)", (channel, str(made.call), made.request, made.units)
            )
            db.execute("UPDATE channels SET last_call = ? WHERE channel = ?", (str(made.call), channel))
            _keep_best(db, books)

    def accepted(
        self,
        books: PayerBooks,
        receipt: Receipt,
        signature: bytes,
        digest: bytes,
        *,
        call: int | None,
        day: int,
    ) -> None:
        """Keep a receipt that was believed; ``day`` counts from 1970, for budgets."""
        agreement = books.agreement
        amount = receipt.units * agreement.terms.price
        with self._write() as db:
            db.execute(
                "INSERT INTO receipts VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    agreement.channel,
                    receipt.sequence,
                    receipt.version,
                    receipt.units,
                    receipt.request,
                    receipt.response,
                    signature,
                    digest,
                ),
            )
            if call is not None:
                db.execute("DELETE FROM calls WHERE channel = ? AND call = ?", (agreement.channel, str(call)))
            db.execute(
                "UPDATE channels SET sequence = ?, units = ?, peaks = ? WHERE channel = ?",
                (books.receipts.count, str(books.units), books.receipts.peaks, agreement.channel),
            )
            row = db.execute(
                "SELECT amount FROM spent WHERE offer = ? AND day = ?", (agreement.offer, day)
            ).fetchone()
            total = amount + (int(row[0]) if row else 0)
            db.execute(
                "INSERT INTO spent VALUES (?, ?, ?) ON CONFLICT (offer, day) DO UPDATE SET amount = excluded.amount",
                (agreement.offer, day, str(total)),
            )

    def signed(self, books: PayerBooks) -> None:
        """Keep the voucher that was signed last."""
        with self._write() as db:
            _keep_best(db, books)

    def spent(self, offer: bytes, *, day: int | None = None) -> int:
        """Return what was spent under an offer, on one day or ever, smallest units."""
        rows = self._read("SELECT day, amount FROM spent WHERE offer = ?", (offer,))
        return sum(int(amount) for at, amount in rows if day in (None, at))

    def receipts(self, channel: ChannelId) -> list[tuple[Receipt, bytes]]:
        """Return all receipts of a channel with their signatures, in order."""
        rows = self._read(
            "SELECT sequence, version, units, request, response, signature FROM receipts WHERE channel = ?"
            " ORDER BY sequence",
            (channel,),
        )
        return [
            (
                Receipt(
                    channel=channel,
                    sequence=sequence,
                    version=version,
                    units=units,
                    request=request,
                    response=response,
                ),
                signature,
            )
            for sequence, version, units, request, response, signature in rows
        ]

    # -- parts ---------------------------------------------------------------------------------------------------

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
                    raise DatabaseError(f"the books of channels cannot be written: {exc}") from exc
                raise

    def _read(self, query: str, values: tuple[object, ...] = ()) -> list[Any]:
        with self._lock:
            try:
                return self._db.execute(query, values).fetchall()
            except sqlite3.Error as exc:
                raise DatabaseError(f"the books of channels cannot be read: {exc}") from exc


def _keep_best(db: sqlite3.Connection, books: PayerBooks) -> None:
    voucher = books.best.voucher
    db.execute(
        "UPDATE channels SET best_sequence = ?, best_units = ?, best_root = ?, best_signature = ? WHERE channel = ?",
        (
            voucher.sequence,
            str(voucher.units),
            voucher.root,
            books.best.signature,
            books.agreement.channel,
        ),
    )
