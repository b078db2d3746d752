"""How parameters are read, by the type of their field."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from steelyard.api.fields import MAX_PARAMETERS, MAX_TEXT, read_asset, read_body, read_query
from steelyard.api.problem import Problem
from steelyard.domain.types import Address, AssetId, AssetKind, VersionId, asset_id, name_word
from steelyard.query.model import AssetQuery, EventQuery, Party
from tests.unit.api.writing import deployment

HERE = deployment()
SERVICE: Any = SimpleNamespace(context=SimpleNamespace(deployment=HERE))
ALICE = Address(b"\xa1" * 20)
ID = "0x" + "ab" * 32


def events(query: str) -> EventQuery:
    found = read_query(SERVICE, EventQuery, query.encode())
    assert isinstance(found, EventQuery)
    return found


def refused(query: str, kind: type = EventQuery) -> Problem:
    with pytest.raises(Problem) as caught:
        read_query(SERVICE, kind, query.encode())
    return caught.value


def test_nothing_given_is_all_defaults() -> None:
    assert events("") == EventQuery()


def test_each_type_is_read() -> None:
    assert events(
        f"asset={ID}&version={ID}&account=0x{ALICE.hex()}&party=buyer&since=1&tx={ID}&at_least={2**100}"
        "&newest_first=false&limit=3&kinds=Settled&kinds=Purchased"
    ) == EventQuery(
        asset=AssetId(bytes.fromhex("ab" * 32)),
        version=VersionId(bytes.fromhex("ab" * 32)),
        account=ALICE,
        party=Party.BUYER,
        since=1,
        tx=bytes.fromhex("ab" * 32),
        at_least=2**100,
        newest_first=False,
        limit=3,
        kinds=("Settled", "Purchased"),
    )


def test_texts_are_decoded_as_forms_are() -> None:
    found = read_query(SERVICE, AssetQuery, b"text=a+b%2B%C3%A9&kind=dataset")
    assert (found.text, found.kind) == ("a b+é", AssetKind.DATASET)


@pytest.mark.parametrize(
    ("query", "code", "parameter"),
    [
        ("nothing=1", "bad-parameter", "nothing"),
        ("limit=1&limit=2", "bad-parameter", "limit"),
        ("limit=0", "bad-parameter", "limit"),
        ("limit=501", "bad-parameter", "limit"),
        ("limit=+1", "bad-parameter", "limit"),
        ("limit=1e2", "bad-parameter", "limit"),
        ("limit=%D9%A1", "bad-parameter", "limit"),
        ("since=-1", "bad-parameter", "since"),
        (f"since={2**53}", "bad-parameter", "since"),
        (f"at_least={2**128}", "bad-parameter", "at_least"),
        ("newest_first=1", "bad-parameter", "newest_first"),
        ("party=BUYER", "bad-parameter", "party"),
        ("tx=0x12", "bad-parameter", "tx"),
        ("account=0x12", "bad-parameter", "account"),
        ("account=0xA1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1", "bad-parameter", "account"),
        ("asset=alice/digits", "bad-reference", "asset"),
        ("asset=", "bad-reference", "asset"),
        (f"asset={ID}@1", "bad-reference", "asset"),
        (f"version=0x{'a1' * 20}/digits", "bad-reference", "version"),
        (f"version={ID}@0", "bad-reference", "version"),
        ("cursor=a%00b", "bad-parameter", "value"),
        ("cursor=%ff", "bad-parameter", "value"),
        (f"cursor={'x' * (MAX_TEXT + 1)}", "bad-parameter", "cursor"),
    ],
)
def test_what_is_malformed_is_named(query: str, code: str, parameter: str) -> None:
    problem = refused(query)
    assert (problem.code, problem.parameter) == (code, parameter)


def test_there_is_an_end_to_parameters() -> None:
    assert "more than" in refused("&".join(["kinds=Settled"] * (MAX_PARAMETERS + 1))).detail


def test_an_asset_is_named_as_everywhere() -> None:
    expected = asset_id(chain_id=HERE.chain_id, registry=HERE.assets, creator=ALICE, name=name_word("digits"))
    for text in (
        f"0x{ALICE.hex()}/Digits",
        f"0x{expected.hex()}",
        f"eip155:{HERE.chain_id}/0x{HERE.assets.hex()}/0x{expected.hex()}",
    ):
        assert read_asset(SERVICE, "asset", text) == expected
    with pytest.raises(Problem, match="chain 1"):
        read_asset(SERVICE, "asset", f"eip155:1/0x{HERE.assets.hex()}/0x{expected.hex()}")


@dataclass(frozen=True)
class Part:
    index: int
    data: bytes = b""


@dataclass(frozen=True)
class Whole:
    owner: Address
    parts: tuple[Part, ...]
    price: int = 0
    note: str | None = None


def test_a_body_may_hold_others() -> None:
    body = b'{"owner": "0x%s", "parts": [{"index": 1, "data": "0x0aff"}], "price": "%d", "note": null}' % (
        ALICE.hex().encode(),
        2**100,
    )
    assert read_body(SERVICE, Whole, body) == Whole(ALICE, (Part(1, b"\x0a\xff"),), 2**100, None)


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        ('{"parts": []}', "owner"),
        ('{"owner": "0x12", "parts": []}', "owner"),
        (f'{{"owner": "0x{ALICE.hex()}", "parts": {{}}}}', "parts"),
        (f'{{"owner": "0x{ALICE.hex()}", "parts": [1]}}', "parts[0]"),
        (f'{{"owner": "0x{ALICE.hex()}", "parts": [{{"index": 1}}, {{"index": true}}]}}', "parts[1].index"),
        (f'{{"owner": "0x{ALICE.hex()}", "parts": [{{"index": 1, "data": "zz"}}]}}', "parts[0].data"),
        (f'{{"owner": "0x{ALICE.hex()}", "parts": [{{"index": 1, "more": 1}}]}}', "parts[0].more"),
        (f'{{"owner": "0x{ALICE.hex()}", "parts": [], "price": null}}', "price"),
    ],
)
def test_a_member_that_is_wrong_is_named(body: str, parameter: str) -> None:
    with pytest.raises(Problem) as caught:
        read_body(SERVICE, Whole, body.encode())
    assert caught.value.parameter == parameter


def test_a_body_of_brackets_is_refused_whatever_the_recursion_limit() -> None:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    try:
        with pytest.raises(Problem) as caught:
            read_body(SERVICE, Whole, b"[" * 40_000)
    finally:
        sys.setrecursionlimit(before)
    assert caught.value.code == "bad-body"
