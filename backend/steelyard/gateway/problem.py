"""Problems of the gateway (docs/gateway.md, "Problem codes"): those of the HTTP service, and its own.

Each has the member ``error`` besides, which clients of the Open Inference Protocol show.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Final

import msgspec

from steelyard import errors
from steelyard.api import problem
from steelyard.api.service import Reply

SHARED: Final = (
    "bad-parameter",
    "bad-body",
    "not-found",
    "method-not-allowed",
    "timeout",
    "too-large",
    "unsupported-media-type",
    "too-many-requests",
    "headers-too-large",
    "internal",
    "chain-unavailable",
    "not-ready",
)
"""Codes that mean the same as in the HTTP service."""
OWN: Final[Mapping[str, tuple[int, str]]] = MappingProxyType(
    {
        "payment-required": (402, "This call needs a payment"),
        "bad-payment": (400, "The header is no payment"),
        "bad-tag": (401, "The tag is not of this channel's payer"),
        "bad-voucher": (402, "The voucher is not valid in this channel"),
        "channel-unknown": (402, "The chain has no such open channel with this payee"),
        "channel-of-another": (402, "The channel is for another version or offer"),
        "channel-closing": (402, "The channel is closing, closed or expired"),
        "channel-unknown-receipts": (409, "The voucher covers receipts that are not here"),
        "deposit-exhausted": (402, "The deposit does not cover this call"),
        "in-flight": (429, "Too many calls are not co-signed yet"),
        "call-used": (409, "This call number was used for another request"),
        "not-served": (409, "This version is not served now"),
        "busy": (503, "Too many calls wait for this model"),
        "too-large-answer": (500, "The model's answer is too large"),
    }
)
"""Codes that only the gateway has."""
CODES: Final[Mapping[str, tuple[int, str]]] = MappingProxyType(
    {**{code: problem.CODES[code] for code in SHARED}, **OWN}
)


class Refusal(problem.Problem):
    """Ends a call with a problem; nothing is charged."""

    codes: ClassVar[Mapping[str, tuple[int, str]]] = CODES

    def reply(self) -> Reply:
        """Return the answer, with the member ``error``."""
        self.members.setdefault("error", f"{self.code}: {self.detail or self.title}")
        return super().reply()


def refusal_of(error: errors.SteelyardError) -> Refusal:
    """Return the refusal that stands for an error of ours; what is not about the request itself stays here."""
    found = problem.problem_of(error)
    if found.code in CODES:
        return Refusal(found.code, found.detail, retry_after=found.retry_after)
    if isinstance(error, errors.RefusedError | errors.VerificationError):
        return Refusal("bad-parameter", str(error))
    return Refusal("not-ready", "something that the gateway needs does not answer")


def document(reply: Reply) -> dict[str, object]:
    """Return the document of a problem's answer."""
    found: dict[str, object] = msgspec.json.decode(reply.body)
    return found
