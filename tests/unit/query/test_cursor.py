from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.domain.types import Address
from steelyard.errors import InputError
from steelyard.query import cursor
from steelyard.query.model import EventQuery, Party, PaymentQuery

WHO = Address(b"\x01" * 20)
KEYS = st.lists(st.one_of(st.integers(-(1 << 63), (1 << 63) - 1), st.binary(max_size=60)), max_size=4).map(
    tuple
)


@given(KEYS)
def test_a_key_comes_back(key: tuple[int | bytes, ...]) -> None:
    text = cursor.make(EventQuery(), key)
    assert cursor.read(EventQuery(), text, [type(item) for item in key]) == key


def test_limit_and_cursor_may_change() -> None:
    text = cursor.make(EventQuery(account=WHO), (7,))
    assert cursor.read(EventQuery(account=WHO, limit=5, cursor="x"), text, (int,)) == (7,)


@pytest.mark.parametrize(
    "other",
    [
        EventQuery(),
        EventQuery(account=WHO, party=Party.BUYER),
        EventQuery(account=Address(b"\x02" * 20)),
        EventQuery(account=WHO, newest_first=False),
        EventQuery(account=WHO, kinds=("Purchased",)),
        PaymentQuery(),
    ],
)
def test_another_question_is_refused(other: object) -> None:
    text = cursor.make(EventQuery(account=WHO), (7,))
    with pytest.raises(InputError):
        cursor.read(other, text, (int,))


def test_a_malformed_one_is_refused() -> None:
    text = cursor.make(EventQuery(), (7, b"abc"))
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    spoilt = [raw[:-1], raw + b"i", raw + b"b", raw + b"b\x05x", raw + b"q", b"\x01" + raw[1:], b"", raw[:5]]
    texts = [base64.urlsafe_b64encode(item).decode().rstrip("=") for item in spoilt]
    for bad in (*texts, "\u00e9", "a" * 1000, "*", text[:-1] + "$", ""):
        with pytest.raises(InputError):
            cursor.read(EventQuery(), bad, (int, bytes))
    with pytest.raises(InputError):
        cursor.read(EventQuery(), text, (bytes, int))


@given(st.text(max_size=60))
def test_no_text_does_anything_but_be_refused(text: str) -> None:
    with pytest.raises(InputError):
        cursor.read(EventQuery(), text, (int,))


def test_it_is_made_the_same_everywhere() -> None:
    """Two processes serve the pages of one list."""
    assert cursor.make(EventQuery(account=WHO, party=Party.BUYER), (1 << 40,)) == FIXED


FIXED = "AnSlV4FnQ8fWaQAAAQAAAAAA"
