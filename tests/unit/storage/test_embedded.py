from __future__ import annotations

import hashlib
import io
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from steelyard.errors import (
    ConfigError,
    DigestError,
    InputError,
    NotFoundError,
    StoreError,
    VerificationError,
)
from steelyard.storage import embedded
from steelyard.storage.cid import CID, Codec, cid_of
from steelyard.storage.dagpb import MAX_BLOCK
from steelyard.storage.embedded import EmbeddedStore
from steelyard.storage.unixfs import CHUNK, import_file

BACKEND = Path(embedded.__file__).parents[2]


def _path(store: EmbeddedStore, cid: str) -> Path:
    return store._block_path(CID(cid))


# -- blocks ----------------------------------------------------------------------------------------------------------


def test_a_block_comes_back(store: EmbeddedStore) -> None:
    cid = cid_of(b"abc")
    assert not store.has(cid)
    store.put_block(cid, b"abc")
    assert store.has(cid) and store.get_block(cid) == b"abc"


def test_a_missing_block_is_named(store: EmbeddedStore) -> None:
    with pytest.raises(NotFoundError, match=cid_of(b"abc")):
        store.get_block(cid_of(b"abc"))


def test_bytes_under_a_wrong_name_are_not_stored(store: EmbeddedStore) -> None:
    with pytest.raises(DigestError):
        store.put_block(cid_of(b"abc"), b"abd")
    assert not store.has(cid_of(b"abc"))


def test_the_limit_of_a_block(store: EmbeddedStore) -> None:
    largest = bytes(MAX_BLOCK)
    store.put_block(cid_of(largest), largest)
    assert store.get_block(cid_of(largest)) == largest
    with pytest.raises(InputError, match="limit"):
        store.put_block(cid_of(largest + b"x"), largest + b"x")


@pytest.mark.parametrize(
    "damage",
    [b"", b"ab", b"abd", b"abcd", bytes(MAX_BLOCK + 2)],
    ids=["empty", "cut", "changed", "grown", "huge"],
)
def test_a_damaged_block_is_never_returned_and_writing_mends_it(store: EmbeddedStore, damage: bytes) -> None:
    cid = cid_of(b"abc")
    store.put_block(cid, b"abc")
    _path(store, cid).write_bytes(damage)
    with pytest.raises(DigestError):
        store.get_block(cid)
    store.put_block(cid, b"abc")
    assert store.get_block(cid) == b"abc"


@pytest.mark.parametrize("text", ["../../etc/passwd", "", "Qm" + "a" * 44])
def test_a_name_that_is_no_cid_never_reaches_the_disk(store: EmbeddedStore, text: str) -> None:
    for call in (store.get_block, store.has, store.pin, store.unpin, store.is_pinned, store.file_size):
        with pytest.raises(InputError):
            call(text)


def test_an_error_of_the_disk_is_a_store_error(store: EmbeddedStore) -> None:
    cid = cid_of(b"abc")
    _path(store, cid).mkdir()
    with pytest.raises(StoreError, match=cid):
        store.get_block(cid)


def test_nothing_stays_in_tmp(store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.add_file(io.BytesIO(b"abc"))

    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StoreError, match="No space"):
        store.add_file(io.BytesIO(b"abcd"))
    assert list((store.path / "tmp").iterdir()) == []


