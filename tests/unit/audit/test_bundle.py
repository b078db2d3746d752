"""The bundle's format: one form, hostile input refused with its place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from steelyard.audit import bundle
from steelyard.errors import TrailError
from tests.unit.audit.cases import document, dump, honest


def test_canonical_bytes_come_back() -> None:
    data = honest()[1]
    assert bundle.parse(data).to_bytes() == data
    assert json.loads(data)["format"] == "steelyard/bundle/v1"


def test_has_only_the_keys_of_the_document() -> None:
    keys = {
        "format",
        "chainId",
        "asset",
        "header",
        "directory",
        "contracts",
        "companions",
        "listings",
        "entries",
        "receipts",
    }
    assert set(document()) == keys


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if isinstance(value, dict) else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += _paths(item, (*path, key))
    return found


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def test_every_object_needs_all_of_its_keys_and_no_other() -> None:
    paths = [path for path in _paths(document()) if "immutables" not in path]
    assert len(paths) > 20
    for path in paths:
        value = document()
        _at(value, path)["more"] = 1
        with pytest.raises(TrailError, match="unknown key 'more'"):
            bundle.parse(dump(value))
        for key in _at(document(), path):
            value = document()
            del _at(value, path)[key]
            with pytest.raises(TrailError, match=f"has no {key}"):
                bundle.parse(dump(value))


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("format",), "steelyard/bundle/v2"),
        (("chainId",), "1"),
        (("chainId",), -1),
        (("chainId",), 1.5),
        (("chainId",), True),
        (("chainId",), None),
        (("chainId",), 2**53),
        (("chainId",), 10**30),
        (("asset",), "0x12"),
        (("asset",), 7),
        (("header",), "0xABCD"),
        (("header",), "0xabc"),
        (("header",), "abcd"),
        (("header",), "0xab\n"),
        (("directory",), []),
        (("contracts",), {}),
        (("contracts", 0), 1),
        (("contracts", 0, "address"), "0x" + "00" * 21),
        (("contracts", 0, "build"), "x" * 65),
        (("contracts", 0, "build"), 5),
        (("contracts", 0, "immutables"), []),
        (("contracts", 2, "immutables", "minBond"), "0x01"),
        (("contracts", 0, "account", 0), 5),
        (("contracts", 0, "heads", 0, "subject"), "0x"),
        (("contracts", 0, "heads", 0, "proof"), "0x"),
        (("entries", 1, "block"), "5"),
        (("entries", 1, "topics"), ["0x" + "00" * 32] * 3),
        (("entries", 1, "topics", 2), "0x" + "00" * 31),
        (("entries", 1, "tx"), "0x"),
    ],
)
def test_refuses_values_of_the_wrong_form(path: tuple[Any, ...], wrong: object) -> None:
    value = document()
    _at(value, path[:-1])[path[-1]] = wrong
    with pytest.raises(TrailError):
        bundle.parse(dump(value))


def test_says_where_a_value_is_wrong() -> None:
    value = document()
    value["entries"][3]["data"] = "0xZZ"
    with pytest.raises(TrailError, match="data of item 3 of entries of the bundle"):
        bundle.parse(dump(value))


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data + b"\n",
        lambda data: b" " + data,
        lambda data: data.replace(b":", b": ", 1),
        lambda data: data.replace(b'{"asset"', b'{"asset":"","asset"', 1),
        lambda data: data.replace(b'"chainId"', b'"\\u0063hainId"', 1),
        lambda data: data.replace(b"31337", b"031337", 1),
        lambda data: data.replace(b"31337", b"31337.0", 1),
        lambda data: data.replace(b"31337", b"NaN", 1),
        lambda data: data.replace(b"31337", b"3.1337e4", 1),
        lambda data: data[:-1],
        lambda data: b"\xff" + data,
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: b"",
        lambda data: b"[]",
        lambda data: b"null",
        lambda data: b"[" * 100_000,
        lambda data: b"[" * 1_000_001,
        lambda data: b"1" * 5000,
    ],
)
def test_refuses_what_is_not_canonical_json(change: Any) -> None:
    with pytest.raises(TrailError):
        bundle.parse(change(honest()[1]))


def test_refuses_too_many_arrays_before_it_makes_them() -> None:
    with pytest.raises(TrailError, match="more than 1000000 objects and arrays"):
        bundle.parse(b"[" + b"[]," * 1_000_000 + b"[]]")


def test_refuses_too_many_bytes_before_it_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MAX_BYTES", len(honest()[1]) - 1)
    with pytest.raises(TrailError, match="bytes; the most is"):
        bundle.parse(honest()[1])
    monkeypatch.undo()
    value = bundle.parse(honest()[1])
    monkeypatch.setattr(bundle, "MAX_BYTES", len(honest()[1]) - 1)
    with pytest.raises(TrailError, match="would have"):
        value.to_bytes()
