"""Sealing that is cut off and goes on: nothing is sealed twice but with the same bytes, and nothing is lost."""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from steelyard.crypto.content import CHUNK_SIZE
from steelyard.crypto.stream import SealedChunk, seal_chunk
from steelyard.domain import manifest as manifests
from steelyard.errors import InputError, StoreError
from steelyard.market import Market
from steelyard.service import journal, locks, sealing, source
from steelyard.service.inspect import inspect_folder
from steelyard.storage.cid import CID
from steelyard.storage.embedded import EmbeddedStore
from tests.unit.service.sealer import market, seal

CHUNKS = 6


class Failing(EmbeddedStore):
    """A store that takes so many blocks of a chunk's size and no more."""

    left = 1 << 30

    def _store(self, cid: CID, data: bytes | memoryview) -> None:
        if len(data) == CHUNK_SIZE:
            if self.left == 0:
                raise StoreError("the disk is full")
            self.left -= 1
        super()._store(cid, data)


class Nonces:
    """Notes what each key and nonce sealed."""

    def __init__(self) -> None:
        self.sealed: dict[tuple[bytes, int, bool], bytes] = {}
        self.calls = 0

    def __call__(self, index: int, plaintext: bytes, *, key: object, last: bool) -> SealedChunk:
        self.calls += 1
        return seal_chunk(index, plaintext, key=key, last=last)  # type: ignore[arg-type]

    def stored(self, key: bytes, index: int, last: bool, ciphertext: bytes) -> None:
        """Compare what leaves with what left before under the same key and nonce."""
        digest = hashlib.sha256(ciphertext).digest()
        assert self.sealed.setdefault((key, index, last), digest) == digest


@pytest.fixture(autouse=True)
def no_flushing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here loses power, and disks that are busy take a second for each flush."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def store(tmp_path: Path) -> Failing:
    return Failing(tmp_path / "store")


@pytest.fixture
def seller(store: Failing, tmp_path: Path) -> Iterator[Market]:
    with market(store, tmp_path / "home") as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    made.mkdir()
    data = random.Random(1).randbytes((CHUNKS - 1) * CHUNK_SIZE + 17)
    (made / "a.bin").write_bytes(data[: CHUNK_SIZE + 5])
    (made / "b.bin").write_bytes(data[CHUNK_SIZE + 5 :])
    (made / "c.bin").write_bytes(b"")
    return made


@pytest.fixture
def nonces(monkeypatch: pytest.MonkeyPatch) -> Nonces:
    found = Nonces()
    monkeypatch.setattr(sealing, "seal_chunk", found)
    return found


def interrupt(seller: Market, store: Failing, folder: Path, after: int) -> None:
    store.left = after
    with pytest.raises(StoreError):
        seal(seller, folder)
    store.left = 1 << 30


def test_an_attempt_goes_on_where_it_was(
    seller: Market, store: Failing, folder: Path, nonces: Nonces
) -> None:
    interrupt(seller, store, folder, after=2)
    (path,) = (seller.context.home / "sealing").glob("*.journal")
    salt, there = _journal(path, folder)
    assert there >= 2
    before = nonces.calls
    sealed = seal(seller, folder)
    assert nonces.calls - before == CHUNKS - there
    folder_cid = sealed.cid
    found = manifests.parse(store.read_file(store.resolve(folder_cid, "manifest.json"), max_size=1 << 20))
    assert found.key_salt == salt
    checked = inspect_folder(store, folder_cid)
    assert checked.content_root == sealed.version.content_root and store.is_pinned(folder_cid)
    assert not list((seller.context.home / "sealing").glob("*.journal"))


def _journal(path: Path, folder: Path) -> tuple[bytes, int]:
    """Return the salt, and how many chunks have a record."""
    size = manifests.build(source.collect(folder).files, key_salt=bytes(32))[0].size
    with locks.locked(path) as handle:
        found = journal.SealJournal(handle, size=size)
        return found.salt, sum(found.get(index) is not None for index in range(CHUNKS))


