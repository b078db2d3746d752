"""The service's own tables: nonces, sessions, idempotent answers, uploads, jobs, webhooks (docs/api.md, "What the service keeps").

Each part of the service has its statements beside its code; here are the tables, and the sweep that keeps them small.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from steelyard.api.jobs import Jobs
from steelyard.api.tables import Tables, open_tables

TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS service_nonces (nonce TEXT NOT NULL PRIMARY KEY, expires BIGINT NOT NULL)",
    """CREATE TABLE IF NOT EXISTS service_sessions (
        token BYTEA NOT NULL PRIMARY KEY, account BYTEA NOT NULL, created BIGINT NOT NULL, expires BIGINT NOT NULL
    )""",
    "CREATE INDEX IF NOT EXISTS service_sessions_account ON service_sessions (account, created)",
    """CREATE TABLE IF NOT EXISTS service_answers (
        key BYTEA NOT NULL PRIMARY KEY, caller BYTEA NOT NULL, digest BYTEA NOT NULL, holder BYTEA NOT NULL,
        started BIGINT NOT NULL, status BIGINT, headers TEXT, body BYTEA
    )""",
    "CREATE INDEX IF NOT EXISTS service_answers_caller ON service_answers (caller, started)",
    "CREATE INDEX IF NOT EXISTS service_answers_started ON service_answers (started)",
    """CREATE TABLE IF NOT EXISTS service_uploads (
        id TEXT NOT NULL PRIMARY KEY, account BYTEA NOT NULL, folder TEXT NOT NULL, bytes BIGINT NOT NULL,
        received BIGINT NOT NULL, state TEXT NOT NULL, created BIGINT NOT NULL, touched BIGINT NOT NULL
    )""",
    "CREATE INDEX IF NOT EXISTS service_uploads_account ON service_uploads (account)",
    """CREATE TABLE IF NOT EXISTS service_blocks (
        upload TEXT NOT NULL, cid TEXT NOT NULL, place BIGINT NOT NULL, most BIGINT NOT NULL, size BIGINT,
        PRIMARY KEY (upload, cid)
    )""",
    """CREATE TABLE IF NOT EXISTS service_jobs (
        id TEXT NOT NULL PRIMARY KEY, state TEXT NOT NULL, holder BYTEA NOT NULL, what TEXT NOT NULL, done BIGINT NOT NULL,
        total BIGINT NOT NULL, beat BIGINT NOT NULL, result TEXT
    )""",
    """CREATE TABLE IF NOT EXISTS service_webhooks (
        id TEXT NOT NULL PRIMARY KEY, account BYTEA NOT NULL, url TEXT NOT NULL, filter TEXT NOT NULL, secret BYTEA NOT NULL,
        pos BIGINT NOT NULL, state TEXT NOT NULL, attempt BIGINT NOT NULL, failing BIGINT, due BIGINT NOT NULL, said TEXT,
        created BIGINT NOT NULL
    )""",
    "CREATE INDEX IF NOT EXISTS service_webhooks_account ON service_webhooks (account)",
)

ANSWER_TIME: Final = 86_400
"""Seconds for which an answer to an ``Idempotency-Key`` is kept."""
JOB_TIME: Final = 7 * 86_400
"""Seconds for which the outcome of a job is kept."""


class State:
    """The tables, opened. Safe to use from several threads; any number of processes may share them."""

    def __init__(self, tables: Tables) -> None:
        """Use these tables, which exist."""
        self.tables = tables
        self.write = tables.write
        self.read = tables.read
        self.jobs = Jobs(self)

    @classmethod
    def open(cls, where: str | Path) -> State:
        """Open the tables and make those that are missing.

        Args:
            where: a file, or ``postgresql://...``.

        Raises:
            DatabaseError: they cannot be opened.
            ConfigError: PostgreSQL is asked for and its library is not installed.
        """
        return cls(open_tables(where, TABLES))

    def sweep(self, now: int) -> int:
        """Delete what has ended, but uploads, whose blocks must be let go first; return how many rows.

        Args:
            now: Unix seconds.
        """
        with self.write() as writer:
            return sum(
                writer.execute(sql, (before,))
                for sql, before in (
                    ("DELETE FROM service_nonces WHERE expires < ?", now),
                    ("DELETE FROM service_sessions WHERE expires <= ?", now),
                    ("DELETE FROM service_answers WHERE started < ?", now - ANSWER_TIME),
                    ("DELETE FROM service_jobs WHERE state <> 'running' AND beat < ?", now - JOB_TIME),
                )
            )

    def close(self) -> None:
        """End the jobs, and close all connections."""
        self.jobs.close()
        self.tables.close()