def test_a_swept_temporary_file_is_written_again(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def swept(source: Path, target: Path) -> None:
        monkeypatch.setattr(os, "replace", replace)
        source.unlink()
        replace(source, target)

    monkeypatch.setattr(os, "replace", swept)
    assert store.get_block(store.add_file(io.BytesIO(b"abc"))) == b"abc"


def test_a_block_that_is_swept_twice_is_not_told_as_stored(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swept(source: Path, target: Path) -> None:
        source.unlink()
        raise FileNotFoundError(2, "No such file or directory", str(source))

    monkeypatch.setattr(os, "replace", swept)
    with pytest.raises(StoreError, match="storing block"):
        store.put_block(cid_of(b"abc"), b"abc")


@pytest.mark.parametrize("text", ["", "ab" * 31, "ab" * 33, "x" * 64, "\u0661" * 64])
def test_an_identity_that_is_none_is_told(store: EmbeddedStore, text: str) -> None:
    (store.path / "identity").write_text(text, "utf-8")
    with pytest.raises(StoreError, match="identity"):
        store.identity()


# -- files and directories -------------------------------------------------------------------------------------------


def test_the_vectors(store: EmbeddedStore, vectors: dict[str, str], pattern: Callable[[int], bytes]) -> None:
    for size, cid in vectors.items():
        if size.isdecimal():
            assert store.add_file(io.BytesIO(pattern(int(size)))) == cid
            assert b"".join(store.stream_file(cid)) == pattern(int(size))
            assert store.file_size(cid) == int(size)
    root = store.add_directory({"b.bin": io.BytesIO(pattern(1048577)), "a.txt": CID(vectors["11"])})
    assert root == vectors["dir"]
    assert [link.name for link in store.list_directory(root)] == ["a.txt", "b.bin"]
    assert store.resolve(root, "b.bin") == vectors["1048577"]
    assert store.is_directory(root) and not store.is_directory(vectors["11"])


def test_a_file_of_leaves_that_are_there(store: EmbeddedStore, pattern: Callable[[int], bytes]) -> None:
    for size in (5, CHUNK, 3 * CHUNK + 5):
        data = pattern(size)
        parts = [data[at : at + CHUNK] for at in range(0, size, CHUNK)]
        for part in parts:
            store.put_block(cid_of(part), part)
        root = store.link_file([(cid_of(part), len(part)) for part in parts])
        assert root == store.add_file(io.BytesIO(data))
    with pytest.raises(InputError, match="needs a leaf"):
        store.link_file([])


def test_a_bad_name_is_found_before_anything_is_stored(store: EmbeddedStore) -> None:
    with pytest.raises(InputError):
        store.add_directory({"a": io.BytesIO(b"abc"), "../b": io.BytesIO(b"d")})
    assert store.usage() == (0, 0)


def test_read_file_is_bounded_by_the_caller(store: EmbeddedStore) -> None:
    cid = store.add_file(io.BytesIO(b"abcdef"))
    assert store.read_file(cid, max_size=6) == b"abcdef"
    assert store.read_file(cid, max_size=2, offset=3, length=2) == b"de"
    with pytest.raises(VerificationError, match="at most 5"):
        store.read_file(cid, max_size=5)


def test_a_file_object_reads_and_seeks(store: EmbeddedStore, pattern: Callable[[int], bytes]) -> None:
    data = pattern(2 * CHUNK + 100)
    with store.open_file(store.add_file(io.BytesIO(data))) as file:
        assert file.read(10) == data[:10]
        file.seek(CHUNK - 5)
        assert file.read(10) == data[CHUNK - 5 : CHUNK + 5]
        file.seek(-3, os.SEEK_END)
        assert file.read() == data[-3:]
        with pytest.raises(InputError, match="cannot seek"):
            file.seek(-1 - len(data), os.SEEK_END)
        file.seek(0)
        assert file.read() == data


def test_a_walk_finds_a_damaged_leaf(store: EmbeddedStore, pattern: Callable[[int], bytes]) -> None:
    cid = store.add_file(io.BytesIO(pattern(CHUNK + 1)))
    assert len(list(store.walk(cid))) == 3
    leaf = cid_of(pattern(CHUNK))
    _path(store, leaf).write_bytes(bytes(CHUNK))
    with pytest.raises(DigestError, match=leaf):
        list(store.walk(cid))


def test_a_walk_has_an_end(store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    cid = store.add_directory({name: io.BytesIO(b"same") for name in "abc"})
    monkeypatch.setattr("steelyard.storage.base.MAX_WALK", 2)
    assert len(list(store.walk(cid))) == 2
    with pytest.raises(VerificationError, match="more than 2 blocks"):
        list(store.blocks(cid, repeat=True))


# -- pins ------------------------------------------------------------------------------------------------------------


def test_a_pin_comes_and_goes(store: EmbeddedStore) -> None:
    cid = store.add_directory({"a": io.BytesIO(b"abc")})
    assert not store.is_pinned(cid)
    store.pin(cid)
    store.pin(cid)
    assert store.is_pinned(cid) and list(store.pins()) == [cid]
    assert EmbeddedStore(store.path).is_pinned(cid)
    store.unpin(cid)
    store.unpin(cid)
    assert not store.is_pinned(cid) and list(store.pins()) == []


@pytest.mark.parametrize("missing", range(3))
def test_an_incomplete_dag_is_not_pinned(
    store: EmbeddedStore, pattern: Callable[[int], bytes], missing: int
) -> None:
    blocks = list(import_file(io.BytesIO(pattern(CHUNK + 1))))
    for number, block in enumerate(blocks):
        if number != missing:
            store.put_block(block.cid, block.data)
    with pytest.raises(NotFoundError, match=blocks[missing].cid):
        store.pin(blocks[-1].cid)
    assert not store.is_pinned(blocks[-1].cid)


def test_a_cut_leaf_is_not_pinned(store: EmbeddedStore, pattern: Callable[[int], bytes]) -> None:
    cid = store.add_file(io.BytesIO(pattern(CHUNK + 1)))
    _path(store, cid_of(pattern(CHUNK))).write_bytes(b"half")
    with pytest.raises(VerificationError, match="4 bytes"):
        store.pin(cid)
    assert not store.is_pinned(cid)


def test_a_malformed_node_is_not_pinned(store: EmbeddedStore) -> None:
    cid = cid_of(b"\xff", codec=Codec.DAG_PB)
    store.put_block(cid, b"\xff")
    with pytest.raises(VerificationError):
        store.pin(cid)


# -- the folder ------------------------------------------------------------------------------------------------------


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(ConfigError, match="neither empty nor a store"):
        EmbeddedStore(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_later_format_is_refused(store: EmbeddedStore) -> None:
    (store.path / "format").write_text("steelyard-store 2\n")
    with pytest.raises(ConfigError, match="steelyard-store 2"):
        EmbeddedStore(store.path)


def test_a_half_created_folder_is_completed(tmp_path: Path) -> None:
    (tmp_path / "blocks" / "00").mkdir(parents=True)
    store = EmbeddedStore(tmp_path)
    assert store.get_block(store.add_file(io.BytesIO(b"abc"))) == b"abc"


def test_only_old_temporary_files_are_swept(store: EmbeddedStore) -> None:
    old, new = store.path / "tmp" / "old", store.path / "tmp" / "new"
    for file in (old, new):
        file.write_bytes(b"half")
    os.utime(old, (0, 0))
    EmbeddedStore(store.path)
    assert new.exists() and not old.exists()


# -- kill -9 ---------------------------------------------------------------------------------------------------------

WRITER = """
import io, os, sys
from steelyard.storage.embedded import EmbeddedStore
store = EmbeddedStore(sys.argv[1])
print("ready", flush=True)
while True:
    with store.adding():
        cid = store.add_directory({"f": io.BytesIO(os.urandom((1 << 20) + 4096)), "g": io.BytesIO(b"same")})
        store.pin(cid)
    print(cid, flush=True)
"""
COLLECTOR = """
import sys, time
from steelyard.errors import RefusedError
from steelyard.storage.embedded import EmbeddedStore
from steelyard.storage.upkeep import collect
store = EmbeddedStore(sys.argv[1])
print("ready", flush=True)
while True:
    try:
        print("collected", collect(store, grace=0, wait=5).removed, flush=True)
    except RefusedError:
        pass
    time.sleep(0.02)
"""


def test_kill_at_random_leaves_every_pinned_byte_readable(tmp_path: Path) -> None:
    """Two writers and a collector without grace share the folder; they are killed in the middle of whatever they do."""
    path = tmp_path / "store"
    environment = os.environ | {"PYTHONPATH": str(BACKEND)}
    chance = random.Random(20261121)
    reported: set[str] = set()
    runs = 0

    def start(program: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", program, str(path)]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    def end(process: subprocess.Popen[str]) -> None:
        nonlocal runs

        process.send_signal(signal.SIGKILL)
        out, _ = process.communicate()
        reported.update(line for line in out.splitlines() if len(line) == 59)
        runs += out.count("collected ")

    other, collector = start(WRITER), start(COLLECTOR)
    try:
        for turn in range(10):
            process = start(WRITER)
            time.sleep(chance.uniform(0.0, 0.1))
            end(process)
            if turn % 3 == 2:
                end(collector)
                collector = start(COLLECTOR)
    finally:
        end(other)
        end(collector)
    assert runs > 0, "the collector never got in"

    store = EmbeddedStore(path)
    pins = set(store.pins())
    assert reported and reported <= pins
    for pin in pins:
        assert len(list(store.walk(pin))) == 5
    for file in (path / "blocks").glob("*/*"):
        assert hashlib.sha256(file.read_bytes()).hexdigest() == file.name
