"""Collecting and checking: what is pinned or being added stays, whoever adds, and whatever is damaged."""

from __future__ import annotations

import fcntl
import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from steelyard.errors import NotFoundError, RefusedError, StoreError, VerificationError
from steelyard.storage import embedded
from steelyard.storage.cid import CID, cid_of, digest_of
from steelyard.storage.dagpb import decode_node
from steelyard.storage.embedded import EmbeddedStore
from steelyard.storage.unixfs import CHUNK
from steelyard.storage.upkeep import check, collect

ABC = cid_of(b"abc")


def _age(store: EmbeddedStore, seconds: float = 2 * 86_400) -> None:
    then = time.time() - seconds
    for _, entry in store.files():
        os.utime(entry.path, (then, then))


def _add(store: EmbeddedStore, pattern: Callable[[int], bytes]) -> CID:
    return store.add_directory({"a": io.BytesIO(b"abc"), "b": io.BytesIO(pattern(CHUNK + 1))})


# -- collecting ----------------------------------------------------------------------------------------------


def test_what_is_pinned_stays_and_the_rest_goes(
    store: EmbeddedStore, pattern: Callable[[int], bytes]
) -> None:
    root = _add(store, pattern)
    store.pin(root)
    loose = store.add_file(io.BytesIO(b"loose"))
    _age(store)
    told: list[tuple[bytes, int]] = []
    done = collect(store, removed=lambda digest, size: told.append((digest, size)))
    assert (done.removed, done.size, done.recent, done.kept) == (1, 5, 0, 5)
    assert told == [(digest_of(loose), 5)] and not store.has(loose)
    assert len(list(store.blocks(root))) == 5
    store.unpin(root)
    assert collect(store).removed == 5 and store.usage() == (0, 0)


def test_a_block_of_two_pins_stays_for_the_second(store: EmbeddedStore) -> None:
    first = store.add_directory({"a": io.BytesIO(b"abc"), "b": io.BytesIO(b"b")})
    second = store.add_directory({"a": io.BytesIO(b"abc")})
    for cid in (first, second):
        store.pin(cid)
    store.unpin(first)
    _age(store)
    assert collect(store).removed == 2
    assert len(list(store.blocks(second))) == 2


def test_what_is_new_stays(store: EmbeddedStore) -> None:
    cid = store.add_file(io.BytesIO(b"abc"))
    done = collect(store)
    assert (done.removed, done.recent) == (0, 1) and store.has(cid)
    assert collect(store, grace=0).removed == 1


def test_adding_a_block_that_is_there_makes_it_new(store: EmbeddedStore) -> None:
    store.add_file(io.BytesIO(b"abc"))
    _age(store)
    store.put_block(ABC, b"abc")
    assert collect(store).recent == 1


