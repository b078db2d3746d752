"""Who may do what: every function that changes state, for every role. See trees/Access.tree."""

from __future__ import annotations

import pytest

from steelyard.domain.types import OfferKind, Role, Stage, name_word
from tests.contracts.support.decode import outcome
from tests.contracts.support.read import Method, read
from tests.contracts.support.rpc import now, warp
from tests.contracts.support.shop import DAY, ETHER, PRICE, address, number, word

COIN = bytes(20)
NONE = (bytes(32), bytes(32))
ANYBODY = frozenset(
    {"deployer", "seller", "buyer", "other_buyer", "stranger", "contributor", "maintainer", "agent"}
)
OWNER = {"seller"}

ALLOWED = {
    "assets": {
        # The version names its asset and the proof its publisher: a registration is the creator's own.
        "register": OWNER,
        "publish": OWNER | {"maintainer"},
        "moveStage": OWNER | {"maintainer"},
        "setRole": OWNER,
        "approve": OWNER,
        "setApprovalForAll": ANYBODY,
        "transferFrom": OWNER,
        "safeTransferFrom/3": OWNER,
        "safeTransferFrom/4": OWNER,
    },
    "market": {
        "makeOffer": OWNER | {"agent"},
        "closeOffer": OWNER | {"agent"},
        "buy": {"buyer"},
        "buyWithPermit": set(),
        "deliver": ANYBODY,
        "settle": ANYBODY,
        "refund": ANYBODY,
        "renew": ANYBODY,
        "dispute": ANYBODY,
        "revoke": OWNER | {"agent"},
        "requestKey": {"buyer"},
        "deliverKey": ANYBODY,
        "returnFee": ANYBODY,
        "fundBond": ANYBODY,
        "takeBond": OWNER,
        "pay": set(),
        "approve": {"buyer"},
        "setApprovalForAll": ANYBODY,
        "transferFrom": {"buyer"},
        "safeTransferFrom/3": {"buyer"},
        "safeTransferFrom/4": {"buyer"},
    },
    "treasury": {
        "deposit": ANYBODY,
        "collect": set(),
        "move": {"contributor"},
        "withdraw": {"contributor"},
        "claim": ANYBODY,
        "movePosition": {"contributor"},
    },
    "directory": {
        "list": {"deployer"},
        "transferOwnership": {"deployer"},
        "acceptOwnership": {"other_buyer"},
        "renounceOwnership": {"deployer"},
    },
}


def _mutators(contract):
    """Return all functions of a contract's ABI that can change state, overloads told apart by their number of inputs."""
    items = [
        i
        for i in contract.abi
        if i["type"] == "function" and i["stateMutability"] in ("nonpayable", "payable")
    ]
    names = [i["name"] for i in items]
    return {i["name"] if names.count(i["name"]) == 1 else f"{i['name']}/{len(i['inputs'])}" for i in items}


@pytest.mark.parametrize("part", ALLOWED)
def test_c20_matrix_names_every_function(shop, part):
    assert _mutators(getattr(shop, part)) == ALLOWED[part].keys()


