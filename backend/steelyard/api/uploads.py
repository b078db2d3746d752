"""Uploads of folders that their sellers sealed: blocks by content, in any order that a tree allows, resumed by asking what is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from steelyard.api import receiving
from steelyard.api.jobs import DONE, FAILED, RUNNING, Job
from steelyard.api.jobs import Progress as JobProgress
from steelyard.api.problem import Problem
from steelyard.api.receiving import Upload
from steelyard.api.route import Answer, Call, Endpoint
from steelyard.api.service import Service
from steelyard.api.session import state_of
from steelyard.errors import NotFoundError
from steelyard.service.inspect import inspect_folder
from steelyard.storage.dagpb import MAX_BLOCK

PATIENCE: Final = 15.0
"""Seconds for which a request waits for a folder to be checked; after that it is asked again."""
BLOCK_TYPE: Final = "application/vnd.ipld.raw"


@dataclass(frozen=True, kw_only=True)
class NewUpload:
    """What is to come: the CID of the folder, and the bytes of all its blocks together."""

    folder: str
    bytes: int


@dataclass(frozen=True, kw_only=True)
class UploadState:
    """How far an upload is.

    Attributes:
        id: of the upload.
        folder: CID.
        bytes: announced.
        stored: bytes of blocks that came.
        state: ``open``, ``checking``, ``complete``.
        missing: CIDs of blocks that are known to be missing, parents first, at most 1,000.
        checked: bytes that were checked, while checking.
    """

    id: str
    folder: str
    bytes: int
    stored: int
    state: str
    missing: tuple[str, ...]
    checked: int = 0


@dataclass(frozen=True, kw_only=True)
class Completed:
    """What a version of the folder commits to, beside asset and key: ``register`` and ``publish-version`` take it.

    ``folder``, ``content_root`` and ``node`` are 32 bytes in hexadecimal, ``size`` is the bytes of the stream.
    """

    cid: str
    folder: str
    content_root: str
    size: int
    node: str
    scheme: int


def is_published(service: Service, digest: bytes) -> bool:
    """Return whether the index has a version with this folder."""
    with service.audit.database.read() as reader:
        return reader.row("SELECT 1 FROM versions WHERE folder = ?", (digest,)) is not None


async def post_upload(call: Call) -> Answer:
    """Open an upload, or find the open one of this folder."""
    service, account = call.service, call.signed_in
    upload, new = await service.thread(
        receiving.open_upload,
        state_of(service),
        account,
        call.body.folder,
        call.body.bytes,
        quota=service.options.quota,
        now=service.now(),
    )
    shown = await service.thread(_shown, service, upload)
    return Answer(value=shown, status=201 if new else 200, headers={"location": f"/v1/uploads/{upload.id}"})


async def put_block(call: Call) -> Answer:
    """Take one block."""
    service = call.service
    data = await call.request.body()
    if len(data) > MAX_BLOCK:
        raise Problem("too-large", f"a block has at most {MAX_BLOCK} bytes")
    await service.thread(
        receiving.take_block,
        state_of(service),
        service.context.store,
        call.signed_in,
        call.path["id"],
        call.path["cid"],
        data,
        now=service.now(),
    )
    return Answer(value=None, status=204)


async def get_upload(call: Call) -> Answer:
    """Tell how far an upload is."""
    service = call.service
    upload = await service.thread(receiving.find_upload, state_of(service), call.signed_in, call.path["id"])
    return Answer(value=await service.thread(_shown, service, upload))


async def post_complete(call: Call) -> Answer:
    """Check the folder and pin it; 202 while that goes on."""
    service, state = call.service, state_of(call.service)
    upload = await service.thread(receiving.find_upload, state, call.signed_in, call.path["id"])
    name = _job(upload)
    job = await service.thread(state.jobs.look, name)
    if job is None or job.state == FAILED:
        future = await service.thread(
            state.jobs.start, name, lambda progress: complete(service, upload, progress)
        )
        if future is not None:
            await asyncio.wait([asyncio.wrap_future(future)], timeout=PATIENCE)
        job = await service.thread(state.jobs.look, name)
    if job is None or job.state == RUNNING:
        return Answer(value=await service.thread(_shown, service, upload), status=202)
    if job.state == FAILED:
        raise job.failure()
    return Answer(value=_completed(job.result))


async def delete_upload(call: Call) -> Answer:
    """Give an upload up."""
    service, state = call.service, state_of(call.service)
    upload = await service.thread(receiving.find_upload, state, call.signed_in, call.path["id"])
    job = await service.thread(state.jobs.look, _job(upload))
    if job is not None and job.state == RUNNING:
        raise Problem("conflict", "the folder is being checked: wait until that has ended")
    await service.thread(_give_up, service, upload)
    return Answer(value=None, status=204)


def complete(service: Service, upload: Upload, progress: JobProgress) -> Mapping[str, object]:
    """Check the folder of an upload and pin it; return what a version commits to.

    Raises:
        Problem: ``conflict`` if blocks are missing.
        VerificationError: it breaks the format.
        StoreError: the store failed.
    """
    state, store = state_of(service), service.context.store
    try:
        found = inspect_folder(
            store, upload.folder, threads=service.context.settings.threads, progress=progress
        )
        kept = store.is_pinned(upload.folder)
        store.pin(upload.folder)
    except NotFoundError as exc:
        receiving.recheck(state, store, upload)
        raise Problem("conflict", "blocks of the folder are missing: ask which") from exc
    receiving.mark_complete(state, upload, kept=kept, now=service.now())
    return {
        "cid": found.cid,
        "folder": "0x" + found.folder.hex(),
        "content_root": "0x" + found.content_root.hex(),
        "size": found.size,
        "node": "0x" + found.node.hex(),
        "scheme": found.scheme,
    }


def _give_up(service: Service, upload: Upload) -> None:
    state = state_of(service)
    receiving.give_up(
        state, service.context.store, upload, published=lambda digest: is_published(service, digest)
    )
    state.jobs.forget(_job(upload))


def _completed(result: Mapping[str, object]) -> Completed:
    return Completed(**result)  # type: ignore[arg-type]  # as `complete` wrote it


def _shown(service: Service, upload: Upload) -> UploadState:
    state = state_of(service)
    # A fresh look: a job may have ended since.
    job: Job | None = state.jobs.look(_job(upload))
    word = "open" if upload.state == receiving.OPEN else "complete"
    checked = 0
    if job is not None and job.state == RUNNING:
        word, checked = "checking", job.done
    elif job is not None and job.state == DONE:
        word = "complete"
    missing = receiving.missing_blocks(state, upload) if word == "open" else ()
    return UploadState(
        id=upload.id,
        folder=upload.folder,
        bytes=upload.bytes,
        stored=upload.received,
        state=word,
        missing=missing,
        checked=checked,
    )


def _job(upload: Upload) -> str:
    return f"upload:{upload.id}"


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        method="POST",
        path="/v1/uploads",
        handler=post_upload,
        name="post_upload",
        summary="Open an upload for a sealed folder, or find the one that is open",
        tag="uploads",
        body=NewUpload,
        answer=UploadState,
        problems=("too-large",),
        signed_in=True,
        idempotent=True,
        status=201,
        also=(200,),
    ),
    Endpoint(
        method="GET",
        path="/v1/uploads/{id}",
        handler=get_upload,
        name="get_upload",
        summary="How far an upload is, and which blocks are missing",
        tag="uploads",
        answer=UploadState,
        problems=("not-found",),
        signed_in=True,
    ),
    Endpoint(
        method="PUT",
        path="/v1/uploads/{id}/blocks/{cid}",
        handler=put_block,
        name="put_block",
        summary="One block, at most 2 MiB",
        tag="uploads",
        raw=BLOCK_TYPE,
        problems=("not-found", "wrong-block", "conflict", "too-large", "store-unavailable"),
        signed_in=True,
        by_bytes=True,
        max_body=MAX_BLOCK,
        status=204,
    ),
    Endpoint(
        method="POST",
        path="/v1/uploads/{id}/complete",
        handler=post_complete,
        name="complete_upload",
        summary="Check the folder and pin it; answers what a version of it commits to, or 202 while it is checked",
        tag="uploads",
        answer=Completed,
        problems=("not-found", "conflict", "unverified", "store-unavailable"),
        signed_in=True,
        also=(202,),
    ),
    Endpoint(
        method="DELETE",
        path="/v1/uploads/{id}",
        handler=delete_upload,
        name="delete_upload",
        summary="Give an upload up",
        tag="uploads",
        problems=("not-found", "conflict"),
        signed_in=True,
        status=204,
    ),
)
"""What this module serves."""
