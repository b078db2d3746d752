"""The offer of a version as a document, and the answer to a call without payment (402; an x402 document too)."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any, Final

import msgspec

from steelyard.domain.jsontext import decode_json
from steelyard.domain.plain import plain
from steelyard.errors import InputError
from steelyard.gateway.hosted import Hosted
from steelyard.gateway.problem import Refusal
from steelyard.gateway.state import Gateway
from steelyard.metering.wire import PAYMENT

SCHEME: Final = "steelyard-channel"
X402_VERSION: Final = 2
REQUIRED: Final = "PAYMENT-REQUIRED"
SIGNATURE: Final = "PAYMENT-SIGNATURE"


def offer_document(gateway: Gateway, hosted: Hosted) -> dict[str, Any]:
    """Return the offer that new channels are opened under. Whoever reads it checks it against the chain."""
    wanted, terms = hosted.wanted, hosted.terms
    options = gateway.options
    return {
        "chain_id": gateway.place.chain_id,
        "channels": _hex(gateway.place.channels),
        "asset": _hex(wanted.asset),
        "version": _hex(wanted.version),
        "number": wanted.number,
        "offer": _hex(wanted.offers[-1].id),
        "terms": {
            "payee": _hex(terms.payee),
            "currency": _hex(terms.currency),
            "price": str(terms.price),
            "unit": terms.unit_name,
            "version": _hex(terms.version),
            "node": _hex(terms.node),
            "window": terms.window,
            "in_flight": terms.in_flight,
            "expiry": terms.expiry,
            "text": _hex(terms.text),
            "salt": str(terms.salt),
        },
        "batched": hosted.model.batched,
        "payee_key": _hex(gateway.payee.point),
        "trial": wanted.trial,
        "limits": {
            "body": options.max_body,
            "rows": options.bounds.rows,
            "seconds": int(options.bounds.seconds),
        },
    }


def payment_required(gateway: Gateway, hosted: Hosted) -> Refusal:
    """Return the refusal of a call without payment."""
    terms = hosted.terms
    path = f"/v2/models/{hosted.wanted.name}/versions/{hosted.wanted.number}/infer"
    required = {
        "x402Version": X402_VERSION,
        "resource": {"url": path, "description": hosted.wanted.ref, "mimeType": "application/json"},
        "accepts": [
            {
                "scheme": SCHEME,
                "network": f"eip155:{gateway.place.chain_id}",
                "amount": str(terms.price),
                "asset": _hex(terms.currency),
                "payTo": _hex(terms.payee),
                "maxTimeoutSeconds": int(gateway.options.bounds.seconds),
                "extra": offer_document(gateway, hosted),
            }
        ],
    }
    text = b64encode(msgspec.json.encode({**required, "error": "payment required"})).decode()
    return Refusal(
        "payment-required",
        f"open a channel under the offer, and send {PAYMENT}",
        headers={REQUIRED.lower(): text},
        members=required,
    )


def payment_of_x402(text: str) -> str:
    """Return our header from an x402 one: base64 of JSON whose ``payload.payment`` it is.

    Raises:
        Refusal: it is malformed, or of another scheme.
    """
    try:
        document = decode_json(b64decode(text, validate=True), dict[str, Any])
        payment = document["payload"]["payment"]
        if not isinstance(payment, str):
            raise InputError("payload.payment is no text")
    except (ValueError, KeyError, TypeError, InputError) as exc:
        raise Refusal("bad-payment", f"{SIGNATURE} is not of the scheme {SCHEME}") from exc
    return payment


def _hex(value: bytes) -> str:
    return str(plain(bytes(value)))
