"""A gateway as a store to read from: our own, and those that lie."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from pathlib import Path

import pytest

from steelyard.errors import (
    ConfigError,
    DigestError,
    NotFoundError,
    RefusedError,
    StoreError,
)
from steelyard.storage.car import export_car
from steelyard.storage.cid import CID, Codec, cid_of, codec_of
from steelyard.storage.dagpb import MAX_BLOCK
from steelyard.storage.embedded import EmbeddedStore
from steelyard.storage.gateway import REQUESTS, GatewayStore
from steelyard.storage.server import StoreServer
from steelyard.storage.unixfs import CHUNK
from tests.unit.storage.liar import Answer, liar, says, stalls

ABC = cid_of(b"abc")


@pytest.fixture
def gateway(server: StoreServer) -> Iterator[GatewayStore]:
    with GatewayStore(server.url, timeout=10) as connected:
        yield connected


def test_what_we_serve_can_be_read(
    gateway: GatewayStore, store: EmbeddedStore, pattern: Callable[[int], bytes]
) -> None:
    data = pattern(2 * CHUNK + 100)
    root = store.add_directory({"a": BytesIO(b"abc"), "b": BytesIO(data)})
    gateway.probe()
    assert gateway.has(root) and not gateway.has(cid_of(b"gone"))
    assert [link.name for link in gateway.list_directory(root)] == ["a", "b"]
    big = gateway.resolve(root, "b")
    assert b"".join(gateway.stream_file(big)) == data
    assert b"".join(gateway.stream_file(big, offset=CHUNK - 1, length=2)) == data[CHUNK - 1 : CHUNK + 1]
    assert b"".join(export_car(gateway, root)) == b"".join(export_car(store, root))
    with pytest.raises(NotFoundError, match="127.0.0.1"):
        gateway.get_block(cid_of(b"gone"))


class Far(EmbeddedStore):
    """Answers for leaves only to so many requests together."""

    def __init__(self, path: Path, together: int) -> None:
        super().__init__(path)
        self.asked: list[CID] = []
        self._together = threading.Barrier(together)

    def _fetch(self, cid: CID, limit: int) -> bytes:
        if codec_of(cid) is Codec.RAW:
            self.asked.append(cid)
            self._together.wait(30)
        return super()._fetch(cid, limit)


def test_blocks_are_asked_for_ahead_and_come_in_order(store: EmbeddedStore, tmp_path: Path) -> None:
    root = store.add_directory({f"{number:03}": BytesIO(b"%d" % number) for number in range(3 * REQUESTS)})
    with StoreServer(Far(tmp_path / "store", REQUESTS)) as server, GatewayStore(server.url) as gateway:
        assert list(gateway.blocks(root)) == list(store.blocks(root))


def test_nothing_is_asked_for_after_a_failure(store: EmbeddedStore, tmp_path: Path) -> None:
    files = {f"{number:03}": BytesIO(b"%d" % number) for number in range(5 * REQUESTS)}
    root = store.add_directory(files)
    (gone,) = (link.cid for link in store.list_directory(root) if link.name == f"{REQUESTS + 3:03}")
    store._block_path(gone).unlink()
    far = Far(tmp_path / "store", 1)
    read = []
    with StoreServer(far) as server, GatewayStore(server.url) as gateway:
        with pytest.raises(NotFoundError, match=f"127.0.0.1.*{gone}"):
            for name, _ in gateway.blocks(root):
                read.append(name)
        assert len(read) == 1 + REQUESTS + 3
    assert len(far.asked) <= len(read) + REQUESTS + 1


def test_the_largest_block_passes(gateway: GatewayStore, store: EmbeddedStore) -> None:
    block = bytes(MAX_BLOCK)
    store.put_block(cid_of(block), block)
    assert gateway.get_block(cid_of(block)) == block


def test_nothing_can_be_written(gateway: GatewayStore) -> None:
    for call in (
        lambda: gateway.put_block(ABC, b"abc"),
        lambda: gateway.pin(ABC),
        lambda: gateway.unpin(ABC),
    ):
        with pytest.raises(RefusedError, match="only be read"):
            call()
    assert not gateway.is_pinned(ABC)


def test_a_restarted_gateway_is_found_again(store: EmbeddedStore) -> None:
    store.put_block(ABC, b"abc")
    with StoreServer(store) as first:
        gateway = GatewayStore(first.url, timeout=10)
        assert gateway.get_block(ABC) == b"abc"
        port = int(first.url.rpartition(":")[2])
    with StoreServer(store, port=port):
        assert gateway.get_block(ABC) == b"abc"
    gateway.close()


def test_several_threads_share_one(gateway: GatewayStore, store: EmbeddedStore) -> None:
    store.put_block(ABC, b"abc")
    got: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: got.extend(gateway.get_block(ABC) for _ in range(10)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [b"abc"] * 80


def test_no_proxy_is_used(
    gateway: GatewayStore, store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    store.put_block(ABC, b"abc")
    assert gateway.get_block(ABC) == b"abc"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "gateway.example",
        "ftp://a",
        "http://",
        "http://a?b",
        "http://a:x",
        "http://[::1",
        "http://me:pw@a",
    ],
)
def test_malformed_urls_are_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        GatewayStore(url)


def test_a_path_in_front_and_ipfs_behind() -> None:
    asked: list[str] = []
    with liar(says(b"abc"), asked) as url:
        for base in (f"{url}/my/", f"{url}/my/ipfs/", url):
            with GatewayStore(base, timeout=10) as gateway:
                assert gateway.get_block(ABC) == b"abc"
    path = f"/ipfs/{ABC}?format=raw"
    assert asked == [f"/my{path}", f"/my{path}", path]


# -- gateways that lie ---------------------------------------------------------------------------------------


def _get(answer: Answer, *, timeout: float = 10) -> bytes:
    with liar(answer) as url, GatewayStore(url, timeout=timeout) as gateway:
        return gateway.get_block(ABC)


@pytest.mark.parametrize("data", [b"abd", b"", b"abcd", bytes(MAX_BLOCK + 100)])
def test_another_block_is_refused(data: bytes) -> None:
    with pytest.raises(DigestError, match=ABC):
        _get(says(data))


def test_an_endless_answer_is_cut_off() -> None:
    sent = 0

    def endless(handler: BaseHTTPRequestHandler) -> None:
        nonlocal sent
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        while True:
            handler.wfile.write(b"10000\r\n" + bytes(65536) + b"\r\n")
            sent += 65536

    with pytest.raises(DigestError, match="refused without hashing"):
        _get(endless)
    assert sent < 32 * MAX_BLOCK  # what the buffers between us took


def test_a_compressed_answer_is_not_unfolded() -> None:
    with pytest.raises(DigestError):
        _get(says(gzip.compress(b"abc"), Content_Encoding="gzip"))


def test_a_truncated_answer_is_refused() -> None:
    with pytest.raises((StoreError, DigestError)):
        _get(says(b"ab", Content_Length="3"))


def test_silence_and_a_trickle_meet_the_deadline() -> None:
    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        for _ in range(1000):
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.02)

    with pytest.raises(StoreError, match="cut off"):
        _get(trickle, timeout=0.3)
    released = threading.Event()
    with pytest.raises(StoreError, match="127.0.0.1"):
        try:
            _get(stalls(released), timeout=0.3)
        finally:
            released.set()


def test_a_redirect_is_not_followed() -> None:
    with pytest.raises(StoreError, match="307"):
        _get(says(b"", 307, Location="http://127.0.0.1:9/"))


@pytest.mark.parametrize("status", [404, 410, 412, 451])
def test_absence(status: int) -> None:
    with pytest.raises(NotFoundError, match=str(status)):
        _get(says(b"no", status))
    with liar(says(b"", status)) as url, GatewayStore(url, timeout=10) as gateway:
        assert not gateway.has(ABC)


@pytest.mark.parametrize("status", [206, 400, 406, 429, 500, 502, 504])
def test_an_error_page_is_a_store_error(status: int) -> None:
    with pytest.raises(StoreError, match=str(status)):
        _get(says(b"<html>no</html>", status))
    with liar(says(b"", status)) as url, GatewayStore(url, timeout=10) as gateway:
        with pytest.raises(StoreError):
            gateway.has(ABC)
        with pytest.raises(StoreError, match="trustless"):
            gateway.probe()


def test_nobody_there_is_a_store_error() -> None:
    with GatewayStore("http://127.0.0.1:9", timeout=5) as absent:
        for call in (absent.get_block, absent.has):
            with pytest.raises(StoreError, match="127.0.0.1:9"):
                call(ABC)
