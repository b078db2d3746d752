"""The public folder of a version, and whether it is what the chain commits to. Nothing here needs a key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from steelyard.crypto.content import HASH_SIZE, TAG_SIZE, Geometry
from steelyard.crypto.stream import Reader
from steelyard.domain import manifest as manifests
from steelyard.domain import node as nodes
from steelyard.domain.canonical import MAX_BYTES as MAX_MANIFEST
from steelyard.domain.manifest import Manifest
from steelyard.domain.node import Node
from steelyard.domain.types import Version
from steelyard.errors import DigestError, InputError, ManifestError, NotFoundError, VerificationError
from steelyard.service.context import Context
from steelyard.storage.cid import CID, Codec, encode_cid

Progress = Callable[[str, int, int], None]

MANIFEST: Final = "manifest.json"
CARD: Final = "README.md"
CIPHERTEXT: Final = "ciphertext"
TAGS: Final = "tags"
LEAVES: Final = "leaves"
NODE: Final = "node.json"
MAX_ENTRIES: Final = 64
"""Most entries of a public folder that are listed: it has six, and who made it may have made it to be listed for long."""
MAX_CARD: Final = 4 << 20
"""Most bytes of a model card that are read."""
MAX_TEXT: Final = 1 << 20
"""Most bytes of a licence text; it is one block of the store."""

_NEEDED: Final = frozenset({MANIFEST, CARD, CIPHERTEXT, TAGS, LEAVES})


@dataclass(frozen=True, kw_only=True)
class PublicFolder:
    """The entries of a public folder, by name; the manifest has been checked against the chain's size."""

    cid: CID
    entries: dict[str, CID]
    manifest: Manifest


def folder_cid(version: Version) -> CID:
    """Return the CID of a version's public folder."""
    return encode_cid(version.folder, codec=Codec.DAG_PB)


def open_folder(context: Context, version: Version) -> PublicFolder:
    """Fetch the folder's directory and manifest.

    Raises:
        NotFoundError: the store does not have them.
        VerificationError: they are malformed or not of this version.
    """
    cid = folder_cid(version)
    try:
        entries = {link.name: link.cid for link in context.store.list_directory(cid, most=MAX_ENTRIES)}
        missing = sorted(_NEEDED - set(entries))
        if missing:
            raise VerificationError(f"the public folder {cid} lacks {', '.join(missing)}")
        manifest = manifests.parse(context.store.read_file(entries[MANIFEST], max_size=MAX_MANIFEST))
    except (ManifestError, InputError) as exc:
        # Here the bytes are the seller's, not the caller's.
        raise VerificationError(f"the public folder {cid} breaks the format: {exc}") from exc
    if manifest.size != version.size:
        raise DigestError(
            f"the manifest of {cid} says {manifest.size} bytes, and the chain says {version.size}"
        )
    return PublicFolder(cid=cid, entries=entries, manifest=manifest)


def read_card(context: Context, folder: PublicFolder) -> str:
    """Return the model card.

    Raises:
        NotFoundError: the store does not have it.
        VerificationError: it is larger than MAX_CARD, or a block is false.
    """
    return context.store.read_file(folder.entries[CARD], max_size=MAX_CARD).decode("utf-8", "replace")


def read_lists(context: Context, folder: PublicFolder, version: Version) -> tuple[bytes, bytes]:
    """Return tags and leaf list of a version, of the lengths that its size gives.

    Raises:
        NotFoundError: the store does not have them.
        VerificationError: they have another length, or a block is false.
    """
    geometry = Geometry(version.size)
    tags = context.store.read_file(folder.entries[TAGS], max_size=TAG_SIZE * geometry.chunks)
    leaves = context.store.read_file(folder.entries[LEAVES], max_size=HASH_SIZE * geometry.leaves)
    if len(tags) != TAG_SIZE * geometry.chunks or len(leaves) != HASH_SIZE * geometry.leaves:
        raise VerificationError(f"tags or leaves of {folder.cid} do not have the length that the size gives")
    return tags, leaves


def read_node(context: Context, version: Version) -> Node:
    """Return the positions of the node that a version earns for.

    Raises:
        NotFoundError: the folder has none, or the store does not have it.
        VerificationError: they are another node's, or malformed.
    """
    cid = folder_cid(version)
    data = context.store.read_file(context.store.resolve(cid, NODE), max_size=nodes.MAX_BYTES)
    try:
        return nodes.parse(data, expected=version.node)
    except ManifestError as exc:
        raise VerificationError(f"the public folder {cid} breaks the format: {exc}") from exc


def read_text(context: Context, digest: bytes) -> str | None:
    """Return a licence text by its SHA-256, or None if the store does not have it."""
    try:
        data = context.store.get_block(encode_cid(digest, codec=Codec.RAW))
    except (NotFoundError, VerificationError):
        return None
    return data[:MAX_TEXT].decode("utf-8", "replace")


class Counted:
    """A reader that tells how far it is."""

    def __init__(self, reader: Reader, what: str, total: int, progress: Progress | None) -> None:
        """Wrap ``reader``; ``total`` in bytes."""
        self._reader = reader
        self._what = what
        self._total = total
        self._done = 0
        self._progress = progress

    def read(self, size: int, /) -> bytes:
        """Read, and tell."""
        data = self._reader.read(size)
        self._done += len(data)
        if self._progress is not None and data:
            self._progress(self._what, self._done, self._total)
        return data
