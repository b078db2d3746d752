"""Files and blocks: ranges, tags, and what a false or absent store does."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from steelyard.api import download
from steelyard.errors import StoreError
from steelyard.indexer.database import Database, open_database
from steelyard.storage.cid import CID, digest_of
from steelyard.storage.embedded import EmbeddedStore
from steelyard.storage.unixfs import CHUNK
from tests.unit.api.reading import Reader
from tests.unit.query.world import World

DATA = secrets.token_bytes(2 * CHUNK + 1234)


class Faulty(EmbeddedStore):
    """A store whose blocks can be changed or withheld on the way, or that does not answer."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.false: set[str] = set()
        self.gone = False

    def _fetch(self, cid: CID, limit: int) -> bytes:
        if self.gone:
            raise StoreError(f"node at http://user:secret@10.0.0.1 failed, fetching {cid}")
        data = super()._fetch(cid, limit)
        return data[:-1] + bytes([data[-1] ^ 1]) if cid in self.false else data


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(tmp_path / "index.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def store(tmp_path: Path) -> Faulty:
    return Faulty(tmp_path / "store")


@pytest.fixture
def root(store: Faulty, database: Database, tmp_path: Path) -> str:
    """A published folder; returns the id of its version."""
    (tmp_path / "big").write_bytes(DATA)
    (tmp_path / "empty").write_bytes(b"")
    with (tmp_path / "big").open("rb") as big, (tmp_path / "empty").open("rb") as empty:
        inner = store.add_directory({"a b.bin": big})
        empty.seek(0)
        folder = store.add_directory({"empty": empty, "in": inner, "big": store.resolve(inner, "a b.bin")})
    world = World()
    world.tick()
    version = world.publish(world.asset("digits"), folder=digest_of(folder))
    world.feed(database)
    return f"0x{version.id.hex()}"


@pytest.fixture
def reader(database: Database, store: Faulty, tmp_path: Path) -> Iterator[Reader]:
    with Reader(database, tmp_path, store=store) as opened:
        yield opened


def test_a_file_comes_whole(reader: Reader, root: str, store: Faulty) -> None:
    got = reader.get(f"/v1/versions/{root}/files/in%2Fa%20b.bin")
    assert (got.status, got.body, got.done) == (200, DATA, True)
    assert got.headers["content-length"] == str(len(DATA))
    assert got.headers["content-disposition"] == "attachment; filename*=UTF-8''a%20b.bin"
    assert got.headers["content-type"] == "application/octet-stream"
    assert got.headers["x-content-type-options"] == "nosniff"
    assert "immutable" in got.headers["cache-control"]
    assert got.headers["etag"].strip('"').startswith("b")
    assert max(map(len, got.pieces)) <= 2 * CHUNK


@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-", 10, len(DATA)),
        (f"bytes={CHUNK - 3}-{CHUNK + 2}", CHUNK - 3, CHUNK + 3),
        ("bytes=-7", len(DATA) - 7, len(DATA)),
        ("bytes=5-99999999999", 5, len(DATA)),
    ],
)
def test_a_range_comes_alone(reader: Reader, root: str, header: str, start: int, stop: int) -> None:
    got = reader.get(f"/v1/versions/{root}/files/big", {"range": header})
    assert (got.status, got.body) == (206, DATA[start:stop])
    assert got.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(DATA)}"
    assert got.headers["content-length"] == str(stop - start)


@pytest.mark.parametrize("header", [f"bytes={len(DATA)}-", "bytes=-0", "bytes=99999999999999-"])
def test_a_range_beyond_the_end_is_refused(reader: Reader, root: str, header: str) -> None:
    got = reader.get(f"/v1/versions/{root}/files/big", {"range": header})
    assert (got.status, got.json["code"]) == (416, "range-not-satisfiable")
    assert got.headers["content-range"] == f"bytes */{len(DATA)}"


@pytest.mark.parametrize("header", ["bytes=0-1,3-4", "lines=0-1", "bytes=5-2", "bytes=a-b", "bytes="])
def test_what_is_no_single_range_gives_everything(reader: Reader, root: str, header: str) -> None:
    got = reader.get(f"/v1/versions/{root}/files/big", {"range": header})
    assert (got.status, len(got.body)) == (200, len(DATA))


