"""The ASGI application: one dispatcher for all endpoints (docs/api.md, "Form").

Everything that holds for every endpoint is done here, in the order in which it is cheapest to refuse: path, method, rate, session,
parameters, body. There is no stack of middleware, because each layer would cost each request some ten microseconds; see
docs/speed.md for what a request takes.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import logging
import secrets
from collections.abc import Sequence
from time import monotonic, perf_counter
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from steelyard.api import reply as replies
from steelyard.api.fields import decode, read_body, read_query
from steelyard.api.limits import Buckets, Headers, caller_of, seconds_text
from steelyard.api.metrics import Metrics
from steelyard.api.problem import Problem, problem_of
from steelyard.api.protocol import WHOLE, Whole
from steelyard.api.route import Answer, Call, Endpoint
from steelyard.api.service import Authenticate, Once, Reply, Service
from steelyard.api.tree import Place, Tree
from steelyard.domain.plain import plain
from steelyard.domain.types import Address
from steelyard.errors import SteelyardError, UnavailableError

LOG: Final = logging.getLogger("steelyard.api")
UNLIMITED: Final = frozenset(("get_alive", "get_ready", "get_metrics"))
"""Endpoints that take nothing from a caller's bucket: what watches the service must not be refused with the crowd."""
UPLOAD_BURST: Final = 4
"""Seconds of upload at full rate that an account has in its bucket: an upload that begins is not slowed at once."""
_READS: Final = frozenset(("GET", "HEAD"))
_EXPOSED: Final = (
    b"ETag, Link, Retry-After, Content-Range, Accept-Ranges, Content-Disposition, Idempotent-Replayed"
)
_COMMON: Final = [
    (b"x-content-type-options", b"nosniff"),
    # Nothing that is answered here may run, load or be framed, whatever a browser takes it for.
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; sandbox"),
    # Open to every page, because nothing here depends on who the browser's user is: there are no cookies.
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", _EXPOSED),
]
PUBLIC: Final = [*_COMMON, (b"cache-control", b"no-cache"), (b"vary", b"accept-encoding")]
"""Headers of answers that everybody may have: to be asked for again each time, with the tag."""
PRIVATE: Final = [*_COMMON, (b"cache-control", b"no-store"), (b"vary", b"authorization")]
"""Headers of answers that are for who is signed in."""
KEPT: Final = [*_COMMON, (b"vary", b"accept-encoding")]
"""Headers of answers that say themselves how long they hold."""
_PUBLIC, _PRIVATE, _KEPT = (
    (common, b"".join(name + b": " + value + b"\r\n" for name, value in common))
    for common in (PUBLIC, PRIVATE, KEPT)
)  # and the same as they leave
_NOTHING: Final[dict[str, Whole]] = {}
_PREFLIGHT: Final = "authorization, content-type, content-range, idempotency-key, if-none-match, if-range, last-event-id, range"


