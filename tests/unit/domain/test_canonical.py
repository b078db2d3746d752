from __future__ import annotations

import pytest

from steelyard.domain.canonical import decode, encode
from steelyard.errors import ManifestError


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value", [{}, [], 0, "", "é", {"b": [1, (1 << 53) - 1], "a": {"": "\U0001f917\n"}}, nested(8)]
)
def test_what_the_format_has_a_form_for(value: object) -> None:
    assert decode(encode(value)) == value


def test_one_form() -> None:
    assert encode({"b": "é/\u2028", "a": [1, {}]}) == '{"a":[1,{}],"b":"é/\u2028"}'.encode()


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (True, "booleans"),
        ([None], "null"),
        ({"a": 1.0}, "floats"),
        ({"é": 1}, "keys"),
        ({1: 1}, "keys"),
        (-1, "integers"),
        (1 << 53, "integers"),
        ("e\u0301", "NFC"),
        ("\ud83e", "surrogate"),
        (nested(9), "deeper"),
        (b"", "no form for bytes"),
        ("x" * (16 << 20), "the most is"),
    ],
    ids=range(12),
)
def test_what_it_has_no_form_for(value: object, why: str) -> None:
    with pytest.raises(ManifestError, match=why):
        encode(value)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"true", "booleans"),
        (b"[null]", "null"),
        (b"1.0", "not an integer"),
        (b"1e2", "not an integer"),
        (b"NaN", "not an integer"),
        (b"-1", "integers"),
        (b"9007199254740992", "integers"),
        (b"1" * 17, "not an integer"),
        ('{"é":1}'.encode(), "keys"),
        ('"e\u0301"'.encode(), "NFC"),
        (b'"\\ud83e"', "surrogate"),
        (b'{"a":1,"a":1}', "duplicate key"),
        (b'{"b":1,"a":1}', "canonical"),
        (b" 1", "canonical"),
        (b'"\\u0061"', "canonical"),
        (b'"\xff"', "UTF-8"),
        (b"[" * 9 + b"]" * 9, "deeper"),
        (b" " * (16 << 20) + b"1", "the most is"),
    ],
    ids=range(18),
)
def test_what_is_not_read(data: bytes, why: str) -> None:
    with pytest.raises(ManifestError, match=why):
        decode(data)
