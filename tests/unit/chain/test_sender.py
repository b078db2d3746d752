"""The sender against an endpoint in memory that keeps a pool, with every answer a real one may give."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import steelyard
from steelyard.chain.calls import Call
from steelyard.chain.hexdata import to_hex
from steelyard.chain.refusals import NonceUsedError
from steelyard.chain.sender import Sender
from steelyard.chain.transaction import GWEI, Fees, encode_fee_market, fee_market_fields
from steelyard.domain.hash import keccak256
from steelyard.domain.types import Address
from steelyard.errors import (
    ChainError,
    ConfigError,
    NotFoundError,
    PendingError,
    RefusedError,
    RevertError,
    RpcError,
)

from .fake import RpcFailure, broken, rpc_of, status
from .fakechain import KEY, Chain, nonce_of, sender_of

TO = Address(b"\x22" * 20)
CALL = Call(TO, b"\x01\x02", 5, "Test.call")


@pytest.fixture
def chain() -> Chain:
    return Chain()


# -- signing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [CALL, Call(None, b"\x60" * 3_000), Call(TO, b""), Call(TO, b"\x05", 10**30), Call(TO, b"\x80" * 56)],
    ids=["call", "creation", "no data", "much value", "long"],
)
@pytest.mark.parametrize("nonce", [0, 1, 127, 128, 70_000])
def test_what_is_signed_is_what_the_library_signs(chain: Chain, call: Call, nonce: int) -> None:
    from eth_account import Account

    fees = Fees(max_fee=3 * GWEI, priority=GWEI)
    signed = sender_of(chain).sign(call, nonce=nonce, gas_limit=21_000, fees=fees)
    transaction = {
        "type": 2,
        "chainId": 31337,
        "nonce": nonce,
        "gas": 21_000,
        "maxFeePerGas": fees.max_fee,
        "maxPriorityFeePerGas": fees.priority,
        "value": call.value,
        "data": call.data,
    }
    if call.to is not None:
        transaction["to"] = to_hex(call.to)
    wanted = Account.from_key(KEY).sign_transaction(transaction)
    assert signed.raw == bytes(wanted.raw_transaction)
    assert signed.tx_hash == bytes(wanted.hash)


def test_the_address_is_that_of_the_key(chain: Chain) -> None:
    assert sender_of(chain).address.hex() == "f39fd6e51aad88f6f4ce6ab8827279cfffb92266"


@pytest.mark.parametrize("key", [b"", bytes(32), b"\xff" * 32, b"\x01" * 33])
def test_a_bad_key_is_refused_without_repeating_it(chain: Chain, key: bytes) -> None:
    sender = Sender(rpc_of(chain), lambda: key)
    with pytest.raises(ConfigError) as caught:
        _ = sender.address
    assert caught.value.__cause__ is None
    assert not key or key.hex() not in str(caught.value)


def test_the_key_is_asked_once_and_not_before_it_is_needed(chain: Chain) -> None:
    asked = []
    sender = Sender(rpc_of(chain), lambda: asked.append(1) or KEY)  # type: ignore[func-returns-value]
    assert asked == []
    sender.send(CALL)
    sender.send(CALL)
    assert asked == [1]


def test_web3_leaves_the_recursion_limit_as_it_was(chain: Chain) -> None:
    code = (
        "import sys; from steelyard.chain.rpc import Rpc; from steelyard.chain.sender import Sender;"
        "sender = Sender(Rpc('http://127.0.0.1:9', chain_id=1), lambda: bytes(31) + bytes([1]));"
        "sender.address; print(sys.getrecursionlimit())"
    )
    folder = str(Path(steelyard.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder
    )
    assert done.stdout.strip() == "1000"


# -- costs -------------------------------------------------------------------------------------------------------


def test_an_estimate_sends_nothing(chain: Chain) -> None:
    estimate = sender_of(chain).estimate(CALL)
    assert (estimate.gas, estimate.gas_limit, estimate.base_fee) == (21_000, 30_200, GWEI)
    assert estimate.fees.priority == GWEI and 0 <= estimate.fees.max_fee - 3 * GWEI < 1 << 24
    assert estimate.fee == 21_000 * 2 * GWEI and estimate.most == 30_200 * estimate.fees.max_fee
    assert chain.raws == []


def test_the_limit_of_fees_holds_for_every_transaction(chain: Chain) -> None:
    sender = sender_of(chain, max_fee=2 * GWEI + (1 << 24))
    assert all(2 * GWEI <= sender.fees().max_fee <= 2 * GWEI + (1 << 24) for _ in range(50))


def test_two_sends_of_one_call_are_two_transactions_also_from_two_senders(chain: Chain) -> None:
    # Identical bytes would pass for one another: the second would be "already known", and never happen.
    one, two = sender_of(chain), sender_of(chain)
    for sender in (one, two, two, one):
        sender.send(CALL)
    assert sorted(chain.known.values()) == [7, 8, 9, 10]


def test_fees_above_the_limit_are_refused(chain: Chain) -> None:
    with pytest.raises(RefusedError, match="above the limit"):
        sender_of(chain, max_fee=GWEI).send(CALL)
    assert chain.raws == []


def test_the_tip_is_limited(chain: Chain) -> None:
    chain.handlers["eth_maxPriorityFeePerGas"] = lambda _: hex(1_000 * GWEI)
    fees = sender_of(chain, max_priority=2 * GWEI).fees()
    assert fees.priority == 2 * GWEI and 0 <= fees.max_fee - 4 * GWEI < 1 << 24


def test_an_endpoint_that_suggests_no_tip_gets_one_gwei(chain: Chain) -> None:
    def unknown(_: object) -> object:
        raise RpcFailure(-32601, "method not found")

    chain.handlers["eth_maxPriorityFeePerGas"] = unknown
    assert sender_of(chain).fees().priority == GWEI


def test_more_gas_than_a_transaction_may_have_is_refused(chain: Chain) -> None:
    chain.handlers["eth_estimateGas"] = lambda _: hex(16_777_217)
    with pytest.raises(RefusedError, match="16777216"):
        sender_of(chain).send(CALL)
    chain.handlers["eth_estimateGas"] = lambda _: hex(16_777_000)
    assert sender_of(chain).estimate(CALL).gas_limit == 16_777_216


def test_raised_fees_are_more_than_a_tenth_higher() -> None:
    fees = Fees(max_fee=7, priority=0).raised()
    assert fees.max_fee > 7.7 and fees.priority > 0


# -- reverts -----------------------------------------------------------------------------------------------------


def reverting(_: object) -> object:
    raise RpcFailure(3, "execution reverted", "0x4e487b71" + f"{0x11:064x}")


def test_what_would_revert_is_not_sent(chain: Chain) -> None:
    chain.handlers["eth_estimateGas"] = reverting
    with pytest.raises(RevertError, match="overflow"):
        sender_of(chain).send(CALL)
    assert chain.raws == []


def test_what_would_revert_is_not_sent_with_a_given_gas_limit_either(chain: Chain) -> None:
    chain.handlers["eth_call"] = reverting
    with pytest.raises(RevertError, match="overflow"):
        sender_of(chain).send(CALL, gas=100_000)
    assert chain.raws == []


def test_an_estimate_without_a_reason_gets_it_from_a_call(chain: Chain) -> None:
    def bare(_: object) -> object:
        raise RpcFailure(-32000, "gas required exceeds allowance")

    chain.handlers["eth_estimateGas"] = bare
    chain.handlers["eth_call"] = reverting
    with pytest.raises(RevertError, match="overflow"):
        sender_of(chain).send(CALL)


def test_what_reverts_in_its_block_is_an_error_with_its_hash(chain: Chain) -> None:
    chain.status = 0
    with pytest.raises(RevertError, match="reverted in block 1"):
        sender_of(chain).send(CALL)


def test_a_priority_fee_that_is_none_is_an_error_of_the_endpoint(chain: Chain) -> None:
    chain.handlers["eth_maxPriorityFeePerGas"] = lambda _: None
    with pytest.raises(ChainError):
        sender_of(chain).fees()


# -- nonces and lost answers -------------------------------------------------------------------------------------


def test_threads_lose_and_double_nothing(chain: Chain) -> None:
    sender = sender_of(chain)
    with ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(lambda _: sender.send(CALL), range(64)))
    assert len({receipt.tx_hash for receipt in receipts}) == 64
    assert sorted(chain.known.values()) == list(range(7, 71))


def test_a_lost_answer_is_not_a_second_transaction(chain: Chain) -> None:
    sender = sender_of(chain)
    take = chain.handlers["eth_sendRawTransaction"]
    lost = []

    def take_and_fail(params: list[Any]) -> Any:
        take(params)
        if not lost:
            lost.append(1)
            raise RpcFailure(-32603, "internal error")
        return params

    chain.handlers["eth_sendRawTransaction"] = take_and_fail
    sender.send(CALL)
    assert list(chain.known.values()) == [7]


@pytest.mark.parametrize(
    "message", ["already known", "ALREADY_EXISTS: already exists", "transaction already imported"]
)
def test_a_transaction_that_is_known_is_a_success(chain: Chain, message: str) -> None:
    sender = sender_of(chain)
    signed = sender.sign(CALL, nonce=7, gas_limit=30_000, fees=sender.fees())
    chain.refusals.append(RpcFailure(-32000, message))
    sender.broadcast(signed)


@pytest.mark.parametrize("message", ["nonce too low", "replacement transaction underpriced"])
def test_a_nonce_that_another_process_used_is_replaced(chain: Chain, message: str) -> None:
    sender = sender_of(chain)
    sender.send(CALL)
    chain.nonce += 1
    chain.refusals.append(RpcFailure(-32000, message))
    sender.send(CALL)
    assert list(chain.known.values()) == [7, 9]


@pytest.mark.parametrize("message", ["nonce too low", "replacement transaction underpriced"])
def test_a_nonce_that_is_falsely_called_used_is_tried_again_without_a_gap(chain: Chain, message: str) -> None:
    chain.refusals += [RpcFailure(-32000, message)] * 3
    sender_of(chain).send(CALL)
    assert list(chain.known.values()) == [7]


@pytest.mark.parametrize("message", ["nonce too low", "replacement transaction underpriced"])
def test_a_nonce_that_is_always_called_used_leaves_no_gap_behind(chain: Chain, message: str) -> None:
    sender = sender_of(chain)
    chain.refusals += [RpcFailure(-32000, message)] * 8
    with pytest.raises(ChainError, match="nonces are used"):
        sender.send(CALL)
    sender.send(CALL)
    assert list(chain.known.values()) == [7]


def test_what_was_waited_for_in_vain_goes_before_what_is_sent_next(chain: Chain) -> None:
    chain.mining = False
    sender = sender_of(chain, timeout=1)
    with pytest.raises(PendingError):
        sender.send(CALL)
    chain.known.clear()  # the endpoint has lost it
    chain.mining = True
    sender.send(Call(TO, b"new"))
    assert list(chain.known.values()) == [7, 8]


def test_what_was_waited_for_in_vain_can_be_pursued(chain: Chain) -> None:
    chain.mining = False
    sender = sender_of(chain, timeout=1)
    with pytest.raises(PendingError) as caught:
        sender.send(CALL)
    chain.known.clear()
    chain.mining = True
    assert sender.pursue(caught.value.tx_hash).tx_hash == caught.value.tx_hash
    assert list(chain.known.values()) == [7]


def test_what_was_pursued_is_not_sent_again(chain: Chain) -> None:
    sender = sender_of(chain, timeout=1)
    chain.mining = False
    with pytest.raises(PendingError) as caught:
        sender.send(CALL)
    chain.mining = True
    chain.mine()
    sender.pursue(caught.value.tx_hash)
    sent = len(chain.raws)
    sender.send(Call(TO, b"new"))
    assert len(chain.raws) == sent + 1


def test_pursuing_what_nobody_knows_is_an_error(chain: Chain) -> None:
    with pytest.raises(NotFoundError):
        sender_of(chain).pursue(bytes(32))


def test_nonce_too_low_for_our_own_mined_transaction_is_a_success(chain: Chain) -> None:
    sender = sender_of(chain)
    signed = sender.sign(CALL, nonce=7, gas_limit=30_000, fees=sender.fees())
    sender.broadcast(signed)
    chain.refusals.append(RpcFailure(-32000, "nonce too low"))
    sender.broadcast(signed)
    assert len(chain.known) == 1


def test_without_any_answer_the_transaction_is_pending_and_its_nonce_not_given_away(chain: Chain) -> None:
    sender = sender_of(chain)
    sender.send(CALL)
    take = chain.handlers["eth_sendRawTransaction"]
    sent: list[str] = []

    def swallow(params: list[Any]) -> Any:
        sent.append(params[0])
        chain.faults.extend([broken()] * 20)
        raise RpcFailure(-32603, "internal error")

    chain.handlers["eth_sendRawTransaction"] = swallow
    with pytest.raises(PendingError) as caught:
        sender.send(CALL)
    assert caught.value.tx_hash == keccak256(bytes.fromhex(sent[0][2:]))
    # The endpoint is back: the first thing that is sent is the very same transaction, the new one follows it.
    chain.faults.clear()
    chain.handlers["eth_sendRawTransaction"] = take
    sender.send(Call(TO, b"new"))
    assert chain.raws[1] == sent[0]
    assert [nonce_of(raw) for raw in chain.raws] == [7, 8, 9]


def test_a_broken_connection_without_a_trace_of_the_transaction_is_pending(chain: Chain) -> None:
    sender = sender_of(chain)
    signed = sender.sign(CALL, nonce=7, gas_limit=30_000, fees=sender.fees())
    chain.faults.extend([broken()] * 2)
    with pytest.raises(PendingError) as caught:
        sender.broadcast(signed)
    assert caught.value.tx_hash == signed.tx_hash


def test_nonces_kept_for_others_are_not_given_out_later_either(chain: Chain) -> None:
    sender = sender_of(chain)
    sender.send(CALL)
    sender.keep_nonces_from(20)
    with sender.nonce() as nonce:
        assert nonce == 20


def test_passing_faults_of_the_connection_send_it_once(chain: Chain) -> None:
    sender = sender_of(chain)
    sender.send(CALL)
    for fault in (broken(), status(502), status(429)):
        chain.faults.append(fault)
        sender.send(CALL)
    assert list(chain.known.values()) == [7, 8, 9, 10]


def test_an_account_that_cannot_pay_keeps_its_nonce(chain: Chain) -> None:
    sender = sender_of(chain)
    chain.refusals.append(RpcFailure(-32000, "insufficient funds for gas * price + value"))
    with pytest.raises(RefusedError, match="cannot pay"):
        sender.send(CALL)
    sender.send(CALL)
    assert list(chain.known.values()) == [7]


def test_waiting_ends_and_says_what_to_look_for(chain: Chain) -> None:
    chain.mining = False
    sender = sender_of(chain, timeout=10)
    with pytest.raises(PendingError) as caught:
        sender.send(CALL)
    assert to_hex(caught.value.tx_hash) in chain.known


def test_a_transaction_that_the_endpoint_has_lost_is_sent_again(chain: Chain) -> None:
    chain.mining = False
    sender = sender_of(chain, timeout=60)
    signed = sender.sign(CALL, nonce=7, gas_limit=30_000, fees=sender.fees())
    sender.broadcast(signed)
    chain.known.clear()
    chain.mining = True
    assert sender.wait(signed).status
    assert chain.raws == [to_hex(signed.raw)] * 2


def test_a_transaction_whose_nonce_is_gone_is_not_waited_for(chain: Chain) -> None:
    sender = sender_of(chain, timeout=600)
    signed = sender.sign(CALL, nonce=3, gas_limit=30_000, fees=sender.fees())
    with pytest.raises(NonceUsedError):
        sender.wait(signed)


def test_an_unknown_refusal_is_told(chain: Chain) -> None:
    chain.refusals.append(RpcFailure(-32000, "tx type not supported"))
    with pytest.raises(RefusedError, match="tx type not supported"):
        sender_of(chain).send(CALL)


# -- many --------------------------------------------------------------------------------------------------------


def test_many_calls_are_sent_in_order(chain: Chain) -> None:
    calls = [Call(TO, bytes([place]), 0) for place in range(120)]
    receipts = sender_of(chain).send_many(calls, gas=30_000)
    by_nonce = {nonce: key for key, nonce in chain.known.items()}
    assert [to_hex(receipt.tx_hash) for receipt in receipts] == [by_nonce[nonce] for nonce in range(7, 127)]


def test_many_calls_are_estimated_first_and_one_that_reverts_stops_all(chain: Chain) -> None:
    chain.handlers["eth_estimateGas"] = lambda params: (
        reverting(params) if params[0]["data"] == "0x05" else hex(21_000)
    )
    with pytest.raises(RevertError):
        sender_of(chain).send_many([Call(TO, bytes([place])) for place in range(10)])
    assert chain.raws == []


def test_one_of_many_that_got_lost_is_sent_again(chain: Chain) -> None:
    chain.refusals.append(RpcFailure(-32603, "internal error"))
    assert len(sender_of(chain).send_many([CALL] * 20, gas=30_000)) == 20
    assert sorted(chain.known.values()) == list(range(7, 27))


def test_no_calls_are_no_receipts(chain: Chain) -> None:
    assert sender_of(chain).send_many([]) == []


def test_an_error_of_the_endpoint_before_anything_is_sent_is_told(chain: Chain) -> None:
    def fail(_: object) -> object:
        raise RpcFailure(-32000, "header not found")

    chain.handlers["eth_getBlockByNumber"] = fail
    with pytest.raises(RpcError):
        sender_of(chain).send(CALL)


def test_encoding_starts_with_the_type_of_the_transaction() -> None:
    fields = fee_market_fields(CALL, chain_id=1, nonce=0, gas_limit=1, fees=Fees(max_fee=1, priority=1))
    assert encode_fee_market(fields)[0] == 2
