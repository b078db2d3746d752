"""The list of contracts. See trees/Directory.tree."""

from __future__ import annotations

import pytest

from brownie import Directory, web3
from steelyard.domain.hash import keccak256
from tests.contracts.support.decode import attempt, event, events, rejects
from tests.contracts.support.read import Method, code, read
from tests.contracts.support.shop import address, word

NOBODY = "0x" + "0" * 40


def test_lists_from_the_start(shop, directory):
    listed = (shop.assets, shop.market, shop.treasury)
    assert read(directory, "all") == tuple(address(item) for item in listed)
    assert read(directory, "count") == 3
    assert [read(directory, "contractAt", i) for i in range(3)] == [address(item) for item in listed]


def test_curator_lists_another(shop, directory, deployer):
    item = shop.fraud_checker
    tx = directory.list(item, {"from": deployer})
    assert events(tx) == [
        event(
            "Listed",
            subject=word(directory),
            id=word(item),
            actor=deployer,
            index=3,
            codeHash=keccak256(code(item)),
        )
    ]
    assert read(directory, "count") == 4
    assert read(directory, "contractAt", 3) == address(item)


def test_rejects_who_is_not_the_curator(shop, directory, stranger):
    rejects("OwnableUnauthorizedAccount", stranger)(directory.list, shop.fraud_checker, sender=stranger)


def test_rejects_what_is_listed(shop, directory, deployer):
    rejects("Directory_NotListable", shop.market)(directory.list, shop.market, sender=deployer)


def test_rejects_what_has_no_code(directory, deployer, stranger):
    rejects("Directory_NotListable", stranger)(directory.list, stranger, sender=deployer)


def test_rejects_an_index_beyond(directory, stranger):
    rejects("Panic", 0x32)(directory.contractAt, 3, sender=stranger)


def test_curatorship_is_handed_over_in_two_steps(shop, directory, deployer, stranger):
    assert read(directory, "owner") == address(deployer)
    tx = directory.transferOwnership(stranger, {"from": deployer})
    assert events(tx) == [event("OwnershipTransferStarted", previousOwner=deployer, newOwner=stranger)]
    assert read(directory, "owner") == address(deployer)
    assert read(directory, "pendingOwner") == address(stranger)
    rejects("OwnableUnauthorizedAccount", stranger)(directory.list, shop.fraud_checker, sender=stranger)
    tx = directory.acceptOwnership({"from": stranger})
    assert events(tx) == [event("OwnershipTransferred", previousOwner=deployer, newOwner=stranger)]
    directory.list(shop.fraud_checker, {"from": stranger})
    rejects("OwnableUnauthorizedAccount", deployer)(directory.list, shop.fraud_checker, sender=deployer)


def test_only_the_named_successor_accepts(directory, deployer, stranger, buyer):
    directory.transferOwnership(stranger, {"from": deployer})
    rejects("OwnableUnauthorizedAccount", buyer)(directory.acceptOwnership, sender=buyer)


def test_renounced_for_ever(shop, directory, deployer):
    tx = directory.renounceOwnership({"from": deployer})
    assert events(tx) == [event("OwnershipTransferred", previousOwner=deployer, newOwner=NOBODY)]
    assert read(directory, "owner") == bytes(20)
    rejects("OwnableUnauthorizedAccount", deployer)(directory.list, shop.fraud_checker, sender=deployer)
    assert read(directory, "count") == 3


def test_stranger_neither_hands_over_nor_renounces(directory, stranger):
    rejects("OwnableUnauthorizedAccount", stranger)(directory.transferOwnership, stranger, sender=stranger)
    rejects("OwnableUnauthorizedAccount", stranger)(directory.renounceOwnership, sender=stranger)


@pytest.mark.parametrize("case", ["twice", "no code", "nobody"])
def test_constructor_checks_like_list(shop, deployer, stranger, case):
    items, curator, expected = {
        "twice": ([shop.market, shop.market], deployer, ("Directory_NotListable", (address(shop.market),))),
        "no code": ([stranger], deployer, ("Directory_NotListable", (address(stranger),))),
        "nobody": ([], NOBODY, ("OwnableInvalidOwner", (bytes(20),))),
    }[case]
    data = Directory.deploy.encode_input([str(item) for item in items], str(curator))
    assert attempt({"from": deployer.address, "data": "0x" + data.removeprefix("0x")}) == expected


def test_head_is_in_slot_zero_of_every_trail(shop):
    """docs/trail.md: the slot of a subject's head is keccak256(subject || 0)."""
    subjects = (
        shop.seal(shop.asset_of(shop.roles.seller, "digits"), "digits 1").version.asset,
        word(shop.directory),
    )
    for contract, subject in ((shop.assets, subjects[0]), (shop.directory, subjects[1])):
        slot = int.from_bytes(keccak256(subject + bytes(32)), "big")
        stored = bytes(web3.eth.get_storage_at(str(contract), slot))
        assert stored == read(contract, "head", subject) != bytes(32)
        assert Method(contract, "head").item["stateMutability"] == "view"
