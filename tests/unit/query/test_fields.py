"""Entries as JSON, straight from rows, beside the one rule by which values become JSON."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.domain.abi import encode, split_types
from steelyard.domain.events import USE
from steelyard.domain.plain import plain
from steelyard.errors import TrailError
from steelyard.indexer.schema import amount_bytes
from steelyard.query.events import to_event, to_json
from steelyard.query.fields import FORMS, KIND_OF, KINDS
from tests.unit.query.test_events import sample

WORD = st.binary(min_size=32, max_size=32)
ADDRESS = st.binary(min_size=20, max_size=20)
SMALL = st.integers(0, 1)  # every enumeration has these


def values(type_: str) -> st.SearchStrategy[Any]:
    """Return values of an ABI type, numbers around the limits of JSON's among them."""
    if type_.endswith("[]"):
        return st.lists(values(type_[:-2]), max_size=3).map(tuple)
    if type_.startswith("("):
        return st.tuples(*map(values, split_types(type_[1:-1])))
    if type_ == "string":
        return st.text(max_size=40)
    if type_ == "bool":
        return st.booleans()
    if type_ == "uint8":
        return SMALL
    if type_.startswith("uint"):
        most = (1 << int(type_.removeprefix("uint"))) - 1
        return st.integers(0, most) | st.sampled_from(
            [min(at, most) for at in (0, (1 << 53) - 1, 1 << 53, most)]
        )
    return ADDRESS if type_ == "address" else WORD


def row(kind: int, data: bytes, **given: Any) -> tuple[Any, ...]:
    known: dict[str, Any] = {
        "pos": 5 << 20 | 7,
        "time": 1_700_000_000,
        "kind": kind,
        "subject": b"s" * 32,
        "id": b"i" * 32,
        "actor": b"a" * 20,
        "tx": b"t" * 32,
        "asset": None,
        "version": None,
        "amount": None,
        "currency": None,
        "data": data,
    }
    return tuple((known | given).values())


def by_values(entry: tuple[Any, ...]) -> str:
    return msgspec.json.encode(plain(to_event(entry))).decode()


@pytest.mark.parametrize("name", sorted(KIND_OF))
@settings(max_examples=25)
@given(data=st.data())
def test_json_is_what_the_values_become(name: str, data: st.DataObject) -> None:
    kind = KINDS[KIND_OF[name]]
    encoded = encode(kind.types, data.draw(st.tuples(*map(values, kind.types))))
    optional = {"asset": WORD, "version": WORD, "currency": ADDRESS}
    given = {key: data.draw(st.none() | strategy) for key, strategy in optional.items()}
    amount = data.draw(st.none() | st.integers(0, (1 << 128) - 1))
    entry = row(
        KIND_OF[name],
        encoded,
        pos=data.draw(st.integers(0, (1 << 53) - 1)),
        actor=data.draw(ADDRESS),
        amount=None if amount is None else amount_bytes(amount),
        **given,
    )
    assert to_json(entry) == by_values(entry)


def test_all_have_a_form_but_those_with_a_list_or_a_text() -> None:
    for kind, form in zip(KINDS, FORMS, strict=True):
        assert (form is None) == bool({"string", "bytes", f"{USE}[]"} & set(kind.types))


@pytest.mark.parametrize("name", sorted(KIND_OF))
def test_what_no_contract_of_ours_logs_is_refused(name: str) -> None:
    kind = KINDS[KIND_OF[name]]
    good = encode(kind.types, tuple(sample(type_) for type_ in kind.types))
    if good:
        for cut in (good[:-1], good[:-32]):
            with pytest.raises(TrailError, match=f"a false {name}"):
                to_json(row(KIND_OF[name], cut))
    refused = 0
    for at in range(0, len(good), 32):
        # The first bit of a word is free in a bytes32 and a uint256 only.
        bent = bytearray(good)
        bent[at] ^= 0x80
        entry = row(KIND_OF[name], bytes(bent))
        try:
            expected = by_values(entry)
        except TrailError:
            refused += 1
            with pytest.raises(TrailError, match=f"a false {name}"):
                to_json(entry)
        else:
            assert to_json(entry) == expected
    assert refused == _narrow(kind.types)


def test_a_number_without_a_word_is_refused() -> None:
    kind = KIND_OF["AssetRegistered"]
    with pytest.raises(TrailError, match="a false AssetRegistered"):
        to_json(row(kind, encode(KINDS[kind].types, (9, 1))))


def _narrow(types: tuple[str, ...]) -> int:
    """Return how many words may not have their first bit set: where a list or a text is, how long it is, and each item twice."""
    count = 0
    for type_ in types:
        if type_.endswith("[]"):
            count += 2 + 2 * _narrow((type_[:-2],))
        elif type_ == "string":
            count += 2
        elif type_.startswith("("):
            count += _narrow(split_types(type_[1:-1]))
        else:
            count += type_ not in ("bytes32", "uint256")
    return count
