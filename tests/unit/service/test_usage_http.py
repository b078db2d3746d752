"""What a gateway answers, over a real connection: a document that is none is an error with a name."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from steelyard.errors import NotFoundError, UnavailableError, VerificationError
from steelyard.service.usage_http import GatewayClient, GatewayError, Offered, Served, Tensor

OFFER = {"offer": "0x01", "payee_key": "0x02", "batched": True}


class Handler(http.server.BaseHTTPRequestHandler):
    status, body = 200, b""

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("content-length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def handler() -> type[Handler]:
    return type("Own", (Handler,), {})


@pytest.fixture
def client(handler: type[Handler]) -> Iterator[GatewayClient]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    made = GatewayClient(f"http://127.0.0.1:{server.server_address[1]}")
    yield made
    made.close()
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_model(client: GatewayClient, handler: type[Handler]) -> None:
    handler.body = json.dumps({"inputs": [{"name": "x"}], "steelyard": OFFER, "more": 1}).encode()
    assert client.model("m", 1) == Served(inputs=[Tensor("x")], steelyard=Offered(**OFFER))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b'"\xff"',
        b"[]",
        b"[" * 100_000,
        json.dumps({"inputs": [{"name": 1}], "steelyard": OFFER}).encode(),
        json.dumps({"inputs": [{"name": "x"}]}).encode(),
        json.dumps({"inputs": [], "steelyard": {**OFFER, "batched": 1}}).encode(),
    ],
    ids=lambda body: repr(body)[:30],
)
def test_an_answer_that_is_none(client: GatewayClient, handler: type[Handler], body: bytes) -> None:
    handler.body = body
    with pytest.raises(VerificationError, match="does not answer as a gateway"):
        client.model("m", 1)


@pytest.mark.parametrize("body", [b"", b'"\xff"', b"[" * 100_000, b"[]", b'{"code": 1}'])
def test_a_refusal_that_is_none(client: GatewayClient, handler: type[Handler], body: bytes) -> None:
    handler.status, handler.body = 402, body
    with pytest.raises(UnavailableError, match="status 402"):
        client.model("m", 1)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (402, "bad-voucher", GatewayError),
        (404, "not-found", NotFoundError),
        (503, "busy", UnavailableError),
        (500, "too-large-answer", GatewayError),
    ],
)
def test_refusals(client: GatewayClient, handler: type[Handler], status: int, code: str, kind: Any) -> None:
    handler.status, handler.body = status, json.dumps({"code": code, "title": "t", "detail": "why"}).encode()
    with pytest.raises(kind, match="why"):
        client.model("m", 1)
