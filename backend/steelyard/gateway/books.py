"""What the gateway keeps, and the one transaction of a call (docs/gateway.md, "When what is on the disk").

SQLite or PostgreSQL; any number of processes. A channel's row is locked first in every transaction about it, so the order of receipts is
the order of transactions. Receipts are signed inside: a receipt that was signed is on the disk or was never seen.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from steelyard.api.tables import PostgresTables, Tables, Transaction, open_tables
from steelyard.crypto.metering import Signer
from steelyard.domain.metering import ChannelId, Receipt, Voucher
from steelyard.domain.mmr import Range
from steelyard.errors import ConfigError, RefusedError, SteelyardError
from steelyard.metering.agreement import Agreement, Signed, nothing
from steelyard.metering.payee import PayeeBooks

TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS gateway_channels (
        channel BYTEA NOT NULL PRIMARY KEY, asset BYTEA NOT NULL, version BYTEA NOT NULL, offer BYTEA NOT NULL,
        payer BYTEA NOT NULL, signer BYTEA NOT NULL, nonce BYTEA NOT NULL,
        sequence BIGINT NOT NULL, units TEXT NOT NULL, peaks BYTEA NOT NULL,
        best_sequence BIGINT NOT NULL, best_units TEXT NOT NULL, best_root BYTEA NOT NULL, best_signature BYTEA NOT NULL,
        unclaimed_since BIGINT, claimed TEXT NOT NULL, state TEXT NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS gateway_receipts (
        channel BYTEA NOT NULL, sequence BIGINT NOT NULL, call BYTEA NOT NULL, units BIGINT NOT NULL,
        request BYTEA NOT NULL, response BYTEA NOT NULL, signature BYTEA NOT NULL, total TEXT NOT NULL, root BYTEA NOT NULL,
        PRIMARY KEY (channel, sequence)
    )""",
    "CREATE UNIQUE INDEX IF NOT EXISTS gateway_receipts_call ON gateway_receipts (channel, call)",
    """CREATE TABLE IF NOT EXISTS gateway_answers (
        channel BYTEA NOT NULL, sequence BIGINT NOT NULL, header BIGINT, body BYTEA NOT NULL, PRIMARY KEY (channel, sequence)
    )""",
    """CREATE TABLE IF NOT EXISTS gateway_trials (
        asset BYTEA NOT NULL, caller TEXT NOT NULL, day BIGINT NOT NULL, units BIGINT NOT NULL, PRIMARY KEY (asset, caller, day)
    )""",
    "CREATE TABLE IF NOT EXISTS gateway_lease (name TEXT NOT NULL PRIMARY KEY, holder TEXT NOT NULL, until BIGINT NOT NULL)",
)
_COLUMNS: Final = "sequence, units, peaks, best_sequence, best_units, best_root, best_signature"
Key = tuple[ChannelId, bytes]
"""A channel, and the number of a call in it, 8 bytes."""
Rows = dict[Key, tuple[object, ...]]
OPEN: Final = "open"
CLOSED: Final = "closed"


class CallUsedError(RefusedError):
    """A call number was used for another request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A call that was run, or a voucher alone.

    Attributes:
        agreement: the channel.
        deposit: of the channel, at the depth of the setting.
        signed: voucher that came with it, judged already; None for none that is higher.
        call: number of the call.
        units: of the call; 0 for a voucher alone.
        request: SHA-256 of the request's body.
        response: SHA-256 of the answer's.
        header: bytes of JSON in the answer, if binary data follow.
        body: the answer.
    """

    agreement: Agreement
    deposit: int
    signed: Signed | None
    call: int = 0
    units: int = 0
    request: bytes = b""
    response: bytes = b""
    header: int | None = None
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What may leave: a receipt and the answer, which is an earlier one if the call was entered before.

    Attributes:
        receipt: of the call; None for a voucher alone.
        signature: the payee's.
        header: bytes of JSON in the answer, if binary data follow.
        body: the answer; None if it was covered by a voucher and is not kept any more.
        again: the call was entered before.
        totals: sum of units and root of all receipts up to this one; None for one that was entered before.
    """

    receipt: Receipt | None
    signature: bytes
    header: int | None
    body: bytes | None
    again: bool = False
    totals: tuple[int, bytes] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A receipt as it is kept.

    Attributes:
        receipt: the receipt.
        signature: the payee's.
        call: number of the call.
    """

    receipt: Receipt
    signature: bytes
    call: int


