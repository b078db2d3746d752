"""A real socket: what comes before a request is there is bounded, in size, time and number."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from steelyard.api.endpoints import application
from steelyard.api.protocol import write_whole
from steelyard.api.server import Server, listen, url_of
from steelyard.api.service import Limits, Options
from steelyard.errors import ConfigError
from steelyard.indexer.database import open_database
from tests.unit.api.reading import Reader

PLACE = tuple[str, int]


@contextmanager
def serving(folder: Path, limits: Limits) -> Iterator[PLACE]:
    database = open_database(folder / "index.sqlite")
    with Reader(database, folder, options=Options(limits=limits)) as reader:
        opened = listen("127.0.0.1:0")
        place: PLACE = opened.getsockname()
        assert url_of(opened) == f"http://127.0.0.1:{place[1]}"
        server = Server(application(reader.service), sockets=[opened], limits=limits)
        thread = threading.Thread(target=server.serve_until_stopped)
        thread.start()
        try:
            yield place
        finally:
            while not server.started:
                time.sleep(0.01)
            server.stop()
            thread.join()
    database.close()


@pytest.fixture
def serve(tmp_path: Path) -> Callable[..., object]:
    return lambda **limits: serving(tmp_path, Limits(per_minute=0, **limits))


def talk(place: PLACE, data: bytes) -> bytes:
    """Send bytes, and return all that comes until the other side closes."""
    with socket.create_connection(place, timeout=30) as connection:
        connection.sendall(data)
        return rest(connection)


def rest(connection: socket.socket) -> bytes:
    found = b""
    try:
        while piece := connection.recv(65_536):
            found += piece
    except ConnectionResetError:
        pass  # it closed while we were sending
    return found


def code(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    return int(head.split()[1]), json.loads(body)["code"]


def test_a_connection_is_kept_and_requests_may_be_sent_ahead(serve: Callable[..., object]) -> None:
    with serve() as place:  # type: ignore[attr-defined]
        one = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
        last = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        found = talk(place, one + one + last)
        assert found.count(b"HTTP/1.1 200") == found.count(b'{"status":"ok"}') == 3
        assert b"server:" not in found.lower()


def _parsed(answer: bytes) -> tuple[bytes, dict[bytes, bytes], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    headers = dict(line.split(b": ", 1) for line in lines)
    headers.pop(b"date", None)
    return first, headers, body


def test_an_answer_that_is_written_at_once_is_the_one_that_asgi_writes(serve: Callable[..., object]) -> None:
    # The last answer of a connection goes through uvicorn, the one before it does not.
    with serve() as place:  # type: ignore[attr-defined]
        one = b"GET /v1 HTTP/1.1\r\nhost: x\r\n\r\n"
        last = one.replace(b"x\r\n", b"x\r\nconnection: close\r\n")
        found = talk(place, one + last)
        at = found.rindex(b"HTTP/1.1")
        first, headers, body = _parsed(found[at:])
        assert headers.pop(b"connection") == b"close"
        assert b"date: " in found[:at] and _parsed(found[:at]) == (first, headers, body)
        assert {b"content-security-policy", b"etag", b"content-length"} < headers.keys()


def test_only_whole_answers_of_open_connections_are_written_at_once() -> None:
    def cycle(**more: object) -> SimpleNamespace:
        kept: dict[str, object] = {
            "response_started": False,
            "disconnected": False,
            "keep_alive": True,
            "flow": SimpleNamespace(write_paused=False),
        }
        return SimpleNamespace(**(kept | more))

    for given, value in (
        (cycle(response_started=True), "x"),
        (cycle(disconnected=True), "x"),
        (cycle(keep_alive=False), "x"),
        (cycle(flow=SimpleNamespace(write_paused=True)), "x"),
        (cycle(), "x\r\ny: z"),
    ):
        assert not write_whole(given, 200, b"", {"x": value}, b"")  # type: ignore[arg-type]  # as much of a cycle as is looked at


def test_what_is_not_http_is_refused(serve: Callable[..., object]) -> None:
    with serve() as place:  # type: ignore[attr-defined]
        assert code(talk(place, b"nonsense\r\n\r\n")) == (400, "bad-parameter")


@pytest.mark.parametrize("complete", [True, False])
def test_headers_are_bounded(serve: Callable[..., object], complete: bool) -> None:
    with serve(header=1000) as place:  # type: ignore[attr-defined]
        head = b"GET /healthz HTTP/1.1\r\nhost: x\r\nx: " + b"a" * 1000
        assert code(talk(place, head + b"\r\n\r\n" * complete)) == (431, "headers-too-large")


def test_a_request_line_is_bounded(serve: Callable[..., object]) -> None:
    with serve(header=1000) as place:  # type: ignore[attr-defined]
        assert code(talk(place, b"GET /" + b"a" * 2000 + b" HTTP/1.1\r\n\r\n")) == (431, "headers-too-large")


def test_a_head_that_does_not_end_is_ended(serve: Callable[..., object]) -> None:
    with serve(seconds=0.2) as place:  # type: ignore[attr-defined]
        assert code(talk(place, b"GET /healthz HTTP/1.1\r\nhost")) == (408, "timeout")


def test_who_says_nothing_is_let_go(serve: Callable[..., object]) -> None:
    with serve(seconds=0.2) as place:  # type: ignore[attr-defined]
        assert talk(place, b"") == b""


def test_a_second_head_that_does_not_end_is_ended_too(serve: Callable[..., object]) -> None:
    with serve(seconds=0.2) as place:  # type: ignore[attr-defined]
        found = talk(place, b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\nGET /heal")
        first, _, second = found.partition(b'{"status":"ok"}')
        assert first.startswith(b"HTTP/1.1 200")
        assert code(second) == (408, "timeout")


def test_connections_are_bounded(serve: Callable[..., object]) -> None:
    with serve(connections=1) as place, socket.create_connection(place, timeout=30) as first:  # type: ignore[attr-defined]
        first.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert first.recv(1000).startswith(b"HTTP/1.1 200")
        with socket.create_connection(place, timeout=30) as second:
            assert code(rest(second)) == (503, "not-ready")


def test_a_place_that_is_not_ours_is_refused() -> None:
    with pytest.raises(ConfigError, match="choose another with --http"):
        listen("203.0.113.1:1")