def test_a_range_of_another_content_gives_everything(reader: Reader, root: str) -> None:
    path = f"/v1/versions/{root}/files/big"
    tag = reader.ask("HEAD", path).headers["etag"]
    assert reader.get(path, {"range": "bytes=0-1", "if-range": tag}).status == 206
    assert reader.get(path, {"range": "bytes=0-1", "if-range": '"other"'}).status == 200
    assert reader.get(path, {"if-none-match": tag}).status == 304


def test_head_tells_the_size(reader: Reader, root: str) -> None:
    got = reader.ask("HEAD", f"/v1/versions/{root}/files/big", {"range": "bytes=0-1"})
    assert (got.status, got.body, got.headers["content-length"]) == (200, b"", str(len(DATA)))


def test_an_empty_file_comes(reader: Reader, root: str) -> None:
    got = reader.get(f"/v1/versions/{root}/files/empty")
    assert (got.status, got.body, got.headers["content-length"]) == (200, b"", "0")


@pytest.mark.parametrize("name", ["nothing", "in", "big%2Fx", "..%2Fbig", "in%2F..%2Fbig", "%2Fbig", "in%2F"])
def test_what_is_no_file_of_the_folder_is_not_found(reader: Reader, root: str, name: str) -> None:
    got = reader.get(f"/v1/versions/{root}/files/{name}")
    assert (got.status, got.json["code"]) == (404, "not-found")


def test_a_false_block_never_leaves(reader: Reader, root: str, store: Faulty, database: Database) -> None:
    first = store.walk(reader.service.audit.version(bytes.fromhex(root[2:])).cid)  # type: ignore[arg-type]
    leaves = [item.cid for item in first if item.size == CHUNK]
    path = f"/v1/versions/{root}/files/big"
    store.false = {leaves[0]}
    got = reader.get(path)
    assert (got.status, got.json["code"]) == (502, "store-false")
    store.false = {leaves[1]}
    from steelyard.api.app import Cut

    with pytest.raises(Cut):
        reader.get(path)
    assert reader.get(f"/v1/blocks/{leaves[1]}").json["code"] == "store-false"
    assert reader.get(path, {"range": "bytes=0-9"}).body == DATA[:10], "what is right still comes"


def test_a_store_that_is_away_is_said_without_its_address(reader: Reader, root: str, store: Faulty) -> None:
    store.gone = True
    got = reader.get(f"/v1/versions/{root}/files/big")
    assert (got.status, got.json["code"]) == (503, "store-unavailable")
    assert "retry-after" in got.headers
    assert "10.0.0.1" not in got.body.decode()


def test_a_folder_that_the_store_does_not_have_is_no_missing_file(reader: Reader, database: Database) -> None:
    world = World()
    world.tick()
    version = world.publish(world.asset("absent"))
    world.feed(database)
    got = reader.get(f"/v1/versions/0x{version.id.hex()}/files/manifest.json")
    assert (got.status, got.json["code"]) == (503, "store-unavailable")


def test_a_block_comes_under_its_name(reader: Reader, store: Faulty) -> None:
    from io import BytesIO

    cid = store.add_file(BytesIO(b"some bytes"))
    got = reader.get(f"/v1/blocks/{cid}")
    assert (got.status, got.body) == (200, b"some bytes")
    assert got.headers["etag"] == f'"{cid}"'
    assert got.headers["content-type"] == "application/vnd.ipld.raw"
    assert reader.get(f"/v1/blocks/{cid}", {"if-none-match": f'"{cid}"'}).status == 304


@pytest.mark.parametrize("cid", ["x", "Qm" + "a" * 44])
def test_a_malformed_name_of_a_block_is_refused(reader: Reader, cid: str) -> None:
    assert reader.get(f"/v1/blocks/{cid}").json["code"] == "bad-parameter"


def test_a_block_that_is_not_here_is_not_fetched_from_elsewhere(reader: Reader) -> None:
    got = reader.get("/v1/blocks/bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku")
    assert (got.status, got.json["code"]) == (404, "not-found")


def test_a_folder_of_more_than_a_version_has_is_not_listed(
    reader: Reader, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "MAX_ENTRIES", 3)
    assert reader.get(f"/v1/versions/{root}/files/big").status == 200
    monkeypatch.setattr(download, "MAX_ENTRIES", 2)
    assert reader.get(f"/v1/versions/{root}/files/big").json["code"] == "store-false"