class App:
    """The application for one process."""

    def __init__(
        self,
        service: Service,
        endpoints: Sequence[Endpoint],
        *,
        authenticate: Authenticate | None = None,
        once: Once | None = None,
    ) -> None:
        """Take the endpoints.

        Args:
            service: what they work on; gets counters if it has none.
            endpoints: with different names and paths.
            authenticate: says who is signed in; nobody ever is if None.
            once: keeps answers for ``Idempotency-Key``; the header is not looked at if None.
        """
        limits = service.options.limits
        self.service = service
        self.endpoints = tuple(endpoints)
        self._tree = Tree(endpoints)
        self._authenticate = authenticate
        self._once = once
        self._limits = limits
        self._buckets = Buckets(per_minute=limits.per_minute, burst=limits.burst, size=limits.callers)
        second = limits.upload << 20
        self._bytes = Buckets(per_minute=second * 60, burst=second * UPLOAD_BURST, size=limits.callers)
        if service.metrics is None:
            service.metrics = Metrics([endpoint.name for endpoint in endpoints])
        self._metrics = service.metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http":
            await self._request(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    # -- a request ---------------------------------------------------------------------------------------------

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        headers: Headers = dict(scope["headers"])
        method = scope["method"]
        found = self._tree.find(scope["raw_path"])
        endpoint = None
        if found is not None:
            endpoint = found[0].methods.get("GET" if method == "HEAD" else method)
        private = endpoint is not None and endpoint.signed_in
        name = "none" if endpoint is None else endpoint.name
        outcome: Reply | Response
        try:
            if endpoint is None:
                outcome = self._elsewhere(method, None if found is None else found[0], scope)
            else:
                assert found is not None
                outcome = await self._answer(scope, receive, headers, endpoint, found[1])
        except ClientDisconnect:
            self._metrics.count(name, 0, perf_counter() - started)
            return
        except Exception as exc:  # noqa: BLE001  # whatever it is, the caller gets a problem and the log the cause
            outcome = self._failed(exc, name)
        if isinstance(outcome, Reply):
            status = await self._send(outcome, scope, send, headers, private=private)
            self._metrics.count(name, status, perf_counter() - started)
        else:
            await self._pass_on(outcome, scope, receive, send, name=name, private=private, started=started)

    async def _answer(
        self,
        scope: Scope,
        receive: Receive,
        headers: Headers,
        endpoint: Endpoint,
        path: list[tuple[str, bytes]],
    ) -> Reply | Response:
        """Return what an endpoint answers, after everything that can be refused without it."""
        service, limits = self.service, self._limits
        caller = caller_of(scope["client"], scope["headers"], service.options.proxies)
        account = None
        if endpoint.signed_in or b"authorization" in headers:
            account = await self._admit(headers, endpoint, caller, Request(scope, receive))
        elif endpoint.name not in UNLIMITED and (wait := self._buckets.take(caller, monotonic())):
            raise Problem("too-many-requests", retry_after=seconds_text(wait))
        if endpoint.raw is None and (accept := headers.get(b"accept")) and _json_wanted(endpoint, accept):
            raise Problem("not-acceptable", "this answers in JSON")
        values = {name: decode(value, name) for name, value in path} if path else {}
        text = scope["query_string"]
        if service.inline or not (b"@" in text or b"%40" in text):
            query = read_query(service, endpoint.query, text)
        else:  # a reference whose number must be looked up in a database that may take its time
            query = await service.thread(read_query, service, endpoint.query, text)
        if scope["method"] in _READS:
            answer = await endpoint.handler(
                Call(
                    service=service,
                    path=values,
                    query=query,
                    body=None,
                    account=account,
                    scope=scope,
                    receive=receive,
                )
            )
            return self._reply(answer, scope, endpoint)
        try:
            async with asyncio.timeout(None if endpoint.raw else limits.seconds):
                return await self._act(scope, receive, headers, endpoint, values, query, account, caller)
        except TimeoutError as exc:
            raise Problem("timeout") from exc

    async def _admit(
        self, headers: Headers, endpoint: Endpoint, caller: str, request: Request
    ) -> Address | None:
        """Return who is signed in, or says that he is, if he may ask as often, or send as much, as he does."""
        account, wait = None, 0.0
        if endpoint.name not in UNLIMITED and not endpoint.by_bytes:
            wait = self._buckets.take(caller, monotonic())
        try:
            account = await self._who(endpoint, request)
        except Problem:
            # Only who is signed in is limited by his bytes.
            if endpoint.by_bytes and (wait := self._buckets.take(caller, monotonic())):
                raise Problem("too-many-requests", retry_after=seconds_text(wait)) from None
            raise
        if endpoint.by_bytes:
            wait = self._bytes.take(account, monotonic(), _length(headers, endpoint.max_body))
        elif wait and account is not None:
            # Who shares an address with many still has what his session may ask for.
            wait = self._buckets.take(account, monotonic())
        if wait:
            raise Problem("too-many-requests", retry_after=seconds_text(wait))
        return account

    async def _who(self, endpoint: Endpoint, request: Request) -> Address | None:
        account = None
        if self._authenticate is not None:
            who = self._authenticate(self.service, request)
            account = await who if inspect.isawaitable(who) else who
        if account is None and endpoint.signed_in:
            raise Problem("not-signed-in", headers={"www-authenticate": "Bearer"})
        return account

    async def _act(
        self,
        scope: Scope,
        receive: Receive,
        headers: Headers,
        endpoint: Endpoint,
        path: dict[str, str],
        query: object,
        account: Address | None,
        caller: str,
    ) -> Reply | Response:
        """Return what an endpoint answers that takes a body, or changes something."""
        service = self.service
        data, body = b"", None
        _check_coding(scope)
        if endpoint.raw is not None:
            _check_media(headers, endpoint.raw)
            _check_length(headers, endpoint.max_body)
            receive = self._bounded(receive, endpoint.max_body)
        else:
            _check_length(headers, endpoint.max_body)
            data = await read_all(self._bounded(receive, endpoint.max_body))
            if endpoint.body is not None:
                _check_media(headers, replies.JSON)
                body = read_body(service, endpoint.body, data)
            elif data:
                raise Problem("bad-body", "this takes no body")
        call = Call(
            service=service,
            path=path,
            query=query,
            body=body,
            account=account,
            scope=scope,
            receive=receive,
        )
        key = headers.get(b"idempotency-key")
        if key is None or not endpoint.idempotent or self._once is None:
            return self._reply(await endpoint.handler(call), scope, endpoint)
        if not 1 <= len(key) <= 255 or not key.isascii() or not key.decode().isprintable():
            raise Problem("bad-parameter", "1 to 255 printable characters", parameter="Idempotency-Key")

        async def run() -> Reply:
            try:
                reply = self._reply(await endpoint.handler(call), scope, endpoint)
            except Exception as exc:  # noqa: BLE001  # as above
                return self._failed(exc, endpoint.name)
            assert isinstance(reply, Reply), "a stream cannot be kept"
            return reply

        parts = (scope["method"].encode(), scope["raw_path"], scope["query_string"], data)
        digest = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()
        who = caller if account is None else str(plain(account))
        return await self._once(service, caller=who, key=key.decode(), digest=digest, run=run)

    def _reply(self, answer: Answer | Response, scope: Scope, endpoint: Endpoint) -> Reply | Response:
        if isinstance(answer, Response):
            return answer
        return replies.reply_of(
            answer,
            method="GET" if scope["method"] == "HEAD" else scope["method"],
            raw_path=scope["raw_path"],
            query=scope["query_string"],
            private=endpoint.signed_in,
        )

    def _elsewhere(self, method: str, place: Place | None, scope: Scope) -> Reply:
        """Return the answer where no endpoint has this path and method."""
        wait = self._buckets.take(
            caller_of(scope["client"], scope["headers"], self.service.options.proxies), monotonic()
        )
        if wait:
            raise Problem("too-many-requests", retry_after=seconds_text(wait))
        if place is None:
            raise Problem("not-found", "there is no such path")
        names = sorted({*place.methods, "OPTIONS", *(("HEAD",) if "GET" in place.methods else ())})
        allow = ", ".join(names)
        if method != "OPTIONS":
            raise Problem("method-not-allowed", headers={"allow": allow})
        headers = {
            "allow": allow,
            "access-control-allow-methods": allow,
            "access-control-allow-headers": _PREFLIGHT,
            "access-control-max-age": "86400",
        }
        return Reply(status=204, headers=headers, body=b"")

    # -- sending -----------------------------------------------------------------------------------------------

    async def _send(self, reply: Reply, scope: Scope, send: Send, headers: Headers, *, private: bool) -> int:
        status, body, own = reply.status, reply.body, reply.headers
        common, text = _KEPT if "cache-control" in own else _PRIVATE if private or status >= 400 else _PUBLIC
        known, tag = headers.get(b"if-none-match"), own.get("etag")
        if known and tag and status == 200 and replies.matches(known.decode("latin-1"), tag):
            status, body = 304, b""
            own = {name: value for name, value in own.items() if name != "content-type"}
        if (
            len(body) >= replies.LEAST_GZIP
            # What holds a secret is not compressed together with what its reader chose (BREACH).
            and not private
            and (coding := headers.get(b"accept-encoding"))
            and replies.takes_gzip(coding)
        ):
            body = replies.zipped(body)
            own = {**own, "content-encoding": "gzip"}
        head = scope["method"] == "HEAD"
        if status not in (204, 304):
            own = {**own, "content-length": str(len(body))}
            # Taken out, because it holds the scope: together they would wait for the garbage collector.
            write: Whole | None = scope.get("extensions", _NOTHING).pop(WHOLE, None)
            if write is not None and not head and write(status, text, own, body):
                return status
        listed = [*common, *replies.header_list(own)]
        await send({"type": "http.response.start", "status": status, "headers": listed})
        await send({"type": "http.response.body", "body": b"" if head else body})
        return status

    async def _pass_on(
        self,
        response: Response,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        name: str,
        private: bool,
        started: float,
    ) -> None:
        """Let a response send itself, with our headers; counted when it begins, since it may never end."""
        begun = False

        async def add(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                own = {key for key, _ in message["headers"]}
                kept = [item for item in (PRIVATE if private else PUBLIC) if item[0] not in own]
                message["headers"] = [*kept, *message["headers"]]
                self._metrics.count(name, message["status"], perf_counter() - started)
            try:
                async with asyncio.timeout(self._limits.stall):
                    await send(message)
            except TimeoutError as exc:
                raise ClientDisconnect from exc

        try:
            await response(scope, receive, add)
        except ClientDisconnect:
            return
        except Exception as exc:  # noqa: BLE001  # as above
            if begun:
                # Too late for a problem; the connection is cut, so nobody takes a part for the whole.
                self._failed(exc, name)
                raise Cut from None
            reply = self._failed(exc, name)
            status = await self._send(reply, scope, send, {}, private=private)
            self._metrics.count(name, status, perf_counter() - started)

    def _failed(self, exc: Exception, name: str) -> Reply:
        """Return the problem for whatever was raised; what was not foreseen goes to the log, and only there."""
        if isinstance(exc, Problem):
            return exc.reply()
        if isinstance(exc, TimeoutError):
            return Problem("timeout").reply()
        problem = problem_of(exc) if isinstance(exc, SteelyardError) else Problem("internal")
        if problem.status >= 500:
            instance = secrets.token_hex(8)
            # A fault of the chain or the store says all in its words; a bug needs the place.
            bug = None if isinstance(exc, UnavailableError) else exc
            LOG.error("%s: %s: %s", instance, name, exc, exc_info=bug)
            problem.members["instance"] = f"urn:steelyard:{instance}"
        return problem.reply()

    # -- receiving ---------------------------------------------------------------------------------------------

    def _bounded(self, receive: Receive, most: int) -> Receive:
        """Return a receiver that ends with a problem when more comes, or nothing for too long."""
        got = 0

        async def take() -> Message:
            nonlocal got
            try:
                async with asyncio.timeout(self._limits.seconds):
                    message = await receive()
            except TimeoutError as exc:
                raise Problem("timeout", "the body did not arrive") from exc
            if message["type"] == "http.request":
                got += len(message.get("body", b""))
                if got > most:
                    raise Problem("too-large", f"at most {most} bytes")
            return message

        return take

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                self.service.stopping.set()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return


class Cut(Exception):
    """A stream that had begun failed; the server cuts the connection. The cause is in the log already."""


async def read_all(receive: Receive) -> bytes:
    """Return a whole body.

    Raises:
        ClientDisconnect: the caller went away.
        Problem: what the receiver raises.
    """
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _check_media(headers: Headers, wanted: str) -> None:
    given = headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")
    if given != wanted:
        raise Problem("unsupported-media-type", f"this takes {wanted}")


def _check_coding(scope: Scope) -> None:
    for name, value in scope["headers"]:
        if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            raise Problem(
                "unsupported-media-type",
                "no body is taken in a content coding",
                headers={"accept-encoding": "identity"},
            )


def _length(headers: Headers, most: int) -> int:
    """Return the bytes that a body has, as far as is said; at most, and else, ``most``."""
    length = headers.get(b"content-length", b"")
    return min(int(length), most) if length.isdigit() else most


def _check_length(headers: Headers, most: int) -> None:
    length = headers.get(b"content-length", b"0")
    if length.isdigit() and int(length) > most:
        raise Problem("too-large", f"at most {most} bytes")


def _json_wanted(endpoint: Endpoint, accept: bytes) -> bool:
    return not isinstance(endpoint.answer, str) and not replies.takes_json(accept)
