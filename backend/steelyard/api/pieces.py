"""Answers that are made piece by piece in a thread and sent as they come, in constant memory."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from steelyard.api.service import Service

LARGE: Final = 65_536
"""Bytes of text that are gathered before they are sent."""


class Pieces(Response):
    """A body out of an iterator that works in a thread: one piece is sent while the next one is made."""

    def __init__(
        self,
        service: Service,
        pieces: Iterator[bytes],
        *,
        status: int = 200,
        headers: Mapping[str, str],
        first: bytes | None = None,
        done: Callable[[], None] = lambda: None,
    ) -> None:
        """Take the iterator over; it is closed, and ``done`` called, however this ends.

        Args:
            service: with the threads.
            pieces: what comes after the first one.
            status: HTTP status.
            headers: all of them; with a length, or chunks are sent.
            first: a piece that was made already, so that its failure could still be a problem.
            done: called once at the end.
        """
        self.status_code = status
        self.background = None
        self.raw_headers = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()
        ]
        self._service = service
        self._pieces = pieces
        self._first = first
        self._done = done

    def first(self, piece: bytes) -> None:
        """Take the first piece, which was made before anything is sent."""
        self._first = piece

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; a piece that fails ends the connection, so that nobody takes a part for the whole."""
        gone = asyncio.ensure_future(_until_gone(receive))
        following: asyncio.Future[bytes | None] | None = None
        try:
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            if scope["method"] != "HEAD":
                piece = self._first
                if piece is None:
                    piece = await self._next()
                while piece is not None and not gone.done():
                    following = asyncio.ensure_future(self._next())
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                    piece, following = await following, None
            await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
            await self.close(following)

    async def close(self, following: asyncio.Future[bytes | None] | None = None) -> None:
        """Let go of the iterator; a thread that is still in it is waited for, also if we are cancelled."""

        async def end() -> None:
            if following is not None:
                await asyncio.gather(following, return_exceptions=True)
            try:
                if isinstance(self._pieces, Generator):
                    await self._service.work(self._pieces.close)
            finally:
                self._done()

        await asyncio.shield(end())

    async def _next(self) -> bytes | None:
        return await self._service.work(next, self._pieces, None)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def gathered(lines: Iterator[str]) -> Iterator[bytes]:
    """Yield text as pieces of some 64 KiB."""
    held: list[str] = []
    size = 0
    for line in lines:
        held.append(line)
        size += len(line)
        if size >= LARGE:
            yield "".join(held).encode()
            held, size = [], 0
    if held:
        yield "".join(held).encode()


def compressed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield pieces in gzip."""
    packer = zlib.compressobj(level=1, wbits=31)
    for piece in pieces:
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()
