"""A durable outbox: each business operation is sent by at most one nonce, also over crashes.

An operation has a name, ``deliver:<purchase>``. What is signed for it is on the disk before it is sent; after
a crash the very same bytes are sent again. A transaction that is stuck is replaced under its own nonce by the
same call with higher fees, so whichever is mined, the call is made once. An operation gets a second nonce
only if the first is spent for good without it (it reverted, or another transaction took the nonce) and
somebody asks for that by :meth:`Outbox.retry`.

Nothing is taken up after a crash by itself. What was signed before may have become unsafe meanwhile: a
deadline came close, or the payment was re-organised away, and then sending would give a key away for nothing.
So for each open operation somebody decides:

- :meth:`Outbox.push` goes on with one that may be sent now;
- :meth:`Outbox.hold` is for one that may not. If it was sent once, what it reveals is out and it is pushed
  on: that is the only way to the money. If it never was, its nonce goes to an empty transaction of the
  account to itself, and the secret stays here.

One process at a time: a lock beside the file. The account should send nothing outside the outbox while it is
in use; a nonce that it takes away costs the operation a new one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from steelyard.chain.calls import Call
from steelyard.chain.hexdata import to_hex
from steelyard.chain.outbox_file import Entry, OutboxFile, OutboxState
from steelyard.chain.refusals import NonceUsedError
from steelyard.chain.sender import Sender
from steelyard.chain.transaction import Fees, Signed
from steelyard.chain.wire import Receipt
from steelyard.errors import NotFoundError, PendingError, RefusedError, RevertError

OnStep = Callable[[str, str], None]
"""Called with the name of an operation and the step just taken: ``planned``, ``signed``, ``sent``, ``marked``
(as sent), ``receipt`` (seen), ``mined`` (noted), ``cancelled``. Whatever it does, even ending the process, is
harmless."""


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
        on_step: OnStep | None = None,
        on_mined: Callable[[Entry], None] | None = None,
    ) -> None:
        """Open or make the file; nothing in it is sent.

        Args:
            path: SQLite file; its folder exists. Only its owner can read it.
            sender: signs and sends; its account must be used by nothing else.
            depth: blocks on top of a mined transaction until it is not looked at again, against
                re-organisations.
            stuck_after: seconds without being mined after which fees are raised.
            clock: Unix seconds, for tests.
            on_step: told of each durable step.
            on_mined: told of each operation that was found mined, or reverted.

        Raises:
            UnsafeError: another process uses it, it is damaged, or belongs to another account or chain.
            ConfigError: it cannot be opened.
        """
        self._sender = sender
        self._depth = depth
        self._stuck_after = stuck_after
        self._clock = clock
        self._on_step = on_step
        self._on_mined = on_mined
        self._file = OutboxFile(path, owner=sender.rpc.chain_id.to_bytes(32, "big") + sender.address)
        self._lock = self._file.lock
        highest = self._file.highest_nonce()
        if highest is not None:
            sender.keep_nonces_from(highest + 1)

    def close(self) -> None:
        """Close the file and let another process have it."""
        self._file.close()

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
        return self._file.entry(name)

    def find(self, name: str) -> Entry | None:
        """Return an operation, or None."""
        try:
            return self.entry(name)
        except NotFoundError:
            return None

    def entries(self, state: OutboxState | None = None) -> list[Entry]:
        """Return all operations, or those in one state, in the order of their nonces."""
        return self._file.entries(state)

    def open_entries(self) -> list[Entry]:
        """Return what is not finished, and what was mined too recently to be beyond a re-organisation."""
        return self._file.unsettled()

    def attempts(self, entry: Entry) -> list[Signed]:
        """Return what was signed for an operation under its nonce, oldest first."""
        return self._file.attempts(entry)

    def was_sent(self, entry: Entry) -> bool:
        """Whether an operation has left this process, as far as the file or the endpoint knows.

        Raises:
            ChainError: the endpoint did not say.
        """
        attempts = self.attempts(entry)
        if any(self._file.is_marked(signed) for signed in attempts):
            return True
        return any(self._sender.rpc.is_known(signed.tx_hash) for signed in attempts)

    # -- sending ---------------------------------------------------------------------------------------------

    def plan(self, name: str, call: Call) -> Entry:
        """Write an operation down, without sending it; does nothing if it is there.

        Raises:
            InputError: the name stands for another call.
        """
        entry = self._file.plan(name, call)
        self._reached(name, "planned")
        return entry

    def send(self, name: str, call: Call) -> Receipt:
        """See an operation through: once it was mined, this only returns its receipt.

        Args:
            name: of the operation; the same name is never sent twice.
            call: what it does; the same every time.

        Raises:
            RevertError: it would revert, and nothing was signed: calling again tries again. Or it did revert,
                for good.
            RefusedError: fees or funds do not allow it now, or it failed for good earlier.
            PendingError: it is sent and in no block yet; calling again, or :meth:`push`, goes on.
            ChainError: the endpoint failed.
            InputError: the name stands for another call.
        """
        entry = self.submit(name, call)
        for signed in self.attempts(entry)[-1:] if entry.state is OutboxState.SIGNED else ():
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
            PendingError: it was signed, and no answer says whether it arrived; :meth:`push` goes on.
            ChainError: the endpoint failed.
            InputError: the name stands for another call.
        """
        with self._lock:
            entry = self.plan(name, call)
            if entry.state is OutboxState.PLANNED:
                entry = self._sign(entry)
                self._broadcast(name, self.attempts(entry)[-1])
            return entry

    def push(self, name: str) -> Entry:
        """Go on with an operation that may be sent: sign it, send it, raise its fees, or find its receipt.

        Raises:
            RevertError: it would revert; nothing was signed.
            RefusedError: fees or funds do not allow it now.
            PendingError: it was signed just now, and no answer says whether it arrived.
            ChainError: the endpoint failed.
            NotFoundError: there is none of that name.
        """
        with self._lock:
            entry = self.entry(name)
            if entry.state is OutboxState.PLANNED:
                return self.submit(name, entry.call)
            return self._advance(entry)

    def hold(self, name: str) -> Entry | None:
        """Deal with an operation that may not be sent now; see the module.

        Returns:
            The operation, or None if it was only planned.

        Raises:
            ChainError: the endpoint failed.
            NotFoundError: there is none of that name.
        """
        with self._lock:
            entry = self.entry(name)
            if entry.state is OutboxState.PLANNED:
                self._file.drop(name)
                return None
            if entry.state is not OutboxState.SIGNED or self.was_sent(entry):
                return self._advance(entry)
            return self._cancel(entry)

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
            self._file.renew(name)
            return self.entry(name)

    # -- parts -----------------------------------------------------------------------------------------------

    def _sign(self, entry: Entry) -> Entry:
        """Give a planned operation its nonce: signed and on the disk before anything is sent."""
        estimate = self._sender.estimate(entry.call)
        with self._sender.nonce() as nonce:
            signed = self._sender.sign(
                entry.call, nonce=nonce, gas_limit=estimate.gas_limit, fees=estimate.fees
            )
            self._file.sign(entry.name, signed, at=self._clock())
        self._reached(entry.name, "signed")
        return self.entry(entry.name)

    def _advance(self, entry: Entry) -> Entry:
        """Bring a signed or mined operation up to what the chain says."""
        receipt = self._receipt(entry)
        if receipt is not None:
            return self._mined(entry, receipt)
        if entry.state is not OutboxState.SIGNED:
            # A re-organisation took it out of its block.
            self._file.set(entry.name, OutboxState.SIGNED, note="its block is gone", settled=False)
        attempts = self.attempts(entry)
        try:
            if self._clock() - self._file.signed_at(attempts[-1]) > self._stuck_after:
                attempts = [*attempts, self._replace(entry, attempts[-1])]
            self._broadcast(entry.name, attempts[-1])
        except NonceUsedError as exc:
            # Asked again only now: an attempt may have been mined between the two questions.
            receipt = self._receipt(entry)
            if receipt is not None:
                return self._mined(entry, receipt)
            if self._sender.rpc.get_nonce(self._sender.address, block="latest") > attempts[-1].nonce:
                self._file.set(entry.name, OutboxState.FAILED, note=str(exc), settled=True)
        except (RefusedError, PendingError) as exc:
            self._file.note(entry.name, str(exc))
        return self.entry(entry.name)

    def _cancel(self, entry: Entry) -> Entry:
        """Use up the nonce of a transaction that nobody has seen."""
        newest = self.attempts(entry)[-1]
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
            self._file.note(entry.name, str(exc))
            return self.entry(entry.name)
        # The nonce is spent. Perhaps an earlier life of this operation was sent after all and is the one that
        # was mined.
        receipt = self._receipt(entry)
        if receipt is not None:
            return self._mined(entry, receipt)
        note = "held back; its nonce is spent without it"
        self._file.set(entry.name, OutboxState.FAILED, note=note, settled=True)
        return self.entry(entry.name)

    def _replace(self, entry: Entry, old: Signed) -> Signed:
        """Sign the same call under the same nonce with higher fees."""
        raised, now = old.fees.raised(), self._sender.fees()
        priority = max(raised.priority, now.priority)
        fees = Fees(max_fee=max(raised.max_fee, now.max_fee, priority), priority=priority)
        self._sender.check_fees(fees)
        signed = self._sender.sign(entry.call, nonce=old.nonce, gas_limit=old.gas_limit, fees=fees)
        self._file.keep(entry.name, signed, at=self._clock())
        return signed

    def _broadcast(self, name: str, signed: Signed) -> None:
        self._sender.broadcast(signed)
        self._reached(name, "sent")
        self._file.mark(signed)
        self._reached(name, "marked")

    def _mined(self, entry: Entry, receipt: Receipt) -> Entry:
        self._reached(entry.name, "receipt")
        settled = self._depth == 0 or self._sender.rpc.block_number() - receipt.block_number >= self._depth
        state, note = OutboxState.MINED, ""
        if not receipt.status:
            state = OutboxState.FAILED
            try:
                self._sender.finish(entry.call, receipt)
            except RevertError as exc:
                note = str(exc)
        self._file.set(entry.name, state, note=note, settled=settled, receipt=receipt)
        self._reached(entry.name, "mined")
        found = self.entry(entry.name)
        if self._on_mined is not None and found.state is not entry.state:
            self._on_mined(found)
        return found

    def _outcome(self, entry: Entry) -> Receipt:
        receipt = self._receipt(entry)
        if receipt is not None:
            return self._sender.finish(entry.call, receipt)
        if entry.state is OutboxState.FAILED:
            raise RefusedError(f"operation {entry.name} failed: {entry.note}")
        newest = self.attempts(entry)[-1].tx_hash
        raise PendingError(
            f"operation {entry.name} is sent as {to_hex(newest)} and in no block yet", tx_hash=newest
        )

    def _receipt(self, entry: Entry) -> Receipt | None:
        for signed in reversed(self.attempts(entry)):
            receipt = self._sender.rpc.get_receipt(signed.tx_hash)
            if receipt is not None:
                return receipt
        return None

    def _reached(self, name: str, step: str) -> None:
        if self._on_step is not None:
            self._on_step(name, step)
