"""The two headers: the payment of a call, and the receipt of an answer (docs/gateway.md, "Paying")."""

from __future__ import annotations

import binascii
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Final

from steelyard.crypto import metering
from steelyard.domain.metering import ChannelId, Receipt, Voucher
from steelyard.domain.types import Address, VersionId
from steelyard.errors import InputError
from steelyard.metering.agreement import Signed

PAYMENT: Final = "Steelyard-Payment"
RECEIPT: Final = "Steelyard-Receipt"
TRIAL_LEFT: Final = "Steelyard-Trial-Left"
CALL_LABEL: Final = b"steelyard/call/v1"
RESUME_LABEL: Final = b"steelyard/resume/v1"
_VERSION: Final = 1
_HEAD: Final = struct.Struct(">B32s20sQ33sQ")
_VOUCHER: Final = struct.Struct(">Q16s32s65s")
_RECEIPT: Final = struct.Struct(">QQ32s32s65s")
_TAG_AT: Final = _HEAD.size
_VOUCHER_AT: Final = _TAG_AT + metering.TAG_SIZE
PAYMENT_SIZE: Final = _VOUCHER_AT + _VOUCHER.size
RECEIPT_SIZE: Final = _RECEIPT.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """The payment of a call.

    Attributes:
        channel: id of the channel.
        payer: who opened it.
        nonce: of the payer.
        point: public key of the signer, compressed.
        call: number of the call; in a request to resume the Unix time.
        tag: proves that the signer made this header; see `crypto.metering.tag`.
        tagged: what the tag is over.
        sequence: receipts that the voucher covers.
        units: their sum.
        root: root of their tree.
        signature: of the voucher.
    """

    channel: ChannelId
    payer: Address
    nonce: int
    point: bytes
    call: int
    tag: bytes
    tagged: bytes
    sequence: int
    units: int
    root: bytes
    signature: bytes

    def signed(self, price: int) -> Signed:
        """Return the voucher; its amount is what the units cost."""
        return Signed(
            voucher=Voucher(
                channel=self.channel,
                amount=self.units * price,
                units=self.units,
                sequence=self.sequence,
                root=self.root,
            ),
            signature=self.signature,
        )


def write_payment(
    signed: Signed,
    *,
    payer: Address,
    nonce: int,
    point: bytes,
    call: int,
    key: bytes,
    label: bytes = CALL_LABEL,
) -> str:
    """Return the header of a call.

    Args:
        signed: voucher.
        payer: who opened the channel.
        nonce: of the payer.
        point: public key of the signer, compressed.
        call: number of the call.
        key: of tags, from `Signer.call_key`.
        label: what the header is for.
    """
    voucher = signed.voucher
    head = _HEAD.pack(_VERSION, voucher.channel, payer, nonce, point, call)
    rest = _VOUCHER.pack(voucher.sequence, voucher.units.to_bytes(16, "big"), voucher.root, signed.signature)
    return _text(head + metering.tag(key, label, head) + rest)


def read_payment(text: str) -> Payment:
    """Read the header of a call; neither tag nor signature is checked here.

    Raises:
        InputError: it is none.
    """
    data = _bytes(text, PAYMENT_SIZE, "payment")
    version, channel, payer, nonce, point, call = _HEAD.unpack_from(data)
    if version != _VERSION:
        raise InputError(f"the payment has layout {version}, and this is known: {_VERSION}")
    sequence, units, root, signature = _VOUCHER.unpack_from(data, _VOUCHER_AT)
    return Payment(
        channel=ChannelId(channel),
        payer=Address(payer),
        nonce=nonce,
        point=point,
        call=call,
        tag=data[_TAG_AT:_VOUCHER_AT],
        tagged=data[:_TAG_AT],
        sequence=sequence,
        units=int.from_bytes(units, "big"),
        root=root,
        signature=signature,
    )


def write_receipt(receipt: Receipt, signature: bytes) -> str:
    """Return the header of an answer."""
    return _text(_RECEIPT.pack(receipt.sequence, receipt.units, receipt.request, receipt.response, signature))


def read_receipt(text: str, *, channel: ChannelId, version: VersionId) -> tuple[Receipt, bytes]:
    """Read the header of an answer: receipt and signature, which is not checked here.

    Raises:
        InputError: it is none.
    """
    sequence, units, request, response, signature = _RECEIPT.unpack(_bytes(text, RECEIPT_SIZE, "receipt"))
    receipt = Receipt(
        channel=channel,
        sequence=sequence,
        version=version,
        units=units,
        request=request,
        response=response,
    )
    return receipt, signature


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _bytes(text: str, size: int, what: str) -> bytes:
    # One text for the same bytes: neither padding nor stray characters, nor bits that mean nothing.
    if len(text) == -(-size * 4 // 3):
        try:
            data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except (binascii.Error, ValueError):
            data = b""
        if len(data) == size and _text(data) == text:
            return data
    raise InputError(f"the {what} is not base64url of {size} bytes")
