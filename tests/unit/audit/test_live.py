"""The shipped contracts on a chain of the test's own: what they record is what the audit proves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from coincurve import PrivateKey

from steelyard.audit.build import load
from steelyard.audit.collect import collect, fetch_header
from steelyard.audit.history import history
from steelyard.audit.verify import Anchors, verify
from steelyard.domain.abi import encode
from steelyard.domain.hash import keccak256
from steelyard.domain.point import Point
from steelyard.domain.types import (
    NATIVE,
    ORDER,
    POSITION,
    TERMS,
    VERSION,
    Address,
    OfferKind,
    Order,
    Position,
    Scope,
    Terms,
    Version,
    account_word,
    asset_id,
    node_id,
)
from steelyard.errors import TrailError
from tests.unit.audit.anvil import ROOT, Anvil, find, running

ABI = ROOT / "backend" / "steelyard" / "chain" / "abi"
NAMES = ("Directory", "Assets", "Treasury", "FraudChecker", "Market")

pytestmark = pytest.mark.skipif(
    find() is None or not all((ABI / f"{name}.json").is_file() for name in NAMES),
    reason="needs anvil (`make setup`) and the compiled contracts (`make abi`)",
)
NAME = b"digits".ljust(32, b"\0")


@pytest.fixture(scope="module")
def records() -> dict[str, Any]:
    return {name: json.loads((ABI / f"{name}.json").read_text(encoding="utf-8")) for name in NAMES}


@pytest.fixture
def node() -> Iterator[Anvil]:
    with running() as anvil:
        yield anvil


def register(node: Anvil, assets: bytes, revenue: bytes) -> Version:
    """Register an asset with a first version, with a true key proof; returns the version."""
    me = Address(bytes.fromhex(node.account[2:]))
    asset = asset_id(chain_id=31337, registry=Address(assets), creator=me, name=NAME)
    key = PrivateKey(b"\x07" * 32)
    x, y = key.public_key.point()
    version = Version(
        asset=asset,
        folder=b"\x11" * 32,
        content_root=b"\x22" * 32,
        size=9,
        scheme=1,
        key=Point(x, y),
        node=revenue,  # type: ignore[arg-type]
    )
    types = ("bytes32", "uint256", "address", "bytes32", "address")
    digest = keccak256(encode(types, (keccak256(b"steelyard/key-proof/v1"), 31337, assets, version.id, me)))
    signature = key.sign_recoverable(digest, hasher=None)
    proof = (27 + signature[64], signature[:32], signature[32:64])
    kinds = ["bytes32", "uint8", "uint16", VERSION, "(uint8,bytes32,bytes32)"]
    node.use(assets, "register", kinds, [NAME, 0, 100, version.abi(), proof])
    return version


def trade(node: Anvil, market: bytes, version: Version) -> None:
    """Make an offer, buy, get the money back after the deadline, close the offer."""
    me = Address(bytes.fromhex(node.account[2:]))
    terms = Terms(
        seller=me,
        currency=NATIVE,
        price=1000,
        bond=0,
        kind=OfferKind.PERPETUAL,
        scope=Scope.ALL,
        transferable=True,
        revocable=False,
        period=0,
        renew_until=0,
        supply=0,
        deliver_within=3600,
        window=0,
        allow_list=bytes(32),
        text=b"\x33" * 32,
        salt=1,
    )
    blinded = Point(*PrivateKey(b"\x09" * 32).public_key.point())
    order = Order(version=version, terms=terms, buyer=me, salt=b"\x44" * 32, key=blinded)
    node.use(market, "makeOffer", ["bytes32", TERMS], [version.asset, terms.abi()])
    node.use(market, "buy", [ORDER, "bytes32[]"], [order.abi(), ()], value=1000)
    node.call("evm_increaseTime", [4000])
    node.use(market, "refund", [ORDER], [order.abi()])
    node.use(market, "closeOffer", ["bytes32", TERMS], [version.asset, terms.abi()])


def test_a_history_on_a_chain_is_whole_and_a_hidden_log_is_named(
    node: Anvil, records: dict[str, Any]
) -> None:
    builds = {name: load(record) for name, record in records.items()}
    me = Address(bytes.fromhex(node.account[2:]))
    assets, treasury = node.deploy(records["Assets"]), node.deploy(records["Treasury"])
    checker = node.deploy(records["FraudChecker"])
    wiring = ("address", "address", "address", "uint128")
    market = node.deploy(records["Market"], wiring, (assets, treasury, checker, 10**16))
    directory = Address(node.deploy(records["Directory"], ("address[]", "address"), ((assets, market), me)))
    node.use(directory, "list", ["address"], [treasury])
    inner = node_id(bytes(32), (Position(payee=account_word(me), weight=10_000),))
    revenue = node_id(bytes(32), (Position(payee=inner, weight=10_000),))
    version = register(node, assets, revenue)
    asset = version.asset
    trade(node, market, version)
    node.use(treasury, "deposit", ["bytes32", "address", "uint128"], [revenue, NATIVE, 7], value=7)
    claim = ["bytes32", f"{POSITION}[]", "uint256", "address"]
    node.use(treasury, "claim", claim, [bytes(32), ((inner, 10_000),), 0, NATIVE])
    node.use(assets, "setRole", ["bytes32", "address", "uint8", "bool"], [asset, b"\xcc" * 20, 1, True])
    other = Address(b"\xdd" * 20)
    node.use(
        assets, "transferFrom", ["address", "address", "uint256"], [me, other, int.from_bytes(asset, "big")]
    )

    data, verified = collect(node, directory=directory, asset=asset, builds=builds)
    anchors = Anchors(chain_id=31337, directory=directory, block_hash=verified.block.hash, builds=builds)
    assert verify(data, anchors=anchors) == verified
    assert set(verified.nodes) == {inner, revenue}
    events = history(verified)
    assert [event.name for event in events] == [
        *("AssetRegistered", "VersionPublished", "Offered", "Purchased", "Refunded", "OfferClosed"),
        *("Received", "Claimed", "Received", "RoleSet", "AssetTransferred"),
    ]
    assert events[0].fields == {"kind": "model", "royalty": "100"}
    terms = events[2].fields["terms"]
    assert isinstance(terms, dict) and (terms["kind"], terms["scope"], terms["price"]) == (
        "perpetual",
        "all",
        "1000",
    )
    assert events[9].fields == {"role": "seller", "granted": True}
    assert [contract.address for contract in verified.companions] == [checker]
    # Prague and later: the header has 21 fields or more, and hashes to what the node says.
    assert len(fetch_header(node, "latest")[0].fields) >= 21

    class Liar:
        def __init__(self, hidden: int) -> None:
            self.hidden = hidden

        def call(self, method: str, params: Any, /) -> Any:
            result = node.call(method, params)
            if method == "eth_getLogs":
                return [
                    log
                    for log in result
                    if (int(log["blockNumber"], 16), int(log["logIndex"], 16)) != self.place
                ]
            return result

        @property
        def place(self) -> tuple[int, int]:
            entry = verified.entries[self.hidden]
            return entry.block, entry.log

    for index, event in enumerate(events):
        with pytest.raises(TrailError, match=f"{event.build} 0x{event.contract.hex()}"):
            collect(Liar(index), directory=directory, asset=asset, builds=builds)
