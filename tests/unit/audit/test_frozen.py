"""A bundle of a real chain (anvil 1.7.1, Prague), frozen: the format must go on reading it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from steelyard.audit.build import load
from steelyard.audit.export import FORMATS, export
from steelyard.audit.history import history
from steelyard.audit.verify import Anchors, Verified, verify
from steelyard.domain.types import Address
from steelyard.errors import ProofError, TrailError, VerificationError
from tests.unit.audit.cases import dump

FILE = Path(__file__).with_name("bundle.json")


@cache
def fixture() -> tuple[str, Anchors]:
    value = json.loads(FILE.read_text(encoding="ascii"))
    anchors = value["anchors"]
    return json.dumps(value["bundle"]), Anchors(
        chain_id=anchors["chainId"],
        directory=Address(bytes.fromhex(anchors["directory"][2:])),
        block_hash=bytes.fromhex(anchors["blockHash"][2:]),
        builds={record["contractName"]: load(record) for record in value["builds"]},
        blocks=frozenset(bytes.fromhex(item[2:]) for item in anchors["blocks"]),
    )


def check(value: Any) -> Verified:
    return verify(dump(value), anchors=fixture()[1])


def bundle() -> Any:
    return json.loads(fixture()[0])


def test_it_is_accepted_with_its_whole_history() -> None:
    verified = check(bundle())
    assert [contract.build.name for contract in verified.contracts] == ["Notebook", "Treasury"]
    assert [contract.build.name for contract in verified.companions] == ["Checker"]
    assert [event.name for event in history(verified)] == [
        *("AssetRegistered", "VersionPublished", "Received", "Claimed", "Received", "RoleSet", "Claimed")
    ]
    assert len(verified.nodes) == 2 and len(verified.block.fields) == 21
    assert [event.index for event in history(verified) if event.tx_proved] == [0, 1, 5]
    for name in FORMATS:
        assert verified.statement in export(verified, format=name)


def test_each_of_its_entries_is_needed() -> None:
    for index in range(len(bundle()["entries"])):
        value = bundle()
        del value["entries"][index]
        value["receipts"] = []
        with pytest.raises(TrailError, match="about 0x"):
            check(value)


def test_each_of_its_proof_nodes_is_needed() -> None:
    def proofs(value: Any) -> list[Any]:
        contracts = [value["directory"], *value["contracts"]]
        found = [item["account"] for item in (*contracts, *value["companions"])]
        found += [head["proof"] for item in contracts for head in item["heads"]]
        return found + [item[key] for item in value["receipts"] for key in ("receipt", "transaction")]

    for number in range(len(proofs(bundle()))):
        for at in range(len(proofs(bundle())[number])):
            value = bundle()
            del proofs(value)[number][at]
            with pytest.raises(ProofError):
                check(value)


def test_its_immutables_are_those_of_the_code() -> None:
    value = bundle()
    value["contracts"][0]["immutables"]["least"] = "0x" + "00" * 32
    with pytest.raises(VerificationError, match="is not build Notebook"):
        check(value)