def test_what_was_interrupted_and_edited_takes_another_key(
    seller: Market, store: Failing, folder: Path
) -> None:
    interrupt(seller, store, folder, after=2)
    (folder / "b.bin").write_bytes(b"edited")
    edited = seal(seller, folder)
    (folder / "b.bin").unlink()
    other = seal(seller, folder)
    assert edited.version.key != other.version.key


def test_no_key_and_nonce_ever_seals_two_plaintexts(
    seller: Market, store: Failing, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Failures and edits, also under way and back again; every block that leaves is compared."""
    nonces, kept = Nonces(), (folder / "b.bin").read_bytes()
    put = store.put_block
    sealed: dict[int, tuple[bytes, int, bool]] = {}

    def record(index: int, plaintext: bytes, *, key: object, last: bool) -> SealedChunk:
        part = nonces(index, plaintext, key=key, last=last)
        sealed[id(part.ciphertext.obj)] = (key.reveal(), index, last)  # type: ignore[attr-defined]
        return part

    def leave(cid: str, data: bytes | memoryview, *, hashed: bool = False) -> None:
        if isinstance(data, memoryview):
            nonces.stored(*sealed[id(data.obj)], bytes(data))
        put(cid, data, hashed=hashed)

    monkeypatch.setattr(sealing, "seal_chunk", record)
    monkeypatch.setattr(store, "put_block", leave)
    outcomes: list[str] = []

    change: bytes | None = None

    def meddle(what: str, done: int, total: int) -> None:
        if what == "hash" and done == total and change is not None:
            (folder / "b.bin").write_bytes(change)

    for card in ("# one\n", "# two\n"):
        for left, changed in (
            (1, None),
            (9, b"x" * len(kept)),
            (9, kept[:-1] + b"?"),
            (2, None),
            (0, b"x" * len(kept)),
            (9, None),
        ):
            (folder / "b.bin").write_bytes(kept)
            store.left, change = left, changed
            try:
                seal(seller, folder, progress=meddle, card=card)
            except (InputError, StoreError) as exc:
                outcomes.append(type(exc).__name__)
            else:
                outcomes.append("sealed")
    assert {"InputError", "StoreError", "sealed"} == set(outcomes)
    assert len(nonces.sealed) >= CHUNKS


def test_a_damaged_journal_counts_for_what_is_whole_in_it(
    seller: Market, store: Failing, folder: Path, nonces: Nonces
) -> None:
    interrupt(seller, store, folder, after=4)
    (path,) = (seller.context.home / "sealing").glob("*.journal")
    data = bytearray(path.read_bytes())
    _, there = _journal(path, folder)
    first = next(index for index in range(CHUNKS) if data[_place(index) : _place(index + 1)].strip(b"\0"))
    data[_place(first) + 100] ^= 1
    path.write_bytes(data)
    assert _journal(path, folder)[1] == there - 1
    before = nonces.calls
    assert inspect_folder(store, seal(seller, folder).cid).size
    assert nonces.calls - before == CHUNKS - there + 1
    interrupt(seller, store, folder / "a.bin", after=0)
    (path,) = (seller.context.home / "sealing").glob("*.journal")
    path.write_bytes(path.read_bytes()[:40])  # half a header: another key, and all anew
    assert inspect_folder(store, seal(seller, folder / "a.bin").cid).size


def _place(index: int) -> int:
    return journal._HEADER + index * journal._RECORD


def test_a_block_that_is_gone_is_sealed_again(
    seller: Market, store: Failing, folder: Path, nonces: Nonces
) -> None:
    interrupt(seller, store, folder, after=3)
    (path,) = (seller.context.home / "sealing").glob("*.journal")
    _, there = _journal(path, folder)
    gone = next(path for path in (store.path / "blocks").rglob("*") if path.is_file())
    gone.unlink()
    before = nonces.calls
    assert inspect_folder(store, seal(seller, folder).cid).size
    assert nonces.calls - before == CHUNKS - there + 1


def test_a_change_after_the_hash_is_never_stored(seller: Market, store: Failing, folder: Path) -> None:
    def change(what: str, done: int, total: int) -> None:
        if what == "hash" and done == total:
            data = bytearray((folder / "b.bin").read_bytes())
            data[3 * CHUNK_SIZE] ^= 1
            (folder / "b.bin").write_bytes(data)

    with pytest.raises(InputError, match="changed while it was sealed"):
        seal(seller, folder, progress=change)
    blocks, _ = store.usage()
    assert blocks <= CHUNKS - 1
    with pytest.raises(InputError, match="changes while it is read"):
        seal(seller, folder, progress=lambda what, *_: what == "hash" and _grow(folder / "c.bin"))


def _grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def test_two_at_once_seal_once(store: Failing, folder: Path, tmp_path: Path) -> None:
    def attempt(_: int) -> str:
        with market(store, tmp_path / "home") as own:
            return seal(own, folder).cid

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(attempt, range(4)))) == 1


def test_a_journal_that_cannot_be_written(seller: Market, store: Failing, folder: Path) -> None:
    """A disk that becomes full takes a part first, and says nothing."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40, before[1]))
    try:
        with pytest.raises(InputError, match=r"cannot write .*\.journal: No space left"):
            seal(seller, folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert seal(seller, folder).files == 3


def test_a_dry_run_stores_nothing(seller: Market, store: Failing, folder: Path) -> None:
    before = store.usage()
    sealed = seal(seller.dry_run(), folder)
    assert sealed.version.size > (CHUNKS - 1) * CHUNK_SIZE and sealed.files == 3
    assert store.usage() == before and not (seller.context.home / "sealing").exists()


def test_chunks_of_a_stream_with_a_long_sealed_manifest(folder: Path) -> None:
    """The sealed manifest may fill chunks of its own, and end in the middle of one."""
    files = source.collect(folder)
    for length in (1, CHUNK_SIZE - 1, CHUNK_SIZE, 2 * CHUNK_SIZE + 9):
        sealed = random.Random(length).randbytes(length)
        sizes = [file.size for file in files.files]
        _, marks = source._hash(files.places, sizes, start=length, progress=None)
        plain = source.Plaintext(sealed, source.Input(files=files.files, places=files.places, marks=marks))
        found = []
        for index in range(-(-plain.size // CHUNK_SIZE)):
            clear = plain.chunk(index)
            plain.check(index, clear)
            found.append(clear.data)
            if clear.begin < len(clear.data):
                wrong = clear.data[:-1] + bytes([clear.data[-1] ^ 1])
                with pytest.raises(InputError, match="changed while it was sealed"):
                    plain.check(index, replace(clear, data=wrong))
        assert b"".join(found) == sealed + b"".join(place.read_bytes() for place in files.places)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[0]",
        "[" * 100_000,
        '{"size": Infinity}',
        '{"keySalt": "00"}',
        '{"root": 5}',
        '{"cid": "x"}',
    ],
)
def test_a_damaged_record_counts_as_none(seller: Market, store: Failing, folder: Path, text: str) -> None:
    first = seal(seller, folder)
    (path,) = (seller.context.home / "sealing").glob("*.json")
    if text.startswith("{"):
        text = json.dumps({**json.loads(path.read_text()), **json.loads(text)})
    path.write_text(text)
    assert seal(seller, folder).cid != first.cid


def test_a_card_that_begins_with_a_mark_of_its_order_is_one(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes("\ufeff---\nlicense: mit\n---\n".encode())
    (tmp_path / "a.txt").write_bytes(b"x")
    assert sealing._own_card(source.find(tmp_path)) == "---\nlicense: mit\n---\n"
