from __future__ import annotations

import json
import random
import sys
import tracemalloc

import pytest

from steelyard.domain import jsontext
from steelyard.domain.jsontext import DuplicateKeyError, decode_json, parse_json, unique


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


def test_quotes_of_two_bytes_hide_no_brackets() -> None:
    for text in ('["\\"",' + "[" * 3000, "[" * 3000):
        with pytest.raises(ValueError, match="nested too deeply"):
            jsontext.check_depth(text.encode("utf-16-le"))


def test_a_key_stands_there_once() -> None:
    assert parse_json(b'{"a":{"b":1},"b":2}', object_pairs_hook=unique) == {"a": {"b": 1}, "b": 2}
    with pytest.raises(DuplicateKeyError):
        parse_json(b'[{"a":{"b":1,"b":1}}]', object_pairs_hook=unique)


def test_forty_levels_are_parsed() -> None:
    text = b"[" * 40 + b"]" * 40
    assert parse_json(text) == json.loads(text)


def outside(text: bytes) -> bytes:
    """Return the brackets outside of strings, letter by letter."""
    found, string, escaped = bytearray(), False, False
    for letter in text:
        if escaped:
            escaped = False
        elif string and letter == ord("\\"):
            escaped = True
        elif letter == ord('"'):
            string = not string
        elif not string and letter in b"[]{}":
            found.append(letter)
    return bytes(found)


def some(chance: random.Random, depth: int = 0) -> object:
    kind = chance.randrange(5 if depth < 6 else 2)
    if kind < 2:
        return "".join(chance.choice('a[]{}"\\,:\n') for _ in range(chance.randrange(8)))
    if kind == 2:
        return 1
    if kind == 3:
        return [some(chance, depth + 1) for _ in range(chance.randrange(4))]
    return {str(some(chance, 9)): some(chance, depth + 1) for _ in range(chance.randrange(4))}


@pytest.mark.parametrize("chunk", [1, 7, 1 << 18])
def test_brackets_in_strings_do_not_count(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsontext, "_CHUNK", chunk)
    chance = random.Random(chunk)
    for _ in range(1000):
        text = json.dumps(some(chance)).encode()
        assert jsontext._outside(text) == outside(text)
    assert parse_json(json.dumps(["[{" * 2000, {"[": "{" * 3000}]).encode()) == [
        "[{" * 2000,
        {"[": "{" * 3000},
    ]


@pytest.mark.parametrize(
    "text", [b'"' + b'\\"' * 500_000, b'""[' * 500_000, b'["' * 500_000, b'"[' * 500_000]
)
def test_looking_takes_little_memory(text: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(ValueError):
        parse_json(b"[" * 600 + text)
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()
