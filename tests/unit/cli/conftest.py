from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from steelyard.cli.main import run
from tests.unit.cli.stub import ALICE, StubMarket


@dataclass
class Outcome:
    """What one command line gave."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with an account file that only names its address, and no other settings."""
    keystores = tmp_path / "home" / "keystores"
    (tmp_path / "home").mkdir(mode=0o700)
    keystores.mkdir(mode=0o700)
    (keystores / "alice.json").write_text(json.dumps({"version": 3, "address": ALICE.hex()}))
    (keystores / "alice.json").chmod(0o600)
    for name in ("STEELYARD_RPC", "STEELYARD_ACCOUNT", "STEELYARD_DEBUG", "STEELYARD_STORE", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STEELYARD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("STEELYARD_CONFIG", str(tmp_path / "user.toml"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def market() -> StubMarket:
    return StubMarket()


@pytest.fixture
def cli(market: StubMarket, capsys: pytest.CaptureFixture[str]) -> Cli:
    def call(*argv: str) -> Outcome:
        code = run(argv, opener=lambda session, signing: market)  # type: ignore[arg-type, return-value]
        captured = capsys.readouterr()
        return Outcome(int(code), captured.out, captured.err)

    return call
