"""Several stores as one: all are written, the fastest that proves its bytes is read, and who fails is named."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest

from steelyard.errors import DigestError, InputError, NotFoundError, RefusedError, StoreError
from steelyard.storage.cid import CID, cid_of
from steelyard.storage.embedded import EmbeddedStore
from steelyard.storage.gateway import GatewayStore
from steelyard.storage.kubo import KuboStore
from steelyard.storage.server import StoreServer
from steelyard.storage.several import LONGEST_REST, SeveralStores
from steelyard.storage.unixfs import CHUNK
from steelyard.storage.upkeep import collect
from tests.unit.storage.liar import Answer, liar, says, stalls

ABC = cid_of(b"abc")


@pytest.fixture
def other(tmp_path: Path) -> EmbeddedStore:
    return EmbeddedStore(tmp_path / "other")


class Clock:
    """A clock that is set by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Counting(EmbeddedStore):
    """A store that counts how often it is asked, and takes its time on a clock."""

    asked = 0
    seconds = 0.0
    clock: Clock | None = None

    def _fetch(self, cid: CID, limit: int) -> bytes:
        self.asked += 1
        if self.clock is not None:
            self.clock.now += self.seconds
        return super()._fetch(cid, limit)


def test_everything_is_written_to_all(
    store: EmbeddedStore, other: EmbeddedStore, pattern: Callable[[int], bytes]
) -> None:
    both = SeveralStores([store, other])
    root = both.add_directory({"a": BytesIO(b"abc"), "b": BytesIO(pattern(CHUNK + 1))})
    assert not both.is_pinned(root)
    both.pin(root)
    for one in (store, other):
        assert one.is_pinned(root) and len(list(one.blocks(root))) == 5
    other.unpin(root)
    assert not both.is_pinned(root)
    both.unpin(root)
    both.unpin(root)
    assert not store.is_pinned(root)


def test_a_node_and_a_folder(store: EmbeddedStore, other: EmbeddedStore) -> None:
    with StoreServer(other) as server, SeveralStores([store, KuboStore(server.url)]) as both:
        root = both.add_directory({"a": BytesIO(b"abc")})
        both.pin(root)
    assert store.is_pinned(root) and other.is_pinned(root)


def test_who_does_not_take_a_block_is_named_and_the_others_have_it(store: EmbeddedStore) -> None:
    with SeveralStores([KuboStore("http://127.0.0.1:9"), store]) as both:
        with pytest.raises(StoreError, match="127.0.0.1:9"):
            both.put_block(ABC, b"abc")
        assert store.has(ABC) and both.has(ABC)
        with pytest.raises(StoreError, match="127.0.0.1:9"):
            both.pin(ABC)
        assert store.is_pinned(ABC)


def test_bytes_under_a_wrong_name_reach_no_store(store: EmbeddedStore, other: EmbeddedStore) -> None:
    with pytest.raises(DigestError):
        SeveralStores([store, other]).put_block(ABC, b"abd")
    assert store.usage() == other.usage() == (0, 0)


def test_nothing_to_write_to(store: EmbeddedStore) -> None:
    with pytest.raises(InputError):
        SeveralStores([], [store])


def test_the_collectors_of_all_are_kept_away(store: EmbeddedStore, other: EmbeddedStore) -> None:
    with SeveralStores([store, other]).adding():
        for one in (store, other):
            with pytest.raises(RefusedError):
                collect(one, wait=0)
    collect(store, wait=0)


def test_what_is_elsewhere_is_brought_by_pinning(
    store: EmbeddedStore, other: EmbeddedStore, pattern: Callable[[int], bytes]
) -> None:
    root = other.add_directory({"a": BytesIO(b"abc"), "b": BytesIO(pattern(CHUNK + 1))})
    with StoreServer(other) as server, SeveralStores([store], [GatewayStore(server.url)]) as both:
        assert both.has(root) and not store.has(root)
        assert b"".join(both.stream_file(both.resolve(root, "b"))) == pattern(CHUNK + 1)
        assert store.usage() == (0, 0)  # reading keeps nothing
        both.pin(root)
    assert store.is_pinned(root) and len(list(store.blocks(root))) == 5