def test_a_file_of_another_owner_is_written_again(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_block(ABC, b"abc")
    _age(store)

    def not_owner(*args: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "utime", not_owner)
    store.put_block(ABC, b"abc")
    assert collect(store).recent == 1


def test_a_dry_run_removes_nothing(store: EmbeddedStore) -> None:
    store.add_file(io.BytesIO(b"abc"))
    assert collect(store, grace=0, dry=True).removed == 1
    assert store.has(ABC)


def test_other_files_are_left_alone(store: EmbeddedStore) -> None:
    stray = store.path / "blocks" / "00" / "notes.txt"
    stray.write_text("mine")
    collect(store, grace=0)
    assert stray.exists() and store.usage() == (0, 0)


def test_nothing_is_removed_while_something_is_added(store: EmbeddedStore) -> None:
    with store.adding():
        cid = store.add_file(io.BytesIO(b"abc"))
        _age(store)
        with pytest.raises(RefusedError, match="being added"):
            collect(store, grace=0, wait=0)
        store.pin(cid)
    assert collect(store, grace=0).removed == 0


ADDER = """
import io, os, sys
from steelyard.storage.embedded import EmbeddedStore
store = EmbeddedStore(sys.argv[1])
with store.adding():
    cid = store.add_file(io.BytesIO(b"abc"))
    print("added", flush=True)
    sys.stdin.readline()
    store.pin(cid)
print("pinned", flush=True)
sys.stdin.readline()
"""


def test_another_process_that_adds_is_waited_for_and_a_killed_one_is_not(store: EmbeddedStore) -> None:
    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", ADDER, str(store.path)],
            env=os.environ | {"PYTHONPATH": str(Path(embedded.__file__).parents[2])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None and process.stdout.readline() == "added\n"
        return process

    killed, lives = start(), start()
    try:
        _age(store)
        killed.kill()
        killed.wait()
        with pytest.raises(RefusedError):
            collect(store, grace=0, wait=0)
        assert lives.stdin is not None
        lives.stdin.write("\n")
        lives.stdin.flush()
        assert collect(store, grace=0, wait=60).kept == 1
        assert store.is_pinned(ABC) and store.get_block(ABC) == b"abc"
    finally:
        for process in (killed, lives):
            process.kill()
            process.communicate()


def test_pinning_waits_for_the_collector_and_finds_what_is_left(store: EmbeddedStore) -> None:
    store.add_file(io.BytesIO(b"abc"))
    seen: list[BaseException | None] = []

    def pin() -> None:
        try:
            store.pin(ABC)
            seen.append(None)
        except NotFoundError as exc:
            seen.append(exc)

    thread = threading.Thread(target=pin)

    def during(digest: bytes, size: int) -> None:
        thread.start()
        thread.join(0.2)
        assert thread.is_alive() and not seen  # it waits for the lock

    assert collect(store, grace=0, removed=during).removed == 1
    thread.join()
    assert isinstance(seen[0], NotFoundError) and not store.is_pinned(ABC)


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_a_pin_that_is_not_whole_stops_the_collector(
    store: EmbeddedStore, pattern: Callable[[int], bytes], damage: str
) -> None:
    root = _add(store, pattern)
    store.pin(root)
    store.add_file(io.BytesIO(b"loose"))
    inner = store._block_path(store.resolve(root, "b"))
    if damage == "missing":
        inner.unlink()
    else:
        inner.write_bytes(b"")
    before = store.usage()
    with pytest.raises(VerificationError, match=f"{root} is not whole"):
        collect(store, grace=0)
    assert store.usage() == before


def test_an_error_of_the_disk_is_a_store_error(store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.add_file(io.BytesIO(b"abc"))

    def broken(path: str) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "unlink", broken)
    with pytest.raises(StoreError, match="Input/output"):
        collect(store, grace=0)


# -- checking ------------------------------------------------------------------------------------------------


def test_a_sound_store_is_found_sound(store: EmbeddedStore, pattern: Callable[[int], bytes]) -> None:
    root = _add(store, pattern)
    store.pin(root)
    seen: list[int] = []
    found = check(store, progress=seen.append)
    assert (found.blocks, found.size, found.pins) == (*store.usage(), 1)
    assert found.damaged == () and found.broken == {} and seen[-1] == found.size


def test_damage_and_gaps_are_named(store: EmbeddedStore, pattern: Callable[[int], bytes]) -> None:
    root = _add(store, pattern)
    store.pin(root)
    leaf = decode_node(store.get_block(store.resolve(root, "b"))).links[1].cid
    store._block_path(leaf).unlink()
    store._block_path(ABC).write_bytes(b"abd")
    found = check(store)
    assert found.damaged == (ABC,)
    assert set(found.broken) == {root} and leaf in found.broken[root]


# -- the lock ------------------------------------------------------------------------------------------------


def test_those_who_add_one_after_the_other_do_not_keep_a_collector_out(store: EmbeddedStore) -> None:
    """Two overlap all the time, so that the lock is never free by itself."""
    stop = threading.Event()
    steps = [threading.Event(), threading.Event()]

    def add(number: int) -> None:
        one = EmbeddedStore(store.path)
        while not stop.is_set():
            with one.adding():
                steps[number].set()
                steps[1 - number].wait(0.2)
                steps[1 - number].clear()

    threads = [threading.Thread(target=add, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    try:
        assert collect(store, grace=0, wait=30).kept == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_who_adds_may_add_within_while_a_collector_waits(store: EmbeddedStore) -> None:
    done: list[int] = []
    thread = threading.Thread(target=lambda: done.append(collect(store, grace=0, wait=30).kept))
    with store.adding():
        thread.start()
        while not _is_shut(store):
            time.sleep(0.01)
        store.pin(store.add_file(io.BytesIO(b"abc")))
        assert not done
    thread.join()
    assert done == [1]


def _is_shut(store: EmbeddedStore) -> bool:
    with open(store.path / "gate", "ab") as gate:
        try:
            fcntl.flock(gate, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_a_folder_that_cannot_be_locked_is_a_store_error(store: EmbeddedStore) -> None:
    (store.path / "lock").mkdir()
    with pytest.raises(StoreError, match="cannot lock"), store.adding():
        pass
