"""The trustless gateway: blocks and archives of them by path, which whoever asks can check by himself.

The answers, without HTTP around them. Nothing is put together for the reader here: a file is answered as the
blocks that it is made of.

Sources: specs.ipfs.tech/http-gateways/trustless-gateway and /path-gateway, RFC 9110 sections 13 and 14.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from email.message import Message
from hashlib import sha256
from itertools import chain
from urllib.parse import parse_qsl, quote, unquote, urlencode

from steelyard.errors import DigestError, InputError, NotFoundError, StoreError, VerificationError
from steelyard.storage.accept import CAR, RAW, Form, choose
from steelyard.storage.car import write_car
from steelyard.storage.cid import CID, Codec, codec_of, digest_of, parse_cid
from steelyard.storage.dagpb import check_name
from steelyard.storage.embedded import EmbeddedStore
from steelyard.storage.reader import MAX_PATH

PREFIX = "/ipfs/"
"""Path under which the gateway stands."""

PROBE = "bafkqaaa"
"""The empty block whose identifier holds it; asked for to see whether this is a trustless gateway."""

DENIED = "denied"
"""File in the store's folder: identifiers that the gateway refuses to serve, one a line, ``#`` for comments."""

_PROBE_CAR = bytes.fromhex("19a265726f6f747381d82a450001550000") + b"\x67version\x01"
_IMMUTABLE = "public, max-age=29030400, immutable"
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.ASCII)
_ENTITY_BYTES = re.compile(r"(-?[0-9]{1,18}):(\*|-?[0-9]{1,18})", re.ASCII)
_SCOPES = ("block", "entity", "all")
_MAX_DENIED = 16 << 20


class Refusal(Exception):
    """A request that is not answered with content.

    Attributes:
        status: of HTTP.
        headers: besides those of every answer.
    """

    def __init__(self, status: int, message: str, **headers: str) -> None:
        """Keep what is answered."""
        super().__init__(message)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@dataclass(frozen=True)
class Answer:
    """What is answered.

    Attributes:
        status: of HTTP.
        headers: all but those about the connection and the length.
        pieces: the body; an error while it is made cuts it off.
        length: bytes of the body, if known beforehand.
    """

    status: int
    headers: dict[str, str]
    pieces: Iterable[bytes] = ()
    length: int | None = None


@dataclass(frozen=True)
class _Wanted:
    """A request that was understood.

    Attributes:
        root: first part of the path.
        names: the rest of it.
        query: parameters of the URL; of repeated ones the last.
        form: what is wanted of it.
    """

    root: str
    names: tuple[str, ...]
    query: dict[str, str]
    form: Form

    @property
    def path(self) -> str:
        return PREFIX + "/".join((self.root, *(quote(name, safe="") for name in self.names)))


def answer(store: EmbeddedStore, target: str, headers: Message) -> Answer:
    """Answer GET or HEAD; for the latter the body is not used.

    Args:
        store: what is served.
        target: path and query as sent.
        headers: of the request.

    Raises:
        Refusal: with a status that says why.
    """
    if "Service-Worker" in headers:
        raise Refusal(400, "no service worker is served")
    wanted = _understand(target, headers)
    if wanted.root == PROBE and not wanted.names:
        return _probe(wanted)
    try:
        cid = parse_cid(wanted.root)
        for name in wanted.names:
            check_name(name)
    except InputError as exc:
        raise Refusal(400, str(exc)) from exc
    try:
        if wanted.form.kind == RAW:
            return _raw(store, wanted, cid, headers)
        return _car(store, wanted, cid, headers)
    except NotFoundError as exc:
        status = 412 if "only-if-cached" in headers.get("Cache-Control", "") else 404
        raise Refusal(status, str(exc)) from exc
    except (DigestError, StoreError) as exc:
        raise Refusal(500, str(exc)) from exc
    except (InputError, VerificationError) as exc:
        # A path that leads through what is no directory, or a block that is no UnixFS.
        raise Refusal(404, str(exc)) from exc


# -- the request -------------------------------------------------------------------------------------------------


