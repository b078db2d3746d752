"""How the proof of a delivery is found, whatever its sender did to hide it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from steelyard.chain.calls import PROOF
from steelyard.chain.wire import Log, Receipt
from steelyard.crypto import dleq
from steelyard.crypto.curve import G, mul
from steelyard.crypto.delivery import blind, delivery_context
from steelyard.crypto.dleq import Proof
from steelyard.crypto.secret import Secret
from steelyard.domain.abi import encode, topic
from steelyard.domain.point import Point
from steelyard.domain.types import Address, AssetId, NodeId, PurchaseId, Version
from steelyard.errors import RpcError
from steelyard.service.context import Context
from steelyard.service.keys import Received, find_proof
from tests.unit.service.chain import CHAIN, DEPLOYMENT

MARKET = DEPLOYMENT.market
RELAY = Address(b"\xbb" * 20)
TX = b"\x77" * 32
PURCHASE = PurchaseId(b"\x55" * 32)
KAPPA, B = Secret((7).to_bytes(32, "big")), Secret((9).to_bytes(32, "big"))
Q = blind(B)
BOUND = delivery_context(CHAIN, market=MARKET, purchase=PURCHASE)
D, TRUE = dleq.prove(KAPPA, base=Q, context=BOUND)
VERSION = Version(AssetId(bytes(32)), bytes(32), bytes(32), 1, 1, mul(7, G), NodeId(bytes(32)))
CALL = b"call" + bytes(range(200))
ITEM = Received(delivered=D, b=B, blinded=Q, context=BOUND, tx=TX, call=CALL, purchase=None)
BOUGHT = replace(ITEM, purchase=cast(Any, SimpleNamespace(id=PURCHASE)))


def words(proof: Proof) -> bytes:
    values = (proof.a1, proof.a2.abi(), proof.s, proof.cy.abi(), proof.inverse)
    return encode((PROOF,), (values,))


HONEST = CALL + words(TRUE)
DECOYS = (
    CALL + words(replace(TRUE, s=TRUE.s - 1)),
    CALL + words(replace(TRUE, a2=Point(1, 1))),
    CALL + b"\xff" * 7 * 32,
    CALL + b"\x01",
    CALL + words(dleq.prove(KAPPA, base=Q, context=bytes(32))[1]),
)


@dataclass
class Endpoint:
    """Answers for one transaction; what is None is refused."""

    input: bytes = b""
    trace: Any = None
    logs: tuple[Log, ...] | None = ()
    asked: list[str] = field(default_factory=list)

    def call(self, method: str, params: object) -> Any:
        self.asked.append(method)
        if method == "eth_getTransactionByHash":
            return {"input": "0x" + self.input.hex()}
        if self.trace is None:
            raise RpcError("no such method", code=-32601, reason="no such method", data=None)
        return self.trace

    def get_receipt(self, tx: bytes) -> Receipt:
        if self.logs is None:
            raise RpcError("pruned", code=1, reason="pruned", data=None)
        return cast(Receipt, SimpleNamespace(logs=self.logs))


def context(endpoint: Endpoint) -> Context:
    return cast(Context, SimpleNamespace(rpc=endpoint, deployment=DEPLOYMENT))


def log(data: bytes, *, address: Address = MARKET, purchase: bytes = PURCHASE) -> Log:
    event = topic(f"DeliveryProof(bytes32,{PROOF})")
    return Log(address, (event, purchase), data, 1, bytes(32), TX, 0, 0, False)


def frame(data: bytes = b"", *calls: object, to: Address = MARKET, **more: object) -> dict[str, object]:
    return {"type": "CALL", "to": "0x" + to.hex(), "input": "0x" + data.hex(), "calls": list(calls), **more}


def found(endpoint: Endpoint, item: Received = BOUGHT) -> Proof | None:
    return find_proof(context(endpoint), item, VERSION)


def test_the_proof_in_plain_call_data_is_found() -> None:
    assert found(Endpoint(HONEST)) == TRUE


@pytest.mark.parametrize("decoy", DECOYS)
def test_a_decoy_before_the_proof_is_passed_over(decoy: bytes) -> None:
    assert found(Endpoint(decoy + HONEST)) == TRUE


def test_only_decoys_are_no_proof() -> None:
    assert found(Endpoint(b"".join(DECOYS), frame(b"".join(DECOYS)), (log(DECOYS[0][len(CALL) :]),))) is None


def test_the_logged_proof_is_taken_however_the_call_looked() -> None:
    endpoint = Endpoint(b"".join(DECOYS), None, (log(words(TRUE)),))
    assert found(endpoint) == TRUE
    assert endpoint.asked == []


@pytest.mark.parametrize(
    "entry",
    [
        log(words(TRUE), address=RELAY),
        log(words(TRUE), purchase=b"\x56" * 32),
        log(words(TRUE)[:-1]),
    ],
)
def test_a_log_of_something_else_is_not_taken(entry: Log) -> None:
    assert found(Endpoint(b"", None, (entry,))) is None


def test_a_receipt_that_is_gone_leaves_the_call_data() -> None:
    assert found(Endpoint(HONEST, None, None)) == TRUE


def test_a_hidden_call_is_traced() -> None:
    inner = frame(b"", frame(HONEST), to=RELAY)
    assert found(Endpoint(b"hidden", frame(b"hidden", frame(DECOYS[0]), inner, to=RELAY))) == TRUE


def test_a_hidden_call_that_cannot_be_traced_is_no_proof() -> None:
    assert found(Endpoint(b"hidden")) is None


@pytest.mark.parametrize(
    "trace",
    [
        frame(HONEST, error="execution reverted"),
        frame(b"", frame(HONEST), to=RELAY, error="execution reverted"),
        frame(HONEST, to=RELAY),
        frame(HONEST, type="DELEGATECALL"),
        {"calls": 7},
        {"calls": ["x"]},
        [],
        "x",
    ],
)
def test_a_call_that_the_market_did_not_take_is_not_looked_at(trace: object) -> None:
    assert found(Endpoint(b"hidden", trace)) is None


def test_of_a_key_request_origin_and_key_lie_between() -> None:
    assert found(Endpoint(CALL + bytes(64) + D.encode() + words(TRUE)), ITEM) == TRUE
    assert found(Endpoint(HONEST), ITEM) is None
