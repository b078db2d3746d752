"""Imported keys below home, and the keyring that finds them, with no chain and an empty store."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from steelyard.chain.rpc import Rpc
from steelyard.crypto.delivery import key_commitment
from steelyard.crypto.secret import Secret
from steelyard.domain.point import Point
from steelyard.domain.types import AssetId, NodeId, Version
from steelyard.errors import ConfigError, NotFoundError, SealError, WrongKeyError
from steelyard.service.account import Account
from steelyard.service.context import Context, Settings
from steelyard.service.kept import KeptKeys, check_key
from steelyard.service.keyring import Keyring, KeySource
from steelyard.storage.embedded import EmbeddedStore
from tests.unit.service.chain import CHAIN, DEPLOYMENT

KAPPA = Secret(b"\x42" * 32)
OWNER = Account.from_key(b"\x05" * 32)


def version_of(key: Point) -> Version:
    return Version(
        asset=AssetId(b"\x07" * 32),
        folder=b"\x01" * 32,
        content_root=b"\x02" * 32,
        size=1,
        scheme=1,
        key=key,
        node=NodeId(b"\x83" * 32),
    )


VERSION = version_of(key_commitment(KAPPA))


def context_of(folder: Path, account: Account = OWNER, *, home: bool = True) -> Context:
    return Context(
        rpc=Rpc("http://127.0.0.1:1", chain_id=CHAIN),
        deployment=DEPLOYMENT,
        store=EmbeddedStore(folder / "store"),
        account=account,
        home=folder / "home" if home else None,
        aliases={},
        settings=Settings(),
    )


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    made = context_of(tmp_path)
    yield made
    made.close()


@pytest.fixture
def path(context: Context) -> Path:
    """The file of a key that is kept."""
    KeptKeys(context).keep(VERSION, KAPPA)
    return KeptKeys(context).path(VERSION.id)


def test_a_kept_key_is_found_without_the_store(context: Context, path: Path) -> None:
    keyring = Keyring(context)
    assert keyring.source(VERSION) is KeySource.IMPORTED
    assert keyring.opens(VERSION) and keyring.kappa(VERSION) == KAPPA


def test_a_key_that_is_imported_later_is_found_by_the_same_keyring(context: Context) -> None:
    keyring = Keyring(context)
    with pytest.raises(NotFoundError):
        keyring.opens(VERSION)
    KeptKeys(context).keep(VERSION, KAPPA)
    assert keyring.opens(VERSION)


def test_only_the_owner_can_read_it_and_only_encrypted(context: Context, path: Path) -> None:
    modes = [stat.S_IMODE(item.stat().st_mode) for item in (path, path.parent, path.parent.parent)]
    assert modes == [0o600, 0o700, 0o700]
    assert [item.name for item in path.parent.iterdir()] == [f"{VERSION.id.hex()}.key"]
    assert KAPPA.reveal().hex().encode() not in path.read_bytes()


def test_it_opens_for_its_account_only(tmp_path: Path, context: Context, path: Path) -> None:
    other = context_of(tmp_path, Account.from_key(b"\x06" * 32))
    assert KeptKeys(other).find(VERSION) is None
    theirs = KeptKeys(other).path(VERSION.id)
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(path.read_bytes())
    with pytest.raises(SealError, match="import the key again"):
        KeptKeys(other).find(VERSION)
    other.close()


@pytest.mark.parametrize("damage", [b"", b"x" * 300, b"steelyard/kept-key/v1 " + b"00" * 48])
def test_a_damaged_file_is_not_taken_for_a_missing_key(context: Context, path: Path, damage: bytes) -> None:
    path.write_bytes(damage)
    with pytest.raises(SealError, match="import the key again"):
        KeptKeys(context).find(VERSION)


@pytest.mark.parametrize("wrong", [Secret(b"\x43" * 32), Secret(bytes(32)), Secret(b"\xff" * 32)])
def test_another_key_is_neither_taken_nor_kept(context: Context, wrong: Secret) -> None:
    with pytest.raises(WrongKeyError):
        check_key(VERSION, wrong)
    with pytest.raises(WrongKeyError):
        KeptKeys(context).keep(VERSION, wrong)
    assert KeptKeys(context).find(VERSION) is None


def test_a_key_of_the_opposite_point_is_another_key() -> None:
    key = VERSION.key
    with pytest.raises(WrongKeyError):
        check_key(version_of(Point(key.x, 2**256 - 2**32 - 977 - key.y)), KAPPA)


def test_an_unknown_scheme_has_no_key(context: Context, path: Path) -> None:
    from dataclasses import replace

    assert Keyring(context).source(replace(VERSION, scheme=2)) is KeySource.NONE


def test_nothing_is_kept_without_a_home(tmp_path: Path) -> None:
    context = context_of(tmp_path, home=False)
    assert KeptKeys(context).find(VERSION) is None
    with pytest.raises(ConfigError, match="home"):
        KeptKeys(context).keep(VERSION, KAPPA)
    context.close()
