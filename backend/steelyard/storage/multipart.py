"""Streaming readers for an HTTP request's body: its transfer encoding, and ``multipart/form-data``.

Constant memory: a part is read as a stream, and its end is found while it is read. Everything with a length
is bounded.

Sources: RFC 9112 section 7.1 (chunked), RFC 2046 section 5.1 and RFC 7578 (multipart).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from io import BufferedIOBase
from typing import BinaryIO
from urllib.parse import unquote

from steelyard.errors import InputError

MAX_PARTS = 10_000
"""Most parts of one request."""

MAX_PART_HEADERS = 8192
"""Most bytes of the headers of one part."""

_PIECE = 1 << 16
_CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]{1,16})(?:;[^\r\n]*)?\r\n")
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")


class Body:
    """The bytes of a request's body; `read` returns ``b""`` at its end."""

    def __init__(
        self, file: BinaryIO | BufferedIOBase, headers: Mapping[str, str] | Message, *, limit: int
    ) -> None:
        """Read from the connection as the headers say.

        Args:
            file: the connection.
            headers: of the request.
            limit: most bytes of the body.

        Raises:
            InputError: the headers contradict each other, or declare more than the limit.
        """
        self._file = file
        self._room = limit
        lengths = _all(headers, "Content-Length")
        codings = _all(headers, "Transfer-Encoding")
        # Two framings in one request are how requests are smuggled past a proxy.
        if len(lengths) + len(codings) > 1 or (codings and codings[0].lower() != "chunked"):
            raise InputError("the request must have one Content-Length, or Transfer-Encoding: chunked")
        if lengths and not re.fullmatch(r"[0-9]{1,18}", lengths[0]):
            raise InputError("malformed Content-Length")
        self.chunked = bool(codings)
        self.finished = False
        self._left = 0 if self.chunked else int(lengths[0]) if lengths else 0
        if self._left > limit:
            raise InputError(f"the request's body is above the limit of {limit} bytes")
        if not self.chunked and not self._left:
            self.finished = True

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, fewer when no more are there yet.

        Raises:
            InputError: the body is cut off, malformed, or above the limit.
        """
        if self.chunked and not self._left and not self.finished:
            self._next_chunk()
        if self.finished:
            return b""
        data = self._file.read(min(size, self._left))
        if not data:
            raise InputError("the request's body was cut off")
        self._left -= len(data)
        if self.chunked:
            if not self._left and self._file.read(2) != b"\r\n":
                raise InputError("malformed chunk in the request's body")
        elif not self._left:
            self.finished = True
        return data

    def _next_chunk(self) -> None:
        match = _CHUNK_SIZE.fullmatch(self._file.readline(1024))
        if match is None:
            raise InputError("malformed chunk size in the request's body")
        self._left = int(match[1], 16)
        self._room -= self._left
        if self._room < 0:
            raise InputError("the request's body is above the limit")
        if self._left:
            return
        for _ in range(16):
            line = self._file.readline(1024)
            if line == b"\r\n":
                self.finished = True
                return
            if not line.endswith(b"\n"):
                break
        raise InputError("malformed trailer in the request's body")


@dataclass(frozen=True)
class Part:
    """One part of a form; read it to its end before asking for the next.

    Attributes:
        filename: as sent, with percent-encoding undone; None if there was none.
        content_type: in lower case, without parameters.
    """

    filename: str | None
    content_type: str
    _form: Form

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, and ``b""`` only at the end of the part."""
        return self._form.read(size)


class Form:
    """Splits a body into its parts."""

    def __init__(self, body: Body, content_type: str) -> None:
        """Start at the first boundary.

        Raises:
            InputError: the content type is not ``multipart/form-data`` with a boundary.
        """
        message = Message()
        message["Content-Type"] = content_type
        boundary = message.get_param("boundary")
        if message.get_content_type() != "multipart/form-data" or not isinstance(boundary, str):
            raise InputError("the request's body must be multipart/form-data")
        if not _BOUNDARY.fullmatch(boundary):
            raise InputError("malformed multipart boundary")
        self._body = body
        self._mark = b"\r\n--" + boundary.encode("ascii")
        # The first boundary may open the body: a line end in front makes it look like all the others.
        self._buffer = bytearray(b"\r\n")
        self._in_part = True

    def parts(self) -> Iterator[Part]:
        """Yield each part; what is left unread of one is skipped.

        Raises:
            InputError: malformed, cut off, or more than MAX_PARTS parts.
        """
        for _ in range(MAX_PARTS + 1):
            while self.read(_PIECE):
                pass
            if not self._next_part():
                while self._body.read(_PIECE):
                    pass
                return
            yield self._headers()
        raise InputError(f"more than {MAX_PARTS} parts in one request")

    def read(self, size: int) -> bytes:
        """Return at most ``size`` bytes of the current part, and ``b""`` only at its end."""
        if not self._in_part:
            return b""
        window = size + len(self._mark)
        # Filled first and searched once: a body in pieces of 8 KiB would otherwise be searched 128 times for
        # each leaf.
        while len(self._buffer) < window and (data := self._body.read(window)):
            self._buffer += data
        at = self._buffer.find(self._mark, 0, window)
        if at == 0:
            self._in_part = False
            return b""
        if at < 0 and len(self._buffer) < window:
            raise InputError("the form was cut off")
        return self._take(size if at < 0 else min(size, at))

    def _next_part(self) -> bool:
        """Step over a boundary; return whether a part follows."""
        del self._buffer[: len(self._mark)]
        while len(self._buffer) < 2:
            self._more(_PIECE)
        after = self._take(2)
        if after == b"--":
            return False
        if after != b"\r\n":
            raise InputError("malformed multipart boundary line")
        return True

    def _headers(self) -> Part:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0 or end > MAX_PART_HEADERS:
            if len(self._buffer) > MAX_PART_HEADERS:
                raise InputError(f"the headers of a part are above {MAX_PART_HEADERS} bytes")
            self._more(_PIECE)
        message = Message()
        try:
            for line in self._take(end).decode("utf-8").split("\r\n"):
                name, colon, value = line.partition(":")
                if not colon:
                    raise InputError("malformed header in a part")
                message[name.strip()] = value.strip()
            del self._buffer[:4]
            filename = message.get_param("filename", header="Content-Disposition")
            if filename is not None and not isinstance(filename, str):
                raise InputError("extended filename parameters are not supported")
            name_sent = None if filename is None else unquote(filename, errors="strict")
        except UnicodeDecodeError as exc:
            raise InputError("the headers of a part are not UTF-8") from exc
        self._in_part = True
        return Part(filename=name_sent, content_type=message.get_content_type(), _form=self)

    def _take(self, size: int) -> bytes:
        data = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        return data

    def _more(self, size: int) -> None:
        data = self._body.read(size)
        if not data:
            raise InputError("the form was cut off")
        self._buffer += data


def _all(headers: Mapping[str, str] | Message, name: str) -> list[str]:
    if isinstance(headers, Message):
        return [str(value).strip(" \t") for value in headers.get_all(name, [])]
    return [headers[name].strip(" \t")] if name in headers else []
