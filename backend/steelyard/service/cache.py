"""What was pulled, kept below home so that versions share what did not change.

Layout of ``models/<first 16 digits of the asset's id>/``::

    blobs/<sha-256>                     plaintext files, read-only
    <number>-<16 digits of the id>/     the files of a version by their paths, as hard links to blobs
    versions/<16 digits of the id>.json what is known of a version: its manifests and its name
    partial/<16 digits of the id>/      of a pull that is not finished, see staging.py
    lock                                held by whoever changes any of it

A file is a link, so it is there once however many versions have it, and removing a version cannot take it from another. Only who
has a version's key learns the digests of its files, so only he finds them here. Ciphertext is not kept here, and never shared.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Final

from steelyard.domain import manifest as manifests
from steelyard.domain.jsontext import parse_json
from steelyard.domain.manifest import FileEntry, Manifest
from steelyard.domain.types import AssetId, VersionId
from steelyard.errors import InputError, NotFoundError, SteelyardError
from steelyard.service.files import private_folder, write_private
from steelyard.service.locks import locked

MODELS: Final = "models"
_FORMAT: Final = "steelyard/pulled/v1"
_BLOCK: Final = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Known:
    """What the cache knows of a version.

    Attributes:
        ref: how it was named when it was pulled.
        asset: its asset.
        version: its id.
        number: its number.
        manifest: the public manifest.
        digests: SHA-256 of each file by path, from the sealed manifest.
    """

    ref: str
    asset: AssetId
    version: VersionId
    number: int
    manifest: Manifest
    digests: Mapping[str, bytes]


@dataclass(frozen=True, kw_only=True)
class CachedVersion:
    """A version in the cache.

    Attributes:
        ref: how it was named when it was pulled.
        version: its id.
        path: the folder of its files.
        files: how many are there.
        of: how many the version has.
        size: bytes of those that are there.
        shared: bytes of those that another version has too.
    """

    ref: str
    version: VersionId
    path: Path
    files: int
    of: int
    size: int
    shared: int


class AssetCache:
    """The cache of one asset."""

    def __init__(self, home: Path, asset: AssetId) -> None:
        """Remember where it is or would be; ``home`` is the folder of the market."""
        self.asset = asset
        self.path = home / MODELS / asset.hex()[:16]
        self._blobs = self.path / "blobs"
        self._versions = self.path / "versions"

    def lock(self) -> AbstractContextManager[int]:
        """Hold it for this process alone."""
        private_folder(self.path)
        for folder in (self._blobs, self._versions, self.path / "partial"):
            folder.mkdir(exist_ok=True)
        return locked(self.path / "lock")

    def place(self, number: int, version: VersionId) -> Path:
        """Return the folder of a version's files."""
        return self.path / f"{number}-{version.hex()[:16]}"

    def partial(self, version: VersionId) -> Path:
        """Return the folder of a pull of this version that is not finished."""
        return self.path / "partial" / version.hex()[:16]

    # -- what is known ---------------------------------------------------------------------------------------

    def remember(self, known: Known, *, sealed: bytes) -> None:
        """Keep what is known of a version; ``sealed`` is its sealed manifest."""
        document = {
            "asset": known.asset.hex(),
            "format": _FORMAT,
            "manifest": known.manifest.to_bytes().decode(),
            "number": known.number,
            "ref": known.ref,
            "sealed": sealed.decode(),
            "version": known.version.hex(),
        }
        path = self._versions / f"{known.version.hex()[:16]}.json"
        write_private(path, json.dumps(document).encode(), replace=True)

    def known(self, version: VersionId) -> Known | None:
        """Return what is known of a version, or None."""
        found = self._read(self._versions / f"{version.hex()[:16]}.json")
        return found if found is not None and found.version == version else None

    def all_known(self) -> list[Known]:
        """Return what is known of every version, by number."""
        paths = self._versions.glob("*.json") if self._versions.is_dir() else ()
        found = [known for path in paths if (known := self._read(path)) is not None]
        return sorted(found, key=lambda known: known.number)

    def _read(self, path: Path) -> Known | None:
        """Return a record; a damaged one counts as none."""
        try:
            raw = parse_json(path.read_bytes())
            if raw["format"] != _FORMAT or raw["asset"] != self.asset.hex():
                return None
            manifest = manifests.parse(raw["manifest"].encode())
            return Known(
                ref=str(raw["ref"]),
                asset=self.asset,
                version=VersionId(bytes.fromhex(raw["version"])),
                number=int(raw["number"]),
                manifest=manifest,
                digests=manifests.parse_sealed(raw["sealed"].encode(), manifest=manifest),
            )
        except (OSError, ArithmeticError, ValueError, LookupError, TypeError, AttributeError, SteelyardError):
            return None

    # -- files -----------------------------------------------------------------------------------------------

    def has(self, number: int, version: VersionId, wanted: Sequence[FileEntry]) -> bool:
        """Whether a version's folder has these files, by size. They only ever appear whole."""
        place = self.place(number, version)
        try:
            found = [(place / entry.path).lstat() for entry in wanted]
        except OSError:
            return False
        return all(
            stat.S_ISREG(item.st_mode) and item.st_size == entry.size
            for item, entry in zip(found, wanted, strict=True)
        )

    def blob(self, digest: bytes, size: int) -> Path | None:
        """Return a file with this digest, after hashing it, or None; a damaged one is removed."""
        path = self._blobs / digest.hex()
        try:
            if path.stat().st_size == size and file_digest(path) == digest:
                return path
            path.unlink()
        except OSError:
            pass
        return None

    def take(self, staged: Path, digest: bytes) -> Path:
        """Move a checked file into the cache."""
        path = self._blobs / digest.hex()
        os.chmod(staged, 0o444)
        os.replace(staged, path)
        return path

    def link(self, known: Known, files: Mapping[str, Path]) -> Path:
        """Put files (path in the version to blob) into the version's folder, all at once if it is new."""
        place = self.place(known.number, known.version)
        if not place.exists():
            new = Path(tempfile.mkdtemp(dir=self.path, prefix=".new-"))
            try:
                os.chmod(new, 0o755)
                for path, blob in files.items():
                    (new / path).parent.mkdir(parents=True, exist_ok=True)
                    link_or_copy(blob, new / path)
                os.rename(new, place)
            finally:
                shutil.rmtree(new, ignore_errors=True)
        else:
            for path, blob in files.items():
                target = place / path
                target.parent.mkdir(parents=True, exist_ok=True)
                temporary = self.path / f".link-{os.getpid()}"
                with suppress(FileNotFoundError):
                    temporary.unlink()
                link_or_copy(blob, temporary)
                os.replace(temporary, target)
        sync_folder(self._blobs)
        sync_folder(self.path)
        return place

    # -- upkeep ----------------------------------------------------------------------------------------------

    def entries(self) -> list[CachedVersion]:
        """Return the versions that have files here, by number."""
        found = []
        for known in self.all_known():
            place = self.place(known.number, known.version)
            sizes = []
            for entry in known.manifest.files:
                with suppress(OSError):
                    info = (place / entry.path).lstat()
                    sizes.append((info.st_size, info.st_nlink > 2))
            if not sizes:
                continue
            found.append(
                CachedVersion(
                    ref=known.ref,
                    version=known.version,
                    path=place,
                    files=len(sizes),
                    of=len(known.manifest.files),
                    size=sum(size for size, _ in sizes),
                    shared=sum(size for size, shared in sizes if shared),
                )
            )
        return found

    def remove(self, known: Known) -> int:
        """Remove a version, and files that no other version has; returns the bytes that became free."""
        with self.lock():
            shutil.rmtree(self.place(known.number, known.version), ignore_errors=True)
            shutil.rmtree(self.partial(known.version), ignore_errors=True)
            (self._versions / f"{known.version.hex()[:16]}.json").unlink(missing_ok=True)
            freed = 0
            for path in self._blobs.iterdir():
                info = path.stat()
                if info.st_nlink == 1:
                    freed += info.st_size
                    path.unlink()
            return freed

    def damaged(self, known: Known) -> Iterator[str]:
        """Yield the paths of a version's files that are not what its sealed manifest says, of those that are there."""
        place = self.place(known.number, known.version)
        for entry in known.manifest.files:
            path = place / entry.path
            if os.path.lexists(path) and file_digest(path) != known.digests[entry.path]:
                yield entry.path


