"""The parts of the service that need no chain."""

from __future__ import annotations

import json

import pytest

from steelyard.service.gate import in_time
from steelyard.service.serving import Event


@pytest.mark.parametrize(("due", "expected"), [(1601, True), (1600, False), (1000, False), (999, False)])
def test_a_deadline_must_be_more_than_the_margin_away(due: int, expected: bool) -> None:
    assert in_time(due=due, now=1000, margin=600) is expected


def test_an_event_is_one_line_of_json() -> None:
    event = Event(kind="delivered", id=b"\1" * 32, block=7, tx=b"\2" * 32, why="a\nb")
    line = event.line(at=0.0)
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:00Z",
        "event": "delivered",
        "id": "0x" + "01" * 32,
        "block": 7,
        "tx": "0x" + "02" * 32,
        "why": "a\nb",
    }


def test_an_event_says_only_what_there_is() -> None:
    assert set(json.loads(Event(kind="stopped").line(at=0.0))) == {"time", "event"}
