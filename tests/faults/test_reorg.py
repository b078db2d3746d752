"""Some re-organisations; every depth from 1 to 64 and deeper ones are `make reorgs`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.reorgs import WAYS, Campaign, campaign


@pytest.fixture(scope="module")
def made(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    with campaign(tmp_path_factory.mktemp("reorgs"), seed=20261121) as opened:
        yield opened


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("depth", [1, 2, 7, 64])
def test_the_index_is_that_of_the_new_branch(made: Campaign, depth: int, way: str) -> None:
    assert made.reorganise(depth, way).broken == ()


def test_the_stories_reach_every_kind_of_entry(made: Campaign) -> None:
    made._branch(40)
    with made.follower.database.read() as reader:
        kinds = {kind for (kind,) in reader.rows("SELECT DISTINCT kind FROM events")}
    # All but VersionFlagged, which needs a false version: there the market's own tests are.
    assert len(kinds) >= 15
