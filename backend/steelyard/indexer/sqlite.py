"""The index in a file of SQLite, in WAL mode: readers never wait for the writer, nor it for them.

Measured (one point query in a snapshot of its own, file in the page cache): see docs/index.md.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Final

from steelyard.errors import DatabaseError
from steelyard.indexer import schema
from steelyard.indexer.database import ConflictError, Database, Reader, Row, Writer

_WAIT: Final = 10.0
"""Seconds for another writer to end."""
_LIMIT: Final = 30.0
"""Seconds for one read."""
_STEPS: Final = 200_000
"""Steps of SQLite's machine between two looks at the clock: a few milliseconds."""
_CHUNK: Final = 1000
_MAPPED: Final = 1 << 30
"""Bytes of the file that a reader may have mapped."""

# A rowid that no VACUUM changes, for the full text.
_CHANGES: Final = (
    ("folder BLOB NOT NULL PRIMARY KEY,", "serial INTEGER PRIMARY KEY, folder BLOB NOT NULL UNIQUE,"),
)

_CARD: Final = "title, task, framework, licence, tags, text"
_TEXT: Final = f"""
CREATE VIRTUAL TABLE cards_text USING fts5 (
    {_CARD}, content = 'cards', content_rowid = 'serial', tokenize = 'unicode61 remove_diacritics 0');
CREATE TRIGGER cards_added AFTER INSERT ON cards BEGIN
    INSERT INTO cards_text (rowid, {_CARD})
    VALUES (new.serial, new.title, new.task, new.framework, new.licence, new.tags, new.text); END;
CREATE TRIGGER cards_removed AFTER DELETE ON cards BEGIN
    INSERT INTO cards_text (cards_text, rowid, {_CARD})
    VALUES ('delete', old.serial, old.title, old.task, old.framework, old.licence, old.tags, old.text); END;
CREATE TRIGGER cards_changed AFTER UPDATE ON cards BEGIN
    INSERT INTO cards_text (cards_text, rowid, {_CARD})
    VALUES ('delete', old.serial, old.title, old.task, old.framework, old.licence, old.tags, old.text);
    INSERT INTO cards_text (rowid, {_CARD})
    VALUES (new.serial, new.title, new.task, new.framework, new.licence, new.tags, new.text); END;
CREATE VIRTUAL TABLE names_text USING fts5 (name, content = 'assets', content_rowid = 'pos', tokenize = 'unicode61');
CREATE TRIGGER assets_added AFTER INSERT ON assets BEGIN
    INSERT INTO names_text (rowid, name) VALUES (new.pos, new.name); END;
CREATE TRIGGER assets_removed AFTER DELETE ON assets BEGIN
    INSERT INTO names_text (names_text, rowid, name) VALUES ('delete', old.pos, old.name); END;
"""


class _SqliteReader(Reader):
    """A connection in a read transaction."""

    dialect = "sqlite"

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.until = 0.0
        connection.set_progress_handler(self._late, _STEPS)

    def _late(self) -> bool:
        return self.until > 0 and time.monotonic() > self.until

    def _allow(self) -> None:
        """Give one statement its time; a long walk of many short ones is none that hangs."""
        if self.until:
            self.until = time.monotonic() + _LIMIT

    def rows(self, sql: str, params: Sequence[object] = ()) -> list[Row]:
        self._allow()
        return self.connection.execute(sql, params).fetchall()

    def row(self, sql: str, params: Sequence[object] = ()) -> Row | None:
        self._allow()
        cursor = self.connection.execute(sql, params)
        found: Row | None = cursor.fetchone()
        cursor.close()
        return found

    def each(self, sql: str, params: Sequence[object] = ()) -> Iterator[Row]:
        cursor = self.connection.execute(sql, params)
        try:
            while rows := cursor.fetchmany(_CHUNK):
                self._allow()  # time is given to the reader of the rows as well
                yield from rows
        finally:
            cursor.close()

    def matching_cards(self, words: Sequence[str]) -> tuple[str, tuple[object, ...]]:
        query = (
            "SELECT cards.folder AS folder, bm25(cards_text, 8, 4, 4, 4, 6, 1) AS rank FROM cards_text"
            " JOIN cards ON cards.serial = cards_text.rowid WHERE cards_text MATCH ?"
        )
        return query, (_match(words),)

    def matching_names(self, words: Sequence[str]) -> tuple[str, tuple[object, ...]]:
        query = (
            "SELECT assets.id AS asset, bm25(names_text) AS rank FROM names_text"
            " JOIN assets ON assets.pos = names_text.rowid WHERE names_text MATCH ?"
        )
        return query, (_match(words),)


