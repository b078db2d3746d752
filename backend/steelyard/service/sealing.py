"""From a folder to a version in the store: hash, seal, commit. One key seals one plaintext, once.

Every attempt draws a new ``keySalt``, and with it a new key; one that was cut off is never continued. Only
when everything was sealed and stored is a record of it written, under the digest of all that went in. An
attempt that finds such a record takes the finished result, whose key sealed the very same bytes; if one byte
of the input differs it does not find it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from steelyard.crypto import merkle
from steelyard.crypto.delivery import content_key, key_commitment, key_point
from steelyard.crypto.derive import key_scalar
from steelyard.crypto.secret import Secret
from steelyard.crypto.stream import SealedChunk, seal
from steelyard.domain import manifest as manifests
from steelyard.domain.node import Node
from steelyard.domain.types import AssetId, Version
from steelyard.errors import SteelyardError
from steelyard.service import source as sources
from steelyard.service.context import Context
from steelyard.service.public import CARD, CIPHERTEXT, LEAVES, MANIFEST, NODE, TAGS, Progress
from steelyard.storage.base import Store
from steelyard.storage.cid import digest_of, parse_cid
from steelyard.storage.embedded import EmbeddedStore

SCHEME = 1
"""secp256k1 with one key service, docs/key-delivery.md."""
_SPOOL = 8 << 20


@dataclass(frozen=True, kw_only=True)
class SealedVersion:
    """A version that is in the store, and its key scalar.

    Attributes:
        version: all commitments.
        cid: of the public folder.
        files: number of files.
        kappa: key scalar.
        record: file that remembers it until it is on the chain.
    """

    version: Version
    cid: str
    files: int
    kappa: Secret
    record: Path


def seal_folder(
    context: Context,
    folder: Path,
    *,
    asset: AssetId,
    label: str,
    node: Node,
    card: str | None,
    progress: Progress | None,
) -> SealedVersion:
    """Seal a folder into the store and pin it.

    Args:
        context: market and account.
        folder: a folder, or one file.
        asset: asset that the version is for; in the derivation of the key.
        label: its name, for a card.
        node: revenue node of the version.
        card: model card; None for that of the folder.
        progress: told how far it is.

    Raises:
        InputError: the folder cannot be published.
        StoreError: the store does not take it.
    """
    source = sources.collect(folder, progress=progress)
    text = card if card is not None else _own_card(source) or sources.default_card(label, source.files)
    record = _record_path(context, source, asset, node, text)
    salt, finished = _read_record(record)
    salt = salt or secrets.token_bytes(32)
    kappa = key_scalar(
        context.account.seed,
        salt=salt,
        chain_id=context.chain_id,
        registry=context.deployment.assets,
        asset=asset,
    )
    if finished is None or not context.store.has(finished[0]):
        # A record whose folder is gone: the same bytes would be sealed under the same key, which is safe, but
        # a new one is plain.
        if finished is not None:
            salt = secrets.token_bytes(32)
            kappa = key_scalar(
                context.account.seed,
                salt=salt,
                chain_id=context.chain_id,
                registry=context.deployment.assets,
                asset=asset,
            )
        finished = _seal(context, source, salt=salt, kappa=kappa, node=node, card=text, progress=progress)
        if not context.dry:
            _write_record(record, salt, *finished)
    cid, root, size = finished
    version = Version(
        asset=asset,
        folder=digest_of(parse_cid(cid)),
        content_root=root,
        size=size,
        scheme=SCHEME,
        key=key_commitment(kappa),
        node=node.id,
    )
    return SealedVersion(version=version, cid=cid, files=len(source.files), kappa=kappa, record=record)


def _seal(
    context: Context,
    source: sources.Input,
    *,
    salt: bytes,
    kappa: Secret,
    node: Node,
    card: str,
    progress: Progress | None,
) -> tuple[str, bytes, int]:
    """Return CID, content root and size."""
    manifest, sealed = manifests.build(source.files, key_salt=salt)
    plain = sources.PlainStream(sealed, source, total=manifest.size, progress=progress)
    chunks = seal(
        plain, key=content_key(key_point(kappa)), size=manifest.size, threads=context.settings.threads
    )
    with (
        _store(context) as store,
        store.adding(),
        tempfile.SpooledTemporaryFile(_SPOOL) as tags,
        tempfile.SpooledTemporaryFile(_SPOOL) as leaves,
    ):
        stream = _Ciphertext(chunks, cast(BinaryIO, tags), cast(BinaryIO, leaves))
        try:
            ciphertext = store.add_file(stream)
        finally:
            plain.close()
        tags.seek(0)
        leaves.seek(0)
        cid = store.add_directory(
            {
                MANIFEST: io.BytesIO(manifest.to_bytes()),
                CARD: io.BytesIO(card.encode()),
                CIPHERTEXT: ciphertext,
                TAGS: cast(BinaryIO, tags),
                LEAVES: cast(BinaryIO, leaves),
                NODE: io.BytesIO(node.to_bytes()),
            }
        )
        store.pin(cid)
    return cid, merkle.root(stream.roots), manifest.size


class _Ciphertext:
    """The ciphertext as a file that is read once; tags and leaves are put aside on the way."""

    def __init__(self, chunks: Iterator[SealedChunk], tags: BinaryIO, leaves: BinaryIO) -> None:
        self._chunks = chunks
        self._tags = tags
        self._leaves = leaves
        self._rest = memoryview(b"")
        self.roots: list[bytes] = []

    def read(self, size: int, /) -> bytes:
        if not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._tags.write(chunk.tag)
            self._leaves.write(chunk.salted)
            self.roots.append(chunk.root)
            self._rest = memoryview(chunk.ciphertext)
        data, self._rest = bytes(self._rest[:size]), self._rest[size:]
        return data


class _store:
    """The market's store, or in a dry run one that is thrown away."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Store:
        if not self._context.dry:
            return self._context.store
        self._folder = tempfile.TemporaryDirectory(prefix="steelyard-dry-")
        return EmbeddedStore(Path(self._folder.name) / "store")

    def __exit__(self, *exc: object) -> None:
        if self._folder is not None:
            self._folder.cleanup()


def _own_card(source: sources.Input) -> str | None:
    for file, place in zip(source.files, source.places, strict=True):
        if file.path == CARD:
            return place.read_text("utf-8", "replace")
    return None


def _record_path(context: Context, source: sources.Input, asset: AssetId, node: Node, card: str) -> Path:
    digest = hashlib.sha256(b"steelyard/sealing/v1" + asset + node.id + context.account.address)
    digest.update(hashlib.sha256(card.encode()).digest())
    for file in source.files:
        digest.update(hashlib.sha256(file.path.encode()).digest() + file.sha256)
    return context.home / "sealing" / f"{digest.hexdigest()}.json"


def _read_record(path: Path) -> tuple[bytes | None, tuple[str, bytes, int] | None]:
    """Return salt, and (CID, root, size).

    A damaged record counts as none: the next attempt has another key.
    """
    try:
        raw = json.loads(path.read_bytes())
        salt, root = bytes.fromhex(raw["keySalt"]), bytes.fromhex(raw["root"])
        if len(salt) != 32 or len(root) != 32:
            return None, None
        return salt, (parse_cid(raw["cid"]), root, int(raw["size"]))
    except (OSError, ValueError, KeyError, TypeError, SteelyardError):
        return None, None


def _write_record(path: Path, salt: bytes, cid: str, root: bytes, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = json.dumps({"cid": cid, "keySalt": salt.hex(), "root": root.hex(), "size": size}).encode()
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".sealing-")
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(name, path)
