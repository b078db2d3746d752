"""Cards from sellers who are honest, slow, gone, wrong or hostile."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from steelyard.domain.card import MAX_CARD
from steelyard.domain.types import Address, AssetId
from steelyard.errors import DigestError
from steelyard.indexer.database import Database, open_database
from steelyard.query.audit import Audit
from steelyard.query.model import AssetQuery, PaymentKind, VersionQuery
from steelyard.service import cards
from steelyard.service.cards import FIRST_PAUSE, MAX_MARK, CardKeeper
from steelyard.storage.cid import Codec, digest_of, encode_cid
from steelyard.storage.dagpb import Link
from steelyard.storage.embedded import EmbeddedStore
from tests.unit.query.folders import add_folder, manifest_of
from tests.unit.query.world import ALICE, BOB, World

CARD = b"---\nlicense: mit\ntags: [vision]\n---\n# Digits\n"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Shop:
    """An index, a store, and a keeper of cards between them."""

    def __init__(self, database: Database, store: EmbeddedStore) -> None:
        self.database = database
        self.store = store
        self.world = World()
        self.clock = Clock()
        self.keeper = CardKeeper(database, store, clock=self.clock)
        self.audit = Audit(database)

    def publish(self, name: str, folder: bytes, owner: Address = ALICE) -> bytes:
        asset = self.world.asset(name, owner)
        self.world.publish(asset, owner, folder=folder)
        self.world.tick()
        self.world.feed(self.database)
        return asset

    def found(self, text: str) -> list[str]:
        return [item.name for item in self.audit.search(AssetQuery(text=text)).items]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    database = open_database(tmp_path / "index.sqlite")
    yield Shop(database, EmbeddedStore(tmp_path / "store"))
    database.close()


def test_a_card_is_fetched_once(shop: Shop) -> None:
    shop.publish("digits", add_folder(shop.store, CARD))
    assert shop.keeper.step() == 1
    assert shop.found("vision") == ["digits"]
    assert shop.keeper.step() == 0


def test_what_is_missing_is_tried_later_and_later(shop: Shop) -> None:
    folder = b"\x09" * 32
    shop.publish("digits", folder)
    pauses = []
    for _ in range(4):
        assert shop.keeper.step() == 1
        pause = 0
        while pause < 10 * FIRST_PAUSE:
            shop.clock.now += FIRST_PAUSE
            pause += FIRST_PAUSE
            with shop.database.read() as reader:
                (state,) = reader.rows("SELECT state FROM cards")[0]
            if FIRST_PAUSE * (1 << (-state - 1)) <= pause:
                break
            assert shop.keeper.step() == 0
        pauses.append(pause // FIRST_PAUSE)
    assert pauses == [1, 2, 4, 8]


def test_a_card_that_comes_late_is_found(shop: Shop, tmp_path: Path) -> None:
    elsewhere = EmbeddedStore(tmp_path / "elsewhere")
    folder = add_folder(elsewhere, CARD)
    shop.publish("digits", folder)
    shop.keeper.step()
    assert shop.found("vision") == []
    add_folder(shop.store, CARD)
    shop.clock.now += FIRST_PAUSE
    assert shop.keeper.step() == 1
    assert shop.found("vision") == ["digits"]


def test_a_huge_card_is_not_read(shop: Shop) -> None:
    shop.publish("huge", add_folder(shop.store, b"vision " * (MAX_CARD // 7 + 1)))
    shop.publish("digits", add_folder(shop.store, CARD))
    shop.keeper.step()
    assert shop.found("vision") == ["digits"]


def test_wrong_bytes_are_not_believed(shop: Shop) -> None:
    folder = add_folder(shop.store, CARD)
    shop.publish("digits", folder)

    class Lying(EmbeddedStore):
        def list_directory(self, cid: str, **options: int) -> tuple[Link, ...]:
            raise DigestError(f"{cid} is something else")

    CardKeeper(shop.database, Lying(shop.store.path), clock=shop.clock).step()
    assert shop.found("vision") == []
    shop.clock.now += FIRST_PAUSE
    shop.keeper.step()
    assert shop.found("vision") == ["digits"]


def test_false_front_matter_leaves_the_text(shop: Shop) -> None:
    shop.publish("bomb", add_folder(shop.store, b"---\na: &a 1\nb: *a\n---\nlaughing\n"))
    assert shop.keeper.step() == 1
    assert shop.found("laughing") == ["bomb"]
    assert shop.audit.search(AssetQuery(facets=True)).facets["tag"] == {}


@pytest.mark.parametrize(
    ("manifest", "code"),
    [
        (manifest_of("onnx", "pickle+gzip+code"), True),
        (manifest_of("onnx", "code"), False),
        (b"{}", None),
        (manifest_of("pickle+code")[:-1], None),
        (manifest_of("pickle+code").ljust(MAX_MARK + 1), None),
    ],
    ids=["code", "none", "malformed", "cut off", "too large"],
)
def test_what_the_manifest_declares_is_known_before_anybody_buys(
    shop: Shop, manifest: bytes, code: bool | None
) -> None:
    asset = shop.publish("digits", add_folder(shop.store, CARD, manifest=manifest))
    assert shop.keeper.step() == 1 and shop.found("vision") == ["digits"]
    latest = shop.audit.asset(AssetId(asset)).latest
    assert latest is not None and latest.code is code
    counted = {} if code is None else {"yes" if code else "no": 1}
    assert shop.audit.search(AssetQuery(facets=True)).facets["code"] == counted
    for asked in (True, False):
        assert shop.audit.search(AssetQuery(code=asked)).total == int(code is asked)


def test_the_mark_is_that_of_the_newest_version(shop: Shop) -> None:
    asset = AssetId(shop.publish("digits", add_folder(shop.store, CARD, manifest=manifest_of("onnx"))))
    shop.keeper.step()
    assert shop.audit.search(AssetQuery(code=False)).total == 1
    shop.world.publish(asset, ALICE, folder=b"\x09" * 32)  # which the store does not have
    shop.world.tick()
    shop.world.feed(shop.database)
    shop.keeper.step()
    assert shop.found("vision") == ["digits"]
    assert [item.code for item in shop.audit.versions(VersionQuery(asset=asset)).items] == [None, False]
    assert shop.audit.search(AssetQuery(code=False)).total == 0


def test_a_manifest_that_is_missing_is_waited_for(shop: Shop, tmp_path: Path) -> None:
    elsewhere = EmbeddedStore(tmp_path / "elsewhere")
    folder = add_folder(elsewhere, CARD, manifest=manifest_of("pickle+code"))
    for block in elsewhere.walk(encode_cid(folder, codec=Codec.DAG_PB)):
        data = elsewhere.get_block(block.cid)
        if b"pickle+code" not in data:
            shop.store.put_block(block.cid, data)
    shop.publish("digits", folder)
    shop.keeper.step()
    assert shop.found("vision") == []
    add_folder(shop.store, CARD, manifest=manifest_of("pickle+code"))
    shop.clock.now += FIRST_PAUSE
    shop.keeper.step()
    assert shop.audit.search(AssetQuery(code=True)).total == 1


@pytest.mark.parametrize("entries", [{}, {"README.md": None}])
def test_folders_of_another_form(shop: Shop, entries: dict[str, None]) -> None:
    root = shop.store.add_directory({})
    inner = shop.store.add_directory({name: root for name in entries})
    shop.publish("odd", digest_of(inner))
    shop.publish("file", digest_of(shop.store.add_file(io.BytesIO(b"x" * 3_000_000))))
    shop.publish("digits", add_folder(shop.store, CARD))
    assert shop.keeper.step() == 3
    assert shop.found("vision") == ["digits"]


def test_positions_count_only_where_they_hash_to_the_node(shop: Shop) -> None:
    asset = shop.world.asset("digits")
    node = shop.world.node(asset, (ALICE, 9000), (BOB, 1000))
    other = shop.world.node(asset, (BOB, 10_000))
    true = add_folder(shop.store, CARD, node=shop.world.positions[node])
    false = add_folder(shop.store, CARD + b"2", node=shop.world.positions[other])
    broken = add_folder(shop.store, CARD + b"3", node_file=b'{"format":1}')
    for folder in (true, false, broken):
        shop.world.publish(asset, folder=folder, node=node if folder == true else shop.world.unique())
    version = next(iter(shop.world.versions.values()))
    terms = shop.world.offer(asset, price=1001)
    shop.world.deliver(version, terms, shop.world.buy(version, terms))
    shop.world.feed(shop.database)
    assert shop.keeper.step() == 3
    with shop.database.read() as reader:
        assert {row[0] for row in reader.rows("SELECT node FROM positions")} == {node}
    income = next(item for item in shop.audit.payments().items if item.kind is PaymentKind.INCOME)
    assert [part.amount for part in income.parts] == [900, 100]


def test_one_sellers_missing_folders_do_not_keep_others_waiting(shop: Shop) -> None:
    shop.publish("digits", add_folder(shop.store, CARD), BOB)
    spam = shop.world.asset("spam")
    for _ in range(200):
        shop.world.publish(spam)
    shop.world.feed(shop.database)
    assert shop.keeper.step() == 64
    assert shop.found("vision") == ["digits"]


def test_a_slow_folder_does_not_stop_the_others(shop: Shop) -> None:
    """The slow one answers only when all others were read: with one thread at a time they never would be."""
    slow = add_folder(shop.store, CARD + b"slow")
    quick = [add_folder(shop.store, CARD + bytes([65 + i])) for i in range(6)]
    shop.publish("slow", slow)
    for number, folder in enumerate(quick):
        shop.publish(f"quick-{number}", folder)
    others = threading.Semaphore(0)

    class Slow(EmbeddedStore):
        def list_directory(self, cid: str, **options: int) -> tuple[Link, ...]:
            if cid == encode_cid(slow, codec=Codec.DAG_PB):
                for _ in quick:
                    assert others.acquire(timeout=30)
                return super().list_directory(cid, **options)
            found = super().list_directory(cid, **options)
            others.release()
            return found

    assert CardKeeper(shop.database, Slow(shop.store.path), clock=shop.clock).step() == 7
    assert shop.audit.search(AssetQuery(text="vision")).total == 7


def test_the_loop_ends_when_it_is_told_to(shop: Shop) -> None:
    shop.publish("digits", add_folder(shop.store, CARD))
    stop = threading.Event()
    thread = threading.Thread(target=shop.keeper.run, args=(stop,))
    thread.start()
    deadline = threading.Event()
    for _ in range(500):
        if shop.found("vision"):
            break
        deadline.wait(0.02)
    stop.set()
    thread.join(30)
    assert not thread.is_alive() and shop.found("vision") == ["digits"]


def test_a_folder_of_more_than_a_version_has_is_not_listed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cards, "MAX_ENTRIES", 0)
    shop.publish("digits", add_folder(shop.store, CARD))
    shop.keeper.step()
    assert shop.found("vision") == []


def test_a_dataset_is_found_by_each_of_its_tasks(shop: Shop) -> None:
    shop.publish(
        "both", add_folder(shop.store, b"---\ntask_categories: [translation, summarization]\n---\n# Both\n")
    )
    assert shop.keeper.step() == 1
    assert shop.audit.search(AssetQuery(facets=True)).facets["task"] == {"translation": 1, "summarization": 1}
