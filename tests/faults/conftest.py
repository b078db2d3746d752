"""One market for a run; every cell and every history puts its chain back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from steelyard.errors import InputError
from tests.e2e.kill.shop import anvil


@pytest.fixture(scope="session")
def program() -> Path:
    try:
        return anvil()
    except InputError as exc:
        pytest.skip(f"anvil is needed: {exc}")


@pytest.fixture(scope="session")
def folder(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield tmp_path_factory.mktemp("faults")
