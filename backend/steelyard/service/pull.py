"""Pull: fetch, decrypt and check a version, and put its files where they belong, at once or not at all."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final

from steelyard.crypto.secret import Secret
from steelyard.crypto.stream import open_stream
from steelyard.domain.manifest import FileEntry, Manifest, parse_sealed
from steelyard.domain.records import AssetState, PurchaseState, VersionState
from steelyard.errors import (
    DigestError,
    InputError,
    LeafError,
    ManifestError,
    NotFoundError,
    RefusedError,
    VerificationError,
)
from steelyard.service.context import Context
from steelyard.service.declare import compare
from steelyard.service.keys import Received, find_proof, from_purchase, no_key, received
from steelyard.service.naming import asset_name, find_purchase, find_version
from steelyard.service.public import CIPHERTEXT, Counted, Progress, open_folder, read_lists
from steelyard.service.results import Purchase

_BLOCK: Final = 1 << 20


def pull(
    context: Context,
    what: str | bytes | Purchase,
    dest: Path | None,
    *,
    include: Sequence[str],
    exclude: Sequence[str],
    progress: Progress | None,
    allow_code: bool = False,
) -> Path:
    """Write a version's files; see :meth:`steelyard.Market.pull`."""
    asset, version, item = find_key(context, what)
    name = asset_name(context, asset, version.number)
    folder = open_folder(context, version.commitments)
    wanted = _select(folder.manifest, include, exclude)
    default = dest is None
    if dest is None:
        part = "" if len(wanted) == len(folder.manifest.files) else f"-{_filter_key(include, exclude)}"
        dest = (
            context.home / "models" / asset.id.hex()[:16] / f"{version.number}-{version.id.hex()[:16]}{part}"
        )
    dest = Path(os.path.abspath(dest))
    if default and _is_complete(dest, wanted):
        return dest
    if os.path.lexists(dest) and (dest.is_symlink() or not dest.is_dir()):
        raise InputError(f"{dest} exists and is no folder: choose another place")
    dest.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=dest.parent, prefix=f".{dest.name[:100]}-"))
    try:
        _open_into(context, temporary, version, item, wanted, name=name, progress=progress)
        for text in compare(temporary, wanted, allow_code=allow_code):
            warnings.warn(f"{name}: {text}", stacklevel=2)
        _put(temporary, dest, wanted)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return dest


def find_key(context: Context, what: str | bytes | Purchase) -> tuple[AssetState, VersionState, Received]:
    """Return the version meant and a delivery of its key to the account.

    Raises:
        RefusedError: none was delivered that the account's seed opens.
        NotFoundError: there is no such version or purchase.
    """
    if isinstance(what, str) and ("/" in what or "@" in what):
        asset, version = find_version(context, what)
        return asset, version, _newest(context, asset, version)
    try:
        asset, purchase = find_purchase(context, what)
    except NotFoundError:
        if not isinstance(what, str):
            raise
        asset, version = find_version(context, what)  # an asset's id looks like a purchase's
        return asset, version, _newest(context, asset, version)
    version = asset.versions[purchase.version]
    return asset, version, _of_purchase(context, asset, version, purchase)


def _newest(context: Context, asset: AssetState, version: VersionState) -> Received:
    found = received(context, asset, version)
    if not found:
        raise no_key(context, asset, version, name=asset_name(context, asset, version.number))
    return found[0]


def _of_purchase(
    context: Context, asset: AssetState, version: VersionState, purchase: PurchaseState
) -> Received:
    if purchase.buyer == context.account.address and purchase.delivered is not None:
        item = from_purchase(context, asset, purchase)
        if item is None:
            raise RefusedError(
                f"purchase 0x{purchase.id.hex()} was made with another seed: use the one it was made with"
            )
        return item
    return _newest(context, asset, version)


def _open_into(
    context: Context,
    folder: Path,
    version: VersionState,
    item: Received,
    wanted: Sequence[FileEntry],
    *,
    name: str,
    progress: Progress | None,
) -> None:
    commitments = version.commitments
    public = open_folder(context, commitments)
    tags, leaves = read_lists(context, public, commitments)
    writer = _Writer(folder, public.manifest, wanted)
    tags_match = True
    with context.store.open_file(public.entries[CIPHERTEXT]) as file:
        chunks = open_stream(
            Counted(file, "open", commitments.size, progress),
            key=_key(item, version),
            tags=tags,
            leaves=leaves,
            size=commitments.size,
            root=commitments.content_root,
            threads=context.settings.threads,
        )
        try:
            for chunk in chunks:
                tags_match &= chunk.tag_matches
                writer.write(chunk.plaintext)
        except LeafError as exc:
            raise LeafError(_accusation(context, version, item, name, exc), leaf=exc.leaf) from exc
        except (ManifestError, InputError) as exc:
            raise VerificationError(
                f"{name} was opened, and what is inside breaks the format: {exc}"
            ) from exc
        finally:
            writer.close()
    writer.finish()
    if not tags_match:
        warnings.warn(
            f"{name}: a tag is wrong, but every leaf is what was committed; the files are accepted",
            stacklevel=2,
        )


