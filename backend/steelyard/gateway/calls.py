"""One call, from its payment to its receipt (docs/gateway.md, "When what is on the disk")."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, replace
from hashlib import sha256
from time import monotonic
from typing import Final

from steelyard.api.limits import seconds_text
from steelyard.crypto.metering import tag_matches
from steelyard.errors import InputError, ProofError, RefusedError, UnavailableError
from steelyard.gateway.books import CallUsedError, Done, Entry
from steelyard.gateway.channels import Known
from steelyard.gateway.engine import BusyError, LateError
from steelyard.gateway.hosted import Hosted
from steelyard.gateway.offer import payment_required
from steelyard.gateway.problem import Refusal
from steelyard.gateway.state import Gateway
from steelyard.metering import tensors
from steelyard.metering.agreement import Signed
from steelyard.metering.payee import DepositError, InFlightError, PayeeBooks, UnknownReceiptsError
from steelyard.metering.tensors import Array
from steelyard.metering.wire import CALL_LABEL, RECEIPT, TRIAL_LEFT, Payment, read_payment, write_receipt

DAY: Final = 86_400


@dataclass(frozen=True, slots=True)
class Answer:
    """What leaves.

    Attributes:
        body: of the answer.
        header: bytes of JSON in it, if binary data follow.
        headers: further headers.
    """

    body: bytes
    header: int | None
    headers: tuple[tuple[str, str], ...] = ()


async def infer(
    gateway: Gateway, hosted: Hosted, body: bytes, *, header: int | None, payment: str | None, caller: str
) -> Answer:
    """Answer a call.

    Args:
        gateway: this process.
        hosted: the version that is asked.
        body: of the request.
        header: bytes of JSON in it, if binary data follow.
        payment: header of the payment, or None.
        caller: address that asks.

    Raises:
        Refusal: it is not answered, and nothing is charged.
    """
    name = hosted.wanted.name
    try:
        if hosted.why:
            raise Refusal("not-served", hosted.why)
        if payment is None:
            return await _unpaid(gateway, hosted, body, header, caller)
        return await _paid(gateway, hosted, body, header, payment)
    except Refusal as exc:
        gateway.counters.count(name, "failed" if exc.status >= 500 else "refused")
        raise


async def _unpaid(gateway: Gateway, hosted: Hosted, body: bytes, header: int | None, caller: str) -> Answer:
    if gateway.options.unpaid:
        request, rows = _read(gateway, hosted, body, header)
        answer = _written(gateway, hosted, request, await _run(hosted, request, rows))
        gateway.counters.count(hosted.wanted.name, "unpaid", rows)
        return answer
    wait = gateway.buckets.take(caller, monotonic())
    if wait:
        raise Refusal("too-many-requests", retry_after=seconds_text(wait))
    most = hosted.wanted.trial
    if not most:
        raise payment_required(gateway, hosted)
    request, rows = _read(gateway, hosted, body, header)
    units = hosted.units(rows, hosted.terms)
    day = int(gateway.clock()) // DAY
    left = await gateway.trying.do((hosted.wanted.asset, caller, day, units, most))
    if left < 0:
        raise payment_required(gateway, hosted)
    answer = _written(gateway, hosted, request, await _run(hosted, request, rows))
    gateway.counters.count(hosted.wanted.name, "trial", units)
    return Answer(answer.body, answer.header, ((TRIAL_LEFT.lower(), str(left)),))


async def _paid(gateway: Gateway, hosted: Hosted, body: bytes, header: int | None, text: str) -> Answer:
    payment = parse(text)
    known = await meet(gateway, hosted, payment)
    check_tag(known, payment, CALL_LABEL)
    if not known.facts.open:
        raise Refusal("channel-closing")
    request, rows = _read(gateway, hosted, body, header)
    units = hosted.units(rows, known.agreement.terms)
    signed = await believe(gateway, known, payment)
    # Here the calls of this process are counted, so that nothing runs for nothing; in `Books.enter` those of all of them.
    terms = known.agreement.terms
    if known.running >= terms.in_flight:
        raise Refusal(
            "in-flight",
            f"{known.running} calls of this channel run, and {terms.in_flight} may",
            retry_after=1,
        )
    known.running += 1
    known.running_units += units
    try:
        answer = _written(gateway, hosted, request, await _run(hosted, request, rows))
        entry = Entry(
            agreement=known.agreement,
            deposit=known.facts.deposit,
            signed=signed,
            call=payment.call,
            units=units,
            request=sha256(body).digest(),
            response=sha256(answer.body).digest(),
            header=answer.header,
            body=answer.body,
        )
        try:
            done = await enter(gateway, entry)
        except Refusal as exc:
            if exc.code != "deposit-exhausted":
                raise
            # It may have been topped up since the last look.
            await look_again(gateway, known)
            done = await enter(gateway, replace(entry, deposit=known.facts.deposit))
        remember(known, signed)
        known.note(done)
    finally:
        known.running -= 1
        known.running_units -= units
    gateway.counters.count(hosted.wanted.name, "again" if done.again else "paid", 0 if done.again else units)
    return answer_of(done)


# -- the parts of a payment --------------------------------------------------------------------------------------


def parse(text: str) -> Payment:
    """Read the header of a payment.

    Raises:
        Refusal: it is none.
    """
    try:
        return read_payment(text)
    except InputError as exc:
        raise Refusal("bad-payment", str(exc)) from exc


async def meet(gateway: Gateway, hosted: Hosted, payment: Payment) -> Known:
    """Return the channel of a payment.

    Raises:
        Refusal: there is no such channel for this version.
    """
    known = gateway.channels.get(payment)
    if known is None:
        loop = asyncio.get_running_loop()
        try:
            known = await loop.run_in_executor(
                gateway.threads, gateway.channels.find, payment, hosted.wanted.offers
            )
        except UnavailableError as exc:
            raise Refusal("chain-unavailable", "the chain's endpoint does not answer as it should") from exc
    if known.agreement.version != hosted.wanted.version:
        raise Refusal("channel-of-another", "the channel is for another version")
    return known


async def look_again(gateway: Gateway, known: Known) -> None:
    """Ask the chain about a channel, unless that was done just now; what was known stays if it does not answer."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(UnavailableError):
        await loop.run_in_executor(gateway.threads, gateway.channels.refresh, known)


