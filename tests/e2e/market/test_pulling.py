"""Pulling: what is fetched and what is not, versions that share files, ranges, and without a network."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from steelyard.config import Config
from steelyard.errors import ChainError, InputError, LeafError, NotFoundError, VerificationError
from steelyard.market import Market
from steelyard.service import public
from steelyard.service.cache import AssetCache, caches
from steelyard.service.context import Settings
from steelyard.service.results import Offered, Published, Purchase
from steelyard.storage.cid import CID
from steelyard.storage.embedded import EmbeddedStore
from tests.e2e.support import PRICE, MarketOf, same_files

MIB = 1 << 20
SIZES = {"a.bin": 3 * MIB + 5, "b/b.bin": 2 * MIB, "c.txt": 11, "empty.txt": 0}


class Fetches(EmbeddedStore):
    """A store that counts the large blocks that are read, and can stop giving them."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.fetched: list[CID] = []
        self.left = 1 << 30

    def _fetch(self, cid: CID, limit: int) -> bytes:
        data = super()._fetch(cid, limit)
        if len(data) == MIB:
            if self.left == 0:
                raise NotFoundError(f"block {cid} is gone for now")
            self.left -= 1
            self.fetched.append(cid)
        return data


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "large"
    (made / "b").mkdir(parents=True)
    source = random.Random(3)
    for name, size in SIZES.items():
        (made / name).write_bytes(source.randbytes(size))
    (made / "README.md").write_text("# Large\n")
    return made


@pytest.fixture
def counting(store: EmbeddedStore, buyer: Market) -> Fetches:
    found = Fetches(store.path)
    buyer.context.store = found
    return found


@pytest.fixture
def bought(seller: Market, buyer: Market, published: Published, offered: Offered) -> Purchase:
    purchase = buyer.buy(published.ref, wait=False)
    seller.deliver(purchase)
    return purchase.refresh()


def second_version(seller: Market, buyer: Market, folder: Path, published: Published) -> Published:
    (folder / "c.txt").write_text("changed")
    version = seller.new_version(published.ref.rpartition("@")[0], folder)
    seller.offer(version.ref, price=PRICE)
    purchase = buyer.buy(version.ref, wait=False)
    seller.deliver(purchase)
    return version


def test_what_did_not_change_is_neither_fetched_nor_stored_twice(
    seller: Market, buyer: Market, bought: Purchase, published: Published, folder: Path, counting: Fetches
) -> None:
    first = buyer.pull(bought)
    assert same_files(folder, first)
    version = second_version(seller, buyer, folder, published)
    counting.fetched.clear()
    second = buyer.pull(version.ref)
    assert same_files(folder, second) and first != second
    # The chunk of the sealed manifest, the one of the changed file, which are two, and no other.
    assert len(set(counting.fetched)) <= 2
    for name, size in SIZES.items():
        shared = (first / name).stat().st_ino == (second / name).stat().st_ino
        assert shared is (name != "c.txt"), (name, size)
    (cache,) = caches(buyer.context.home)
    old, new = cache.entries()
    assert old.files == new.files == len(SIZES) + 1 and old.shared >= 5 * MIB
    assert cache.remove(cache.all_known()[0]) == 11
    assert not first.exists() and same_files(folder, second)
    assert cache.remove(cache.all_known()[0]) > 5 * MIB
    assert not second.exists() and not list(caches(buyer.context.home))


def test_only_the_chunks_of_what_is_wanted_are_fetched(
    buyer: Market, bought: Purchase, folder: Path, counting: Fetches
) -> None:
    path = buyer.pull(bought, include=["c.txt", "empty.txt"])
    assert {item.name for item in path.rglob("*") if item.is_file()} == {"c.txt", "empty.txt"}
    assert len(counting.fetched) <= 1
    assert buyer.pull(bought, exclude=["a.bin"]) == path
    assert not (path / "a.bin").exists() and (path / "b" / "b.bin").exists()
    assert same_files(folder, buyer.pull(bought))


