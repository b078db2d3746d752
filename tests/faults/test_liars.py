"""The lies of `make faults`: the index is right all the same, and the liar is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from steelyard.indexer import confirm
from tests.faults.liars import Place, Stage, stage
from tests.faults.lies import LIES

# One that answers nothing costs seconds; `make faults` has it, and the others in all three places.
NAMES = [lie.name for lie in LIES if lie.name != "answers nothing"]
SECOND = (
    "leaves one log out",
    "invents a log",
    "alters the transaction hash of a log",
    "gives false heads",
    "hides an asset from the start, heads too",
    "forges an old header (receipts root)",
    "claims a million blocks more",
    "forges all headers (times)",
)
ALONE = (
    "alters data",
    "invents an asset",
    "gives false heads",
    "gives false heads, and proves that there are none",
    "alters the time of blocks, not in raw headers",
)


@pytest.fixture(scope="module")
def made(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("liars"), seed=20261121) as opened:
        yield opened


def tell(made: Stage, name: str, place: Place, folder: Path) -> None:
    lie = next(lie for lie in LIES if lie.name == name)
    assert made.tell(lie, place=place, folder=folder).broken == ()


@pytest.mark.parametrize("name", NAMES)
def test_the_preferred_endpoint_lies(made: Stage, name: str, tmp_path: Path) -> None:
    tell(made, name, "preferred", tmp_path)


@pytest.mark.parametrize("name", SECOND)
def test_the_second_endpoint_lies(made: Stage, name: str, tmp_path: Path) -> None:
    tell(made, name, "second", tmp_path)


@pytest.mark.parametrize("name", ALONE)
def test_an_endpoint_that_lies_alone_leaves_nothing_false(made: Stage, name: str, tmp_path: Path) -> None:
    tell(made, name, "alone", tmp_path)


@pytest.mark.parametrize("place", ["preferred", "second"])
def test_who_is_always_wrong_is_not_refuted_block_by_block(
    made: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Place
) -> None:
    monkeypatch.setattr(confirm, "_MOST", 2)
    for proxy in (made.honest, made.liar):
        proxy.forget()
    tell(made, "gives none", place, tmp_path)
    asked = [body for proxy in (made.honest, made.liar) for body in proxy.sent]
    assert 2 <= sum(b"eth_getTransactionReceipt" in body for body in asked) <= 8