# -- reading from those that fail ----------------------------------------------------------------------------


@pytest.fixture
def served(other: EmbeddedStore) -> Iterator[GatewayStore]:
    """An honest gateway that has the block."""
    other.put_block(ABC, b"abc")
    with StoreServer(other) as server:
        yield GatewayStore(server.url, timeout=10)


BAD: dict[str, tuple[Answer, type[Exception]]] = {
    "lies": (says(b"abd"), DigestError),
    "truncates": (says(b"ab", Content_Length="3"), StoreError),
    "answers another block": (says(b"some other block"), DigestError),
    "answers too much": (says(bytes(3 << 20)), DigestError),
    "fails": (says(b"<html>", 502), StoreError),
    "redirects": (says(b"", 302, Location="http://127.0.0.1:9/"), StoreError),
    "lacks it": (says(b"no", 404), NotFoundError),
}


@pytest.mark.parametrize("name", BAD)
def test_the_next_one_is_asked(store: EmbeddedStore, served: GatewayStore, name: str) -> None:
    answer, kind = BAD[name]
    with liar(answer) as url, SeveralStores([store], [GatewayStore(url, timeout=5), served]) as both:
        assert both.get_block(ABC) == b"abc"
        with pytest.raises(kind) as caught:
            SeveralStores([store], [GatewayStore(url, timeout=5)]).get_block(ABC)
        assert url in str(caught.value) and store.name in str(caught.value)


def test_one_that_stalls_is_left_behind(
    store: EmbeddedStore, served: GatewayStore, caplog: pytest.LogCaptureFixture
) -> None:
    released, asked = threading.Event(), list[str]()
    with liar(stalls(released), asked) as url:
        with (
            SeveralStores([store], [GatewayStore(url, timeout=0.3), served]) as both,
            caplog.at_level(logging.WARNING),
        ):
            for _ in range(3):
                assert both.get_block(ABC) == b"abc"
        released.set()
    assert len(asked) == 1
    assert [record.name for record in caplog.records] == ["steelyard.storage"] and url in caplog.text


def test_nobody_has_it(store: EmbeddedStore, served: GatewayStore) -> None:
    gone = cid_of(b"gone")
    with SeveralStores([store], [served]) as both:
        with pytest.raises(NotFoundError) as caught:
            both.get_block(gone)
        assert store.name in str(caught.value) and served.name in str(caught.value)
        assert not both.has(gone)


def test_nobody_answers() -> None:
    with SeveralStores([KuboStore("http://127.0.0.1:9")], [GatewayStore("http://127.0.0.1:10")]) as both:
        for call in (both.get_block, both.has):
            with pytest.raises(StoreError, match="127.0.0.1:9.*127.0.0.1:10"):
                call(ABC)


def test_the_fastest_is_asked(tmp_path: Path) -> None:
    clock = Clock()
    slow, fast = Counting(tmp_path / "slow"), Counting(tmp_path / "fast")
    slow.clock = fast.clock = clock
    slow.seconds, fast.seconds = 2.0, 1.0
    both = SeveralStores([slow, fast], clock=clock)
    both.put_block(ABC, b"abc")
    for _ in range(10):
        both.get_block(ABC)
    assert (slow.asked, fast.asked) == (1, 9)
    fast.seconds = 10.0
    for _ in range(10):
        both.get_block(ABC)
    assert fast.asked < 12 and slow.asked > 8


def test_one_that_failed_is_asked_again_later(tmp_path: Path, store: EmbeddedStore) -> None:
    clock = Clock()
    flaky = Counting(tmp_path / "flaky")
    both = SeveralStores([flaky, store], clock=clock)
    both.put_block(ABC, b"abc")
    flaky._block_path(ABC).write_bytes(b"abd")
    for _ in range(5):
        assert both.get_block(ABC) == b"abc"
    assert flaky.asked == 1
    flaky.put_block(ABC, b"abc")
    clock.now += LONGEST_REST
    for _ in range(5):
        assert both.get_block(ABC) == b"abc"
    assert flaky.asked >= 2
