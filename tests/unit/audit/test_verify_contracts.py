"""The verifier on contracts: the list is complete, codes and heads are proved, nothing points outside."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from steelyard.audit.account import head_slot
from steelyard.audit.collect import collect
from steelyard.domain.hash import keccak256
from steelyard.domain.types import Address, account_word
from steelyard.errors import ProofError, TrailError, VerificationError
from tests.unit.audit import chain as world
from tests.unit.audit.cases import build_with, check, document, dump, honest
from tests.unit.audit.chain import (
    ASSET,
    ASSETS,
    BUILDS,
    CHECKER,
    DIRECTORY,
    MARKET,
    NODE,
    TREASURY,
    Chain,
    market,
)

A, M, T = "0x" + ASSETS.hex(), "0x" + MARKET.hex(), "0x" + TREASURY.hex()


# --- contracts


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_dropped_contract_is_named(index: int) -> None:
    value = document()
    dropped = value["contracts"].pop(index)["address"]
    value["entries"] = [entry for entry in value["entries"] if entry["contract"] != dropped]
    with pytest.raises(TrailError, match=f"contract {index} of the Directory, {dropped}"):
        check(value)


def test_a_dropped_contract_with_its_listing_is_noticed() -> None:
    value = document()
    dropped = value["contracts"].pop()["address"]
    value["listings"].pop()
    value["entries"] = [entry for entry in value["entries"] if entry["contract"] != dropped]
    with pytest.raises(TrailError, match="listings 0 to 1 of Directory .* do not lead to its head"):
        check(value)
    value["listings"].clear()
    value["contracts"].clear()
    with pytest.raises(TrailError, match="no listings of Directory"):
        check(value)


def test_contracts_in_another_order_or_too_many_are_refused() -> None:
    value = document()
    value["contracts"].reverse()
    with pytest.raises(TrailError, match="is not contract 0 of the bundle"):
        check(value)
    value = document()
    value["contracts"].append(value["contracts"][0])
    with pytest.raises(TrailError, match=f"contract 3 of the bundle, {A}, is not in the Directory"):
        check(value)


def test_the_directory_must_be_of_its_ownbuild_with() -> None:
    value = document()
    value["directory"]["build"] = "Assets"
    with pytest.raises(TrailError, match="build is called Directory"):
        check(value)


def test_two_contracts_cannot_exchange_proofs() -> None:
    for key in ("account", "build"):
        value = document()
        first, second = value["contracts"][0], value["contracts"][1]
        first[key], second[key] = second[key], first[key]
        with pytest.raises(ProofError):
            check(value)


def test_a_proof_of_another_chain_is_refused_and_named() -> None:
    other = market()
    other.log(MARKET, world.RENEWED, ASSET, b"\x0e" * 32, 1, 1)
    other.mine()
    data, _ = collect(other, directory=DIRECTORY, asset=ASSET, builds=BUILDS)
    value, strange = document(), json.loads(data)
    value["contracts"][2]["account"] = strange["contracts"][2]["account"]
    with pytest.raises(ProofError, match=f"the account of Market {M}: .*not the one"):
        check(value)
    value = document()
    value["contracts"][2]["heads"] = strange["contracts"][2]["heads"]
    with pytest.raises(ProofError, match=f"the head of 0x{ASSET.hex()} in Market {M}: .*not the one"):
        check(value)


def test_proofs_cut_short_or_empty_are_refused() -> None:
    for position in range(3):
        for part in ("account", "heads"):
            value = document()
            target = value["contracts"][position]
            proof = target["account"] if part == "account" else target["heads"][0]["proof"]
            if proof:
                proof.pop()
                with pytest.raises(ProofError, match="cut short"):
                    check(value)


def test_a_proof_of_absence_cannot_stand_for_a_head() -> None:
    """The proof that the market knows nothing about another asset, in place of the asset's own."""
    nobody, _ = collect(honest()[0], directory=DIRECTORY, asset=b"\x55" * 32, builds=BUILDS)  # type: ignore[arg-type]
    value, absent = document(), json.loads(nobody)
    value["entries"] = [entry for entry in value["entries"] if entry["contract"] != M]
    value["contracts"][2]["heads"][0]["proof"] = absent["contracts"][2]["heads"][0]["proof"]
    with pytest.raises(VerificationError, match=M):
        check(value)
    value["contracts"][2]["heads"][0]["subject"] = "0x" + "55" * 32
    with pytest.raises(TrailError, match=f"Market {M} needs a head of the asset"):
        check(value)


