"""The lies of `make faults`: the index is right all the same, and the liar is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.liars import LIES, OPEN, Stage, stage

SECOND = (
    "leaves one log out",
    "invents a log",
    "gives false heads",
    "hides an asset from the start, heads too",
)


@pytest.fixture(scope="module")
def made(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("liars"), seed=20261121) as opened:
        yield opened


def tell(made: Stage, name: str, *, preferred: bool, folder: Path) -> None:
    lie = next(lie for lie in LIES if lie.name == name)
    outcome = made.tell(lie, preferred=preferred, folder=folder)
    if outcome.broken and name in OPEN:
        pytest.xfail(OPEN[name])
    assert outcome.broken == ()


# One that answers nothing costs seconds; `make faults` has it.
@pytest.mark.parametrize("name", [lie.name for lie in LIES if lie.name != "answers nothing"])
def test_the_preferred_endpoint_lies(made: Stage, name: str, tmp_path: Path) -> None:
    tell(made, name, preferred=True, folder=tmp_path)


@pytest.mark.parametrize("name", SECOND)
def test_the_second_endpoint_lies(made: Stage, name: str, tmp_path: Path) -> None:
    tell(made, name, preferred=False, folder=tmp_path)
