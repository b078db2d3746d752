"""A part of the fault matrix: every fault once and every operation at least twice; all of it is `make faults`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.faults import KINDS, MORE, Kind
from tests.faults.matrix import MODES, clean_requests, run_cell
from tests.faults.operations import OPERATIONS, Operation
from tests.faults.world import World, world

# Where each fault strikes: those of the logs at readers of logs, those of transactions at senders.
SENDERS = ("nonce", "replacement", "accepted", "mined", "gas", "receipts")
LOGS = ("log", "order", "blockHash")


@pytest.fixture(scope="module")
def made(folder: Path) -> Iterator[World]:
    with world(folder) as opened:
        yield opened


def meets(kind: Kind, operation: type[Operation]) -> bool:
    """Whether an operation asks what a fault falsifies."""
    if kind.where == "store":
        return operation.name not in ("offer", "refund", "audit bundle", "index catch-up", "index step")
    if any(word in kind.name for word in SENDERS):
        return operation.name not in ("pull", "audit bundle", "index catch-up", "index step", "http read")
    return not any(word in kind.name for word in LOGS) or operation.name not in ("publish", "http read")


def chosen() -> list[tuple[Kind, type[Operation], str]]:
    """Return one cell for each fault, walking through operations and modes."""
    cells = []
    for place, kind in enumerate((*KINDS, *MORE)):
        fitting = [operation for operation in OPERATIONS if meets(kind, operation)]
        cells.append((kind, fitting[place % len(fitting)], MODES[place % 2]))
    return cells


@pytest.mark.parametrize(
    ("kind", "operation", "mode"), chosen(), ids=lambda value: value if isinstance(value, str) else value.name
)
def test_a_cell_ends_well(made: World, kind: Kind, operation: type[Operation], mode: str) -> None:
    outcome = run_cell(made, kind, operation, mode, after=0)
    assert not outcome.broken
    assert outcome.ended != "not met"


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda value: value.name)
def test_an_operation_works_through_the_proxies(made: World, operation: type[Operation]) -> None:
    assert clean_requests(made, operation)["rpc"] > 0
