"""Keeps an index up to date: by itself (``steelyard index``) or beside a service. Several processes may; one leads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final

from steelyard.chain.deployment import Deployment
from steelyard.chain.rpc import Rpc
from steelyard.errors import ChainError, DatabaseError, InputError, LeaseError, NotFoundError, TrailError
from steelyard.indexer.content import content_hash
from steelyard.indexer.database import Database
from steelyard.indexer.follow import Cursor, Follower, cursor_of
from steelyard.indexer.lease import Lease
from steelyard.indexer.market import claim
from steelyard.indexer.report import Fault, Progress, Proved, Report, Step, Undone
from steelyard.indexer.source import Source

POLL: Final = 1.0
"""Seconds between two looks for a new block."""
_LONGEST: Final = 30.0
"""Seconds between two tries at most, while no endpoint answers."""

__all__ = ["Cursor", "Fault", "Indexer", "Progress", "Proved", "Report", "Step", "Undone"]


class Indexer:
    """Follows one market into one database. For one thread."""

    def __init__(
        self,
        database: Database,
        endpoints: Sequence[Rpc],
        deployment: Deployment,
        *,
        confirm: bool | None = None,
        holder: str | None = None,
        tell: Callable[[Report], None] = lambda report: None,
    ) -> None:
        """Look whether the database is intact and of this market; nothing is asked of the endpoints yet.

        Args:
            database: opened to be written.
            endpoints: of the market's chain, the preferred one first; they stay the caller's.
            deployment: the market.
            confirm: ask two endpoints about every range; if there are two, unless it is False.
            holder: name of this process for the lease; a random one if None.
            tell: called with what happens.

        Raises:
            DatabaseError: the database is damaged, or of another market; says what to do.
            InputError: there is no endpoint.
        """
        if not endpoints:
            raise InputError("an index needs an endpoint of the chain")
        database.check()
        claim(database, deployment)
        self.database = database
        self.tell = tell
        self._lease = Lease(holder=holder)
        contracts = deployment.trails
        self._follower = Follower(
            database,
            [Source(rpc, contracts) for rpc in endpoints],
            contracts=contracts,
            start_block=deployment.start_block,
            lease=self._lease,
            confirm=confirm is not False,
            tell=lambda report: self.tell(report),
        )

    def step(self) -> Step:
        """Read up to the newest block, once.

        Raises:
            LeaseError: another process writes this index.
            TrailError: every endpoint hides, adds or alters an entry; names the subject, contract and endpoint.
            ChainError: no endpoint answers as it should.
            DatabaseError: the database failed.
        """
        return self._follower.step()

    def catch_up(self) -> Step:
        """Read until the newest block is in the index and proved; errors as in :meth:`step`."""
        while True:
            step = self.step()
            if not step.moved or step.behind:
                return step

    def run(self, stop: threading.Event, *, every: float = POLL) -> None:
        """Follow the chain until ``stop`` is set. What fails is told as :class:`Fault` and tried again, each time later.

        Whoever does not lead looks again every ``every`` seconds, so he takes over within seconds after the lease ran out.

        Args:
            stop: ends it; looked at between two steps.
            every: seconds between two looks for a new block.
        """
        wait = every
        try:
            while not stop.is_set():
                try:
                    moved = self.step().moved
                    wait = 0.0 if moved else every
                except LeaseError:
                    wait = every
                except (ChainError, TrailError, NotFoundError, DatabaseError) as exc:
                    wait = min(_LONGEST, max(every, wait * 2))
                    if isinstance(exc, DatabaseError):
                        self.tell(Fault(endpoint=self.database.name, error=exc))
                stop.wait(wait)
        finally:
            self.release()

    def release(self) -> None:
        """Give the lease back, so that another process need not wait for its end."""
        try:
            with self.database.write() as writer:
                self._lease.release(writer)
        except DatabaseError:
            pass  # it runs out by itself

    def cursor(self) -> Cursor | None:
        """Return up to where the index is complete, or None before any block."""
        with self.database.read() as reader:
            return cursor_of(reader)

    def content_hash(self) -> tuple[Cursor | None, bytes]:
        """Return the content hash, and the block it is of, from one snapshot."""
        with self.database.read() as reader:
            return cursor_of(reader), content_hash(reader)
