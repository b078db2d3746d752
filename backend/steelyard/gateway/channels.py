"""The channels that this process has met: what their ids fix, and what the chain says of them, asked again every few seconds."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from steelyard.chain.metered import ChannelViews, StoredChannel
from steelyard.crypto.metering import Signer, address_of
from steelyard.domain.metering import ChannelId, ChannelState
from steelyard.domain.records import MeteredOfferState
from steelyard.errors import ProofError, UnavailableError
from steelyard.gateway.books import Done
from steelyard.gateway.problem import Refusal
from steelyard.metering.agreement import Agreement, Place, Signed, nothing
from steelyard.metering.wire import Payment
from steelyard.service.context import Context
from steelyard.service.gate import safe_block

MOST: Final = 10_000
"""Channels that one process remembers; the one that was quiet for longest is forgotten, and asked about again."""
LEAST: Final = 0.2
"""Seconds between two looks at one channel, whoever wants one."""
STALE: Final = 3_600.0
"""Seconds for which what the chain said last is good enough while it does not answer: far less than the shortest window of closing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the chain says of a channel.

    Attributes:
        deposit: the lower of the safe and the newest block's, smallest units.
        claimed: at the newest block.
        end: last moment of a claim, Unix seconds.
        open: whether calls may be answered: open at both blocks.
        at: when it was asked, seconds of a clock that only goes forward.
    """

    deposit: int
    claimed: int
    end: int
    open: bool
    at: float


@dataclass(slots=True, kw_only=True)
class Known:
    """A channel.

    Attributes:
        agreement: what its id fixes.
        point: public key of the signer.
        key: of the tags.
        facts: what the chain says.
        best: highest voucher that this process has seen judged.
        totals: sum of units and root by sequence, of the newest receipts that this process gave: what the next vouchers are
            compared with, without asking the database.
        running: calls under way here.
        running_units: their units.
    """

    agreement: Agreement
    point: bytes
    key: bytes
    facts: Facts
    best: Signed
    totals: OrderedDict[int, tuple[int, bytes]] = field(default_factory=OrderedDict)
    running: int = 0
    running_units: int = 0

    def note(self, done: Done) -> None:
        """Remember what a receipt brought the sums to."""
        if done.receipt is None or done.totals is None:
            return
        self.totals[done.receipt.sequence] = done.totals
        if len(self.totals) > 2 * self.agreement.terms.in_flight:
            self.totals.popitem(last=False)


class Channels:
    """The table. `find` and `refresh` ask the chain, so they are for a thread."""

    def __init__(
        self, context: Context, place: Place, payee: Signer, *, every: float, clock: Callable[[], float]
    ) -> None:
        """Remember whom to ask.

        Args:
            context: market and settings.
            place: of the contract.
            payee: key of the gateway.
            every: seconds between two looks at one channel.
            clock: seconds that only go forward.
        """
        self._context = context
        self._place = place
        self._payee = payee
        self._every = every
        self._clock = clock
        self._views = ChannelViews(context.rpc, place.channels)
        self._known: OrderedDict[ChannelId, Known] = OrderedDict()

    def get(self, payment: Payment) -> Known | None:
        """Return a channel that is known, if what is known of it is fresh.

        Raises:
            Refusal: the payment says something else of it than its id.
        """
        known = self._known.get(payment.channel)
        if known is None:
            return None
        agreement = known.agreement
        if (payment.payer, payment.nonce, payment.point) != (agreement.payer, agreement.nonce, known.point):
            raise Refusal("channel-of-another", "payer, nonce and signer do not give this channel")
        return known if self._clock() - known.facts.at < self._every else None

    def find(self, payment: Payment, offers: Sequence[MeteredOfferState]) -> Known:
        """Return a channel, with what the chain says now.

        Args:
            payment: of a call.
            offers: that it may be under.

        Raises:
            Refusal: it is under none of them, or the chain has no such channel.
            ChainError: the endpoint does not answer, and what it said last is too old.
        """
        known = self._known.get(payment.channel)
        if known is None:
            agreement = self._agreement(payment, offers)
            facts = self.ask(agreement)
            known = Known(
                agreement=agreement,
                point=payment.point,
                key=self._payee.call_key(payment.point),
                facts=facts,
                best=nothing(agreement.channel),
            )
            if len(self._known) >= MOST:
                self._known.popitem(last=False)
            known = self._known.setdefault(payment.channel, known)
        else:
            try:
                known.facts = self.ask(known.agreement)
            except UnavailableError:
                if self._clock() - known.facts.at > STALE:
                    raise
        self._known.move_to_end(payment.channel)
        return known

    def refresh(self, known: Known) -> None:
        """Ask about a channel, unless that was done less than `LEAST` seconds ago.

        Raises:
            ChainError: the endpoint does not answer.
        """
        if self._clock() - known.facts.at >= LEAST:
            known.facts = self.ask(known.agreement)

    def ask(self, agreement: Agreement) -> Facts:
        """Ask the chain about a channel.

        Raises:
            ChainError: the endpoint failed.
            Refusal: it was never opened, or not deep enough.
        """
        context = self._context
        head = context.rpc.get_block("latest")
        safe = safe_block(context, head)
        newest = self._views.at(head.hash).channel(agreement.channel)
        deep = newest
        if safe is None:
            deep = StoredChannel(deposit=0, claimed=0, closes_at=0, state=ChannelState.NONE)
        elif safe.hash != head.hash:
            deep = self._views.at(safe.hash).channel(agreement.channel)
        if ChannelState.NONE in (newest.state, deep.state):
            raise Refusal("channel-unknown", "it was not opened, or not deep enough yet", retry_after=5)
        end = agreement.terms.expiry
        if newest.closes_at:
            end = min(end, newest.closes_at)
        now = max(head.timestamp, int(context.settings.clock()))
        return Facts(
            deposit=min(deep.deposit, newest.deposit),
            claimed=newest.claimed,
            end=end,
            open=newest.state is ChannelState.OPEN
            and deep.state is ChannelState.OPEN
            # From then on the payee could not be sure to claim in time.
            and now < agreement.terms.expiry - agreement.terms.window // 2,
            at=self._clock(),
        )

    def _agreement(self, payment: Payment, offers: Sequence[MeteredOfferState]) -> Agreement:
        try:
            signer = address_of(payment.point)
        except ProofError as exc:
            raise Refusal("bad-payment", "the signer's key is no point of the curve") from exc
        for offer in offers:
            found = Agreement.of(
                self._place,
                asset=offer.asset,
                terms=offer.terms,
                payer=payment.payer,
                signer=signer,
                nonce=payment.nonce,
            )
            if found.channel == payment.channel:
                return found
        raise Refusal("channel-of-another", "it is under no offer of this version that the gateway serves")
