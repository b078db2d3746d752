"""The chain under test: its clock, its snapshots, calls that are expected to fail.

Time stands still: a block has the time of the one before, unless a test moves the clock. So every boundary can be hit to the
second, and nothing depends on how fast the machine is.
"""

from __future__ import annotations

from typing import Any

from brownie import history, project, web3


def rpc(method: str, *params: Any) -> Any:
    """Send a request and return its result; an error raises."""
    answer = web3.provider.make_request(method, list(params))
    if "error" in answer:
        raise AssertionError(f"{method}: {answer['error']}")
    return answer["result"]


def now() -> int:
    """Return the time of the newest block, Unix seconds: also that of the next one."""
    return int(rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)


def height() -> int:
    """Return the number of the newest block."""
    return int(rpc("eth_blockNumber"), 16)


def stop_clock() -> None:
    """Make every block as old as the one before."""
    rpc("anvil_setBlockTimestampInterval", 0)


def warp(time: int) -> None:
    """Move the clock to ``time`` (Unix seconds): calls, and the next transactions, see exactly this time."""
    if time != now():
        rpc("evm_setNextBlockTimestamp", time)
        rpc("evm_mine")
    assert now() == time


def snapshot() -> tuple[str, dict[str, int]]:
    """Return a snapshot of the chain, and how many contracts of each name brownie knows."""
    containers = project.get_loaded_projects()[0].dict()
    return str(rpc("evm_snapshot")), {name: len(container) for name, container in containers.items()}


def revert(name: tuple[str, dict[str, int]]) -> None:
    """Go back to a snapshot, which is used up. brownie's own `chain.revert` collects garbage each time: 140 ms a test."""
    assert rpc("evm_revert", name[0])
    history.clear()
    for key, container in project.get_loaded_projects()[0].dict().items():
        for contract in list(container)[name[1][key] :]:
            container.remove(contract)


def reorganise(depth: int, transactions: list[tuple[dict[str, object], int]]) -> None:
    """Replace the newest blocks by others with these transactions, each with the number of its new block from 0.

    brownie waits for ever for a transaction that it remembers and the chain does not, so its memory is cleared.
    """
    rpc("anvil_reorg", depth, [list(pair) for pair in transactions])
    history.clear()


def coins(account: object) -> int:
    """Return the native coin of an account or contract, wei."""
    return int(rpc("eth_getBalance", str(account), "latest"), 16)
