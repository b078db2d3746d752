from __future__ import annotations

import pytest

from steelyard.domain.ref import LATEST, Ref, canonical, check_alias, parse, short
from steelyard.domain.types import Address, AssetId, VersionId, asset_id, name_word
from steelyard.errors import InputError, NotFoundError

ALICE = Address(b"\xa1" * 20)
REGISTRY = Address(b"\x07" * 20)
ASSET = AssetId(b"\x11" * 32)
VERSION = VersionId(b"\x22" * 32)
ALIASES = {"alice": ALICE}


def test_a_creator_and_a_name() -> None:
    assert parse("0x" + ALICE.hex() + "/Digits") == Ref(creator=ALICE, name="digits")


def test_an_alias_stands_for_its_address() -> None:
    assert parse("alice/digits@2", aliases=ALIASES) == Ref(creator=ALICE, name="digits", version=2)
    assert parse("Alice/digits", aliases=ALIASES).creator == ALICE


def test_an_unknown_alias_is_not_found() -> None:
    with pytest.raises(NotFoundError, match="bob"):
        parse("bob/digits", aliases=ALIASES)


@pytest.mark.parametrize(
    ("tail", "version"), [("@1", 1), ("@latest", LATEST), ("@0x" + VERSION.hex(), VERSION), ("", None)]
)
def test_a_version_by_number_id_or_as_the_latest(tail: str, version: object) -> None:
    for base in ("alice/digits", "0x" + ASSET.hex(), f"eip155:1/0x{REGISTRY.hex()}/0x{ASSET.hex()}"):
        assert parse(base + tail, aliases=ALIASES).version == version


def test_a_canonical_reference_is_read_back() -> None:
    text = canonical(ASSET, chain_id=31337, registry=REGISTRY, version=VERSION)
    assert parse(text) == Ref(asset=ASSET, chain_id=31337, registry=REGISTRY, version=VERSION)
    assert parse(text).without_version() == parse(text.partition("@")[0])


def test_the_id_of_a_named_asset_is_the_contracts() -> None:
    expected = asset_id(chain_id=5, registry=REGISTRY, creator=ALICE, name=name_word("digits"))
    assert parse("alice/DIGITS", aliases=ALIASES).asset_id(chain_id=5, registry=REGISTRY) == expected
    assert parse("0x" + ASSET.hex()).asset_id(chain_id=5, registry=REGISTRY) == ASSET


def test_a_reference_of_another_chain_or_registry_is_refused() -> None:
    ref = parse(canonical(ASSET, chain_id=1, registry=REGISTRY))
    assert ref.asset_id(chain_id=1, registry=REGISTRY) == ASSET
    with pytest.raises(InputError, match="chain 1"):
        ref.asset_id(chain_id=2, registry=REGISTRY)
    with pytest.raises(InputError, match="another registry"):
        ref.asset_id(chain_id=1, registry=ALICE)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "digits",
            "/digits",
            "alice/",
            "alice/a/b",
            "alice/di gits",
            "alice/digits@",
            "alice/digits@0",
            "alice/digits@-1",
        ),
        *(
            "alice/digits@01",
            "alice/digits@1@2",
            "alice/digits@next",
            "alice/digits@0x12",
            "0x12/digits",
            "0x" + "1" * 63,
        ),
        *(
            "eip155:0/0x" + "07" * 20 + "/0x" + "11" * 32,
            "eip155:1/0x07/0x" + "11" * 32,
            "alice/" + "x" * 33,
            "a" * 500,
        ),
        *("alice/\u202edigits", "alice/..", "ali\u0441e/digits", "alice/digits@\u0661"),
    ],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse(text, aliases=ALIASES)


def test_why_it_is_no_reference() -> None:
    with pytest.raises(InputError, match="too long"):
        parse("a" * 500)
    for text in ("digits", "/digits", "alice/a/b"):
        with pytest.raises(InputError, match="write <creator>/<name>"):
            parse(text, aliases=ALIASES)


def test_a_short_name_uses_the_alias_if_there_is_one() -> None:
    assert short(ALICE, "digits", aliases=ALIASES, version=3) == "alice/digits@3"
    assert short(REGISTRY, "digits", aliases=ALIASES) == f"0x{REGISTRY.hex()}/digits"


@pytest.mark.parametrize("alias", ["0xalice", "", "Alice", "al/ice", "al ice", "a" * 64])
def test_an_alias_cannot_look_like_something_else(alias: str) -> None:
    with pytest.raises(InputError):
        check_alias(alias)