class _SqliteWriter(_SqliteReader, Writer):
    """The connection that writes."""

    def execute(self, sql: str, params: Sequence[object] = ()) -> int:
        return self.connection.execute(sql, params).rowcount

    def many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        self.connection.executemany(sql, rows)

    def insert(self, table: str, rows: Sequence[Sequence[object]]) -> None:
        # Many rows to a statement: half the time of one by one, for the narrow tables.
        count = _AT_ONCE[table]
        whole = len(rows) - len(rows) % count
        if rows:
            groups = (
                tuple(chain.from_iterable(rows[start : start + count])) for start in range(0, whole, count)
            )
            try:
                self.connection.executemany(_insert(table, count), groups)
                self.connection.executemany(_insert(table, 1), rows[whole:])
            except sqlite3.IntegrityError as exc:
                raise ConflictError(f"a row of {table} is there already") from exc

    def now(self) -> float:
        return time.time()


class SqliteDatabase(Database):
    """An index in a file. See :class:`steelyard.indexer.database.Database`."""

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        """Open the file; make it, with its tables, if it does not exist and is not only to be read."""
        self.name = str(path)
        self.file = self._path = path
        self._readonly = readonly
        self._idle: deque[_SqliteReader] = deque()
        self._writing = threading.Lock()
        self._writer: _SqliteWriter | None = None
        self._closed = False
        if not path.exists():
            if readonly:
                raise DatabaseError(f"there is no index at {path}: make it with 'steelyard index'")
            path.parent.mkdir(parents=True, exist_ok=True)
        self._prepare()

    def read(self) -> AbstractContextManager[Reader]:
        """Open a snapshot."""
        return _Snapshot(self)

    @contextmanager
    def write(self) -> Iterator[Writer]:
        """Open a transaction."""
        if self._readonly:
            raise DatabaseError(f"{self.name} was opened only to read")
        with self._writing:
            try:
                if self._writer is None:
                    self._writer = _SqliteWriter(self._connect())
                writer = self._writer
                writer.connection.execute("BEGIN IMMEDIATE")
                try:
                    yield writer
                except BaseException:
                    writer.connection.rollback()
                    raise
                writer.connection.commit()
            except sqlite3.Error as exc:
                if self._writer is not None and self._writer.connection.in_transaction:
                    self._writer.connection.rollback()
                raise self.failed(exc) from exc

    def check(self, *, full: bool = False) -> None:
        """Ask SQLite whether the file is intact."""
        connection = self._connect()
        try:
            found = connection.execute(f"PRAGMA {'integrity' if full else 'quick'}_check(1)").fetchone()
            if found != ("ok",) and not full:
                # SQLite 3.40's quick_check finds NULLs that are not there in a table WITHOUT ROWID.
                found = connection.execute("PRAGMA integrity_check(1)").fetchone()
        except sqlite3.Error as exc:
            raise self.failed(exc) from exc
        finally:
            connection.close()
        if found != ("ok",):
            raise self._damaged(" ".join(str(found[0]).split()))

    def clear(self) -> None:
        """Drop and make all tables in one transaction; readers see the old ones until it ends."""
        with self.write() as writer:
            names = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            virtual = writer.rows(names + " AND sql LIKE 'CREATE VIRTUAL%'")
            for (name,) in virtual:
                writer.execute(f'DROP TABLE "{name}"')
            for (name,) in writer.rows(names):
                writer.execute(f'DROP TABLE "{name}"')
            _make(writer)

    def close(self) -> None:
        """Close all connections; those in use close when they are given back."""
        self._closed = True
        while self._idle:
            self._idle.pop().connection.close()
        with self._writing:
            if self._writer is not None:
                self._writer.connection.close()
                self._writer = None

    def take_reader(self) -> _SqliteReader:
        """Return a connection that nobody else uses; for a snapshot of this module."""
        try:
            reader = self._idle.pop()
        except IndexError:
            connection = self._connect(readonly=True)
            connection.execute("PRAGMA query_only = ON")
            reader = _SqliteReader(connection)
        reader.until = time.monotonic() + _LIMIT
        return reader

    def give_back(self, reader: _SqliteReader) -> None:
        """End a snapshot and take its connection back."""
        reader.until = 0.0
        try:
            if reader.connection.in_transaction:
                reader.connection.rollback()
        except sqlite3.Error:
            reader.connection.close()
            return
        self._idle.append(reader)
        if self._closed:
            self.close()

    def _connect(self, *, readonly: bool = False) -> sqlite3.Connection:
        mode = "ro" if self._readonly else "rwc"
        try:
            connection = sqlite3.connect(
                f"{self._path.absolute().as_uri()}?mode={mode}",
                uri=True,
                timeout=_WAIT,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=512,
            )
        except sqlite3.Error as exc:
            raise self.failed(exc) from exc
        try:
            if not self._readonly:
                # Of a new file: entries have some 500 bytes, and a page that is changed is written whole.
                connection.execute("PRAGMA page_size = 8192")
                connection.execute("PRAGMA journal_mode = WAL")
            # After a power cut the newest transactions may be missing, never a part of one; the chain has them.
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA threads = 2")
            # Spares readers a copy of each page; to the writer it brings nothing, and his memory would seem to grow with the file.
            connection.execute(f"PRAGMA mmap_size = {_MAPPED if self._readonly or readonly else 0}")
            connection.execute("PRAGMA cache_size = -65536")
            connection.execute("PRAGMA wal_autocheckpoint = 4000")
        except sqlite3.Error as exc:
            connection.close()
            raise self.failed(exc) from exc
        return connection

    def _prepare(self) -> None:
        """Make the tables of an empty file; refuse a file that is not ours, or of another format."""
        if not self._readonly:
            with self.write() as writer:
                if not writer.row("SELECT 1 FROM sqlite_schema"):
                    _make(writer)
        try:
            with self.read() as reader:
                found = reader.row("SELECT value FROM meta WHERE name = 'format'")
        except DatabaseError as exc:
            if isinstance(exc.__cause__, sqlite3.OperationalError) and "no such table" in str(exc.__cause__):
                raise DatabaseError(f"{self.name} is no index of this client: name another file") from exc
            raise
        if found != (schema.FORMAT,):
            raise DatabaseError(
                f"{self.name} was made by another version of this client: delete it, or run 'steelyard index "
                "--from-scratch'; it is built again from the chain"
            )

    def failed(self, exc: sqlite3.Error) -> DatabaseError:
        """Return what an error of SQLite is called here."""
        text = str(exc)
        if "malformed" in text or "not a database" in text or "disk I/O" in text:
            return self._damaged(text)
        if "interrupted" in text:
            return DatabaseError(f"a question to {self.name} took longer than {_LIMIT:g} s: narrow it")
        return DatabaseError(f"{self.name}: {text}")

    def _damaged(self, text: str) -> DatabaseError:
        return DatabaseError(
            f"the index {self.name} is damaged ({text}): delete it together with its -wal and -shm files; it is built again "
            "from the chain"
        )


