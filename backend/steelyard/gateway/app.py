"""The ASGI application of the gateway: the Open Inference Protocol, resuming, and metrics (docs/gateway.md)."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any, Final

import msgspec
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from steelyard.api.limits import Headers, caller_of
from steelyard.errors import SteelyardError
from steelyard.gateway import calls, resume
from steelyard.gateway.hosted import Hosted
from steelyard.gateway.offer import SIGNATURE, offer_document, payment_of_x402
from steelyard.gateway.problem import Refusal, refusal_of
from steelyard.gateway.state import Gateway
from steelyard.metering.wire import PAYMENT

LOG: Final = logging.getLogger("steelyard.gateway")
ENDPOINTS: Final = (
    "live",
    "ready",
    "server",
    "model",
    "model_ready",
    "infer",
    "channel",
    "voucher",
    "answer",
    "metrics",
)
JSON: Final = b"application/json"
BINARY: Final = b"application/octet-stream"
_LENGTH: Final = "Inference-Header-Content-Length"
_PAYMENT: Final = PAYMENT.lower().encode()
_X402: Final = SIGNATURE.lower().encode()
_HEADER: Final = _LENGTH.lower().encode()
_PATHS: Final = tuple(
    (re.compile(pattern), name, method)
    for pattern, name, method in (
        (r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer", "infer", "POST"),
        (r"/v2/models/([^/]+)(?:/versions/([^/]+))?/ready", "model_ready", "GET"),
        (r"/v2/models/([^/]+)(?:/versions/([^/]+))?", "model", "GET"),
        (r"/v2/health/live", "live", "GET"),
        (r"/v2/health/ready", "ready", "GET"),
        (r"/v2/?", "server", "GET"),
        (r"/steelyard/v1/channels/(0x[0-9a-f]{64})", "channel", "GET"),
        (r"/steelyard/v1/channels/(0x[0-9a-f]{64})/voucher", "voucher", "PUT"),
        (r"/steelyard/v1/channels/(0x[0-9a-f]{64})/answers/([0-9]{1,20})", "answer", "GET"),
        (r"/metrics", "metrics", "GET"),
    )
)
_COMMON: Final = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]


class Reply:
    """An answer as it leaves."""

    __slots__ = ("body", "headers", "kind", "status")

    def __init__(
        self,
        body: bytes,
        *,
        kind: bytes = JSON,
        status: int = 200,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        """Take its parts."""
        self.body, self.kind, self.status, self.headers = body, kind, status, headers


class App:
    """The application of one process."""

    def __init__(self, gateway: Gateway) -> None:
        """Take what it works on."""
        self.gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http":
            await self._request(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _lifespan(receive, send)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, name = perf_counter(), "none"
        try:
            name, parts = find(scope["path"], scope["method"])
            handler: Callable[..., Awaitable[Reply]] = getattr(self, f"_{name}")
            reply = await handler(scope, receive, *parts)
        except ClientDisconnect:
            return
        except Refusal as exc:
            reply = _problem(exc)
        except SteelyardError as exc:
            reply = _problem(refusal_of(exc))
        except Exception:
            LOG.exception("a mistake of the gateway, in %s", name)
            reply = _problem(Refusal("internal"))
        await send(
            {
                "type": "http.response.start",
                "status": reply.status,
                "headers": [
                    (b"content-type", reply.kind),
                    (b"content-length", str(len(reply.body)).encode()),
                    *_COMMON,
                    *reply.headers,
                ],
            }
        )
        body = b"" if scope["method"] == "HEAD" else reply.body
        await send({"type": "http.response.body", "body": body})
        self.gateway.counters.requests.count(name, reply.status, perf_counter() - started)

    # -- the protocol --------------------------------------------------------------------------------------------

    async def _live(self, scope: Scope, receive: Receive) -> Reply:
        return _json({"live": True})

    async def _ready(self, scope: Scope, receive: Receive) -> Reply:
        for item in self.gateway.hosted():
            if item.why:
                raise Refusal("not-ready", f"{item.wanted.name}: {item.why}", retry_after=30)
        return _json({"ready": True})

    async def _server(self, scope: Scope, receive: Receive) -> Reply:
        from importlib.metadata import version

        extensions = ["binary_tensor_data", "steelyard_metering"]
        return _json({"name": "steelyard", "version": version("steelyard"), "extensions": extensions})

    async def _model(self, scope: Scope, receive: Receive, model: str, version: str | None) -> Reply:
        hosted = self._find(model, version)
        tensors: Any = [hosted.model.inputs, hosted.model.outputs]
        inputs, outputs = (
            [msgspec.to_builtins(_Tensor(*_parts(item))) for item in items] for items in tensors
        )
        return _json(
            {
                "name": model,
                "versions": sorted(self.gateway.models[model], key=int),
                "platform": "onnxruntime_onnx",
                "inputs": inputs,
                "outputs": outputs,
                "steelyard": offer_document(self.gateway, hosted),
            }
        )

    async def _model_ready(self, scope: Scope, receive: Receive, model: str, version: str | None) -> Reply:
        hosted = self._find(model, version)
        if hosted.why:
            raise Refusal("not-served", hosted.why)
        return _json({"name": model, "ready": True})

    async def _infer(self, scope: Scope, receive: Receive, model: str, version: str | None) -> Reply:
        gateway = self.gateway
        hosted = self._find(model, version)
        headers: Headers = dict(scope["headers"])
        if b"content-encoding" in headers:
            raise Refusal("unsupported-media-type", "bodies are not compressed here")
        body = await _read(receive, headers, gateway.options)
        payment = headers.get(_PAYMENT)
        text = None if payment is None else payment.decode("latin-1")
        if text is None and (x402 := headers.get(_X402)) is not None:
            text = payment_of_x402(x402.decode("latin-1"))
        caller = caller_of(scope["client"], scope["headers"], gateway.options.proxies)
        answer = await calls.infer(
            gateway, hosted, body, header=_json_size(headers), payment=text, caller=caller
        )
        return _answer(answer)

    async def _metrics(self, scope: Scope, receive: Receive) -> Reply:
        loop = asyncio.get_running_loop()
        text = await loop.run_in_executor(self.gateway.threads, self.gateway.counters.text)
        return Reply(text, kind=b"text/plain; version=0.0.4; charset=utf-8")

    # -- channels ------------------------------------------------------------------------------------------------

    async def _channel(self, scope: Scope, receive: Receive, channel: str) -> Reply:
        query = scope["query_string"].decode("latin-1")
        match = re.fullmatch(r"(?:after=([0-9]{1,18}))?", query)
        if match is None:
            raise Refusal("bad-parameter", "the only parameter is after, a sequence", parameter="after")
        return _json(await resume.channel(self.gateway, channel, _payment(scope), after=int(match[1] or 0)))

    async def _voucher(self, scope: Scope, receive: Receive, channel: str) -> Reply:
        return _json(await resume.voucher(self.gateway, channel, _payment(scope)))

    async def _answer(self, scope: Scope, receive: Receive, channel: str, call: str) -> Reply:
        return _answer(await resume.answer(self.gateway, channel, _payment(scope), call=int(call)))

    def _find(self, model: str, version: str | None) -> Hosted:
        versions = self.gateway.models.get(model)
        if not versions:
            raise Refusal("not-found", f"no model {model!r} is hosted here")
        found = versions.get(version if version is not None else max(versions, key=int))
        if found is None:
            raise Refusal("not-found", f"model {model!r} has no version {version!r} here")
        return found


class _Tensor(msgspec.Struct):
    name: str
    datatype: str
    shape: tuple[int, ...]


def _parts(item: Any) -> tuple[str, str, tuple[int, ...]]:
    return item.name, item.datatype, item.shape


def find(path: str, method: str) -> tuple[str, tuple[Any, ...]]:
    """Return name and parts of an endpoint.

    Raises:
        Refusal: there is none of this path, or not with this method.
    """
    for pattern, name, wanted in _PATHS:
        match = pattern.fullmatch(path)
        if match is not None:
            if method != wanted and (method, wanted) != ("HEAD", "GET"):
                raise Refusal("method-not-allowed", headers={"allow": wanted})
            return name, match.groups()
    raise Refusal("not-found", "there is no such path")


def _json(value: object) -> Reply:
    return Reply(msgspec.json.encode(value))


def _answer(answer: calls.Answer) -> Reply:
    headers = [(name.encode(), value.encode()) for name, value in answer.headers]
    if answer.header is None:
        return Reply(answer.body, headers=tuple(headers))
    headers.append((_LENGTH.encode(), str(answer.header).encode()))
    return Reply(answer.body, kind=BINARY, headers=tuple(headers))


def _problem(refusal: Refusal) -> Reply:
    reply = refusal.reply()
    own = dict(reply.headers)
    kind = own.pop("content-type").encode()
    headers = tuple((name.encode(), value.encode("latin-1")) for name, value in own.items())
    return Reply(reply.body, kind=kind, status=reply.status, headers=headers)


def _payment(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == _PAYMENT:
            return str(value.decode("latin-1"))
    raise Refusal("bad-payment", f"this needs the header {PAYMENT}")


def _json_size(headers: Headers) -> int | None:
    text = headers.get(_HEADER)
    if text is None:
        return None
    if not text.isdigit() or len(text) > 12:
        raise Refusal("bad-parameter", f"{_LENGTH} is a number of bytes", parameter=_LENGTH)
    return int(text)


async def _read(receive: Receive, headers: Headers, options: Any) -> bytes:
    most = options.max_body
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > most:
        raise Refusal("too-large", f"at most {most} bytes")
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(options.limits.seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                part = message.get("body", b"")
                size += len(part)
                if size > most:
                    raise Refusal("too-large", f"at most {most} bytes")
                parts.append(part)
                if not message.get("more_body"):
                    return parts[0] if len(parts) == 1 else b"".join(parts)
    except TimeoutError as exc:
        raise Refusal("timeout", "the request did not arrive") from exc


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