def _understand(target: str, headers: Message) -> _Wanted:
    path, _, text = target.partition("?")
    try:
        parts = [unquote(part, errors="strict") for part in path.removeprefix(PREFIX).split("/")]
        query = dict(
            parse_qsl(
                text, keep_blank_values=True, strict_parsing=bool(text), errors="strict", max_num_fields=100
            )
        )
    except ValueError as exc:
        raise Refusal(400, f"malformed request: {exc}") from exc
    if len(parts) > 1 and parts[-1] == "":
        parts.pop()
    if len(parts) > MAX_PATH:
        raise Refusal(400, f"path of {len(parts)} components is above the limit of {MAX_PATH}")
    form = choose(query, headers.get_all("Accept", []))
    if form is None:
        status = 406 if "Accept" in headers or "format" in query else 400
        raise Refusal(
            status,
            "this gateway serves blocks and archives of them only: ask for format=raw or format=car, "
            "or accept application/vnd.ipld.raw or application/vnd.ipld.car; version=1; order=dfs",
        )
    return _Wanted(parts[0], tuple(parts[1:]), query, form)


def _headers(wanted: _Wanted, etag: str, *, named: str, roots: Sequence[str]) -> dict[str, str]:
    """Headers of content: immutable, to be saved and never to be shown; where its path leads, name by name."""
    suffix = "bin" if wanted.form.kind == RAW else "car"
    filename = wanted.query.get("filename") or f"{named}.{suffix}"
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\' else "_" for c in filename)
    disposition = f'attachment; filename="{plain[:200]}"'
    if plain != filename:
        disposition += f"; filename*=UTF-8''{quote(filename[:200], safe='', errors='replace')}"
    found = {
        "Content-Type": wanted.form.content_type,
        "Content-Disposition": disposition,
        "Cache-Control": _IMMUTABLE,
        "ETag": etag,
        "X-Ipfs-Path": wanted.path,
        "X-Ipfs-Roots": ",".join(roots),
        "Accept-Ranges": "bytes" if wanted.form.kind == RAW else "none",
    }
    if wanted.query.get("format") != wanted.form.kind:
        query = wanted.query | {"format": wanted.form.kind}
        if wanted.form.kind == CAR:
            query |= {"car-dups": "y" if wanted.form.repeat else "n"}
        found["Content-Location"] = f"{wanted.path}?{urlencode(query)}"
    return found


def _is_known(headers: Message, etag: str) -> bool:
    """Whether the client has it already (If-None-Match, compared weakly)."""
    given = ",".join(headers.get_all("If-None-Match", []))
    return any(text.strip().removeprefix("W/") in (etag, "*") for text in given.split(","))


def _probe(wanted: _Wanted) -> Answer:
    body = b"" if wanted.form.kind == RAW else _PROBE_CAR
    return Answer(
        200,
        _headers(wanted, f'"{PROBE}.{wanted.form.kind}"', named=PROBE, roots=(PROBE,)),
        (body,),
        len(body),
    )


def _check_denied(store: EmbeddedStore, *cids: CID) -> frozenset[bytes]:
    """Return the digests of all that is denied; one block may be named in two ways.

    Raises:
        Refusal: one of these is.
    """
    try:
        with open(store.path / DENIED, encoding="utf-8") as file:
            lines = file.read(_MAX_DENIED).splitlines()
        named = (line.partition("#")[0].strip().removeprefix(PREFIX) for line in lines)
        denied = frozenset(digest_of(name) for name in named if name)
    except FileNotFoundError:
        return frozenset()
    except (OSError, UnicodeDecodeError, InputError) as exc:
        # Serving on would serve what somebody wanted to hold back.
        raise Refusal(500, f"the list of what is not served cannot be read: {exc}") from exc
    for cid in cids:
        if digest_of(cid) in denied:
            raise Refusal(410, f"{cid} is not served here")
    return denied


# -- one block ---------------------------------------------------------------------------------------------------


def _raw(store: EmbeddedStore, wanted: _Wanted, cid: CID, headers: Message) -> Answer:
    if wanted.names:
        raise Refusal(400, "a block is asked for by its own identifier, without a path")
    _check_denied(store, cid)
    etag = f'"{cid}.raw"'
    if not store.has(cid):
        raise NotFoundError(f"block {cid} is not in this store")
    answered = _headers(wanted, etag, named=cid, roots=(cid,))
    if _is_known(headers, etag):
        return Answer(304, answered)
    block = store.get_block(cid)
    span = _span(headers, etag, len(block))
    if span is None:
        return Answer(200, answered, (block,), len(block))
    first, stop = span
    answered["Content-Range"] = f"bytes {first}-{stop - 1}/{len(block)}"
    return Answer(206, answered, (block[first:stop],), stop - first)


