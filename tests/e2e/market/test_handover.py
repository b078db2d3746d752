"""An asset is given away, its keys are handed over, and the new owner delivers what was bought before and after."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from steelyard.chain.deploy import deploy
from steelyard.chain.sender import Sender
from steelyard.crypto import handover
from steelyard.crypto.secret import Secret
from steelyard.domain.types import State
from steelyard.errors import InputError, NotFoundError, RefusedError, SealError, UnsafeError, WrongKeyError
from steelyard.market import Market
from steelyard.service.context import Settings
from steelyard.service.keyring import Keyring
from steelyard.service.results import Offered, Published
from tests.e2e.kill.campaign import spellings
from tests.e2e.kill.shop import Service
from tests.e2e.support import DAY, PRICE, MarketOf, Travel

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cost of the key derivation as in no real file."""
    for function in (handover.seal_keys, handover.open_keys):
        monkeypatch.setattr(function, "__kwdefaults__", {"scrypt_n": 1024})


@pytest.fixture
def offered(seller: Market, published: Published) -> Offered:
    return seller.offer(published.ref.partition("@")[0], price=PRICE)


@pytest.fixture
def heir(market_of: MarketOf, tmp_path: Path) -> Market:
    """Who will own the asset, in a home of his own."""
    return market_of(home=tmp_path / "heir")


@pytest.fixture
def keys(seller: Market, published: Published, tmp_path: Path) -> Path:
    """The file with the keys of the asset."""
    ref = published.ref.partition("@")[0]
    return seller.export_keys(ref, tmp_path / "keys", password=PASSWORD).path


def kappa_of(market: Market, published: Published) -> Secret:
    context = market.context
    version = context.follow(published.asset).state().versions[published.version]
    return Keyring(context).kappa(version.commitments)


def forge(path: Path, keys: list[tuple[bytes, Secret]], **changes: object) -> Path:
    """Write a file that is right in itself and says something else; its maker knows the password."""
    file = handover.read_file(path.read_bytes())
    given = {"chain_id": file.chain_id, "registry": file.registry, "asset": file.asset} | changes
    path.write_bytes(handover.seal_keys(keys, password=PASSWORD, **given))  # type: ignore[arg-type]
    return path


def test_the_new_owner_delivers_an_open_purchase_after_the_import(
    seller: Market,
    buyer: Market,
    heir: Market,
    published: Published,
    offered: Offered,
    keys: Path,
    folder: Path,
) -> None:
    purchase = buyer.buy(published.ref, wait=False)
    seller.transfer_asset(published.ref, heir.context.account.address)
    with pytest.raises(UnsafeError, match="keys export"):
        heir.deliver(purchase)
    assert [item.source for item in heir.version_keys()] == ["none"]
    done = heir.import_keys(keys, password=PASSWORD)
    assert (done.asset, done.versions) == (published.asset, (1,))
    assert [(item.ref, item.source) for item in heir.version_keys()] == [(published.ref, "imported")]
    assert heir.deliver(purchase).tx is not None
    pulled = purchase.refresh().pull()
    assert (pulled / "model.onnx").read_bytes() == (folder / "model.onnx").read_bytes()


def test_the_service_of_the_new_owner_delivers_by_its_rules(
    market_of: MarketOf,
    seller: Market,
    buyer: Market,
    heir: Market,
    published: Published,
    offered: Offered,
    keys: Path,
    travel: Travel,
) -> None:
    purchase = buyer.buy(published.ref, wait=False)
    seller.transfer_asset(published.ref, heir.context.account.address)
    with Service(heir) as service:
        assert "none was imported" in service.wait("not-serving", published.version).why
        assert heir.context.views.licence(purchase.id).state is State.PAID
        # The running service finds what is imported beside it.
        heir.import_keys(keys, password=PASSWORD)
        service.wait("delivered", purchase.id)
    heir.offer(published.ref, price=PRICE)
    late = buyer.buy(published.ref, wait=False)
    travel(DAY - 500)
    careful = market_of(
        heir.context.account, home=heir.context.home, settings=Settings(poll=0.05, margin=600)
    )
    with Service(careful) as service:
        assert service.wait("held-back", late.id).why == "too-close-to-the-deadline"
    assert heir.context.views.licence(late.id).state is State.PAID


def test_a_damaged_key_holds_up_no_other_delivery(
    seller: Market, buyer: Market, heir: Market, published: Published, keys: Path, folder: Path
) -> None:
    asset = published.ref.partition("@")[0]
    seller.transfer_asset(asset, heir.context.account.address)
    heir.import_keys(keys, password=PASSWORD)
    (folder / "model.onnx").write_bytes(b"better")
    second = heir.new_version(asset, folder)
    heir.offer(asset, price=PRICE)
    old, new = (buyer.buy(f"{asset}@{number}", wait=False) for number in (1, 2))
    (kept,) = (heir.context.home / "keys").rglob("*.key")
    kept.write_bytes(b"damaged")
    assert [item.source for item in heir.version_keys(asset)] == ["damaged", "seed"]
    with pytest.raises(SealError, match="import the key again"):
        heir.deliver(old)
    with pytest.warns(UserWarning, match="import the key again"):
        assert [item.id for item in heir.deliver_pending()] == [new.id]
    with Service(heir) as service:
        assert "SealError" in service.wait("not-serving", published.version).why
        service.wait("serving", second.version)
    heir.import_keys(keys, password=PASSWORD)
    assert [item.id for item in heir.deliver_pending()] == [old.id]


