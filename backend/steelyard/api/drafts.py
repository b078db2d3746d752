"""Drafts: plaintext that becomes a version here. Only where a seller runs the service for himself, and for his own session.

A file comes in parts, each behind the one before; it appears in the draft when it is whole. Publishing seals the draft
with the account of this service and sends the transaction, as ``Market.publish`` does, while its progress can be asked.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.requests import Request

from steelyard.api.jobs import DONE, FAILED, RUNNING, Progress
from steelyard.api.problem import Problem
from steelyard.api.route import Answer, Call, Endpoint
from steelyard.api.service import Service
from steelyard.api.session import state_of
from steelyard.domain.paths import check_path, check_tree
from steelyard.domain.types import name_of, name_word
from steelyard.errors import InputError
from steelyard.service.seller_methods import as_kind

MAX_PART: Final = 64 << 20
"""Most bytes of one request; a larger file comes in several."""
MAX_FILES: Final = 10_000
FILE_TYPE: Final = "application/octet-stream"
_BUFFER: Final = 1 << 20
_RANGE: Final = re.compile(r"bytes ([0-9]{1,16})-([0-9]{1,16})/([0-9]{1,16})", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class DraftFile:
    """A file of a draft: bytes that came, and bytes in all as the last part said."""

    path: str
    stored: int
    total: int


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A draft.

    Attributes:
        name: of the draft, and of a new asset.
        state: ``open``, ``publishing``, ``published`` or ``failed``.
        files: whole ones and those under way.
        what: what is being done while publishing: ``hash``, ``seal``.
        done: bytes of it that are done.
        total: bytes of it in all.
        result: what came of publishing: ``ref``, ``asset``, ``version``, ``tx``; or ``code`` and ``detail``.
    """

    name: str
    state: str
    files: tuple[DraftFile, ...]
    what: str = ""
    done: int = 0
    total: int = 0
    result: Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class PublishDraft:
    """How a draft is published: as a new asset of the draft's name, or as a version of ``asset``."""

    kind: str = "model"
    royalty: int = 0
    asset: str | None = None


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of a file: its first byte, the byte after its last, and the bytes of the whole file."""

    start: int
    end: int
    total: int


def parse_part(content_range: str | None, content_length: str | None) -> Part:
    """Return which part of a file a request brings (RFC 9110, 14.4).

    Raises:
        Problem: the header is malformed, or there is neither it nor a length.
    """
    if content_range is None:
        if content_length is None or not content_length.isascii() or not content_length.isdigit():
            raise Problem("bad-parameter", "give Content-Range or Content-Length", parameter="Content-Range")
        return Part(start=0, end=int(content_length), total=int(content_length))
    found = _RANGE.fullmatch(content_range)
    if found is None:
        raise Problem("bad-parameter", "Content-Range is 'bytes first-last/total'", parameter="Content-Range")
    first, last, total = (int(item) for item in found.groups())
    if not first <= last < total:
        raise Problem("bad-parameter", "Content-Range is out of order", parameter="Content-Range")
    return Part(start=first, end=last + 1, total=total)


class Folder:
    """The files of one draft, below a folder that only the service's user can read."""

    def __init__(self, root: Path, name: str) -> None:
        """Name the draft; nothing is made yet.

        Raises:
            Problem: it cannot be an asset's name.
        """
        try:
            self.name = name_of(name_word(name))
        except InputError as exc:
            raise Problem("bad-parameter", str(exc), parameter="name") from exc
        self.root = root / self.name
        self.files = self.root / "files"
        self._parts = self.root / "parts"

    def exists(self) -> bool:
        """Return whether anything came."""
        return self.root.is_dir()

    def whole(self) -> dict[str, int]:
        """Return the bytes of each whole file, by path."""
        found: dict[str, int] = {}
        for folder, _, names in os.walk(self.files):
            for name in names:
                place = Path(folder) / name
                found[place.relative_to(self.files).as_posix()] = place.stat().st_size
        return dict(sorted(found.items()))

    def partial(self) -> dict[str, tuple[int, int]]:
        """Return bytes that came and bytes in all of each file under way, by path."""
        found = {}
        if self._parts.is_dir():
            for place in self._parts.glob("*.part"):
                total, _, path = place.with_suffix(".path").read_text("utf-8").partition(" ")
                found[path] = (place.stat().st_size, int(total))
        return dict(sorted(found.items()))

    def check(self, path: str, *, total: int, quota: int) -> None:
        """Check that a file may come.

        Raises:
            Problem: its path is not allowed or meets another one, or the draft would be too large.
        """
        whole, partial = self.whole(), self.partial()
        sizes = {**whole, **{name: size for name, (_, size) in partial.items()}, path: total}
        try:
            check_path(path)
            check_tree(sorted(sizes))
        except InputError as exc:
            raise Problem("bad-parameter", str(exc), parameter="path") from exc
        if len(sizes) > MAX_FILES or sum(sizes.values()) > quota:
            raise Problem("too-large", f"a draft has at most {MAX_FILES} files and {quota} bytes")

    def open_part(self, path: str, part: Part) -> int:
        """Open the part file of a path where a part begins, for this request alone.

        Raises:
            Problem: ``range-not-satisfiable``: it begins elsewhere than where the file ends; ``conflict``: it is being written.
        """
        for folder in (self.files, self._parts):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        place = self._place(path)
        handle = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as exc:
                raise Problem("conflict", "this file is being written by another request") from exc
            size = os.fstat(handle).st_size
            if part.start == 0:
                os.ftruncate(handle, 0)
                place.with_suffix(".path").write_text(f"{part.total} {path}", "utf-8")
            elif (
                part.start != size or place.with_suffix(".path").read_text("utf-8") != f"{part.total} {path}"
            ):
                range_ = f"bytes */{size}"
                raise Problem(
                    "range-not-satisfiable", f"{size} bytes came so far", headers={"content-range": range_}
                )
            os.lseek(handle, part.start, os.SEEK_SET)
        except BaseException:
            os.close(handle)
            raise
        return handle

    def close_part(self, handle: int, path: str, part: Part) -> bool:
        """Flush what came; move a file that is whole to its place. Returns whether it is whole."""
        os.fsync(handle)
        if os.fstat(handle).st_size != part.total:
            return False
        target = self.files / path
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        place = self._place(path)
        os.replace(place, target)
        place.with_suffix(".path").unlink(missing_ok=True)
        return True

    def remove(self) -> None:
        """Delete the draft."""
        shutil.rmtree(self.root, ignore_errors=True)

    def _place(self, path: str) -> Path:
        return self._parts / f"{hashlib.sha256(path.encode()).hexdigest()}.part"


