"""An HTTP proxy that misbehaves: it stands between the package and its RPC endpoint, or its content store.

A fault is a function of one exchange. It may answer in the place of what is behind the proxy, ask it something else, change
its answer, or return None for what does not concern it: then the exchange goes through as it is and is not counted.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What is sent back, and how.

    Attributes:
        status: of HTTP.
        body: the content; its whole length is declared, whatever is sent.
        headers: besides the length.
        cut: bytes of the body after which the connection is reset; None for none.
        hold: seconds before anything is sent.
        drip: seconds before each byte of the body; 0 sends it at once.
    """

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/json"),)
    cut: int | None = None
    hold: float = 0.0
    drip: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One request, and the way to what is behind the proxy."""

    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    ask: Callable[[str, tuple[tuple[str, str], ...], bytes], Reply]

    def forward(self, body: bytes | None = None) -> Reply:
        """Pass the request on, or another body in its place."""
        return self.ask(self.path, self.headers, self.body if body is None else body)


Fault = Callable[[Exchange], Reply | None]


class Proxy:
    """The proxy, in threads of this process."""

    def __init__(self, upstream: str) -> None:
        """Listen on a free port of 127.0.0.1, in front of ``upstream`` (``http://host:port``)."""
        self._upstream = urlsplit(upstream)
        self._fault: Fault | None = None
        self._skip = 0
        self._left: int | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._local = threading.local()
        self.requests = 0
        self.hits = 0
        self.sent: list[bytes] = []
        self._http = _Server(("127.0.0.1", 0), self)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    # -- programming it --------------------------------------------------------------------------------------

    def arm(self, fault: Fault, *, after: int = 0, times: int | None = None) -> None:
        """Misbehave from now on.

        Args:
            fault: how.
            after: requests that go through before.
            times: how often; None until :meth:`lift`.
        """
        with self._lock:
            self._fault, self._skip, self._left, self.hits = fault, after, times, 0
            self._ended = threading.Event()

    def lift(self) -> None:
        """Behave; what is held back or dripping is cut off."""
        with self._lock:
            self._fault = None
            self._ended.set()

    def forget(self) -> None:
        """Forget what was asked so far."""
        with self._lock:
            self.requests = 0
            self.sent.clear()

    # -- one exchange ----------------------------------------------------------------------------------------

    def answer(self, path: str, headers: tuple[tuple[str, str], ...], body: bytes) -> Reply:
        """Return what to send back for a request."""
        with self._lock:
            self.requests += 1
            self.sent += [path.encode(), body]
            fault: Fault | None = None
            if self._fault is not None and self._skip > 0:
                self._skip -= 1
            elif self._left is None or self._left > 0:
                fault = self._fault
        exchange = Exchange(path=path, headers=headers, body=body, ask=self._ask)
        reply = fault(exchange) if fault is not None else None
        if reply is None:
            return exchange.forward()
        with self._lock:
            self.hits += 1
            if self._left is not None:
                self._left -= 1
        return reply

    def _ask(self, path: str, headers: tuple[tuple[str, str], ...], body: bytes) -> Reply:
        for last in (False, True):
            connection = getattr(self._local, "connection", None)
            if connection is None:
                connection = http.client.HTTPConnection(
                    self._upstream.hostname or "", self._upstream.port, timeout=30
                )
                self._local.connection = connection
            try:
                connection.request("POST", path, body, dict(headers))
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                self._local.connection = None
                if last:
                    return Reply(status=502, body=b"behind the proxy nothing answers")
                continue
            kept = tuple(
                (k, v) for k, v in answer.getheaders() if k.lower() in ("content-type", "x-stream-output")
            )
            return Reply(status=answer.status, body=content, headers=kept)
        raise AssertionError("unreachable")

    def hang_up(self) -> None:
        """Close this thread's connection to what is behind: the client has gone."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()

    def pause(self, seconds: float) -> bool:
        """Wait, or until the fault is lifted; returns whether it was."""
        return self._ended.wait(seconds)

    # -- life ------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Stop listening."""
        self.lift()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop."""
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], proxy: Proxy) -> None:
        self.proxy = proxy
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no event here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:  # the library's name
        body = self._body()
        skipped = ("host", "connection", "content-length", "transfer-encoding", "accept-encoding")
        headers = tuple((k, v) for k, v in self.headers.items() if k.lower() not in skipped)
        self._send(self.server.proxy.answer(self.path, headers, body))

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("transfer-encoding", ""):
            return self.rfile.read(int(self.headers.get("content-length", "0")))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _send(self, reply: Reply) -> None:
        proxy = self.server.proxy
        if reply.hold and proxy.pause(reply.hold):
            self._reset()
            return
        self.send_response(reply.status)
        for name, value in reply.headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(reply.body)))
        self.end_headers()
        if reply.cut is not None:
            self.wfile.write(reply.body[: reply.cut])
            self._reset()
        elif reply.drip:
            self._drip(reply)
        else:
            self.wfile.write(reply.body)

    def _drip(self, reply: Reply) -> None:
        end = time.monotonic() + 60
        for place in range(len(reply.body)):
            if self.server.proxy.pause(reply.drip) or time.monotonic() > end:
                self._reset()
                return
            self.wfile.write(reply.body[place : place + 1])

    def _reset(self) -> None:
        """End the connection as a process does that is killed."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())  # closing the object would wait for the files made from it

    def finish(self) -> None:
        """End a connection."""
        self.server.proxy.hang_up()
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def with_body(reply: Reply, body: bytes) -> Reply:
    """Return the same reply with another body."""
    return replace(reply, body=body)
