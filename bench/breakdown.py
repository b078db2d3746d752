"""Where the gas of a transaction goes: every unit of it, from ``debug_traceTransaction``.

A step's own cost is what it took from its frame's gas, less what the frames below it used. Storage words are named by their slots,
which are computed from the ids in the story and the storage layout that the package ships.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from bench.gas import Step, Story
from bench.metered import BATCH
from bench.stage import Stage, open_stage
from steelyard.chain.hexdata import to_hex
from steelyard.chain.wire import Receipt
from steelyard.domain.hash import keccak256
from steelyard.domain.types import NATIVE, account_word

BASE = 21_000
# The compiler looks for code at an address before it calls a function without results: the first touch is paid there.
_CALLS = frozenset({"CALL", "STATICCALL", "DELEGATECALL", "EXTCODESIZE"})
_LOGS = frozenset(f"LOG{count}" for count in range(5))
_TRANSIENT = frozenset({"TLOAD", "TSTORE"})
_ECRECOVER = 1

TRACED = (
    "renew",
    "key request + delivery: request",
    "key request + delivery: deliver",
    "refund",
    "withdraw",
    "buy + deliver: buy",
    "buy + deliver: deliver",
    "open channel",
    "claim, one voucher",
    "claim, 100 vouchers",
)
"""Steps that are broken down."""


@dataclass(frozen=True)
class StepCost:
    """One executed instruction.

    Attributes:
        name: of the instruction.
        depth: of its frame; 1 is the contract called.
        own: gas that it used itself, a precompile's included.
        top: the two words on top of the stack before it, the top first.
    """

    name: str
    depth: int
    own: int
    top: tuple[int, int]


def own_costs(log: Sequence[Mapping[str, Any]]) -> list[StepCost]:
    """Return the own cost of every step of a trace; ``log`` is the node's ``structLogs``, with stacks.

    Their sum is the gas of the execution: all but the base, the call data and the refund.
    """
    costs: list[StepCost] = []
    # For each open frame below the first: place of the call, gas that the frame began with.
    opened: list[tuple[int, int]] = []
    for place, step in enumerate(log):
        following = log[place + 1] if place + 1 < len(log) else None
        own = int(step["gasCost"])
        if following is not None and following["depth"] == step["depth"]:
            own = step["gas"] - following["gas"]
        elif following is not None and following["depth"] > step["depth"]:
            opened.append((place, following["gas"]))
            own = 0
        stack = step.get("stack") or []
        words = [int(word, 16) for word in reversed(stack[-2:])]
        top = (words[0] if words else 0, words[1] if len(words) > 1 else 0)
        costs.append(StepCost(step["op"], step["depth"], own, top))
        if following is not None and following["depth"] < step["depth"]:
            call, begun = opened.pop()
            used = begun - (step["gas"] - own)
            costs[call] = StepCost(
                costs[call].name,
                costs[call].depth,
                log[call]["gas"] - following["gas"] - used,
                costs[call].top,
            )
    return costs


def calldata_cost(data: bytes) -> int:
    """Return the gas of call data: 16 for a byte that is not zero, 4 for a zero (EIP-2028)."""
    zeros = data.count(0)
    return 4 * zeros + 16 * (len(data) - zeros)


def categories(
    costs: Sequence[StepCost], slots: Mapping[int, str], frames: Mapping[int, str]
) -> Counter[str]:
    """Sum own costs by what they are for.

    Args:
        costs: of a trace.
        slots: names of storage words.
        frames: names of the contracts by depth.
    """
    found: Counter[str] = Counter()
    for cost in costs:
        found[_category(cost, slots, frames)] += cost.own
    return found


def _category(cost: StepCost, slots: Mapping[int, str], frames: Mapping[int, str]) -> str:
    where = frames.get(cost.depth, f"depth {cost.depth}")
    if cost.name in ("SLOAD", "SSTORE"):
        return f"{where}: {slots.get(cost.top[0], f'word {cost.top[0]:#x}')}"
    if cost.name in _LOGS:
        return f"{where}: log"
    if cost.name in _CALLS:
        if cost.name == "STATICCALL" and cost.top[1] == _ECRECOVER:
            return "ecrecover"
        return f"{where}: call of another contract or account"
    if cost.name in _TRANSIENT:
        return "guards against re-entry (transient words)"
    return f"{where}: execution"


def trace(stage: Stage, receipt: Receipt) -> list[StepCost]:
    """Return the own costs of a mined transaction.

    Raises:
        ChainError: the node does not trace.
    """
    options = {"disableStorage": True, "enableMemory": False}
    answer = stage.rpc.call("debug_traceTransaction", (to_hex(receipt.tx_hash), options))
    return own_costs(answer["structLogs"])


def slot_names(stage: Stage, story: Story) -> dict[int, str]:
    """Return names of the storage words that the story touches, by slot."""
    places = {name: _layout(name) for name in ("Market", "Assets", "Treasury")}
    market, assets, treasury = places["Market"], places["Assets"], places["Treasury"]
    asset = bytes(stage.asset("digits"))
    names: dict[int, str] = {_slot(asset, market["head"]): "head of the asset's trail"}
    names[_slot(stage.node, treasury["head"])] = "head of the node's trail"
    names[_nested(treasury["balanceOf"], stage.node, account_word(NATIVE))] = "income of the node"
    for account in stage.accounts:
        word = account_word(account.address)
        names[_nested(treasury["balanceOf"], word, account_word(NATIVE))] = "balance of an account"
        names[_slot(word, market["_held"])] = "number of licences held"
        names[_slot(word, market["freeBond"])] = "free bond"
    for order in story.orders:
        licence = _slot(stage.order_id(order), market["_licences"])
        names[licence] = "licence: holder, times, state"
        names[licence + 1] = "licence: asset"
        names[_slot(order.offer, market["offers"])] = "offer"
        names[_slot(order.version.id, market["flagged"])] = "flag of the version"
        names[_slot(order.version.id, assets["_releases"])] = "release of the version"
    for request in story.requests:
        identity = request.id(chain_id=stage.rpc.chain_id, market=stage.market)
        names[_slot(identity, market["requests"])] = "request"
        names[_slot(request.version, market["flagged"])] = "flag of the version"
        names[_slot(request.version, assets["_releases"])] = "release of the version"
    if story.metered is not None:
        channels = _layout("Channels")
        names[_slot(story.metered.offer, channels["offers"])] = "metered offer"
        for nonce in range(BATCH + 13):
            names[_slot(story.metered.id(nonce), channels["channels"])] = "channels"
    record = _slot(asset, assets["_records"])
    names |= {record + offset: "record of the asset" for offset in range(3)}
    return names


def _layout(name: str) -> dict[str, int]:
    text = (files("steelyard.chain") / "abi" / f"{name}.json").read_text("utf-8")
    return {item["label"]: int(item["slot"]) for item in json.loads(text)["storageLayout"]}


def _slot(key: bytes, place: int) -> int:
    return int.from_bytes(keccak256(key + place.to_bytes(32, "big")), "big")


def _nested(place: int, outer: bytes, inner: bytes) -> int:
    return _slot(inner, _slot(outer, place))


def explain(stage: Stage, step: Step, slots: Mapping[int, str]) -> list[tuple[str, int]]:
    """Return what a step's gas went to, largest first, base and call data at the top; sums to the receipt's gas."""
    asks = step.name.endswith(("buy", "request + delivery: deliver", "open channel"))
    second = "Assets" if asks else "Treasury"
    frames = {1: step.call.name.partition(".")[0], 2: second}
    found = categories(trace(stage, step.receipt), slots, frames)
    fixed = [("base of a transaction", BASE), (_data_text(step.call.data), calldata_cost(step.call.data))]
    parts = fixed + sorted(found.items(), key=lambda item: -item[1])
    left = step.receipt.gas_used - sum(gas for _, gas in parts)
    return [*parts, ("refund for a cleared word", left)] if left else parts


def _data_text(data: bytes) -> str:
    return f"call data: {len(data)} bytes, {data.count(0)} of them zero"


def report(root: Path) -> str:
    """Return the breakdown of all traced steps, as Markdown tables.

    Args:
        root: the checkout.
    """
    sections = []
    with open_stage(root) as stage:
        story = Story(stage, root)
        story.run()
        slots = slot_names(stage, story)
        for name in TRACED:
            parts = explain(stage, story.steps[name], slots)
            lines = [f"| {name} | gas |", "|---|---|"]
            lines += [f"| {what} | {gas:,} |" for what, gas in parts]
            sections.append("\n".join([*lines, f"| **sum** | **{story.sums[name]:,}** |"]))
    return "\n\n".join(sections)
