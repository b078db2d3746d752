from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.row import Row, Skipped, number, table, write


@pytest.mark.parametrize(
    ("unit", "ours", "met"),
    [("gas", 99, True), ("gas", 101, False), ("MB/s", 101, True), ("MB/s", 99, False)],
)
def test_a_bar_is_a_ceiling_for_gas_and_a_floor_for_speed(unit: str, ours: float, met: bool) -> None:
    assert Row(name="x", unit=unit, ours=ours, bar=100).met is met


def test_without_a_bar_nothing_is_met_or_missed() -> None:
    assert Row(name="x", unit="gas", ours=1).met is None


def test_the_ratio_is_to_the_limit_before_the_peer() -> None:
    assert Row(name="x", unit="/s", ours=50, limit=100, peer=10).shown_ratio == 0.5
    assert Row(name="x", unit="/s", ours=50, peer=10).shown_ratio == 5


def test_a_ratio_of_rounds_goes_before_that_of_medians() -> None:
    assert Row(name="x", unit="/s", ours=50, limit=100, ratio=0.7).shown_ratio == 0.7


def test_the_record_has_exactly_the_agreed_keys(tmp_path: Path) -> None:
    path = tmp_path / "build" / "bench.json"
    write(path, [Row(name="x", unit="gas", ours=5, bar=9), Skipped("y", "no chain")])
    expected = {"name": "x", "unit": "gas", "ours": 5, "peer": None, "limit": None, "bar": 9}
    assert json.loads(path.read_text()) == [expected]


def test_the_table_says_what_was_missed_and_what_was_skipped() -> None:
    text = table(
        "gas", [Row(name="renew", unit="gas", ours=71_449, bar=60_000), Skipped("info", "no market")]
    )
    assert "71,449" in text and "missed" in text
    assert "skipped: no market" in text


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), (1234567, "1,234,567"), (0.233, "0.233"), (812.4, "812"), (5.0, "5")]
)
def test_figures_have_three_digits(value: float | None, text: str) -> None:
    assert number(value) == text


def test_a_share_of_the_limit_is_held_against_the_ratio_of_the_rounds() -> None:
    row = Row(name="x", unit="/s", ours=69, limit=100, ratio=0.71, share=0.7)
    assert row.met and row.shown_bar == 70 and row.record()["bar"] == 70
    assert Row(name="x", unit="/s", ours=71, limit=100, ratio=0.69, share=0.7).met is False
