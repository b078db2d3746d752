"""From a folder to a version in the store: hash, seal, commit. One key seals one plaintext, once.

The folder is hashed first. Attempts are named by the digest of all that went in: one that was cut off is continued under
its ``keySalt``, and so under its key, only by an attempt with the very same input (:mod:`steelyard.service.journal`); if
one byte differs it is not found, and another salt is drawn. Every chunk is compared with what was hashed before it is
sealed, so a file that changes under way is never sealed under a key that sealed something else. When everything is stored, a
record of it is kept until the version is on the chain.
"""

from __future__ import annotations

import hashlib
import io
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from steelyard.crypto import merkle
from steelyard.crypto.content import Geometry
from steelyard.crypto.delivery import content_key, key_commitment, key_point
from steelyard.crypto.derive import key_scalar
from steelyard.crypto.secret import Secret
from steelyard.crypto.stream import seal_chunk
from steelyard.domain import manifest as manifests
from steelyard.domain.card import completed
from steelyard.domain.jsontext import parse_json
from steelyard.domain.manifest import Manifest
from steelyard.domain.node import Node
from steelyard.domain.parallel import in_order
from steelyard.domain.passive import check_passive
from steelyard.domain.types import AssetId, AssetKind, Version
from steelyard.errors import ManifestError, SteelyardError
from steelyard.formats.summary import library
from steelyard.formats.summary import preview as show_inside
from steelyard.service import source as sources
from steelyard.service.context import Context
from steelyard.service.declare import declare
from steelyard.service.files import private_folder, write_private, writing
from steelyard.service.journal import Sealed, SealJournal
from steelyard.service.locks import locked
from steelyard.service.public import CARD, CIPHERTEXT, LEAVES, MANIFEST, MAX_CARD, NODE, TAGS, Progress
from steelyard.storage.base import Store
from steelyard.storage.cid import digest_of, encode_cid, parse_cid

