"""HTTP as bytes: what a client sends to the store's server, and what webhooks' receivers and Kubo nodes answer."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable, Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any, cast

import requests
import urllib3

from steelyard.api.outgoing import MAX_ANSWER, Outgoing
from steelyard.errors import UnavailableError
from steelyard.storage.cid import cid_of
from steelyard.storage.embedded import EmbeddedStore
from steelyard.storage.kubo import KuboStore
from steelyard.storage.server import _Handler
from tests.fuzz.target import Target, literal, scratch

_DATA = b"fuzz" * 300
_CID = cid_of(_DATA)


# -- the store's server --------------------------------------------------------------------------------------------


class _Connection(io.BytesIO):
    """A client that has sent everything and reads what comes."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.told = bytearray()

    def makefile(self, mode: str, size: int = -1) -> io.BytesIO:
        """Return the side that is read from."""
        return self

    def sendall(self, data: bytes) -> None:
        """Take a part of an answer."""
        self.told += data

    def settimeout(self, seconds: float) -> None:
        """Ignore it: everything is there."""

    def setsockopt(self, *_: object) -> None:
        """Ignore it."""


@cache
def _server() -> Any:
    store = EmbeddedStore(scratch() / "served")
    store.put_block(_CID, _DATA)
    return SimpleNamespace(store=store)


def _served(data: bytes) -> None:
    """Let the server read a connection to its end; each of its answers must be one for every client."""
    told = _Connection(data)
    _Handler(cast(socket.socket, told), ("127.0.0.1", 1), _server())
    at = bytes(told.told)
    while at:
        if not at.startswith(b"HTTP/1.1 "):
            assert not at.startswith(b"HTTP/"), at[:80]  # an answer to HTTP/0.9, which has no head
            return
        head, end, at = at.partition(b"\r\n\r\n")
        assert end and b"\0" not in head and 100 <= int(head[9:12]) < 600, head[:80]
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if fields.get(b"connection") == b"close":
            return
        assert (b"content-length" in fields) != (b"transfer-encoding" in fields) or int(head[9:12]) in (
            100,
            304,
        ), head
        if b"content-length" not in fields:
            return
        # To HEAD comes no body: then the next answer stands where it would be.
        at = at if at.startswith(b"HTTP/1.1 ") else at[int(fields[b"content-length"]) :]


def _requests() -> Iterator[bytes]:
    host = b"Host: 127.0.0.1\r\n"
    form = b'--XX\r\nContent-Disposition: form-data; name="file"; filename="a%20b"\r\n\r\nabc\r\n--XX--\r\n'
    multipart = b"Content-Type: multipart/form-data; boundary=XX\r\n"
    cid = _CID.encode()
    yield b"GET /ipfs/%b?format=raw HTTP/1.1\r\n%bRange: bytes=0-9\r\n\r\nHEAD /ipfs/%b HTTP/1.1\r\n%bIf-None-Match: *\r\n\r\n" % (
        cid, host, cid, host,
    )  # fmt: skip
    yield (
        b"GET /ipfs/%b?format=car&entity-bytes=0:9 HTTP/1.1\r\n%bAccept: application/vnd.ipld.car; dups=y\r\n\r\n"
        % (cid, host)
    )
    yield b"POST /api/v0/add?pin=false HTTP/1.1\r\n%b%bContent-Length: %d\r\n\r\n%b" % (
        host,
        multipart,
        len(form),
        form,
    )
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(form), form)
    yield b"POST /api/v0/block/put HTTP/1.1\r\n%b%bTransfer-Encoding: chunked\r\n\r\n%b" % (
        host,
        multipart,
        chunks,
    )
    for call in (
        b"version",
        b"id",
        b"repo/stat",
        b"pin/ls",
        b"block/get?arg=" + cid,
        b"ls?arg=" + cid,
        b"dag/export?arg=" + cid,
    ):
        yield b"POST /api/v0/%b HTTP/1.1\r\n%bContent-Length: 0\r\n\r\n" % (call, host)
    yield (
        b"POST /api/v0/id HTTP/1.0\r\n%bConnection: keep-alive\r\n\r\nPUT / HTTP/1.1\r\n%bExpect: 100-continue\r\n\r\n"
        % (host, host)
    )


# -- answers -------------------------------------------------------------------------------------------------------


def _posted(data: bytes) -> None:
    """Read what a webhook's receiver answers, from a connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)
        theirs.setblocking(False)
        try:
            theirs.sendall(data)
        except BlockingIOError:
            return
        theirs.shutdown(socket.SHUT_WR)
        way = Outgoing(allow_private=True, resolver=lambda *_: ["127.0.0.1"], connector=lambda *_: ours)
        found = way.post("http://hook.example/x", b"{}", {"Content-Type": "application/json"})
        assert len(found.body) <= MAX_ANSWER and found.status >= 100


class _Node(requests.adapters.BaseAdapter):
    """Answers every request with the same bytes."""

    status = 200
    body = b""

    def send(self, request: requests.PreparedRequest, **_: object) -> requests.Response:  # type: ignore[override]
        """Return the answer as urllib3 would."""
        found = requests.Response()
        found.status_code = self.status
        found.url = request.url or ""
        found.request = request
        found.headers.update({"Content-Type": "application/json", "Location": "/x"})
        found.raw = urllib3.HTTPResponse(io.BytesIO(self.body), status=self.status, preload_content=False)
        return found

    def close(self) -> None:
        """Nothing is open."""


@cache
def _node() -> tuple[KuboStore, _Node]:
    store, node = KuboStore("http://127.0.0.1:5001"), _Node()
    with store._client() as client:
        client._client._session.get_adapter = lambda *_, **__: node
    return store, node


_CALLS: tuple[Callable[[KuboStore], object], ...] = (
    lambda store: store.version(),
    lambda store: store.get_block(_CID),
    lambda store: store.put_block(_CID, _DATA),
    lambda store: store.has(_CID),
    lambda store: store.pin(_CID),
    lambda store: store.unpin(_CID),
    lambda store: store.is_pinned(_CID),
)
_STATUSES = (200, 200, 200, 500, 403, 404, 301)


def _answered(data: bytes) -> None:
    """Read an answer of a node to a call: a byte for both, and the body."""
    store, node = _node()
    kind = data[0] if data else 0
    node.status, node.body = _STATUSES[kind // 16 % len(_STATUSES)], data[1:]
    found = _CALLS[kind % len(_CALLS)](store)
    assert found is None or isinstance(found, str | bool) or found == _DATA


def _answers() -> Iterator[bytes]:
    bodies = (
        b'{"Version":"0.44.0","Commit":""}', _DATA, b'{"Key":"%b","Size":1200}' % _CID.encode(), b'{"Key":"%b","Size":1200}' % _CID.encode(),
        b'{"Pins":["%b"]}' % _CID.encode(), b'{"Pins":["%b"]}' % _CID.encode(), b'{"Keys":{"%b":{"Type":"recursive"}}}' % _CID.encode(),
    )  # fmt: skip
    for number, body in enumerate(bodies):
        yield bytes([number]) + body
        yield bytes([48 + (number - 48) % 7]) + b'{"Message":"no","Code":0,"Type":"error"}'


EXCHANGES: dict[str, Target] = {
    "store-http": Target(_served, _requests, ()),
    "webhook-answer": Target(
        _posted,
        literal(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\nA: b\r\n\r\n",
            "HTTP/1.0 302 Found\r\nLocation: http://127.0.0.1/\r\nConnection: close\r\n\r\n",
        ),
        (UnavailableError,),
    ),
    "kubo-answer": Target(_answered, _answers),
}
