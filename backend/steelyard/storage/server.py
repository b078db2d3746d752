"""The part of Kubo's RPC that clients of a store need, and the trustless gateway, in front of the embedded store.

It is for programs of the same machine: it listens on a loopback address only and has no password, as Kubo.
Pages in a browser of that machine must not reach it, so it answers only under a loopback name (which stops DNS
rebinding), and to no request that carries the marks of a browser. The RPC, which changes the store, answers to POST
alone; the gateway under ``/ipfs/`` to GET and HEAD. See docs/store.md for the methods and the limits.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import sys
import threading
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from steelyard.errors import ConfigError, InputError, NotFoundError, RefusedError, SteelyardError
from steelyard.storage.call import Call, Reply
from steelyard.storage.embedded import EmbeddedStore
from steelyard.storage.multipart import Body
from steelyard.storage.rpc import METHODS
from steelyard.storage.trustless import PREFIX as GATEWAY
from steelyard.storage.trustless import Answer, Refusal, answer

PREFIX = "/api/v0/"
"""Path under which the methods stand."""

MAX_UPLOAD = 1 << 40
"""Most bytes of one request's body: 1 TiB."""

MAX_CONNECTIONS = 64
"""Connections served at a time; one more is closed at once."""

IDLE_SECONDS = 30
"""Longest silence on a connection, in seconds."""

_DRAIN = 8 << 20


