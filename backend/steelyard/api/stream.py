"""Live changes as server-sent events (docs/api.md, "Live changes"; WHATWG HTML, "Server-sent events")."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from steelyard.api.feed import Feed, Listener
from steelyard.api.fields import MAX_INTEGER
from steelyard.api.limits import Counts, caller_of
from steelyard.api.problem import Problem
from steelyard.api.route import Call, Endpoint
from steelyard.api.service import Service
from steelyard.domain.types import Address, AssetId, VersionId
from steelyard.query.events import kind_numbers
from steelyard.query.model import EventQuery, Party

MEDIA_TYPE: Final = "text/event-stream"
COMMENT: Final = 15.0
"""Seconds after which something is sent, so that nothing between takes the connection for dead."""
_HEADERS: Final = {
    "content-type": MEDIA_TYPE,
    "cache-control": "no-store",
    "x-accel-buffering": "no",  # of nginx, which would keep it to itself
}
# How long a client waits before it comes back.
_HELLO: Final = b"retry: 2000\n\n"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StreamQuery:
    """Filters as of ``EventQuery``; ``after`` is a place: only entries after it, 0 for all."""

    asset: AssetId | None = None
    version: VersionId | None = None
    account: Address | None = None
    party: Party | None = None
    kinds: tuple[str, ...] = ()
    currency: Address | None = None
    at_least: int | None = None
    at_most: int | None = None
    after: int | None = None


class EventStream(Response):
    """One stream: sends what the feed leaves for it, until the caller goes or the service stops."""

    def __init__(self, service: Service, feed: Feed, listener: Listener, counts: Counts, caller: str) -> None:
        """Take a place that was entered in ``counts``; it is given back at the end."""
        self.status_code = 200
        self.background = None
        self.raw_headers = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
        self._service = service
        self._feed = feed
        self._listener = listener
        self._counts = counts
        self._caller = caller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream."""
        listener, stopping = self._listener, self._service.stopping
        gone = asyncio.ensure_future(_until_gone(receive, listener))
        stop = asyncio.ensure_future(_until_set(stopping, listener))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b""})
                return
            await send({"type": "http.response.body", "body": _HELLO, "more_body": True})
            self._feed.add(listener)
            while not gone.done() and not stopping.is_set():
                piece = await self._piece()
                if gone.done():
                    break
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._feed.remove(listener)
            self._counts.leave(self._caller)
            gone.cancel()
            stop.cancel()

    async def _piece(self) -> bytes:
        """Return what is to be sent next: an empty comment if nothing came for too long."""
        listener = self._listener
        if not listener.ready:
            listener.woken.clear()
            try:
                async with asyncio.timeout(COMMENT):
                    await listener.woken.wait()
            except TimeoutError:
                pass
        if not listener.ready:
            return b":\n\n"
        full = len(listener.ready) > 1
        piece = listener.ready.popleft()
        if full:
            self._feed.pull()
        return piece


async def _until_gone(receive: Receive, listener: Listener) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    listener.woken.set()


async def _until_set(event: asyncio.Event, listener: Listener) -> None:
    await event.wait()
    listener.woken.set()


async def get_stream(call: Call) -> Response:
    """Begin a stream."""
    service, asked = call.service, call.query
    if service.stopping.is_set():
        raise Problem("not-ready", "the service is stopping", retry_after=1)
    if asked.party is not None and asked.account is None:
        raise Problem(
            "bad-parameter", "party says how an account is concerned: give the account too", parameter="party"
        )
    kind_numbers(asked.kinds)
    given = {
        item.name: getattr(asked, item.name) for item in dataclasses.fields(asked) if item.name != "after"
    }
    told, block = _resume(call)
    listener = Listener(query=EventQuery(**given, newest_first=False), told=told, block=block)
    listener.sent = -1 if told is None or not block else told
    if service.feed is None:
        limits = service.options.limits
        service.feed = Feed(service)
        service.streams = Counts(each=limits.streams, together=limits.all_streams)
    assert service.streams is not None
    caller = caller_of(call.request.scope["client"], call.request.scope["headers"], service.options.proxies)
    if not service.streams.enter(caller):
        raise Problem("too-many-requests", "too many streams are open", retry_after=10)
    return EventStream(service, service.feed, listener, service.streams, caller)


def _resume(call: Call) -> tuple[int | None, bytes]:
    """Return the place to go on after, and the beginning of the hash of its block, from ``Last-Event-ID`` or ``after``."""
    header = call.request.headers.get("last-event-id")
    if not header:
        after: int | None = call.query.after
        return after, b""
    place, dash, digits = header.partition("-")
    try:
        block = bytes.fromhex(digits)
    except ValueError:
        block = b""
    right = place.isascii() and place.isdigit() and len(place) <= 16 and int(place) <= MAX_INTEGER
    if not right or len(block) != (8 if dash else 0):
        raise Problem("bad-parameter", "that is no id of this stream", parameter="Last-Event-ID")
    return int(place), block


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        method="GET",
        path="/v1/events/stream",
        handler=get_stream,
        name="stream_events",
        summary="Entries as they come, as server-sent events",
        tag="trail",
        query=StreamQuery,
        answer=MEDIA_TYPE,
        problems=("bad-reference", "not-found", "too-many-requests", "not-ready"),
    ),
)
