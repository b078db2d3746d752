"""The endpoints of an index: who leads, who is asked besides, and what the other ones say of the newest block.

What a header is true of, evidence decides (:mod:`steelyard.indexer.confirm`, :mod:`steelyard.indexer.proof`). Which of two chains of
headers is the chain, nobody can prove to us: there the majority counts, and among equals the order in which the endpoints are
configured. Who was convicted of a lie has no voice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from steelyard.chain.transport import TransportFault
from steelyard.chain.wire import Block
from steelyard.errors import ChainError, NotFoundError, SteelyardError
from steelyard.indexer.report import Fault, Report
from steelyard.indexer.source import Source

RECENT: Final = 256
"""Blocks below a target whose headers are read one by one."""
_LONGEST: Final = 64
"""Looks for which an endpoint is left alone at most after it did not answer."""
_STANDING: Final = 20
"""Looks for which the leader may stand still while another one is further: 20 s, more than a block takes."""
_LATE: Final = 2
"""Blocks by which an endpoint is behind before that is told: one is what a new block takes to come around."""


class OutvotedError(ChainError):
    """Another endpoint leads: this one has another chain than most others, or than a more preferred one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """What the other endpoints say of the block to which a step reads.

    Attributes:
        other: who confirms what the leader says; None for nobody.
        agreed: newest block that both have: up to there it can; the target, unless it is behind.
        may_prove: whether heads that agree with the fold prove the target: nobody who answers is without it or has another block there.
        ahead: whether the other one has blocks beyond the target.
        behind: newest block of a more preferred one with a voice where the target is beyond that, else None.
    """

    other: Source | None = None
    agreed: Block | None = None
    may_prove: bool = True
    ahead: bool = False
    behind: Block | None = None


