"""Followers of one asset's history, or of all, that threads share: each asks for the state at the newest block.

The node is not trusted to be complete (:mod:`steelyard.service.feed`). It could still lie about logs and heads together; only a
bundle with proofs (:mod:`steelyard.audit`) excludes that.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import Final

from steelyard.chain.deployment import Deployment
from steelyard.chain.rpc import Rpc
from steelyard.chain.wire import Block
from steelyard.domain.records import AssetState, Ledger
from steelyard.domain.types import AssetId
from steelyard.errors import NotFoundError, RpcError, TrailError
from steelyard.service.feed import Feed
from steelyard.service.logs import LogReader, ReplacedError

_PAUSES: Final = (0.05, 0.2, 0.5)
"""Seconds before each further attempt."""
_PLACES: Final = 4
"""Places that a follower can go back to; each has the tables that changed since the one before."""
_KEPT: Final = 256


class Follower:
    """Follows some assets, or all of them. Safe to use from several threads."""

    def __init__(self, reader: LogReader, assets: frozenset[AssetId] | None) -> None:
        """Start with nothing known."""
        self._reader = reader
        self._assets = assets
        self._lock = threading.Lock()
        self._feed = self._fresh()

    def refresh(self) -> Ledger:
        """Return the state at the newest block.

        Raises:
            TrailError: the node hid, added or altered a log.
            ChainError: the endpoint failed.
        """
        with self._lock:
            for pause in _PAUSES:
                try:
                    return self._feed.step().ledger
                except (TrailError, RpcError, ReplacedError):
                    # A block that was replaced between two questions looks like a lie, and so does one whose logs the node does
                    # not have yet; and what follows a log that was hidden looks like a false one. The truth comes out on a fresh
                    # start, a little later.
                    self._feed = self._fresh()
                    time.sleep(pause)
            return self._feed.step().ledger

    def state(self) -> AssetState:
        """Return the one asset that is followed at the newest block.

        Raises:
            NotFoundError: it was never registered.
        """
        assert self._assets is not None
        (asset,) = self._assets
        found = self.refresh().assets.get(asset)
        if found is None:
            raise NotFoundError(
                f"there is no asset 0x{asset.hex()} in this market: check the reference and the chain"
            )
        return found

    @property
    def head(self) -> Block:
        """The block up to which the last answer was complete."""
        block = self._feed.place.block
        assert block is not None
        return block

    def _fresh(self) -> Feed:
        return Feed(self._reader, assets=self._assets, kept=_PLACES)


class LedgerReader(LogReader):
    """Reads the logs of one market and keeps the followers."""

    def __init__(self, rpc: Rpc, deployment: Deployment) -> None:
        """Remember whom to ask."""
        super().__init__(rpc, deployment)
        self._followers: OrderedDict[frozenset[AssetId] | None, Follower] = OrderedDict()

    def of(self, *assets: AssetId) -> Follower:
        """Return the follower of some assets, which asks about all of them at once."""
        return self._follower(frozenset(assets))

    def everything(self) -> Follower:
        """Return the follower of all assets."""
        return self._follower(None)

    def _follower(self, assets: frozenset[AssetId] | None) -> Follower:
        with self._lock:
            follower = self._followers.setdefault(assets, Follower(self, assets))
            self._followers.move_to_end(assets)
            while len(self._followers) > _KEPT:
                self._followers.popitem(last=False)
            return follower
