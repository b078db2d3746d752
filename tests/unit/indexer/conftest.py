"""Every test that takes ``database`` runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from steelyard.indexer.database import Database, open_database
from tests.support.postgres import postgres, stop_postgres


@pytest.fixture(scope="session", autouse=True)
def server() -> Iterator[None]:
    yield
    stop_postgres()


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str | Path:
    """Where a new, empty index can be."""
    return tmp_path / "index.sqlite" if request.param == "sqlite" else postgres().database()


@pytest.fixture
def databases(place: str | Path) -> Iterator[Callable[[], Database]]:
    """Opens the same index as often as it is called."""
    opened: list[Database] = []

    def open_one() -> Database:
        opened.append(open_database(place))
        return opened[-1]

    yield open_one
    for database in opened:
        database.close()


@pytest.fixture
def database(databases: Callable[[], Database]) -> Database:
    """A new, empty index."""
    return databases()
