from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account as Wallet
from eth_account.messages import encode_typed_data

from steelyard.api import tx
from steelyard.api.acts import Act
from steelyard.api.building import ACTS
from steelyard.api.raw import decode_raw
from steelyard.api.tx import pass_on, typed_data
from steelyard.api.words import amount, hex_bytes, number, point, signature_parts
from steelyard.chain.calls import Call
from steelyard.chain.erc20 import approve
from steelyard.chain.hexdata import checksum_address, to_hex
from steelyard.crypto.curve import FIELD, G, N
from steelyard.domain.abi import encode
from steelyard.domain.hash import keccak256
from steelyard.domain.types import Address
from steelyard.errors import ConfigError, InputError, RefusedError
from steelyard.market import Market
from steelyard.service.prepare import (
    MAX_FEE,
    UNSIMULATED_GAS,
    Keyless,
    PermitRequest,
    Preparing,
    ask_fees,
    finish,
)
from tests.unit.api.writing import World, account, deployment
from tests.unit.chain.fake import FakeTransport, RpcFailure

WHO = account()
TOKEN = Address(b"\x99" * 20)
FIELDS = {
    "type": 2,
    "chainId": 31337,
    "nonce": 7,
    "to": checksum_address(deployment().market),
    "data": "0x12345678" + "00" * 32,
    "value": 5,
    "gas": 100_000,
    "maxFeePerGas": 10**10,
    "maxPriorityFeePerGas": 10**9,
}


def _raw(**changes: Any) -> bytes:
    return bytes(Wallet.sign_transaction({**FIELDS, **changes}, WHO.key.reveal()).raw_transaction)


# -- raw transactions ----------------------------------------------------------------------------------------------


def test_a_signed_transaction_is_read_as_eth_account_wrote_it() -> None:
    raw = _raw()
    found = decode_raw(raw)
    assert found.sender == WHO.address
    assert found.chain_id == 31337
    assert found.call == Call(deployment().market, bytes.fromhex("12345678") + bytes(32), 5)
    assert (found.signed.nonce, found.signed.gas_limit) == (7, 100_000)
    assert (found.signed.fees.max_fee, found.signed.fees.priority) == (10**10, 10**9)
    assert found.signed.tx_hash == keccak256(raw)


def test_every_cut_of_a_transaction_is_refused() -> None:
    raw = _raw()
    for end in range(len(raw)):
        with pytest.raises(InputError):
            decode_raw(raw[:end])


def test_a_changed_bit_is_refused_or_of_somebody_else() -> None:
    raw = _raw()
    for place in range(1, len(raw)):
        changed = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        try:
            assert decode_raw(changed).sender != WHO.address
        except InputError:
            pass


@pytest.mark.parametrize(
    "raw",
    [b"", b"\x02", b"\x01" + _raw()[1:], b"\x03" + _raw()[1:], _raw()[1:], _raw() + b"\0", bytes(200_000), b"\x02\xc0", b"\x02\x80"],
    ids=["nothing", "type only", "type 1", "type 3", "no type", "longer", "too large", "empty list", "no list"],
)  # fmt: skip
def test_what_is_no_transaction_of_type_2_is_refused(raw: bytes) -> None:
    with pytest.raises(InputError):
        decode_raw(raw)


def test_an_access_list_is_refused() -> None:
    entry = {"address": FIELDS["to"], "storageKeys": ["0x" + "00" * 32]}
    with pytest.raises(InputError, match="access list"):
        decode_raw(_raw(accessList=[entry]))


def test_a_creation_is_refused() -> None:
    with pytest.raises(InputError, match="creates"):
        decode_raw(_raw(to=""))


OPENED: list[Market] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


def _market(**handlers: Any) -> Market:
    market = Market(
        FakeTransport(handlers),  # type: ignore[arg-type]  # Rpc takes either
        deployment=deployment(),
        store=None,  # type: ignore[arg-type]  # never asked
    )
    OPENED.append(market)
    return market