class StoreServer:
    """Serves a store on a loopback address, in threads of this process."""

    def __init__(self, store: EmbeddedStore, *, host: str = "127.0.0.1", port: int = 0) -> None:
        """Bind the address; requests are answered from `start` on.

        Args:
            store: what to serve.
            host: a loopback IP address.
            port: 0 for any free one.

        Raises:
            ConfigError: the host is not a loopback address, or the port is taken.
        """
        try:
            loopback = ipaddress.ip_address(host).is_loopback
        except ValueError:
            loopback = False
        if not loopback:
            raise ConfigError(
                f"the store is served without a password, so only on a loopback address, not {host!r}"
            )
        try:
            self._http = _Server((host, port), store)
        except OSError as exc:
            raise ConfigError(f"cannot listen on {host} port {port}: {exc}") from exc
        self._thread: threading.Thread | None = None
        self._serving = False

    @property
    def url(self) -> str:
        """Where it listens, for `KuboStore`."""
        host, port = self._http.server_address[:2]
        return f"http://[{host!s}]:{port}" if ":" in str(host) else f"http://{host!s}:{port}"

    def start(self) -> None:
        """Answer requests in a thread of its own, and return."""
        self._serving = True
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(0.05,), name="store", daemon=True
        )
        self._thread.start()

    def serve_forever(self) -> None:
        """Answer requests in this thread until `close` is called in another."""
        self._serving = True
        self._http.serve_forever(0.05)

    def close(self) -> None:
        """Stop listening and end open connections."""
        if self._serving:  # shutdown waits for a loop to end, for ever if there is none
            self._http.shutdown()
        self._http.server_close()
        self._http.end_connections()
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> Self:
        """Start, and return the server itself."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], store: EmbeddedStore) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.store = store
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:  # socketserver's own types
        with self._lock:
            full = len(self._open) >= MAX_CONNECTIONS
            if not full:
                self._open.add(request)
        if full:
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def end_connections(self) -> None:
        with self._lock:
            for request in self._open:
                try:
                    request.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that goes away, or is silent for too long, is no error of ours.
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "Steelyard"
    sys_version = ""
    timeout = IDLE_SECONDS
    wbufsize = 1 << 16
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        """Answer one call of the RPC."""
        if self.path.startswith(GATEWAY):
            self._refuse_method()
            return
        body: Body | None = None
        try:
            self._guard()
            method, arguments, options = self._parse()
            body = Body(self.rfile, self.headers, limit=MAX_UPLOAD)
            reply = METHODS[method](
                Call(self.server.store, arguments, options, body, self.headers.get("Content-Type", ""))
            )
            pieces = _started(reply.pieces) if reply.live else reply.pieces
        except SteelyardError as exc:
            self._fail(exc, body)
            return
        if reply.live:
            self._head(200, reply.content_type, {"Transfer-Encoding": "chunked", "X-Chunked-Output": "1"})
            self._pour_chunks(pieces, flush=True)
            self._finish(body)
            return
        self._finish(body)
        self._send(reply)

    def do_GET(self) -> None:
        """Answer the gateway."""
        if not self.path.startswith(GATEWAY):
            self._refuse_method()
            return
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # a body that is not read must not be taken for the next request
        try:
            self._guard()
            found = answer(self.server.store, self.path, self.headers)
        except Refusal as exc:
            self._text(exc.status, str(exc), exc.headers)
        except RefusedError as exc:
            self._text(403, str(exc), {})
        else:
            self._send_found(found)

    do_HEAD = do_GET

    def _refuse_method(self) -> None:
        self.close_connection = True
        if self.path.startswith(GATEWAY):
            self._text(405, "only GET and HEAD are answered here", {"Allow": "GET, HEAD"})
            return
        refusal = {"Message": "only POST is answered", "Code": 0, "Type": "error"}
        self._answer(405, refusal, {"Allow": "POST"})

    do_PUT = do_DELETE = do_OPTIONS = do_PATCH = _refuse_method

    def log_message(self, format: str, *args: object) -> None:  # the base class's name
        """Log nothing: what is stored is nobody else's business."""

    # -- checks ----------------------------------------------------------------------------------------------

    def _guard(self) -> None:
        """Refuse what a page in a browser can send.

        Raises:
            RefusedError: it may come from one.
        """
        names = self.headers.get_all("Host", [])
        if len(names) != 1 or not _is_loopback(names[0]):
            raise RefusedError(
                "the store answers only under the name of this machine (Host: 127.0.0.1 or localhost)"
            )
        if "Origin" in self.headers or "Referer" in self.headers or "Sec-Fetch-Site" in self.headers:
            raise RefusedError("the store does not answer pages in a browser")
        if self.headers.get("User-Agent", "").startswith("Mozilla/"):
            raise RefusedError("the store does not answer browsers")

    def _parse(self) -> tuple[str, list[str], dict[str, str]]:
        try:
            url = urlsplit(self.path)
            query = parse_qs(
                url.query,
                keep_blank_values=True,
                strict_parsing=bool(url.query),
                errors="strict",
                max_num_fields=1000,
            )
        except ValueError as exc:
            raise InputError(f"malformed request: {exc}") from exc
        method = url.path.removeprefix(PREFIX)
        if not url.path.startswith(PREFIX) or method not in METHODS:
            raise NotFoundError(f"no such method: {url.path[:80]!r}")
        arguments = query.pop("arg", [])
        return method, arguments, {name: values[-1] for name, values in query.items()}

    # -- answers ---------------------------------------------------------------------------------------------

    def _fail(self, exc: SteelyardError, body: Body | None) -> None:
        # Kubo answers 500 to everything that a method finds wrong, and clients only look at the message.
        status = 500
        if isinstance(exc, RefusedError) and body is None:
            status = 403
        elif isinstance(exc, InputError):
            status = 400
        elif isinstance(exc, NotFoundError) and body is None:
            status = 404
        self.close_connection = True
        if body is not None:
            self._finish(body)
        self._answer(status, {"Message": str(exc), "Code": 0, "Type": "error"}, {})

    def _finish(self, body: Body) -> None:
        """Read what is left of a request, or mark the connection as not to be used again."""
        left = _DRAIN
        try:
            while left > 0 and (data := body.read(1 << 16)):
                left -= len(data)
        except (InputError, OSError):
            left = 0
        if left <= 0:
            self.close_connection = True

    def _answer(self, status: int, value: object, extra: dict[str, str]) -> None:
        data = json.dumps(value).encode("utf-8") + b"\n"
        self._head(status, "application/json", extra | {"Content-Length": str(len(data))})
        if self.command != "HEAD":
            self.wfile.write(data)

    def _text(self, status: int, message: str, extra: dict[str, str]) -> None:
        """Answer a request to the gateway with why it is not served."""
        data = message.encode("utf-8") + b"\n"
        extra |= {"Content-Length": str(len(data)), "Cache-Control": "no-store"}
        self._head(status, "text/plain; charset=utf-8", extra)
        if self.command != "HEAD":
            self.wfile.write(data)

    def _send_found(self, found: Answer) -> None:
        """Answer a request to the gateway with content, which no browser may take for a page of this origin."""
        headers = found.headers | {"Content-Security-Policy": "default-src 'none'; sandbox"}
        if found.length is not None:
            headers["Content-Length"] = str(found.length)
        bodyless = self.command == "HEAD" or found.status == 304
        if found.length is None and not bodyless:
            headers["Transfer-Encoding"] = "chunked"
        self._head(found.status, headers.pop("Content-Type"), headers)
        if bodyless:
            return
        if found.length is not None:
            self._pour(found.pieces)
        else:
            self._pour_chunks(found.pieces)

    def _head(self, status: int, content_type: str, extra: dict[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        for name, value in extra.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _send(self, reply: Reply) -> None:
        if reply.length is not None:
            self._head(200, reply.content_type, {"Content-Length": str(reply.length), "X-Stream-Output": "1"})
            self._pour(reply.pieces)
            return
        self._head(200, reply.content_type, {"Transfer-Encoding": "chunked", "X-Stream-Output": "1"})
        self._pour_chunks(reply.pieces)

    def _pour_chunks(self, pieces: Iterable[bytes], *, flush: bool = False) -> None:
        if self._pour((b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece), flush=flush):
            self.wfile.write(b"0\r\n\r\n")

    def _pour(self, pieces: Iterable[bytes], *, flush: bool = False) -> bool:
        """Send; on an error cut the connection, so that the client sees that the answer is not whole."""
        try:
            for piece in pieces:
                self.wfile.write(piece)
                if flush:
                    self.wfile.flush()
        except SteelyardError:
            self.close_connection = True
            return False
        return True


def _started(pieces: Iterable[bytes]) -> Iterable[bytes]:
    """Make the first piece now, while an error can still be answered as one."""
    rest = iter(pieces)
    return chain([next(rest, b"")], rest)


def _is_loopback(name: str) -> bool:
    try:
        host = urlsplit(f"//{name}").hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
