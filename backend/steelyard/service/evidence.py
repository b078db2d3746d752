"""Receipts of a channel as a file, from the payer's books."""

from __future__ import annotations

from steelyard.errors import RefusedError
from steelyard.metering import evidence
from steelyard.metering.agreement import Agreement
from steelyard.service import metered
from steelyard.service.context import Context
from steelyard.service.usage_books import FILE, UsageBooks


def export_receipts(context: Context, agreement: Agreement, *, only: int | None = None) -> bytes:
    """Return a file of all receipts of a channel that have no gap before them, co-signed; or of one.

    Raises:
        RefusedError: the account's books do not know the channel, or no receipt of it.
        InputError: there is no such receipt.
    """
    kept = UsageBooks(context.home / FILE)
    try:
        books = kept.load(agreement)
        if books is None or not books.receipts.count:
            raise RefusedError(
                f"the books of this account have no receipts of channel 0x{agreement.channel.hex()}"
            )
        signed = books.voucher(metered.signer_of(context, agreement.nonce))
        kept.signed(books)
        return evidence.write(agreement, signed, kept.receipts(agreement.channel), only=only)
    finally:
        kept.close()
