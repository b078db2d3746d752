"""Two endpoints about one range: where they disagree, the headers that they agree about say who is right.

The heads prove the entries of every subject that is known; an endpoint that hides a subject from its first entry on is found only by
asking another one. A block about whose entries two disagree is rebuilt from its receipts: what its header proves is taken, whoever said
it, and who said something else is a liar.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from steelyard.chain.transport import TooLargeError
from steelyard.chain.wire import Block
from steelyard.errors import ChainError, NotFoundError, ProofError, RpcError, SteelyardError, TrailError
from steelyard.indexer.entries import Entry
from steelyard.indexer.evidence import Proven, prove_entries
from steelyard.indexer.report import Fault
from steelyard.indexer.schema import SHIFT
from steelyard.indexer.source import Answered, LieError, Source

_MOST: Final = 64
"""Blocks of a range that are proved at most if it is always the same endpoint that was wrong in them."""
_PARTS: Final = 64
"""Parts in which a range is asked of an endpoint that refuses larger ones."""

_Said = tuple[bytes | None, list[Entry]]
"""What an endpoint says of a block: its hash, where it says one, and its entries."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """An answer to go on with, and what is to be said about the endpoints.

    Attributes:
        answered: the answer.
        faults: in the order in which they were found.
        liars: who was convicted.
        complete: whether the other endpoint said its part, so that nobody need ask again.
    """

    answered: Answered
    faults: tuple[Fault, ...] = ()
    liars: tuple[Source, ...] = ()
    complete: bool = True


def confirmed(
    one: Source, other: Source, first: int, last: Block, target: Block, answered: Answered
) -> Confirmed:
    """Compare an answer with what another endpoint says about the same range, and find out who is right.

    Where neither can prove what it says, the answer that has all that the other one has and more is taken; the heads will tell
    whether it is true. Where each has what the other one has not, the first is taken, for the same reason.

    Args:
        one: who answered.
        other: whom to ask besides.
        first: first block.
        last: last block, as ``one`` has it.
        target: newest block, which both have.
        answered: its answer.

    Raises:
        LieError: the last block of ``one`` is not on the chain that leads to the target.
    """
    try:
        there = other.block(last.number)
        if there.hash != last.hash:
            return _another_block(one, other, last, target, answered)
        second = _asked(other, first, last.number)
    except LieError:
        raise
    except (ChainError, NotFoundError, TrailError) as exc:
        return Confirmed(answered, (Fault(endpoint=other.name, error=exc),), complete=False)
    if second.entries == answered.entries and second.hashes == answered.hashes:
        return Confirmed(answered)
    return _Dispute(one, other, last, _by_block(answered), _by_block(second)).settled(answered, second)


def _asked(other: Source, first: int, last: int, parts: int = _PARTS) -> Answered:
    """Ask about a range, in parts if the endpoint takes only shorter ones than the other."""
    try:
        return other.entries(first, last)
    except (RpcError, TooLargeError):
        if first == last or parts == 1:
            raise
    middle = (first + last) // 2
    low, high = _asked(other, first, middle, parts // 2), _asked(other, middle + 1, last, parts // 2)
    return Answered(low.entries + high.entries, {**low.hashes, **high.hashes}, {**low.times, **high.times})


def _another_block(one: Source, other: Source, last: Block, target: Block, answered: Answered) -> Confirmed:
    if other.block(target.number).hash != target.hash:
        # Who is right about the newest block, nobody can prove. The next look begins with that.
        error: SteelyardError = ChainError(
            f"{other.name} has another block {target.number} than {one.name} now"
        )
        return Confirmed(answered, (Fault(endpoint=other.name, error=error),), complete=False)
    liar, error = forger(one, other, last.number, target)
    if liar is one:
        raise error
    return Confirmed(answered, (Fault(endpoint=other.name, error=error),), (other,), complete=False)


def forger(one: Source, other: Source, number: int, agreed: Block) -> tuple[Source, LieError]:
    """Return who forged a header, of two that have another block at a number and the same one later: its parents tell.

    Args:
        one: an endpoint.
        other: another one.
        number: of a block about which they disagree.
        agreed: a later one about which they agree.

    Raises:
        ChainError: one failed meanwhile, or is not of one mind.
        NotFoundError: one has a block no more.
    """
    low, high = number, agreed.number
    while high - low > 1:
        middle = (low + high) // 2
        if one.block(middle).hash == other.block(middle).hash:
            high = middle
        else:
            low = middle
    parent = (agreed if high == agreed.number else one.block(high)).parent_hash
    for who in (one, other):
        if who.block(low).hash != parent:
            return who, LieError(
                f"{who.name} forges the header of block {low}: it is not the parent of block {high}, about which {one.name} and "
                f"{other.name} agree"
            )
    raise ChainError(f"{one.name} and {other.name} do not stay with what they say of block {low}")


def _by_block(answered: Answered) -> dict[int, _Said]:
    found: dict[int, _Said] = {number: (value, []) for number, value in answered.hashes.items()}
    for entry in answered.entries:
        found[entry.pos >> SHIFT][1].append(entry)
    return found


def _differ(ours: _Said, theirs: _Said) -> bool:
    return ours[1] != theirs[1] or (None not in (ours[0], theirs[0]) and ours[0] != theirs[0])


@dataclass
class _Dispute:
    """Two answers about a range, and who was convicted so far."""

    one: Source
    other: Source
    last: Block
    ours: Mapping[int, _Said]
    theirs: Mapping[int, _Said]
    faults: list[Fault] = field(default_factory=list)
    liars: list[Source] = field(default_factory=list)

    def settled(self, answered: Answered, second: Answered) -> Confirmed:
        """Return what is to be believed."""
        numbers = sorted(self.ours.keys() | self.theirs.keys())
        nothing: _Said = (None, [])
        entries: list[Entry] = []
        hashes: dict[int, bytes] = {}
        times: dict[int, int] = {}
        proved = 0
        for number in numbers:
            ours, theirs = self.ours.get(number, nothing), self.theirs.get(number, nothing)
            said = ours
            if _differ(ours, theirs):
                said, block = self._judged(number, ours, theirs, proved)
                proved += block is not None
                if block is not None:
                    hashes[number], times[number] = block.hash, block.timestamp
            entries += said[1]
            if number not in hashes and said[0] is not None:
                hashes[number] = said[0]
                times[number] = (answered if said is ours else second).times[number]
        return Confirmed(Answered(entries, hashes, times), tuple(self.faults), tuple(self.liars))

    def _judged(self, number: int, ours: _Said, theirs: _Said, proved: int) -> tuple[_Said, Block | None]:
        """Return what is to be believed of a block, and its header if that was proved."""
        if proved >= _MOST and len(self.liars) == 1:
            return (theirs if self.liars[0] is self.one else ours), None
        found = self._proved(number)
        if found is None:
            return self._unproved(number, ours, theirs), None
        proven, block = found
        right = [
            (who, said)
            for who, said in ((self.one, ours), (self.other, theirs))
            if said[0] in (None, block.hash) and _is(said[1], proven)
        ]
        for who, said in ((self.one, ours), (self.other, theirs)):
            if who not in [one for one, _ in right]:
                self._convict(who, _contradiction(who, block, said[1], proven))
        if proven.has_hashes or not right:
            return (block.hash, proven.entries), block
        if len(right) == 2:  # it is about the transactions only, which nobody brings
            return self._unproved(number, ours, theirs), None
        return (block.hash, right[0][1][1]), block

    def _proved(self, number: int) -> tuple[Proven, Block] | None:
        """Return the entries of a block as a header proves them that is on the chain that both agree about."""
        try:
            blocks = [(who, who.block(number)) for who in (self.one, self.other)]
            if blocks[0][1].hash != blocks[1][1].hash:
                liar, error = forger(self.one, self.other, number, self.last)
                self._convict(liar, error)
                blocks = [pair for pair in blocks if pair[0] is not liar]
        except (ChainError, NotFoundError):
            return None
        best: tuple[Proven, Block] | None = None
        for who, block in blocks:
            try:
                found = prove_entries(who, block)
            except (ChainError, ProofError, TrailError):
                continue  # it brings no proof, or a false one; the other one may have it
            if found.has_hashes:
                return found, block
            best = best or (found, block)
        return best

    def _unproved(self, number: int, ours: _Said, theirs: _Said) -> _Said:
        if len(self.liars) == 1:
            return theirs if self.liars[0] is self.one else ours
        mine, yours = set(ours[1]), set(theirs[1])
        if mine < yours:
            self._tell(self.one, _hides(self.one, self.other, yours - mine))
            return theirs
        if yours < mine:
            self._tell(self.other, _hides(self.other, self.one, mine - yours))
            return ours
        about = "".join(f" about 0x{entry.subject.hex()}" for entry in sorted(mine ^ yours)[:1])
        self._tell(
            self.other,
            TrailError(
                f"{self.one.name} and {self.other.name} disagree{about} in block {number}, and neither proves what it says"
            ),
        )
        return ours

    def _convict(self, who: Source, error: LieError) -> None:
        if who not in self.liars:
            self.liars.append(who)
            self._tell(who, error)

    def _tell(self, who: Source, error: SteelyardError) -> None:
        if not any(fault.endpoint == who.name for fault in self.faults):
            self.faults.append(Fault(endpoint=who.name, error=error))


def _is(entries: Sequence[Entry], proven: Proven) -> bool:
    if proven.has_hashes:
        return entries == proven.entries
    return [entry._replace(tx=b"") for entry in entries] == [
        entry._replace(tx=b"") for entry in proven.entries
    ]


def _contradiction(who: Source, block: Block, entries: Sequence[Entry], proven: Proven) -> LieError:
    different = sorted(set(entries) ^ set(proven.entries))
    about = f", the first false one about 0x{different[0].subject.hex()}" if different else ""
    return LieError(
        f"{who.name} says something else of block {block.number} than its header proves: {len(entries)} entries, and it has "
        f"{len(proven.entries)}{about}"
    )


def _hides(who: Source, other: Source, entries: set[Entry]) -> TrailError:
    first = min(entries)
    return TrailError(
        f"{who.name} leaves out {len(entries)} entries that {other.name} has, the first about 0x{first.subject.hex()} in block "
        f"{first.pos >> SHIFT}"
    )
