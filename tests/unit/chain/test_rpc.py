from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

import steelyard
from steelyard.domain.types import Address
from steelyard.errors import ChainError, InputError, NotFoundError, RevertError, RpcError, WrongChainError

from .fake import (
    CHAIN,
    FakeTransport,
    Fault,
    RpcFailure,
    block_json,
    broken,
    edited,
    log_json,
    raw,
    receipt_json,
    rpc_of,
    status,
    words,
)

BEYOND = hex(1 << 63)
"""The first number that no database of ours can keep."""
ONE = Address(bytes.fromhex("11" * 20))

PASSING = {
    "time-out or reset": broken(),
    "429": status(429),
    "500": status(500),
    "502 HTML": status(502),
    "HTML": raw(b"<html>welcome</html>"),
    "truncated JSON": raw(b'{"jsonrpc":"2.0","id":1,"resu'),
    "nested too deep": raw(b"[" * 200_000),
    "wrong id": edited(id=999),
    "id of another type": edited(id="1"),
    "no result": raw(b'{"jsonrpc":"2.0","id":1}'),
    "a list": raw(b"[]"),
    "a rate limit inside JSON": edited(error={"code": -32005, "message": "Too Many Requests"}),
}


def numbers(value: object = "0x10") -> FakeTransport:
    return FakeTransport({"eth_blockNumber": lambda _: value})


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING.keys())
def test_a_passing_fault_is_retried(fault: Fault) -> None:
    transport = numbers()
    transport.faults.extend([fault, fault])
    pauses: list[float] = []
    assert rpc_of(transport, pauses=pauses).block_number() == 16
    assert len(pauses) == 2


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING.keys())
def test_a_lasting_fault_is_a_chain_error_after_all_attempts(fault: Fault) -> None:
    transport = numbers()
    transport.faults.extend([fault] * 100)
    with pytest.raises(ChainError):
        rpc_of(transport, attempts=3).block_number()
    assert transport.count("eth_blockNumber") == 3


@pytest.mark.parametrize("fault", [status(400), status(401), status(404), status(301)])
def test_a_refusal_is_not_retried(fault: Fault) -> None:
    transport = numbers()
    transport.faults.append(fault)
    with pytest.raises(ChainError):
        rpc_of(transport).block_number()
    assert transport.count("eth_blockNumber") == 1


def test_the_reason_in_a_bad_request_is_told() -> None:
    transport = numbers()
    transport.faults.append(status(400, b'{"error":{"code":-32602,"message":"no such block"}}'))
    with pytest.raises(RpcError, match="no such block"):
        rpc_of(transport).block_number()


def test_a_pause_that_the_server_asks_for_is_kept_up_to_ten_seconds() -> None:
    transport = numbers()
    transport.faults.extend([status(429, retry_after=3), status(503, retry_after=1000)])
    pauses: list[float] = []
    rpc_of(transport, pauses=pauses).block_number()
    assert pauses == [3, 10]


@pytest.mark.parametrize("value", [None, 16, "16", "0x", "0xzz", "0x1_0", "0x 1", "0x" + "f" * 65, True, []])
def test_a_malformed_number_is_an_error(value: object) -> None:
    with pytest.raises(ChainError):
        rpc_of(numbers(value)).block_number()


def test_what_no_chain_has_is_an_error() -> None:
    tx = "0x" + "01" * 32
    transport = FakeTransport(
        {
            "eth_blockNumber": lambda _: BEYOND,
            "eth_getTransactionCount": lambda _: BEYOND,
            "eth_getBlockByNumber": lambda params: (
                block_json() | {"timestamp" if params[0] == "0x1" else "number": BEYOND}
            ),
            "eth_getTransactionReceipt": lambda params: (
                receipt_json(tx) | {"blockNumber" if params[0] == tx else "transactionIndex": BEYOND}
            ),
        }
    )
    rpc = rpc_of(transport)
    for ask in (
        rpc.block_number,
        lambda: rpc.get_nonce(ONE),
        lambda: rpc.get_block(1),
        lambda: rpc.get_block("latest"),
        lambda: rpc.get_receipt(bytes([1]) * 32),
        lambda: rpc.get_receipt(bytes(32)),
    ):
        with pytest.raises(ChainError, match="beyond what any chain has"):
            ask()


@pytest.mark.parametrize("value", [None, 5, "12", "0x1", "0xzz", "0x11 22", "0x1122 "])
def test_malformed_data_is_an_error(value: object) -> None:
    transport = FakeTransport({"eth_call": lambda _: value})
    with pytest.raises(ChainError):
        rpc_of(transport).eth_call(ONE, b"")


