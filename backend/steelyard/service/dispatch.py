"""Sends what reveals keys: an outbox that asks again before anything of it leaves the house.

What was signed before a crash must not simply be sent after it: meanwhile the deadline may have come close, or the payment may have been
re-organised away, and then sending would give the key away for nothing. So nothing is taken up without a fresh permission:

- :meth:`Dispatch.push` goes on with an operation that may be revealed now;
- :meth:`Dispatch.hold` is for one that may not. If it was sent once, the key is out and the transaction is pushed on: that is the
  only way to the money. If it never was, its nonce goes to an empty transaction of the account to itself, and the key stays here.

Commit points are named ``<kind>.<step>``: ``planned``, ``signed``, ``sent``, ``marked``, ``receipt``, ``mined``, and ``cancelled``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from steelyard.chain.calls import Call
from steelyard.chain.outbox import Entry, Outbox, OutboxState
from steelyard.chain.refusals import NonceUsedError
from steelyard.chain.sender import Sender
from steelyard.chain.transaction import Signed
from steelyard.chain.wire import Receipt
from steelyard.errors import NotFoundError, PendingError, RefusedError

WATCHED_BLOCKS: Final = 64
"""Blocks on top of a mined transaction until a re-organisation is not looked for any more: two epochs."""

CommitPoint = Callable[[str], None]


def _nothing(_: str) -> None:
    """Reach a commit point, and go on."""


class Dispatch(Outbox):
    """The seller service's outbox."""

    def __init__(
        self,
        path: Path,
        sender: Sender,
        *,
        stuck_after: float = 90.0,
        on_commit_point: CommitPoint | None = None,
        on_mined: Callable[[Entry], None] | None = None,
    ) -> None:
        """Open or make the file.

        Args:
            path: SQLite file; its folder exists.
            sender: of the account that pays for gas.
            stuck_after: seconds without being mined after which fees are raised.
            on_commit_point: called with the name of each step just taken; whatever it does, even ending the process, must be harmless.
            on_mined: told of each operation that was found mined, or reverted.

        Raises:
            UnsafeError: another process uses it, it is damaged, or belongs to another account or chain.
        """
        self._reach = on_commit_point or _nothing
        self._on_mined = on_mined
        super().__init__(path, sender, depth=WATCHED_BLOCKS, stuck_after=stuck_after)
        with self._write() as db:
            db.execute("CREATE TABLE IF NOT EXISTS sent (tx_hash BLOB PRIMARY KEY) STRICT")

    # -- looking -----------------------------------------------------------------------------------------------

    def find(self, name: str) -> Entry | None:
        """Return an operation, or None."""
        try:
            return self.entry(name)
        except NotFoundError:
            return None

    def open_entries(self) -> list[Entry]:
        """Return what is not finished, and what was mined too recently to be beyond a re-organisation."""
        return self._entries("WHERE state IN ('planned', 'signed') OR settled = 0", ())

    def was_sent(self, entry: Entry) -> bool:
        """Whether an operation has left this process, as far as it or the endpoint knows.

        Raises:
            ChainError: the endpoint did not say.
        """
        attempts = self._attempts(entry)
        with self._lock:
            known = {row[0] for row in self._db.execute("SELECT tx_hash FROM sent").fetchall()}
        if any(signed.tx_hash in known for signed in attempts):
            return True
        return any(self._sender.rpc.is_known(signed.tx_hash) for signed in attempts)

    # -- acting ------------------------------------------------------------------------------------------------

    def push(self, name: str) -> Entry:
        """Go on with an operation that may be revealed: sign and send it, send it again, raise its fees, or find its receipt.

        Raises:
            RevertError: it would revert; nothing was signed.
            RefusedError: fees or funds do not allow it now.
            ChainError: the endpoint failed.
        """
        with self._lock:
            entry = self.entry(name)
            if entry.state is OutboxState.PLANNED:
                return self.submit(name, entry.call)
            return self._advance(entry)

    def hold(self, name: str) -> Entry | None:
        """Deal with an operation that may not be revealed now; see the module. Returns it, or None if it was only planned.

        Raises:
            ChainError: the endpoint failed.
        """
        with self._lock:
            entry = self.entry(name)
            if entry.state is OutboxState.PLANNED:
                with self._write() as db:
                    db.execute("DELETE FROM operations WHERE name = ? AND state = 'planned'", (name,))
                return None
            if entry.state is not OutboxState.SIGNED or self.was_sent(entry):
                return self._advance(entry)
            return self._cancel(entry)

    # -- parts -------------------------------------------------------------------------------------------------

    def _cancel(self, entry: Entry) -> Entry:
        """Use up the nonce of a transaction that nobody has seen."""
        newest = self._attempts(entry)[-1]
        sender = self._sender
        try:
            if sender.rpc.get_nonce(sender.address, block="latest") <= newest.nonce:
                empty = Call(sender.address, b"", name="cancel")
                cost = sender.estimate(empty)
                signed = sender.sign(empty, nonce=newest.nonce, gas_limit=cost.gas_limit, fees=cost.fees)
                sender.broadcast(signed)
                self._reached(entry.name, "cancelled")
                return self.entry(entry.name)
        except NonceUsedError:
            pass
        except (RefusedError, PendingError) as exc:
            self._note(entry.name, str(exc))
            return self.entry(entry.name)
        # The nonce is spent. Perhaps an earlier life of this operation was sent after all and is the one that was mined.
        receipt = self._receipt(entry)
        if receipt is not None:
            return self._mined(entry, receipt)
        self._set(
            entry.name, OutboxState.FAILED, note="held back; its nonce is spent without it", settled=True
        )
        return self.entry(entry.name)

    def plan(self, name: str, call: Call) -> Entry:
        """Write an operation down, without sending it; see :meth:`Outbox.plan`."""
        entry = super().plan(name, call)
        self._reached(name, "planned")
        return entry

    def _sign(self, entry: Entry) -> Entry:
        signed = super()._sign(entry)
        self._reached(entry.name, "signed")
        return signed

    def _broadcast(self, signed: Signed) -> None:
        super()._broadcast(signed)
        (name,) = self._db.execute(
            "SELECT name FROM attempts WHERE tx_hash = ?", (signed.tx_hash,)
        ).fetchone()
        self._reached(name, "sent")
        with self._write() as db:
            db.execute("INSERT INTO sent VALUES (?) ON CONFLICT DO NOTHING", (signed.tx_hash,))
        self._reached(name, "marked")

    def _mined(self, entry: Entry, receipt: Receipt) -> Entry:
        self._reached(entry.name, "receipt")
        found = super()._mined(entry, receipt)
        self._reached(entry.name, "mined")
        if self._on_mined is not None and found.state is not entry.state:
            self._on_mined(found)
        return found

    def _reached(self, name: str, step: str) -> None:
        self._reach(f"{name.partition(':')[0]}.{step}")
