"""The service's own tables: every test that takes ``state`` runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from steelyard.api.state import State
from tests.support.postgres import postgres, stop_postgres


@pytest.fixture(scope="session", autouse=True)
def server() -> Iterator[None]:
    yield
    stop_postgres()


@pytest.fixture(params=["sqlite", "postgres"])
def state_place(request: pytest.FixtureRequest, tmp_path: Path) -> str | Path:
    """Where new, empty tables can be."""
    return tmp_path / "own.sqlite" if request.param == "sqlite" else postgres().database()


@pytest.fixture
def state(state_place: str | Path) -> Iterator[State]:
    """New, empty tables."""
    opened = State.open(state_place)
    yield opened
    opened.close()