def test_another_chain_is_refused_before_the_first_call() -> None:
    transport = FakeTransport({"eth_blockNumber": lambda _: "0x1"}, chain_id=CHAIN + 1)
    with pytest.raises(WrongChainError):
        rpc_of(transport).block_number()
    assert transport.count("eth_blockNumber") == 0


def test_the_chain_id_is_asked_once() -> None:
    transport = numbers()
    rpc = rpc_of(transport)
    rpc.block_number()
    rpc.block_number()
    assert transport.count("eth_chainId") == 1


def test_a_revert_is_decoded() -> None:
    def revert(_: object) -> object:
        raise RpcFailure(3, "execution reverted", data="0x" + "4e487b71" + f"{0x11:064x}")

    with pytest.raises(RevertError, match="overflow") as caught:
        rpc_of(FakeTransport({"eth_call": revert})).eth_call(ONE, b"")
    assert caught.value.name == "Panic"


@pytest.mark.parametrize(
    ("code", "message", "data"),
    [
        (-32000, "execution reverted", {"data": "0x4e487b71" + f"{0x11:064x}"}),
        (-32015, "VM execution error.", "Reverted 0x4e487b71" + f"{0x11:064x}"),
        (-32000, "execution reverted", None),
        (3, "execution reverted", "not hexadecimal"),
    ],
)
def test_reverts_of_other_clients_are_known(code: int, message: str, data: object) -> None:
    def revert(_: object) -> object:
        raise RpcFailure(code, message, data)

    with pytest.raises(RevertError):
        rpc_of(FakeTransport({"eth_call": revert})).eth_call(ONE, b"")


def test_an_error_that_is_no_revert_stays_one_of_the_endpoint() -> None:
    def fail(_: object) -> object:
        raise RpcFailure(-32000, "header not found")

    with pytest.raises(RpcError, match="header not found"):
        rpc_of(FakeTransport({"eth_call": fail})).eth_call(ONE, b"")


def test_a_missing_block_is_not_found() -> None:
    transport = FakeTransport({"eth_getBlockByNumber": lambda _: None})
    with pytest.raises(NotFoundError):
        rpc_of(transport).get_block(5)


def test_a_chain_without_a_newest_block_is_an_error_of_the_endpoint() -> None:
    transport = FakeTransport({"eth_getBlockByNumber": lambda _: None})
    with pytest.raises(ChainError):
        rpc_of(transport).get_block("latest")


def test_a_block_of_another_number_is_refused() -> None:
    transport = FakeTransport({"eth_getBlockByNumber": lambda _: block_json(6)})
    with pytest.raises(ChainError):
        rpc_of(transport).get_block(5)


def test_a_block_of_another_hash_is_refused() -> None:
    transport = FakeTransport({"eth_getBlockByHash": lambda _: block_json()})
    with pytest.raises(ChainError):
        rpc_of(transport).get_block(bytes(32))


def test_a_tag_is_asked_as_it_is_and_another_word_refused() -> None:
    transport = FakeTransport(
        {"eth_getBlockByNumber": lambda params: block_json(7 if params[0] == "finalized" else 0)}
    )
    rpc = rpc_of(transport)
    assert rpc.get_block("finalized").number == 7
    with pytest.raises(InputError):
        rpc.get_block("newest")


def test_state_can_be_read_at_a_block_hash() -> None:
    transport = FakeTransport(
        {"eth_call": lambda params: words(params[1] == {"blockHash": "0x" + "ab" * 32})}
    )
    assert rpc_of(transport).eth_call(ONE, b"", block=b"\xab" * 32)[-1] == 1


def test_no_receipt_yet_is_none() -> None:
    transport = FakeTransport({"eth_getTransactionReceipt": lambda _: None})
    assert rpc_of(transport).get_receipt(bytes(32)) is None


def test_a_receipt_of_another_transaction_is_refused() -> None:
    transport = FakeTransport({"eth_getTransactionReceipt": lambda _: receipt_json("0x" + "01" * 32)})
    with pytest.raises(ChainError):
        rpc_of(transport).get_receipt(bytes(32))


def test_a_proof_of_another_slot_is_refused() -> None:
    proof = {
        "address": "0x" + "11" * 20,
        "balance": "0x0",
        "nonce": "0x0",
        "codeHash": "0x" + "00" * 32,
        "storageHash": "0x" + "00" * 32,
        "accountProof": [],
        "storageProof": [{"key": "0x1", "value": "0x0", "proof": []}],
    }
    rpc = rpc_of(FakeTransport({"eth_getProof": lambda _: proof}))
    assert rpc.get_proof(ONE, [(1).to_bytes(32, "big")], block=1).storage[0].value == 0
    with pytest.raises(ChainError):
        rpc.get_proof(ONE, [(2).to_bytes(32, "big")], block=1)