async def put_file(call: Call) -> Answer:
    """Take a file of a draft, or the next part of it."""
    service, folder = call.service, _folder(call)
    path, request = call.path["path"], call.request
    part = parse_part(request.headers.get("content-range"), request.headers.get("content-length"))
    await service.thread(_require_idle, service, folder)
    await service.thread(folder.check, path, total=part.total, quota=service.options.quota)
    handle = await service.thread(folder.open_part, path, part)
    try:
        await _receive(request, handle, part)
        whole = await asyncio.to_thread(folder.close_part, handle, path, part)
    finally:
        os.close(handle)
    return Answer(value=DraftFile(path=path, stored=part.end, total=part.total), status=201 if whole else 202)


async def _receive(request: Request, handle: int, part: Part) -> None:
    """Write a body behind what came; a body that breaks off leaves what arrived, which the next part begins behind."""
    buffer, left = bytearray(), part.end - part.start
    async for chunk in request.stream():
        left -= len(chunk)
        if left < 0:
            raise Problem("bad-parameter", "the body is longer than it said", parameter="Content-Range")
        buffer += chunk
        if len(buffer) >= _BUFFER:
            await asyncio.to_thread(_write, handle, bytes(buffer))
            buffer.clear()
    await asyncio.to_thread(_write, handle, bytes(buffer))
    if left:
        raise Problem("bad-parameter", "the body is shorter than it said", parameter="Content-Range")


async def get_draft(call: Call) -> Answer:
    """Show a draft."""
    return Answer(value=await call.service.thread(_shown, call.service, _folder(call)))


async def post_publish(call: Call) -> Answer:
    """Begin to publish a draft; its progress is asked of the draft."""
    service, folder, body = call.service, _folder(call), call.body
    await service.thread(_begin, service, folder, body)
    return Answer(value=await service.thread(_shown, service, folder), status=202)


async def delete_draft(call: Call) -> Answer:
    """Delete a draft."""
    service, folder = call.service, _folder(call)
    await service.thread(_require_idle, service, folder)
    await service.thread(folder.remove)
    await service.thread(state_of(service).jobs.forget, _job(folder))
    return Answer(value=None, status=204)


