"""How long the command line takes to answer, against Python alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.rounds import interleave
from bench.row import Outcome, Row, Skipped
from bench.setting import Setting
from bench.stage import open_stage
from steelyard.domain.types import AssetKind, name_word
from steelyard.errors import ChainError, InputError
from steelyard.indexer.database import open_database
from steelyard.indexer.run import Indexer

_HELP_BAR, _READ_BAR = 0.25, 1.2


def _run(command: list[str], more: Mapping[str, str] | None = None) -> None:
    environ = {**os.environ, **(more or {})}
    subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=60, env=environ
    )


@contextmanager
def _market(setting: Setting) -> Iterator[tuple[list[str], Mapping[str, str], str]]:
    """Start a chain with one asset, indexed; yields the options and environment of a command line on it, and the asset's id."""
    with open_stage(setting.root) as stage:
        asset = stage.asset("bench-startup")
        sealed = stage.seal(asset, "bench-startup")
        word = name_word("bench-startup")
        stage.seller.send(
            stage.calls.register(word, AssetKind.MODEL, 0, sealed.version, stage.key_proof(sealed))
        )
        record, where = setting.folder / "deployment.json", setting.folder / "startup.sqlite"
        stage.deployment.save(record)
        database = open_database(where)
        Indexer(database, [stage.rpc], stage.deployment).catch_up()
        database.close()
        options = [
            "--rpc",
            stage.rpc.name,
            "--chain-id",
            str(stage.rpc.chain_id),
            "--deployment",
            str(record),
        ]
        options += ["--home", str(setting.folder / "home"), "--store", str(setting.folder / "store")]
        yield options, {"STEELYARD_DATABASE": str(where)}, "0x" + asset.hex()


def rows(setting: Setting) -> list[Outcome]:
    """Return the rows; those of commands that fail here are skipped with the reason."""
    program = str(Path(sys.executable).with_name("steelyard"))
    found = [_outcome("steelyard --help", [program, "--help"], {}, _HELP_BAR, setting.rounds)]
    try:
        with _market(setting) as (options, environ, asset):
            for name, words in (("info", ["info", asset, "--no-fetch"]), ("search", ["search", "bench"])):
                command = [program, *options, *words]
                found.append(_outcome(f"steelyard {name}", command, environ, _READ_BAR, setting.rounds))
    except (InputError, ChainError) as exc:
        found += [Skipped(name, str(exc)) for name in ("steelyard info", "steelyard search")]
    return found


def _outcome(name: str, command: list[str], environ: Mapping[str, str], bar: float, rounds: int) -> Outcome:
    try:
        _run(command, environ)
    except FileNotFoundError:
        return Skipped(name, "the package is not installed with its command")
    except subprocess.SubprocessError as exc:
        return Skipped(name, _reason(exc))
    return _row(name, command, environ, bar, rounds)


def _reason(exc: subprocess.SubprocessError) -> str:
    text = exc.stderr if isinstance(exc, subprocess.CalledProcessError) else b""
    lines = (text or b"").decode("utf-8", "replace").strip().splitlines()
    return f"it fails here: {lines[-1] if lines else type(exc).__name__}"


def _row(name: str, command: list[str], environ: Mapping[str, str], bar: float, rounds: int) -> Row:
    python = [sys.executable, "-c", "pass"]
    times = interleave({"ours": lambda: _run(command, environ), "bare": lambda: _run(python)}, rounds=rounds)
    return Row(
        name=name,
        unit="s",
        ours=times.median("ours"),
        limit=times.median("bare"),
        bar=bar,
        ratio=1 / times.speedup("ours", "bare"),
        against="limit: python -c pass",
    )
