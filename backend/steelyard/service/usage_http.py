"""The payer's side of the wire: calls, resuming, and problems as errors of ours (docs/gateway.md)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlsplit

import msgspec
import urllib3

from steelyard.crypto.metering import Signer
from steelyard.domain.jsontext import decode_json
from steelyard.errors import InputError, NotFoundError, RefusedError, UnavailableError, VerificationError
from steelyard.metering.agreement import Agreement, Signed, nothing
from steelyard.metering.wire import CALL_LABEL, PAYMENT, RECEIPT, RESUME_LABEL, write_payment

LENGTH: Final = "Inference-Header-Content-Length"
MAX_ANSWER: Final = 64 << 20
TRIES: Final = 3

T = TypeVar("T")


class GatewayError(RefusedError):
    """A gateway refused.

    Attributes:
        code: of docs/gateway.md, "Problem codes".
        status: HTTP status.
    """

    def __init__(self, message: str, *, code: str, status: int) -> None:
        """Keep the parts beside the message."""
        super().__init__(message)
        self.code = code
        self.status = status


class Tensor(msgspec.Struct, frozen=True):
    """An input of a model."""

    name: str


class Offered(msgspec.Struct, frozen=True):
    """The offer that a model is served under; all of it is compared with the chain."""

    offer: str
    payee_key: str
    batched: bool


class Served(msgspec.Struct, frozen=True):
    """A model's metadata."""

    inputs: list[Tensor]
    steelyard: Offered


class Seen(msgspec.Struct, frozen=True):
    """A channel as the gateway knows it; rows and voucher are read by `steelyard.service.usage_check`."""

    receipts: list[dict[str, Any]]
    voucher: dict[str, Any]


class Accepted(msgspec.Struct, frozen=True):
    """What became of a voucher: receipts that the gateway's best one covers."""

    sequence: int


class _Problem(msgspec.Struct, frozen=True):
    code: str
    title: str = ""
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came.

    Attributes:
        body: of the answer.
        header: bytes of JSON in it, if binary data follow.
        receipt: header of the receipt, or None.
    """

    body: bytes
    header: int | None
    receipt: str | None


class GatewayClient:
    """Talks to one gateway. Safe to use from several threads."""

    def __init__(self, url: str, *, timeout: float = 60.0) -> None:
        """Remember it; nothing is asked.

        Raises:
            InputError: that is no URL.
        """
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise InputError("a gateway's URL starts with http:// or https://")
        self.url = url.rstrip("/")
        self._pool = urllib3.PoolManager(maxsize=64, timeout=urllib3.Timeout(timeout), retries=False)

    def close(self) -> None:
        """Let go of connections."""
        self._pool.clear()

    def model(self, name: str, version: int | None = None) -> Served:
        """Return a model's metadata, the offer in it."""
        path = f"/v2/models/{quote(name, safe='')}" + (f"/versions/{version}" if version else "")
        return self._document(Served, "GET", path)

    def infer(self, name: str, version: int, body: bytes, header: int, payment: str | None) -> Answer:
        """Send a call once.

        Raises:
            GatewayError: it was refused.
            UnavailableError: whether it was answered is not known.
        """
        headers = {"content-type": "application/octet-stream", LENGTH: str(header)}
        if payment is not None:
            headers[PAYMENT] = payment
        path = f"/v2/models/{quote(name, safe='')}/versions/{version}/infer"
        return _answer(*self._send("POST", path, headers=headers, body=body))

    def channel(self, agreement: Agreement, signer: Signer, payee: bytes, *, after: int) -> Seen:
        """Return a channel as the gateway knows it, with receipts after a sequence."""
        path = f"/steelyard/v1/channels/0x{agreement.channel.hex()}?after={after}"
        return self._document(Seen, "GET", path, headers=self._proof(agreement, signer, payee))

    def answer(self, agreement: Agreement, signer: Signer, payee: bytes, call: int) -> Answer:
        """Return the answer of an earlier call."""
        path = f"/steelyard/v1/channels/0x{agreement.channel.hex()}/answers/{call}"
        return _answer(*self._send("GET", path, headers=self._proof(agreement, signer, payee)))

    def voucher(self, agreement: Agreement, signer: Signer, payee: bytes, signed: Signed) -> int:
        """Hand a voucher over; returns how many receipts the gateway's best one covers."""
        path = f"/steelyard/v1/channels/0x{agreement.channel.hex()}/voucher"
        return self._document(
            Accepted, "PUT", path, headers=self._proof(agreement, signer, payee, signed)
        ).sequence

    def _proof(
        self, agreement: Agreement, signer: Signer, payee: bytes, signed: Signed | None = None
    ) -> dict[str, str]:
        return {
            PAYMENT: write_payment(
                signed or nothing(agreement.channel),
                payer=agreement.payer,
                nonce=agreement.nonce,
                point=signer.point,
                call=int(time.time()),
                key=signer.call_key(payee),
                label=RESUME_LABEL,
            )
        }

    def _document(
        self, kind: type[T], method: str, path: str, *, headers: Mapping[str, str] | None = None
    ) -> T:
        body, _ = self._send(method, path, headers=headers or {})
        try:
            return decode_json(body, kind)
        except ValueError as exc:
            raise VerificationError(f"{self.url} does not answer as a gateway") from exc

    def _send(
        self, method: str, path: str, *, headers: Mapping[str, str], body: bytes | None = None
    ) -> tuple[bytes, Mapping[str, str]]:
        try:
            answer = self._pool.request(
                method,
                self.url + path,
                headers=dict(headers),
                body=body,
                preload_content=False,
                redirect=False,
            )
            try:
                data = answer.read(MAX_ANSWER + 1, decode_content=False)
            finally:
                answer.release_conn()
        except urllib3.exceptions.HTTPError as exc:
            raise UnavailableError(f"the gateway {self.url} does not answer: {type(exc).__name__}") from exc
        if len(data) > MAX_ANSWER:
            raise VerificationError(f"{self.url} answers with more than {MAX_ANSWER} bytes")
        if answer.status != 200:
            raise _refusal(self.url, answer.status, data)
        return data, answer.headers


def payment_header(agreement: Agreement, signer: Signer, payee: bytes, signed: Signed, *, call: int) -> str:
    """Return the header that pays for a call."""
    return write_payment(
        signed,
        payer=agreement.payer,
        nonce=agreement.nonce,
        point=signer.point,
        call=call,
        key=signer.call_key(payee),
        label=CALL_LABEL,
    )


def _answer(body: bytes, headers: Mapping[str, str]) -> Answer:
    length = headers.get(LENGTH)
    if length is not None and not (length.isascii() and length.isdigit()):
        raise VerificationError("the answer's header length is no number")
    return Answer(body=body, header=None if length is None else int(length), receipt=headers.get(RECEIPT))


def _refusal(url: str, status: int, data: bytes) -> Exception:
    try:
        problem = decode_json(data, _Problem)
    except ValueError:
        return UnavailableError(f"{url} answers with status {status}, and not as a gateway")
    code, detail = problem.code[:64], (problem.detail or problem.title)[:400]
    if code == "not-found":
        return NotFoundError(f"{url}: {detail}")
    if status >= 500 and code not in ("too-large-answer",):
        return UnavailableError(f"{url} answers {code}: {detail}")
    return GatewayError(f"{url} refuses ({code}): {detail}", code=code, status=status)