def test_the_history_of_another_asset_cannot_stand_for_this_one() -> None:
    value = document()
    value["asset"] = "0x" + "77" * 32
    with pytest.raises(TrailError, match="needs a head of the asset"):
        check(value)
    chain = honest()[0]
    renamed = json.loads(dump(document()).replace(ASSET.hex().encode(), b"77" * 32))
    with pytest.raises(VerificationError):
        check(renamed)
    assert any(entry.subject == b"\x77" * 32 for entry in chain.entries)


def test_heads_are_exactly_the_ones_needed() -> None:
    changes: list[Callable[[list[Any]], object]] = [
        lambda heads: heads.pop(),
        lambda heads: heads.pop(0),
        lambda heads: heads.append(heads[-1]),
        lambda heads: heads.insert(1, heads.pop()),
        lambda heads: heads.clear(),
    ]
    for change in changes:
        value = document()
        change(value["contracts"][1]["heads"])
        with pytest.raises(TrailError, match=f"Treasury {T}"):
            check(value)
    value = document()
    true: Any = honest()[0].call("eth_getProof", [M, ["0x" + head_slot(NODE).hex()], "latest"])
    value["contracts"][2]["heads"].append(
        {"subject": "0x" + NODE.hex(), "proof": true["storageProof"][0]["proof"]}
    )
    with pytest.raises(TrailError, match=f"Market {M} does not have the heads"):
        check(value)
    value = document()
    value["directory"]["heads"] = []
    with pytest.raises(TrailError, match="proof of one head, its own"):
        check(value)


# --- companions and references


def _with_market(immutables: dict[str, bytes], *, listed: bool = True) -> Chain:
    chain = market()
    second = Address(b"\x06" * 20)
    chain.deploy(second, "Market", immutables)
    if listed:
        chain.enlist(second)
    chain.mine()
    return chain


def test_an_immutable_that_points_outside_is_refused() -> None:
    """A market whose registry is not listed could sell assets that no bundle shows."""
    chain = _with_market(world.MARKET_IMMUTABLES | {"assets": account_word(Address(b"\x07" * 20))})
    chain.deploy(Address(b"\x07" * 20), "Assets")
    with pytest.raises(TrailError, match="Assets 0x0707.*keeps a trail and is not listed"):
        collect(chain, directory=DIRECTORY, asset=ASSET, builds=BUILDS)
    value = document()
    value["companions"] = []
    with pytest.raises(TrailError, match=f"checker of Market {M} is 0x05.*neither listed nor a companion"):
        check(value)


def test_companions_are_needed_proved_and_unique() -> None:
    value = document()
    value["companions"] *= 2
    with pytest.raises(TrailError, match="twice"):
        check(value)
    value = document()
    extra = {key: value["contracts"][0][key] for key in ("account", "address", "build", "immutables")}
    value["companions"].append(extra)
    with pytest.raises(TrailError, match=f"nothing needs Assets {A}"):
        check(value)
    value = document()
    value["companions"][0]["account"] = value["contracts"][0]["account"]
    with pytest.raises(ProofError, match="account of Checker"):
        check(value)


def test_a_companion_that_nothing_refers_to_is_refused() -> None:
    chain, second = market(), Address(b"\x09" * 20)
    chain.deploy(second, "Checker")
    data, verified = collect(chain, directory=DIRECTORY, asset=ASSET, builds=BUILDS)
    value = json.loads(data)
    true: Any = chain.call("eth_getProof", ["0x" + second.hex(), [], "latest"])
    extra = {
        "address": "0x" + second.hex(),
        "build": "Checker",
        "immutables": {},
        "account": true["accountProof"],
    }
    value["companions"].append(extra)
    with pytest.raises(TrailError, match="nothing needs Checker 0x0909"):
        check(value, replace(honest()[2], block_hash=verified.block.hash))


def test_a_listed_contract_without_a_trail_has_no_heads_and_no_entries() -> None:
    chain = market()
    chain.enlist(CHECKER)
    chain.mine()
    data, verified = collect(chain, directory=DIRECTORY, asset=ASSET, builds=BUILDS)
    assert [c.address for c in verified.contracts][-1] == CHECKER and verified.companions == ()
    value = json.loads(data)
    value["contracts"][3]["heads"] = value["contracts"][0]["heads"]
    anchors = replace(honest()[2], block_hash=verified.block.hash)
    with pytest.raises(TrailError, match="Checker 0x05.* needs a head .*none otherwise"):
        check(value, anchors)


