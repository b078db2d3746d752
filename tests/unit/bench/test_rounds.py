from __future__ import annotations

from bench.rounds import ROUNDS, Timings, interleave


def test_contestants_take_turns_in_every_round() -> None:
    order: list[str] = []
    interleave({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=1)
    rounds = [order[place : place + 2] for place in range(0, len(order), 2)]
    assert len(rounds) == ROUNDS + 1
    assert all(sorted(names) == ["a", "b"] for names in rounds)
    assert rounds[0] != rounds[1]


def test_the_first_round_does_not_count() -> None:
    times = interleave({"a": lambda: None}, rounds=7)
    assert len(times.seconds["a"]) == 7


def test_what_follows_a_run_is_called_after_each() -> None:
    calls: list[str] = []
    interleave({"a": lambda: calls.append("run")}, rounds=5, after=lambda: calls.append("clean"))
    assert calls == ["run", "clean"] * 6


def test_a_speedup_compares_within_rounds() -> None:
    # The machine slows down tenfold after the first round; each round by itself says 2.
    times = Timings({"fast": (1.0, 10.0, 10.0), "slow": (2.0, 20.0, 20.0)})
    assert times.speedup("fast", "slow") == 2
    assert times.median("fast") == 10
