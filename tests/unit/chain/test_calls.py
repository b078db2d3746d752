"""Signatures and encodings are those of the compiled contracts, decoded here by another ABI library."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from eth_abi import decode

from steelyard.chain.artifacts import CONTRACTS, Item, artifact
from steelyard.chain.calls import Call, Calls
from steelyard.chain.deployment import Deployment
from steelyard.domain.types import NATIVE, Address, AssetKind, Role, Stage, account_word
from steelyard.errors import InputError

from . import values as v

TOKEN = Address(b"\x70" * 20)

CALLS: dict[str, Callable[[Calls], Call]] = {
    "Assets.register": lambda c: c.register(
        b"digits".ljust(32, b"\0"), AssetKind.MODEL, 500, v.VERSION, v.KEY_PROOF
    ),
    "Assets.publish": lambda c: c.publish(v.VERSION, v.KEY_PROOF),
    "Assets.moveStage": lambda c: c.move_stage(v.VERSION, Stage.RETIRED, "why"),
    "Assets.setRole": lambda c: c.set_role(v.ASSET, v.ACCOUNT, Role.SELLER, True),
    "Assets.transferFrom": lambda c: c.transfer_asset(v.ASSET, owner=v.ACCOUNT, to=TOKEN),
    "Market.makeOffer": lambda c: c.make_offer(v.ASSET, v.TERMS),
    "Market.closeOffer": lambda c: c.close_offer(v.ASSET, v.TERMS),
    "Market.buy": lambda c: c.buy(v.ORDER, [b"\x01" * 32]),
    "Market.buyWithPermit": lambda c: c.buy_with_permit(v.ORDER, v.PERMIT),
    "Market.deliver": lambda c: c.deliver(v.ORDER, v.POINT, v.Proof()),
    "Market.settle": lambda c: c.settle(v.ORDER),
    "Market.refund": lambda c: c.refund(v.ORDER),
    "Market.renew": lambda c: c.renew(v.ORDER),
    "Market.dispute": lambda c: c.dispute(v.ORDER, v.FRAUD),
    "Market.transferFrom": lambda c: c.transfer_licence(v.LICENCE, holder=v.ACCOUNT, to=TOKEN),
    "Market.revoke": lambda c: c.revoke(v.LICENCE),
    "Market.requestKey": lambda c: c.request_key(v.LICENCE, v.VERSION_ID, v.POINT, within=3_600, fee=9),
    "Market.deliverKey": lambda c: c.deliver_key(v.REQUEST, v.VERSION, v.POINT, v.Proof()),
    "Market.returnFee": lambda c: c.return_fee(v.REQUEST),
    "Market.fundBond": lambda c: c.fund_bond(v.ACCOUNT, 5),
    "Market.takeBond": lambda c: c.take_bond(5),
    "Treasury.deposit": lambda c: c.deposit(account_word(v.ACCOUNT), NATIVE, 5),
    "Treasury.move": lambda c: c.move(account_word(v.ACCOUNT), TOKEN, 5),
    "Treasury.withdraw": lambda c: c.withdraw(v.ACCOUNT, TOKEN, 5),
    "Treasury.claim": lambda c: c.claim(bytes(32), v.POSITIONS, 1, NATIVE),
    "Treasury.movePosition": lambda c: c.move_position(bytes(32), v.POSITIONS, 1, v.ACCOUNT),
    "Directory.list": lambda c: c.list_contract(TOKEN),
}

# What clients have no use for: callbacks, the contracts' own ways, and the curatorship, which deploy.py handles.
UNUSED = {
    *("Treasury.collect", "Market.pay", "Directory.renounceOwnership", "Directory.transferOwnership"),
    "Directory.acceptOwnership",
    *(
        f"{name}.{call}"
        for name in ("Assets", "Market")
        for call in ("approve", "setApprovalForAll", "safeTransferFrom")
    ),
}


def changing() -> dict[str, list[Item]]:
    found: dict[str, list[Item]] = {}
    for contract in CONTRACTS:
        if contract == "Channels":
            continue  # its calls are apart: the Calls here are those of every market
        for item in artifact(contract).items:
            if item.kind == "function" and item.mutability in ("payable", "nonpayable"):
                found.setdefault(f"{contract}.{item.name}", []).append(item)
    return found


def test_every_function_that_changes_state_has_a_call() -> None:
    assert set(changing()) - UNUSED == set(CALLS)


@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_one_of_the_compiled_contract(nowhere: Deployment, name: str) -> None:
    call = CALLS[name](Calls(nowhere))
    (item,) = [item for item in changing()[name] if item.selector == call.data[:4]]
    assert call.name == name
    assert call.to == nowhere.contracts[name.split(".")[0]].address
    assert call.value == 0 or item.mutability == "payable"
    decode([field.kind for field in item.inputs], call.data[4:])


def test_fields_stand_in_the_order_of_the_contract(nowhere: Deployment) -> None:
    (item,) = changing()["Market.dispute"]
    order, fraud = decode(
        [field.kind for field in item.inputs], Calls(nowhere).dispute(v.ORDER, v.FRAUD).data[4:]
    )
    version, terms, buyer, salt, key = order
    assert version == (v.ASSET, b"\xf0" * 32, b"\xc0" * 32, 1 << 40, 1, (3, 5), b"\x8d" * 32)
    assert terms[2:5] == (10**18, 10**15, 1) and terms[-2:] == (42, bytes(32))
    assert (buyer, salt, key) == ("0x" + "ac" * 20, b"\x5a" * 32, (8, 13))
    proof = ("0x" + "a1" * 20, (1, 2), 6, (3, 4), 9)
    assert fraud == (
        (3, 5),
        proof,
        (21, 34),
        proof,
        5,
        b"c" * 4096,
        b"\x09" * 32,
        (b"\x01" * 32, b"\x02" * 32),
    )


def test_the_price_is_sent_along_only_in_the_native_coin(nowhere: Deployment) -> None:
    from dataclasses import replace

    calls = Calls(nowhere)
    token = replace(v.ORDER, terms=replace(v.TERMS, currency=TOKEN))
    assert [calls.buy(v.ORDER).value, calls.renew(v.ORDER).value] == [10**18, 10**18]
    assert [calls.buy(token).value, calls.renew(token).value] == [0, 0]
    assert calls.buy_with_permit(token, v.PERMIT).value == 0
    assert calls.deposit(bytes(32), NATIVE, 5).value == 5
    assert calls.deposit(bytes(32), TOKEN, 5).value == 0


def test_what_does_not_fit_is_refused(nowhere: Deployment) -> None:
    with pytest.raises(InputError):
        Calls(nowhere).take_bond(1 << 128)