def _key(item: Received, version: VersionState) -> Secret:
    return item.content_key(version.commitments)


def _accusation(context: Context, version: VersionState, item: Received, name: str, exc: LeafError) -> str:
    # A key that opens every leaf needs no proof. Of one that does not, either the seller or the endpoint
    # lied.
    if find_proof(context, item, version.commitments) is None:
        return (
            f"{name}: with the key that the endpoint reports, leaf {exc.leaf} is not what the seller committed to; nothing was "
            "written. The endpoint shows no proof of that key, so it may lie about it: try another one, which can trace"
        )
    text = f"{name}: leaf {exc.leaf} is not what the seller committed to; nothing was written. "
    if item.purchase is None:
        return text + "Who bought it with a content window can dispute it."
    if context.now() <= item.purchase.due:
        return text + f"Dispute purchase 0x{item.purchase.id.hex()} now: the contract gives the money back."
    return (
        text
        + f"The content window of purchase 0x{item.purchase.id.hex()} is over, so the money cannot be had back."
    )


class _Writer:
    """Cuts the stream into sealed manifest and files, and compares each file with its sealed digest."""

    def __init__(self, folder: Path, manifest: Manifest, wanted: Sequence[FileEntry]) -> None:
        self._folder = folder
        self._manifest = manifest
        self._wanted = {entry.path for entry in wanted}
        self._sealed = bytearray()
        self._digests: dict[str, bytes] = {}
        self._files = list(manifest.files)
        self._left = 0
        self._file: BinaryIO | None = None
        self._entry: FileEntry | None = None
        self._digest = hashlib.sha256()

    def write(self, data: bytes) -> None:
        """Take the next bytes of the stream."""
        rest = memoryview(data)
        missing = self._manifest.sealed_size - len(self._sealed)
        if missing:
            self._sealed += rest[:missing]
            rest = rest[missing:]
            if len(self._sealed) < self._manifest.sealed_size:
                return
            self._digests = parse_sealed(bytes(self._sealed), manifest=self._manifest)
            self._next()
        while rest and self._entry is not None:
            part, rest = rest[: self._left], rest[self._left :]
            self._digest.update(part)
            if self._file is not None:
                self._file.write(part)
            self._left -= len(part)
            if not self._left:
                self._end()
                self._next()

    def finish(self) -> None:
        """Check that every file came."""
        if self._entry is not None or self._files:
            raise VerificationError("the stream ended before the last file")

    def close(self) -> None:
        """Close the file at hand."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _next(self) -> None:
        """Start the next file that has bytes; those without are whole at once."""
        self._entry = None
        while self._files:
            entry = self._files.pop(0)
            self._entry, self._left, self._digest = entry, entry.size, hashlib.sha256()
            if entry.path in self._wanted:
                place = self._folder / entry.path
                place.parent.mkdir(parents=True, exist_ok=True)
                self._file = place.open("xb")
            if entry.size:
                return
            self._end()
            self._entry = None

    def _end(self) -> None:
        assert self._entry is not None
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self.close()
        if self._digest.digest() != self._digests[self._entry.path]:
            raise DigestError(
                f"{self._entry.path!a} does not have the digest in the sealed manifest; its bytes are the committed ones, so this "
                "cannot be disputed"
            )


def _put(temporary: Path, dest: Path, wanted: Sequence[FileEntry]) -> None:
    """Move the finished folder into place; an existing one must be empty or hold the very same files."""
    os.chmod(temporary, 0o755)
    try:
        os.rename(temporary, dest)  # replaces an empty folder, and nothing else
    except OSError as exc:
        if not dest.is_dir() or not _is_same(temporary, dest, wanted):
            raise InputError(f"{dest} exists and holds something else: choose another place") from exc
        return
    handle = os.open(dest.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _is_same(ours: Path, theirs: Path, wanted: Sequence[FileEntry]) -> bool:
    return all(_digest(ours / entry.path) == _digest(theirs / entry.path) for entry in wanted)


def _digest(path: Path) -> bytes:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError:
        return b""
    return digest.digest()


def _is_complete(dest: Path, wanted: Sequence[FileEntry]) -> bool:
    """Whether a folder of our own making still has every file, by size. It only ever appears whole."""
    try:
        return all((dest / entry.path).lstat().st_size == entry.size for entry in wanted)
    except OSError:
        return False


def _select(manifest: Manifest, include: Sequence[str], exclude: Sequence[str]) -> list[FileEntry]:
    wanted = [
        entry
        for entry in manifest.files
        if (not include or any(fnmatch.fnmatchcase(entry.path, pattern) for pattern in include))
        and not any(fnmatch.fnmatchcase(entry.path, pattern) for pattern in exclude)
    ]
    if not wanted:
        raise InputError("no file of this version fits the patterns")
    return wanted


def _filter_key(include: Sequence[str], exclude: Sequence[str]) -> str:
    return hashlib.sha256(repr((tuple(include), tuple(exclude))).encode()).hexdigest()[:8]
