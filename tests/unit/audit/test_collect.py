"""The collector: what it asks a node, and what it does when the node lies."""

from __future__ import annotations

from typing import Any

import pytest

from steelyard.audit.collect import collect, fetch_header
from steelyard.audit.verify import Anchors, Verified, verify
from steelyard.domain.types import Address
from steelyard.errors import ChainError, InputError, NotFoundError, ProofError, SteelyardError, TrailError
from tests.unit.audit.chain import (
    ASSET,
    ASSETS,
    BUILDS,
    CHAIN_ID,
    DIRECTORY,
    MARKET,
    NODE,
    TREASURY,
    Chain,
    market,
)


def run(chain: Chain, **options: Any) -> tuple[bytes, Verified]:
    return collect(chain, **{"directory": DIRECTORY, "asset": ASSET, "builds": BUILDS, **options})


def test_what_it_collects_can_be_verified_offline() -> None:
    chain = market()
    data, verified = run(chain)
    anchors = Anchors(chain_id=CHAIN_ID, directory=DIRECTORY, block_hash=verified.block.hash, builds=BUILDS)
    assert verify(data, anchors=anchors) == verified


def test_a_history_up_to_an_earlier_block() -> None:
    chain = market()
    _, verified = run(chain, block=3)
    assert verified.block.number == 3 and verified.nodes == (NODE,)
    assert verified.entries == tuple(e for e in chain.entries if e.subject in (ASSET, NODE) and e.block <= 3)
    _, verified = run(chain, block=1)
    assert verified.entries == () and len(verified.contracts) == 2


def test_the_search_is_cut_into_spans_that_leave_no_gap() -> None:
    chain = market()
    whole = run(chain)
    ranges: list[tuple[int, int]] = []

    def call(method: str, params: Any, /) -> object:
        if method == "eth_getLogs":
            ranges.append((int(params[0]["fromBlock"], 16), int(params[0]["toBlock"], 16)))
        return chain.call(method, params)

    class Node:
        pass

    node: Any = Node()
    node.call = call
    assert run(node, first_block=1, span=2) == whole
    assert ranges[:3] == [(1, 2), (3, 4), (5, 6)] and set(ranges) == set(ranges[:3])


def test_searching_from_too_late_a_block_is_noticed() -> None:
    with pytest.raises(TrailError, match="listings 0 to 0|listing|Directory"):
        run(market(), first_block=2)
    for options in ({"span": 0}, {"first_block": -1}):
        with pytest.raises(InputError):
            run(market(), **options)


def test_every_hidden_log_is_detected_and_the_contract_named() -> None:
    chain = market()
    names = {DIRECTORY: "Directory", ASSETS: "Assets", TREASURY: "Treasury", MARKET: "Market"}
    relevant = [e for e in chain.entries if e in run(chain)[1].entries + run(chain)[1].listings]
    assert len(relevant) == 11
    for hidden in relevant:
        liar = market()

        def hide(
            method: str, result: Any, tx: str = "0x" + hidden.tx.hex(), block: str = hex(hidden.block)
        ) -> Any:
            if method != "eth_getLogs":
                return result
            return [log for log in result if (log["transactionHash"], log["blockNumber"]) != (tx, block)]

        liar.change = hide
        with pytest.raises(TrailError) as caught:
            run(liar)
        assert f"{names[hidden.contract]} 0x{hidden.contract.hex()}" in str(caught.value)


def test_a_hidden_listing_of_the_last_contract_is_detected() -> None:
    liar = market()
    liar.change = lambda method, result: (
        [log for log in result if log["topics"][2][-40:] != MARKET.hex()]
        if method == "eth_getLogs"
        else result
    )
    with pytest.raises(TrailError, match=f"of Directory 0x{DIRECTORY.hex()}"):
        run(liar)


@pytest.mark.parametrize("key", ["data", "blockNumber", "topic"])
def test_an_altered_log_is_detected(key: str) -> None:
    liar = market()

    def alter(method: str, result: Any) -> Any:
        for log in result if method == "eth_getLogs" else ():
            if log["address"] == "0x" + MARKET.hex():
                if key == "data":
                    log["data"] = log["data"][:-1] + "7"
                elif key == "blockNumber":
                    log["blockNumber"] = "0x4"
                else:
                    log["topics"][2] = "0x" + "77" * 32
        return result

    liar.change = alter
    with pytest.raises(TrailError, match="Market|entry"):
        run(liar)


def test_a_wrong_block_time_in_a_log_is_detected() -> None:
    liar = market()
    liar.change = lambda method, result: (
        [log | {"blockTimestamp": hex(5)} for log in result] if method == "eth_getLogs" else result
    )
    with pytest.raises(TrailError, match="Directory"):
        run(liar)


