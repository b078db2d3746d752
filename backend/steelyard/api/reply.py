"""From an endpoint's answer to bytes: JSON, entity tags, links, compression (docs/api.md, "Form")."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from steelyard.api.route import Answer
from steelyard.api.service import Reply
from steelyard.domain.plain import plain

JSON: Final = "application/json"
LEAST_GZIP: Final = 1_400
"""Bytes below which compression saves no packet."""
_LEVEL: Final = 1
"""Of zlib. Ids and hashes do not shrink below half of their hexadecimal form, whatever the level; 1 is four times as fast as 6."""
_ENCODER: Final = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A value that is JSON already, and the cursor of the page after it, if it is one."""

    body: bytes
    next: str | None = None


def write(value: object) -> bytes:
    """Return a value as JSON, by the one rule."""
    return _ENCODER.encode(plain(value))


def reply_of(answer: Answer, *, method: str, raw_path: bytes, query: bytes, private: bool) -> Reply:
    """Return an answer as it leaves.

    Args:
        answer: of the endpoint.
        method: of the request.
        raw_path: of the request, percent-encoded.
        query: of the request.
        private: it is for who is signed in only, so nobody may keep it.
    """
    body = answer.value.body if isinstance(answer.value, Written) else write(answer.value)
    headers = {"content-type": JSON, **answer.headers}
    if answer.status == 204:
        return Reply(status=204, headers=dict(answer.headers), body=b"")
    if method == "GET" and answer.status == 200 and not private:
        headers.setdefault("etag", tag_of(body))
        following = getattr(answer.value, "next", None)
        if isinstance(following, str):
            headers["link"] = f'<{_next_url(raw_path, query, following)}>; rel="next"'
    return Reply(status=answer.status, headers=headers, body=body)


def tag_of(body: bytes) -> str:
    """Return the entity tag of a body. Weak, since its compressed form has the same one.

    It is made of the bytes: they name the block that they are of, and a card that comes later changes them too.
    """
    return f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'


def matches(header: str, tag: str) -> bool:
    """Return whether an ``If-None-Match`` holds for a tag, by weak comparison (RFC 9110, 13.1.2)."""
    if header.strip() == "*":
        return True
    plain_tag = tag.removeprefix("W/")
    return any(item.strip().removeprefix("W/") == plain_tag for item in header.split(","))


def takes_gzip(header: bytes) -> bool:
    """Return whether ``Accept-Encoding`` takes gzip."""
    for item in header.lower().split(b","):
        coding, _, weight = item.partition(b";")
        if coding.strip() in (b"gzip", b"x-gzip", b"*"):
            return weight.replace(b" ", b"") not in (b"q=0", b"q=0.0", b"q=0.00", b"q=0.000")
    return False


def takes_json(header: bytes) -> bool:
    """Return whether ``Accept`` takes JSON, or a problem in its place."""
    if header == b"*/*":
        return True
    wanted = (b"*/*", b"application/*", b"application/json", b"application/problem+json")
    return any(item.partition(b";")[0].strip().lower() in wanted for item in header.split(b","))


def zipped(body: bytes) -> bytes:
    """Return a body in gzip, the same for the same bytes."""
    return gzip.compress(body, _LEVEL, mtime=0)


def header_list(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Return headers as ASGI has them."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def _next_url(raw_path: bytes, query: bytes, cursor: str) -> str:
    kept = [part for part in query.split(b"&") if part and part.partition(b"=")[0] != b"cursor"]
    kept.append(b"cursor=" + cursor.encode())
    # What was sent stands in a header now: the server let no line feed in, and > would end the link.
    return (raw_path + b"?" + b"&".join(kept)).replace(b">", b"%3E").decode("latin-1")