def _span(headers: Message, etag: str, size: int) -> tuple[int, int] | None:
    """Return the first byte and the one after the last that are asked for, or None for all of it.

    Several ranges, and what is not understood, are ignored, as RFC 9110 allows.

    Raises:
        Refusal: it lies outside.
    """
    match = _RANGE.fullmatch(headers.get("Range", "").replace(" ", ""))
    if match is None or match[0] == "bytes=-" or headers.get("If-Range", etag) != etag:
        return None
    first, last = match[1], match[2]
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None
    if start >= stop:
        raise Refusal(416, f"the block has {size} bytes", Content_Range=f"bytes */{size}")
    return start, stop


# -- archives ----------------------------------------------------------------------------------------------------


def _car(store: EmbeddedStore, wanted: _Wanted, root: CID, headers: Message) -> Answer:
    scope, span = _scope(wanted.query)
    trace = store.trace(root, "/".join(wanted.names))
    end = trace.roots[-1]
    denied = _check_denied(store, *trace.blocks, end)
    path = [(cid, store.get_block(cid)) for cid in trace.blocks]
    start = store.get_block(end)
    shape = f"{wanted.path} {scope} {span} {wanted.form.repeat}"
    etag = f'"{end}.car.{sha256(shape.encode()).hexdigest()[:16]}"'
    answered = _headers(wanted, etag, named=root if not wanted.names else end, roots=trace.roots)
    rest: Iterator[tuple[CID, bytes]] = iter(((end, start),))
    if scope == "all" or (scope == "entity" and span is None and _is_file(store, end)):
        rest = store.blocks(end, repeat=wanted.form.repeat)
    elif scope == "entity":
        needed = (
            store.span(end, *_resolve(span, store.file_size(end)))
            if span is not None and _is_file(store, end)
            else store.directory(end)
        )
        first = next(needed)  # what is no directory is refused before anything is sent
        rest = ((cid, store.get_block(cid)) for cid in chain((first,), needed))
    if _is_known(headers, etag):
        return Answer(304, answered)
    blocks = _held_back(chain(path, rest), denied) if denied else chain(path, rest)
    return Answer(200, answered, write_car((end,), blocks))


def _scope(query: dict[str, str]) -> tuple[str, tuple[int, int | None] | None]:
    scope = query.get("dag-scope", "all")
    if scope not in _SCOPES:
        raise Refusal(400, f"dag-scope is one of {', '.join(_SCOPES)}")
    text = query.get("entity-bytes")
    if text is None:
        return scope, None
    match = _ENTITY_BYTES.fullmatch(text)
    if match is None:
        raise Refusal(400, "entity-bytes is FROM:TO, numbers of bytes, and * for the end")
    first, last = int(match[1]), None if match[2] == "*" else int(match[2])
    if last is not None and first > last and (first < 0) == (last < 0):
        raise Refusal(400, "entity-bytes begins after its end")
    return "entity", (first, last)


def _resolve(span: tuple[int, int | None], size: int) -> tuple[int, int]:
    """Return the first byte and the one after the last, within a file of this size."""
    first, last = span
    start = first if first >= 0 else max(0, size + first)
    stop = size if last is None else (last if last >= 0 else size + last) + 1
    if size and (start >= size or stop <= 0):
        raise Refusal(400, f"entity-bytes lies outside of the file, which has {size} bytes")
    return start, min(size, stop)


def _is_file(store: EmbeddedStore, cid: CID) -> bool:
    return codec_of(cid) is Codec.RAW or not store.is_directory(cid)


def _held_back(blocks: Iterator[tuple[CID, bytes]], denied: frozenset[bytes]) -> Iterator[tuple[CID, bytes]]:
    for cid, data in blocks:
        if digest_of(cid) in denied:
            raise NotFoundError(f"{cid} is not served here")
        yield cid, data