def test_a_batch_comes_back_in_the_order_of_its_calls() -> None:
    transport = FakeTransport({"double": lambda params: params[0] * 2})
    assert rpc_of(transport).batch([("double", (n,)) for n in range(5)]) == [0, 2, 4, 6, 8]


def test_an_incomplete_batch_is_an_error() -> None:
    transport = FakeTransport({"double": lambda params: params[0] * 2})
    rpc = rpc_of(transport, attempts=1)
    rpc.check_chain()
    answer = transport.answer
    transport.answer = lambda request: answer({**request, "id": 10**6})  # type: ignore[method-assign]
    with pytest.raises(ChainError):
        rpc.batch([("double", (1,)), ("double", (2,))])


# -- logs --------------------------------------------------------------------------------------------------------


def serve_logs(most: int) -> FakeTransport:
    """One log in every block; refuses ranges of more than ``most`` blocks."""

    def answer(params: list[dict[str, str]]) -> object:
        first, last = int(params[0]["fromBlock"], 16), int(params[0]["toBlock"], 16)
        if last - first + 1 > most:
            raise RpcFailure(-32005, "query returned more than 10000 results")
        return [log_json(blockNumber=hex(number)) for number in range(first, last + 1)]

    return FakeTransport({"eth_getLogs": answer})


@pytest.mark.parametrize("most", [1, 3, 7, 1000])
def test_logs_are_complete_whatever_range_the_endpoint_allows(most: int) -> None:
    logs = rpc_of(serve_logs(most)).get_logs([ONE], first=10, last=60)
    assert [log.block_number for log in logs] == list(range(10, 61))


def test_ranges_of_logs_follow_each_other_without_a_gap() -> None:
    ranges = [
        (first, to) for first, to, _ in rpc_of(serve_logs(4)).iter_logs([ONE], first=0, last=20, span=8)
    ]
    assert ranges[0][0] == 0 and ranges[-1][1] == 20
    assert all(after[0] == before[1] + 1 for before, after in pairwise(ranges))


def test_an_endpoint_that_refuses_one_block_is_an_error() -> None:
    with pytest.raises(RpcError):
        rpc_of(serve_logs(0)).get_logs([ONE], first=0, last=100)


def test_no_address_is_refused() -> None:
    with pytest.raises(InputError):
        rpc_of(serve_logs(10)).get_logs([], first=0, last=1)


@pytest.mark.parametrize(
    "logs",
    [
        [log_json(), log_json()],
        [log_json(logIndex="0x1"), log_json(logIndex="0x0")],
        [log_json(blockNumber="0x63")],
        [log_json(address="0x" + "99" * 20)],
        [log_json(removed=True)],
        [log_json(blockNumber=None)],
        [log_json(topics=["0x" + "22" * 31])],
        [log_json(topics=["0x" + "22" * 32] * 5)],
        [log_json(data="0x1")],
        [log_json(data="0x 11")],
        [log_json(blockHash="0x" + "33" * 31)],
        [log_json(removed="no")],
        [log_json(logIndex=BEYOND)],
        [log_json(logIndex="-0x1")],
        [log_json(transactionIndex=BEYOND)],
        [log_json(transactionIndex="-0x1")],
        [{}],
        [None],
        {"not": "a list"},
        None,
    ],
    ids=[
        *(
            "doubled",
            "out of order",
            "another block",
            "another contract",
            "removed",
            "pending",
            "short topic",
        ),
        *(
            "five topics",
            "odd digits",
            "blanks",
            "short hash",
            "no truth value",
            "place too large",
            "place below zero",
            "transaction's place too large",
            "transaction's place below zero",
            "empty",
            "null",
            "object",
            "no list",
        ),
    ],
)
def test_false_logs_are_refused(logs: object) -> None:
    with pytest.raises(ChainError):
        rpc_of(FakeTransport({"eth_getLogs": lambda _: logs})).get_logs([ONE], first=0, last=10)


def test_topics_and_addresses_reach_the_endpoint() -> None:
    transport = FakeTransport({"eth_getLogs": lambda _: []})
    rpc_of(transport).get_logs([ONE], [None, bytes(32), [bytes(32), b"\1" * 32]], first=0, last=1)
    (query,) = transport.calls[-1][1]
    zero = "0x" + "00" * 32
    assert query["topics"] == [None, zero, [zero, "0x" + "01" * 32]]
    assert query["address"] == ["0x" + "11" * 20]


def test_reading_imports_neither_web3_nor_eth_abi() -> None:
    code = (
        "import sys, steelyard.chain.rpc, steelyard.chain.views, steelyard.chain.sender;"
        "print([name for name in ('web3', 'eth_abi', 'eth_account', 'httpx2') if name in sys.modules])"
    )
    folder = str(Path(steelyard.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder
    )
    assert done.stdout.strip() == "[]"
