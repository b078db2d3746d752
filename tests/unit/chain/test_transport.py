"""HTTP against a server of this process that misbehaves on demand."""

from __future__ import annotations

import gzip
import http.server
import threading
from collections.abc import Callable, Iterator

import pytest

from steelyard.chain import transport as module
from steelyard.chain.transport import HttpTransport, TooLargeError, TransportFault
from steelyard.errors import ConfigError

Handler = http.server.BaseHTTPRequestHandler
Behaviour = Callable[[Handler, bytes], None]


class Server(http.server.ThreadingHTTPServer):
    behaviour: Behaviour
    connections = 0
    seen: list[Handler]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Requests(Handler):
    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.seen.append(self)
        self.server.behaviour(self, body)

    def log_message(self, *_: object) -> None:
        pass


def answer(content: bytes, status: int = 200, **headers: str) -> Behaviour:
    def act(request: Handler, _: bytes) -> None:
        request.send_response(status)
        for name, value in {"content-length": str(len(content)), **headers}.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(content)

    return act


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(("127.0.0.1", 0), Requests)
    made.seen = []
    made.daemon_threads = True
    made.behaviour = lambda request, body: answer(body)(request, body)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture
def transport(server: Server) -> Iterator[HttpTransport]:
    made = HttpTransport(server.url, timeout=5)
    yield made
    made.close()


def test_bodies_come_back_over_one_connection(server: Server, transport: HttpTransport) -> None:
    assert [transport.exchange(body).body for body in (b"one", b"two", b"three")] == [
        b"one",
        b"two",
        b"three",
    ]
    assert server.connections == 1


def test_status_and_pause_are_told(server: Server, transport: HttpTransport) -> None:
    server.behaviour = answer(b"slow down", 429, retry_after="7")
    got = transport.exchange(b"{}")
    assert (got.status, got.body, got.retry_after) == (429, b"slow down", 7.0)


def test_a_kept_connection_that_was_closed_is_replaced(server: Server, transport: HttpTransport) -> None:
    def close_after(request: Handler, body: bytes) -> None:
        answer(body)(request, body)
        request.close_connection = True

    server.behaviour = close_after
    assert transport.exchange(b"1").body == b"1"
    assert transport.exchange(b"2").body == b"2"
    assert server.connections == 2


def test_packed_answers_are_unpacked(server: Server, transport: HttpTransport) -> None:
    server.behaviour = answer(gzip.compress(b"x" * 10_000), content_encoding="gzip")
    assert transport.exchange(b"{}").body == b"x" * 10_000


@pytest.mark.parametrize("content", [b"no gzip", gzip.compress(b"x" * 10_000)[:-9]])
def test_a_badly_packed_answer_is_a_fault(server: Server, transport: HttpTransport, content: bytes) -> None:
    server.behaviour = answer(content, content_encoding="gzip")
    with pytest.raises(TransportFault):
        transport.exchange(b"{}")


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_an_answer_without_end_is_refused(
    server: Server, transport: HttpTransport, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    monkeypatch.setattr(module, "MAX_ANSWER", 1_000)
    content = b"x" * 5_000
    server.behaviour = answer(
        gzip.compress(content) if encoding == "gzip" else content, content_encoding=encoding
    )
    with pytest.raises(TooLargeError):
        transport.exchange(b"{}")


def test_an_answer_that_breaks_off_is_a_fault(server: Server, transport: HttpTransport) -> None:
    def break_off(request: Handler, _: bytes) -> None:
        request.send_response(200)
        request.send_header("content-length", "100")
        request.end_headers()
        request.wfile.write(b"half")
        request.close_connection = True

    server.behaviour = break_off
    with pytest.raises(TransportFault, match="broke off"):
        transport.exchange(b"{}")


def test_a_closed_connection_is_a_fault(server: Server, transport: HttpTransport) -> None:
    server.behaviour = lambda request, _: setattr(request, "close_connection", True)
    with pytest.raises(TransportFault):
        transport.exchange(b"{}")


def test_silence_is_a_fault(server: Server) -> None:
    free = threading.Event()

    def wait(request: Handler, _: bytes) -> None:
        free.wait(10)
        request.close_connection = True

    server.behaviour = wait
    transport = HttpTransport(server.url, timeout=0.05)
    with pytest.raises(TransportFault, match="did not answer within"):
        transport.exchange(b"{}")
    free.set()


def test_a_redirect_is_not_followed(server: Server, transport: HttpTransport) -> None:
    server.behaviour = answer(b"", 307, location=f"{server.url}/else")
    assert transport.exchange(b"{}").status == 307
    assert len(server.seen) == 1


def test_credentials_and_path_are_used_and_never_told(server: Server) -> None:
    transport = HttpTransport(f"http://user:pass%20word@127.0.0.1:{server.server_port}/v3/key?a=b")
    assert transport.exchange(b"{}").status == 200
    (request,) = server.seen
    assert request.path == "/v3/key?a=b"
    assert request.headers["authorization"] == "Basic dXNlcjpwYXNzIHdvcmQ="
    assert transport.name == server.url
    transport.close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8545",
        "ws://127.0.0.1/secret",
        "file:///etc/passwd",
        "http://",
        "http://secret:b",
        "http://secret@",
        "http://a/\r\nx: y",
    ],
)
def test_a_malformed_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        HttpTransport(url)
    assert "secret" not in str(caught.value)
