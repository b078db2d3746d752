"""A few deaths of the index and of the service; hundreds are `make kill ARGS=--index`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.kill.shop import opened
from tests.faults.kill_index import IndexCampaign, lives_campaign, zygote
from tests.support.postgres import postgres, stop_postgres


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[None]:
    yield
    stop_postgres()


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
def test_the_index_survives_a_few_deaths(program: Path, tmp_path: Path, dialect: str) -> None:
    place = postgres().database() if dialect == "postgres" else None
    with opened(tmp_path) as shop:
        made = IndexCampaign(shop, seed=20261121, place=place)
        made.news()
        with zygote(made.given()) as process:
            made.at_random(process, 4)
        made.finish()
        assert made.counted.random == 4
        assert made.counted.lost == []


def test_the_service_keeps_its_promises_over_a_few_deaths(program: Path, tmp_path: Path) -> None:
    counted = lives_campaign(tmp_path, lives=2, seed=7, failing=0.0)
    assert counted.kills > 0 and counted.hooks > 0
    assert counted.lost == []
