from __future__ import annotations

import http.server
import io
import json
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from steelyard.crypto.personal import personal_digest, recover_text
from steelyard.crypto.secret import Secret
from steelyard.domain.siwe import parse
from steelyard.errors import ConfigError, NotFoundError, RefusedError, UnavailableError, VerificationError
from steelyard.service.account import Account
from steelyard.service.remote import Remote
from steelyard.storage.embedded import EmbeddedStore

WHO = Account.from_key(Secret(secrets.token_bytes(32)))
CHAIN = 31337


class Server(http.server.ThreadingHTTPServer):
    """A service in miniature. ``script`` answers first, with (status, document, headers); then all goes well."""

    def __init__(self) -> None:
        self.script: list[tuple[int, Any, dict[str, str]]] = []
        self.nonce: dict[str, Any] = {"nonce": "abcdefgh12345678", "chain_id": CHAIN}
        self.asked: list[tuple[str, str]] = []
        self.messages: list[dict[str, str]] = []
        self.tokens: list[str | None] = []
        self.blocks: dict[str, bytes] = {}
        self.missing: list[str] = []
        self.checks = 0
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any, dict[str, str]]:
        if path == "/v1/session/nonce":
            # Another place than the one that was asked: who signs for it could be used there.
            return 201, {**self.nonce, "domain": "evil.example", "uri": "https://evil.example"}, {}
        if path == "/v1/session":
            if method == "POST":
                self.messages.append(json.loads(body))
            return 201, {"token": f"t{len(self.messages)}"}, {}
        if self.script:
            return self.script.pop(0)
        if path == "/v1/uploads":
            return 201, self.state(), {}
        if method == "PUT":
            cid = path.rpartition("/")[2]
            self.blocks[cid] = body
            self.missing = [item for item in self.missing if item != cid]
            return 204, {}, {}
        if path.endswith("/complete"):
            self.checks += 1
            return (202, self.state(), {}) if self.checks < 3 else (200, {"size": 5}, {})
        return 200, self.state(), {}

    def state(self) -> dict[str, Any]:
        return {
            "id": "u",
            "missing": self.missing,
            "stored": sum(map(len, self.blocks.values())),
            "bytes": 10,
            "checked": 1,
        }


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        with self.server.lock:
            self.server.asked.append((self.command, self.path))
            self.server.tokens.append(self.headers.get("authorization"))
            status, document, headers = self.server.answer(self.command, self.path, body)
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        data = b"" if status == 204 else data
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PUT = do_DELETE = do_POST

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def remote(server: Server, waits: list[float]) -> Iterator[Remote]:
    made = Remote(server.url, WHO, chain_id=CHAIN, sleep=waits.append)
    yield made
    made.close()


@pytest.fixture
def store(tmp_path: Path) -> EmbeddedStore:
    return EmbeddedStore(tmp_path / "store")


@pytest.fixture
def cid(store: EmbeddedStore) -> str:
    return store.add_directory({"a": io.BytesIO(b"hello")})


def test_the_message_is_for_the_place_that_was_asked_whatever_that_says(
    server: Server, remote: Remote
) -> None:
    remote.sign_in()
    (sent,) = server.messages
    message = parse(sent["message"])
    assert (message.domain, message.uri) == (server.url.removeprefix("http://"), server.url)
    digest = personal_digest(sent["message"].encode())
    assert recover_text(digest, bytes.fromhex(sent["signature"][2:])) == WHO.address


def test_what_is_missing_is_brought_and_the_check_awaited(
    server: Server, remote: Remote, store: EmbeddedStore, cid: str, waits: list[float]
) -> None:
    blocks = [block.cid for block in store.walk(cid)]
    server.missing = list(blocks)
    assert remote.upload(store, cid) == {"size": 5}
    assert server.blocks == {block: store.get_block(block) for block in blocks}
    assert len(waits) == 2


def test_a_busy_service_is_asked_again_after_the_time_it_names(
    server: Server, remote: Remote, store: EmbeddedStore, cid: str, waits: list[float]
) -> None:
    server.script = [(429, {"code": "too-many-requests"}, {"retry-after": "7"}), (503, {}, {})]
    server.checks = 2
    remote.upload(store, cid)
    assert waits == [7.0, 14.0]


