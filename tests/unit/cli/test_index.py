from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from steelyard.indexer.database import open_database
from steelyard.indexer.run import Indexer
from tests.support.history import Chain, Market
from tests.support.replay import serve
from tests.unit.cli.conftest import Cli
from tests.unit.indexer.following import hash_of
from tests.unit.indexer.test_run import DEPLOYMENT


@pytest.fixture
def chain() -> Chain:
    made = Chain(Market(1))
    for _ in range(10):
        made.mine(count=5)
    return made


@pytest.fixture
def arguments(chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What names the database, where the settings name market and endpoint."""
    record = tmp_path / "market.json"
    DEPLOYMENT.save(record)
    monkeypatch.setenv("STEELYARD_DEPLOYMENT", str(record))
    with serve(chain) as url:
        monkeypatch.setenv("STEELYARD_RPC", url)
        yield ["--database", str(tmp_path / "index.sqlite")]


def test_once_reads_everything_and_ends(cli: Cli, chain: Chain, arguments: list[str], tmp_path: Path) -> None:
    outcome = cli("index", "--once", "--json", *arguments)
    assert outcome.code == 0
    total = sum(len(block.logs) for block in chain.blocks)
    assert (outcome.document["block"], outcome.document["entries"]) == (10, total)
    database = open_database(tmp_path / "index.sqlite")
    assert outcome.document["contentHash"] == "0x" + hash_of(database).hex()
    database.close()
    lines = [json.loads(line) for line in outcome.err.splitlines()]
    assert [line["event"] for line in lines] == ["progress", "proved"]


def test_from_scratch_gives_the_same_hash(cli: Cli, chain: Chain, arguments: list[str]) -> None:
    assert cli("index", "--once", *arguments).code == 0
    first = cli("index", "--hash", *arguments)
    assert cli("index", "--once", "--from-scratch", *arguments).code == 0
    assert cli("index", "--hash", *arguments).out == first.out


def test_from_scratch_replaces_a_damaged_file(
    cli: Cli, chain: Chain, arguments: list[str], tmp_path: Path
) -> None:
    (tmp_path / "index.sqlite").write_bytes(b"a photograph, say" * 1000)
    refused = cli("index", "--once", *arguments)
    assert (refused.code, "delete it" in refused.err) == (6, True)
    assert cli("index", "--once", "--from-scratch", *arguments).code == 0


def test_a_check_of_an_intact_index_says_so(cli: Cli, chain: Chain, arguments: list[str]) -> None:
    cli("index", "--once", *arguments)
    outcome = cli("index", "--check", *arguments)
    assert outcome.code == 0 and outcome.out.startswith("intact: ")


def test_a_hidden_entry_is_exit_code_5(cli: Cli, chain: Chain, arguments: list[str]) -> None:
    chain.blocks[-1].heads[min(chain.blocks[-1].heads)] = bytes(32)
    outcome = cli("index", "--once", *arguments)
    assert outcome.code == 5 and "do not lead to its head" in outcome.err


def test_no_index_is_unavailable(cli: Cli, arguments: list[str]) -> None:
    assert cli("index", "--hash", *arguments).code == 6
    assert cli("index", "--check", *arguments).code == 6


def test_checking_and_building_exclude_each_other(cli: Cli, arguments: list[str]) -> None:
    assert cli("index", "--hash", "--once", *arguments).code == 2
    assert cli("index", "--hash", "--check", *arguments).code == 2


def test_who_does_not_lead_says_so(cli: Cli, chain: Chain, arguments: list[str], tmp_path: Path) -> None:
    database = open_database(tmp_path / "index.sqlite")
    Indexer(database, [chain.rpc()], DEPLOYMENT).step()
    outcome = cli("index", "--once", *arguments)
    database.close()
    assert outcome.code == 6 and "another process" in outcome.err