def _begin(service: Service, folder: Folder, body: PublishDraft) -> None:
    if not folder.whole():
        raise Problem("not-found", "the draft has no whole file")
    if folder.partial():
        raise Problem("conflict", "files of the draft are not whole yet")
    try:
        kind = as_kind(body.kind)  # type: ignore[arg-type]  # it checks the text
    except InputError as exc:
        raise Problem("bad-body", str(exc), parameter="kind") from exc
    state_of(service).jobs.start(
        _job(folder), lambda progress: _publish(service, folder, kind.name.lower(), body, progress)
    )


def _publish(
    service: Service, folder: Folder, kind: str, body: PublishDraft, progress: Progress
) -> Mapping[str, object]:
    market = service.market
    if body.asset is None:
        made = market.publish(
            folder.files,
            name=folder.name,
            kind=kind,  # type: ignore[arg-type]  # checked
            royalty=body.royalty,
            progress=progress,
        )
    else:
        made = market.new_version(body.asset, folder.files, progress=progress)
    # The plaintext is the seller's, and he has it; what is sealed lies in the store.
    folder.remove()
    return {
        "ref": made.ref,
        "asset": "0x" + made.asset.hex(),
        "version": "0x" + made.version.hex(),
        "cid": made.cid,
        "tx": None if made.tx is None else "0x" + made.tx.hex(),
    }


def _shown(service: Service, folder: Folder) -> Draft:
    job = state_of(service).jobs.look(_job(folder))
    if job is None and not folder.exists():
        raise Problem("not-found", "there is no such draft")
    files = [DraftFile(path=path, stored=size, total=size) for path, size in folder.whole().items()]
    files += [
        DraftFile(path=path, stored=size, total=total) for path, (size, total) in folder.partial().items()
    ]
    words = {RUNNING: "publishing", DONE: "published", FAILED: "failed"}
    if job is None or (job.state == DONE and files):  # a new draft under an old name
        return Draft(name=folder.name, state="open", files=tuple(files), result={})
    return Draft(
        name=folder.name,
        state=words[job.state],
        files=tuple(files),
        what=job.what,
        done=job.done,
        total=job.total,
        result=job.result,
    )


def _require_idle(service: Service, folder: Folder) -> None:
    jobs = state_of(service).jobs
    job = jobs.look(_job(folder))
    if job is not None and job.state == RUNNING:
        raise Problem("conflict", "the draft is being published")
    if job is not None and job.state == DONE:
        jobs.forget(_job(folder))


def _folder(call: Call) -> Folder:
    """Return the draft that a request names.

    Raises:
        Problem: this service takes no plaintext, or not of this account.
    """
    service = call.service
    context = service.context
    if not service.options.accept_plaintext or not context.has_account:
        raise Problem("plaintext-refused", "this service takes no plaintext: seal it, and upload that")
    if call.account != context.account.address:
        raise Problem("plaintext-refused", "this service takes plaintext of its own account only")
    return Folder(context.home / "drafts", call.path["name"])


def _job(folder: Folder) -> str:
    return f"draft:{folder.name}"


def _write(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        method="PUT",
        path="/v1/drafts/{name}/files/{path}",
        handler=put_file,
        name="put_draft_file",
        summary="A file of a draft, or the next part of it (Content-Range); its path is percent-encoded",
        tag="drafts",
        raw=FILE_TYPE,
        answer=DraftFile,
        problems=("plaintext-refused", "range-not-satisfiable", "conflict", "too-large"),
        signed_in=True,
        max_body=MAX_PART,
        status=201,
        also=(202,),
    ),
    Endpoint(
        method="GET",
        path="/v1/drafts/{name}",
        handler=get_draft,
        name="get_draft",
        summary="A draft, and how far its publication is",
        tag="drafts",
        answer=Draft,
        problems=("plaintext-refused", "not-found"),
        signed_in=True,
    ),
    Endpoint(
        method="POST",
        path="/v1/drafts/{name}/publish",
        handler=post_publish,
        name="publish_draft",
        summary="Seal a draft and register it; goes on after the answer",
        tag="drafts",
        body=PublishDraft,
        answer=Draft,
        problems=("plaintext-refused", "not-found", "conflict"),
        signed_in=True,
        idempotent=True,
        status=202,
    ),
    Endpoint(
        method="DELETE",
        path="/v1/drafts/{name}",
        handler=delete_draft,
        name="delete_draft",
        summary="Delete a draft",
        tag="drafts",
        problems=("plaintext-refused", "conflict"),
        signed_in=True,
        status=204,
    ),
)
"""What this module serves."""
