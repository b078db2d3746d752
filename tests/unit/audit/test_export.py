"""Exports: complete up to a block that they state, and harmless in a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from steelyard.audit.export import FORMATS, export
from steelyard.audit.verify import Verified, verify
from steelyard.domain.header import Header
from steelyard.errors import InputError
from tests.unit.audit.cases import honest
from tests.unit.audit.chain import ALICE, ASSET, BOB, NODE


@pytest.fixture
def verified() -> Verified:
    _, data, anchors = honest()
    return verify(data, anchors=anchors)


def test_every_format_states_block_and_hash(verified: Verified) -> None:
    assert set(FORMATS) == {"csv", "jsonl", "prov"}
    for name in FORMATS:
        text = export(verified, format=name)
        assert verified.statement in text and text.endswith("\n")
    empty = replace(verified, entries=(), nodes=())
    for name in FORMATS:
        assert verified.statement in export(empty, format=name)


def test_an_unknown_format_is_refused(verified: Verified) -> None:
    with pytest.raises(InputError, match="csv, jsonl, prov"):
        export(verified, format="xml")


def test_csv_has_the_statement_and_a_row_for_each_entry(verified: Verified) -> None:
    rows = list(csv.DictReader(io.StringIO(export(verified, format="csv"))))
    assert [row["event"] for row in rows[:3]] == ["Complete", "AssetRegistered", "VersionPublished"]
    assert len(rows) == 1 + len(verified.entries)
    assert rows[0]["block"] == "6" and rows[0]["id"] == "0x" + verified.block.hash.hex()
    assert rows[1]["time"] == "2023-11-14T22:13:44Z" and rows[1]["actor"] == "0x" + ALICE.hex()
    assert json.loads(rows[3]["fields"])["price"] == str(10**18)


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_csv_holds_no_formula(verified: Verified, name: str) -> None:
    contract = verified.contracts[0]
    hostile = replace(contract, build=replace(contract.build, name=name))
    text = export(replace(verified, contracts=(hostile, *verified.contracts[1:])), format="csv")
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows[2][4] == "'" + name
    assert not any(cell[:1] in ("=", "+", "-", "@", "\t", "\r", "\n") for row in rows for cell in row)


def test_jsonl_has_the_statement_first(verified: Verified) -> None:
    lines = [json.loads(line) for line in export(verified, format="jsonl").splitlines()]
    assert lines[0]["format"] == "steelyard/history/v1"
    assert lines[0]["complete"] == {
        "chainId": 31337,
        "directory": "0x" + verified.directory.address.hex(),
        "asset": "0x" + ASSET.hex(),
        "block": 6,
        "blockHash": "0x" + verified.block.hash.hex(),
        "time": "2023-11-14T22:14:32Z",
        "statement": verified.statement,
    }
    assert [line["entry"] for line in lines[1:]] == list(range(len(verified.entries)))
    assert lines[3]["fields"]["price"] == str(10**18) and lines[3]["tx_proved"] is False


def test_prov_relations_name_what_is_declared(verified: Verified) -> None:
    document = json.loads(export(verified, format="prov"))
    assert document["entity"]["steelyard:history"]["steelyard:block"] == 6
    assert len(document["activity"]) == len(document["wasAssociatedWith"]) == len(verified.entries)
    declared = {"prov:activity": "activity", "prov:agent": "agent", "prov:entity": "entity"}
    declared |= {"prov:specificEntity": "entity", "prov:generalEntity": "entity"}
    relations = 0
    for relation in ("wasAssociatedWith", "used", "wasGeneratedBy", "specializationOf"):
        for item in document[relation].values():
            for key, name in item.items():
                relations += 1
                assert name in document[declared[key]]
    assert relations > 20


def test_prov_says_what_an_entry_made_and_what_it_used(verified: Verified) -> None:
    document = json.loads(export(verified, format="prov"))
    asset, version = f"steelyard:asset-{ASSET.hex()}", f"steelyard:version-{'01' * 32}"
    made = {item["prov:entity"]: item["prov:activity"] for item in document["wasGeneratedBy"].values()}
    assert made == {asset: "steelyard:entry-0", version: "steelyard:entry-1"}
    assert {"prov:specificEntity": version, "prov:generalEntity": asset} in document[
        "specializationOf"
    ].values()
    used = {(item["prov:activity"], item["prov:entity"]) for item in document["used"].values()}
    assert ("steelyard:entry-4", f"steelyard:node-{NODE.hex()}") in used
    paid = document["activity"]["steelyard:entry-6"]
    assert paid["steelyard:payee"] == f"steelyard:account-{BOB.hex()}"
    assert paid["prov:startTime"] == paid["prov:endTime"] == "2023-11-14T22:14:08Z"


def test_a_time_beyond_the_calendar_is_written_as_a_number(verified: Verified) -> None:
    header = verified.block
    late = Header(
        **{name: getattr(header, name) for name in Header.__slots__ if name != "timestamp"}, timestamp=10**18
    )
    assert f"unix:{10**18}" in export(replace(verified, block=late), format="csv")
