"""How requests are read from a connection: uvicorn's protocol, with the bounds that it does not have.

uvicorn reads a head without an end, in size and in time, as long as bytes come; and what nobody reads, it keeps. Here all of these are
bounded, and so is the number of connections. What is refused here is a problem like any other (docs/api.md, "Problem codes").
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from steelyard.api.problem import Problem
from steelyard.api.service import Limits

WHOLE: Final = "steelyard.whole"
"""Name of the ASGI extension by which the application hands over an answer that it has whole."""
Whole = Callable[[int, bytes, Mapping[str, str], bytes], bool]
"""Takes status, common headers as they leave, further headers with the length, and the body; False if it must be sent as ASGI says."""


class Protocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, limits: Limits, **kwargs: Any) -> None:
        """Take uvicorn's arguments, and the limits."""
        super().__init__(*args, **kwargs)
        self._limits = limits
        self._in_head = True
        self._held = 0
        self._too_large = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, unless there are too many connections."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections:
            self._refuse("not-ready", "too many connections")
        else:
            self._timer = self.loop.call_later(self._limits.seconds, self._late)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read. The parser tells of a header when it is complete, so the bytes before that are counted here."""
        if self.transport.is_closing():
            return
        if self._in_head:
            self._held += len(data)
        super().data_received(data)
        if self._in_head and self._held > self._limits.header:
            self._refuse("headers-too-large", f"at most {self._limits.header} bytes")
        # A head that comes slowly; or a body that comes although all was answered.
        elif self._timer is None and (self._held if self._in_head else self.cycle.response_complete):
            self._timer = self.loop.call_later(self._limits.seconds, self._late)

    def on_message_begin(self) -> None:
        """Begin a request; the one before may have come in the same packet."""
        super().on_message_begin()
        self._held = max(self._held, 1)

    def on_headers_complete(self) -> None:
        """Let the application have the request, if its head is not too large."""
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self._limits.header:
            self._too_large = True
            raise ValueError("too large")  # ends the parser, which has `send_400_response` called
        version, hosts = self.parser.get_http_version(), sum(name == b"host" for name, _ in self.headers)
        # RFC 9112, 3.2: what has no host, or two, may be read otherwise by a proxy in front.
        if version not in ("1.1", "1.0") or hosts > 1 or (version == "1.1" and not hosts):
            raise ValueError("not HTTP/1.1")
        self._in_head = False
        self._held = 0
        self._stop_timer()
        super().on_headers_complete()
        extensions = cast(dict[str, object], self.scope.setdefault("extensions", {}))
        extensions[WHOLE] = partial(write_whole, self.cycle)

    def on_message_complete(self) -> None:
        """Go on with the next request."""
        self._in_head = True
        self._held = 0
        self._stop_timer()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, or has too large a head."""
        del msg
        if self._too_large:
            self._refuse("headers-too-large", f"at most {self._limits.header} bytes")
        else:
            self._refuse("bad-parameter", "that is not HTTP/1.1")

    def timeout_keep_alive_handler(self) -> None:
        """Close; but who has not taken the last answer yet gets some time, and then nothing."""
        if self.transport.is_closing():
            return
        if self.transport.get_write_buffer_size():
            self.timeout_keep_alive_task = self.loop.call_later(self._limits.stall, self.transport.abort)
        else:
            self.transport.close()

    def _late(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if self._in_head and self._held:
            self._refuse("timeout", "the request did not arrive")
        else:
            self.transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, code: str, detail: str) -> None:
        self._stop_timer()
        reply = Problem(code, detail).reply()
        head = [f"HTTP/1.1 {reply.status} {code}", "connection: close", "x-content-type-options: nosniff"]
        head += [f"{name}: {value}" for name, value in reply.headers.items()]
        head += [f"content-length: {len(reply.body)}", "", ""]
        self.transport.write("\r\n".join(head).encode() + reply.body)
        self.transport.close()


def write_whole(
    cycle: RequestResponseCycle, status: int, common: bytes, own: Mapping[str, str], body: bytes
) -> bool:
    """Write an answer at once, if nothing is in its way: half the time of uvicorn's, which looks at each header twice."""
    if cycle.response_started or cycle.disconnected or not cycle.keep_alive or cycle.flow.write_paused:
        return False
    if not "".join(own.values()).isprintable():
        return False  # where there is a line feed, uvicorn refuses
    lines = [f"{name}: {value}\r\n" for name, value in own.items()]
    given = [name + b": " + value + b"\r\n" for name, value in cycle.default_headers]
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    cycle.message_event.set()
    cycle.transport.write(
        b"".join((STATUS_LINE[status], *given, common, "".join(lines).encode("latin-1"), b"\r\n", body))
    )
    cycle.on_response()
    return True


def protocol(limits: Limits) -> type[asyncio.Protocol]:
    """Return the protocol for uvicorn's configuration."""
    make: Callable[..., Protocol] = partial(Protocol, limits=limits)
    return cast(type[asyncio.Protocol], make)
