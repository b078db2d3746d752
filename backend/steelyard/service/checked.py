"""Checking what is public of a version against the chain, before it is paid for; what was found right is remembered."""

from __future__ import annotations

import time
from typing import Final

from steelyard.crypto.content import check_root
from steelyard.domain.parallel import in_order
from steelyard.domain.records import VersionState
from steelyard.domain.types import Version
from steelyard.errors import NotFoundError, VerificationError
from steelyard.service.chunks import Chunks
from steelyard.service.context import Context
from steelyard.service.files import private_folder, write_private
from steelyard.service.public import Progress, open_folder
from steelyard.service.results import Verified

ROOTS: Final = "roots"
"""Folder below home: for each version that was checked, its chunk roots, 32 bytes each."""
_FRESH: Final = 600.0


def check(
    context: Context, version: VersionState, *, name: str, progress: Progress | None = None
) -> Verified:
    """Fetch everything public of a version and compare it with the chain.

    What this process found right in the last ten minutes is not read again; that all of it is still there is
    asked.

    Raises:
        NotFoundError: the store does not have all of it.
        VerificationError: it is not what the version is committed to.
    """
    now = time.monotonic()
    known = context.checked.get(version.id)
    if known is not None and now - known[0] < _FRESH:
        _require_present(context, known[1].cid)
        return known[1]
    commitments = version.commitments
    folder = open_folder(context, commitments)
    chunks = Chunks(context.store, folder)
    roots: list[bytes] = []
    done = 0
    threads = chunks.workers(context.settings.threads)
    for root in in_order(chunks.root, range(chunks.geometry.chunks), threads):
        done += chunks.geometry.chunk_length(len(roots))
        roots.append(root)
        if progress is not None:
            progress("check", done, commitments.size)
    check_root(roots, size=commitments.size, root=commitments.content_root)
    _keep_roots(context, version, b"".join(roots))
    found = Verified(
        ref=name,
        version=version.id,
        cid=folder.cid,
        size=commitments.size,
        chunks=len(roots),
        content_root=commitments.content_root,
        manifest=folder.manifest,
    )
    context.checked[version.id] = (now, found)
    return found


def keep(context: Context, verified: Verified) -> None:
    """Pin a checked folder, so that what was seen before paying is there after it.

    Raises:
        NotFoundError: the store does not have all of it any more.
        VerificationError: a block of it is false.
    """
    if not context.store.is_pinned(verified.cid):
        context.store.pin(verified.cid)


def _require_present(context: Context, cid: str) -> None:
    for block in context.store.walk(cid, leaves=False):
        if not context.store.has(block.cid):
            raise NotFoundError(f"the store does not have block {block.cid} of {cid} any more")


def _keep_roots(context: Context, version: VersionState, roots: bytes) -> None:
    if context.has_home and not context.dry:
        folder = private_folder(context.home / ROOTS)
        write_private(folder / version.id.hex(), roots, replace=True)


def kept_roots(context: Context, version: Version) -> bytes | None:
    """Return the chunk roots of a version that was checked here, compared with the chain again, or None."""
    if not context.has_home:
        return None
    try:
        roots = (context.home / ROOTS / version.id.hex()).read_bytes()
        parts = [roots[at : at + 32] for at in range(0, len(roots), 32)]
        check_root(parts, size=version.size, root=version.content_root)
    except (OSError, VerificationError):
        return None
    return roots
