"""Transactions over the service's own tables, in SQLite or PostgreSQL, apart from the index: deleting the one never harms the other.

Statements are in the common subset of both, with ``?`` for parameters (so no ``?`` stands in a literal). What lies here cannot be
built again from the chain, so SQLite flushes every commit to the disk (``synchronous=FULL``).
"""

from __future__ import annotations

import os
import sqlite3
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from steelyard.errors import ConfigError, DatabaseError

if TYPE_CHECKING:
    import psycopg

Row = tuple[Any, ...]

SCHEMA: Final = "steelyard_service"
"""Where the tables lie in PostgreSQL; that of the index is another one, and dropped when it is built anew."""
_WAIT: Final = 10
"""Seconds for a lock or a connection."""
_CONNECTIONS: Final = 4
_LOCK: Final = 7236837518404
_NO_FILE: Final = "the service's tables"


class Transaction(ABC):
    """A transaction under way; for the thread that opened it."""

    @abstractmethod
    def rows(self, sql: str, params: Sequence[object] = ()) -> list[Row]:
        """Return the rows of a query, or of a statement with ``RETURNING``."""

    @abstractmethod
    def execute(self, sql: str, params: Sequence[object] = ()) -> int:
        """Run a statement and return how many rows it changed."""

    @abstractmethod
    def each(self, sql: str, several: Iterable[Sequence[object]]) -> list[Row]:
        """Run a statement with each of several parameters, in their order; returns all the rows.

        PostgreSQL is sent all of them before it is waited for.
        """

    def row(self, sql: str, params: Sequence[object] = ()) -> Row | None:
        """Return the first row of a query, or None."""
        found = self.rows(sql, params)
        return found[0] if found else None


class Tables(ABC):
    """A database with some tables. Safe to use from several threads and processes."""

    @abstractmethod
    def write(self) -> AbstractContextManager[Transaction]:
        """Open a transaction: on the disk when its context ends, undone if that ends by an exception.

        Raises:
            DatabaseError: another transaction does not end, or the database failed.
        """

    @abstractmethod
    def read(self) -> AbstractContextManager[Transaction]:
        """Open a transaction that only reads.

        Raises:
            DatabaseError: the database failed.
        """

    @abstractmethod
    def close(self) -> None:
        """Close all connections."""


def open_tables(where: str | Path, statements: Sequence[str]) -> Tables:
    """Open a database and make what it lacks.

    Args:
        where: a file, or ``postgresql://...``.
        statements: ``CREATE ... IF NOT EXISTS``, with BYTEA, BIGINT and TEXT for types, which both databases take.

    Raises:
        DatabaseError: it cannot be opened.
        ConfigError: PostgreSQL is asked for and its library is not installed.
    """
    if str(where).startswith(("postgresql://", "postgres://")):
        return PostgresTables(str(where), statements)
    return SqliteTables(Path(where), statements)


class _SqliteTransaction(Transaction):
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, sql: str, params: Sequence[object] = ()) -> list[Row]:
        return self._connection.execute(sql, params).fetchall()

    def execute(self, sql: str, params: Sequence[object] = ()) -> int:
        return self._connection.execute(sql, params).rowcount

    def each(self, sql: str, several: Iterable[Sequence[object]]) -> list[Row]:
        return [row for params in several for row in self._connection.execute(sql, params)]


class SqliteTables(Tables):
    """Tables in a file that only its owner can read: secrets of webhooks lie in it."""

    def __init__(self, path: Path, statements: Sequence[str]) -> None:
        """Open or make the file."""
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as exc:
            raise DatabaseError(f"cannot open {path}: {exc.strerror}") from exc
        self._locks = {"write": threading.Lock(), "read": threading.Lock()}
        self._open: dict[str, sqlite3.Connection] = {}
        with self.write() as made:
            for statement in statements:
                made.execute(statement)

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Open a transaction that holds the file's lock."""
        with self._begun("write", "BEGIN IMMEDIATE") as transaction:
            yield transaction

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """Open a snapshot."""
        with self._begun("read", "BEGIN") as transaction:
            yield transaction

    def close(self) -> None:
        """Close both connections."""
        for kind, lock in self._locks.items():
            with lock:
                if (connection := self._open.pop(kind, None)) is not None:
                    connection.close()

    @contextmanager
    def _begun(self, kind: str, begin: str) -> Iterator[Transaction]:
        with self._locks[kind]:
            try:
                connection = self._open.get(kind)
                if connection is None:
                    connection = self._open[kind] = self._connect()
                connection.execute(begin)
                try:
                    yield _SqliteTransaction(connection)
                    connection.commit()
                except BaseException:
                    connection.rollback()
                    raise
            except sqlite3.Error as exc:
                raise DatabaseError(f"{_NO_FILE} in {self._path}: {exc}") from exc

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=_WAIT, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        return connection


class _PostgresTransaction(Transaction):
    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self._connection = connection

    def rows(self, sql: str, params: Sequence[object] = ()) -> list[Row]:
        return self._connection.cursor(binary=True).execute(_translated(sql), params).fetchall()

    def execute(self, sql: str, params: Sequence[object] = ()) -> int:
        return self._connection.cursor(binary=True).execute(_translated(sql), params).rowcount

    def each(self, sql: str, several: Iterable[Sequence[object]]) -> list[Row]:
        cursor = self._connection.cursor(binary=True)
        cursor.executemany(_translated(sql), several, returning=True)
        found: list[Row] = []
        more = cursor.pgresult is not None
        while more:
            if cursor.description is not None:
                found += cursor.fetchall()
            more = bool(cursor.nextset())
        return found


class PostgresTables(Tables):
    """Tables in the schema ``steelyard_service`` of a PostgreSQL database."""

    def __init__(self, url: str, statements: Sequence[str]) -> None:
        """Connect, and make the tables."""
        try:
            from psycopg_pool import ConnectionPool
        except ImportError as exc:
            raise ConfigError(
                "PostgreSQL needs the extra 'postgres': pip install 'steelyard[postgres]'"
            ) from exc
        options = f"-c search_path={SCHEMA} -c lock_timeout={_WAIT}s -c statement_timeout={3 * _WAIT}s"
        self._pool: ConnectionPool[psycopg.Connection[Row]] = ConnectionPool(
            url,
            kwargs={"options": options, "connect_timeout": _WAIT, "application_name": "steelyard"},
            min_size=0,
            max_size=_CONNECTIONS,
            timeout=_WAIT,
            num_workers=1,
            open=True,
            check=ConnectionPool.check_connection,
        )
        try:
            with self.write() as made:
                # Two processes may start at once.
                made.rows("SELECT pg_advisory_xact_lock(?)", (_LOCK,))
                made.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
                for statement in statements:
                    made.execute(statement)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Open a transaction."""
        import psycopg
        from psycopg_pool import PoolTimeout

        try:
            with self._pool.connection() as connection:
                yield _PostgresTransaction(connection)
        except (psycopg.Error, PoolTimeout) as exc:
            # The first line: the rest may show values.
            text = str(exc).strip().splitlines()
            raise DatabaseError(f"{_NO_FILE}: {text[0] if text else type(exc).__name__}") from exc

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """Open a transaction."""
        with self.write() as transaction:
            yield transaction

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()


@lru_cache(maxsize=512)
def _translated(sql: str) -> bytes:
    return sql.replace("%", "%%").replace("?", "%s").encode()
