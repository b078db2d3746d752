from __future__ import annotations

from typing import Any

from bench.breakdown import StepCost, calldata_cost, categories, own_costs


def step(op: str, depth: int, gas: int, cost: int, *stack: int) -> dict[str, Any]:
    return {"op": op, "depth": depth, "gas": gas, "gasCost": cost, "stack": [hex(word) for word in stack]}


def test_a_calls_own_cost_is_what_the_frame_below_did_not_use() -> None:
    log = [
        step("CALL", 1, 1_000, 700, 0xBEEF, 0xAAAA),
        step("SSTORE", 2, 600, 200, 9, 7),
        step("STOP", 2, 400, 0),
        step("STOP", 1, 770, 0),
    ]
    costs = own_costs(log)
    # 1,000 - 770 = 230 for the call with all below it, of which 200 were used there.
    assert [(cost.name, cost.own) for cost in costs] == [
        ("CALL", 30),
        ("SSTORE", 200),
        ("STOP", 0),
        ("STOP", 0),
    ]


def test_the_last_step_of_a_frame_costs_what_the_node_says() -> None:
    log = [step("CALL", 1, 1_000, 700), step("RETURN", 2, 600, 3), step("STOP", 1, 990, 0)]
    assert [cost.own for cost in own_costs(log)] == [7, 3, 0]


def test_own_costs_of_nested_frames_sum_to_what_the_transaction_used() -> None:
    log = [
        step("PUSH1", 1, 1_000, 3),
        step("CALL", 1, 997, 900),
        step("STATICCALL", 2, 800, 500),
        step("MLOAD", 3, 400, 6),
        step("RETURN", 3, 394, 2),
        step("STOP", 2, 700, 0),
        step("STOP", 1, 890, 0),
    ]
    assert sum(cost.own for cost in own_costs(log)) == 1_000 - 890


def test_a_step_within_a_frame_costs_what_is_gone_afterwards() -> None:
    # A precompile makes no step of its own: what it used is the call's.
    log = [step("STATICCALL", 1, 5_000, 4_900, 1, 3_000), step("STOP", 1, 1_900, 0)]
    assert own_costs(log)[0].own == 3_100


def test_words_are_named_by_slot_and_contract() -> None:
    costs = [
        StepCost("SLOAD", 1, 2_100, (5, 0)),
        StepCost("SSTORE", 2, 2_900, (5, 1)),
        StepCost("ADD", 2, 3, (0, 0)),
    ]
    found = categories(costs, {5: "head"}, {1: "Market", 2: "Treasury"})
    assert found == {"Market: head": 2_100, "Treasury: head": 2_900, "Treasury: execution": 3}


def test_ecrecover_is_apart_from_other_calls() -> None:
    costs = [StepCost("STATICCALL", 1, 3_100, (9, 1)), StepCost("CALL", 1, 9_300, (9, 0xABC))]
    found = categories(costs, {}, {1: "Market"})
    assert found == {"ecrecover": 3_100, "Market: call of another contract or account": 9_300}


def test_zero_bytes_of_call_data_cost_a_quarter() -> None:
    assert calldata_cost(b"\0\0\1") == 4 + 4 + 16
