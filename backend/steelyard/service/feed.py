"""Follows the log of the market block by block, for whoever acts on what it reads.

Nothing is written to the disk: the state is a fold of the log, and after a start it is folded again. What
makes it safe to act on:

1. It only moves on when the logs that came fold to the heads that the contracts have at that very block
   (asked by its hash), for every asset that had a log and for every watched one. So a node that leaves a log
   out, or answers with an empty list, does not move it past what was seen. Where only watched assets are read
   and no head has moved, there is no log to read.
2. Every place where it stopped is kept with the block's hash. If that block is replaced, it goes back to the
   last place that still stands, and reads on from there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from steelyard.chain.calls import call_data
from steelyard.chain.hexdata import read_data, to_hex
from steelyard.chain.rpc import block_param
from steelyard.chain.wire import Block
from steelyard.domain.events import ASSETS
from steelyard.domain.records import Ledger
from steelyard.domain.state import fold
from steelyard.domain.types import Address, AssetId
from steelyard.errors import NotFoundError, TrailError
from steelyard.service.logs import Heads, LogReader, fold_heads

_KEPT: Final = 256
_BATCH: Final = 100
_ZERO: Final = bytes(32)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the feed stopped: everything up to and including a block.

    Attributes:
        block: that block; None before the first.
        ledger: the fold of the log up to it.
        heads: head of each (contract, asset) that had a log.
    """

    block: Block | None = None
    ledger: Ledger = field(default_factory=Ledger)
    heads: Heads = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a step of the feed found.

    Attributes:
        head: the newest block, up to which ``ledger`` is complete.
        ledger: the state there.
        moved: whether the head is another one than before.
        dropped: number of the oldest place that was given up because its block was replaced; None if none
            was.
    """

    head: Block
    ledger: Ledger
    moved: bool
    dropped: int | None = None


class Feed:
    """Reads one market's log as it grows. For one thread."""

    def __init__(
        self, reader: LogReader, *, assets: Collection[AssetId] | None = None, kept: int = _KEPT
    ) -> None:
        """Start before the market's first block.

        Args:
            reader: whom to ask, and how logs become events.
            assets: read these only, and watch them; None for all assets, watched as :meth:`watch` says.
            kept: places that it can go back to, at least one.
        """
        self._reader = reader
        self._assets = assets
        self._kept = kept
        self._watched = frozenset(assets or ())
        self._owner: Address | None = None
        self._places = [Place()]

    @property
    def place(self) -> Place:
        """Where it stopped last."""
        return self._places[-1]

    def watch(self, assets: Iterable[AssetId], *, owner: Address | None = None) -> None:
        """Prove these assets complete at every block, also when no log about them came.

        Args:
            assets: added to those that are watched.
            owner: an account whose assets must all be known, as many as the registry says it has.
        """
        self._watched |= frozenset(assets)
        self._owner = owner

    def step(self) -> Step:
        """Read up to the newest block.

        Raises:
            TrailError: the node hid, added or altered a log; nothing was taken over.
            ChainError: the endpoint failed, or a block was replaced meanwhile; nothing was taken over.
        """
        rpc = self._reader.rpc
        head = rpc.get_block("latest")
        known = self.place.block
        if known is not None and known.hash == head.hash:
            return Step(head=head, ledger=self.place.ledger, moved=False)
        dropped = self._go_back(head)
        place = self.place
        if place.block is None or place.block.hash != head.hash:
            place = self._read(place, head)
            self._places.append(place)
            if len(self._places) > self._kept + 1:
                del self._places[1]  # the empty place stays at the bottom
        return Step(head=head, ledger=place.ledger, moved=True, dropped=dropped)

    def _go_back(self, head: Block) -> int | None:
        """Give up the places whose blocks are no longer on the chain that ends in ``head``."""
        dropped = None
        while (block := self.place.block) is not None:
            if block.number == head.number:
                stands = block.hash == head.hash
            elif block.number == head.number - 1:
                stands = block.hash == head.parent_hash
            else:
                stands = block.number < head.number and self._hash_of(block.number) == block.hash
            if stands:
                return dropped
            self._places.pop()
            dropped = block.number
        return dropped

    def _hash_of(self, number: int) -> bytes | None:
        try:
            return self._reader.rpc.get_block(number).hash
        except NotFoundError:
            return None

    def _read(self, place: Place, head: Block) -> Place:
        # Shares the tables with the place before it.
        quiet = replace(place, block=head, ledger=replace(place.ledger, block=head.number))
        if self._assets is not None and place.block is not None and self._is_quiet(place, head):
            return quiet
        first = self._reader.start if place.block is None else place.block.number + 1
        logs = self._reader.logs(self._assets, first, head.number)
        found = quiet
        if logs:
            events = self._reader.events(logs, head)
            heads = fold_heads(place.heads, logs, events, self._reader.names)
            found = Place(block=head, ledger=fold(events, start=place.ledger, block=head.number), heads=heads)
        self._prove(found, {log.topics[1] for log in logs}, head)
        return found

    def _is_quiet(self, place: Place, head: Block) -> bool:
        """Whether no head of a watched asset has moved since a place."""
        wanted = self._wanted(self._watched)
        answers = self._words(wanted.values(), head)
        return all(place.heads.get(key, _ZERO) == answer for key, answer in zip(wanted, answers, strict=True))

    def _wanted(self, subjects: Iterable[bytes]) -> dict[tuple[str, bytes], tuple[Address, bytes]]:
        """Return the calls that ask for the heads of subjects."""
        return {
            (name, subject): (contract, call_data("head(bytes32)", subject))
            for subject in sorted(subjects)
            for contract, name in self._reader.names.items()
        }

    def _prove(self, place: Place, touched: set[bytes], head: Block) -> None:
        wanted = self._wanted(touched | self._watched)
        calls = list(wanted.values())
        if self._owner is not None:
            (assets,) = (address for address, name in self._reader.names.items() if name == ASSETS)
            calls.append((assets, call_data("balanceOf(address)", self._owner)))
        answers = self._words(calls, head)
        for (name, subject), answer in zip(wanted, answers, strict=False):
            if place.heads.get((name, subject), _ZERO) != answer:
                raise TrailError(
                    f"the logs about asset 0x{subject.hex()} do not lead to its head in {name} at block {head.number}: "
                    "the node hides or alters some, or is behind; if this lasts, use another one"
                )
        if self._owner is not None:
            owned = sum(asset.owner == self._owner for asset in place.ledger.assets.values())
            if owned != int.from_bytes(answers[-1], "big"):
                raise TrailError(
                    f"the logs show {owned} assets of 0x{self._owner.hex()} at block {head.number}, and the registry has "
                    "another number: the node hides some; use another one"
                )

    def _words(self, calls: Iterable[tuple[Address, bytes]], head: Block) -> list[bytes]:
        at = block_param(head.hash)
        asked = [("eth_call", ({"to": to_hex(to), "data": to_hex(data)}, at)) for to, data in calls]
        words = []
        for start in range(0, len(asked), _BATCH):
            for answer in self._reader.rpc.batch(asked[start : start + _BATCH]):
                words.append(read_data(answer, "result of eth_call", 32))
        return words
