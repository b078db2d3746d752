"""A sealed folder before it is on the chain: whether it has the form of one, and what a version of it would commit to."""

from __future__ import annotations

from dataclasses import dataclass

from steelyard.crypto import merkle
from steelyard.crypto.content import HASH_SIZE, TAG_SIZE, Geometry
from steelyard.crypto.stream import compute_roots
from steelyard.domain import manifest as manifests
from steelyard.domain import node as nodes
from steelyard.domain.canonical import MAX_BYTES as MAX_MANIFEST
from steelyard.domain.types import NodeId
from steelyard.errors import InputError, ManifestError, VerificationError
from steelyard.service.public import (
    CARD,
    CIPHERTEXT,
    LEAVES,
    MANIFEST,
    MAX_CARD,
    MAX_ENTRIES,
    NODE,
    TAGS,
    Counted,
    Progress,
)
from steelyard.service.sealing import SCHEME
from steelyard.storage.base import Store
from steelyard.storage.cid import digest_of

_NEEDED = frozenset({MANIFEST, CARD, CIPHERTEXT, TAGS, LEAVES, NODE})


@dataclass(frozen=True, kw_only=True)
class Inspected:
    """What a version of a folder would commit to, but asset and key: those are its seller's.

    Attributes:
        cid: of the folder.
        folder: its digest, 32 bytes.
        content_root: over ciphertext and leaf list.
        size: bytes of the stream.
        node: revenue node of ``node.json``.
        scheme: how the key is delivered.
        files: number of files.
    """

    cid: str
    folder: bytes
    content_root: bytes
    size: int
    node: NodeId
    scheme: int
    files: int


def inspect_folder(
    store: Store, cid: str, *, threads: int = 1, progress: Progress | None = None
) -> Inspected:
    """Read everything of a folder, every block by its hash, and check it as a buyer does.

    Args:
        store: that has it.
        cid: of the folder.
        threads: chunks in work at a time.
        progress: told how far it is.

    Raises:
        NotFoundError: the store does not have all of it.
        VerificationError: it breaks the format, or its files do not go with each other.
    """
    try:
        entries = {link.name: link.cid for link in store.list_directory(cid, most=MAX_ENTRIES)}
        if entries.keys() != _NEEDED:
            names = ", ".join(sorted(_NEEDED ^ entries.keys()))
            raise VerificationError(f"the folder lacks files, or has others than the format: {names}"[:300])
        manifest = manifests.parse(store.read_file(entries[MANIFEST], max_size=MAX_MANIFEST))
        geometry = Geometry(manifest.size)
        _require_size(store, entries[TAGS], TAG_SIZE * geometry.chunks, TAGS)
        _require_size(store, entries[CIPHERTEXT], manifest.size, CIPHERTEXT)
        _require_size(store, entries[LEAVES], HASH_SIZE * geometry.leaves, LEAVES)
        node = nodes.parse(store.read_file(entries[NODE], max_size=nodes.MAX_BYTES), expected=None)
        store.read_file(entries[CARD], max_size=MAX_CARD)
        for _ in store.stream_file(entries[TAGS]):
            pass  # every block is read, and so hashed
        leaves = store.read_file(entries[LEAVES], max_size=HASH_SIZE * geometry.leaves)
        with store.open_file(entries[CIPHERTEXT]) as file:
            reader = Counted(file, "check", manifest.size, progress)
            roots = compute_roots(reader, leaves=leaves, size=manifest.size, threads=threads)
    except (ManifestError, InputError) as exc:
        # Here the bytes are who sent them, not the caller's arguments.
        raise VerificationError(f"the folder {cid} breaks the format: {exc}") from exc
    return Inspected(
        cid=cid,
        folder=digest_of(cid),
        content_root=merkle.root(roots),
        size=manifest.size,
        node=node.id,
        scheme=SCHEME,
        files=len(manifest.files),
    )


def _require_size(store: Store, cid: str, size: int, name: str) -> None:
    found = store.file_size(cid)
    if found != size:
        raise VerificationError(f"{name} has {found} bytes, and the manifest gives {size}")
