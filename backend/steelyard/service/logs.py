"""Reads the logs of one market: which of them are its trails, when their blocks were, and which heads they fold to."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from steelyard.chain.deployment import Deployment
from steelyard.chain.hexdata import quantity
from steelyard.chain.rpc import Rpc, Topics
from steelyard.chain.wire import Block, Log, read_block
from steelyard.domain.events import TREASURY, TYPES, TrailEvent, decode_event
from steelyard.domain.hash import keccak256
from steelyard.domain.types import Address, AssetId
from steelyard.errors import ChainError

_BATCH: Final = 100
_MAX_TIMES: Final = 100_000

Heads = Mapping[tuple[str, bytes], bytes]
"""Head of each (contract, subject) that had a log."""


class ReplacedError(ChainError):
    """A block was re-organised away between two questions."""


class LogReader:
    """Reads the logs of one market.

    Attributes:
        rpc: the endpoint.
        start: block before which nothing of the market is.
        names: the contracts with a trail of assets by address: Assets, Market, and Channels if there are any.
    """

    def __init__(self, rpc: Rpc, deployment: Deployment) -> None:
        """Remember whom to ask."""
        self.rpc = rpc
        self.start = deployment.start_block
        self.names = {address: name for name, address in deployment.trails.items() if name != TREASURY}
        self._lock = threading.Lock()
        self._times: OrderedDict[bytes, int] = OrderedDict()

    def logs(self, assets: Collection[AssetId] | None, first: int, last: int) -> list[Log]:
        """Return the trail's logs of some blocks, in order, about some assets or all."""
        if assets is not None and not assets:
            return []  # an empty choice of topics is none to a node
        topics: Topics = [list(TYPES), None if assets is None else sorted(assets)]
        found = self.rpc.get_logs(list(self.names), topics, first=first, last=last)
        return [log for log in found if len(log.topics) == 4]

    def find(self, topics: Topics, *, contract: Address) -> list[Log]:
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
                    raise ReplacedError(f"block {number} was replaced while it was read: try again")
                found[block_hash] = block.timestamp
        with self._lock:
            self._times.update(found)
            while len(self._times) > _MAX_TIMES:
                self._times.popitem(last=False)
        return found


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
