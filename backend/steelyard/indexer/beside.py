"""Writes rows from a process of its own, so that one core decodes and folds while the other one writes (docs/index.md).

Only into a file. A transaction is handed over as a whole; while it is under way the next one is prepared. What was handed over is in the
database after :meth:`Beside.wait`, or not at all: the other process takes the lease and compares the cursor in the same transaction,
as its master would, and ends when its master does.
"""

from __future__ import annotations

import json
import marshal
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import IO, Final

from steelyard.errors import DatabaseError, LeaseError, SteelyardError, TrailError
from steelyard.indexer.database import ConflictError, Database, open_database
from steelyard.indexer.lease import Lease

CursorRow = tuple[int, bytes, int]
"""Number, hash and time of the block that an index is complete to."""
Statement = tuple[str, str, list[Sequence[object]]]
"""``insert`` and a table, or ``many`` and a statement; and its rows."""

DOUBLED: Final = "an entry came that the index has already: the endpoint doubles some"
_CURSOR: Final = "SELECT number, hash, time FROM blocks ORDER BY number DESC LIMIT 1"
_MARSHAL: Final = 2
"""The newest version that does not look for objects that occur twice: half the time."""
_PATIENCE: Final = 20.0


class Recorder:
    """Keeps the rows that would be written."""

    def __init__(self) -> None:
        """Start empty."""
        self.statements: list[Statement] = []

    def many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """Keep a statement and its rows."""
        self.statements.append(("many", sql, list(rows)))

    def insert(self, table: str, rows: Sequence[Sequence[object]]) -> None:
        """Keep rows of a table."""
        if rows:
            self.statements.append(("insert", table, list(rows)))


class Beside(AbstractContextManager["Beside"]):
    """The other process, with at most one transaction under way. For one thread."""

    def __init__(self, file: Path, lease: Lease) -> None:
        """Start it.

        Args:
            file: the index, which exists.
            lease: held by this process; the other one renews it.
        """
        command = [
            sys.executable,
            "-m",
            "steelyard.indexer.beside",
            str(file),
            lease.holder,
            str(lease.seconds),
        ]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._under_way = False

    def write(self, cursor: CursorRow | None, statements: Sequence[Statement]) -> None:
        """Hand a transaction over, when the one before it has ended.

        Args:
            cursor: where the index must be before it.
            statements: in their order.

        Raises:
            DatabaseError: as :meth:`wait`, about the one before it.
        """
        data = marshal.dumps((cursor, list(statements)), _MARSHAL)
        self.wait()
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(len(data).to_bytes(8, "big") + data)
            self._process.stdin.flush()
        except OSError as exc:
            raise DatabaseError("the process that writes the index ended: try again") from exc
        self._under_way = True

    def wait(self) -> None:
        """Wait until what was handed over is in the database.

        Raises:
            TrailError: a row was there already.
            LeaseError: another process writes this index, or did meanwhile.
            DatabaseError: the database failed, or the process ended.
        """
        if not self._under_way:
            return
        self._under_way = False
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise DatabaseError("the process that writes the index ended: try again")
        name, message = json.loads(line)
        if name == ConflictError.__name__:
            raise TrailError(DOUBLED)
        if name:
            raise (LeaseError if name == LeaseError.__name__ else DatabaseError)(message)

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it, after what is under way."""
        try:
            if kind is None:
                self.wait()
        finally:
            self._end()

    def _end(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.close()
        except OSError:
            pass  # it had ended
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def _serve(database: Database, lease: Lease, given: IO[bytes], told: IO[bytes]) -> None:
    while head := given.read(8):
        size = int.from_bytes(head, "big")
        data = given.read(size)
        if len(data) != size:
            return  # who sent it is gone
        answer = ("", "")
        try:
            _apply(database, lease, *marshal.loads(data))
        except SteelyardError as exc:
            answer = (type(exc).__name__, str(exc))
        told.write(json.dumps(answer).encode() + b"\n")
        told.flush()


def _apply(
    database: Database, lease: Lease, cursor: CursorRow | None, statements: Sequence[Statement]
) -> None:
    with database.write() as writer:
        if lease.hold(writer):
            raise LeaseError("the right to write the index was lost and won again: start the step anew")
        if writer.row(_CURSOR) != cursor:
            raise DatabaseError(f"{database.name} was changed by another process meanwhile")
        for what, name, rows in statements:
            if what == "insert":
                writer.insert(name, rows)
            else:
                writer.many(name, rows)


def main() -> None:
    """Run as that process."""
    # Ctrl-C is for the one that started us; when he ends, our input does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    file, holder, seconds = sys.argv[1:]
    database = open_database(Path(file))
    try:
        _serve(database, Lease(holder=holder, seconds=float(seconds)), sys.stdin.buffer, sys.stdout.buffer)
    finally:
        database.close()


if __name__ == "__main__":
    main()
