"""Publishing after interruptions, names, shares, roles and ownership."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from steelyard.chain.calls import Call
from steelyard.domain.types import AssetKind
from steelyard.errors import (
    InputError,
    RefusedError,
)
from steelyard.market import Market
from steelyard.service.results import Offered, Published
from tests.e2e.support import MarketOf, same_files


def test_a_changed_folder_takes_another_key_after_an_interruption(
    seller: Market, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Call] = []

    def fail(call: Call) -> object:
        seen.append(call)
        raise ConnectionError

    monkeypatch.setattr(seller.context, "send", fail)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            seller.publish(folder, name="digits")
    (folder / "model.onnx").write_bytes(b"another")
    with pytest.raises(ConnectionError):
        seller.publish(folder, name="digits")
    monkeypatch.undo()
    same, again, changed = (call.data for call in seen)
    key = slice(4 + 32 * 8, 4 + 32 * 10)
    assert same[key] == again[key]
    assert same[key] != changed[key]


def test_the_public_card_of_a_model_names_the_library_of_its_files(
    seller: Market, folder: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(Path(__file__).parents[2] / "vectors" / "formats.zip") as archive:
        (folder / "model.onnx").write_bytes(archive.read("onnx.onnx"))
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Digits\n")

    def card(ref: str) -> str | None:
        return seller.info(ref).versions[-1].card

    completed = "---\nlicense: mit\nlibrary_name: onnx\n---\n# Digits\n"
    first = seller.publish(folder, name="digits")
    assert card(first.ref) == completed
    assert same_files(
        seller.pull(first.ref, tmp_path / "pulled"), folder
    )  # the seller's own card among them, as it was
    assert (
        card(seller.publish(folder, name="images", kind=AssetKind.DATASET).ref)
        == "---\nlicense: mit\n---\n# Digits\n"
    )
    (folder / "extra" / "more.txt").write_text("two")
    assert card(seller.new_version(first.ref, folder).ref) == completed
    (folder / "README.md").write_text("---\nlibrary_name: mine\n---\n# Digits\n")
    assert card(seller.new_version(first.ref, folder).ref) == "---\nlibrary_name: mine\n---\n# Digits\n"


def test_a_publish_that_was_mined_is_not_sent_twice(
    seller: Market, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = seller.context.send

    def crash(call: object) -> object:
        send(call)  # type: ignore[arg-type]
        raise ConnectionError

    monkeypatch.setattr(seller.context, "send", crash)
    with pytest.raises(ConnectionError):
        seller.publish(folder, name="digits")
    monkeypatch.undo()
    found = seller.publish(folder, name="digits")
    assert found.tx is None and found.number == 1
    assert len(seller.info(found.ref).versions) == 1


def test_a_file_that_changes_while_it_is_sealed_is_not_published(seller: Market, folder: Path) -> None:
    def change(what: str, done: int, total: int) -> None:
        if what == "hash" and done == total:
            (folder / "model.onnx").write_bytes(b"x" * ((2 << 20) + 12_345))

    with pytest.raises(InputError, match="changed while it was sealed"):
        seller.publish(folder, name="digits", progress=change)


def test_a_name_is_taken_once_by_each_account(
    seller: Market, buyer: Market, published: Published, folder: Path
) -> None:
    (folder / "model.onnx").write_bytes(b"another")
    with pytest.raises(RefusedError, match="new version"):
        seller.publish(folder, name="DIGITS")
    assert buyer.publish(folder, name="digits").asset != published.asset


def test_shares_are_claimed_and_withdrawn_to_the_wei(
    market_of: MarketOf, seller: Market, buyer: Market, folder: Path
) -> None:
    helper = market_of()
    accounts = [seller.context.account.address, helper.context.account.address]
    published = seller.publish(folder, name="shared", positions=[(accounts[0], 6667), (accounts[1], 3333)])
    price = 10**15 + 7
    seller.offer(published.ref, price=price)
    seller.deliver(buyer.buy(published.ref, wait=False))
    mine, yours = seller.withdraw(to=accounts[0]), helper.withdraw(to=accounts[1])
    assert (mine.amount, yours.amount) == (price * 6667 // 10_000, price * 3333 // 10_000)
    assert 0 <= price - mine.amount - yours.amount < 2
    with pytest.raises(RefusedError, match="nothing to withdraw"):
        seller.withdraw()


def test_a_lent_role_publishes_and_ends_with_a_transfer(
    market_of: MarketOf, seller: Market, published: Published, offered: Offered, folder: Path
) -> None:
    helper, owner = market_of(), market_of()
    (folder / "model.onnx").write_bytes(b"by the helper")
    with pytest.raises(RefusedError, match="lend the role"):
        helper.new_version(published.ref, folder)
    seller.set_role(published.ref, helper.context.account.address, "maintainer")
    assert helper.new_version(published.ref, folder).number == 2
    seller.transfer_asset(published.ref, owner.context.account.address)
    info = owner.info(published.ref)
    assert info.owner == owner.context.account.address
    assert not info.offers[0].open
    (folder / "model.onnx").write_bytes(b"once more")
    with pytest.raises(RefusedError, match="lend the role"):
        helper.new_version(published.ref, folder)


def test_what_would_be_lost_is_not_transferred(seller: Market, published: Published) -> None:
    for target in (bytes(20), seller.context.deployment.market):
        with pytest.raises(InputError, match="lost"):
            seller.transfer_asset(published.ref, target)  # type: ignore[arg-type]