def test_keys_are_handed_on_and_never_published_under(
    market_of: MarketOf,
    seller: Market,
    heir: Market,
    published: Published,
    keys: Path,
    folder: Path,
    tmp_path: Path,
) -> None:
    asset = published.ref.partition("@")[0]
    heir.import_keys(keys, password=PASSWORD)
    seller.transfer_asset(asset, heir.context.account.address)
    (folder / "model.onnx").write_bytes(b"better")
    heir.new_version(asset, folder)
    versions = heir.info(asset).versions
    assert versions[0].commitments.key != versions[1].commitments.key
    # The former owner has no key of what came later, and the new one has both.
    assert seller.export_keys(asset, tmp_path / "old", password=PASSWORD).missing == (2,)
    done = heir.export_keys(asset, tmp_path / "both", password=PASSWORD)
    assert (done.versions, done.missing) == ((1, 2), ())
    third = market_of(home=tmp_path / "third")
    assert third.import_keys(done.path, password=PASSWORD).versions == (1, 2)
    assert kappa_of(third, published) == kappa_of(seller, published)


def test_one_version_is_handed_over_alone(
    seller: Market, heir: Market, published: Published, folder: Path, tmp_path: Path
) -> None:
    (folder / "model.onnx").write_bytes(b"better")
    second = seller.new_version(published.ref, folder)
    seller.export_keys(second.ref, tmp_path / "second", password=PASSWORD)
    assert heir.import_keys(tmp_path / "second", password=PASSWORD).versions == (2,)
    assert [item.source for item in heir.version_keys(published.ref)] == ["none", "imported"]


def test_no_secret_is_readable_anywhere(
    seller: Market, heir: Market, published: Published, keys: Path
) -> None:
    done = heir.import_keys(keys, password=PASSWORD)
    wanted = [*spellings(kappa_of(seller, published).reveal()), PASSWORD.encode()]
    files = [keys, *(path for path in heir.context.home.rglob("*") if path.is_file())]
    assert len(files) > 1
    assert not [path for path in files if any(text in path.read_bytes() for text in wanted)]
    assert not [text for text in wanted if text in repr(done).encode()]
    assert keys.stat().st_mode & 0o777 == 0o600


def test_an_export_replaces_no_file_and_a_dry_run_writes_none(
    seller: Market, heir: Market, published: Published, keys: Path, tmp_path: Path
) -> None:
    before = keys.read_bytes()
    with pytest.raises(RefusedError, match="not overwritten"):
        seller.export_keys(published.ref, keys, password=PASSWORD)
    assert keys.read_bytes() == before
    seller.dry_run().export_keys(published.ref, tmp_path / "dry", password=PASSWORD)
    assert not (tmp_path / "dry").exists()
    heir.dry_run().import_keys(keys, password=PASSWORD)
    assert [item.source for item in heir.version_keys(published.ref)] == ["none"]


def test_who_has_no_key_exports_none(heir: Market, published: Published, tmp_path: Path) -> None:
    for ref in (published.ref, published.ref.partition("@")[0]):
        with pytest.raises(UnsafeError):
            heir.export_keys(ref, tmp_path / "none", password=PASSWORD)
    assert not (tmp_path / "none").exists()


# -- what is refused ----------------------------------------------------------------------------------------------


def test_a_wrong_password(heir: Market, keys: Path) -> None:
    with pytest.raises(SealError, match="password"):
        heir.import_keys(keys, password=PASSWORD + ".")


def test_the_key_of_another_version(
    seller: Market, heir: Market, published: Published, keys: Path, folder: Path
) -> None:
    (folder / "model.onnx").write_bytes(b"better")
    second = seller.new_version(published.ref, folder)
    right, wrong = kappa_of(seller, published), kappa_of(seller, second)
    forge(keys, [(published.version, right), (second.version, right)])
    with pytest.raises(WrongKeyError, match=second.version.hex()):
        heir.import_keys(keys, password=PASSWORD)
    # Not even the first, which was right.
    assert {item.source for item in heir.version_keys(published.ref)} == {"none"}
    assert right != wrong


def test_a_file_of_another_chain(seller: Market, heir: Market, published: Published, keys: Path) -> None:
    forge(keys, [(published.version, kappa_of(seller, published))], chain_id=1)
    with pytest.raises(InputError, match="of chain 1,"):
        heir.import_keys(keys, password=PASSWORD)


def test_a_file_of_another_deployment(
    heir: Market, faucet: Sender, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = deploy(faucet, min_bond=1)
    monkeypatch.setattr(heir.context, "deployment", other)
    with pytest.raises(InputError, match="registry"):
        heir.import_keys(keys, password=PASSWORD)


def test_an_asset_or_version_that_is_not_on_the_chain(
    seller: Market, heir: Market, published: Published, keys: Path
) -> None:
    kappa = kappa_of(seller, published)
    forge(keys, [(b"\x11" * 32, kappa)])
    with pytest.raises(NotFoundError, match="no version"):
        heir.import_keys(keys, password=PASSWORD)
    forge(keys, [(published.version, kappa)], asset=b"\x11" * 32)
    with pytest.raises(NotFoundError, match="not on this chain"):
        heir.import_keys(keys, password=PASSWORD)


def test_a_file_that_is_damaged_missing_or_of_a_later_format(heir: Market, keys: Path) -> None:
    whole = keys.read_bytes()
    later = json.loads(whole) | {"format": "steelyard/version-keys/v9"}
    damaged = [b"", whole[:-20], json.dumps(later, sort_keys=True, separators=(",", ":")).encode()]
    for data in damaged:
        keys.write_bytes(data)
        with pytest.raises(InputError):
            heir.import_keys(keys, password=PASSWORD)
    keys.unlink()
    with pytest.raises(InputError, match="cannot read"):
        heir.import_keys(keys, password=PASSWORD)