def check_tag(known: Known, payment: Payment, label: bytes) -> None:
    """Check that the payer's signer made a payment.

    Raises:
        Refusal: it did not.
    """
    if not tag_matches(known.key, label, payment.tagged, payment.tag):
        raise Refusal("bad-tag")


async def believe(gateway: Gateway, known: Known, payment: Payment) -> Signed | None:
    """Return the voucher of a payment if it is higher than all that this process has seen, checked; else None.

    Raises:
        Refusal: it is not the signer's, or not what the receipts give.
    """
    best = known.best.voucher
    if payment.sequence < best.sequence or (payment.sequence, payment.units, payment.root) == (
        best.sequence,
        best.units,
        best.root,
    ):
        return None  # an old one is no harm: only the highest counts
    signed = payment.signed(known.agreement.terms.price)
    try:
        if payment.sequence in known.totals:
            # What it covers was given here: nothing is to be asked.
            higher = PayeeBooks(known.agreement, best=known.best).judge(signed, known.totals.get)
        else:
            loop = asyncio.get_running_loop()
            higher = await loop.run_in_executor(gateway.threads, _judge, gateway, known, signed)
    except UnknownReceiptsError as exc:
        raise Refusal("channel-unknown-receipts", str(exc)) from exc
    except ProofError as exc:
        raise Refusal("bad-voucher", str(exc)) from exc
    return signed if higher else None


def remember(known: Known, signed: Signed | None) -> None:
    """Remember a voucher that is on the disk now."""
    if signed is not None and signed.voucher.sequence > known.best.voucher.sequence:
        known.best = signed


def _judge(gateway: Gateway, known: Known, signed: Signed) -> bool:
    books = gateway.books.load(known.agreement)
    channel = known.agreement.channel
    return books.judge(signed, lambda sequence: gateway.books.totals(channel, sequence))


async def enter(gateway: Gateway, entry: Entry) -> Done:
    """Enter a call, or a voucher alone; it is on the disk when this returns.

    Raises:
        Refusal: nothing may leave.
    """
    try:
        done = await gateway.entering.do(entry)
    except InFlightError as exc:
        raise Refusal("in-flight", str(exc), retry_after=1) from exc
    except DepositError as exc:
        raise Refusal("deposit-exhausted", str(exc)) from exc
    except CallUsedError as exc:
        raise Refusal("call-used", str(exc)) from exc
    except UnavailableError as exc:
        raise Refusal("not-ready", "the gateway's books do not answer", retry_after=1) from exc
    except RefusedError as exc:
        raise Refusal("bad-parameter", str(exc)) from exc
    return done


def answer_of(done: Done) -> Answer:
    """Return what leaves for a call that was entered.

    Raises:
        Refusal: its answer is not kept any more.
    """
    assert done.receipt is not None
    if done.body is None:
        raise Refusal("call-used", "this call was answered, and its answer was co-signed")
    return Answer(done.body, done.header, ((RECEIPT.lower(), write_receipt(done.receipt, done.signature)),))


# -- the model ---------------------------------------------------------------------------------------------------


def _read(gateway: Gateway, hosted: Hosted, body: bytes, header: int | None) -> tuple[tensors.Request, int]:
    try:
        request = tensors.read_request(body, header=header)
        rows = hosted.model.check(request.inputs, tuple(request.wanted), rows=gateway.options.bounds.rows)
    except InputError as exc:
        raise Refusal("bad-body", str(exc)) from exc
    return request, rows


async def _run(hosted: Hosted, request: tensors.Request, rows: int) -> dict[str, Array]:
    try:
        return await hosted.runner.run(request.inputs, rows=rows)
    except BusyError as exc:
        raise Refusal("busy", retry_after=1) from exc
    except LateError as exc:
        raise Refusal("timeout", str(exc)) from exc
    except InputError as exc:
        raise Refusal("bad-body", str(exc)) from exc


def _written(gateway: Gateway, hosted: Hosted, request: tensors.Request, outputs: dict[str, Array]) -> Answer:
    chosen = {name: outputs[name] for name in request.wanted} if request.wanted else outputs
    try:
        body, header = tensors.write_answer(
            chosen, request, model=hosted.wanted.name, version=str(hosted.wanted.number)
        )
    except InputError as exc:
        raise Refusal("bad-body", str(exc)) from exc
    if len(body) > gateway.options.max_answer:
        raise Refusal("too-large-answer", f"at most {gateway.options.max_answer} bytes")
    return Answer(body, header)
