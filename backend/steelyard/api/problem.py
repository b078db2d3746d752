"""Problems: what the service answers when it does not do what was asked (RFC 9457), docs/api.md "Problem codes".

An error of ours becomes a problem by its class, through one table; everything else is ``internal``. What an error says is
passed on only where it is about the caller's own request: an endpoint, a path or a statement never leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Final

import msgspec

from steelyard import errors
from steelyard.api.service import Reply
from steelyard.domain.plain import plain

MEDIA_TYPE: Final = "application/problem+json"
MAX_DETAIL: Final = 400
"""Most characters of a detail: it may quote what the caller sent."""

CODES: Final[Mapping[str, tuple[int, str]]] = MappingProxyType(
    {
        "bad-parameter": (400, "A parameter is malformed or unknown"),
        "bad-body": (400, "The body is malformed"),
        "bad-reference": (400, "That is no reference"),
        "bad-cursor": (400, "That is no cursor of this list"),
        "not-signed-in": (401, "This needs a session"),
        "session-ended": (401, "The session has ended"),
        "bad-signature": (401, "The signature is not of that account"),
        "bad-message": (401, "The sign-in message is not valid here"),
        "not-allowed": (403, "The chain says that this account may not"),
        "plaintext-refused": (403, "This service takes no plaintext"),
        "not-found": (404, "There is no such thing at this block"),
        "method-not-allowed": (405, "This path does not have that method"),
        "not-acceptable": (406, "There is no such form of it"),
        "timeout": (408, "It took too long"),
        "reverted": (409, "A contract refuses it"),
        "conflict": (409, "It does not go with the present state"),
        "idempotency-busy": (409, "The first request with this key is under way"),
        "too-large": (413, "The body is too large"),
        "unsupported-media-type": (415, "The body is of another media type"),
        "range-not-satisfiable": (416, "The file has no such range"),
        "wrong-block": (422, "The bytes are not what they are called"),
        "idempotency-mismatch": (422, "This key was used for another request"),
        "unverified": (422, "What was sent cannot be verified"),
        "too-many-requests": (429, "Too many requests"),
        "headers-too-large": (431, "The headers are too large"),
        "internal": (500, "A mistake of the service"),
        "store-false": (502, "The store holds something else under this name"),
        "chain-unavailable": (503, "The chain does not answer"),
        "store-unavailable": (503, "The store does not answer"),
        "not-ready": (503, "The service is not ready"),
    }
)
"""Status and title of every code. Stable, and the table of docs/api.md."""

RETRY: Final[Mapping[str, int]] = MappingProxyType(
    {
        "chain-unavailable": 5,
        "store-unavailable": 5,
        "not-ready": 5,
        "idempotency-busy": 1,
        "too-many-requests": 1,
    }
)
"""Seconds after which it is worth trying again, where the cause does not say."""

_KINDS: Final[Mapping[type[errors.SteelyardError], tuple[str, str | None]]] = MappingProxyType(
    {
        # In the second place: what is said instead of the error's own words, which may name things of this machine.
        errors.InputError: ("bad-parameter", None),
        errors.ConfigError: ("internal", "a setting of the service is wrong"),
        errors.ManifestError: ("unverified", None),
        errors.AmountError: ("bad-parameter", None),
        errors.NotFoundError: ("not-found", None),
        errors.RefusedError: ("conflict", None),
        errors.RevertError: ("reverted", None),
        errors.UnsafeError: ("conflict", None),
        errors.VerificationError: ("unverified", None),
        errors.TrailError: ("not-ready", "the chain's endpoint does not agree with the contracts"),
        errors.UnavailableError: ("not-ready", "something that the service needs does not answer"),
        errors.ChainError: ("chain-unavailable", "the chain's endpoint does not answer as it should"),
        errors.PendingError: (
            "chain-unavailable",
            "the transaction was sent and is in no block yet: never send it anew",
        ),
        errors.DatabaseError: (
            "not-ready",
            "the index does not answer, or the question takes too long: narrow it",
        ),
        errors.StoreError: ("store-unavailable", "the store does not answer as it should"),
    }
)


class Problem(Exception):
    """Ends a request with a problem.

    Attributes:
        code: one of `codes`.
        detail: a sentence about this request, for people; may quote it, and nothing of this machine.
        parameter: name of the parameter or member that is wrong.
        contract_error: name of the contract's error.
        retry_after: seconds after which it is worth trying again.
        headers: further headers.
        members: further members of the document.
    """

    codes: ClassVar[Mapping[str, tuple[int, str]]] = CODES
    """Status and title of the codes that this class knows."""

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        parameter: str | None = None,
        contract_error: str | None = None,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, object] | None = None,
    ) -> None:
        """Keep the parts; an unknown code is a mistake of ours (KeyError)."""
        self.status, self.title = self.codes[code]
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.parameter = parameter
        self.contract_error = contract_error
        self.retry_after = RETRY.get(code) if retry_after is None else retry_after
        self.headers = dict(headers or {})
        self.members = dict(members or {})

    def reply(self) -> Reply:
        """Return the answer, with `Retry-After` where it is known when to try again."""
        document: dict[str, object] = {
            "type": f"/problems/{self.code}",
            "title": self.title,
            "status": self.status,
            "code": self.code,
        }
        if self.detail:
            document["detail"] = self.detail[:MAX_DETAIL]
        for name in ("parameter", "contract_error", "retry_after"):
            if (value := getattr(self, name)) is not None:
                document[name] = value
        for name, value in self.members.items():
            document[name] = plain(value, name=name)
        headers = {"content-type": MEDIA_TYPE, **self.headers}
        if self.retry_after is not None:
            headers["retry-after"] = str(self.retry_after)
        return Reply(status=self.status, headers=headers, body=msgspec.json.encode(document))


def problem_of(error: errors.SteelyardError) -> Problem:
    """Return the problem that stands for an error of ours, by the nearest class of the table."""
    kind = next(kind for kind in type(error).__mro__ if kind in _KINDS or kind is errors.SteelyardError)
    code, instead = _KINDS.get(kind, ("internal", "something went wrong"))
    detail = str(error) if instead is None else instead
    if isinstance(error, errors.PendingError):
        return Problem(code, detail, members={"tx": error.tx_hash})
    if isinstance(error, errors.RevertError):
        members = {"arguments": error.args_} if error.args_ else None
        return Problem(code, detail, contract_error=error.name or None, members=members)
    return Problem(code, detail)