def test_code_that_changed_since_it_was_listed_is_refused() -> None:
    chain = market()
    chain.code[MARKET] = BUILDS["Market"].code(world.MARKET_IMMUTABLES | {"minBond": bytes(32)})
    with pytest.raises(TrailError, match="Market 0x04.* is not the one that was listed"):
        collect(chain, directory=DIRECTORY, asset=ASSET, builds=BUILDS)


def test_versions_with_nodes_need_a_listed_treasury() -> None:
    chain = Chain()
    chain.deploy(DIRECTORY, "Directory")
    chain.deploy(ASSETS, "Assets")
    chain.enlist(ASSETS)
    chain.log(ASSETS, world.REGISTERED, ASSET, world.NAME, 0, 0)
    chain.log(ASSETS, world.PUBLISHED, ASSET, b"\x01" * 32, 1, world.version_of(NODE))
    with pytest.raises(TrailError, match="no listed contract is a treasury"):
        collect(chain, directory=DIRECTORY, asset=ASSET, builds=BUILDS)


def test_an_asset_without_versions_needs_no_treasury() -> None:
    chain = Chain()
    chain.deploy(DIRECTORY, "Directory")
    chain.deploy(ASSETS, "Assets")
    chain.enlist(ASSETS)
    chain.log(ASSETS, world.REGISTERED, ASSET, world.NAME, 0, 0)
    _, verified = collect(chain, directory=DIRECTORY, asset=ASSET, builds=BUILDS)
    assert verified.nodes == () and len(verified.entries) == 1


def test_a_registry_that_publishes_versions_without_a_node_is_refused() -> None:
    other = world.event("VersionPublished", "asset", "version", ("number", "uint32"))
    chain = market()
    chain.log(ASSETS, other, ASSET, b"\x02" * 32, 2)
    with pytest.raises(TrailError, match="Assets publishes versions without a node"):
        collect(
            chain,
            directory=DIRECTORY,
            asset=ASSET,
            builds=build_with("Assets", abi=[world.REGISTERED, world.PUBLISHED, other]),
        )


def test_the_directory_records_nothing_but_listings() -> None:
    with pytest.raises(TrailError, match="listing 0 of Directory .* is not Listed"):
        check(document(), replace(honest()[2], builds=build_with("Directory", abi=[])))
    noted = world.event("Noted", "subject", "id", ("index", "uint256"), ("codeHash", "bytes32"))
    chain = Chain()
    chain.deploy(DIRECTORY, "Directory")
    chain.deploy(ASSETS, "Assets")
    chain.log(
        DIRECTORY, noted, account_word(DIRECTORY), account_word(ASSETS), 0, keccak256(chain.code[ASSETS])
    )
    with pytest.raises(TrailError, match="listing 0 of Directory .* is not Listed"):
        collect(
            chain, directory=DIRECTORY, asset=ASSET, builds=build_with("Directory", abi=[world.LISTED, noted])
        )


@pytest.mark.parametrize(("index", "word"), [(1, account_word(ASSETS)), (0, b"\x01" * 12 + ASSETS)])
def test_listings_count_up_and_list_addresses(index: int, word: bytes) -> None:
    chain = Chain()
    chain.deploy(DIRECTORY, "Directory")
    chain.deploy(ASSETS, "Assets")
    chain.log(DIRECTORY, world.LISTED, account_word(DIRECTORY), word, index, keccak256(chain.code[ASSETS]))
    with pytest.raises(TrailError, match="listing 0 does not list contract 0"):
        collect(chain, directory=DIRECTORY, asset=ASSET, builds=BUILDS)


def test_an_asset_with_entries_was_registered_once() -> None:
    chain = market()
    with pytest.raises(TrailError, match="registered 0 times"):
        collect(chain, directory=DIRECTORY, asset=b"\x77" * 32, builds=BUILDS)  # type: ignore[arg-type]
    chain.log(ASSETS, world.REGISTERED, ASSET, world.NAME, 0, 0)
    with pytest.raises(TrailError, match="registered 2 times"):
        collect(chain, directory=DIRECTORY, asset=ASSET, builds=BUILDS)
