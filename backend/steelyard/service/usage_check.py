"""What a gateway says to a payer, read and checked against the chain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from steelyard.crypto.metering import address_of
from steelyard.domain.metering import Receipt
from steelyard.domain.records import AssetState, MeteredOfferState
from steelyard.domain.types import OfferId, VersionId
from steelyard.errors import ConfigError, InputError, RefusedError, VerificationError
from steelyard.metering import document as documents
from steelyard.metering.agreement import Agreement, Signed
from steelyard.service.metered import is_offered
from steelyard.service.usage_http import Offered

PAGE: Final = 500
"""Receipts in one answer."""


def check_offer(
    asset: AssetState, version: VersionId, offered: Offered, *, now: int
) -> tuple[MeteredOfferState, bytes]:
    """Return the chain's own offer of a version that a gateway names, and its payee's key.

    Args:
        asset: as the chain has it.
        version: wanted.
        offered: what the gateway says.
        now: Unix seconds.

    Raises:
        VerificationError: the chain has no such offer of the version, or the key is not its payee's.
        RefusedError: it is closed or expired.
    """
    try:
        wanted = OfferId(documents.hex_bytes(offered.offer))
        payee = documents.hex_bytes(offered.payee_key, 33)
    except InputError as exc:
        raise VerificationError("the gateway's offer is malformed") from exc
    found = asset.metered.get(wanted)
    if found is None or found.terms.version != version:
        raise VerificationError("the chain has no such offer of this version")
    if address_of(payee) != found.terms.payee:
        raise VerificationError("the gateway's key is not that of the offer's payee")
    if not is_offered(asset, found, now):
        raise RefusedError("the gateway's offer is closed or expired")
    return found, payee


def read_row(agreement: Agreement, item: Mapping[str, Any]) -> tuple[int, Receipt, bytes]:
    """Return call, receipt and signature of a row of a gateway's list; the signature is not checked here.

    Raises:
        VerificationError: it is malformed.
    """
    try:
        return documents.whole(item["call"]), *documents.read_receipt(agreement, item)
    except (KeyError, TypeError, InputError) as exc:
        raise VerificationError("the gateway's list of receipts is malformed") from exc


def read_voucher(agreement: Agreement, item: Mapping[str, Any]) -> Signed:
    """Return the voucher that a gateway calls its best; not checked here.

    Raises:
        VerificationError: it is malformed.
    """
    try:
        return documents.read_voucher(agreement, item)
    except (KeyError, TypeError, InputError) as exc:
        raise VerificationError("the gateway's voucher is malformed") from exc


def load_tensors() -> Any:
    """Return the module of tensors.

    Raises:
        ConfigError: NumPy is not installed.
    """
    try:
        from steelyard.metering import tensors
    except ImportError as exc:
        raise ConfigError("using a hosted model needs NumPy: pip install 'steelyard[use]'") from exc
    return tensors
