"""Receipts in a file, which proves offline what was used and paid: all of a channel, or some with their paths.

Verified by itself: the channel's id follows from terms and parties, each receipt is signed by the payee, their root is the one that the signer
co-signed. That the root was claimed, a ``UsageClaimed`` entry of the asset's trail shows; give it as ``root``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from steelyard.domain import mmr
from steelyard.domain.jsontext import parse_json
from steelyard.domain.metering import ChannelId, MeteredTerms, Receipt, Voucher
from steelyard.domain.types import Address, AssetId, NodeId, OfferId, VersionId
from steelyard.errors import DigestError, InputError, ProofError
from steelyard.metering.agreement import Agreement, Place, Signed
from steelyard.metering.document import hex_bytes, read_receipt, read_voucher, whole

FORMAT: Final = "steelyard/receipts/v1"
_TERMS: Final = ("payee", "currency", "unit", "version", "node", "text")
_NUMBERS: Final = ("price", "window", "in_flight", "expiry", "salt")


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a file of receipts proves.

    Attributes:
        channel: the channel.
        asset: the asset.
        offer: the metered offer.
        version: the version that answered.
        payer: who opened the channel.
        payee: who signed the receipts.
        proved: receipts in the file, all of them proved.
        units: their units.
        sequence: receipts that the voucher covers.
        amount: what the voucher says is due, smallest units of the currency.
        root: root of all receipts that the voucher covers.
    """

    channel: ChannelId
    asset: AssetId
    offer: OfferId
    version: VersionId
    payer: Address
    payee: Address
    proved: int
    units: int
    sequence: int
    amount: int
    root: bytes


def write(
    agreement: Agreement,
    signed: Signed,
    receipts: Sequence[tuple[Receipt, bytes]],
    *,
    only: int | None = None,
) -> bytes:
    """Return a file of receipts.

    Args:
        agreement: the channel.
        signed: voucher that covers them.
        receipts: the first ones of the channel with their signatures, all that the voucher covers.
        only: sequence of the one receipt that is to be proved; all if None.

    Raises:
        InputError: there are not so many.
    """
    count = signed.voucher.sequence
    if len(receipts) < count or (only is not None and not 1 <= only <= count):
        raise InputError(f"the voucher covers {count} receipts, and {len(receipts)} are here")
    covered = receipts[:count]
    digests = [receipt.digest(agreement.place.separator) for receipt, _ in covered]
    chosen = covered if only is None else [covered[only - 1]]
    document = {
        "format": FORMAT,
        "chain_id": agreement.place.chain_id,
        "channels": _hex(agreement.place.channels),
        "asset": _hex(agreement.asset),
        "terms": {
            **{name: _hex(getattr(agreement.terms, name)) for name in _TERMS},
            **{name: str(getattr(agreement.terms, name)) for name in _NUMBERS},
        },
        "payer": _hex(agreement.payer),
        "signer": _hex(agreement.signer),
        "nonce": str(agreement.nonce),
        "voucher": {
            "sequence": count,
            "units": str(signed.voucher.units),
            "root": _hex(signed.voucher.root),
            "signature": _hex(signed.signature),
        },
        "receipts": [
            {
                "sequence": receipt.sequence,
                "units": receipt.units,
                "request": _hex(receipt.request),
                "response": _hex(receipt.response),
                "signature": _hex(signature),
                **(
                    {}
                    if only is None
                    else {"path": [_hex(item) for item in mmr.prove(digests, receipt.sequence)]}
                ),
            }
            for receipt, signature in chosen
        ],
    }
    return json.dumps(document, indent=1).encode() + b"\n"


def verify(data: bytes, *, root: bytes | None = None) -> Evidence:
    """Verify a file of receipts; needs no network.

    Args:
        data: the file.
        root: that the chain has in ``UsageClaimed``; not compared if None.

    Raises:
        InputError: it is no such file.
        ProofError: a signature, a sum or the root is false.
        DigestError: a receipt is not under the root.
    """
    try:
        document = parse_json(data)
        if document["format"] != FORMAT:
            raise InputError(f"this is no file of receipts: its format is not {FORMAT}")
        agreement = _agreement(document)
        signed = read_voucher(agreement, document["voucher"])
        rows = [_row(agreement, item) for item in document["receipts"]]
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise InputError(f"this is no file of receipts: {exc}") from exc
    if not signed.voucher.sequence or not rows:
        raise InputError("the file proves nothing: it has no voucher over receipts, or no receipt")
    agreement.check_voucher(signed.voucher, signed.signature)
    if root is not None and root != signed.voucher.root:
        raise ProofError("the voucher's root is not the one on the chain")
    digests = [agreement.receipt_digest(receipt, signature) for receipt, signature, _ in rows]
    units = sum(receipt.units for receipt, _, _ in rows)
    if all(path is None for _, _, path in rows):
        _whole(signed.voucher, [receipt for receipt, _, _ in rows], digests, units)
    else:
        for (receipt, _, path), digest in zip(rows, digests, strict=True):
            mmr.verify(
                digest,
                sequence=receipt.sequence,
                count=signed.voucher.sequence,
                path=path or (),
                root=signed.voucher.root,
            )
    return Evidence(
        channel=agreement.channel,
        asset=agreement.asset,
        offer=agreement.offer,
        version=agreement.version,
        payer=agreement.payer,
        payee=agreement.terms.payee,
        proved=len(rows),
        units=units,
        sequence=signed.voucher.sequence,
        amount=signed.voucher.amount,
        root=signed.voucher.root,
    )


def _whole(voucher: Voucher, receipts: Sequence[Receipt], digests: Sequence[bytes], units: int) -> None:
    if [receipt.sequence for receipt in receipts] != list(range(1, voucher.sequence + 1)):
        raise ProofError("the receipts are not all that the voucher covers, in order")
    if units != voucher.units:
        raise ProofError("the receipts have other units in all than the voucher")
    if mmr.root(digests) != voucher.root:
        raise DigestError("the receipts do not give the root that was co-signed")


def _agreement(document: Mapping[str, Any]) -> Agreement:
    terms = document["terms"]
    return Agreement.of(
        Place.of(whole(document["chain_id"]), Address(hex_bytes(document["channels"], 20))),
        asset=AssetId(hex_bytes(document["asset"])),
        terms=MeteredTerms(
            payee=Address(hex_bytes(terms["payee"], 20)),
            currency=Address(hex_bytes(terms["currency"], 20)),
            unit=hex_bytes(terms["unit"]),
            version=VersionId(hex_bytes(terms["version"])),
            node=NodeId(hex_bytes(terms["node"])),
            text=hex_bytes(terms["text"]),
            **{name: whole(terms[name]) for name in _NUMBERS},
        ),
        payer=Address(hex_bytes(document["payer"], 20)),
        signer=Address(hex_bytes(document["signer"], 20)),
        nonce=whole(document["nonce"]),
    )


def _row(agreement: Agreement, item: Mapping[str, Any]) -> tuple[Receipt, bytes, list[bytes] | None]:
    path = item.get("path")
    return *read_receipt(agreement, item), None if path is None else [hex_bytes(part) for part in path]


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
