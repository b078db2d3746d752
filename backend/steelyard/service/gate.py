"""When a key may be revealed: the rules, each read from the chain itself at the moment they are applied.

A delivery cannot be taken back. From the moment it is sent, whoever sees it and knows the blinding scalar has
the content key, whether or not the transaction is ever mined. So nothing that was remembered, indexed or told
decides here, but calls to the contracts at two blocks, named by their hashes:

- the *safe* block: as deep as the settings say (``finalized`` by default). What is true there will not be
  undone.
- the newest block: what is true there has not been undone or used up since.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from steelyard.chain.views import Views
from steelyard.chain.wire import Block
from steelyard.domain.records import AssetState, PurchaseState, RequestRecord
from steelyard.domain.types import KeyRequest, OfferKind, Order, RequestState, State
from steelyard.errors import NotFoundError, RpcError
from steelyard.service.context import FINALIZED, Context


class Verdict(enum.Enum):
    """What may be done about a purchase or key request: reveal now, perhaps later, or never."""

    REVEAL = "reveal"
    WAIT = "wait"
    OVER = "over"


class Why(enum.StrEnum):
    """Reasons not to reveal. The words appear in the log."""

    NONE = ""
    NOT_DEEP = "not-deep-enough"
    TOO_LATE = "too-close-to-the-deadline"
    FLAGGED = "version-proved-false"
    NOT_OPEN = "not-open-any-more"
    OTHER_ID = "id-does-not-follow-from-the-log"
    NO_LICENCE = "holder-has-no-valid-licence"
    NOT_COVERED = "licence-does-not-cover-the-version"


@dataclass(frozen=True, kw_only=True)
class Ruling:
    """A verdict and, if it is not to reveal, the reason."""

    verdict: Verdict
    why: Why = Why.NONE


_REVEAL = Ruling(verdict=Verdict.REVEAL)


_WORDS: Final = {
    Why.NONE: "",
    Why.FLAGGED: "the version was proved false",
    Why.NOT_OPEN: "not open any more: there is nothing to deliver",
    Why.OTHER_ID: "not what its id says: the endpoint's log is not that of the contract",
    Why.NO_LICENCE: "lapsed: its licence ended, or changed hands",
    Why.NOT_COVERED: "lapsed: its licence does not cover the version",
}


def in_time(*, due: int, now: int, margin: int) -> bool:
    """Whether there is more than ``margin`` seconds between now and the last moment; all Unix seconds."""
    return due - now > margin


def safe_block(context: Context, head: Block) -> Block | None:
    """Return the newest block deep enough for a payment in it to be answered, or None if there is none yet.

    Raises:
        ChainError: the endpoint failed.
    """
    depth = context.settings.depth_on(context.chain_id)
    if isinstance(depth, int):
        number = head.number - max(depth, 1) + 1
        if number < context.deployment.start_block:
            return None
        return head if number == head.number else context.rpc.get_block(number)
    try:
        found = context.rpc.get_block(FINALIZED)
    except (NotFoundError, RpcError):
        return None  # a young chain has no finalized block, and some endpoints say so by an error
    return found if context.deployment.start_block <= found.number <= head.number else None


class Gate:
    """Applies the rules at one newest block."""

    def __init__(self, context: Context, *, head: Block, safe: Block | None, now: int) -> None:
        """Remember the moment.

        Args:
            context: market and settings.
            head: the newest block.
            safe: from :func:`safe_block`.
            now: Unix seconds, not earlier than the newest block's time.
        """
        self._context = context
        self._head = head
        self._safe = safe
        self._now = now
        self._margin = context.settings.margin_on(context.chain_id)

    @classmethod
    def newest(cls, context: Context) -> Gate:
        """Return the gate at the newest block.

        Raises:
            ChainError: the endpoint failed.
        """
        head = context.rpc.get_block("latest")
        now = max(head.timestamp, int(context.settings.clock()))
        return cls(context, head=head, safe=safe_block(context, head), now=now)

    def rule(self, asset: AssetState, item: PurchaseState | RequestRecord) -> Ruling:
        """Rule on the delivery of a purchase or key request; see :meth:`purchase` and :meth:`request`.

        Raises:
            ChainError: the endpoint failed; nothing is decided.
        """
        if isinstance(item, PurchaseState):
            return self.purchase(asset, item)
        return self.request(asset, item)

    def by_log(self, asset: AssetState, item: PurchaseState | RequestRecord) -> Ruling:
        """Rule by the log alone, which costs no question: whatever is not revealed by this is not revealed.

        Checks, in this order:

        1. The id is the hash of the very order or request: a proof for another id would be a proof about
           something else.
        2. The version is not proved false.
        3. The deadline and, of a request under a rental, the end of the licence are more than the margin
           away.
        4. It is deep enough.
        """
        own: Order | KeyRequest
        if isinstance(item, PurchaseState):
            own, wanted = asset.order(item), item.version
        else:
            own, wanted = item.request, item.request.version
        # Check 1
        if own.id(chain_id=self._context.chain_id, market=self._context.deployment.market) != item.id:
            return Ruling(verdict=Verdict.OVER, why=Why.OTHER_ID)
        # Check 2
        version = asset.versions.get(wanted)
        if version is None or version.flagged:
            return Ruling(verdict=Verdict.OVER, why=Why.NOT_COVERED if version is None else Why.FLAGGED)
        # Check 3
        if not in_time(due=_last_moment(asset, item), now=self._now, margin=self._margin):
            return Ruling(verdict=Verdict.OVER, why=Why.TOO_LATE)
        # Check 4
        if self._safe is None or item.block > self._safe.number:
            return Ruling(verdict=Verdict.WAIT, why=Why.NOT_DEEP)
        return _REVEAL

    def explain(self, ruling: Ruling, asset: AssetState, item: PurchaseState | RequestRecord) -> str:
        """Return a ruling's reason for people; empty if it is to reveal."""
        if ruling.why is Why.NOT_DEEP:
            safe = "none yet" if self._safe is None else f"block {self._safe.number} only"
            return f"paid in block {item.block}, and keys are revealed up to {safe}: wait"
        if ruling.why is Why.TOO_LATE:
            return (
                f"due in {_last_moment(asset, item) - self._now} s, within the margin of {self._margin} s: "
                "a key that is seen and comes too late is given away"
            )
        return _WORDS[ruling.why]

    def purchase(self, asset: AssetState, purchase: PurchaseState) -> Ruling:
        """Rule on the delivery of a purchase.

        Checks, in this order:

        1. The id is the hash of the very order in the log.
        2. By the log, its version is not proved false, it is deep enough, and its deadline more than the
           margin away.
        3. By the contract at the newest block, it is paid, its version is not proved false, and the deadline
           is far enough.
        4. By the contract at the safe block, this same payment was there already.

        Raises:
            ChainError: the endpoint failed; nothing is decided.
        """
        # Checks 1 and 2
        ruling = self.by_log(asset, purchase)
        if ruling is not _REVEAL or self._safe is None:
            return ruling
        # Check 3
        latest = self._at(self._head)
        record = latest.licence(purchase.id)
        if record.state is not State.PAID:
            return Ruling(verdict=Verdict.OVER, why=Why.NOT_OPEN)
        if latest.flagged(purchase.version):
            return Ruling(verdict=Verdict.OVER, why=Why.FLAGGED)
        if not in_time(due=record.due, now=self._now, margin=self._margin):
            return Ruling(verdict=Verdict.OVER, why=Why.TOO_LATE)
        # Check 4
        before = self._at(self._safe).licence(purchase.id)
        if before != record:
            return Ruling(verdict=Verdict.WAIT, why=Why.NOT_DEEP)
        return _REVEAL

    def request(self, asset: AssetState, record: RequestRecord) -> Ruling:
        """Rule on the delivery of a key request.

        Checks, in this order:

        1. The id is the hash of the very request in the log.
        2. By the log, its version is not proved false, it is deep enough, and the deadline and, of a rental,
           the end of the licence are more than the margin away.
        3. At the newest and at the safe block: it is open, its holder holds the licence, the licence is valid
           and covers the version, and the version is not proved false.

        Raises:
            ChainError: the endpoint failed; nothing is decided.
        """
        # Checks 1 and 2
        ruling = self.by_log(asset, record)
        if ruling is not _REVEAL or self._safe is None:
            return ruling
        # Check 3: what fails at the newest block is over; what fails only at the safe one may become true
        # there
        why = self._standing(self._at(self._head), asset, record)
        if why:
            return Ruling(verdict=Verdict.OVER, why=why)
        if self._standing(self._at(self._safe), asset, record):
            return Ruling(verdict=Verdict.WAIT, why=Why.NOT_DEEP)
        return _REVEAL

    def _standing(self, views: Views, asset: AssetState, record: RequestRecord) -> Why:
        """Return what is wrong with a key request at one block."""
        asked = record.request
        found = views.request(record.id)
        if found.state is not RequestState.OPEN or found.due != record.due:
            return Why.NOT_OPEN
        if views.licence(asked.licence).holder != asked.holder or not views.is_valid(asked.licence):
            return Why.NO_LICENCE
        if views.flagged(asked.version):
            return Why.FLAGGED
        covered = views.covers(
            asked.licence,
            asset=asset.id,
            version=asked.version,
            published_at=views.release(asked.version).published_at,
            origin=origin_of(self._context, asset, record),
        )
        return Why.NONE if covered else Why.NOT_COVERED

    def _at(self, block: Block) -> Views:
        return self._context.views.at(block.hash)


def _last_moment(asset: AssetState, item: PurchaseState | RequestRecord) -> int:
    """Return the last moment for a delivery, Unix seconds."""
    if isinstance(item, PurchaseState):
        return item.due
    licence = asset.purchases[item.request.licence]
    rental = asset.offers[licence.offer].terms.kind is OfferKind.RENTAL
    return min(item.due, licence.until) if rental else item.due


def origin_of(context: Context, asset: AssetState, record: RequestRecord) -> tuple[bytes, bytes]:
    """Return (offer id, ``Order.rest``) of the purchase that a requested licence came from."""
    order = asset.order(asset.purchases[record.request.licence])
    return order.offer, order.rest(chain_id=context.chain_id, market=context.deployment.market)
