"""The index in PostgreSQL, for services on more than one machine. All tables lie in the schema ``steelyard_index``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from steelyard.errors import ConfigError, DatabaseError
from steelyard.indexer import schema
from steelyard.indexer.database import ConflictError, Database, Reader, Row, Writer

SCHEMA: Final = "steelyard_index"
_LIMIT: Final = 30
"""Seconds for one statement of a reader."""
_WAIT: Final = 10
"""Seconds for a connection, a lock, and for a writer that has fallen silent within a transaction."""
_READERS: Final = 16
_CHUNK: Final = 1000

_PLAIN: Final = "regexp_replace(coalesce({}, ''), '[^[:alnum:]]+', ' ', 'g')"


def _vector(weights: Sequence[tuple[str, str]]) -> str:
    parts = (
        f"setweight(to_tsvector('simple', {_PLAIN.format(column)}), '{weight}')" for column, weight in weights
    )
    return " || ".join(parts)


# The order of bytes, as SQLite has it.
_CHANGES: Final = (
    ("BLOB", "BYTEA"),
    ("INTEGER", "BIGINT"),
    ("TEXT", 'TEXT COLLATE "C"'),
    (" WITHOUT ROWID", ""),
)
_CARDS: Final = _vector(
    (("title", "A"), ("tags", "B"), ("task", "C"), ("framework", "C"), ("licence", "C"), ("text", "D"))
)
_TEXT: Final = (
    f"ALTER TABLE cards ADD COLUMN words tsvector GENERATED ALWAYS AS ({_CARDS}) STORED",
    "CREATE INDEX cards_words ON cards USING gin (words)",
    f"ALTER TABLE assets ADD COLUMN words tsvector GENERATED ALWAYS AS ({_vector((('name', 'A'),))}) STORED",
    "CREATE INDEX assets_words ON assets USING gin (words)",
)


class _PostgresReader(Reader):
    """A connection in a transaction."""

    dialect = "postgres"

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self.connection = connection

    def rows(self, sql: str, params: Sequence[object] = ()) -> list[Row]:
        return self._run(sql, params).fetchall()

    def row(self, sql: str, params: Sequence[object] = ()) -> Row | None:
        return self._run(sql, params).fetchone()

    def each(self, sql: str, params: Sequence[object] = ()) -> Iterator[Row]:
        with self.connection.cursor("each", binary=True) as cursor:
            cursor.itersize = _CHUNK
            cursor.execute(_translated(sql), params)
            yield from cursor

    def matching_cards(self, words: Sequence[str]) -> tuple[str, tuple[object, ...]]:
        query = (
            "SELECT folder, -ts_rank(words, wanted) AS rank FROM cards, to_tsquery('simple', ?) AS wanted"
            " WHERE words @@ wanted"
        )
        return query, (_match(words),)

    def matching_names(self, words: Sequence[str]) -> tuple[str, tuple[object, ...]]:
        query = (
            "SELECT id AS asset, -ts_rank(words, wanted) AS rank FROM assets, to_tsquery('simple', ?) AS wanted"
            " WHERE words @@ wanted"
        )
        return query, (_match(words),)

    def _run(self, sql: str, params: Sequence[object]) -> psycopg.Cursor[Row]:
        # Binary, or every byte comes as two digits.
        cursor = self.connection.cursor(binary=True)
        return cursor.execute(_translated(sql), params)


class _PostgresWriter(_PostgresReader, Writer):
    """The connection that writes."""

    def execute(self, sql: str, params: Sequence[object] = ()) -> int:
        return self._run(sql, params).rowcount

    def many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        with self.connection.cursor() as cursor:
            cursor.executemany(_translated(sql), rows)

    def insert(self, table: str, rows: Sequence[Sequence[object]]) -> None:
        if not rows:
            return
        text = f"COPY {table} ({schema.column_list(table)}) FROM STDIN (FORMAT BINARY)"
        try:
            with self.connection.cursor() as cursor, cursor.copy(text) as copy:
                copy.set_types(_types(table))
                for row in rows:
                    copy.write_row(row)
        except psycopg.errors.UniqueViolation as exc:
            raise ConflictError(f"a row of {table} is there already") from exc

    def now(self) -> float:
        found = self.row("SELECT extract(epoch FROM clock_timestamp())::float8")
        assert found is not None
        return float(found[0])


class PostgresDatabase(Database):
    """An index in PostgreSQL. See :class:`steelyard.indexer.database.Database`."""

    def __init__(self, url: str, *, readonly: bool = False) -> None:
        """Connect; make the tables if there are none and it is not only to be read."""
        try:
            parts = psycopg.conninfo.conninfo_to_dict(url)
        except psycopg.Error as exc:
            raise ConfigError("the setting 'database' is no URL of PostgreSQL") from exc
        self.name = f"PostgreSQL {parts.get('host', 'localhost')}/{parts.get('dbname', '')}"
        self._readonly = readonly
        self._readers = self._pool(url, _READERS, f"-c statement_timeout={_LIMIT}s")
        self._writers = self._pool(
            url, 1, f"-c lock_timeout={_WAIT}s -c idle_in_transaction_session_timeout={_WAIT * 3}s"
        )
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    @contextmanager
    def read(self) -> Iterator[Reader]:
        """Open a snapshot."""
        with self._connection(self._readers, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY") as connection:
            yield _PostgresReader(connection)

    @contextmanager
    def write(self) -> Iterator[Writer]:
        """Open a transaction."""
        if self._readonly:
            raise DatabaseError(f"{self.name} was opened only to read")
        with self._connection(self._writers, "BEGIN") as connection:
            yield _PostgresWriter(connection)

    def check(self, *, full: bool = False) -> None:
        """PostgreSQL checks its pages itself: only that the tables can be read is looked at."""
        with self.read() as reader:
            for table in schema.COLUMNS:
                reader.row(f"SELECT {'count(*)' if full else '1'} FROM {table} LIMIT 1")

    def clear(self) -> None:
        """Drop the schema and make it anew, in one transaction."""
        with self.write() as writer:
            writer.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
            _make(writer)

    def close(self) -> None:
        """Close all connections."""
        self._readers.close()
        self._writers.close()

    def _pool(self, url: str, size: int, options: str) -> ConnectionPool[psycopg.Connection[Row]]:
        settings: dict[str, Any] = {
            "autocommit": True,
            "options": f"-c search_path={SCHEMA} {options}",
            "connect_timeout": _WAIT,
            "application_name": "steelyard",
            # A statement is planned once it has been run this often on a connection.
            "prepare_threshold": 3,
        }
        return ConnectionPool(
            url, kwargs=settings, min_size=0, max_size=size, open=True, timeout=_WAIT, num_workers=1
        )

    @contextmanager
    def _connection(
        self, pool: ConnectionPool[psycopg.Connection[Row]], begin: str
    ) -> Iterator[psycopg.Connection[Row]]:
        try:
            connection = self._begun(pool, begin)
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if not connection.closed:
                    connection.rollback()
                raise
            finally:
                pool.putconn(connection)
        except PoolTimeout as exc:
            raise DatabaseError(
                f"{self.name} gives no connection: is it running, and is there room?"
            ) from exc
        except (psycopg.OperationalError, psycopg.InternalError) as exc:
            raise self._failed(exc) from exc

    def _begun(self, pool: ConnectionPool[psycopg.Connection[Row]], begin: str) -> psycopg.Connection[Row]:
        """Return a connection in a transaction; one that the server has closed meanwhile is replaced."""
        while True:
            connection = pool.getconn()
            try:
                connection.execute(begin)
                return connection
            except psycopg.OperationalError:
                gone = connection.closed
                pool.putconn(connection)
                if not gone:
                    raise

    def _prepare(self) -> None:
        with self.read() as reader:
            there = reader.row("SELECT to_regclass(?)", (f"{SCHEMA}.meta",)) != (None,)
        if not there:
            if self._readonly:
                raise DatabaseError(f"there is no index in {self.name}: make it with 'steelyard index'")
            self._create()
        with self.read() as reader:
            found = reader.row("SELECT value FROM meta WHERE name = 'format'")
        if found != (schema.FORMAT,):
            raise DatabaseError(
                f"the index in {self.name} was made by another version of this client: run 'steelyard index --from-scratch'; it is "
                "built again from the chain"
            )

    def _create(self) -> None:
        with self.write() as writer:
            # Two processes may start at once.
            writer.row("SELECT pg_advisory_xact_lock(7236837518403)")
            if writer.row("SELECT to_regclass(?)", (f"{SCHEMA}.meta",)) == (None,):
                _make(writer)

    def _failed(self, exc: psycopg.Error) -> DatabaseError:
        if isinstance(exc, psycopg.errors.QueryCanceled):
            return DatabaseError(f"a question to {self.name} took longer than {_LIMIT} s: narrow it")
        # Its first line: the rest may show values.
        text = str(exc).strip().splitlines()
        return DatabaseError(f"{self.name}: {text[0] if text else type(exc).__name__}")


def _make(writer: Writer) -> None:
    writer.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    for statement in (*schema.statements(*_CHANGES), *_TEXT):
        writer.execute(statement)
    writer.execute("INSERT INTO meta (name, value) VALUES ('format', ?)", (schema.FORMAT,))


@lru_cache(maxsize=2048)
def _translated(sql: str) -> str:
    return sql.replace("%", "%%").replace("?", "%s")


@lru_cache(maxsize=64)
def _types(table: str) -> tuple[str, ...]:
    """Return the types of a table's columns, as the binary COPY needs them."""
    text = next(part for part in schema.statements(*_CHANGES) if part.startswith(f"CREATE TABLE {table} "))
    words = text.replace("(", " ( ").replace(",", " , ").split()
    names = (words[words.index(schema.quoted(column)) + 1].lower() for column in schema.COLUMNS[table])
    return tuple("int8" if name == "bigint" else name for name in names)


def _match(words: Sequence[str]) -> str:
    return " & ".join(f"{word}:*" for word in words)
