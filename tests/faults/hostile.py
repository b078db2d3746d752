"""The corpus of hostile requests: how it is read, sent byte for byte, and judged.

Each line of ``hostile_requests.json`` is a request (``method``, ``path``, ``headers``, ``body``; or ``raw``, all of it as latin-1)
and the answer it must get: HTTP ``status`` and, for a problem, its ``code``. In the texts ``<<name>>`` stands for something that the
service has, and ``<<5000*ab>>`` for 5,000 times ``ab``.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).with_name("hostile_requests.json")
_TIMES = re.compile(r"<<(\d+)\*(.+?)>>", re.DOTALL)
_NAME = re.compile(r"<<([a-z_]+)>>")
SECONDS = 6.0
"""For one answer, whatever happens."""
TELLING = (b"Traceback", b"site-packages", b"/backend/", b"sqlite3", b"psycopg", b".sqlite")
"""What no answer may hold: places of the machine and words of its libraries."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One request and what must come of it. ``code`` is empty where no problem is expected, or none can be given."""

    name: str
    status: int
    code: str
    method: str = "GET"
    path: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    raw: str | None = None

    def data(self, known: Mapping[str, str]) -> bytes:
        """Return the bytes to send."""
        if self.raw is not None:
            return _expand(self.raw, known).encode("latin-1")
        body = None if self.body is None else _expand(self.body, known).encode("utf-8", "surrogatepass")
        lines = [f"{self.method} {_expand(self.path, known)} HTTP/1.1", f"host: {known['domain']}"]
        lines += [f"{name}: {_expand(value, known)}" for name, value in self.headers.items()]
        if body is not None:
            lines.append(f"content-length: {len(body)}")
        lines += ["connection: close", "", ""]
        return "\r\n".join(lines).encode("utf-8") + (body or b"")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back. ``status`` is 0 if the connection was closed without an answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def cases() -> list[Case]:
    """Read the corpus."""
    return [Case(**item) for item in json.loads(CORPUS.read_text("ascii"))]


def send(host: str, port: int, data: bytes) -> Answer:
    """Send bytes and read the whole answer."""
    with socket.create_connection((host, port), timeout=SECONDS) as connection:
        received = bytearray()
        with contextlib.suppress(OSError):  # the service may answer and close before it has read everything
            connection.sendall(data)
        end = time.monotonic() + SECONDS
        with contextlib.suppress(ConnectionError, TimeoutError):
            while time.monotonic() < end and (piece := connection.recv(65536)):
                received += piece
                if _complete(received):
                    break
    return parse(bytes(received))


def parse(data: bytes) -> Answer:
    """Return the first answer in some bytes."""
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    if not lines[0].startswith("HTTP/1.1 "):
        return Answer(status=0, headers={}, body=data)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return Answer(status=int(lines[0].split()[1]), headers=headers, body=body)


def _complete(received: bytearray) -> bool:
    head, mark, body = bytes(received).partition(b"\r\n\r\n")
    if b"text/event-stream" in head:
        return True  # it would go on for ever
    found = re.search(rb"\r\ncontent-length: *(\d+)", head.lower())
    return bool(mark) and found is not None and len(body) >= int(found[1])


def wrong(case: Case, answer: Answer) -> list[str]:
    """Say what is wrong with an answer."""
    found = []
    code: Any = ""
    if answer.headers.get("content-type", "").startswith("application/problem+json"):
        try:
            code = json.loads(answer.body).get("code", "")
        except ValueError:
            found.append("the problem is no JSON")
    if (answer.status, code) != (case.status, case.code):
        found.append(f"answered {answer.status} {code}, not {case.status} {case.code}: {answer.body[:200]!r}")
    if case.code and not code:
        found.append("is no problem of RFC 9457")
    found += [f"tells {word!r}" for word in TELLING if word in answer.body]
    if len(answer.body) > 4096 and case.status >= 400:
        found.append(f"a problem of {len(answer.body)} bytes")
    return found


def _expand(text: str, known: Mapping[str, str]) -> str:
    text = _TIMES.sub(lambda match: match[2] * int(match[1]), text)
    return _NAME.sub(lambda match: known[match[1]], text)
