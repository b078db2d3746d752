from __future__ import annotations

import io
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from steelyard.api import uploads
from steelyard.api.receiving import (
    COMPLETE_TIME,
    OPEN_TIME,
    find_upload,
    open_upload,
    recheck,
    sweep_uploads,
    take_block,
)
from steelyard.api.state import State
from steelyard.domain.node import Node
from steelyard.domain.types import Address, AssetId, Position, account_word
from steelyard.market import Market
from steelyard.service.account import Account
from steelyard.service.sealing import SealedVersion, seal_folder
from steelyard.storage.base import Store
from steelyard.storage.cid import CID, Codec, cid_of, encode_cid
from steelyard.storage.dagpb import Link, decode_node
from steelyard.storage.embedded import EmbeddedStore
from tests.support.folders import directory_block
from tests.unit.api.writing import NOW, Got, World, account, deployment
from tests.unit.chain.fake import FakeTransport

OWNER = Address(b"\x07" * 20)
BLOCK = "application/vnd.ipld.raw"
FILE = "application/octet-stream"


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


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, uploads.ENDPOINTS)
    yield made
    made.close()


@pytest.fixture
def who() -> Account:
    return account()


@pytest.fixture
def token(world: World, who: Account) -> str:
    return world.sign_in(who)


def _open(world: World, token: str, store: Store, cid: str) -> Got:
    return world.ask("POST", "/v1/uploads", {"folder": cid, "bytes": store.cumulative_size(cid)}, token=token)


def _put(world: World, token: str, upload: str, cid: str, data: bytes) -> Got:
    return world.ask("PUT", f"/v1/uploads/{upload}/blocks/{cid}", raw=data, media=BLOCK, token=token)


def _bring(world: World, token: str, upload: str, store: Store, *, most: int = 1 << 30) -> int:
    """Bring what is missing, at most so many blocks; return how many came."""
    count = 0
    while missing := world.ask("GET", f"/v1/uploads/{upload}", token=token).json["missing"]:
        for cid in missing:
            if count == most:
                return count
            assert _put(world, token, upload, cid, store.get_block(cid)).status == 204
            count += 1
    return count


def test_a_folder_is_brought_checked_and_pinned(
    world: World, token: str, seller: Market, sealed: SealedVersion
) -> None:
    store = seller.context.store
    opened = _open(world, token, store, sealed.cid)
    assert opened.status == 201
    upload = opened.json["id"]
    assert opened.json["missing"] == [sealed.cid]
    assert _bring(world, token, upload, store) == sum(1 for _ in store.walk(sealed.cid))
    assert not world.store.is_pinned(sealed.cid)
    shown = world.ask("GET", f"/v1/uploads/{upload}", token=token).json
    assert shown["stored"] == shown["bytes"] == store.cumulative_size(sealed.cid)
    done = world.ask("POST", f"/v1/uploads/{upload}/complete", token=token)
    version = sealed.version
    assert done.status == 200, done.body
    assert done.json == {
        "cid": sealed.cid,
        "folder": "0x" + version.folder.hex(),
        "content_root": "0x" + version.content_root.hex(),
        "size": version.size,
        "node": "0x" + version.node.hex(),
        "scheme": 1,
    }
    assert world.store.is_pinned(sealed.cid)
    assert world.ask("GET", f"/v1/uploads/{upload}", token=token).json["state"] == "complete"
    # Completing again says the same.
    assert world.ask("POST", f"/v1/uploads/{upload}/complete", token=token).json == done.json


def test_an_upload_goes_on_where_it_was(
    world: World, token: str, seller: Market, sealed: SealedVersion
) -> None:
    store = seller.context.store
    upload = _open(world, token, store, sealed.cid).json["id"]
    _bring(world, token, upload, store, most=3)
    again = _open(world, token, store, sealed.cid)
    assert (again.status, again.json["id"]) == (200, upload)
    assert again.json["stored"] > 0
    assert _bring(world, token, upload, store) == sum(1 for _ in store.walk(sealed.cid)) - 3


