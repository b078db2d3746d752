from __future__ import annotations

import json
import sys

import pytest

from steelyard.domain.jsontext import decode_json, parse_json


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, '[{"a":' * 50_000, "[" * 50_000 + "]" * 50_000]
)
def test_deep_nesting_is_refused_whatever_the_recursion_limit(text: str) -> None:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    try:
        with pytest.raises(ValueError):
            parse_json(text.encode())
        with pytest.raises(ValueError):
            decode_json(text.encode(), object)
    finally:
        sys.setrecursionlimit(before)


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"result": [{"a": [[], {}, [{}]]}] * 1_000},
        {"error": {"message": "]]{{[" * 20}},
        "[" * 300,
        60 * "[" + 60 * "]",
    ],
)
def test_what_an_endpoint_may_say_is_parsed(value: object) -> None:
    assert parse_json(json.dumps(value).encode()) == value


def test_forty_levels_are_parsed() -> None:
    text = b"[" * 40 + b"]" * 40
    assert parse_json(text) == json.loads(text)
