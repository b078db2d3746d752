"""Follows the chain into the database: docs/index.md, "Following the chain".

One step brings the index to the newest block or leaves it as it was at some block before: rows, heads and the cursor (the newest row
of ``blocks``) are written in one transaction for each range, and only by who holds the lease.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final

from steelyard.chain.transport import TransportFault
from steelyard.chain.wire import Block
from steelyard.domain.types import Address
from steelyard.errors import ChainError, DatabaseError, LeaseError, NotFoundError, SteelyardError, TrailError
from steelyard.indexer import standing, unconfirmed
from steelyard.indexer.beside import DOUBLED, Beside, Recorder
from steelyard.indexer.confirm import Confirmed, confirmed
from steelyard.indexer.database import ConflictError, Database, Reader, Writer, drop_indexes, make_indexes
from steelyard.indexer.endpoints import RECENT, Endpoints, Opinion, OutvotedError
from steelyard.indexer.known import Known
from steelyard.indexer.lease import Lease
from steelyard.indexer.proof import FalseEntriesError, Proof, hash_now, last_proved
from steelyard.indexer.ranges import Ranges, Span, seldom_collecting
from steelyard.indexer.report import Fault, Progress, Proved, Report, Step, Undone
from steelyard.indexer.schema import SHIFT
from steelyard.indexer.source import Answered, LieError, ReplacedError, Source
from steelyard.indexer.undo import entries_between, undo
from steelyard.indexer.writing import block_rows, check_times, write_answers

_FAR: Final = 16
"""Blocks that the chain may have grown meanwhile before the heads are asked for: nodes keep the state of some 128."""
_PATIENCE: Final = 3
"""Steps for which an endpoint may be behind the index before that counts as a shorter chain."""
_ENOUGH: Final = 20_000
"""Entries that are written at once where the endpoint gives fewer in a range; where more are to come, another process writes."""
_LESS: Final = 4_000
"""The same while another process writes: sooner, so that it has something to do."""
_OFTEN: Final = 2.0
"""Seconds after which they are written in any case."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Up to where the index is complete: a block, its hash and time."""

    number: int
    hash: bytes
    time: int