class Books:
    """The gateway's tables. Safe to use from several threads."""

    def __init__(self, tables: Tables, payee: Signer, *, clock: Callable[[], float]) -> None:
        """Use tables, which exist.

        Args:
            tables: from `open_books`.
            payee: signs receipts.
            clock: Unix seconds.
        """
        self.tables = tables
        self._payee = payee
        self._clock = clock

    def close(self) -> None:
        """Close all connections."""
        self.tables.close()

    # -- the transaction of a call -------------------------------------------------------------------------------

    def enter(self, entries: Sequence[Entry]) -> list[Done | Exception]:
        """Enter calls in one transaction; on the disk when this returns.

        Returns:
            For each call what may leave, or why nothing may: RefusedError of `PayeeBooks.serve`, CallUsedError.

        Raises:
            DatabaseError: nothing of it is kept.
        """
        agreements = {entry.agreement.channel: entry.agreement for entry in entries}
        outcomes: list[Done | Exception] = []
        with self.tables.write() as db:
            books = self._lock(db, agreements)
            vouchers = {channel: known.best for channel, known in books.items()}
            calls = [(entry.agreement.channel, _word(entry.call)) for entry in entries if entry.units]
            earlier = self._find(db, agreements, calls)
            rows: Rows = {}
            answers: list[tuple[object, ...]] = []
            for entry in entries:
                known = books[entry.agreement.channel]
                if entry.signed is not None:
                    known.take(entry.signed)
                try:
                    outcomes.append(self._enter_one(db, known, entry, earlier, rows, answers))
                except SteelyardError as exc:
                    outcomes.append(exc)
            db.each("INSERT INTO gateway_receipts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows.values())
            db.each("INSERT INTO gateway_answers VALUES (?, ?, ?, ?)", answers)
            higher = {channel for channel, known in books.items() if known.best is not vouchers[channel]}
            changed = higher.union(channel for channel, _ in rows)
            self._save(db, [known for channel, known in books.items() if channel in changed], higher)
        return outcomes

    def _enter_one(
        self,
        db: Transaction,
        books: PayeeBooks,
        entry: Entry,
        earlier: Mapping[Key, Row],
        rows: Rows,
        answers: list[tuple[object, ...]],
    ) -> Done:
        if not entry.units:
            return Done(receipt=None, signature=b"", header=None, body=None)
        channel, call = key = (entry.agreement.channel, _word(entry.call))
        if key in rows:
            raise CallUsedError(f"call {entry.call} is under way already")
        found = earlier.get(key)
        if found is not None:
            if found.receipt.request != entry.request:
                raise CallUsedError(f"call {entry.call} was another request")
            return self._kept(db, found)
        receipt, digest = books.serve(
            entry.units, request=entry.request, response=entry.response, deposit=entry.deposit
        )
        signature = self._payee.sign(digest)
        total, root = books.units, books.receipts.root()
        rows[key] = (
            channel,
            receipt.sequence,
            call,
            receipt.units,
            receipt.request,
            receipt.response,
            signature,
            str(total),
            root,
        )
        answers.append((channel, receipt.sequence, entry.header, entry.body))
        return Done(
            receipt=receipt,
            signature=signature,
            header=entry.header,
            body=entry.body,
            totals=(total, root),
        )

    def _kept(self, db: Transaction, row: Row) -> Done:
        found = db.row(
            "SELECT header, body FROM gateway_answers WHERE channel = ? AND sequence = ?",
            (row.receipt.channel, row.receipt.sequence),
        )
        header, body = (None, None) if found is None else (found[0], bytes(found[1]))
        return Done(receipt=row.receipt, signature=row.signature, header=header, body=body, again=True)

    def _lock(
        self, db: Transaction, agreements: Mapping[ChannelId, Agreement]
    ) -> dict[ChannelId, PayeeBooks]:
        """Read the rows of channels for writing; those that are not there are made."""
        # Sorted, so that two processes never wait for each other.
        channels = sorted(agreements)
        rows = db.each(
            "INSERT INTO gateway_channels VALUES (?, ?, ?, ?, ?, ?, ?, 0, '0', ?, 0, '0', ?, ?, NULL, '0', ?)"
            f" ON CONFLICT (channel) DO UPDATE SET state = gateway_channels.state RETURNING {_COLUMNS}",
            [
                (
                    known.channel,
                    known.asset,
                    known.version,
                    known.offer,
                    known.payer,
                    known.signer,
                    known.nonce.to_bytes(8, "big"),
                    b"",
                    empty.voucher.root,
                    empty.signature,
                    OPEN,
                )
                for known, empty in ((agreements[channel], nothing(channel)) for channel in channels)
            ],
        )
        return {
            channel: _books(agreements[channel], row) for channel, row in zip(channels, rows, strict=True)
        }

    def _save(self, db: Transaction, changed: Sequence[PayeeBooks], higher: Collection[ChannelId]) -> None:
        """Write what changed of channels; ``higher`` are those with a higher voucher."""
        now = int(self._clock())
        db.each(
            "UPDATE gateway_channels SET sequence = ?, units = ?, peaks = ?, best_sequence = ?, best_units = ?,"
            " best_root = ?, best_signature = ?, unclaimed_since = COALESCE(unclaimed_since, ?) WHERE channel = ?",
            [
                (
                    books.receipts.count,
                    str(books.units),
                    books.receipts.peaks,
                    books.best.voucher.sequence,
                    str(books.best.voucher.units),
                    books.best.voucher.root,
                    books.best.signature,
                    now if books.agreement.channel in higher else None,
                    books.agreement.channel,
                )
                for books in changed
            ],
        )
        # Who co-signs has his answers.
        vouchers = [books.best.voucher for books in changed if books.agreement.channel in higher]
        db.each(
            "DELETE FROM gateway_answers WHERE channel = ? AND sequence <= ?",
            [(voucher.channel, voucher.sequence) for voucher in vouchers],
        )

    # -- looking -------------------------------------------------------------------------------------------------

    def load(self, agreement: Agreement) -> PayeeBooks:
        """Return the books of a channel as they stand."""
        with self.tables.read() as db:
            row = db.row(f"SELECT {_COLUMNS} FROM gateway_channels WHERE channel = ?", (agreement.channel,))
        return PayeeBooks(agreement) if row is None else _books(agreement, row)

    def totals(self, channel: ChannelId, sequence: int) -> tuple[int, bytes] | None:
        """Return sum of units and root of the first so many receipts, or None if there are not so many."""
        with self.tables.read() as db:
            row = db.row(
                "SELECT total, root FROM gateway_receipts WHERE channel = ? AND sequence = ?",
                (channel, sequence),
            )
        return None if row is None else (int(row[0]), bytes(row[1]))

    def rows(self, agreement: Agreement, *, after: int, most: int = 500) -> list[Row]:
        """Return receipts in their order."""
        with self.tables.read() as db:
            found = db.rows(
                "SELECT sequence, call, units, request, response, signature FROM gateway_receipts"
                " WHERE channel = ? AND sequence > ? ORDER BY sequence LIMIT ?",
                (agreement.channel, after, most),
            )
        return [_row(agreement, *row) for row in found]

    def answer(self, agreement: Agreement, call: int) -> Done | None:
        """Return the answer of a call, or None if there is no such call."""
        key = (agreement.channel, _word(call))
        with self.tables.read() as db:
            row = self._find(db, {agreement.channel: agreement}, [key]).get(key)
            return None if row is None else self._kept(db, row)

    def _find(
        self, db: Transaction, agreements: Mapping[ChannelId, Agreement], calls: Sequence[Key]
    ) -> dict[Key, Row]:
        """Return those of some calls that were entered."""
        if not calls:
            return {}
        # A join: both databases look each call up in the index, where SQLite reads the table for `(channel, call) IN`.
        found = db.rows(
            "SELECT r.channel, r.sequence, r.call, r.units, r.request, r.response, r.signature"
            f" FROM (VALUES {', '.join(['(?, ?)'] * len(calls))}) AS wanted"
            " JOIN gateway_receipts r ON r.channel = wanted.column1 AND r.call = wanted.column2",
            [word for call in calls for word in call],
        )
        return {
            (channel, call): _row(agreements[channel], sequence, call, *rest)
            for channel, sequence, call, *rest in found
        }

    # -- trials --------------------------------------------------------------------------------------------------

    def try_out(self, taken: Sequence[tuple[bytes, str, int, int, int]]) -> list[int | Exception]:
        """Count trial units: asset, caller, day, units, and how many there are in a day.

        Returns:
            For each how many are left, or -1 if it was not let in.
        """
        left: list[int | Exception] = [-1] * len(taken)
        fitting = [place for place, item in enumerate(taken) if item[3] <= item[4]]
        if not fitting:
            return left
        with self.tables.write() as db:
            # Sorted, so that two processes never wait for each other.
            for place in sorted(fitting, key=lambda place: taken[place][:3]):
                asset, caller, day, units, most = taken[place]
                row = db.row(
                    "INSERT INTO gateway_trials VALUES (?, ?, ?, ?) ON CONFLICT (asset, caller, day)"
                    " DO UPDATE SET units = gateway_trials.units + excluded.units"
                    " WHERE gateway_trials.units + excluded.units <= ? RETURNING units",
                    (asset, caller, day, units, most),
                )
                if row is not None:
                    left[place] = most - int(row[0])
            db.execute("DELETE FROM gateway_trials WHERE day < ?", (taken[0][2],))
        return left


def open_books(
    where: str | Path, payee: Signer, *, clock: Callable[[], float], durable: bool = True
) -> Books:
    """Open the tables, and make those that are missing.

    Args:
        where: a file, or ``postgresql://...``.
        payee: signs receipts.
        clock: Unix seconds.
        durable: whether a PostgreSQL that does not flush what it commits is refused.

    Raises:
        DatabaseError: they cannot be opened.
        ConfigError: PostgreSQL's library is missing, or it does not flush what it commits.
    """
    tables = open_tables(where, TABLES)
    if durable and isinstance(tables, PostgresTables):
        with tables.read() as db:
            row = db.row("SELECT current_setting('synchronous_commit'), current_setting('fsync')")
        if row is None or row[0] == "off" or row[1] != "on":
            tables.close()
            raise ConfigError("PostgreSQL must have synchronous_commit and fsync on: vouchers are money")
    return Books(tables, payee, clock=clock)


def voucher_of(channel: ChannelId, price: int, row: Iterable[object]) -> Signed:
    """Return a voucher from sequence, units, root and signature as they are kept."""
    sequence, units, root, signature = row
    assert isinstance(sequence, int) and isinstance(root, bytes) and isinstance(signature, bytes)
    count = int(str(units))
    voucher = Voucher(channel=channel, amount=count * price, units=count, sequence=sequence, root=root)
    return Signed(voucher=voucher, signature=signature)


def _word(call: int) -> bytes:
    return call.to_bytes(8, "big")


def _books(agreement: Agreement, row: tuple[object, ...]) -> PayeeBooks:
    sequence, units, peaks, *best = row
    assert isinstance(sequence, int) and isinstance(peaks, bytes)
    return PayeeBooks(
        agreement,
        receipts=Range(sequence, peaks),
        units=int(str(units)),
        best=voucher_of(agreement.channel, agreement.terms.price, best),
    )


def _row(
    agreement: Agreement,
    sequence: int,
    call: bytes,
    units: int,
    request: bytes,
    response: bytes,
    signature: bytes,
) -> Row:
    receipt = Receipt(
        channel=agreement.channel,
        sequence=sequence,
        version=agreement.version,
        units=units,
        request=bytes(request),
        response=bytes(response),
    )
    return Row(receipt=receipt, signature=bytes(signature), call=int.from_bytes(call, "big"))