def test_a_transaction_of_this_market_is_passed_on() -> None:
    sent: list[str] = []

    def send(params: list[Any]) -> str:
        sent.append(params[0])
        return "0x"

    passed = pass_on(_market(eth_sendRawTransaction=send).context, _raw())
    assert (passed.tx, passed.sender) == (keccak256(_raw()), WHO.address)
    assert sent == [to_hex(_raw())]


def test_an_approval_for_this_market_is_passed_on() -> None:
    call = approve(TOKEN, deployment().market, 5)
    raw = _raw(to=checksum_address(TOKEN), data=to_hex(call.data), value=0)
    assert pass_on(_market(eth_sendRawTransaction=lambda _: "0x").context, raw).tx == keccak256(raw)


@pytest.mark.parametrize(
    "changes",
    [
        {"chainId": 1},
        {"to": checksum_address(TOKEN)},
        {"to": checksum_address(TOKEN), "data": to_hex(approve(TOKEN, TOKEN, 5).data)},
        {"to": checksum_address(TOKEN), "data": to_hex(approve(TOKEN, deployment().market, 5).data) + "00"},
        {"to": checksum_address(TOKEN), "data": "0xa9059cbb" + encode(("address", "uint256"), (deployment().market, 5)).hex()},
        {"data": "0x"},
        {"data": "0x123456"},
        {"gas": 16_777_217},
    ],
    ids=["chain", "stranger", "approval of another", "approval with more", "transfer", "no function", "half a function", "gas"],
)  # fmt: skip
def test_anything_else_is_not_passed_on(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        pass_on(_market().context, _raw(**changes))


def _refusing(message: str, *, known: bool = False) -> Market:
    def send(params: list[Any]) -> str:
        raise RpcFailure(-32000, message)

    return _market(eth_sendRawTransaction=send, eth_getTransactionByHash=lambda _: {} if known else None)


@pytest.mark.parametrize(("message", "known"), [("already known", False), ("nonce too low", True)])
def test_what_the_chain_has_already_counts_as_sent(message: str, known: bool) -> None:
    assert pass_on(_refusing(message, known=known).context, _raw()).tx == keccak256(_raw())


@pytest.mark.parametrize(
    "message", ["nonce too low", "insufficient funds for gas", "underpriced", "whatever"]
)
def test_what_the_chain_refuses_is_refused(message: str) -> None:
    with pytest.raises(RefusedError):
        pass_on(_refusing(message).context, _raw())


# -- preparing -------------------------------------------------------------------------------------------------------


def _block(base_fee: int | None) -> dict[str, Any]:
    block = {
        "number": "0x1", "hash": "0x" + "11" * 32, "parentHash": "0x" + "22" * 32, "timestamp": "0x5", "gasLimit": "0x1c9c380",
        "gasUsed": "0x0", "logsBloom": "0x" + "00" * 256, "stateRoot": "0x" + "00" * 32, "receiptsRoot": "0x" + "00" * 32,
        "transactionsRoot": "0x" + "00" * 32,
        "baseFeePerGas": None if base_fee is None else hex(base_fee),
    }  # fmt: skip
    return {key: value for key, value in block.items() if value is not None}


def _preparing(base_fee: int | None = 10**9, **handlers: Any) -> Preparing:
    market = _market(
        eth_getBlockByNumber=lambda _: _block(base_fee),
        eth_maxPriorityFeePerGas=lambda _: hex(10**8),
        eth_getTransactionCount=lambda params: {"latest": "0x1", "pending": "0x4"}[params[1]],
        **handlers,
    )
    return Preparing(market.context, WHO.address)


def test_one_call_is_simulated_for_its_sender_and_gets_the_next_nonce() -> None:
    asked: list[Any] = []

    def estimate(params: list[Any]) -> str:
        asked.append(params)
        return hex(100_000)

    context = _preparing(eth_estimateGas=estimate)
    context.send(Call(deployment().market, b"\x01\x02\x03\x04", 5, "Market.buy"))
    (made,) = finish(context)
    assert asked == [
        [
            {
                "from": to_hex(WHO.address),
                "to": to_hex(deployment().market),
                "data": "0x01020304",
                "value": "0x5",
            },
            "latest",
        ]
    ]
    assert (made.nonce, made.gas, made.simulated) == (4, 125_000, True)
    assert (made.fees.max_fee, made.fees.priority) == (2 * 10**9 + 10**8, 10**8)


def test_an_approval_and_its_purchase_are_simulated_together() -> None:
    answer = [{"calls": [{"status": "0x1", "gasUsed": "0x1000"}, {"status": "0x1", "gasUsed": "0x10000"}]}]
    context = _preparing(eth_estimateGas=lambda _: hex(50_000), eth_simulateV1=lambda _: answer)
    context.send(approve(TOKEN, deployment().market, 5))
    context.send(Call(deployment().market, b"\0" * 4))
    first, second = finish(context)
    assert (first.nonce, second.nonce) == (4, 5)
    assert second.simulated and second.gas > 0x10000


def test_a_purchase_that_would_fail_after_its_approval_is_refused() -> None:
    error = keccak256(b"Purchases_NotAllowed(address)")[:4] + bytes(12) + WHO.address
    answer = [
        {
            "calls": [
                {"status": "0x1", "gasUsed": "0x1000"},
                {"status": "0x0", "gasUsed": "0x1", "returnData": to_hex(error)},
            ]
        }
    ]
    context = _preparing(eth_estimateGas=lambda _: hex(50_000), eth_simulateV1=lambda _: answer)
    context.send(approve(TOKEN, deployment().market, 5))
    context.send(Call(deployment().market, b"\0" * 4))
    with pytest.raises(RefusedError, match="Purchases_NotAllowed"):
        finish(context)


def test_where_the_endpoint_cannot_simulate_both_it_is_said() -> None:
    def unknown(params: list[Any]) -> None:
        raise RpcFailure(-32601, "the method eth_simulateV1 does not exist")

    context = _preparing(eth_estimateGas=lambda _: hex(50_000), eth_simulateV1=unknown)
    context.send(approve(TOKEN, deployment().market, 5))
    context.send(Call(deployment().market, b"\0" * 4))
    first, second = finish(context)
    assert (first.simulated, second.simulated) == (True, False)
    assert second.gas >= UNSIMULATED_GAS


def test_several_calls_of_one_contract_are_simulated_each() -> None:
    def unknown(params: list[Any]) -> None:
        raise RpcFailure(-32601, "no")

    context = _preparing(eth_estimateGas=lambda _: hex(50_000), eth_simulateV1=unknown)
    for _ in range(3):
        context.send(Call(deployment().treasury, b"\0" * 4))
    assert [item.simulated for item in finish(context)] == [True] * 3


def test_who_cannot_pay_is_told_so() -> None:
    def poor(params: list[Any]) -> None:
        raise RpcFailure(-32000, "insufficient funds for gas * price + value")

    context = _preparing(eth_estimateGas=poor)
    context.send(Call(deployment().market, b"\0" * 4, 5))
    with pytest.raises(RefusedError, match="cannot pay"):
        finish(context)


def test_nothing_is_prepared_at_fees_beyond_reason() -> None:
    with pytest.raises(RefusedError, match="limit"):
        ask_fees(_preparing(base_fee=MAX_FEE))


def test_the_services_own_key_and_aliases_stay_out_of_it() -> None:
    market = Market(
        FakeTransport(),  # type: ignore[arg-type]  # Rpc takes either
        deployment=deployment(),
        store=None,  # type: ignore[arg-type]  # never asked
        account=account(),
        aliases={"me": WHO.address},
    )
    assert market.context.sender is not None
    context = Preparing(market.context, WHO.address)
    assert context.account.address == WHO.address
    with pytest.raises(ConfigError):
        _ = context.sender.address
    with pytest.raises(InputError):
        context.address("me")
    market.close()


def test_an_account_without_a_key_signs_and_derives_nothing() -> None:
    keyless = Keyless(WHO.address)
    for use in (lambda: keyless.key, lambda: keyless.seed, lambda: keyless.sign_digest(bytes(32))):
        with pytest.raises(ConfigError):
            use()


def test_a_permit_shown_to_a_wallet_is_the_one_that_is_checked() -> None:
    from steelyard.chain.erc20 import _DOMAIN, _PERMIT

    domain = keccak256(
        encode(
            ("bytes32", "bytes32", "bytes32", "uint256", "address"),
            (_DOMAIN, keccak256(b"Coin"), keccak256(b"1"), 31337, TOKEN),
        )
    )
    market = deployment().market
    message = keccak256(
        encode(
            ("bytes32", "address", "address", "uint256", "uint256", "uint256"),
            (_PERMIT, WHO.address, market, 2**100, 3, 1_900_000_000),
        )
    )
    digest = keccak256(b"\x19\x01" + domain + message)
    permit = PermitRequest(
        token=TOKEN, name="Coin", version="1", owner=WHO.address, spender=market, value=2**100, nonce=3,
        deadline=1_900_000_000, digest=digest,
    )  # fmt: skip
    shown = encode_typed_data(full_message=typed_data(permit, chain_id=31337))
    assert keccak256(b"\x19" + shown.version + shown.header + shown.body) == digest


# -- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["", "-1", "01", "1.0", "1e3", " 1", "1_000", "0x1", "١", str(2**128), "9" * 100]
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        amount(text, "price")


@pytest.mark.parametrize("value", [0, 1, 2**53, 2**63, 2**64, 2**128 - 1])
def test_amounts_are_exact(value: int) -> None:
    assert amount(str(value), "price") == value


@pytest.mark.parametrize("text", ["", "0x", "0x1", "12", "0xzz", "0X12", "0x12 ", "0x1234"])
def test_what_is_not_one_byte_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        hex_bytes(text, 1, "x")


def test_a_point_is_two_coordinates_of_the_field() -> None:
    assert point(to_hex(G.encode()), "key") == G
    for bad in (
        FIELD.to_bytes(32, "big") + bytes(32),
        bytes(32) + FIELD.to_bytes(32, "big"),
        bytes(63),
        bytes(65),
    ):
        with pytest.raises(InputError):
            point(to_hex(bad), "key")


@pytest.mark.parametrize(("v", "found"), [(0, 27), (1, 28), (27, 27), (28, 28)])
def test_a_signature_has_its_parts(v: int, found: int) -> None:
    assert signature_parts(to_hex(b"\1" * 64 + bytes([v]))) == (found, b"\1" * 32, b"\1" * 32)


@pytest.mark.parametrize(
    "data", [b"\1" * 64, b"\1" * 64 + b"\2", bytes(65), N.to_bytes(32, "big") + b"\1" * 33]
)
def test_what_is_no_signature_is_refused(data: bytes) -> None:
    with pytest.raises(InputError):
        signature_parts(to_hex(data))


def test_a_number_has_bounds() -> None:
    assert number(5, 5, 5, "x") == 5
    for value in (4, 6):
        with pytest.raises(InputError):
            number(value, 5, 5, "x")


# -- over HTTP -------------------------------------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, tx.ENDPOINTS)
    yield made
    made.close()


def test_every_act_has_a_path_and_refuses_what_it_does_not_know(world: World) -> None:
    assert len(ACTS) == 19
    for act in ACTS:
        got = world.ask("POST", f"/v1/tx/{act}", {"from": to_hex(WHO.address), "unknown": 1})
        assert got.code == "bad-body", act


@pytest.mark.parametrize("sender", ["", "me", "0x12", "0x" + "00" * 21, "0x" + "Ab" * 20, 5, None])
def test_who_asks_must_be_an_address(world: World, sender: object) -> None:
    got = world.ask("POST", "/v1/tx/withdraw-bond", {"from": sender, "amount": "1"})
    assert (got.status, got.code) in ((400, "bad-body"), (400, "bad-parameter"))


def test_a_licence_text_never_names_a_file_of_the_service(world: World, tmp_path: Path) -> None:
    from steelyard.service.offer import licence_text

    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    assert licence_text(str(secret).encode()) == str(secret).encode()


def test_acts_say_what_they_are() -> None:
    for body, _ in ACTS.values():
        assert issubclass(body, Act) and body.__doc__


def test_a_raw_transaction_that_is_malformed_is_a_bad_body(world: World) -> None:
    got = world.ask("POST", "/v1/tx/send", {"raw": "0x02"})
    assert (got.code, got.json["parameter"]) == ("bad-body", "raw")
