"""The ABI codec beside eth_abi, and what is no encoding."""

from __future__ import annotations

import eth_abi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.domain.abi import decode, encode, split_types
from steelyard.errors import InputError, VerificationError

BASIC: dict[str, st.SearchStrategy[object]] = {
    "uint256": st.integers(0, (1 << 256) - 1),
    "uint8": st.integers(0, 255),
    "bool": st.booleans(),
    "address": st.binary(min_size=20, max_size=20),
    "bytes32": st.binary(min_size=32, max_size=32),
    "bytes4": st.binary(min_size=4, max_size=4),
    "bytes": st.binary(max_size=70),
    "string": st.text(st.characters(exclude_categories=("Cs",)), max_size=40),
}
KINDS = st.recursive(
    st.sampled_from(sorted(BASIC)),
    lambda kinds: st.one_of(
        kinds.map(lambda kind: f"{kind}[]"),
        st.tuples(kinds, st.integers(1, 3)).map(lambda pair: f"{pair[0]}[{pair[1]}]"),
        st.lists(kinds, min_size=1, max_size=3).map(lambda parts: f"({','.join(parts)})"),
    ),
    max_leaves=5,
)


def values(kind: str) -> st.SearchStrategy[object]:
    if kind in BASIC:
        return BASIC[kind]
    if kind.endswith("]"):
        item, _, size = kind[:-1].rpartition("[")
        least, most = (int(size), int(size)) if size else (0, 3)
        return st.lists(values(item), min_size=least, max_size=most).map(tuple)
    return st.tuples(*map(values, split_types(kind[1:-1])))


def shown(value: object) -> object:
    """Return a value as eth_abi has it: addresses in hexadecimal are bytes here."""
    if isinstance(value, str) and value.startswith("0x") and len(value) == 42:
        return bytes.fromhex(value[2:])
    return tuple(map(shown, value)) if isinstance(value, tuple | list) else value


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_it_is_what_eth_abi_makes(data: st.DataObject) -> None:
    kinds = data.draw(st.lists(KINDS, max_size=4))
    given_ = tuple(data.draw(values(kind)) for kind in kinds)
    made = encode(kinds, given_)  # type: ignore[arg-type]
    assert made == eth_abi.encode(kinds, given_)
    assert decode(kinds, made) == given_
    assert shown(eth_abi.decode(kinds, made)) == given_


@settings(max_examples=200, deadline=None)
@given(KINDS, st.binary(max_size=300))
def test_bytes_are_values_or_refused(kind: str, data: bytes) -> None:
    try:
        (value,) = decode((kind,), data)
    except VerificationError:
        return
    assert decode((kind,), encode((kind,), (value,))) == (value,)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("uint8", 256),
        ("uint8", -1),
        ("uint8", "1"),
        ("bool", 1),
        ("address", bytes(19)),
        ("address", "0x" + "00" * 20),
        ("bytes4", bytes(5)),
        ("bytes", "text"),
        ("string", b"bytes"),
        ("uint8[]", 1),
        ("uint8[2]", (1,)),
        ("uint8[2]", (1, 2, 3)),
        ("(uint8,uint8)", (1,)),
        ("(uint8,uint8)", 1),
        ("int8", 1),
    ],
)
def test_a_value_of_another_type(kind: str, value: object) -> None:
    with pytest.raises(InputError):
        encode((kind,), (value,))  # type: ignore[arg-type]


def test_as_many_values_as_types() -> None:
    with pytest.raises(InputError, match="1 values for 2 types"):
        encode(("uint8", "uint8"), (1,))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("uint256", ()),
        ("uint8", (256,)),
        ("bool", (2,)),
        ("address", (1 << 160,)),
        ("bytes4", (1,)),
        ("bytes", (32,)),
        ("bytes", (32, 1)),
        ("bytes", (32, 33, 0)),
        ("string", (1 << 255,)),
        ("uint8[]", (32, 2, 1)),
        ("uint8[]", (32, 1 << 255)),
        ("uint8[2]", (1,)),
        ("uint8[2][]", (32, 1, 1)),
        ("(uint8,bool)", (1,)),
        ("(uint8,bytes)", (32, 1, 64)),
        ("int8", (1,)),
    ],
)
def test_what_is_no_encoding(kind: str, words: tuple[int, ...]) -> None:
    with pytest.raises(VerificationError):
        decode((kind,), b"".join(word.to_bytes(32, "big") for word in words))


def test_a_length_that_lies_takes_no_memory() -> None:
    words = (32, 1 << 60)
    with pytest.raises(VerificationError, match="too short for uint8"):
        decode(("uint8[]",), b"".join(word.to_bytes(32, "big") for word in words))
