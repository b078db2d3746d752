"""The corpus of hostile files, names and texts: each is refused by its own error, and nothing is run, written or blown up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.run import cases

ROOT = Path(__file__).parents[2]
CASES = cases()
MOST = 48 << 20
"""Bytes of Python's memory that one case may take."""


@pytest.fixture(scope="module")
def outcome() -> dict[str, Any]:
    path = os.pathsep.join([str(ROOT / "backend"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "tests.hostile.run"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def results(outcome: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in outcome["results"]}


def test_the_corpus_is_as_large_as_it_says() -> None:
    names = Counter(case.name for case in CASES)
    assert len(names) >= 400 and not [name for name, count in names.items() if count > 1]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_refused(case: Any, results: dict[str, dict[str, Any]]) -> None:
    found = results[case.name]
    if case.kind != "small":
        assert case.error.__name__ in found["error"].split(","), found
        assert case.words in found["message"], found
    if case.kind in ("file", "json", "yaml"):
        assert any(name in found["message"] for name in ("model.bin", "config.json", "config.yaml")), (
            "the file is named"
        )
    assert found["left"] == []
    assert found["peak"] < MOST, found


def test_nothing_was_run_or_written(outcome: dict[str, Any]) -> None:
    assert outcome["guard"], "the guard stops what it should"
    assert outcome["seen"] == []


def test_the_process_grew_little(outcome: dict[str, Any]) -> None:
    # What the files are made of and tracemalloc's own books are in it.
    assert outcome["rss_kib"] < 128 << 10
