"""What the chain has stored about the gateway's channels, in few requests: each is asked about again when a log names it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from steelyard.chain.metered import ChannelViews, StoredChannel
from steelyard.chain.rpc import Rpc
from steelyard.chain.wire import Block
from steelyard.domain.metering import ChannelId

WHOLE: Final = 3_600.0
"""Seconds after which all channels are asked about, whatever the logs said: an endpoint whose log is behind its newest block must not
hide the end of a channel for longer than a small part of the shortest window."""


class Records:
    """What was stored at the last look. For one thread."""

    def __init__(self, rpc: Rpc, views: ChannelViews, *, clock: Callable[[], float]) -> None:
        """Know nothing yet.

        Args:
            rpc: the endpoint.
            views: of the contract.
            clock: seconds that only go forward.
        """
        self._rpc = rpc
        self._views = views
        self._clock = clock
        self._head: Block | None = None
        self._whole = 0.0
        self._known: dict[ChannelId, StoredChannel] = {}

    def look(self, channels: Sequence[ChannelId]) -> tuple[Block, list[StoredChannel]]:
        """Return the newest block, and what is stored about some channels there.

        Raises:
            ChainError: the endpoint failed; the next look begins where this one did.
            VerificationError: the answer is not what the contract's ABI says.
        """
        head, now, whole = self._rpc.get_block("latest"), self._clock(), self._whole
        changed = None if now - whole >= WHOLE else self._changed(head)
        if changed is None:
            known, whole = {}, now
        else:
            known = {channel: self._known[channel] for channel in self._known.keys() - changed}
        missing = [channel for channel in channels if channel not in known]
        known.update(zip(missing, self._views.at(head.hash).channels(missing), strict=True))
        found = [known[channel] for channel in channels]
        self._head, self._whole, self._known = head, whole, dict(zip(channels, found, strict=True))
        return head, found

    def _changed(self, head: Block) -> set[ChannelId] | None:
        """Return the channels that a log names since the last look; None if that block is not below the newest one any more."""
        last = self._head
        if last is None:
            return None
        if last.hash == head.hash:
            return set()
        if head.number <= last.number:
            return None
        if head.parent_hash != last.hash and self._rpc.get_block(last.number).hash != last.hash:
            return None
        return self._views.changed(first=last.number + 1, last=head.number)
