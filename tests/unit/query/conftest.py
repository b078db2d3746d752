"""Every test that takes ``database`` runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from steelyard.indexer.database import Database, open_database
from steelyard.query.audit import Audit
from tests.support.postgres import postgres, stop_postgres
from tests.unit.query.world import World, busy


@pytest.fixture(scope="session", autouse=True)
def server() -> Iterator[None]:
    yield
    stop_postgres()


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def database(dialect: str, tmp_path: Path) -> Iterator[Database]:
    """A new, empty index."""
    made = open_database(tmp_path / "index.sqlite" if dialect == "sqlite" else postgres().database())
    yield made
    made.close()


@pytest.fixture
def audit(database: Database) -> Audit:
    return Audit(database)


@pytest.fixture
def world() -> World:
    """Nothing has happened yet."""
    return World()


@pytest.fixture(scope="module")
def history() -> World:
    """A busy market; not to be changed."""
    return busy(7)


@pytest.fixture(scope="module")
def full(dialect: str, history: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audit]:
    """The index of the busy market; only to be read."""
    where = (
        tmp_path_factory.mktemp("index") / "index.sqlite" if dialect == "sqlite" else postgres().database()
    )
    made = open_database(where)
    history.fed = 0
    history.known.forget()
    history.feed(made)
    with made.write() as writer:
        for node, (_, positions) in history.positions.items():
            writer.insert(
                "positions", [(node, index, item.payee, item.weight) for index, item in enumerate(positions)]
            )
    yield Audit(made)
    made.close()
