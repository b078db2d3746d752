"""The verifier: an honest bundle passes, and whatever is changed in one is found and named."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from steelyard.audit.collect import collect
from steelyard.audit.verify import verify
from steelyard.errors import ProofError, TrailError, VerificationError
from tests.unit.audit import chain as world
from tests.unit.audit.cases import build_with, check, document, honest
from tests.unit.audit.chain import (
    ASSET,
    ASSETS,
    BUILDS,
    CHECKER,
    DIRECTORY,
    MARKET,
    NODE,
    TREASURY,
    market,
)

A, M, T = "0x" + ASSETS.hex(), "0x" + MARKET.hex(), "0x" + TREASURY.hex()


def test_an_honest_bundle_gives_the_history_and_says_up_to_where() -> None:
    chain, data, anchors = honest()
    verified = verify(data, anchors=anchors)
    assert verified.entries == tuple(e for e in chain.entries if e.subject in (ASSET, NODE, world.CHILD))
    assert verified.listings == tuple(e for e in chain.entries if e.contract == DIRECTORY)
    assert verified.nodes == (NODE, world.CHILD)
    assert [c.address for c in verified.contracts] == [ASSETS, TREASURY, MARKET]
    assert [c.address for c in verified.companions] == [CHECKER]
    assert (verified.chain_id, verified.asset, verified.block.number) == (world.CHAIN_ID, ASSET, 6)
    assert verified.statement == f"complete to block 6 (0x{anchors.block_hash.hex()}), nothing later"
    assert (
        str(verified.contract(MARKET)) == f"Market {M}" and verified.contract(DIRECTORY) == verified.directory
    )


def test_later_header_fields_change_nothing() -> None:
    chain = market(further_fields=3)
    _, verified = collect(chain, directory=DIRECTORY, asset=ASSET, builds=BUILDS)
    assert len(verified.block.fields) == 24


def test_an_asset_that_nobody_registered_has_an_empty_history() -> None:
    _, verified = collect(honest()[0], directory=DIRECTORY, asset=b"\x55" * 32, builds=BUILDS)  # type: ignore[arg-type]
    assert verified.entries == () and verified.nodes == ()


# --- entries


def test_every_removed_entry_is_missed() -> None:
    for index, entry in enumerate(document()["entries"]):
        value = document()
        del value["entries"][index]
        with pytest.raises(TrailError) as caught:
            check(value)
        assert entry["contract"] in str(caught.value)


def test_every_added_entry_is_found() -> None:
    for index, entry in enumerate(document()["entries"]):
        value = document()
        value["entries"].insert(index + 1, entry | {"log": entry["log"] + 1})
        with pytest.raises(TrailError):
            check(value)
        value["entries"][index + 1] = entry
        with pytest.raises(TrailError, match=f"entry {index + 1} stands after"):
            check(value)


def test_every_changed_field_of_every_entry_is_found() -> None:
    for index, entry in enumerate(document()["entries"]):
        for field in ("contract", "block", "time", "data", 0, 1, 2, 3):
            value = document()
            target = value["entries"][index]
            if isinstance(field, int):
                word = target["topics"][field]
                target["topics"][field] = word[:-1] + ("0" if word[-1] != "0" else "1")
            elif isinstance(entry[field], int):
                target[field] += 1
            elif field == "contract":
                target[field] = A if target[field] != A else T
            else:
                target[field] = target[field][:-1] + ("0" if target[field][-1] != "0" else "1")
            with pytest.raises(TrailError):
                check(value)


def test_every_two_entries_of_one_chain_that_change_places_are_found() -> None:
    entries = document()["entries"]
    tried = 0
    for i, first in enumerate(entries):
        for j, second in enumerate(entries[i + 1 :], i + 1):
            value = document()
            value["entries"][i], value["entries"][j] = second, first
            with pytest.raises(TrailError):
                check(value)
            if first["contract"] == second["contract"] and first["topics"][1] == second["topics"][1]:
                # With their places kept and only what they say exchanged.
                tried += 1
                value = document()
                for key in ("topics", "data"):
                    value["entries"][i][key], value["entries"][j][key] = second[key], first[key]
                with pytest.raises(TrailError, match="do not lead to its head"):
                    check(value)
    assert tried > 3


def test_names_contract_subject_and_entries_of_a_broken_chain() -> None:
    value = document()
    value["entries"] = [entry for entry in value["entries"] if entry["contract"] != M]
    with pytest.raises(TrailError, match=f"no entries of Market {M} about 0x{ASSET.hex()}"):
        check(value)
    value = document()
    market_entries = [i for i, entry in enumerate(value["entries"]) if entry["contract"] == M]
    value["entries"][market_entries[1]]["data"] += "00"
    names = (
        " to ".join(map(str, market_entries))
        if len(market_entries) < 2
        else ", ".join(map(str, market_entries))
    )
    with pytest.raises(TrailError, match=f"entries {names} of Market {M} about 0x{ASSET.hex()} do not lead"):
        check(value)


def test_an_entry_where_nothing_was_recorded_is_found() -> None:
    value = document()
    entry = value["entries"][-1]
    value["entries"].append(
        entry
        | {
            "contract": T,
            "log": entry["log"] + 1,
            "topics": ["0x" + world.topic_of(world.RECEIVED).hex(), *entry["topics"][1:]],
        }
    )
    with pytest.raises(TrailError, match=f"Treasury {T} about 0x{ASSET.hex()}: the contract recorded none"):
        check(value)


def test_an_entry_about_something_else_is_found_even_if_it_is_true() -> None:
    value = document()
    chain = honest()[0]
    other = next(e for e in chain.entries if e.subject == world.STRANGER_NODE)
    at = next(i for i, e in enumerate(value["entries"]) if (e["block"], e["log"]) > (other.block, other.log))
    value["entries"].insert(at, _entry(other))
    with pytest.raises(TrailError, match=f"entry {at} of Treasury {T} is about 0x{other.subject.hex()}"):
        check(value)


def _entry(entry: Any) -> dict[str, Any]:
    return {
        "contract": "0x" + entry.contract.hex(),
        "block": entry.block,
        "time": entry.time,
        "topics": ["0x" + word.hex() for word in entry.topics],
        "data": "0x" + entry.data.hex(),
        "log": entry.log,
        "tx": "0x" + entry.tx.hex(),
    }


def _set(index: int, **changes: Any) -> Callable[[Any], None]:
    def change(value: Any) -> None:
        value["entries"][index] |= changes

    return change


def _topic(index: int, at: int, word: bytes) -> Callable[[Any], None]:
    def change(value: Any) -> None:
        value["entries"][index]["topics"][at] = "0x" + word.hex()

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_set(2, contract="0x" + "99" * 20), "entry 2 is of 0x99.*does not list"),
        (_set(2, contract="0x" + CHECKER.hex()), "entry 2 is of 0x05.*does not list"),
        (_topic(2, 0, b"\x99" * 32), f"entry 2 is no trail event of Market {M}"),
        (_topic(2, 3, b"\x99" * 32), "actor of entry 2 is no address"),
        (_set(7, block=7), "entry 7 is of block 7, after the bundle's 6"),
        (_set(3, block=2), "entry 3 stands after"),
        (_set(3, log=0), "entry 3 stands after"),
        (_set(3, time=5), "entry 3 gives block 3 another time"),
        (_set(7, time=2**40), "time of entry 7 is .*after the header's"),
        (_set(7, time=world.START), "time of entry 7 is before"),
        (_set(7, block=6), "entry 7 gives block 6 another time than the header"),
    ],
)
def test_entries_that_cannot_be_are_named(change: Callable[[Any], None], reason: str) -> None:
    value = document()
    change(value)
    with pytest.raises(TrailError, match=reason):
        check(value)


def test_the_hints_are_not_part_of_what_is_proved() -> None:
    value = document()
    value["entries"][7] |= {"tx": "0x" + "99" * 32, "log": 900}
    assert [e.digest for e in check(value).entries] == [e.digest for e in check(document()).entries]


# --- anchors


def test_another_chain_directory_or_block_is_refused() -> None:
    anchors = honest()[2]
    with pytest.raises(TrailError, match="chain 31337, not 1"):
        check(document(), replace(anchors, chain_id=1))
    with pytest.raises(TrailError, match="Directory 0x0101"):
        check(document(), replace(anchors, directory=MARKET))
    with pytest.raises(ProofError, match="the header hashes to 0x"):
        check(document(), replace(anchors, block_hash=bytes(32)))


def test_a_changed_header_is_refused() -> None:
    value = document()
    value["header"] = value["header"][:-2] + "ff"
    with pytest.raises(ProofError, match="the header hashes"):
        check(value)
    value["header"] = "0xc0"
    with pytest.raises(ProofError, match="the header: a block header has at least 15"):
        check(value)


def test_the_same_asset_under_another_chain_id_is_refused() -> None:
    value = document()
    value["chainId"] = 1
    with pytest.raises(TrailError, match="registered on another chain"):
        check(value, replace(honest()[2], chain_id=1))


def test_unknown_code_is_refused_and_named() -> None:
    anchors = honest()[2]
    without = {name: build for name, build in BUILDS.items() if name != "Market"}
    with pytest.raises(TrailError, match=f"no build 'Market', which {M}"):
        check(document(), replace(anchors, builds=without))
    for name, address in (("Directory", DIRECTORY), ("Market", MARKET), ("Checker", CHECKER)):
        record = next(item for item in world.RECORDS if item["contractName"] == name)
        other = build_with(name, deployedBytecode=record["deployedBytecode"][:-2] + "5c")
        with pytest.raises(ProofError, match=f"code at 0x{address.hex()} is not build {name}"):
            check(document(), replace(anchors, builds=other))


def test_other_immutables_than_the_codes_are_refused() -> None:
    value = document()
    value["contracts"][2]["immutables"]["minBond"] = "0x" + "00" * 32
    with pytest.raises(ProofError, match=f"code at {M}"):
        check(value)
    del value["contracts"][2]["immutables"]["minBond"]
    with pytest.raises(ProofError, match="immutables"):
        check(value)


# --- fuzz


def test_no_changed_byte_is_accepted_unless_only_a_hint_changed() -> None:
    _, data, anchors = honest()
    truth = verify(data, anchors=anchors)
    rng = random.Random(5)
    # Every kind of byte stands somewhere among these: sampled, and each replaced by several others.
    accepted = 0
    for at in sorted(rng.sample(range(len(data)), 700)):
        for new in rng.sample(b'0123456789abcdefx"{}[]:, \x00\xff', 2):
            if data[at] == new:
                continue
            changed = data[:at] + bytes([new]) + data[at + 1 :]
            try:
                found = verify(changed, anchors=anchors)
            except VerificationError:
                continue
            accepted += 1
            assert [replace(e, log=0, tx=b"") for e in found.entries + found.listings] == [
                replace(e, log=0, tx=b"") for e in truth.entries + truth.listings
            ]
            unhinted = replace(found, entries=truth.entries, listings=truth.listings)
            assert unhinted == truth
    assert accepted < 60


def test_no_cut_or_repeated_part_is_accepted() -> None:
    _, data, anchors = honest()
    rng = random.Random(6)
    for _ in range(100):
        start, end = sorted(rng.sample(range(len(data)), 2))
        for changed in (data[:start] + data[end:], data[:end] + data[start:], data[:start]):
            with pytest.raises(VerificationError):
                verify(changed, anchors=anchors)
