"""Files of public folders, and blocks: what a buyer pulls and anybody checks (docs/api.md, "Reading").

Every block is hashed against its name before a byte of it leaves, here and not only where it came from: so a false store is found by the
service, and a false service by the client, which hashes again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from starlette.responses import Response

from steelyard.api.fields import read_version
from steelyard.api.pieces import Pieces
from steelyard.api.problem import Problem
from steelyard.api.read import ask
from steelyard.api.reply import matches
from steelyard.api.route import Call, Endpoint
from steelyard.errors import InputError, NotFoundError, VerificationError
from steelyard.query import entities
from steelyard.service.public import MAX_ENTRIES
from steelyard.storage.base import Store
from steelyard.storage.cid import CID, parse_cid

FOREVER: Final = "public, max-age=31536000, immutable"
"""What is named by its content does not change."""
MEDIA_TYPE: Final = "application/octet-stream"
"""Of everything that sellers wrote: no browser shows it as a page of ours."""
BLOCK_TYPE: Final = "application/vnd.ipld.raw"
"""Of the trustless gateway specification of IPFS."""
_RANGE: Final = re.compile(r"bytes=(?:([0-9]{1,15})-([0-9]{0,15})|-([0-9]{1,15}))", re.ASCII)


async def get_file(call: Call) -> Response:
    """Send a file of a version's public folder, or a range of it."""
    service, name = call.service, call.path["name"]
    version = await ask(
        call,
        lambda reader: entities.version(
            reader, read_version(service, "version", call.path["version"], reader)
        ),
    )
    cid, size = await service.thread(_find, service.context.store, version.cid, name)
    return await _send(call, cid, size, name.rpartition("/")[2])


async def get_block(call: Call) -> Response:
    """Send one block. Only what the store has: nobody makes this service fetch for him."""
    try:
        cid = parse_cid(call.path["cid"])
    except InputError as exc:
        raise Problem("bad-parameter", str(exc), parameter="cid") from exc
    tag = f'"{cid}"'
    headers = _headers(tag, BLOCK_TYPE, f"{cid}.bin")
    if _known(call, tag):
        return Response(status_code=304, headers=headers)
    block = await call.service.thread(_block, call.service.context.store, cid)
    return Response(block, headers=headers)


def _block(store: Store, cid: CID) -> bytes:
    if not store.has(cid):
        raise Problem("not-found", "the store does not have this block")
    try:
        return store.get_block(cid)
    except VerificationError as exc:
        raise Problem("store-false", "the store holds other bytes under this name") from exc


def _find(store: Store, folder: str, path: str) -> tuple[CID, int]:
    """Return CID and size of a file below a folder."""
    try:
        at = parse_cid(folder)
        try:
            for name in path.split("/"):
                links = {link.name: link.cid for link in store.list_directory(at, most=MAX_ENTRIES)}
                if name not in links:
                    raise Problem("not-found", "the folder has no such file")
                at = links[name]
            return at, store.file_size(at)
        except NotFoundError as exc:
            raise Problem(
                "store-unavailable", "the store does not have this folder now", retry_after=60
            ) from exc
    except VerificationError as exc:
        raise Problem("store-false", "the store holds something else under this name") from exc
    except InputError as exc:  # a step into a file, or the whole of a directory
        raise Problem("not-found", "that is no file of the folder") from exc


async def _send(call: Call, cid: CID, size: int, name: str) -> Response:
    service, tag = call.service, f'"{cid}"'
    headers = _headers(tag, MEDIA_TYPE, name)
    if _known(call, tag):
        return Response(status_code=304, headers=headers)
    start, stop = _range(call, tag, size)
    status = 200
    if (start, stop) != (0, size):
        status = 206
        headers["content-range"] = f"bytes {start}-{stop - 1}/{size}"
    headers["content-length"] = str(stop - start)
    if call.request.method == "HEAD" or start == stop:
        return Pieces(service, iter(()), status=status, headers=headers)
    pieces = _checked(service.context.store, cid, start, stop - start)
    try:
        first = await service.thread(next, pieces, b"")
    except NotFoundError as exc:
        raise Problem(
            "store-unavailable", "the store does not have all of this file now", retry_after=60
        ) from exc
    return Pieces(service, pieces, status=status, headers=headers, first=first)


def _checked(store: Store, cid: CID, offset: int, length: int) -> Iterator[bytes]:
    try:
        yield from store.stream_file(cid, offset=offset, length=length)
    except VerificationError as exc:
        raise Problem("store-false", "the store holds something else under this name") from exc


def _range(call: Call, tag: str, size: int) -> tuple[int, int]:
    """Return the first byte and the one after the last: of one range, or of everything (RFC 9110, 14.2)."""
    header = call.request.headers.get("range")
    condition = call.request.headers.get("if-range")
    if header is None or call.request.method != "GET" or (condition is not None and condition.strip() != tag):
        return 0, size
    match = _RANGE.fullmatch(header.replace(" ", ""))
    if match is None:  # several ranges, or another unit: a server may send everything
        return 0, size
    first, last, suffix = match.groups()
    if suffix is not None:
        start, stop = max(0, size - int(suffix)), size
    else:
        start, stop = int(first), min(size, int(last) + 1 if last else size)
        if last and int(last) < start:
            return 0, size
    if start >= size or start >= stop:
        raise Problem(
            "range-not-satisfiable",
            f"the file has {size} bytes",
            headers={"content-range": f"bytes */{size}"},
        )
    return start, stop


def _known(call: Call, tag: str) -> bool:
    header = call.request.headers.get("if-none-match")
    return header is not None and matches(header, tag)


def _headers(tag: str, media: str, name: str) -> dict[str, str]:
    return {
        "content-type": media,
        "etag": tag,
        "cache-control": FOREVER,
        "accept-ranges": "bytes" if media == MEDIA_TYPE else "none",
        "content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
    }


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        method="GET",
        path="/v1/versions/{version}/files/{name}",
        handler=get_file,
        name="get_file",
        summary="A file of the public folder; with Range",
        tag="files",
        answer=MEDIA_TYPE,
        problems=(
            *("bad-reference", "not-found", "range-not-satisfiable", "store-false"),
            *("store-unavailable", "not-ready"),
        ),
    ),
    Endpoint(
        method="GET",
        path="/v1/blocks/{cid}",
        handler=get_block,
        name="get_block",
        summary="One block by its content identifier",
        tag="files",
        answer=BLOCK_TYPE,
        problems=("not-found", "store-false", "store-unavailable", "not-ready"),
    ),
)
