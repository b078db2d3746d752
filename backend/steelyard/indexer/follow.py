"""Follows the chain into the database: docs/index.md, "Following the chain".

One step brings the index to the newest block or leaves it as it was at some block before: rows, heads and the cursor (the newest row
of ``blocks``) are written in one transaction for each range, and only by who holds the lease.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from steelyard.chain.wire import Block
from steelyard.domain.types import Address
from steelyard.errors import ChainError, DatabaseError, LeaseError, NotFoundError, SteelyardError, TrailError
from steelyard.indexer.confirm import Confirmed, confirmed
from steelyard.indexer.database import ConflictError, Database, Reader, Writer, drop_indexes, make_indexes
from steelyard.indexer.fold import fold
from steelyard.indexer.known import Known
from steelyard.indexer.lease import Lease
from steelyard.indexer.ranges import Ranges, Span, seldom_collecting
from steelyard.indexer.report import Fault, Progress, Proved, Report, Step, Undone
from steelyard.indexer.schema import SHIFT
from steelyard.indexer.source import Answered, ReplacedError, Source
from steelyard.indexer.store import write_entities, write_entries
from steelyard.indexer.undo import undo

_RECENT: Final = 256
"""Blocks below the target whose headers are read one by one."""
_FAR: Final = 16
"""Blocks that the chain may have grown meanwhile before the heads are asked for: nodes keep the state of some 128."""
_PATIENCE: Final = 3
"""Steps for which an endpoint may be behind the index before that counts as a shorter chain."""
_ROWS: Final = 64
_TURN: Final = 100
"""Heads that are asked for at each proof besides those that changed."""
_ENOUGH: Final = 20_000
"""Entries that are written at once where the endpoint gives fewer in a range."""
_OFTEN: Final = 2.0
"""Seconds after which they are written in any case."""


BlockRow = tuple[int, bytes, bytes | None, int, int]
"""A row of ``blocks``."""


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
        """
        self._database = database
        self._sources = list(sources)
        self._contracts = contracts
        self._names = {bytes(address): name for name, address in contracts.items()}
        self._start = start_block
        self._lease = lease
        self._confirm = confirm and len(self._sources) > 1
        self._tell = tell
        self._known = Known(contracts)
        self._span = Span()
        self._pending: set[tuple[bytes, bytes]] | None = None
        self._behind = 0
        self._turn = (b"", b"")
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
        for _ in range(len(self._sources)):
            source = self._sources[0]
            try:
                step = self._step(source)
                self._doubts = 0
                return step
            except (TrailError, ChainError, NotFoundError) as exc:
                self._known.forget()
                self._pending = None
                self._tell(Fault(endpoint=source.name, error=exc))
                # Who lied is worth more than who was down.
                if first is None or (isinstance(exc, TrailError) and not isinstance(first, TrailError)):
                    first = exc
                self._sources.append(self._sources.pop(0))
            except BaseException:
                self._known.forget()
                self._pending = None
                raise
        assert first is not None
        if isinstance(first, TrailError):
            self._doubt()
        raise first

    def _doubt(self) -> None:
        """Go back further each time that no endpoint leads on: something may have been hidden before the last proof.

        A proof asks about the subjects that had entries, and some others. What was hidden of the rest comes out later.
        """
        proved = self._last_proved()
        if self._doubts and proved >= self._start:
            self._undo(max(-1, proved - (_RECENT << 2 * (self._doubts - 1))))
        self._doubts += 1

    def _step(self, source: Source) -> Step:
        target = source.newest()
        cursor = self._hold()
        before, undone, entries = cursor, None, 0
        if cursor is not None and cursor.hash != target.hash:
            stands = self._standing(source, cursor, target)
            if stands is None:
                return Step(block=cursor.number, moved=False, behind=True)
            if stands < cursor.number:
                undone = stands
                cursor = self._undo(stands)
        self._behind = 0
        begun = time.monotonic()
        while cursor is None or cursor.hash != target.hash:
            count, cursor = self._read(source, cursor, target, begun, entries)
            entries += count
            newest = source.newest()
            if newest.number <= target.number + _FAR:
                break
            target = newest
        with self._database.write() as writer:
            self._take(writer)
            make_indexes(writer)
        self._prove(source, target)
        return Step(
            block=target.number,
            moved=before is None or before.hash != target.hash,
            undone=undone,
            entries=entries,
        )

    def _hold(self) -> Cursor | None:
        with self._database.write() as writer:
            self._take(writer)
            return cursor_of(writer)

    def _take(self, writer: Writer) -> None:
        if self._lease.hold(writer):
            self._known.forget()
            self._pending = None

    def renew(self) -> None:
        """Renew the lease while there is nothing to write.

        Raises:
            LeaseError: another process has it.
        """
        with self._database.write() as writer:
            if self._lease.hold(writer):
                raise LeaseError("the right to write the index was lost and won again: start the step anew")

    # -- re-organisations --------------------------------------------------------------------------------------

    def _standing(self, source: Source, cursor: Cursor, target: Block) -> int | None:
        """Return the newest block of the index that is on the chain to ``target``; -1 for none, None to wait."""
        if cursor.number == target.number - 1 and cursor.hash == target.parent_hash:
            return cursor.number
        stands = self._newest_standing(source, target)
        if cursor.number > target.number and self._newest_row(target.number) == stands:
            # Nothing contradicts the index: the endpoint is behind, or the chain became shorter. Time tells.
            self._behind += 1
            if self._behind <= _PATIENCE:
                return None
        return stands

    def _newest_row(self, number: int) -> int:
        with self._database.read() as reader:
            found = reader.row("SELECT max(number) FROM blocks WHERE number <= ?", (number,))
        return -1 if found is None or found[0] is None else int(found[0])

    def _newest_standing(self, source: Source, target: Block) -> int:
        below, count = target.number + 1, 1
        query = "SELECT number, hash FROM blocks WHERE number < ? ORDER BY number DESC LIMIT ?"
        while True:
            with self._database.read() as reader:
                rows = reader.rows(query, (below, count))
            if not rows:
                return -1
            for (number, block_hash), block in zip(
                rows, source.blocks([number for number, _ in rows]), strict=True
            ):
                if block is not None and block.hash == block_hash:
                    return int(number)
            below, count = rows[-1][0], min(_ROWS, count * 4)

    def _undo(self, block: int) -> Cursor | None:
        with self._database.write() as writer:
            self._take(writer)
            entries = undo(writer, self._known, block)
            cursor = cursor_of(writer)
        self._pending = None
        self._tell(Undone(block=block, entries=entries))
        return cursor

    # -- reading -----------------------------------------------------------------------------------------------

    def _read(
        self, source: Source, cursor: Cursor | None, target: Block, begun: float, before: int
    ) -> tuple[int, Cursor | None]:
        """Read from the cursor to the target; returns how many entries came, and where the cursor is."""
        first = self._start if cursor is None else cursor.number + 1
        chain = (
            source.chain_to(target, max(first, target.number - _RECENT + 1))
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
            return self._fetch(source, start, end, links), last

        ranges: Ranges[tuple[Confirmed, Block]] = Ranges(
            fetch,
            lambda found: len(found[0].answered.entries),
            self._span,
            idle=self.renew,
            every=self._lease.seconds / 3,
        )
        if first > target.number:  # a chain that is younger than the market: only its place is kept
            self._write([], target, cursor, links)
            return 0, Cursor(target.number, target.hash, target.timestamp)
        ready: list[Answered] = []
        waiting, written = 0, time.monotonic()
        for _, end, (found, last) in seldom_collecting(ranges.each(first, target.number)):
            for fault in found.faults:
                self._tell(fault)
            ready.append(found.answered)
            waiting += len(found.answered.entries)
            if waiting < _ENOUGH and end < target.number and time.monotonic() - written < _OFTEN:
                continue
            self._write(ready, last, cursor, links)
            cursor = Cursor(last.number, last.hash, last.timestamp)
            count += waiting
            ready, waiting, written = [], 0, time.monotonic()
            self._progress(end, first, target.number, before + count, begun)
        return count, cursor

    def _fetch(self, source: Source, start: int, end: int, links: Mapping[int, Block]) -> Confirmed:
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
        if not self._confirm:
            return Confirmed(answered, ())
        return confirmed(source, self._sources[1], start, end, answered)

    def _write(
        self, ready: Sequence[Answered], last: Block, cursor: Cursor | None, links: Mapping[int, Block]
    ) -> None:
        known = self._known
        rows: dict[int, BlockRow] = {}
        rows[last.number] = (last.number, last.hash, last.parent_hash, last.timestamp, 0)
        try:
            with self._database.write() as writer:
                self._take(writer)
                if cursor_of(writer) != cursor:
                    raise DatabaseError(f"{self._database.name} was changed by another process meanwhile")
                if cursor is None:
                    drop_indexes(writer)
                for answered in ready:
                    for number, block_hash in answered.hashes.items():
                        parent = links[number].parent_hash if number in links else None
                        rows.setdefault(number, (number, block_hash, parent, answered.times[number], 0))
                check_times([*rows.values()], cursor)
                entries = [entry for answered in ready for entry in answered.entries]
                if entries:
                    pending = self._load_pending(writer)
                    known.load(writer, entries)
                    batch = fold(known, entries)
                    write_entities(writer, known, batch)
                    write_entries(writer, batch)
                    pending.update(batch.heads)
                writer.insert("blocks", [rows[number] for number in sorted(rows)])
        except ConflictError as exc:
            raise TrailError("an entry came that the index has already: the endpoint doubles some") from exc
        known.written()

    def _progress(self, block: int, first: int, target: int, entries: int, begun: float) -> None:
        seconds = max(time.monotonic() - begun, 1e-6)
        left = seconds * (target - block) / (block - first + 1)
        self._tell(Progress(block=block, target=target, entries=entries, rate=entries / seconds, left=left))

    # -- proof -------------------------------------------------------------------------------------------------

    def _load_pending(self, reader: Reader) -> set[tuple[bytes, bytes]]:
        """Return contract and subject of every head that changed since the last proof."""
        if self._pending is None:
            found = reader.row("SELECT max(number) FROM blocks WHERE proved = 1")
            proved = -1 if found is None or found[0] is None else found[0]
            query = "SELECT contract, subject FROM heads WHERE pos >= ?"
            self._pending = {(row[0], row[1]) for row in reader.rows(query, (proved + 1 << SHIFT,))}
        return self._pending

    def _prove(self, source: Source, target: Block) -> None:
        with self._database.read() as reader:
            at = reader.row("SELECT hash, proved FROM blocks WHERE number = ?", (target.number,))
            if at == (target.hash, 1):
                return
            if at is None or at[0] != target.hash:
                raise ReplacedError(
                    f"block {target.number} was replaced while {source.name} was asked: try again"
                )
            pairs = sorted(self._load_pending(reader).union(self._some(reader)))
            heads = dict.fromkeys(pairs, b"")
            for pair in pairs:
                row = reader.row("SELECT head FROM heads WHERE contract = ? AND subject = ?", pair)
                assert row is not None
                heads[pair] = row[0]
        asked = self._sources[: 2 if self._confirm else 1]
        try:
            for one in asked:
                self._compare(one, pairs, heads, target, needed=one is source)
        except TrailError as exc:
            if self._hash_now(source, target.number) != target.hash:
                raise ReplacedError(
                    f"block {target.number} was replaced while its heads were asked: try again"
                ) from exc
            self._undo(self._last_proved())
            raise
        with self._database.write() as writer:
            self._take(writer)
            writer.execute(
                "UPDATE blocks SET proved = 1 WHERE number = ? AND hash = ?", (target.number, target.hash)
            )
        self._pending = set()
        self._tell(Proved(block=target.number, subjects=len(pairs)))

    def _some(self, reader: Reader) -> list[tuple[bytes, bytes]]:
        """Return contract and subject of some heads, other ones each time: who hides all that is new about a subject is found too."""
        query = (
            "SELECT contract, subject FROM heads WHERE contract > ? OR (contract = ? AND subject > ?)"
            " ORDER BY contract, subject LIMIT ?"
        )
        contract, subject = self._turn
        found = [(row[0], row[1]) for row in reader.rows(query, (contract, contract, subject, _TURN))]
        self._turn = found[-1] if len(found) == _TURN else (b"", b"")
        return found

    def _compare(
        self,
        source: Source,
        pairs: Sequence[tuple[bytes, bytes]],
        heads: Mapping[tuple[bytes, bytes], bytes],
        target: Block,
        *,
        needed: bool,
    ) -> None:
        try:
            answers = source.heads(pairs, target.hash)
        except ChainError as exc:
            if needed:
                raise
            self._tell(Fault(endpoint=source.name, error=exc))
            return
        for (contract, subject), answer in zip(pairs, answers, strict=True):
            if heads[contract, subject] != answer:
                raise TrailError(
                    f"the entries about 0x{subject.hex()} do not lead to its head in {self._names[contract]} at block {target.number} "
                    f"as {source.name} has it: it, or the endpoint that gave the entries, hides or alters some"
                )

    def _hash_now(self, source: Source, number: int) -> bytes | None:
        block = source.blocks([number])[0]
        return None if block is None else block.hash

    def _last_proved(self) -> int:
        with self._database.read() as reader:
            found = reader.row("SELECT max(number) FROM blocks WHERE proved = 1")
        return -1 if found is None or found[0] is None else int(found[0])


def cursor_of(reader: Reader) -> Cursor | None:
    """Return up to where the index is complete, or None before any block."""
    row = reader.row("SELECT number, hash, time FROM blocks ORDER BY number DESC LIMIT 1")
    return None if row is None else Cursor(*row)


def check_times(rows: Sequence[BlockRow], cursor: Cursor | None) -> None:
    """Refuse blocks whose times go back.

    Raises:
        ChainError: they do.
    """
    times = sorted((row[0], row[3]) for row in rows)
    if cursor is not None:
        times.insert(0, (cursor.number, cursor.time))
    for (before, earlier), (after, later) in pairwise(times):
        if later < earlier:
            raise ChainError(f"block {after} is said to be older than block {before}")
