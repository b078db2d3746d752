"""What a payer may ask of his channel: where it stands, an answer that he lost, and to take a voucher (docs/gateway.md, "Resuming")."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar

from steelyard.domain.plain import plain
from steelyard.errors import UnavailableError
from steelyard.gateway import calls
from steelyard.gateway.books import Entry
from steelyard.gateway.channels import Known
from steelyard.gateway.problem import Refusal
from steelyard.gateway.state import Gateway
from steelyard.metering.wire import RESUME_LABEL, Payment

SKEW: Final = 300
"""Seconds that the payer's clock may differ."""
MOST: Final = 500
"""Receipts in one answer."""
R = TypeVar("R")


async def channel(gateway: Gateway, text: str, header: str, *, after: int) -> dict[str, Any]:
    """Return a channel as the gateway knows it, with receipts after a sequence.

    Raises:
        Refusal: the header is not of this channel's payer, or too old.
    """
    known, _ = await _who(gateway, text, header)
    books = await _thread(gateway, lambda: gateway.books.load(known.agreement))
    rows = await _thread(gateway, lambda: gateway.books.rows(known.agreement, after=after, most=MOST))
    best = books.best
    return {
        "channel": text,
        "sequence": books.receipts.count,
        "units": str(books.units),
        "root": plain(books.receipts.root()),
        "deposit": str(known.facts.deposit),
        "open": known.facts.open,
        "voucher": {
            "sequence": best.voucher.sequence,
            "units": str(best.voucher.units),
            "root": plain(best.voucher.root),
            "signature": plain(best.signature),
        },
        "receipts": [
            {
                "call": str(row.call),
                "sequence": row.receipt.sequence,
                "units": row.receipt.units,
                "request": plain(row.receipt.request),
                "response": plain(row.receipt.response),
                "signature": plain(row.signature),
            }
            for row in rows
        ],
    }


async def answer(gateway: Gateway, text: str, header: str, *, call: int) -> calls.Answer:
    """Return the answer of a call that no voucher covers yet.

    Raises:
        Refusal: there is no such answer, or the header is not of this channel's payer.
    """
    known, _ = await _who(gateway, text, header)
    done = (
        await _thread(gateway, lambda: gateway.books.answer(known.agreement, call))
        if call < 1 << 64
        else None
    )
    if done is None:
        raise Refusal("not-found", f"no call {call} was answered in this channel")
    return calls.answer_of(done)


async def voucher(gateway: Gateway, text: str, header: str) -> dict[str, Any]:
    """Take a voucher without a call; it is on the disk when this returns.

    Raises:
        Refusal: it is not the signer's, or not what the receipts give.
    """
    known, payment = await _who(gateway, text, header)
    signed = await calls.believe(gateway, known, payment)
    if signed is not None:
        await calls.enter(
            gateway, Entry(agreement=known.agreement, deposit=known.facts.deposit, signed=signed)
        )
        calls.remember(known, signed)
    return {"channel": text, "sequence": known.best.voucher.sequence}


async def _who(gateway: Gateway, text: str, header: str) -> tuple[Known, Payment]:
    payment = calls.parse(header)
    if payment.channel.hex() != text.removeprefix("0x"):
        raise Refusal("channel-of-another", "the header is of another channel")
    known = gateway.channels.get(payment)
    if known is None:
        offers = [offer for item in gateway.hosted() for offer in item.wanted.offers]
        try:
            known = await _thread(gateway, lambda: gateway.channels.find(payment, offers))
        except UnavailableError as exc:
            raise Refusal("chain-unavailable", "the chain's endpoint does not answer as it should") from exc
    calls.check_tag(known, payment, RESUME_LABEL)
    if abs(payment.call - gateway.clock()) > SKEW:
        raise Refusal("bad-tag", f"the time in the header differs by more than {SKEW} s")
    return known, payment


async def _thread(gateway: Gateway, work: Callable[[], R]) -> R:
    return await asyncio.get_running_loop().run_in_executor(gateway.threads, work)