def test_a_pull_that_was_cut_off_goes_on(
    buyer: Market, bought: Purchase, folder: Path, counting: Fetches, tmp_path: Path
) -> None:
    buyer.context.settings = Settings(threads=1, poll=0.1)
    counting.left = 4
    with pytest.raises(NotFoundError):
        buyer.pull(bought, tmp_path / "out" / "model")
    assert not (tmp_path / "out").exists()
    done = set(counting.fetched)
    counting.left, counting.fetched = 1 << 30, []
    assert same_files(folder, buyer.pull(bought, tmp_path / "out" / "model"))
    # Fetched again: what was in work when it broke off.
    assert len(done & set(counting.fetched)) <= 3 and len(set(counting.fetched)) < 6
    assert (tmp_path / "out" / "model" / "a.bin").stat().st_nlink == 1


def test_several_at_once_fetch_once(buyer: Market, bought: Purchase, folder: Path, counting: Fetches) -> None:
    with ThreadPoolExecutor(3) as pool:
        (path,) = set(pool.map(lambda _: buyer.pull(bought), range(3)))
    assert same_files(folder, path)
    assert (
        len(counting.fetched) <= len(set(counting.fetched)) + 1
    )  # the sealed manifest's chunk is read before the others


def test_what_a_crash_spoilt_is_noticed_and_fetched_again(
    buyer: Market, bought: Purchase, folder: Path, counting: Fetches
) -> None:
    buyer.context.settings = Settings(threads=1, poll=0.1)
    counting.left = 4
    with pytest.raises(NotFoundError):
        buyer.pull(bought)
    counting.left = 1 << 30
    (part,) = buyer.context.home.rglob("*.part")
    data = bytearray(part.read_bytes())
    data[100] ^= 1
    part.write_bytes(data)
    assert same_files(folder, buyer.pull(bought))
    (cache,) = caches(buyer.context.home)
    assert not cache.partial(cache.all_known()[0].version).exists()


def test_a_damaged_file_of_the_cache_is_found_and_not_used_again(
    seller: Market, buyer: Market, bought: Purchase, published: Published, folder: Path
) -> None:
    first = buyer.pull(bought)
    (cache,) = caches(buyer.context.home)
    known = cache.all_known()[0]
    assert list(cache.damaged(known)) == []
    os.chmod(first / "a.bin", 0o644)
    (first / "a.bin").write_bytes(b"x" * SIZES["a.bin"])
    assert list(cache.damaged(known)) == ["a.bin"]
    version = second_version(seller, buyer, folder, published)
    assert same_files(folder, buyer.pull(version.ref))


def test_a_range_is_read_without_the_rest(
    buyer: Market, bought: Purchase, folder: Path, counting: Fetches
) -> None:
    counting.fetched.clear()
    whole = (folder / "a.bin").read_bytes()
    assert buyer.read_range(bought, "a.bin", 2 * MIB, 2 * MIB + 8) == whole[2 * MIB : 2 * MIB + 8]
    assert len(counting.fetched) <= 2
    with buyer.open_file(bought, "a.bin") as file:
        file.seek(-5, os.SEEK_END)
        assert file.read() == whole[-5:]
        assert file.read() == b"" and file.tell() == len(whole)
        file.seek(MIB - 3)
        assert file.read(7) == whole[MIB - 3 : MIB + 4]
    assert buyer.read_range(bought, "a.bin", len(whole) + 9) == b""
    assert buyer.read_range(bought, "empty.txt") == b""
    for start, stop in ((-1, 3), (3, 2)):
        with pytest.raises(InputError):
            buyer.read_range(bought, "a.bin", start, stop)
    with pytest.raises(NotFoundError, match="no file"):
        buyer.read_range(bought, "../a.bin")
    block = counting.fetched[0]
    path = counting._block_path(block)
    path.write_bytes(b"\0" * MIB)
    with pytest.raises(VerificationError):
        buyer.read_range(bought, "a.bin")


