"""The payee's books of one channel: which call may be answered, and which voucher is believed.

The rule that all of this serves: units answered are at most the units co-signed and those of ``w`` calls, whatever happens to either side.
What `PayeeBooks` decides holds once it is on the disk; the answer leaves after that (``gateway.books``).
"""

from __future__ import annotations

from collections.abc import Callable

from steelyard.domain.metering import MAX_SEQUENCE, MAX_UNITS, Receipt
from steelyard.domain.mmr import Range
from steelyard.errors import ProofError, RefusedError
from steelyard.metering.agreement import Agreement, Signed, nothing


class InFlightError(RefusedError):
    """As many calls as may be are answered and not co-signed."""


class DepositError(RefusedError):
    """The deposit does not cover the call."""


class UnknownReceiptsError(RefusedError):
    """A voucher covers receipts that are not in these books."""


Totals = Callable[[int], tuple[int, bytes] | None]
"""Returns sum of units and root of the first so many receipts, or None if there are not so many."""


class PayeeBooks:
    """What the payee knows of a channel.

    Attributes:
        agreement: the channel.
        receipts: tree of all receipts that were given.
        units: sum of their units.
        best: highest voucher.
    """

    def __init__(
        self,
        agreement: Agreement,
        *,
        receipts: Range | None = None,
        units: int = 0,
        best: Signed | None = None,
    ) -> None:
        """Start with nothing, or with what was kept."""
        self.agreement = agreement
        self.receipts = receipts or Range()
        self.units = units
        self.best = best or nothing(agreement.channel)

    @property
    def open(self) -> int:
        """Receipts that no voucher covers yet."""
        return self.receipts.count - self.best.voucher.sequence

    def judge(self, signed: Signed, totals: Totals) -> bool:
        """Check a voucher; return whether it is higher than the best.

        Raises:
            ProofError: it is not the signer's, or not what the receipts give.
            UnknownReceiptsError: it covers more than was given.
        """
        voucher = signed.voucher
        if signed == self.best:
            return False
        self.agreement.check_voucher(voucher, signed.signature)
        if voucher.sequence == 0:
            return False
        found = totals(voucher.sequence)
        if found is None:
            raise UnknownReceiptsError(f"the voucher covers {voucher.sequence} receipts")
        if found != (voucher.units, voucher.root):
            raise ProofError("the voucher has other units or another root than its receipts")
        return voucher.sequence > self.best.voucher.sequence

    def take(self, signed: Signed) -> None:
        """Keep a voucher that was judged to be higher."""
        if signed.voucher.sequence > self.best.voucher.sequence:
            self.best = signed

    def admit(self, units: int, *, deposit: int, running: int = 0, running_units: int = 0) -> None:
        """Check that a call may be answered.

        Args:
            units: of the call.
            deposit: of the channel, smallest units of the currency.
            running: other calls under way.
            running_units: their units.

        Raises:
            InFlightError: as many calls as may be are not co-signed.
            DepositError: the deposit does not cover it.
        """
        terms = self.agreement.terms
        if units < 1 or self.units + running_units + units > MAX_UNITS:
            raise RefusedError(f"a call has at least one unit, not {units}")
        if self.open + running >= terms.in_flight or self.receipts.count >= MAX_SEQUENCE:
            raise InFlightError(
                f"{self.open} receipts are not co-signed, {running} calls run, and {terms.in_flight} may"
            )
        if (self.units + running_units + units) * terms.price > deposit:
            raise DepositError(f"{units} units more cost more than what is left of the deposit")

    def serve(self, units: int, *, request: bytes, response: bytes, deposit: int) -> tuple[Receipt, bytes]:
        """Enter a call that was run: return its receipt and the digest to sign.

        Args:
            units: of the call.
            request: SHA-256 of its body.
            response: SHA-256 of the answer.
            deposit: of the channel.

        Raises:
            InFlightError: as of `admit`.
            DepositError: as of `admit`.
        """
        self.admit(units, deposit=deposit)
        agreement = self.agreement
        receipt = Receipt(
            channel=agreement.channel,
            sequence=self.receipts.count + 1,
            version=agreement.version,
            units=units,
            request=request,
            response=response,
        )
        digest = receipt.digest(agreement.place.separator)
        self.receipts.append(digest)
        self.units += units
        return receipt, digest

    def due(self, *, deposit: int, claimed: int) -> int:
        """Return what a claim of the best voucher would pay now."""
        return max(0, min(self.best.voucher.amount, deposit) - claimed)