class Endpoints:
    """The endpoints. For one thread."""

    def __init__(self, sources: Sequence[Source], *, confirm: bool, tell: Callable[[Report], None]) -> None:
        """Remember them.

        Args:
            sources: the preferred one first.
            confirm: whether to ask a second one at all.
            tell: called with what is found out.
        """
        self._order = list(sources)
        self._rank = {id(source): rank for rank, source in enumerate(sources)}
        self.confirm = confirm and len(self._order) > 1
        """Whether a second one is asked."""
        self._tell = tell
        self._still = 0
        self._liars: set[int] = set()
        self._fallen: dict[int, int] = {}
        self._falls: dict[int, int] = {}
        self._resting: dict[int, int] = {}
        self._rests: dict[int, int] = {}

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._order)

    @property
    def leader(self) -> Source:
        """Who is asked first."""
        return self._order[0]

    def rotate(self) -> None:
        """Let the next one lead."""
        self._order.append(self._order.pop(0))
        self._still = 0

    # -- what is known of them -----------------------------------------------------------------------------------

    def convict(self, source: Source) -> None:
        """Take an endpoint's voice away: it contradicted what a header proves."""
        self._liars.add(id(source))

    def is_liar(self, source: Source) -> bool:
        """Return whether it was convicted."""
        return id(source) in self._liars

    def fell(self, source: Source) -> None:
        """Note that an endpoint led nowhere: for 2, 4 and more looks it has no voice, for what it has may be no chain."""
        looks = self._falls[id(source)] = min(_LONGEST, self._falls.get(id(source), 0) * 2 or 2)
        self._fallen[id(source)] = looks

    def stood(self, source: Source) -> None:
        """Note that an endpoint led to a block that it could show, or has the same one."""
        self._falls.pop(id(source), None)
        self._fallen.pop(id(source), None)

    def _has_voice(self, source: Source) -> bool:
        return not self.is_liar(source) and not self._fallen.get(id(source))

    def failed(self, source: Source, error: SteelyardError) -> None:
        """Tell what an endpoint did that was asked besides, and leave it alone for some looks if it did not answer at all."""
        self._tell(Fault(endpoint=source.name, error=error))
        if isinstance(error, TransportFault):
            rest = self._rests[id(source)] = min(_LONGEST, self._rests.get(id(source), 0) * 2 or 1)
            self._resting[id(source)] = rest

    def _besides(self) -> Source | None:
        """Return whom to ask besides the leader: who is most preferred of those that have a voice, and of the others."""
        if not self.confirm:
            return None
        self._fallen = {key: left - 1 for key, left in self._fallen.items() if left > 1}
        found = []
        for source in self._order[1:]:
            left = self._resting.get(id(source), 0)
            self._resting[id(source)] = max(0, left - 1)
            if not left:
                found.append(source)
        return min(found, key=lambda source: (self.is_liar(source), self._rank[id(source)]), default=None)

    # -- the newest block ----------------------------------------------------------------------------------------

    def opinion(self, target: Block, *, is_read: bool) -> Opinion:
        """Ask another endpoint about the block to which the leader leads.

        Args:
            target: newest block of the leader.
            is_read: whether the index has it already.

        Raises:
            OutvotedError: the leader has another block than most others, or than a more preferred one, or stands still while the other
                one is further.
            ChainError: the leader failed.
        """
        still, self._still = self._still, 0
        other = self._besides()
        if other is None:
            return Opinion()
        try:
            newest = other.newest()
            there = newest if newest.number <= target.number else other.block(target.number)
        except (ChainError, NotFoundError) as exc:
            self.failed(other, exc)
            return Opinion()
        self._rests.pop(id(other), None)
        mine = target if there.number == target.number else self.leader.block(there.number)
        if mine.hash != there.hash:
            return self._contradicted(other, mine, there)
        if there.number < target.number:
            return self._behind(other, mine, target)
        self.stood(other)
        ahead = newest.number > target.number
        if ahead and is_read:
            self._still = still + 1
        if self._still > _STANDING:
            self._overtaken(other, newest, target)
        return Opinion(other=other, agreed=target, ahead=ahead)

    def _overtaken(self, other: Source, newest: Block, target: Block) -> None:
        """Let another endpoint lead, if the headers of what it has besides lead on from the leader's newest block."""
        self._still = 0
        try:
            last = other.block(min(newest.number, target.number + RECENT))
            is_linked = other.chain_to(last, target.number)[0].hash == target.hash
        except (ChainError, NotFoundError) as exc:
            self.failed(other, exc)
            return
        if is_linked:
            raise OutvotedError(
                f"{self.leader.name} stays at block {target.number}, and {other.name} has {newest.number}: that one leads now"
            )

    def _behind(self, other: Source, mine: Block, target: Block) -> Opinion:
        """The one that is asked besides does not have the target yet: whether a third one does, or what it has itself."""
        if target.number - mine.number >= _LATE:
            error = ChainError(
                f"{other.name} is behind at block {mine.number}, and {self.leader.name} at {target.number}: what is above is neither "
                "confirmed nor proved"
            )
            self._tell(Fault(endpoint=other.name, error=error))
        for source in self._order[1:]:
            if source is not other and self._has_voice(source) and not self._resting.get(id(source)):
                try:
                    if source.block(target.number).hash == target.hash:
                        return Opinion(other=source, agreed=target)
                except (ChainError, NotFoundError) as exc:
                    self.failed(source, exc)
        is_preferred = self._rank[id(other)] < self._rank[id(self.leader)] and not self.is_liar(other)
        return Opinion(
            other=other,
            agreed=mine,
            may_prove=self.is_liar(other),
            behind=mine if is_preferred else None,
        )

    def _contradicted(self, other: Source, mine: Block, there: Block) -> Opinion:
        """Two have another block at one number: count, and see whether the leader may go on.

        A block that is contradicted by an endpoint that led nowhere is followed, but not proved: that may have been chance.
        """
        number = mine.number
        votes: dict[bytes, list[Source]] = {mine.hash: [self.leader]}
        votes.setdefault(there.hash, []).append(other)
        for source in self._order:
            if source not in (self.leader, other):
                try:
                    votes.setdefault(source.block(number).hash, []).append(source)
                except (ChainError, NotFoundError) as exc:
                    self._tell(Fault(endpoint=source.name, error=exc))
        weights = {value: self._weight(who) for value, who in votes.items()}
        best = max(weights, key=lambda value: weights[value])
        names = {value: " and ".join(source.name for source in who) for value, who in votes.items()}
        if best != mine.hash:
            why = (
                "more endpoints have"
                if weights[best][0] > weights[mine.hash][0]
                else "a more preferred one has"
            )
            raise OutvotedError(
                f"{self.leader.name} has another block {number} than {names[best]}: {why} 0x{best.hex()}"
            )
        for value, who in votes.items():
            if value != best:
                self._contradicts(who, number, names[best])
        # A majority, or alone among liars: then it is as if the others were silent.
        rest = max(sum(not self.is_liar(one) for one in who) for value, who in votes.items() if value != best)
        friend = next((source for source in votes[best][1:] if not self.is_liar(source)), None)
        if friend is not None and weights[best][0] > rest:
            return Opinion(other=friend, agreed=mine)
        return Opinion(may_prove=rest == 0 and not self.is_liar(self.leader))

    def _weight(self, sources: Sequence[Source]) -> tuple[int, int]:
        voices = [source for source in sources if self._has_voice(source)]
        return len(voices), -min((self._rank[id(source)] for source in voices), default=len(self._order))

    def _contradicts(self, sources: Sequence[Source], number: int, others: str) -> None:
        for source in sources:
            error = ChainError(
                f"{source.name} has another block {number} than {others}, whose chain is followed: which of the two is the chain no "
                "endpoint can prove. Ask a third one (rpc_more)"
            )
            self._tell(Fault(endpoint=source.name, error=error))