def test_a_folder_of_more_than_a_version_has_is_not_listed(
    buyer: Market, bought: Purchase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(public, "MAX_ENTRIES", 2)
    with pytest.raises(VerificationError, match="more than 2 entries"):
        buyer.read_range(bought, "a.bin", 0, 1)


def test_a_false_leaf_is_noticed_by_who_reads_only_its_range(
    seller: Market, buyer: Market, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace
    from hashlib import sha256

    from steelyard.crypto.content import chunk_root
    from steelyard.crypto.stream import SealedChunk, seal_chunk
    from steelyard.service import sealing

    def lie(index: int, *args: object, **options: object) -> SealedChunk:
        chunk = seal_chunk(index, *args, **options)  # type: ignore[arg-type]
        if index == 1:
            false = bytearray(chunk.ciphertext)
            false[5 * 4096 + 3] ^= 1
            root = chunk_root(1, ciphertext=bytes(false), salted=chunk.salted)
            chunk = replace(chunk, sealed=bytes(false) + chunk.tag, root=root, block=sha256(false).digest())
        return chunk

    monkeypatch.setattr(sealing, "seal_chunk", lie)
    published = seller.publish(folder, name="false")
    monkeypatch.undo()
    seller.offer(published.ref, price=PRICE)
    purchase = buyer.buy(published.ref, wait=False)
    seller.deliver(purchase)
    assert buyer.read_range(purchase, "a.bin", 0, 8) == (folder / "a.bin").read_bytes()[:8]
    with pytest.raises(LeafError):
        buyer.read_range(purchase, "a.bin", MIB, MIB + 8)


@pytest.fixture
def offline(market_of: MarketOf, buyer: Market, tmp_path: Path) -> Iterator[Market]:
    found = Market(
        "",
        deployment=buyer.context.deployment,
        store=EmbeddedStore(tmp_path / "no-blocks"),
        home=buyer.context.home,
        settings=Settings(offline=True),
    )
    yield found
    found.close()


def test_what_was_pulled_can_be_had_without_asking_anybody(
    buyer: Market, offline: Market, bought: Purchase, published: Published, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(NotFoundError, match="not pulled yet"):
        offline.pull(published.ref)
    part = buyer.pull(bought, include=["c.txt"])
    assert offline.pull(published.ref, include=["c.*"]) == part
    with pytest.raises(NotFoundError, match="not all of"):
        offline.pull(published.ref)
    path = buyer.pull(bought)
    name = published.ref.rpartition("@")[0]
    for ref in (name, f"{name}@1", f"{name}@latest", published.canonical):
        assert offline.pull(ref) == path
    with pytest.raises(NotFoundError):
        offline.pull(f"{name}@2")
    with pytest.raises(InputError, match="reference"):
        offline.pull(bought)
    assert same_files(folder, offline.pull(name, tmp_path / "copy"))
    assert (tmp_path / "copy" / "a.bin").stat().st_ino != (path / "a.bin").stat().st_ino
    assert offline.read_range(name, "c.txt", 2, 4) == (folder / "c.txt").read_bytes()[2:4]
    with pytest.raises(ChainError, match="offline"):
        offline.info(name)


def test_offline_needs_no_endpoint_and_one_market(tmp_path: Path, buyer: Market) -> None:
    from steelyard.service.opening import find_deployment

    config = Config(home=tmp_path, store=str(tmp_path / "store"), offline=True)
    with pytest.raises(InputError, match="0 markets"):
        find_deployment(config)
    record = tmp_path / "deployments" / "31337.json"
    record.parent.mkdir()
    buyer.context.deployment.save(record)
    assert find_deployment(config) == buyer.context.deployment


def test_names_of_the_cache_stay_inside(tmp_path: Path, buyer: Market, bought: Purchase) -> None:
    """A damaged or foreign record counts as none."""
    buyer.pull(bought)
    (cache,) = caches(buyer.context.home)
    (record,) = (cache.path / "versions").iterdir()
    text = record.read_text()
    for wrong in ("", "{}", text[:-9], text.replace("a.bin", "../a.bin"), "[" * 10_000):
        record.write_text(wrong)
        assert AssetCache(buyer.context.home, cache.asset).all_known() == []
    assert buyer.pull(bought).exists()
