from __future__ import annotations

import io
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from steelyard.domain.node import Node
from steelyard.domain.types import Address, AssetId, Position, account_word
from steelyard.errors import NotFoundError, VerificationError
from steelyard.market import Market
from steelyard.service import inspect
from steelyard.service.inspect import inspect_folder
from steelyard.service.sealing import SealedVersion, seal_folder
from steelyard.storage.base import Store
from steelyard.storage.embedded import EmbeddedStore
from tests.unit.api.writing import account, deployment
from tests.unit.chain.fake import FakeTransport

OWNER = Address(b"\x07" * 20)


@pytest.fixture(scope="module")
def seller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    folder = tmp_path_factory.mktemp("seller")
    market = Market(
        FakeTransport(),  # type: ignore[arg-type]  # Rpc takes either
        deployment=deployment(),
        store=EmbeddedStore(folder / "store"),
        account=account(),
        home=folder / "home",
    )
    yield market
    market.close()


@pytest.fixture(scope="module")
def sealed(seller: Market, tmp_path_factory: pytest.TempPathFactory) -> SealedVersion:
    folder = tmp_path_factory.mktemp("model")
    (folder / "weights.bin").write_bytes(secrets.token_bytes((3 << 20) + 17))
    (folder / "labels.txt").write_text("zero\none\n")
    asset = AssetId(b"\x05" * 32)
    node = Node(salt=asset, positions=(Position(account_word(OWNER), 10_000),))
    return seal_folder(seller.context, folder, asset=asset, label="m", node=node, card=None, progress=None)


def test_a_sealed_folder_is_what_it_says(seller: Market, sealed: SealedVersion) -> None:
    found = inspect_folder(seller.context.store, sealed.cid)
    version = sealed.version
    assert (found.folder, found.content_root, found.size, found.node, found.files) == (
        version.folder,
        version.content_root,
        version.size,
        version.node,
        sealed.files,
    )


def _altered(store: Store, cid: str, name: str, data: bytes | None) -> str:
    """Return the folder with one file replaced, left out, or added."""
    entries: dict[str, str | io.BytesIO] = {link.name: link.cid for link in store.list_directory(cid)}
    if data is None:
        del entries[name]
    else:
        entries[name] = io.BytesIO(data)
    return store.add_directory(entries)  # type: ignore[arg-type]  # CIDs and files


@pytest.mark.parametrize("name", ["manifest.json", "README.md", "ciphertext", "tags", "leaves", "node.json"])
@pytest.mark.parametrize("how", ["missing", "empty", "longer"])
def test_a_folder_with_a_wrong_file_is_refused(
    seller: Market, sealed: SealedVersion, name: str, how: str
) -> None:
    store = seller.context.store
    if name == "README.md" and how != "missing":
        return  # a card may say anything
    whole = store.read_file(store.resolve(sealed.cid, name), max_size=1 << 30)
    data = {"missing": None, "empty": b"", "longer": whole + b"\0"}[how]
    with pytest.raises(VerificationError):
        inspect_folder(store, _altered(store, sealed.cid, name, data))


def test_a_folder_with_another_file_is_refused(seller: Market, sealed: SealedVersion) -> None:
    store = seller.context.store
    with pytest.raises(VerificationError):
        inspect_folder(store, _altered(store, sealed.cid, "extra", b"x"))


def test_an_altered_ciphertext_has_another_root(seller: Market, sealed: SealedVersion) -> None:
    store = seller.context.store
    data = bytearray(store.read_file(store.resolve(sealed.cid, "ciphertext"), max_size=1 << 30))
    data[1000] ^= 1
    found = inspect_folder(store, _altered(store, sealed.cid, "ciphertext", bytes(data)))
    assert found.content_root != sealed.version.content_root


def test_a_folder_that_is_not_whole_is_not_found(
    seller: Market, sealed: SealedVersion, tmp_path: Path
) -> None:
    part = EmbeddedStore(tmp_path / "part")
    part.put_block(sealed.cid, seller.context.store.get_block(sealed.cid))
    with pytest.raises(NotFoundError):
        inspect_folder(part, sealed.cid)


def test_a_folder_of_more_than_a_version_has_is_not_listed(
    seller: Market, sealed: SealedVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspect, "MAX_ENTRIES", 2)
    with pytest.raises(VerificationError, match="more than 2 entries"):
        inspect_folder(seller.context.store, sealed.cid)
