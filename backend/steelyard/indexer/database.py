"""The database of the index, as its readers and its one writer see it: two dialects behind one interface.

Statements are in the common subset of SQLite and PostgreSQL, with ``?`` for parameters (so no ``?`` stands in a literal). Bytes go in
and come out as ``bytes``, numbers as ``int``. What the dialects do differently is a method here: full text and bulk writing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

from steelyard.errors import ConfigError, DatabaseError
from steelyard.indexer import schema

Row = tuple[Any, ...]
"""A row: ``int``, ``str``, ``bytes`` or None in each place."""


class ConflictError(DatabaseError):
    """A row is there already."""


class Reader(ABC):
    """One consistent snapshot of the database. For the thread that opened it, until its context ends."""

    dialect: str
    """``sqlite`` or ``postgres``."""

    @abstractmethod
    def rows(self, sql: str, params: Sequence[object] = ()) -> list[Row]:
        """Return all rows of a query.

        Raises:
            DatabaseError: the database failed, or the query took too long.
        """

    @abstractmethod
    def row(self, sql: str, params: Sequence[object] = ()) -> Row | None:
        """Return the first row of a query, or None."""

    @abstractmethod
    def each(self, sql: str, params: Sequence[object] = ()) -> Iterator[Row]:
        """Yield the rows of a query as they come, in constant memory."""

    @abstractmethod
    def matching_cards(self, words: Sequence[str]) -> tuple[str, tuple[object, ...]]:
        """Return a query, to stand in brackets, for the cards in which every word occurs, or begins one.

        Args:
            words: letters and digits only, at least one: :func:`words_of`.

        Returns:
            The query and its parameters. Its columns are ``folder`` and ``rank``; the smallest rank fits best.
        """

    @abstractmethod
    def matching_names(self, words: Sequence[str]) -> tuple[str, tuple[object, ...]]:
        """Return the like for the names of assets; the columns are ``asset`` and ``rank``."""


class Writer(Reader):
    """A transaction under way. It sees what it has written."""

    @abstractmethod
    def execute(self, sql: str, params: Sequence[object] = ()) -> int:
        """Run a statement and return how many rows it changed."""

    @abstractmethod
    def many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Run a statement once for each row of parameters."""

    @abstractmethod
    def insert(self, table: str, rows: Sequence[Sequence[object]]) -> None:
        """Add rows that are not there yet, with all columns of ``schema.COLUMNS`` in order; the fastest way.

        Raises:
            ConflictError: one of them is.
        """

    @abstractmethod
    def now(self) -> float:
        """Return the time by which leases run out, Unix seconds: the machine's, or the database server's."""


LATER: Final = "indexes_later"
"""Row of ``meta`` while the indexes for questions are still to be made."""


def drop_indexes(writer: Writer) -> None:
    """Drop the indexes for questions, before everything is read from the chain."""
    for name in schema.INDEXES:
        writer.execute(f"DROP INDEX IF EXISTS {name}")
    writer.execute("INSERT INTO meta (name, value) VALUES (?, 'yes') ON CONFLICT (name) DO NOTHING", (LATER,))


def make_indexes(writer: Writer) -> None:
    """Make the indexes for questions if they were dropped."""
    if writer.execute("DELETE FROM meta WHERE name = ?", (LATER,)):
        for statement in schema.INDEXES.values():
            writer.execute(statement)


class Database(ABC):
    """A database with the tables of the index. Safe to use from several threads."""

    name: str
    """For messages: the file, or host and name. Never a password."""
    file: Path | None = None
    """The file, where it is one."""

    @abstractmethod
    def read(self) -> AbstractContextManager[Reader]:
        """Open a snapshot; it never waits for the writer.

        Raises:
            DatabaseError: the database cannot be read.
        """

    @abstractmethod
    def write(self) -> AbstractContextManager[Writer]:
        """Open a transaction: committed at the end, undone if the context ends by an exception.

        Whoever writes the index takes or renews its lease in it first (:meth:`steelyard.indexer.lease.Lease.hold`).

        Raises:
            DatabaseError: another transaction does not end, or the database failed.
        """

    @abstractmethod
    def check(self, *, full: bool = False) -> None:
        """Look whether the database is intact.

        Args:
            full: the indexes as well; slow.

        Raises:
            DatabaseError: it is not; says what to do.
        """

    @abstractmethod
    def clear(self) -> None:
        """Throw all tables away and make them anew, empty."""

    @abstractmethod
    def close(self) -> None:
        """Close all connections."""


def open_database(where: str | Path, *, readonly: bool = False) -> Database:
    """Open the index, with its tables; they are made if there are none.

    Args:
        where: a file, or ``postgresql://...``.
        readonly: only to read; then it must exist.

    Raises:
        DatabaseError: it cannot be opened, or was made by another version of this client.
        ConfigError: PostgreSQL is asked for and its library is not installed.
    """
    text = str(where)
    if text.startswith(("postgresql://", "postgres://")):
        try:
            from steelyard.indexer.postgres import PostgresDatabase
        except ImportError as exc:
            raise ConfigError(
                "an index in PostgreSQL needs the extra 'postgres': pip install 'steelyard[postgres]'"
            ) from exc
        return PostgresDatabase(text, readonly=readonly)
    from steelyard.indexer.sqlite import SqliteDatabase

    return SqliteDatabase(Path(where), readonly=readonly)


def words_of(text: str) -> tuple[str, ...]:
    """Return the words of a search as the full-text indexes have them: letters and digits, in lower case."""
    return tuple("".join(char if char.isalnum() else " " for char in text.lower()).split())
