"""Known builds: code with immutables filled in."""

from __future__ import annotations

from typing import Any

import pytest

from steelyard.audit.build import load
from steelyard.domain.hash import keccak256
from steelyard.errors import InputError, ProofError
from tests.unit.audit.chain import LISTED, record_of, topic_of

A, B = bytes(12) + b"\xaa" * 20, b"\xbb" * 32


def record(**changes: Any) -> dict[str, Any]:
    value = record_of("Thing", LISTED, owner="address", limit="uint256")
    value["immutableReferences"] = {
        "owner": [{"start": 32, "length": 32}],
        "limit": [{"start": 64, "length": 32}, {"start": 100, "length": 32}],
    }
    value["deployedBytecode"] += "00" * 60
    return value | changes


def test_fills_every_place_of_every_immutable() -> None:
    build = load(record())
    code = build.code({"owner": A, "limit": B})
    assert code[32:64] == A and code[64:96] == B and code[100:132] == B
    assert code[:32] == build.template[:32] and len(code) == len(build.template)
    assert build.code_hash({"owner": A, "limit": B}) == keccak256(code)
    assert build.match(code) == {"owner": A, "limit": B}


def test_does_not_match_other_code() -> None:
    build = load(record())
    code = build.code({"owner": A, "limit": B})
    assert build.match(code + b"\0") is None
    assert build.match(b"\0" + code[1:]) is None
    assert build.match(code[:100] + A + code[132:]) is None  # two places of one immutable differ
    assert build.match(code[:32] + B + code[64:]) is None  # no address


@pytest.mark.parametrize(
    "immutables",
    [
        {},
        {"owner": A},
        {"owner": A, "limit": B, "more": B},
        {"owner": B, "limit": B},
        {"owner": A, "limit": B[1:]},
    ],
)
def test_refuses_other_immutables(immutables: dict[str, bytes]) -> None:
    with pytest.raises(ProofError):
        load(record()).code(immutables)


def test_knows_addresses_trail_and_events() -> None:
    build = load(record())
    assert build.addresses == {"owner"} and build.keeps_trail
    assert build.events[topic_of(LISTED)].name == "Listed"
    assert not load(record(storageLayout=[])).keeps_trail


@pytest.mark.parametrize(
    "changes",
    [
        {"contractName": None},
        {"abi": None},
        {"abi": [{"type": "event", "name": "E"}]},
        {"abi": [{"type": "event", "name": "E", "inputs": [1]}]},
        {"abi": [{"type": "event", "name": "E", "inputs": [{"name": "a", "type": 1}]}]},
        {"deployedBytecode": "0x"},
        {"deployedBytecode": 5},
        {"immutableReferences": {"owner": 5}},
        {"immutableReferences": {"owner": [{"start": "32", "length": 32}]}},
        {"deployedBytecode": "0x__$1234$__"},
        {"immutableReferences": []},
        {"immutableReferences": {"owner": []}},
        {"immutableReferences": {"owner": [{"start": 130, "length": 32}]}},
        {"immutableReferences": {"owner": [{"start": -1, "length": 32}]}},
        {"immutableReferences": {"owner": [{"start": 0, "length": 20}]}},
        {"immutableReferences": {"hidden": [{"start": 0, "length": 32}]}},
        {"storageLayout": {}},
        {"storageLayout": [{"label": "head", "slot": "1", "offset": 0}]},
    ],
)
def test_refuses_malformed_records(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        load(record(**changes))
