"""Claims by itself: at a threshold, before a window closes, at a price of gas (docs/gateway.md, "Claims").

One process claims at a time, by a lease in the database. Every claim goes through the account's outbox, so it is sent under one nonce
whatever dies; a claim that was made already is skipped by the contract, so nothing is lost by making it twice either.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from steelyard.chain.calls import Call
from steelyard.chain.metered import (
    MAX_ROWS,
    ChannelCalls,
    ChannelViews,
    StoredChannel,
    VoucherRow,
    channels_of,
)
from steelyard.chain.outbox import Outbox
from steelyard.chain.outbox_file import OutboxState
from steelyard.crypto.metering import compact
from steelyard.domain.hash import keccak256
from steelyard.domain.metering import ChannelId, ChannelState, Voucher
from steelyard.domain.records import MeteredOfferState
from steelyard.domain.types import Address, OfferId
from steelyard.errors import RefusedError, SteelyardError
from steelyard.gateway.books import CLOSED, OPEN, Books, voucher_of
from steelyard.gateway.records import Records
from steelyard.metering.agreement import Agreement, Place, Signed
from steelyard.service.context import Context
from steelyard.service.dispatch import go_on
from steelyard.service.serving import Event

CLAIM: Final = "claim"
CLOSE: Final = "close"
LEASE: Final = 60
"""Seconds for which a process may claim before it says again that it lives."""
_UNCLAIMED: Final = (
    "SELECT channel, payer, signer, nonce, offer, best_sequence, best_units, best_root, best_signature, unclaimed_since, claimed"
    " FROM gateway_channels WHERE state = 'open'"
)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """When to claim.

    Attributes:
        at: claim a channel from so much unclaimed on, smallest units of its currency; 0: whatever there is.
        after: seconds after which an unclaimed voucher is claimed, however little it is.
        max_fee: wei per gas above which only what is in danger is claimed; None for no such limit.
    """

    at: int = 0
    after: int = 7 * 86_400
    max_fee: int | None = None


@dataclass(frozen=True, kw_only=True)
class Due:
    """A channel with something to claim.

    Attributes:
        agreement: the channel.
        signed: its best voucher.
        record: what the chain says.
        amount: what a claim would pay now.
        urgent: it is closing, or its offer is about to expire: claimed at any price of gas.
        ripe: the threshold or the age is reached.
    """

    agreement: Agreement
    signed: Signed
    record: StoredChannel
    amount: int
    urgent: bool
    ripe: bool


class Claimer:
    """Looks and claims. For one thread.

    Attributes:
        outbox: of the account.
    """

    def __init__(
        self,
        context: Context,
        books: Books,
        outbox: Outbox,
        offers: dict[OfferId, MeteredOfferState],
        rules: Rules,
        *,
        tell: Callable[[Event], None] = lambda event: None,
    ) -> None:
        """Remember them; nothing is asked.

        Args:
            context: market and account, which is the payee.
            books: of the gateway.
            outbox: of the account.
            offers: terms by id of what the gateway serves.
            rules: when to claim.
            tell: told of each claim.
        """
        channels = channels_of(context.deployment)
        self._context = context
        self._books = books
        self.outbox = outbox
        self._offers = offers
        self._rules = rules
        self._tell = tell
        self._place = Place.of(context.chain_id, channels)
        self._records = Records(context.rpc, ChannelViews(context.rpc, channels), clock=time.monotonic)
        self._calls = ChannelCalls(channels)
        self._holder = secrets.token_hex(8)

    def step(self, *, force: bool = False) -> list[Due]:
        """Claim what is to be claimed now, and return it; nothing if another process has the lease.

        Args:
            force: claim whatever is due.

        Raises:
            ChainError: the endpoint failed.
            DatabaseError: the books failed.
        """
        if not self._lease():
            return []
        # What is on its way may claim the same; only what is in danger does not wait for it.
        waiting = self._go_on()
        found = self._due()
        cheap = self._cheap()
        chosen = [
            item
            for item in found
            if item.amount and (force or item.urgent or (item.ripe and cheap and not waiting))
        ]
        by_currency: dict[Address, list[Due]] = {}
        for item in chosen:
            by_currency.setdefault(item.agreement.terms.currency, []).append(item)
        for items in by_currency.values():
            for at in range(0, len(items), MAX_ROWS):
                self._claim(items[at : at + MAX_ROWS])
        for item in found:
            if item.record.state is ChannelState.CLOSING and not item.amount:
                self._close(item)
        return chosen

    # -- what is due ---------------------------------------------------------------------------------------------

    def _due(self) -> list[Due]:
        with self._books.tables.read() as db:
            rows = [row for row in db.rows(_UNCLAIMED) if bytes(row[4]) in self._offers]
        head, records = self._records.look([ChannelId(bytes(row[0])) for row in rows])
        found, notes = [], []
        for row, record in zip(rows, records, strict=True):
            channel, payer, signer, nonce, offer, *best, since, claimed = row
            known = self._offers[OfferId(bytes(offer))]
            agreement = Agreement.of(
                self._place,
                asset=known.asset,
                terms=known.terms,
                payer=Address(bytes(payer)),
                signer=Address(bytes(signer)),
                nonce=int.from_bytes(nonce, "big"),
            )
            assert agreement.channel == bytes(channel)
            signed = voucher_of(agreement.channel, known.terms.price, best)
            amount = min(signed.voucher.amount, record.deposit) - record.claimed
            over = record.state is ChannelState.CLOSED
            if over or record.claimed != int(claimed) or (amount <= 0 and since is not None):
                notes.append((signed.voucher, record, amount <= 0))
            if not over and record.state is not ChannelState.NONE:
                found.append(self._judge(agreement, signed, record, max(0, amount), since, head.timestamp))
        self._note(notes)
        return found

    def _judge(
        self,
        agreement: Agreement,
        signed: Signed,
        record: StoredChannel,
        amount: int,
        since: int | None,
        now: int,
    ) -> Due:
        rules, terms = self._rules, agreement.terms
        old = since is not None and int(self._context.settings.clock()) - since >= rules.after
        return Due(
            agreement=agreement,
            signed=signed,
            record=record,
            amount=amount,
            urgent=record.state is ChannelState.CLOSING or now >= terms.expiry - terms.window,
            ripe=amount >= max(1, rules.at) or (amount > 0 and old),
        )

    def _note(self, notes: list[tuple[Voucher, StoredChannel, bool]]) -> None:
        """Enter what the chain says of channels, by their best voucher, and whether all of it is claimed."""
        if not notes:
            return
        # Sorted, so that two processes never wait for each other.
        notes = sorted(notes, key=lambda note: note[0].channel)
        with self._books.tables.write() as db:
            db.each(
                "UPDATE gateway_channels SET claimed = ?, state = ? WHERE channel = ?",
                [
                    (
                        str(record.claimed),
                        CLOSED if record.state is ChannelState.CLOSED else OPEN,
                        voucher.channel,
                    )
                    for voucher, record, _ in notes
                ],
            )
            db.each(
                "UPDATE gateway_channels SET unclaimed_since = NULL WHERE channel = ? AND best_sequence = ?",
                [(voucher.channel, voucher.sequence) for voucher, _, paid in notes if paid],
            )

    def _cheap(self) -> bool:
        if self._rules.max_fee is None:
            return True
        try:
            return self._context.sender.fees().max_fee <= self._rules.max_fee
        except RefusedError:
            return False

    # -- sending -------------------------------------------------------------------------------------------------

    def _claim(self, items: list[Due]) -> None:
        groups: dict[OfferId, list[Due]] = {}
        for item in items:
            groups.setdefault(item.agreement.offer, []).append(item)
        call = self._calls.claim(
            [
                (group[0].agreement.asset, group[0].agreement.terms, [row_of(item) for item in group])
                for group in groups.values()
            ]
        )
        self._send(f"{CLAIM}:0x{keccak256(call.data).hex()}", call, f"{len(items)} channels")

    def _close(self, item: Due) -> None:
        agreement = item.agreement
        parties = (agreement.payer, agreement.signer, agreement.nonce)
        call = self._calls.close(agreement.asset, agreement.terms, parties)
        self._send(f"{CLOSE}:0x{agreement.channel.hex()}", call, "all is claimed")

    def _send(self, name: str, call: Call, why: str) -> None:
        try:
            entry = go_on(self._context, self.outbox, name, lambda: call)
        except SteelyardError as exc:
            self._tell(Event(kind="fault", why=f"{name[:20]}: {exc}"))
            return
        self._tell(
            Event(kind="sent", id=bytes.fromhex(name.rpartition("0x")[2]), tx=entry.tx_hash or b"", why=why)
        )

    def wait(self, *, seconds: float = 60.0) -> bool:
        """Wait until what was sent is in blocks, at most so many seconds; whether it is."""
        until = time.monotonic() + seconds
        while self._go_on():
            if time.monotonic() > until:
                return False
            time.sleep(min(0.5, self._context.settings.poll))
        return True

    def _go_on(self) -> bool:
        """Bring what was signed up to what the chain says; whether something is in no block yet.

        A claim never reveals anything, so it may always go on.
        """
        waiting = False
        for entry in self.outbox.open_entries():
            if entry.name.partition(":")[0] in (CLAIM, CLOSE) and entry.state is not OutboxState.PLANNED:
                try:
                    waiting |= self.outbox.push(entry.name).state is OutboxState.SIGNED
                except SteelyardError as exc:
                    waiting = True
                    self._tell(Event(kind="fault", why=f"{entry.name[:20]}: {exc}"))
        return waiting

    def _lease(self) -> bool:
        now = int(time.time())
        with self._books.tables.write() as db:
            row = db.row(
                "INSERT INTO gateway_lease VALUES ('claims', ?, ?) ON CONFLICT (name) DO UPDATE SET"
                " holder = excluded.holder, until = excluded.until"
                " WHERE gateway_lease.until < ? OR gateway_lease.holder = excluded.holder RETURNING holder",
                (self._holder, now + LEASE, now),
            )
        return row is not None

    def release(self) -> None:
        """Let another process claim."""
        with self._books.tables.write() as db:
            db.execute("DELETE FROM gateway_lease WHERE holder = ?", (self._holder,))


def row_of(item: Due) -> VoucherRow:
    """Return a voucher as it is claimed."""
    agreement, voucher = item.agreement, item.signed.voucher
    r, vs = compact(item.signed.signature)
    return VoucherRow(
        payer=agreement.payer,
        signer=agreement.signer,
        nonce=agreement.nonce,
        units=voucher.units,
        sequence=voucher.sequence,
        root=voucher.root,
        r=r,
        vs=vs,
    )


def run(claimer: Claimer, stop: threading.Event, *, every: float, tell: Callable[[Event], None]) -> None:
    """Claim until told to stop."""
    try:
        while True:
            try:
                claimer.step()
            except SteelyardError as exc:
                tell(Event(kind="fault", why=f"claims: {exc}"))
            if stop.wait(every):
                return
    finally:
        claimer.release()