def test_the_time_in_a_log_saves_a_question() -> None:
    chain = market()
    asked = []

    def with_time(method: str, result: Any) -> Any:
        asked.append(method)
        if method != "eth_getLogs":
            return result
        return [log | {"blockTimestamp": hex(chain.time(int(log["blockNumber"], 16)))} for log in result]

    def without(method: str, result: Any) -> Any:
        asked.append(method)
        return result

    chain.change = without
    run(chain)
    assert asked.count("eth_getBlockByNumber") > 1
    asked.clear()
    chain.change = with_time
    run(chain)
    assert asked.count("eth_getBlockByNumber") == 1


def test_logs_that_are_no_trail_events_are_left_out() -> None:
    chain = market()
    log = chain.call(
        "eth_getLogs",
        [
            {
                "fromBlock": "0x0",
                "toBlock": "0x9",
                "address": ["0x" + MARKET.hex()],
                "topics": [None, ["0x" + ASSET.hex()]],
            }
        ],
    )[0]  # type: ignore[index]
    chain.noise = [
        log | {"topics": log["topics"][:3]},
        log | {"topics": ["0x" + "99" * 32, *log["topics"][1:]]},
        log | {"address": "0x" + "99" * 20},
    ]
    assert len(run(chain)[1].entries) == 8


def test_a_proof_of_another_block_is_refused() -> None:
    chain = market()
    late = market()
    late.log(MARKET, {"name": "X", "inputs": []}, ASSET, bytes(32))
    late.mine()
    honest = chain._eth_getProof
    chain._eth_getProof = lambda address, slots, tag: late._eth_getProof(address, slots, "latest")  # type: ignore[method-assign]
    with pytest.raises(ProofError):
        run(chain)
    chain._eth_getProof = honest  # type: ignore[method-assign]
    run(chain)


def test_proof_nodes_that_stand_inside_their_parents_are_dropped() -> None:
    chain = market()
    plain = run(chain)[0]

    def pad(method: str, result: Any) -> Any:
        if method == "eth_getProof":
            result["accountProof"].append("0xc20102")
            for item in result["storageProof"]:
                item["proof"] = [*item["proof"], "0xc20102"] if item["proof"] else ["0x80"]
        return result

    chain.change = pad
    assert run(chain)[0] == plain


def test_no_directory_and_no_block() -> None:
    with pytest.raises(NotFoundError, match="no Directory"):
        run(market(), directory=Address(b"\x99" * 20))
    with pytest.raises(NotFoundError, match="no block 0x63"):
        run(market(), block=99)


def test_a_listed_contract_of_no_known_build_is_named() -> None:
    chain = market()
    strange = Address(b"\x08" * 20)
    chain.code[strange] = b"\x60\x00"
    chain.enlist(strange)
    with pytest.raises(TrailError, match=f"0x{strange.hex()}, which the Directory lists"):
        run(chain)
    chain = market()
    chain.code[Address(b"\x05" * 20)] = b"\x60\x00"
    with pytest.raises(TrailError, match="checker of Market .* of no known build"):
        run(chain)


def test_a_header_with_unknown_fields_comes_raw_or_not_at_all() -> None:
    chain = market(further_fields=2)
    header, raw = fetch_header(chain, "latest")
    assert len(header.fields) == 23 and raw == chain.header(6)
    answers: list[object] = ["0xc0", None]
    chain.change = lambda method, result: answers[0] if method == "debug_getRawHeader" else result
    while answers:
        with pytest.raises(ChainError, match="does not hash"):
            fetch_header(chain, "latest")
        answers.pop()


def test_fields_that_do_not_hash_to_the_block_are_not_used() -> None:
    chain = market()

    def lie(method: str, result: Any) -> Any:
        return result | {"stateRoot": "0x" + "11" * 32} if method == "eth_getBlockByNumber" else result

    chain.change = lie
    header, _ = fetch_header(chain, "latest")
    assert header.state_root != b"\x11" * 32


@pytest.mark.parametrize("answer", [None, 7, "x", "0xzz", [], {}, [1], ["0x"], {"hash": 1}, "0x"])
@pytest.mark.parametrize(
    "method", ["eth_chainId", "eth_getBlockByNumber", "eth_getCode", "eth_getLogs", "eth_getProof"]
)
def test_nonsense_is_an_error_of_ours(method: str, answer: Any) -> None:
    chain = market()
    chain.change = lambda called, result: answer if called == method else result
    with pytest.raises(SteelyardError):
        run(chain)
