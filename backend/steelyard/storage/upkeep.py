"""Upkeep of an embedded store: collecting what nothing needs any more, and checking what is there.

Collecting is safe at any time, whatever is killed when: alone with the store it marks all that a pin reaches,
and removes the rest, block by block. What is half removed is garbage still.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from steelyard.errors import NotFoundError, StoreError, VerificationError
from steelyard.storage.cid import CID, Codec, codec_of, digest_of, encode_cid
from steelyard.storage.dagpb import MAX_BLOCK
from steelyard.storage.embedded import EmbeddedStore

GRACE_SECONDS = 86_400
"""How long a block that no pin reaches stays after it was last written, or asked to be written."""

WAIT_SECONDS = 10.0
"""How long a collector waits for those who add."""

Removed = Callable[[bytes, int], None]
"""Told the digest (32 bytes) and the size in bytes of each block that was removed."""


@dataclass(frozen=True, kw_only=True)
class Collected:
    """What a collector did.

    Attributes:
        removed: blocks that were removed.
        size: their bytes.
        recent: blocks that no pin reaches and that stay because they are too new.
        kept: blocks that pins reach.
    """

    removed: int
    size: int
    recent: int
    kept: int


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a check found.

    Attributes:
        blocks: blocks that were read and hashed.
        size: their bytes.
        pins: pins whose DAG was followed.
        damaged: blocks whose bytes are not theirs, as CIDs of raw blocks.
        broken: for each pin that is not whole, why.
    """

    blocks: int
    size: int
    pins: int
    damaged: tuple[CID, ...]
    broken: dict[CID, str]


def collect(
    store: EmbeddedStore,
    *,
    grace: float = GRACE_SECONDS,
    wait: float = WAIT_SECONDS,
    dry: bool = False,
    removed: Removed | None = None,
) -> Collected:
    """Remove blocks that no pin reaches, that nobody is adding, and that are not new.

    Args:
        store: what to collect from.
        grace: seconds for which a block stays after it was last written or asked to be written.
        wait: seconds for which others may finish what they add.
        dry: remove nothing.
        removed: told of each block.

    Raises:
        RefusedError: somebody still adds; nothing was removed.
        VerificationError: a pin is not whole, so that nobody knows what it reaches; nothing was removed.
        StoreError: the folder cannot be read or written.
    """
    count = size = recent = 0
    try:
        with store.collecting(wait=wait):
            needed = _reached(store)
            limit = time.time() - grace
            for digest, entry in store.files():
                if digest in needed:
                    continue
                found = entry.stat(follow_symlinks=False)
                # A clock that was set back leaves times in the future: they are new as well.
                if found.st_mtime > limit:
                    recent += 1
                    continue
                if not dry:
                    os.unlink(entry.path)
                count += 1
                size += found.st_size
                if removed is not None:
                    removed(digest, found.st_size)
    except OSError as exc:
        raise StoreError(f"collecting in {store.path}: {exc}") from exc
    return Collected(removed=count, size=size, recent=recent, kept=len(needed))


def check(store: EmbeddedStore, *, progress: Callable[[int], None] | None = None) -> Checked:
    """Read and hash every block, and follow every pin. Changes nothing; others may write meanwhile.

    Args:
        store: what to check.
        progress: told the bytes that were read so far.

    Raises:
        StoreError: the folder cannot be read.
    """
    blocks = size = pins = 0
    damaged = []
    broken = {}
    try:
        for digest, entry in store.files():
            try:
                with open(entry.path, "rb", buffering=0) as file:
                    data = file.read(MAX_BLOCK + 1) or b""
            except FileNotFoundError:  # collected meanwhile
                continue
            blocks += 1
            size += len(data)
            if hashlib.sha256(data).digest() != digest:
                damaged.append(encode_cid(digest))
            if progress is not None:
                progress(size)
        for pin in store.pins():
            pins += 1
            if (why := _gap(store, pin)) and store.is_pinned(pin):
                broken[pin] = why
    except OSError as exc:
        raise StoreError(f"checking {store.path}: {exc}") from exc
    return Checked(blocks=blocks, size=size, pins=pins, damaged=tuple(damaged), broken=broken)


def _reached(store: EmbeddedStore) -> set[bytes]:
    """Return the digests of all blocks that pins reach."""
    found: set[bytes] = set()
    for pin in store.pins():
        try:
            found.update(digest_of(block.cid) for block in store.walk(pin, leaves=False))
        except (NotFoundError, VerificationError) as exc:
            raise VerificationError(
                f"pin {pin} is not whole, so nothing was removed; import it again, or unpin it: {exc}"
            ) from exc
    return found


def _gap(store: EmbeddedStore, pin: CID) -> str:
    """Return why a pin is not whole, or an empty text; leaves are only looked for."""
    try:
        for block in store.walk(pin, leaves=False):
            if codec_of(block.cid) is Codec.RAW and not store.has(block.cid):
                return f"block {block.cid} is missing"
    except (NotFoundError, VerificationError) as exc:
        return str(exc)
    return ""