SCHEME = 1
"""secp256k1 with one key service, docs/key-delivery.md."""
SEALING = "sealing"
"""Folder below home of journals and records."""
WAITING = 4
"""Chunks in work beyond one a core: flushing a block to the disk takes longer than sealing it."""
_STALE = 30 * 86_400.0
"""Seconds after which an attempt that was cut off is given up."""


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
    allow_code: bool = False,
    preview: bool = False,
    kind: AssetKind = AssetKind.MODEL,
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
        allow_code: take files that run code when they are loaded.
        preview: show in the card what is inside the files.
        kind: of the asset; the card of a model names the library of its files.

    Raises:
        InputError: the folder cannot be published; one of its files is damaged, hostile or two things at once; the
            card has active content.
        CodeError: a file runs code when it is loaded, and that is not allowed.
        StoreError: the store does not take it.
    """
    # Everything that could be refused is looked at before gigabytes are read.
    declared = declare(sources.find(folder), allow_code=allow_code)
    files = declared.source.files
    text = card if card is not None else _own_card(declared.source) or sources.default_card(label, files)
    if kind is AssetKind.MODEL and (loaded_with := library(declared.reports)) is not None:
        text = completed(text, library=loaded_with)
    check_passive(text)
    if len(text.encode()) > MAX_CARD:
        raise ManifestError(f"the card has more than {MAX_CARD} bytes, and nobody would read it")
    source = sources.hashed(declared.source, progress=progress)
    if preview:
        inside = zip((file.path for file in files), declared.reports, strict=True)
        text = f"{text.rstrip()}\n\n{show_inside(inside)}"
    if context.dry:
        return _priced(context, source, asset=asset, node=node)
    record = _record_path(context, source, asset, node, text)
    private_folder(record.parent)
    _sweep(record.parent)
    journal_path = record.with_suffix(".journal")
    with writing(journal_path), locked(journal_path) as handle, context.store.adding():
        salt, finished = _read_record(record)
        if finished is None or not context.store.has(finished[0]):
            # A record whose folder is gone: the same bytes would be sealed under the same key, which is safe, but
            # a new one is plain.
            journal = SealJournal(handle, size=_stream_size(source))
            salt = journal.salt
            kappa = _kappa(context, salt, asset)
            finished = _seal(context, source, journal, kappa=kappa, node=node, card=text, progress=progress)
            _write_record(record, salt, *finished)
        journal_path.unlink(missing_ok=True)
    assert salt is not None  # every record has one
    cid, root, size = finished
    kappa = _kappa(context, salt, asset)
    version = _version(asset, kappa, node, folder=digest_of(parse_cid(cid)), root=root, size=size)
    return SealedVersion(version=version, cid=cid, files=len(source.files), kappa=kappa, record=record)


def _kappa(context: Context, salt: bytes, asset: AssetId) -> Secret:
    return key_scalar(
        context.account.seed,
        salt=salt,
        chain_id=context.chain_id,
        registry=context.deployment.assets,
        asset=asset,
    )


def _version(asset: AssetId, kappa: Secret, node: Node, *, folder: bytes, root: bytes, size: int) -> Version:
    return Version(
        asset=asset,
        folder=folder,
        content_root=root,
        size=size,
        scheme=SCHEME,
        key=key_commitment(kappa),
        node=node.id,
    )


def _stream_size(source: sources.Input) -> int:
    return manifests.build(source.files, key_salt=bytes(32))[0].size


def _priced(context: Context, source: sources.Input, *, asset: AssetId, node: Node) -> SealedVersion:
    """Return a version of the right form for a dry run: nothing is sealed, and its digests are random."""
    kappa = _kappa(context, secrets.token_bytes(32), asset)
    version = _version(
        asset,
        kappa,
        node,
        folder=secrets.token_bytes(32),
        root=secrets.token_bytes(32),
        size=_stream_size(source),
    )
    nowhere = context.home / SEALING / "dry-run"
    return SealedVersion(version=version, cid="", files=len(source.files), kappa=kappa, record=nowhere)


def _seal(
    context: Context,
    source: sources.Input,
    journal: SealJournal,
    *,
    kappa: Secret,
    node: Node,
    card: str,
    progress: Progress | None,
) -> tuple[str, bytes, int]:
    """Return CID, content root and size."""
    manifest, sealed = manifests.build(source.files, key_salt=journal.salt)
    store = context.store
    seal_chunks(
        sources.Plaintext(sealed, source),
        journal,
        store,
        key=content_key(key_point(kappa)),
        threads=context.settings.threads,
        progress=progress,
    )
    cid = store_folder(store, manifest, journal, card=card, node=node)
    return cid, merkle.root(item.root for item in journal.records()), manifest.size


def store_folder(store: Store, manifest: Manifest, journal: SealJournal, *, card: str, node: Node) -> str:
    """Make and pin the public folder of a version whose chunks are all sealed; returns its CID.

    Args:
        store: that has the chunks.
        manifest: the public manifest.
        journal: has a record of every chunk.
        card: model card.
        node: revenue node.

    Raises:
        StoreError: the store does not take a block.
    """
    geometry = Geometry(manifest.size)
    leaves = (
        (encode_cid(item.block), geometry.chunk_length(index)) for index, item in enumerate(journal.records())
    )
    cid = store.add_directory(
        {
            MANIFEST: io.BytesIO(manifest.to_bytes()),
            CARD: io.BytesIO(card.encode()),
            CIPHERTEXT: store.link_file(leaves),
            TAGS: _Joined(item.tag for item in journal.records()),
            LEAVES: _Joined(item.salted for item in journal.records()),
            NODE: io.BytesIO(node.to_bytes()),
        }
    )
    store.pin(cid)
    return cid


def seal_chunks(
    plain: sources.Plaintext,
    journal: SealJournal,
    store: Store,
    *,
    key: Secret,
    threads: int,
    progress: Progress | None = None,
) -> None:
    """Seal into a store, in constant memory, what the journal does not say is there.

    Args:
        plain: the stream.
        journal: of this stream alone; every chunk has a record afterwards.
        store: takes the blocks.
        key: the content key that belongs to the journal's salt.
        threads: of the processor's cores; WAITING chunks more are in work.
        progress: told how many bytes are sealed.

    Raises:
        InputError: a file is not what was hashed any more.
        StoreError: the store does not take a block.
    """
    geometry = Geometry(plain.size)

    def there(index: int) -> bool:
        record = journal.get(index)
        return record is not None and store.has(encode_cid(record.block))

    def work(index: int) -> int:
        clear = plain.chunk(index)
        part = seal_chunk(index, clear.data, key=key, last=geometry.is_last(index))
        plain.check(index, clear)  # before anything of it leaves this function
        store.put_block(encode_cid(part.block), part.ciphertext, hashed=True)
        journal.put(index, Sealed(block=part.block, tag=part.tag, root=part.root, salted=part.salted))
        return len(clear.data)

    missing = [index for index in range(geometry.chunks) if not there(index)]
    done = plain.size - sum(geometry.chunk_length(index) for index in missing)
    for length in in_order(work, missing, threads + WAITING):
        done += length
        if progress is not None:
            progress("seal", done, plain.size)


class _Joined:
    """Pieces as a file that is read once."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        parts, missing = [self._rest], size - len(self._rest)
        while missing > 0 and (piece := next(self._pieces, b"")):
            parts.append(piece)
            missing -= len(piece)
        data = b"".join(parts)
        self._rest = data[size:]
        return data[:size]


def _sweep(folder: Path) -> None:
    """Remove journals of attempts that nobody continued."""
    limit = time.time() - _STALE
    for path in folder.glob("*.journal"):
        with suppress(OSError):
            if path.stat().st_mtime < limit:
                with locked(path):
                    path.unlink()


def _own_card(source: sources.Input) -> str | None:
    for file, place in zip(source.files, source.places, strict=True):
        if file.path == CARD:
            with sources.File(place) as opened:
                return opened.read(MAX_CARD + 1).decode("utf-8-sig", "replace")
    return None


def _record_path(context: Context, source: sources.Input, asset: AssetId, node: Node, card: str) -> Path:
    digest = hashlib.sha256(b"steelyard/sealing/v1" + asset + node.id + context.account.address)
    digest.update(hashlib.sha256(card.encode()).digest())
    for file in source.files:
        digest.update(hashlib.sha256(file.path.encode()).digest() + file.sha256)
    return context.home / SEALING / f"{digest.hexdigest()}.json"


def _read_record(path: Path) -> tuple[bytes | None, tuple[str, bytes, int] | None]:
    """Return salt, and (CID, root, size).

    A damaged record counts as none: the next attempt has another key.
    """
    try:
        raw = parse_json(path.read_bytes())
        salt, root = bytes.fromhex(raw["keySalt"]), bytes.fromhex(raw["root"])
        if len(salt) != 32 or len(root) != 32:
            return None, None
        return salt, (parse_cid(raw["cid"]), root, int(raw["size"]))
    except (OSError, ArithmeticError, ValueError, LookupError, TypeError, SteelyardError):
        return None, None


def _write_record(path: Path, salt: bytes, cid: str, root: bytes, size: int) -> None:
    data = {"cid": cid, "keySalt": salt.hex(), "root": root.hex(), "size": size}
    write_private(path, json.dumps(data).encode(), replace=True)
