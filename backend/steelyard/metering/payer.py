"""The payer's books of one channel: which receipts he believes, and what he co-signs.

He co-signs a receipt only if it is the payee's, of a call that he made, with the units that he counts himself, over the very bodies that he
sent and got. So whatever the other side does, what he pays for is what was answered to him.
"""

from __future__ import annotations

from dataclasses import dataclass

from steelyard.crypto.metering import Signer
from steelyard.domain.metering import Receipt, Voucher, amount_of
from steelyard.domain.mmr import Range
from steelyard.errors import InputError, ProofError, RefusedError
from steelyard.metering.agreement import Agreement, Signed, nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A call that was made, and has no receipt yet.

    Attributes:
        call: its number.
        request: SHA-256 of its body.
        units: what it may count at most.
    """

    call: int
    request: bytes
    units: int


class PayerBooks:
    """What the payer knows of a channel.

    Attributes:
        agreement: the channel.
        receipts: tree of the receipts that he believes, from the first without a gap.
        units: sum of their units.
        made: calls without a receipt, by their number.
        later: receipts that he believes, with a gap before them, by sequence: digest and units.
        best: the voucher that was sent last.
    """

    def __init__(
        self,
        agreement: Agreement,
        *,
        receipts: Range | None = None,
        units: int = 0,
        made: dict[int, Made] | None = None,
        later: dict[int, tuple[bytes, int]] | None = None,
        best: Signed | None = None,
        last_call: int = 0,
    ) -> None:
        """Start with nothing, or with what was kept."""
        self.agreement = agreement
        self.receipts = receipts or Range()
        self.units = units
        self.made = made or {}
        self.later = later or {}
        self.best = best or nothing(agreement.channel)
        self._last_call = last_call

    def begin(self, request: bytes, units: int, *, hint: int = 0) -> Made:
        """Enter a call before it leaves.

        Args:
            request: SHA-256 of its body.
            units: what it counts.
            hint: a number that only grows, such as the time, so that numbers are new also where books were lost.
        """
        self._last_call = max(self._last_call + 1, hint)
        made = Made(call=self._last_call, request=request, units=units)
        self.made[made.call] = made
        return made

    def voucher(self, signer: Signer, *, fresh: bool = True) -> Signed:
        """Return the voucher to send: over all receipts without a gap, or the one that was sent last.

        Args:
            signer: the channel's.
            fresh: whether it must cover all; the last one is good enough for a call as long as fewer than ``w`` calls are not
                covered by it.

        Raises:
            InputError: the key is not the channel's signer.
        """
        count = self.receipts.count
        if count == self.best.voucher.sequence:
            return self.best
        if (
            not fresh
            and count + len(self.later) - self.best.voucher.sequence < self.agreement.terms.in_flight // 2
        ):
            return self.best
        if signer.address != self.agreement.signer:
            raise InputError("this key is not the channel's signer")
        voucher = Voucher(
            channel=self.agreement.channel,
            amount=amount_of(self.units, self.agreement.terms.price),
            units=self.units,
            sequence=count,
            root=self.receipts.root(),
        )
        self.best = Signed(
            voucher=voucher, signature=signer.sign(voucher.digest(self.agreement.place.separator))
        )
        return self.best

    def accept(self, call: int, receipt: Receipt, signature: bytes, *, response: bytes) -> bytes:
        """Believe the receipt of a call that was answered; return its digest.

        Args:
            call: its number.
            receipt: what came with the answer.
            signature: the payee's.
            response: SHA-256 of the answer that came.

        Raises:
            ProofError: the payee did not sign it, or it is not about this call and this answer. Nothing is co-signed any more.
            RefusedError: there is no such call without a receipt.
        """
        made = self.made.get(call)
        if made is None:
            raise RefusedError(f"call {call} was not made, or has its receipt")
        digest = self.agreement.receipt_digest(receipt, signature)
        if receipt.request != made.request:
            raise ProofError(f"receipt {receipt.sequence} is about another request than call {call}")
        if receipt.units != made.units:
            raise ProofError(
                f"receipt {receipt.sequence} counts {receipt.units} units, and the call has {made.units}"
            )
        if receipt.response != response:
            raise ProofError(f"receipt {receipt.sequence} is about another answer than the one that came")
        self._enter(receipt, digest)
        del self.made[call]
        return digest

    def _enter(self, receipt: Receipt, digest: bytes) -> None:
        ahead = receipt.sequence - self.receipts.count
        if ahead < 1 or receipt.sequence in self.later:
            raise ProofError(f"there are two receipts {receipt.sequence}: the payee has signed both")
        if ahead > self.agreement.terms.in_flight:
            raise ProofError(f"receipt {receipt.sequence} is further ahead than calls may be")
        self.later[receipt.sequence] = (digest, receipt.units)
        while (found := self.later.pop(self.receipts.count + 1, None)) is not None:
            self.receipts.append(found[0])
            self.units += found[1]
