"""The rule by which values become JSON."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from steelyard.domain.plain import AMOUNTS, MAX_NUMBER, checksum, plain
from steelyard.domain.types import State
from steelyard.errors import InputError


class Word(enum.StrEnum):
    ONE = "uno"


@dataclass(frozen=True)
class Inner:
    amount: int
    place: int


@dataclass(frozen=True, slots=True)
class Outer:
    inner: Inner
    several: tuple[Inner, ...]
    hidden: str = field(default="x", repr=False)


class Lazy(Mapping[str, object]):
    def __getitem__(self, key: str) -> object:
        return 7

    def __iter__(self) -> Iterator[str]:
        return iter(("price", "window"))

    def __len__(self) -> int:
        return 2


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        ("text", "text"),
        (7, 7),
        (MAX_NUMBER - 1, MAX_NUMBER - 1),
        (MAX_NUMBER, str(MAX_NUMBER)),
        (-MAX_NUMBER, str(-MAX_NUMBER)),
        (b"\x01\xff", "0x01ff"),
        (bytes(20), "0x" + "00" * 20),
        (State.PAID, "paid"),
        (Word.ONE, "one"),
        (Path("/a/b"), "/a/b"),
        ([1, (b"",)], [1, ["0x"]]),
        ({"amount": 7, "n": 7}, {"amount": "7", "n": 7}),
        (Lazy(), {"price": "7", "window": 7}),
        (
            Outer(Inner(1, 2), (Inner(3, 4),)),
            {"inner": {"amount": "1", "place": 2}, "several": [{"amount": "3", "place": 4}]},
        ),
    ],
)
def test_each_kind_of_value(value: object, expected: object) -> None:
    assert plain(value) == expected


def test_the_name_of_a_field_makes_an_amount_also_in_a_list() -> None:
    for name in AMOUNTS:
        assert plain((1, 2), name=name) == ["1", "2"]


def test_a_kind_that_has_no_form_is_an_error() -> None:
    with pytest.raises(TypeError):
        plain(object())
    with pytest.raises(TypeError):
        plain(1.5)


def test_addresses_have_their_checksum() -> None:
    # Of ERC-55.
    for text in ("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"):
        assert checksum(bytes.fromhex(text[2:])) == plain(bytes.fromhex(text[2:])) == text
    with pytest.raises(InputError):
        checksum(bytes(19))
