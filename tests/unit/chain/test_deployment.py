from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from steelyard.chain.deployment import Deployed, Deployment
from steelyard.domain.types import Address
from steelyard.errors import ConfigError, InputError


def test_what_is_saved_is_loaded(nowhere: Deployment, tmp_path: Path) -> None:
    file = tmp_path / "deep" / "1.json"
    nowhere.save(file)
    assert Deployment.load(file) == nowhere
    assert [path.name for path in file.parent.iterdir()] == ["1.json"]


def test_channels_are_there_or_not(nowhere: Deployment, tmp_path: Path) -> None:
    assert nowhere.channels is None
    assert nowhere.listed == (nowhere.treasury, nowhere.assets, nowhere.market)
    place = Deployed(address=Address(b"\x09" * 20), tx_hash=bytes(32), arguments=b"")
    metered = replace(nowhere, contracts={**nowhere.contracts, "Channels": place})
    assert metered.listed == (*nowhere.listed, place.address) and metered.channels == place.address
    metered.save(tmp_path / "1.json")
    assert Deployment.load(tmp_path / "1.json") == metered


def change(record: dict[str, Any], path: str, value: object) -> None:
    *above, last = path.split("/")
    for key in above:
        record = record[key]
    record[last] = value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("format", "steelyard/deployment/v2"),
        ("chainId", "1"),
        ("chainId", True),
        ("chainId", 0),
        ("startBlock", -1),
        ("minBond", "many"),
        ("minBond", str(1 << 128)),
        ("minBond", float("inf")),
        ("contracts/Market", {}),
        ("contracts/Mars", {"address": "0x" + "77" * 20, "transaction": "0x" + "00" * 32, "arguments": "0x"}),
        ("contracts/Market/address", "0x" + "11" * 19),
        ("contracts/Market/address", "0x" + "01" * 20),
        ("contracts/Market/transaction", "0x11"),
        ("contracts/Market/arguments", "11"),
        ("contracts", []),
    ],
)
def test_a_malformed_file_is_refused(nowhere: Deployment, tmp_path: Path, path: str, value: object) -> None:
    file = tmp_path / "1.json"
    nowhere.save(file)
    record = json.loads(file.read_text())
    change(record, path, value)
    file.write_text(json.dumps(record))
    with pytest.raises(ConfigError):
        Deployment.load(file)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000])
def test_other_text_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "1.json"
    file.write_text(text)
    with pytest.raises(ConfigError):
        Deployment.load(file)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        Deployment.load(tmp_path / "1.json")


def test_two_contracts_at_one_address_are_refused(nowhere: Deployment) -> None:
    contracts = dict(nowhere.contracts)
    contracts["Market"] = contracts["Assets"]
    with pytest.raises(InputError):
        replace(nowhere, contracts=contracts)
