"""The Kubo adapter: against our own server, against servers that lie, and against Kubo itself where it is installed."""

from __future__ import annotations

import gzip
import io
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from steelyard.errors import ConfigError, DigestError, NotFoundError, StoreError
from steelyard.storage import kubo
from steelyard.storage.cid import CID, cid_of
from steelyard.storage.embedded import EmbeddedStore
from steelyard.storage.kubo import MAX_ANSWER, KuboStore
from steelyard.storage.server import StoreServer
from steelyard.storage.unixfs import CHUNK
from tests.support.kubo import running

ABC = cid_of(b"abc")


@pytest.fixture
def remote(server: StoreServer) -> Iterator[KuboStore]:
    with KuboStore(server.url, timeout=10) as connected:
        yield connected


def _exercise(remote: KuboStore, vectors: dict[str, str], pattern: Callable[[int], bytes]) -> None:
    """What every node must do."""
    assert remote.version()
    for size, cid in vectors.items():
        if size.isdecimal():
            assert remote.add_file(io.BytesIO(pattern(int(size)))) == cid
            assert b"".join(remote.stream_file(cid)) == pattern(int(size))
    root = remote.add_directory({"a.txt": CID(vectors["11"]), "b.bin": CID(vectors["1048577"])})
    assert root == vectors["dir"]
    assert (
        b"".join(remote.stream_file(remote.resolve(root, "b.bin"), offset=CHUNK))
        == pattern(CHUNK + 1)[CHUNK:]
    )
    assert remote.has(root) and not remote.has(ABC)
    assert not remote.is_pinned(root)
    remote.pin(root)
    assert remote.is_pinned(root) and not remote.is_pinned(vectors["11"])
    remote.unpin(root)
    remote.unpin(root)
    assert not remote.is_pinned(root)


def test_our_own_server(remote: KuboStore, vectors: dict[str, str], pattern: Callable[[int], bytes]) -> None:
    _exercise(remote, vectors, pattern)


def test_what_it_stores_is_in_the_store_behind(remote: KuboStore, store: EmbeddedStore) -> None:
    cid = remote.add_directory({"a": io.BytesIO(b"abc")})
    remote.pin(cid)
    assert store.is_pinned(cid) and store.get_block(ABC) == b"abc"


def test_missing_blocks_are_not_found(remote: KuboStore) -> None:
    with pytest.raises(NotFoundError, match=ABC):
        remote.get_block(ABC)
    with pytest.raises(NotFoundError, match=ABC):
        remote.pin(ABC)


def test_several_threads_share_one_store(remote: KuboStore) -> None:
    failures: list[Exception] = []

    def work(number: int) -> None:
        try:
            for i in range(10):
                data = f"{number} {i}".encode()
                assert remote.get_block(remote.add_file(io.BytesIO(data))) == data
        except Exception as exc:  # noqa: BLE001  # every failure is reported below
            failures.append(exc)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_nobody_there_is_a_store_error() -> None:
    with KuboStore("http://127.0.0.1:9", timeout=5) as absent:
        for call in (absent.get_block, absent.has, absent.pin, absent.unpin, absent.is_pinned):
            with pytest.raises(StoreError, match="127.0.0.1:9"):
                call(ABC)


def test_a_restarted_node_is_found_again(store: EmbeddedStore) -> None:
    store.put_block(ABC, b"abc")
    with StoreServer(store) as first:
        remote = KuboStore(first.url, timeout=10)
        assert remote.get_block(ABC) == b"abc"
        port = int(first.url.rpartition(":")[2])
    with StoreServer(store, port=port):
        assert remote.get_block(ABC) == b"abc"
    remote.close()


def test_no_proxy_is_used(remote: KuboStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert remote.get_block(remote.add_file(io.BytesIO(b"abc"))) == b"abc"


@pytest.mark.parametrize(
    ("url", "address", "auth"),
    [
        ("http://127.0.0.1:5001", "/ip4/127.0.0.1/tcp/5001/http", None),
        ("http://[::1]:5001/api/v0/", "/ip6/::1/tcp/5001/http", None),
        ("https://kubo.example", "/dns/kubo.example/tcp/443/https", None),
        ("https://me:p%40ss@kubo.example:8", "/dns/kubo.example/tcp/8/https", ("me", "p@ss")),
    ],
)
def test_endpoints_are_read(url: str, address: str, auth: tuple[str, str] | None) -> None:
    assert kubo._parse_endpoint(url)[:2] == (address, auth)


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:5001", "ftp://a", "http://", "http://a/x", "http://a?b", "http://a:x", "http://[::1"],
)
def test_malformed_endpoints_are_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        KuboStore(url)


