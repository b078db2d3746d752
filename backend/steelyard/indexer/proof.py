"""The proof of an index at a block: the heads of its subjects are those that the contracts have there.

The contracts are asked by calls, which are cheap and which an endpoint can answer as it likes. Where an answer is not what the fold has,
the state root of the header decides: by the proof of whoever brings one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from steelyard.chain.wire import Block
from steelyard.errors import ChainError, ProofError, TrailError
from steelyard.indexer.database import Database, Reader
from steelyard.indexer.endpoints import Endpoints
from steelyard.indexer.evidence import prove_heads
from steelyard.indexer.report import Fault, Report
from steelyard.indexer.schema import SHIFT
from steelyard.indexer.source import LieError, ReplacedError, Source

_TURN: Final = 100
"""Heads that are asked for at each proof besides those that changed."""
_SAMPLE: Final = 256
"""False heads of an endpoint that are proved at most where another one has them right."""

Pair = tuple[bytes, bytes]
"""Address of a contract, and a subject of it."""


class FalseEntriesError(TrailError):
    """The entries in the index do not lead to the heads."""


class Proof:
    """Compares heads. For one thread."""

    def __init__(
        self,
        database: Database,
        contracts: Mapping[str, bytes],
        endpoints: Endpoints,
        tell: Callable[[Report], None],
    ) -> None:
        """Remember everything.

        Args:
            database: the index.
            contracts: addresses by name.
            endpoints: where to convict who gives false heads.
            tell: called with what is found out.
        """
        self._database = database
        self._names = {bytes(address): name for name, address in contracts.items()}
        self._endpoints = endpoints
        self._tell = tell
        self._pending: set[Pair] | None = None
        self._turn: Pair = (b"", b"")

    def forget(self) -> None:
        """The database was changed by somebody else, or could not be."""
        self._pending = None

    def pending(self, reader: Reader) -> set[Pair]:
        """Return contract and subject of every head that changed since the last comparison; to be added to."""
        if self._pending is None:
            query = "SELECT contract, subject FROM heads WHERE pos >= ?"
            limit = last_proved(reader) + 1 << SHIFT
            self._pending = {(row[0], row[1]) for row in reader.rows(query, (limit,))}
        return self._pending

    def compare(self, source: Source, other: Source | None, target: Block) -> int | None:
        """Compare all heads that changed, and some others, with the contracts' at the newest block of the index.

        Args:
            source: whom to ask.
            other: whom to ask besides.
            target: that block, checked.

        Returns:
            How many subjects were compared; None if the block was proved before.

        Raises:
            FalseEntriesError: the index has false entries, or both it and a proof are to be doubted.
            ChainError: the endpoint failed, or the block was replaced.
        """
        with self._database.read() as reader:
            at = reader.row("SELECT hash, proved FROM blocks WHERE number = ?", (target.number,))
            if at == (target.hash, 1):
                return None
            if at is None or at[0] != target.hash:
                raise _replaced(source, target)
            pairs = sorted(self.pending(reader).union(self._some(reader)))
            heads = _heads(reader, pairs)
        wrong = {source: _wrong(source, heads, target)}
        if other is not None:
            try:
                wrong[other] = _wrong(other, heads, target)
            except ChainError as exc:
                self._tell(Fault(endpoint=other.name, error=exc))
        if any(wrong.values()):
            self._judge(wrong, heads, target)
        self._pending = set()
        return len(pairs)

    def _some(self, reader: Reader) -> list[Pair]:
        """Return contract and subject of some heads, other ones each time: who hides all that is new about a subject is found too."""
        query = (
            "SELECT contract, subject FROM heads WHERE contract > ? OR (contract = ? AND subject > ?)"
            " ORDER BY contract, subject LIMIT ?"
        )
        contract, subject = self._turn
        found = [(row[0], row[1]) for row in reader.rows(query, (contract, contract, subject, _TURN))]
        self._turn = found[-1] if len(found) == _TURN else (b"", b"")
        return found

    # -- where an answer is not what the fold has ----------------------------------------------------------------

    def _judge(
        self, wrong: Mapping[Source, Sequence[Pair]], heads: Mapping[Pair, bytes], target: Block
    ) -> None:
        is_vouched = not all(wrong.values())
        for source, pairs in wrong.items():
            if not pairs:
                continue
            asked = pairs[:_SAMPLE] if is_vouched else pairs
            false, prover = self._false(
                asked, heads, target, [source, *(one for one in wrong if one is not source)]
            )
            if false is not None:
                self._refuse(source, prover, false, target)
            contract, subject = pairs[0]
            error = LieError(
                f"{source.name} gives a false head of 0x{subject.hex()} in {self._names[contract]} at block {target.number}, as the state "
                f"root of its header proves, and of {len(pairs) - 1} others"
            )
            self._endpoints.convict(source)
            self._tell(Fault(endpoint=source.name, error=error))

    def _false(
        self, pairs: Sequence[Pair], heads: Mapping[Pair, bytes], target: Block, provers: Iterable[Source]
    ) -> tuple[Pair | None, Source | None]:
        """Return the first of some subjects whose head is not the fold's, and who proves it; None where all are."""
        for prover in provers:
            try:
                proved = prove_heads(prover, target, pairs)
            except (ChainError, ProofError):
                continue  # the state is gone, or the proof is false: the other one may have it
            for pair, head in zip(pairs, proved, strict=True):
                if head != heads[pair]:
                    return pair, prover
            return None, prover
        return pairs[0], None

    def _refuse(self, source: Source, prover: Source | None, pair: Pair, target: Block) -> None:
        if hash_now(source, target.number) != target.hash:
            raise _replaced(source, target)
        contract, subject = pair
        who = f"as {source.name} has it" if prover is None else f"as {prover.name} proves"
        raise FalseEntriesError(
            f"the entries about 0x{subject.hex()} do not lead to its head in {self._names[contract]} at block {target.number} {who}: "
            f"{'it, or ' if prover is None else ''}the endpoint that gave the entries{',' if prover is None else ''} hides or alters some"
        )


def last_proved(reader: Reader) -> int:
    """Return the number of the newest proved block; -1 for none."""
    found = reader.row("SELECT max(number) FROM blocks WHERE proved = 1")
    return -1 if found is None or found[0] is None else int(found[0])


def hash_now(source: Source, number: int) -> bytes | None:
    """Return the hash that an endpoint has for a block now."""
    block = source.blocks([number])[0]
    return None if block is None else block.hash


def _replaced(source: Source, target: Block) -> ReplacedError:
    return ReplacedError(f"block {target.number} was replaced while {source.name} was asked: try again")


def _heads(reader: Reader, pairs: Iterable[Pair]) -> dict[Pair, bytes]:
    heads = {}
    for pair in pairs:
        row = reader.row("SELECT head FROM heads WHERE contract = ? AND subject = ?", pair)
        assert row is not None
        heads[pair] = row[0]
    return heads


def _wrong(source: Source, heads: Mapping[Pair, bytes], target: Block) -> list[Pair]:
    """Return the subjects for which an endpoint has another head than the fold."""
    pairs = list(heads)
    answers = source.heads(pairs, target.hash)
    return [pair for pair, answer in zip(pairs, answers, strict=True) if answer != heads[pair]]
