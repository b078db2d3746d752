"""The books of the fuzz campaign, and whose turn it is; what runs is not atheris here, which has an environment of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.books import Books, Turn
from tests.fuzz.campaign import campaign
from tests.fuzz.targets import TARGETS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fuzz.json"


class Parsers:
    """Stand for the processes: each takes what it is given, and one second more to start; some find something."""

    def __init__(self, *faulty: str) -> None:
        self.faulty = faulty
        self.turns: list[tuple[str, float]] = []

    def run(self, name: str, seconds: float) -> Turn:
        self.turns.append((name, seconds))
        found = [f"build/fuzz/found/{name}/crash"] if name in self.faulty else []
        return Turn(name, seconds=9, cpu_seconds=seconds + 1, executions=100, covered=7, found=found)


def run(books: Books, parsers: Parsers, *, cpu_seconds: float, in_order: bool = False) -> list[str]:
    campaign("abc", books, parsers.run, cpu_seconds=cpu_seconds, portion=20, jobs=1, in_order=in_order)
    return [name for name, _ in parsers.turns]


def test_turns_are_added_up_and_read_back(path: Path) -> None:
    books = Books(path)
    books.add(Turn("a", seconds=2.5, cpu_seconds=1.3, executions=5, covered=9, memory_mb=60, found=["x"]))
    books.add(Turn("b", cpu_seconds=1))
    books.add(Turn("a", seconds=1, cpu_seconds=0.4, executions=6, covered=8, memory_mb=61))
    expected = Turn("a", seconds=3.5, cpu_seconds=1.7, executions=11, covered=9, memory_mb=61, found=[])
    assert books["a"] == Books(path)["a"] == expected
    assert Books(path)["b"] == Turn("b", cpu_seconds=1) and Books(path)["c"] == Turn("c")


def test_parsers_take_turns(path: Path) -> None:
    assert run(Books(path), Parsers(), cpu_seconds=40) == ["a", "b", "c", "a", "b", "c"]


def test_parsers_in_order(path: Path) -> None:
    assert run(Books(path), Parsers(), cpu_seconds=40, in_order=True) == ["a", "a", "b", "b", "c", "c"]


def test_a_turn_is_no_longer_than_what_is_left(path: Path) -> None:
    parsers = Parsers()
    run(Books(path), parsers, cpu_seconds=30, in_order=True)
    assert parsers.turns[:2] == [("a", 20), ("a", 9)]


def test_a_campaign_goes_on_where_it_was_broken_off(path: Path) -> None:
    run(Books(path), Parsers(), cpu_seconds=20)
    Books(path).add(Turn("b", cpu_seconds=40))
    assert run(Books(path), Parsers(), cpu_seconds=40) == ["a", "c"]
    assert Books(path)["a"].executions == 200


def test_a_finding_ends_the_turns_of_its_parser(path: Path) -> None:
    assert run(Books(path), Parsers("b"), cpu_seconds=40) == ["a", "b", "c", "a", "c"]
    assert Books(path)["b"].found == ["build/fuzz/found/b/crash"]


def test_the_next_campaign_tries_a_finding_again(path: Path) -> None:
    run(Books(path), Parsers("a", "b"), cpu_seconds=20)
    assert run(Books(path), Parsers(), cpu_seconds=20) == ["a", "b"]
    assert Books(path)["b"].found == []


def test_what_is_begun_anew_counts_from_nothing(path: Path) -> None:
    books = Books(path)
    run(books, Parsers(), cpu_seconds=20)
    books.forget("a")
    assert books["a"] == Turn("a") and books["b"].executions == 100


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_reads_what_it_starts_from(name: str) -> None:
    target, read = TARGETS[name], 0
    for seed in target.seeds():
        try:
            target.run(seed)
        except target.allowed:
            continue
        read += 1
    assert read
