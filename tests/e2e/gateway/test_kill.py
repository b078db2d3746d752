"""A short kill campaign; `make kill ARGS=--gateway` runs a thousand."""

from pathlib import Path

from tests.e2e.kill.gateway import campaign


def test_killed_again_and_again(tmp_path: Path) -> None:
    found = campaign(tmp_path, kills=8, seed=20261129)
    assert sum(found.kills.values()) == 8 and found.calls and found.units >= found.calls