@pytest.fixture
def world(shop, market, assets, treasury, directory, sealed, asset, roles):
    """Something to do for every function: the arguments with which the right role may call it."""
    assets.setRole(asset, roles.maintainer, Role.MAINTAINER, True, {"from": roles.seller})
    assets.setRole(asset, roles.agent, Role.SELLER, True, {"from": roles.seller})
    treasury.deposit(word(roles.contributor), "0x" + "0" * 40, 10, {"from": roles.stranger, "value": 10})
    directory.transferOwnership(roles.other_buyer, {"from": roles.deployer})
    false = shop.register("garbage", spoil=2)
    rental = {"kind": OfferKind.RENTAL, "period": 20 * DAY, "renew_until": now() + 99 * DAY}
    late = shop.paid(sealed, salt=1, deliver_within=DAY)
    request = None
    orders = {
        "delivered": shop.delivered(sealed, salt=2, window=DAY),
        "disputable": shop.delivered(false, window=9 * DAY),
        "settled": shop.settled(sealed, salt=3, scope=2),
        "rental": shop.settled(sealed, salt=4, **rental),
        "free": shop.settled(sealed, salt=5, price=0, revocable=True),
        "paid": shop.paid(sealed, salt=6, deliver_within=9 * DAY),
    }
    licence = shop.id(orders["settled"])
    lapsed, request = (shop.request(licence, sealed.id, roles.buyer, salt=s) for s in (11, 12))
    shop.ask(lapsed, within=DAY)
    shop.ask(request, within=9 * DAY)
    warp(now() + DAY + 1)
    fresh = shop.request(licence, sealed.id, roles.buyer, salt=13)
    new = shop.order(sealed, orders["settled"].terms, salt=14)
    second = shop.seal(asset, "digits 2")
    terms = orders["settled"].terms
    token, node = number(licence), shop.node_arguments(0)
    receiver = roles.stranger

    def own(account):
        draft = shop.seal(shop.asset_of(roles.seller, "letters"), "letters 1")
        return (name_word("letters"), 0, 0, draft.version.abi(), shop.key_proof(draft, account))

    def mine(account):
        return (asset, shop.terms(seller=address(account), salt=77).abi())

    def erc721(holder, id_):
        return {
            "approve": lambda _: (receiver, id_),
            "setApprovalForAll": lambda _: (receiver, True),
            "transferFrom": lambda _: (holder, receiver, id_),
            "safeTransferFrom/3": lambda _: (holder, receiver, id_),
            "safeTransferFrom/4": lambda _: (holder, receiver, id_, b""),
        }

    return {
        "assets": {
            "register": own,
            "publish": lambda account: (second.version.abi(), shop.key_proof(second, account)),
            "moveStage": lambda _: (sealed.version.abi(), Stage.DRAFT, "why"),
            "setRole": lambda _: (asset, receiver, Role.SELLER, True),
            **erc721(roles.seller, number(asset)),
        },
        "market": {
            "makeOffer": mine,
            "closeOffer": lambda _: (asset, terms.abi()),
            "buy": lambda _: (new.abi(), ()),
            "buyWithPermit": lambda _: (new.abi(), (), (0, 0, 0, bytes(32), bytes(32))),
            "deliver": lambda _: (orders["paid"].abi(), *shop.delivery(orders["paid"], sealed)),
            "settle": lambda _: (orders["delivered"].abi(),),
            "refund": lambda _: (late.abi(),),
            "renew": lambda _: (orders["rental"].abi(),),
            "dispute": lambda _: (orders["disputable"].abi(), shop.fraud(orders["disputable"], false, 2)),
            "revoke": lambda _: (number(shop.id(orders["free"])),),
            "requestKey": lambda _: (token, sealed.id, fresh.key.abi(), DAY),
            "deliverKey": lambda _: (
                request.abi(),
                sealed.version.abi(),
                NONE,
                *shop.answer(request, sealed),
            ),
            "returnFee": lambda _: (lapsed.abi(),),
            "fundBond": lambda _: (receiver,),
            "takeBond": lambda _: (1,),
            "pay": lambda _: (COIN, 0),
            **erc721(roles.buyer, token),
        },
        "treasury": {
            "deposit": lambda _: (word(receiver), COIN, 0),
            "collect": lambda _: (word(receiver), COIN, 0),
            "move": lambda _: (word(receiver), COIN, 10),
            "withdraw": lambda _: (receiver, COIN, 10),
            "claim": lambda _: node,
            "movePosition": lambda _: (node[0], node[1], 1, receiver),
        },
        "directory": {
            "list": lambda _: (shop.fraud_checker,),
            "transferOwnership": lambda _: (receiver,),
            "acceptOwnership": lambda _: (),
            "renounceOwnership": lambda _: (),
        },
    }


VALUE = {"buy": PRICE, "renew": PRICE}


@pytest.mark.parametrize("part", ALLOWED)
def test_c20_every_function_for_every_role(shop, roles, world, part):
    contract = getattr(shop, part)
    for name, allowed in ALLOWED[part].items():
        plain, _, inputs = name.partition("/")
        method = Method(contract, plain, int(inputs) if inputs else None)
        found = set()
        for role, account in vars(roles).items():
            arguments = world[part][name](account)
            if outcome(method, *arguments, sender=account, value=VALUE.get(name, 0)) is None:
                found.add(role)
        assert found == allowed, name


def test_c20_deployer_has_no_power_but_the_list(shop, deployer):
    assert read(shop.directory, "owner") == address(deployer)
    for contract in (shop.assets, shop.market, shop.treasury):
        assert not any(i.get("name") in ("owner", "paused", "pause", "upgradeTo") for i in contract.abi)


def test_c20_refund_and_withdrawal_need_nobody(shop, market, treasury, sealed, buyer, deployer):
    """Whatever the curator does, the way out stays open."""
    order = shop.paid(sealed)
    shop.directory.renounceOwnership({"from": deployer})
    warp(now() + DAY + 1)
    market.refund(order.abi(), {"from": buyer})
    treasury.withdraw(buyer, "0x" + "0" * 40, PRICE, {"from": buyer})
    market.takeBond(ETHER // 2, {"from": shop.roles.seller})