def test_a_block_twice_counts_once(world: World, token: str, seller: Market, sealed: SealedVersion) -> None:
    store = seller.context.store
    upload = _open(world, token, store, sealed.cid).json["id"]
    for _ in range(2):
        assert _put(world, token, upload, sealed.cid, store.get_block(sealed.cid)).status == 204
    shown = world.ask("GET", f"/v1/uploads/{upload}", token=token).json
    assert shown["stored"] == len(store.get_block(sealed.cid))


def test_bytes_that_do_not_hash_to_their_name_are_refused_and_not_kept(
    world: World, token: str, seller: Market, sealed: SealedVersion
) -> None:
    store = seller.context.store
    upload = _open(world, token, store, sealed.cid).json["id"]
    data = bytearray(store.get_block(sealed.cid))
    data[0] ^= 1
    assert _put(world, token, upload, sealed.cid, bytes(data)).code == "wrong-block"
    assert not world.store.has(sealed.cid)


def test_a_block_that_is_not_of_the_folder_is_refused_and_not_kept(
    world: World, token: str, seller: Market, sealed: SealedVersion
) -> None:
    upload = _open(world, token, seller.context.store, sealed.cid).json["id"]
    other = cid_of(b"something else")
    assert _put(world, token, upload, other, b"something else").code == "wrong-block"
    assert not world.store.has(other)


def test_a_child_comes_after_its_parent(
    world: World, token: str, seller: Market, sealed: SealedVersion
) -> None:
    store = seller.context.store
    upload = _open(world, token, store, sealed.cid).json["id"]
    child = decode_node(store.get_block(sealed.cid)).links[0].cid
    assert _put(world, token, upload, child, store.get_block(child)).code == "wrong-block"


@pytest.mark.parametrize("cid", ["x", "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKPbdG", "..%2F..%2Fetc"])
def test_a_name_that_is_no_cid_is_refused(
    world: World, token: str, seller: Market, sealed: SealedVersion, cid: str
) -> None:
    upload = _open(world, token, seller.context.store, sealed.cid).json["id"]
    assert _put(world, token, upload, cid, b"x").code == "wrong-block"


def test_a_block_above_two_mebibytes_is_too_large(
    world: World, token: str, seller: Market, sealed: SealedVersion
) -> None:
    upload = _open(world, token, seller.context.store, sealed.cid).json["id"]
    assert _put(world, token, upload, sealed.cid, bytes((2 << 20) + 1)).code == "too-large"


def test_a_folder_cannot_link_to_more_than_was_announced(world: World, token: str) -> None:
    leaf = cid_of(b"x" * 100)
    block = directory_block([Link(cid=leaf, name="a", tsize=1_000_000)])
    upload = world.ask("POST", "/v1/uploads", {"folder": block.cid, "bytes": 200}, token=token).json["id"]
    assert _put(world, token, upload, block.cid, block.data).code == "wrong-block"


def test_a_leaf_larger_than_its_link_says_is_refused(world: World, token: str) -> None:
    data = b"x" * 100
    block = directory_block([Link(cid=cid_of(data), name="a", tsize=10)])
    upload = world.ask("POST", "/v1/uploads", {"folder": block.cid, "bytes": 10_000}, token=token).json["id"]
    assert _put(world, token, upload, block.cid, block.data).status == 204
    assert _put(world, token, upload, cid_of(data), data).code == "wrong-block"