class _Snapshot(AbstractContextManager[Reader]):
    """One use of a reading connection; a class, because a generator would take as long as a small question."""

    __slots__ = ("_database", "_reader")

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    def __enter__(self) -> Reader:
        self._reader = reader = self._database.take_reader()
        try:
            # The snapshot begins with the first statement that reads.
            reader.connection.execute("BEGIN")
        except sqlite3.Error as exc:
            self._database.give_back(reader)
            raise self._database.failed(exc) from exc
        return reader

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.give_back(self._reader)
        if isinstance(exc, sqlite3.Error):
            raise self._database.failed(exc) from exc


def _make(writer: Writer) -> None:
    for statement in schema.statements(*_CHANGES):
        # Strict, or SQLite would take a text for a number.
        strict = ", STRICT" if statement.endswith("ROWID") else " STRICT"
        writer.execute(statement + strict if statement.startswith("CREATE TABLE") else statement)
    for statement in _TEXT.strip().split(";\nCREATE"):
        text = statement if statement.startswith("CREATE") else "CREATE" + statement
        writer.execute(text)
    writer.execute("INSERT INTO meta (name, value) VALUES ('format', ?)", (schema.FORMAT,))


def _match(words: Sequence[str]) -> str:
    return " ".join(f'"{word}"*' for word in words)


@lru_cache(maxsize=64)
def _insert(table: str, count: int) -> str:
    row = f"({', '.join('?' * len(schema.COLUMNS[table]))})"
    # What fails undoes the whole transaction: a statement need not be able to undo itself.
    return f"INSERT OR FAIL INTO {table} ({schema.column_list(table)}) VALUES {', '.join([row] * count)}"


_AT_ONCE: Final = {table: max(1, 128 // len(columns)) for table, columns in schema.COLUMNS.items()}
"""Rows to a statement: about as many as 128 parameters are."""
