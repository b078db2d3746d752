"""Follows the trails of one asset, or of all, from the chain: new logs are folded onto what was known before.

The node is not trusted to be complete: after each step the fold of what came must be the head that the
contract has at that block. It could still lie about both together; only a bundle with proofs
(:mod:`steelyard.audit`) excludes that.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from steelyard.chain.deployment import Deployment
from steelyard.chain.hexdata import quantity
from steelyard.chain.rpc import Rpc
from steelyard.chain.views import Views
from steelyard.chain.wire import Block, Log, read_block
from steelyard.domain.events import ASSETS, MARKET, TYPES, TrailEvent, decode_event
from steelyard.domain.hash import keccak256
from steelyard.domain.records import AssetState, Ledger
from steelyard.domain.state import fold
from steelyard.domain.types import Address, AssetId
from steelyard.errors import ChainError, NotFoundError, TrailError

_BATCH = 100
_MAX_TIMES = 100_000
_ATTEMPTS = 3
_KEPT = 256


Heads = Mapping[tuple[str, bytes], bytes]
"""Head of each (contract, subject) that had a log."""


@dataclass(frozen=True)
class _Known:
    """What was folded: up to a block, with the head of each (contract, subject)."""

    block: Block | None = None
    ledger: Ledger = field(default_factory=Ledger)
    heads: Heads = field(default_factory=dict)


class Follower:
    """Follows one asset, or all of them. Safe to use from several threads."""

    def __init__(self, reader: LedgerReader, asset: AssetId | None) -> None:
        """Start with nothing known."""
        self._reader = reader
        self._asset = asset
        self._lock = threading.Lock()
        self._known = _Known()

    def refresh(self) -> Ledger:
        """Return the state at the newest block.

        Raises:
            TrailError: the node hid, added or altered a log.
            ChainError: the endpoint failed.
        """
        with self._lock:
            for left in reversed(range(_ATTEMPTS)):
                try:
                    return self._step()
                except (TrailError, ChainError, NotFoundError) as exc:
                    # A block that was replaced between two questions looks like a lie; the truth comes out on
                    # a fresh start.
                    self._known = _Known()
                    if not left or (isinstance(exc, ChainError) and not isinstance(exc, _ReplacedError)):
                        raise
            raise AssertionError("unreachable")

    def state(self) -> AssetState:
        """Return the asset at the newest block.

        Raises:
            NotFoundError: it was never registered.
        """
        assert self._asset is not None
        found = self.refresh().assets.get(self._asset)
        if found is None:
            raise NotFoundError(
                f"there is no asset 0x{self._asset.hex()} in this market: check the reference and the chain"
            )
        return found

    @property
    def block(self) -> int:
        """Number of the block up to which the last answer was complete."""
        return self._known.ledger.block

    def _step(self) -> Ledger:
        rpc, known = self._reader.rpc, self._known
        head = rpc.get_block("latest")
        if known.block is not None:
            if head.hash == known.block.hash:
                return known.ledger
            if (
                head.number <= known.block.number
                or rpc.get_block(known.block.number).hash != known.block.hash
            ):
                known = _Known()
        first = self._reader.start if known.block is None else known.block.number + 1
        logs = self._reader.logs(self._asset, first, head.number)
        events = self._reader.events(logs, head)
        heads = fold_heads(known.heads, logs, events, self._reader.names)
        self._check(heads, {log.topics[1] for log in logs}, head)
        ledger = fold(events, start=known.ledger, block=head.number)
        self._known = _Known(head, ledger, heads)
        return ledger

    def _check(self, heads: Heads, touched: Iterable[bytes], head: Block) -> None:
        views = self._reader.views.at(head.number)
        subjects = [self._asset] if self._asset is not None else sorted(touched)
        for subject in subjects:
            for contract in (ASSETS, MARKET):
                found = heads.get((contract, subject), bytes(32))
                if views.head(contract, subject) != found:
                    raise TrailError(
                        f"the logs about asset 0x{subject.hex()} do not lead to its head in {contract} at block {head.number}: "
                        "the node hides or alters some; use another one"
                    )


class LedgerReader:
    """Reads the logs of one market and keeps the followers."""

    def __init__(self, rpc: Rpc, deployment: Deployment) -> None:
        """Remember whom to ask."""
        self.rpc = rpc
        self.views = Views(rpc, deployment)
        self.start = deployment.start_block
        self.names = {deployment.assets: ASSETS, deployment.market: MARKET}
        self._lock = threading.Lock()
        self._followers: OrderedDict[AssetId | None, Follower] = OrderedDict()
        self._times: OrderedDict[bytes, int] = OrderedDict()

    def asset(self, asset: AssetId) -> Follower:
        """Return the follower of one asset."""
        return self._follower(asset)

    def everything(self) -> Follower:
        """Return the follower of all assets."""
        return self._follower(None)

    def logs(self, asset: AssetId | None, first: int, last: int) -> list[Log]:
        """Return the trail's logs of some blocks, in order."""
        topics = [list(TYPES), None if asset is None else asset]
        found = self.rpc.get_logs(list(self.names), topics, first=first, last=last) if first <= last else []
        return [log for log in found if len(log.topics) == 4]

    def find(self, topics: Sequence[bytes | Sequence[bytes] | None], *, contract: Address) -> list[Log]:
        """Return all logs of one contract of the market that match, up to the newest block."""
        last = self.rpc.block_number()
        return self.rpc.get_logs([contract], topics, first=self.start, last=last)

    def events(self, logs: Sequence[Log], head: Block) -> list[TrailEvent]:
        """Return the logs decoded, with the times of their blocks."""
        times = self._times_of(logs, head)
        return [
            decode_event(
                log.topics,
                log.data,
                contract=log.address,
                block=log.block_number,
                time=times[log.block_hash],
                log=log.log_index,
                tx=log.tx_hash,
            )
            for log in logs
        ]

    def _follower(self, asset: AssetId | None) -> Follower:
        with self._lock:
            follower = self._followers.setdefault(asset, Follower(self, asset))
            self._followers.move_to_end(asset)
            while len(self._followers) > _KEPT:
                self._followers.popitem(last=False)
            return follower

    def _times_of(self, logs: Sequence[Log], head: Block) -> dict[bytes, int]:
        with self._lock:
            found = {
                log.block_hash: self._times[log.block_hash] for log in logs if log.block_hash in self._times
            }
        found[head.hash] = head.timestamp
        missing = {log.block_hash: log.block_number for log in logs if log.block_hash not in found}
        items = list(missing.items())
        for start in range(0, len(items), _BATCH):
            part = items[start : start + _BATCH]
            answers = self.rpc.batch(
                [("eth_getBlockByNumber", (quantity(number), False)) for _, number in part]
            )
            for (block_hash, number), answer in zip(part, answers, strict=True):
                block = None if answer is None else read_block(answer)
                if block is None or block.hash != block_hash or block.number != number:
                    raise _ReplacedError(f"block {number} was replaced while it was read: try again")
                found[block_hash] = block.timestamp
        with self._lock:
            self._times.update(found)
            while len(self._times) > _MAX_TIMES:
                self._times.popitem(last=False)
        return found


class _ReplacedError(ChainError):
    """A block was re-organised away between two questions."""


def fold_heads(
    heads: Heads, logs: Sequence[Log], events: Sequence[TrailEvent], names: Mapping[Address, str]
) -> dict[tuple[str, bytes], bytes]:
    """Return the heads after some logs: the rule of docs/trail.md.

    Args:
        heads: before them, by contract's name and subject.
        logs: in the order of the chain.
        events: the same, decoded.
        names: of the contracts.
    """
    result = dict(heads)
    for log, event in zip(logs, events, strict=True):
        key = (names[log.address], log.topics[1])
        place = event.block.to_bytes(32, "big") + event.time.to_bytes(32, "big")
        entry = keccak256(place + b"".join(log.topics) + log.data)
        result[key] = keccak256(result.get(key, bytes(32)) + entry)
    return result