def test_a_service_that_stays_down_is_an_error(
    server: Server, remote: Remote, store: EmbeddedStore, cid: str
) -> None:
    server.script = [(503, {"code": "not-ready", "detail": "later"}, {})] * 20
    with pytest.raises(UnavailableError, match="later"):
        remote.upload(store, cid)


def test_an_ended_session_is_begun_anew(
    server: Server, remote: Remote, store: EmbeddedStore, cid: str
) -> None:
    server.script = [(401, {"code": "session-ended"}, {})]
    server.checks = 2
    remote.upload(store, cid)
    assert len(server.messages) == 2
    assert server.tokens[-1] == "Bearer t2"


@pytest.mark.parametrize(
    ("status", "kind"), [(403, RefusedError), (404, NotFoundError), (413, RefusedError), (302, RefusedError)]
)
def test_a_refusal_is_one_at_once(
    server: Server,
    remote: Remote,
    store: EmbeddedStore,
    cid: str,
    waits: list[float],
    status: int,
    kind: type[Exception],
) -> None:
    server.script = [
        (status, {"code": "no", "detail": "not\x1b[2J you"}, {"location": "http://127.0.0.1:9/"})
    ]
    with pytest.raises(kind) as raised:
        remote.upload(store, cid)
    assert waits == [] and "\x1b" not in str(raised.value)


def test_a_service_that_never_counts_what_it_takes_is_left(
    server: Server, remote: Remote, store: EmbeddedStore, cid: str
) -> None:
    state = {"id": "u", "missing": [cid], "stored": 0}
    server.script = [(201, state, {}), (204, {}, {}), (200, state, {})]
    with pytest.raises(UnavailableError, match="count"):
        remote.upload(store, cid)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        [],
        {"missing": [], "stored": 0},
        {"id": "u", "stored": 0},
        {"id": "u", "missing": [1], "stored": 0},
        {"id": "u", "missing": [], "stored": "0"},
    ],
    ids=lambda answer: repr(answer)[:20],
)
def test_an_answer_that_is_none_is_an_error(
    server: Server, remote: Remote, store: EmbeddedStore, cid: str, answer: Any
) -> None:
    server.script = [(201, answer, {})]
    with pytest.raises(UnavailableError, match="something else"):
        remote.upload(store, cid)


def test_a_refusal_that_is_no_document_is_one_all_the_same(
    server: Server, remote: Remote, store: EmbeddedStore, cid: str, waits: list[float]
) -> None:
    server.script = [(503, b"[" * 100_000, {"retry-after": "\u00b2"}), (403, b"<html>", {})]
    with pytest.raises(RefusedError, match="403"):
        remote.upload(store, cid)
    assert waits == [0.5]


def test_no_block_leaves_that_is_not_of_the_folder(
    server: Server, remote: Remote, store: EmbeddedStore, cid: str
) -> None:
    other = store.add_file(io.BytesIO(b"another matter"))
    server.missing = [other]
    with pytest.raises(VerificationError, match="not of"):
        remote.upload(store, cid)
    assert server.blocks == {}


@pytest.mark.parametrize("nonce", ["", "a\nResources:\n- https://evil.example", "\u00e9" * 8, "a" * 65])
def test_only_a_nonce_is_signed(server: Server, remote: Remote, nonce: str) -> None:
    server.nonce["nonce"] = nonce
    with pytest.raises(RefusedError, match="signature"):
        remote.sign_in()
    assert server.messages == []


def test_another_chain_gets_no_signature(server: Server) -> None:
    remote = Remote(server.url, WHO, chain_id=1)
    with pytest.raises(RefusedError, match="chain"):
        remote.sign_in()
    assert server.messages == []
    remote.close()


@pytest.mark.parametrize(
    "url", ["http://market.example", "ftp://127.0.0.1", "https://u:p@market.example", "market.example", ""]
)
def test_a_service_is_reached_by_https_or_on_this_machine(url: str) -> None:
    with pytest.raises(ConfigError):
        Remote(url, WHO, chain_id=CHAIN)
