"""The fault matrix: every operation under every fault.

    python -m tests.faults.matrix [--kinds WORD] [--operations WORD] [--seed N]

Each cell is run twice: with the fault once, at a request drawn at random among those of a run without faults, and with the fault
lasting until the operation has ended. It must end within BOUND seconds in success or in an error of this package; once the fault is
lifted the same objects must get it done, unless that has happened already; then the invariants are counted (`Cell.broken`).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from steelyard.errors import NotFoundError, PendingError, RefusedError, SteelyardError, UnavailableError
from tests.faults.faults import KINDS, MORE, Kind
from tests.faults.operations import OPERATIONS, Operation
from tests.faults.world import Cell, World, world

BOUND = 20.0
"""Seconds within which an operation must end, with the impatient settings."""
ROOT = Path(__file__).parents[2]
MODES = ("once", "lasting")
TRIES = 4


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a cell ended.

    Attributes:
        fault: row.
        operation: column.
        mode: once or lasting.
        ended: ``not met``, ``success``, or ``error``: an error of this package, and success after it.
        error: its class.
        hits: how often the fault struck.
        seconds: until the first end.
        broken: what is wrong; empty if nothing.
    """

    fault: str
    operation: str
    mode: str
    ended: str
    error: str
    hits: int
    seconds: float
    broken: tuple[str, ...]


def clean_requests(made: World, operation: type[Operation]) -> dict[str, int]:
    """Run an operation without faults; returns how many requests it makes of the chain and of the store."""
    with made.cell() as cell:
        tried = operation()
        tried.prepare(cell)
        made.rpc_proxy.forget()
        made.store_proxy.forget()
        tried.act(cell)
        assert tried.done(cell), f"{tried.name} does not work without faults"
        assert not cell.broken(), cell.broken()
        return {"rpc": made.rpc_proxy.requests, "store": made.store_proxy.requests}


def run_cell(made: World, kind: Kind, operation: type[Operation], mode: str, *, after: int) -> Outcome:
    """Run one cell."""
    with made.cell() as cell:
        tried = operation()
        tried.prepare(cell)
        made.rpc_proxy.forget()
        made.store_proxy.forget()
        proxy = made.rpc_proxy if kind.where == "rpc" else made.store_proxy
        proxy.arm(kind.make(), after=after if mode == "once" else 0, times=1 if mode == "once" else None)
        error, seconds = _within(lambda: tried.act(cell))
        hits = proxy.hits
        made.rpc_proxy.lift()
        made.store_proxy.lift()
        broken = [] if error is None else _unexpected(error)
        if not broken:
            broken = _finish(tried, cell, error)
        ended = "error" if error is not None else "success" if hits else "not met"
        return Outcome(
            fault=kind.name,
            operation=tried.name,
            mode=mode,
            ended=ended,
            error=type(error).__name__ if error is not None else "",
            hits=hits,
            seconds=round(seconds, 2),
            broken=tuple(broken),
        )


def _unexpected(error: BaseException) -> list[str]:
    if isinstance(error, SteelyardError):
        return []
    return [f"{type(error).__name__}: {error}"[:300]]


def _finish(tried: Operation, cell: Cell, error: BaseException | None) -> list[str]:
    """Get it done after the fault; returns what is wrong."""
    if isinstance(error, PendingError):
        # What a caller is told to do: not to send anew, but to go on with what was sent.
        with contextlib.suppress(RefusedError, NotFoundError):
            tried.sender(cell).pursue(error.tx_hash)
    if error is not None and not tried.done(cell):
        for _ in range(TRIES):
            again, _ = _within(lambda: tried.act(cell))
            if not isinstance(again, UnavailableError):
                break  # on a busy machine an honest answer may take longer than the short patience here
        if again is not None:
            return [
                f"after {type(error).__name__} ({error}), not to be had again: {type(again).__name__}: {again}"[
                    :600
                ]
            ]
    if not tried.done(cell):
        return ["it says that it is done, and it is not" if error is None else "tried again, it is not done"]
    return cell.broken()