def test_the_password_is_in_no_message() -> None:
    with KuboStore("http://me:canary@127.0.0.1:9") as absent, pytest.raises(StoreError) as caught:
        absent.has(ABC)
    assert "canary" not in str(caught.value)


# -- servers that lie ------------------------------------------------------------------------------------------------


@contextmanager
def _liar(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length")
            if length is not None:
                self.rfile.read(int(length))
            self.close_connection = True
            try:
                answer(self)
            except OSError:
                return

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _says(data: bytes, status: int = 200, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in ({"Content_Length": str(len(data))} | headers).items():
            if value:
                handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def _get(answer: Callable[[BaseHTTPRequestHandler], None], *, timeout: float = 10) -> bytes:
    with _liar(answer) as url, KuboStore(url, timeout=timeout) as remote:
        return remote.get_block(ABC)


def test_an_honest_answer_passes() -> None:
    assert _get(_says(b"abc")) == b"abc"


def test_another_block_is_refused() -> None:
    with pytest.raises(DigestError, match=ABC):
        _get(_says(b"abd"))


def test_an_answer_that_is_too_long_is_cut_off() -> None:
    with pytest.raises(StoreError, match="cut off"):
        _get(_says(bytes(MAX_ANSWER + 1)))


def test_an_endless_answer_is_cut_off() -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        while True:
            handler.wfile.write(b"10000\r\n" + bytes(65536) + b"\r\n")

    with pytest.raises(StoreError, match="cut off"):
        _get(endless)


def test_a_compressed_answer_is_not_unfolded() -> None:
    with pytest.raises(DigestError):
        _get(_says(gzip.compress(b"abc"), Content_Encoding="gzip"))


def test_a_truncated_answer_is_refused() -> None:
    with pytest.raises(StoreError):
        _get(_says(b"ab", Content_Length="3"))


def test_a_trickle_meets_the_deadline() -> None:
    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        for _ in range(1000):
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.02)

    with pytest.raises(StoreError, match="no complete answer"):
        _get(trickle, timeout=0.3)


def test_a_redirect_is_not_followed() -> None:
    with pytest.raises(StoreError, match="redirect"):
        _get(_says(b"", 307, Location="http://127.0.0.1:9/"))


@pytest.mark.parametrize("status", [403, 404, 429, 500, 502])
def test_an_error_page_is_a_store_error(status: int) -> None:
    with pytest.raises(StoreError):
        _get(_says(b"<html>no</html>", status))


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"1", b"null", b"{}", b'{"Key": 1}', b"\xff", b'{"Key": "x"}']
)
def test_nonsense_after_a_put_is_a_store_error(data: bytes) -> None:
    with _liar(_says(data)) as url, KuboStore(url) as remote, pytest.raises(StoreError):
        remote._store(ABC, b"abc")


@pytest.mark.parametrize("status", [200, 500])
def test_deep_json_is_refused_whatever_the_recursion_limit(status: int) -> None:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    try:
        with _liar(_says(b"[" * 40_000, status)) as url, KuboStore(url, timeout=10) as store:
            for call in (store.has, store.pin, store.is_pinned):
                with pytest.raises(StoreError, match="nested too deeply"):
                    call(ABC)
    finally:
        sys.setrecursionlimit(before)


@pytest.mark.parametrize("pinned", [True, False])
def test_a_pin_that_a_node_keeps_is_not_told_as_gone(pinned: bool) -> None:
    keys = {ABC: {"Type": "recursive"}} if pinned else {}

    def node(handler: BaseHTTPRequestHandler) -> None:
        if "/pin/rm" in handler.path:
            _says(b'{"Message": "no", "Code": 0, "Type": "error"}', 500)(handler)
        else:
            _says(json.dumps({"Keys": keys}).encode())(handler)

    kept = pytest.raises(StoreError, match="unpinning") if pinned else nullcontext()
    with _liar(node) as url, KuboStore(url, timeout=10) as store, kept:
        store.unpin(ABC)


def test_a_block_of_brackets_is_a_block() -> None:
    block = b"[" * 40_000
    with _liar(_says(block)) as url, KuboStore(url, timeout=10) as store:
        assert store.get_block(cid_of(block)) == block


def test_a_block_stored_under_another_name_is_an_error() -> None:
    answer = json.dumps({"Key": cid_of(b"abd"), "Size": 3}).encode()
    with (
        _liar(_says(answer)) as url,
        KuboStore(url) as remote,
        pytest.raises(StoreError, match="another name"),
    ):
        remote._store(ABC, b"abc")


# -- Kubo itself -----------------------------------------------------------------------------------------------------


def test_kubo_itself(tmp_path: Path, vectors: dict[str, str], pattern: Callable[[int], bytes]) -> None:
    with running(tmp_path) as node, KuboStore(node.rpc) as remote:
        _exercise(remote, vectors, pattern)