def caches(home: Path) -> Iterator[AssetCache]:
    """Yield the caches of all assets of which a version was pulled."""
    for folder in sorted((home / MODELS).glob("*/versions")):
        for path in sorted(folder.glob("*.json")):
            with suppress(OSError, ValueError, LookupError, TypeError):
                yield AssetCache(home, AssetId(bytes.fromhex(parse_json(path.read_bytes())["asset"])))
                break


def pick(known: Sequence[Known], wanted: object, *, name: str) -> Known:
    """Return the version meant by a number or an id; the newest that is here for None or ``latest``.

    Raises:
        NotFoundError: it is not here.
    """
    if isinstance(wanted, bytes | int):
        known = [item for item in known if wanted in (item.number, item.version)]
    if not known:
        raise NotFoundError(f"{name} was not pulled yet: it is not on this machine")
    return known[-1]


def select(manifest: Manifest, include: Sequence[str], exclude: Sequence[str]) -> list[FileEntry]:
    """Return the files whose paths fit the patterns: shell style, ``*`` also matches ``/``, and a folder is all that is in it.

    Raises:
        InputError: none does.
    """
    wanted = [
        entry
        for entry in manifest.files
        if (not include or any(_fits(entry.path, pattern) for pattern in include))
        and not any(_fits(entry.path, pattern) for pattern in exclude)
    ]
    if not wanted:
        raise InputError("no file of this version fits the patterns")
    return wanted


def _fits(path: str, pattern: str) -> bool:
    pattern = pattern.replace("\\", "/")
    return path == pattern or fnmatch.fnmatchcase(path, f"{pattern}*" if pattern.endswith("/") else pattern)


def file_digest(path: Path) -> bytes:
    """Return the SHA-256 of a file, 32 bytes; none if it cannot be read, or is a link or a device."""
    digest, buffer = hashlib.sha256(), memoryview(bytearray(_BLOCK))
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with FileIO(handle) as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                return b""
            while count := file.readinto(buffer):
                digest.update(buffer[:count])
    except OSError:
        return b""
    return digest.digest()


def link_or_copy(source: Path, target: Path) -> None:
    """Make a hard link, or a copy where the file system has none or ends."""
    try:
        os.link(source, target)
    except OSError:
        copy(source, target)


def copy(source: Path, target: Path) -> None:
    """Copy a file's bytes to a new file, and put them on the disk."""
    with source.open("rb") as ours, target.open("xb") as theirs:
        shutil.copyfileobj(ours, theirs, _BLOCK)
        theirs.flush()
        os.fsync(theirs.fileno())


def sync_folder(path: Path) -> None:
    """Put a folder's names on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