def _within(act: Callable[[], None]) -> tuple[BaseException | None, float]:
    """Run something in a thread, at most BOUND seconds; returns its error and the seconds."""
    caught: list[BaseException] = []

    def body() -> None:
        try:
            act()
        except BaseException as exc:  # noqa: BLE001  # judged by the caller
            caught.append(exc)

    thread = threading.Thread(target=body, daemon=True)
    began = time.monotonic()
    thread.start()
    thread.join(BOUND)
    seconds = time.monotonic() - began
    if thread.is_alive():
        return TimeoutError(f"no end within {BOUND:g} s"), seconds
    return (caught[0] if caught else None), seconds


def run(
    made: World,
    *,
    kinds: Sequence[Kind],
    operations: Sequence[type[Operation]],
    modes: Sequence[str] = MODES,
    chance: random.Random,
    tell: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """Run the cells of some rows and columns."""
    outcomes = []
    for operation in operations:
        requests = clean_requests(made, operation)
        for kind in kinds:
            for mode in modes:
                after = chance.randrange(max(1, requests[kind.where])) if mode == "once" else 0
                outcome = run_cell(made, kind, operation, mode, after=after)
                if after and outcome.ended == "not met":
                    # It can only strike at requests that come before, such as the one that sends.
                    outcome = run_cell(made, kind, operation, mode, after=0)
                outcomes.append(outcome)
                tell(outcomes[-1])
    return outcomes


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the cells as text: both modes of a cell side by side."""
    operations = list(dict.fromkeys(item.operation for item in outcomes))
    signs = {"success": "s", "error": "e", "not met": "."}
    cells: dict[tuple[str, str], str] = {}
    for item in outcomes:
        key = item.fault, item.operation
        cells[key] = cells.get(key, "") + ("X" if item.broken else signs[item.ended])
    width = max(len(item.fault) for item in outcomes)
    lines = [" " * width + "".join(f" {name[:12]:>12}" for name in operations)]
    for fault in dict.fromkeys(item.fault for item in outcomes):
        lines.append(
            f"{fault:{width}}" + "".join(f" {cells.get((fault, name), ''):>12}" for name in operations)
        )
    lines.append(
        "s success in spite of it, e typed error and success afterwards, . not met, X failed; once and lasting"
    )
    return "\n".join(lines)


def summary(outcomes: Sequence[Outcome]) -> str:
    """Return the sums in one line."""
    ended = Counter("failed" if item.broken else item.ended for item in outcomes)
    slowest = max(item.seconds for item in outcomes)
    cells = len({(item.fault, item.operation) for item in outcomes})
    return (
        f"{cells} cells, {len(outcomes)} runs: {ended['success']} success, {ended['error']} typed error and success "
        f"afterwards, {ended['not met']} where the fault was not met, {ended['failed']} failed; slowest {slowest:.1f} s"
    )


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kinds", default="")
    parser.add_argument("--operations", default="")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)  # the service logs each fault with its whole cause
    print(f"faults: seed {given.seed}", flush=True)
    began = time.monotonic()

    def tell(item: Outcome) -> None:
        for fault in item.broken:
            print(f"faults: {item.operation} / {item.fault} / {item.mode}: {fault}", flush=True)

    with tempfile.TemporaryDirectory(prefix="steelyard-faults-") as folder, world(Path(folder)) as made:
        outcomes = run(
            made,
            kinds=[kind for kind in (*KINDS, *MORE) if given.kinds in kind.name],
            operations=[item for item in OPERATIONS if given.operations in item.name],
            chance=random.Random(given.seed),
            tell=tell,
        )
    print(table(outcomes))
    print(f"faults: {summary(outcomes)}; {time.monotonic() - began:.0f} s")
    place = ROOT / "build" / "faults.json"
    place.parent.mkdir(exist_ok=True)
    place.write_text(json.dumps({"seed": given.seed, "cells": [asdict(item) for item in outcomes]}, indent=1))
    return 1 if any(item.broken for item in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
