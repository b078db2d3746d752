"""A few kills on either side of a file; `make kill ARGS=--files` has twenty on each side of a large one."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.kill.files import campaign


def test_kills_of_publisher_and_buyer_lose_a_chunk_a_worker_at_most(tmp_path: Path) -> None:
    result = campaign(tmp_path, kills=2, mib=16, seed=20261129)
    assert result.publisher == 3 and result.buyer == 2 and result.edits == 1
    assert result.good, result.line()
