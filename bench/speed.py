"""All speed topics, in order."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import audit, car, cid, files, indexing, paid, proofs, sealing, startup, transactions
from bench.row import Outcome
from bench.setting import Setting


def rows(
    root: Path, *, size: int, rounds: int, entries: int = 100_000, only: frozenset[str] = frozenset()
) -> list[Outcome]:
    """Return the speed rows.

    Args:
        root: the checkout.
        size: bytes of large files.
        rounds: number of rounds.
        entries: of the synthetic history that is indexed and asked.
        only: names of topics; all if empty.
    """
    topics: dict[str, Callable[[Setting], list[Outcome]]] = {
        "sealing": sealing.rows,
        "files": files.rows,
        "cid": cid.rows,
        "car": car.rows,
        "proofs": proofs.rows,
        "paid": paid.rows,
        "transactions": transactions.rows,
        "startup": startup.rows,
        "index": indexing.rows,
        "audit": audit.rows,
    }
    build = root / "build"
    build.mkdir(exist_ok=True)
    found: list[Outcome] = []
    for name, topic in topics.items():
        if not only or name in only:
            with tempfile.TemporaryDirectory(prefix="bench-", dir=build) as folder:
                found += topic(Setting(root, Path(folder), size, rounds, entries))
    return found
