"""Mutations of JSON for the fuzz campaign: what comes out is JSON, and every member gets values of every type."""

from __future__ import annotations

import base64
import json
from random import Random

import pytest

from tests.fuzz.mutation import mutate, mutate_json
from tests.fuzz.targets import TARGETS

DOCUMENT = b'{"a":{"b":[1,"x",null]},"c":"text","d":2.5}'
TYPES = {dict, list, str, int, float, bool, type(None)}


def mutations(data: bytes, count: int = 3000) -> list[bytes]:
    rng = Random(7)
    found = [item for _ in range(count) if (item := mutate_json(data, rng)) is not None]
    assert len(found) == count
    return found


def test_every_value_gets_every_type() -> None:
    types: dict[str, set[type]] = {}
    for text in mutations(DOCUMENT):
        found = json.loads(text)
        if isinstance(found, dict):
            for name, value in found.items():
                types.setdefault(name, set()).add(type(value))
            inner = found.get("a")
            if isinstance(inner, dict) and isinstance(inner.get("b"), list):
                for number, value in enumerate(inner["b"]):
                    types.setdefault(f"b{number}", set()).add(type(value))
    for name in ("a", "c", "d", "b0", "b1", "b2"):
        assert types[name] == TYPES


def test_members_go_move_and_stand_twice() -> None:
    found = mutations(DOCUMENT)
    names = [
        [name for name, _ in json.loads(text, object_pairs_hook=list)] for text in found if text[:1] == b"{"
    ]
    for expected in (["a", "c"], ["c", "d"], ["a", "d", "x"], ["c", "a", "c", "d"], ["d", "a", "c", "d"]):
        assert expected in names


def test_what_stands_around_stays_and_lengths_can_hold() -> None:
    found = mutations(b"\xff\x00" + DOCUMENT + b"\x00\xfe")
    assert all(text.startswith(b"\xff\x00") and text.endswith(b"\x00\xfe") for text in found)
    same = sum(len(text) == len(DOCUMENT) + 4 for text in found)
    assert len(found) // 4 < same < len(found)


def swapped(data: bytes) -> bytes:
    return data[::-1]


def test_json_within_base64() -> None:
    rng, seen = Random(7), set()
    for _ in range(1000):
        text = mutate(base64.b64encode(DOCUMENT), rng, swapped)
        if text != swapped(base64.b64encode(DOCUMENT)):
            seen.add(base64.b64decode(text))
    assert swapped(DOCUMENT) in seen
    assert len({json.dumps(json.loads(text)) for text in seen - {swapped(DOCUMENT)}}) > 100


@pytest.mark.parametrize("size", range(9, 14))
def test_bytes_within_base64(size: int) -> None:
    inner = bytes(range(size))
    for text in (
        base64.urlsafe_b64encode(inner),
        base64.urlsafe_b64encode(inner).rstrip(b"="),
    ):
        rng = Random(7)
        found = {mutate(b"1." + text + b".", rng, swapped) for _ in range(200)}
        padding = b"=" * (len(text) - len(text.rstrip(b"=")))
        assert b"1." + base64.urlsafe_b64encode(inner[::-1]).rstrip(b"=") + padding + b"." in found


@pytest.mark.parametrize("data", [b"", b"text", b"{", b"[1,", b"{x}", b"bm8=", b"[" * 100_000], ids=repr)
def test_no_json(data: bytes) -> None:
    assert mutate_json(data, Random(7)) is None


def test_deep_json() -> None:
    assert mutations(b"[" * 900 + b"]" * 900, 100)


@pytest.mark.parametrize("name", ["keras-config", "node", "chain-answer", "manifest", "bundle"])
def test_seeds_of_parsers_are_json(name: str) -> None:
    assert any(mutate_json(seed, Random(7)) for seed in TARGETS[name].seeds())


def test_what_has_neither_is_changed_as_bytes() -> None:
    assert {mutate(b"a b c", Random(number), swapped) for number in range(50)} == {b"c b a"}