class Follower:
    """Brings one database up to the chain. For one thread."""

    def __init__(
        self,
        database: Database,
        sources: Sequence[Source],
        *,
        contracts: Mapping[str, Address],
        start_block: int,
        lease: Lease,
        confirm: bool,
        tell: Callable[[Report], None],
        enough: int | None = None,
    ) -> None:
        """Remember everything; nothing is asked yet.

        Args:
            database: where to write.
            sources: endpoints, the preferred one first.
            contracts: addresses by name: Assets, Market, Treasury.
            start_block: nothing of the market is older.
            lease: this process's claim.
            confirm: ask two endpoints about every range; without effect if there is one only.
            tell: called with what happens, in the same thread.
            enough: entries that are written at once, 20,000 if None; when more are to come, by a process of its own into a file.
        """
        self._database = database
        self._endpoints = Endpoints(sources, confirm=confirm, tell=tell)
        self._start = start_block
        self._lease = lease
        self._tell = tell
        self._enough = _ENOUGH if enough is None else enough
        self._known = Known(contracts)
        self._proof = Proof(database, contracts, self._endpoints, tell)
        self._span = Span()
        self._behind = 0
        self._is_silent = False
        self._doubts = 0

    # -- one step ----------------------------------------------------------------------------------------------

    def step(self) -> Step:
        """Read up to the newest block.

        Raises:
            LeaseError: another process writes this index.
            TrailError: every endpoint hides, adds or alters an entry; names the subject, contract and endpoint.
            ChainError: no endpoint answers as it should.
            DatabaseError: the database failed.
        """
        first: SteelyardError | None = None
        failed, blamed = 0, ""
        for _ in range(2 * len(self._endpoints)):
            source = self._endpoints.leader
            try:
                step = self._step(source)
            except (TrailError, ChainError, NotFoundError) as exc:
                self._forget()
                self._tell(Fault(endpoint=source.name, error=exc))
                # Who lied is worth more than who was down.
                if first is None or (isinstance(exc, TrailError) and not isinstance(first, TrailError)):
                    first, blamed = exc, source.name
                self._endpoints.rotate()
                if isinstance(exc, OutvotedError):
                    continue  # it did not fail: it leads again if the other one does
                if isinstance(exc, LieError):
                    self._endpoints.convict(source)
                self._endpoints.fell(source)
                failed += 1
                if failed == len(self._endpoints):
                    break
            except BaseException:
                self._forget()
                raise
            else:
                self._doubts = 0
                self._endpoints.stood(source)
                if self._endpoints.is_liar(source):
                    self._endpoints.rotate()
                return step
        assert first is not None
        if isinstance(first, TrailError):
            self._doubt()
            raise TrailError(
                f"{first}. Told by {blamed}: use another endpoint (rpc), or another one besides (rpc_more)"
            ) from first
        raise first

    def _forget(self) -> None:
        self._known.forget()
        self._proof.forget()

    def _doubt(self) -> None:
        """Go back further each time that no endpoint leads on: something may have been hidden before the last proof.

        A proof asks about the subjects that had entries, and some others. What was hidden of the rest comes out later.
        """
        with self._database.read() as reader:
            proved = last_proved(reader)
        if self._doubts and proved >= self._start:
            self._undo(max(-1, proved - (RECENT << 2 * (self._doubts - 1))))
        self._doubts += 1

    def _step(self, source: Source) -> Step:
        target = source.newest()
        cursor = self._hold()
        target, opinion = self._heard(source, target, cursor)
        before, undone, entries = cursor, None, 0
        if cursor is not None and cursor.hash != target.hash:
            stands = self._standing(source, cursor, target, opinion)
            if stands is None:
                return Step(block=cursor.number, moved=False, behind=True)
            if stands < cursor.number:
                undone = stands
                cursor = self._undo(stands)
        self._behind = 0
        cursor = self._confirm_late(source, cursor, opinion)
        begun = time.monotonic()
        while cursor is None or cursor.hash != target.hash:
            for stop in _stops(cursor, target, opinion):
                count, cursor = self._read(source, cursor, stop, opinion, begun, entries)
                entries += count
            newest = source.newest()
            if newest.number <= target.number + _FAR:
                break
            target, opinion = self._heard(source, newest, cursor)
        with self._database.write() as writer:
            self._take(writer)
            make_indexes(writer)
        self._prove(source, target, opinion)
        return Step(
            block=target.number,
            moved=before is None or before.hash != target.hash,
            undone=undone,
            entries=entries,
        )

    def _heard(self, source: Source, target: Block, cursor: Cursor | None) -> tuple[Block, Opinion]:
        """Return the block to read to, and what the other endpoints say of it; errors as of :meth:`Endpoints.opinion`."""
        opinion = self._endpoints.opinion(target, is_read=cursor is not None and cursor.hash == target.hash)
        self._is_silent = False
        if opinion.behind is not None:
            # A more preferred endpoint is not there yet. No further than headers lead from what it has, or from what was read.
            most = max(opinion.behind.number, -1 if cursor is None else cursor.number) + RECENT
            if target.number > most:
                return source.block(most), opinion
        return target, opinion

    def _hold(self) -> Cursor | None:
        with self._database.write() as writer:
            self._take(writer)
            return cursor_of(writer)

    def _take(self, writer: Writer) -> None:
        if self._lease.hold(writer):
            self._forget()

    def renew(self) -> None:
        """Renew the lease while there is nothing to write.

        Raises:
            LeaseError: another process has it.
        """
        with self._database.write() as writer:
            if self._lease.hold(writer):
                raise LeaseError("the right to write the index was lost and won again: start the step anew")

    # -- re-organisations --------------------------------------------------------------------------------------

    def _standing(self, source: Source, cursor: Cursor, target: Block, opinion: Opinion) -> int | None:
        """Return the newest block of the index that is on the chain to ``target``; -1 for none, None to wait.

        Raises:
            ChainError: the endpoint is behind for too long while another one has what the index has, or its headers do not lead on
                from that block.
        """
        if cursor.number == target.number - 1 and cursor.hash == target.parent_hash:
            return cursor.number
        stands = standing.newest_standing(self._database, source, target)
        if cursor.number > target.number and standing.newest_row(self._database, target.number) == stands:
            # Nothing contradicts the index: the endpoint is behind, or the chain became shorter. Time tells, or another endpoint.
            self._behind += 1
            if self._behind <= _PATIENCE:
                return None
            if opinion.ahead and opinion.other and hash_now(opinion.other, cursor.number) == cursor.hash:
                raise ChainError(
                    f"{source.name} is behind at block {target.number}, and {opinion.other.name} has block {cursor.number}, to which "
                    "the index is complete: that one leads now"
                )
        if stands < cursor.number and target.number - stands <= RECENT:
            # Before anything is undone: headers that hash to their hashes must lead from there to the target.
            source.chain_to(target, max(0, stands))
        return stands

    def _undo(self, block: int) -> Cursor | None:
        with self._database.write() as writer:
            self._take(writer)
            entries = undo(writer, self._known, block)
            unconfirmed.clear(writer, above=block)
            cursor = cursor_of(writer)
        self._proof.forget()
        self._tell(Undone(block=block, entries=entries))
        return cursor

    # -- reading -----------------------------------------------------------------------------------------------

    def _read(
        self,
        source: Source,
        cursor: Cursor | None,
        target: Block,
        opinion: Opinion,
        begun: float,
        before: int,
    ) -> tuple[int, Cursor | None]:
        """Read from the cursor to the target; returns how many entries came, and where the cursor is."""
        first = self._start if cursor is None else cursor.number + 1
        chain = (
            source.chain_to(target, max(first, target.number - RECENT + 1))
            if first <= target.number
            else [target]
        )
        if cursor is not None and chain[0].number == first and chain[0].parent_hash != cursor.hash:
            raise ReplacedError(
                f"block {cursor.number} was replaced while {source.name} was asked: try again"
            )
        links = {block.number: block for block in chain}
        count = 0

        def fetch(start: int, end: int) -> tuple[Confirmed, Block]:
            last = links.get(end) or source.block(end)
            answered = self._fetch(source, start, end, links)
            return self._confirmed(source, start, last, opinion, answered), last

        ranges: Ranges[tuple[Confirmed, Block]] = Ranges(
            fetch,
            lambda found: len(found[0].answered.entries),
            self._span,
            idle=self.renew,
            every=self._lease.seconds / 3,
        )
        if first > target.number:  # a chain that is younger than the market: only its place is kept
            self._write([], target, cursor, links, alone=None)
            return 0, Cursor(target.number, target.hash, target.timestamp)
        ready: list[Answered] = []
        waiting, written, alone, enough = 0, time.monotonic(), None, self._enough
        beside: Beside | None = None
        with ExitStack() as stack:
            for start, end, (found, last) in seldom_collecting(ranges.each(first, target.number)):
                self._judge(found, opinion)
                if not found.complete and alone is None:
                    alone = start
                ready.append(found.answered)
                waiting += len(found.answered.entries)
                if waiting < enough and end < target.number and time.monotonic() - written < _OFTEN:
                    continue
                if beside is None and waiting >= enough and end < target.number:
                    beside, enough = self._begin_beside(stack, cursor), min(enough, _LESS)
                self._write(ready, last, cursor, links, alone=alone, beside=beside)
                cursor = Cursor(last.number, last.hash, last.timestamp)
                count += waiting
                ready, waiting, written, alone = [], 0, time.monotonic(), None
                self._progress(end, first, target.number, before + count, begun)
        return count, cursor

    def _fetch(self, source: Source, start: int, end: int, links: Mapping[int, Block]) -> Answered:
        answered = source.entries(start, end)
        for number, block_hash in answered.hashes.items():
            if number in links and links[number].hash != block_hash:
                raise ReplacedError(f"block {number} was replaced while {source.name} was asked: try again")
        chain = [links[number] for number in range(max(start, min(links)), end + 1) if number in links]
        for block in source.left_out(chain, answered):
            again = source.entries_at(block)
            there = [entry for entry in answered.entries if entry.pos >> SHIFT == block.number]
            if again.entries != there:
                raise TrailError(
                    f"{source.name} gives {len(there)} entries of block {block.number} in a range and {len(again.entries)} by its hash: it "
                    "hides some"
                )
        return answered

    # -- two endpoints -----------------------------------------------------------------------------------------

    def _confirmed(
        self, source: Source, start: int, last: Block, opinion: Opinion, answered: Answered
    ) -> Confirmed:
        """Ask the other endpoint about a range, if it can know of it. Runs in the thread that fetches."""
        if opinion.other is None or opinion.agreed is None or self._is_silent:
            return Confirmed(answered, complete=not self._endpoints.confirm)
        if last.number > opinion.agreed.number:
            return Confirmed(answered, complete=False)
        return confirmed(source, opinion.other, start, last, opinion.agreed, answered)

    def _judge(self, found: Confirmed, opinion: Opinion) -> None:
        for fault in found.faults:
            if isinstance(fault.error, TransportFault) and opinion.other is not None:
                self._is_silent = True
                self._endpoints.failed(opinion.other, fault.error)
            else:
                self._tell(fault)
        for liar in found.liars:
            self._endpoints.convict(liar)

    def _confirm_late(self, source: Source, cursor: Cursor | None, opinion: Opinion) -> Cursor | None:
        """Confirm what was read while no other endpoint had it; what is not so is undone. Returns where the cursor is."""
        if cursor is None or opinion.other is None or opinion.agreed is None:
            return cursor
        with self._database.read() as reader:
            first = unconfirmed.first_of(reader)
        last = min(cursor.number, opinion.agreed.number)
        if first is None or first > last:
            return cursor

        def fetch(start: int, end: int) -> Confirmed:
            answered = source.entries(start, end)
            return self._confirmed(source, start, source.block(end), opinion, answered)

        ranges: Ranges[Confirmed] = Ranges(
            fetch,
            lambda found: len(found.answered.entries),
            self._span,
            idle=self.renew,
            every=self._lease.seconds / 3,
        )
        for start, end, found in ranges.each(first, last):
            self._judge(found, opinion)
            if not found.complete:
                break
            with self._database.read() as reader:
                is_same = entries_between(reader, start, end) == found.answered.entries
            if not is_same:
                return self._undo(start - 1)
            with self._database.write() as writer:
                self._take(writer)
                unconfirmed.confirm(writer, end, is_all=end == cursor.number)
        return cursor

    def _write(
        self,
        ready: Sequence[Answered],
        last: Block,
        cursor: Cursor | None,
        links: Mapping[int, Block],
        *,
        alone: int | None,
        beside: Beside | None = None,
    ) -> None:
        blocks = block_rows(ready, last, links)
        check_times(blocks, None if cursor is None else (cursor.number, cursor.time))
        write = partial(write_answers, known=self._known, pending=self._proof.pending)
        write = partial(write, ready=ready, blocks=blocks, alone=alone)
        try:
            if beside is not None:
                with self._database.read() as reader:
                    heads = write(reader, recorder := Recorder())
                at = None if cursor is None else (cursor.number, cursor.hash, cursor.time)
                beside.write(at, recorder.statements)
            else:
                with self._database.write() as writer:
                    self._take(writer)
                    if cursor_of(writer) != cursor:
                        raise DatabaseError(f"{self._database.name} was changed by another process meanwhile")
                    if cursor is None:
                        drop_indexes(writer)
                    heads = write(writer, writer)
        except ConflictError as exc:
            raise TrailError(DOUBLED) from exc
        self._known.written(heads)

    def _begin_beside(self, stack: ExitStack, cursor: Cursor | None) -> Beside | None:
        """Start the process that writes, where the database is a file."""
        if self._database.file is None:
            return None
        with self._database.write() as writer:
            self._take(writer)
            if cursor is None:
                drop_indexes(writer)
        return stack.enter_context(Beside(self._database.file, self._lease))

    def _progress(self, block: int, first: int, target: int, entries: int, begun: float) -> None:
        seconds = max(time.monotonic() - begun, 1e-6)
        left = seconds * (target - block) / (block - first + 1)
        self._tell(Progress(block=block, target=target, entries=entries, rate=entries / seconds, left=left))

    # -- proof -------------------------------------------------------------------------------------------------

    def _prove(self, source: Source, target: Block, opinion: Opinion) -> None:
        other = opinion.other if opinion.agreed == target and not self._is_silent else None
        try:
            subjects = self._proof.compare(source, other, target)
        except FalseEntriesError:
            with self._database.read() as reader:
                proved = last_proved(reader)
            self._undo(proved)
            raise
        if subjects is None or not opinion.may_prove:
            return
        with self._database.write() as writer:
            self._take(writer)
            writer.execute(
                "UPDATE blocks SET proved = 1 WHERE number = ? AND hash = ?", (target.number, target.hash)
            )
        self._tell(Proved(block=target.number, subjects=subjects))


def _stops(cursor: Cursor | None, target: Block, opinion: Opinion) -> list[Block]:
    """Return the blocks to read to: first to the newest one that another endpoint has too, so that everything up to it is confirmed."""
    agreed = opinion.agreed
    if (
        agreed is None
        or agreed.number >= target.number
        or (cursor is not None and cursor.number >= agreed.number)
    ):
        return [target]
    return [agreed, target]


def cursor_of(reader: Reader) -> Cursor | None:
    """Return up to where the index is complete, or None before any block."""
    row = reader.row("SELECT number, hash, time FROM blocks ORDER BY number DESC LIMIT 1")
    return None if row is None else Cursor(*row)
