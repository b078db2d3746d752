"""Files on their way, and the chunks that they are made of, without a chain."""

from __future__ import annotations

import io
import random
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from steelyard.crypto import merkle
from steelyard.crypto.content import CHUNK_SIZE
from steelyard.crypto.delivery import content_key, key_point
from steelyard.domain import manifest as manifests
from steelyard.domain.manifest import parse_sealed
from steelyard.errors import DigestError, InputError, VerificationError
from steelyard.service.chunks import Chunks, Opened
from steelyard.service.public import PublicFolder
from steelyard.service.sealing import SealedVersion
from steelyard.service.staging import Needed, Stage
from steelyard.storage.base import Store
from steelyard.storage.cid import CID, parse_cid
from steelyard.storage.embedded import EmbeddedStore
from steelyard.storage.gateway import REQUESTS, GatewayStore
from steelyard.storage.server import StoreServer
from tests.unit.service.sealer import market, seal

NAMES = ("a.bin", "b.bin", "c.txt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("model")
    source = random.Random(5)
    for name, size in zip(NAMES, (CHUNK_SIZE + 9, 2 * CHUNK_SIZE, 10), strict=True):
        (made / name).write_bytes(source.randbytes(size))
    return made


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedStore:
    return EmbeddedStore(tmp_path_factory.mktemp("store") / "store")


@pytest.fixture(scope="module")
def sealed(
    store: EmbeddedStore, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SealedVersion]:
    with market(store, tmp_path_factory.mktemp("home")) as seller:
        yield seal(seller, folder)


def public(store: Store, cid: str) -> PublicFolder:
    entries: dict[str, CID] = {link.name: link.cid for link in store.list_directory(cid)}
    manifest = manifests.parse(store.read_file(entries["manifest.json"], max_size=1 << 20))
    return PublicFolder(cid=parse_cid(cid), entries=entries, manifest=manifest)


def opened(store: Store, sealed: SealedVersion, roots: bytes | None = None) -> Opened:
    return Opened(store, public(store, sealed.cid), key=content_key(key_point(sealed.kappa)), roots=roots)


def needed(chunks: Opened, *names: str) -> list[Needed]:
    manifest = chunks.folder.manifest
    digests = parse_sealed(chunks.read(0, manifest.sealed_size), manifest=manifest)
    return [
        Needed(entry=entry, digest=digests[entry.path])
        for entry in manifest.files
        if not names or entry.path in names
    ]


def fetch(stage: Stage, chunks: Opened, items: list[Needed]) -> list[int]:
    """Fetch, and return the chunks that were opened."""
    seen: list[int] = []
    stage.fetch(chunks, items, threads=2, progress=None, opening=lambda chunk: seen.append(chunk.index))
    return seen


def test_files_come_whole_and_the_content_root_is_compared(
    store: EmbeddedStore, sealed: SealedVersion, folder: Path, tmp_path: Path
) -> None:
    stage, chunks = Stage(tmp_path / "stage"), opened(store, sealed)
    items = needed(chunks)
    root, size = sealed.version.content_root, sealed.version.size
    assert fetch(stage, chunks, items[:1]) == [0, 1]
    assert not stage.check_roots(size=size, root=root)
    assert fetch(stage, chunks, items) == [1, 2, 3]
    for item in items:
        assert stage.whole(item.digest).read_bytes() == (folder / item.entry.path).read_bytes()
    assert stage.check_roots(size=size, root=root)
    roots = tmp_path / "stage" / "roots"
    whole = roots.read_bytes()
    roots.write_bytes(whole[:-1])  # as a crash may leave it: not there, rather than wrong
    assert not stage.check_roots(size=size, root=root)
    roots.write_bytes(whole)
    with pytest.raises(DigestError):
        stage.check_roots(size=size, root=bytes(32))
    assert not (tmp_path / "stage").exists()


def test_a_chunk_that_the_chain_does_not_commit_to_is_not_written(
    store: EmbeddedStore, sealed: SealedVersion, tmp_path: Path
) -> None:
    plain = opened(store, sealed)
    roots = [plain.root(index) for index in range(plain.geometry.chunks)]
    assert merkle.root(roots) == sealed.version.content_root
    stage = Stage(tmp_path / "stage")
    roots[2] = bytes(32)
    with pytest.raises(DigestError, match="chunk 2"):
        fetch(stage, opened(store, sealed, b"".join(roots)), needed(plain))
    written = sum(path.stat().st_size for path in (tmp_path / "stage").glob("*.part"))
    assert written <= 2 * CHUNK_SIZE


def test_a_file_with_another_digest_than_the_sealed_one_is_refused(
    store: EmbeddedStore, sealed: SealedVersion, tmp_path: Path
) -> None:
    stage, chunks = Stage(tmp_path / "stage"), opened(store, sealed)
    (item,) = needed(chunks, "c.txt")
    with pytest.raises(DigestError, match="sealed manifest"):
        fetch(stage, chunks, [Needed(entry=item.entry, digest=bytes(32))])
    assert not stage.has(bytes(32)) and not list((tmp_path / "stage").glob("*.part"))


class Counted(EmbeddedStore):
    """Counts how often it is asked for a block."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked: Counter[CID] = Counter()

    def _fetch(self, cid: CID, limit: int) -> bytes:
        self.asked[cid] += 1
        return super()._fetch(cid, limit)


def test_a_gateway_is_asked_for_many_chunks_and_once_for_the_lists(
    store: EmbeddedStore, sealed: SealedVersion, folder: Path, tmp_path: Path
) -> None:
    counted = Counted(store.path)
    with StoreServer(counted) as server, GatewayStore(server.url) as gateway:
        chunks = opened(gateway, sealed)
        assert chunks.workers(2) == REQUESTS and opened(store, sealed).workers(2) == 4
        before = dict(counted.asked)
        stage, items = Stage(tmp_path / "stage"), needed(chunks)
        fetch(stage, chunks, items)
    for item in items:
        assert stage.whole(item.digest).read_bytes() == (folder / item.entry.path).read_bytes()
    for name in ("tags", "leaves"):
        assert counted.asked[chunks.folder.entries[name]] - before[chunks.folder.entries[name]] == 1


@pytest.mark.parametrize("name", ["ciphertext", "tags", "leaves"])
@pytest.mark.parametrize("change", ["longer", "shorter", "folder"])
def test_lists_of_another_length_are_refused(
    store: EmbeddedStore, sealed: SealedVersion, name: str, change: str
) -> None:
    entries: dict[str, CID | io.BytesIO] = dict(public(store, sealed.cid).entries)
    data = store.read_file(entries[name], max_size=1 << 30)  # type: ignore[arg-type]
    if change == "folder":
        entries[name] = parse_cid(sealed.cid)
    else:
        entries[name] = io.BytesIO(data + b"\0" if change == "longer" else data[:-1])
    with pytest.raises(VerificationError):
        Chunks(store, public(store, store.add_directory(entries)))


def test_any_range_of_the_stream_can_be_read(
    store: EmbeddedStore, sealed: SealedVersion, folder: Path
) -> None:
    chunks = opened(store, sealed)
    begin = chunks.folder.manifest.sealed_size
    whole = b"".join((folder / name).read_bytes() for name in NAMES)
    for start, stop in (
        (0, 1),
        (CHUNK_SIZE - 3, CHUNK_SIZE + 3),
        (5, 3 * CHUNK_SIZE),
        (len(whole), len(whole)),
    ):
        assert chunks.read(begin + start, begin + stop) == whole[start:stop]
    for start, stop in ((-1, 2), (3, 2), (0, sealed.version.size + 1)):
        with pytest.raises(InputError):
            chunks.read(start, stop)


# -- ranges ------------------------------------------------------------------------------------------------------


class Meeting(EmbeddedStore):
    """A store as far away as a gateway: a ciphertext's block comes only when several are asked for, or nobody else asks in time."""

    at_once = 4

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked: list[CID] = []
        self.most = 0
        self._waiting = 0
        self._met = threading.Condition()

    def _fetch(self, cid: CID, limit: int) -> bytes:
        data = super()._fetch(cid, limit)
        with self._met:
            self.asked.append(cid)
            self._waiting += 1
            self.most = max(self.most, self._waiting)
            self._met.notify_all()
            self._met.wait_for(lambda: self._waiting > 1, timeout=0.1)
            self._waiting -= 1
        return data


def test_a_range_of_several_chunks_asks_for_them_together(
    store: EmbeddedStore, sealed: SealedVersion, folder: Path
) -> None:
    far = Meeting(store.path)
    chunks = opened(far, sealed)
    size = chunks.geometry.size
    whole = opened(store, sealed).read(0, size)
    assert len(whole) == size > 3 * CHUNK_SIZE
    far.most = 0
    assert chunks.read(0, size) == whole and far.most > 1
    for start, stop in (
        (0, 1),
        (CHUNK_SIZE - 1, CHUNK_SIZE + 1),
        (5, 2 * CHUNK_SIZE),
        (2 * CHUNK_SIZE, size),
        (size - 1, size),
    ):
        assert chunks.read(start, stop) == whole[start:stop]
    far.asked.clear()
    assert chunks.read(7, 7) == chunks.read(size, size) == b"" and far.asked == []


def test_a_range_asks_for_its_own_chunks_only(store: EmbeddedStore, sealed: SealedVersion) -> None:
    far = Meeting(store.path)
    chunks = opened(far, sealed)
    chunks.read(0, 1)
    far.asked.clear()
    far.most = 0
    chunks.read(1, CHUNK_SIZE)
    assert far.asked == []  # the chunk that was read last is still there
    chunks.read(CHUNK_SIZE, CHUNK_SIZE + 1)
    assert len(far.asked) == 1 and far.most == 1