def test_links_that_claim_nothing_cannot_fill_the_tables(world: World, token: str) -> None:
    links = [Link(cid=cid_of(bytes([i % 256, i // 256])), name=f"{i:04}", tsize=0) for i in range(600)]
    block = directory_block(links)
    body = {"folder": block.cid, "bytes": len(block.data) + 10}
    upload = world.ask("POST", "/v1/uploads", body, token=token).json["id"]
    assert _put(world, token, upload, block.cid, block.data).code == "wrong-block"


@pytest.mark.parametrize(
    "body",
    [
        {"folder": "x", "bytes": 10},
        {"folder": cid_of(b"raw"), "bytes": 10},
        {"folder": encode_cid(bytes(32), codec=Codec.DAG_PB), "bytes": 0},
        {"folder": encode_cid(bytes(32), codec=Codec.DAG_PB), "bytes": 1 << 43},
        {"folder": encode_cid(bytes(32), codec=Codec.DAG_PB)},
        {"folder": encode_cid(bytes(32), codec=Codec.DAG_PB), "bytes": 10, "more": 1},
    ],
)
def test_a_malformed_announcement_is_refused(world: World, token: str, body: dict[str, object]) -> None:
    assert world.ask("POST", "/v1/uploads", body, token=token).code == "bad-body"


def test_uploads_are_seen_by_their_account_alone(
    world: World, token: str, seller: Market, sealed: SealedVersion
) -> None:
    upload = _open(world, token, seller.context.store, sealed.cid).json["id"]
    other = world.sign_in(account())
    place = f"/v1/uploads/{upload}"
    assert world.ask("GET", place, token=other).code == "not-found"
    assert (
        _put(world, other, upload, sealed.cid, seller.context.store.get_block(sealed.cid)).code == "not-found"
    )
    assert world.ask("POST", f"{place}/complete", token=other).code == "not-found"
    assert world.ask("DELETE", place, token=other).code == "not-found"
    assert world.ask("GET", place).code == "not-signed-in"
    assert world.ask("GET", place, token=token).status == 200


def test_an_account_may_announce_so_much(tmp_path: Path, token: str, world: World) -> None:
    world.service.options = replace(world.service.options, quota=1000)
    first = {"folder": encode_cid(bytes(32), codec=Codec.DAG_PB), "bytes": 900}
    second = {"folder": encode_cid(b"\1" * 32, codec=Codec.DAG_PB), "bytes": 101}
    opened = world.ask("POST", "/v1/uploads", first, token=token)
    assert world.ask("POST", "/v1/uploads", second, token=token).code == "too-large"
    assert world.ask("POST", "/v1/uploads", second, token=world.sign_in(account())).status == 201
    world.ask("DELETE", f"/v1/uploads/{opened.json['id']}", token=token)
    assert world.ask("POST", "/v1/uploads", second, token=token).status == 201


def test_completing_too_early_says_that_blocks_are_missing(
    world: World, token: str, seller: Market, sealed: SealedVersion
) -> None:
    store = seller.context.store
    upload = _open(world, token, store, sealed.cid).json["id"]
    _bring(world, token, upload, store, most=4)
    assert world.ask("POST", f"/v1/uploads/{upload}/complete", token=token).code == "conflict"
    _bring(world, token, upload, store)
    assert world.ask("POST", f"/v1/uploads/{upload}/complete", token=token).status == 200


def test_a_folder_that_breaks_the_format_is_not_pinned(world: World, token: str, tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "own")
    cid = store.add_directory({"README.md": io.BytesIO(b"# Not a version\n")})
    upload = _open(world, token, store, cid).json["id"]
    _bring(world, token, upload, store)
    assert world.ask("POST", f"/v1/uploads/{upload}/complete", token=token).code == "unverified"
    assert not world.store.is_pinned(cid)


def test_a_given_up_folder_is_let_go(world: World, token: str, seller: Market, sealed: SealedVersion) -> None:
    store = seller.context.store
    upload = _open(world, token, store, sealed.cid).json["id"]
    _bring(world, token, upload, store)
    world.ask("POST", f"/v1/uploads/{upload}/complete", token=token)
    assert world.ask("DELETE", f"/v1/uploads/{upload}", token=token).status == 204
    assert not world.store.is_pinned(sealed.cid)
    assert world.ask("GET", f"/v1/uploads/{upload}", token=token).code == "not-found"


def test_what_was_pinned_before_is_not_let_go(
    world: World, token: str, seller: Market, sealed: SealedVersion
) -> None:
    store = seller.context.store
    for block in store.walk(sealed.cid):
        world.store.put_block(block.cid, store.get_block(block.cid))
    world.store.pin(sealed.cid)
    upload = _open(world, token, store, sealed.cid).json["id"]
    _bring(world, token, upload, store)
    world.ask("POST", f"/v1/uploads/{upload}/complete", token=token)
    world.ask("DELETE", f"/v1/uploads/{upload}", token=token)
    assert world.store.is_pinned(sealed.cid)


def test_a_folder_that_two_accounts_brought_stays_for_the_other(
    world: World, token: str, seller: Market, sealed: SealedVersion
) -> None:
    store, other = seller.context.store, world.sign_in(account())
    places = {}
    for item in (token, other):
        upload = _open(world, item, store, sealed.cid).json["id"]
        _bring(world, item, upload, store)
        assert world.ask("POST", f"/v1/uploads/{upload}/complete", token=item).status == 200
        places[item] = f"/v1/uploads/{upload}"
    world.ask("DELETE", places[token], token=token)
    assert world.store.is_pinned(sealed.cid)


# -- the tables, on both databases -----------------------------------------------------------------------------------

FOLDER = directory_block([Link(cid=cid_of(b"hello"), name="a", tsize=5)])


def _never(digest: bytes) -> bool:
    return False


@pytest.fixture
def store(tmp_path: Path) -> EmbeddedStore:
    return EmbeddedStore(tmp_path / "store")


def _upload(state: State, store: Store, cid: CID = FOLDER.cid) -> str:
    made, new = open_upload(state, OWNER, cid, 1000, quota=10**6, now=NOW)
    assert new
    return made.id


def test_blocks_and_bytes_are_counted(state: State, store: EmbeddedStore) -> None:
    name = _upload(state, store)
    assert take_block(state, store, OWNER, name, FOLDER.cid, FOLDER.data, now=NOW).received == len(
        FOLDER.data
    )
    found = take_block(state, store, OWNER, name, cid_of(b"hello"), b"hello", now=NOW + 5)
    assert (found.received, found.touched) == (len(FOLDER.data) + 5, NOW + 5)


def test_blocks_that_the_store_lost_are_missing_again(
    state: State, store: EmbeddedStore, tmp_path: Path
) -> None:
    name = _upload(state, store)
    take_block(state, store, OWNER, name, FOLDER.cid, FOLDER.data, now=NOW)
    recheck(state, EmbeddedStore(tmp_path / "empty"), find_upload(state, OWNER, name))
    assert find_upload(state, OWNER, name).received == 0
    assert take_block(state, store, OWNER, name, FOLDER.cid, FOLDER.data, now=NOW).received == len(
        FOLDER.data
    )


def test_an_upload_that_is_left_is_given_up(state: State, store: EmbeddedStore) -> None:
    name = _upload(state, store)
    take_block(state, store, OWNER, name, FOLDER.cid, FOLDER.data, now=NOW + 10)
    assert sweep_uploads(state, store, published=_never, now=NOW + 10 + OPEN_TIME) == 0
    assert sweep_uploads(state, store, published=_never, now=NOW + 11 + OPEN_TIME) == 1
    with state.read() as reader:
        assert reader.rows("SELECT 1 FROM service_blocks") == []


def _complete(state: State, store: EmbeddedStore) -> str:
    name = _upload(state, store)
    store.put_block(cid_of(b"hello"), b"hello")
    store.put_block(FOLDER.cid, FOLDER.data)
    store.pin(FOLDER.cid)
    with state.write() as writer:
        writer.execute("UPDATE service_uploads SET state = 'complete' WHERE id = ?", (name,))
    return name


def test_a_complete_folder_that_nobody_publishes_is_let_go_in_the_end(
    state: State, store: EmbeddedStore
) -> None:
    _complete(state, store)
    assert sweep_uploads(state, store, published=_never, now=NOW + COMPLETE_TIME) == 0
    assert store.is_pinned(FOLDER.cid)
    assert sweep_uploads(state, store, published=_never, now=NOW + COMPLETE_TIME + 1) == 1
    assert not store.is_pinned(FOLDER.cid)


def test_a_published_folder_stays_and_counts_no_more(state: State, store: EmbeddedStore) -> None:
    _complete(state, store)
    assert sweep_uploads(state, store, published=lambda digest: True, now=NOW) == 1
    assert store.is_pinned(FOLDER.cid)
    _, new = open_upload(state, OWNER, FOLDER.cid, 1000, quota=1000, now=NOW)
    assert new
