"""The seller's folder: which files go into a version, and their bytes, of which none may change after it was hashed."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from steelyard.crypto.content import CHUNK_SIZE, TAG_SIZE
from steelyard.domain import manifest as manifests
from steelyard.domain.manifest import SourceFile
from steelyard.errors import InputError

Progress = Callable[[str, int, int], None]

# Role by suffix, where content says nothing of it. A claim, for people.
_ROLES: Final = {
    ".bin": "weights",
    ".csv": "data",
    ".jsonl": "data",
    ".json": "config",
    ".yaml": "config",
    ".yml": "config",
    ".toml": "config",
    ".md": "card",
    ".txt": "text",
    ".py": "code",
}


class Marks:
    """A mark of the file bytes in each chunk, taken in the same reading as the digests of the files.

    A mark is a GMAC (AES-256-GCM of nothing, the bytes as associated data, the chunk's index as nonce) under a key that is drawn for
    one run, is never shown to anybody and, like the marks, never leaves it. Who changes a file cannot know the key, so a changed
    chunk keeps its mark with a chance of less than 2^-110. That costs a fifteenth of a second digest of everything.
    """

    def __init__(self) -> None:
        """Draw a key."""
        self._cipher = AESGCM(secrets.token_bytes(32))
        self._marks = bytearray()

    def add(self, parts: Sequence[bytes]) -> None:
        """Mark the next chunk; ``parts`` are the file bytes in it."""
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        self._marks += self._mark(len(self._marks) // TAG_SIZE, data)

    def fits(self, index: int, data: bytes | memoryview) -> bool:
        """Tell whether a chunk's file bytes are those that were marked."""
        at = index * TAG_SIZE
        return hmac.compare_digest(self._marks[at : at + TAG_SIZE], self._mark(index, data))

    def _mark(self, index: int, data: bytes | memoryview) -> bytes:
        return self._cipher.encrypt(index.to_bytes(12, "big"), b"", data)


@dataclass(frozen=True, kw_only=True)
class Input:
    """The files to seal, in the order of the stream, with their places on the disk.

    Attributes:
        files: path, size, declaration and digest of each.
        places: where each was found.
        marks: what tells whether a chunk is still what was hashed.
    """

    files: tuple[SourceFile, ...]
    places: tuple[Path, ...]
    marks: Marks


def collect(folder: Path, *, progress: Progress | None = None) -> Input:
    """Find and hash the files of a folder; see :func:`find` and :func:`hashed`."""
    return hashed(find(folder), progress=progress)


def find(folder: Path) -> Input:
    """Find the files of a folder. Nothing is read of them: digests are zeros, and formats ``binary``.

    Names that begin with a dot are left out, with everything below them.

    Args:
        folder: a folder, or one file.

    Raises:
        InputError: there is no such folder, no file in it, or something in it is neither file nor folder (a
            link, a device).
        ManifestError: a path breaks the format.
    """
    found = sorted(walk(folder))
    if not found:
        raise InputError(f"{folder} holds no files to publish")
    files = []
    for path, place in found:
        role = _ROLES.get(Path(path).suffix.lower(), "other")
        try:
            size = place.lstat().st_size
        except OSError as exc:
            raise _unreadable(place, exc) from exc
        files.append(SourceFile(path=path, size=size, format="binary", role=role, sha256=bytes(32)))
    _ = manifests.build(files, key_salt=bytes(32))
    return Input(files=tuple(files), places=tuple(place for _, place in found), marks=Marks())


def hashed(found: Input, *, progress: Progress | None = None) -> Input:
    """Read all files and return them with their digests.

    Args:
        found: of :func:`find`.
        progress: told how many bytes were hashed.

    Raises:
        InputError: a file cannot be read, or changes while it is.
    """
    # The sealed manifest comes first in the stream. Its length is known before its digests are.
    _, sealed = manifests.build(found.files, key_salt=bytes(32))
    digests, marks = _hash(
        found.places, [file.size for file in found.files], start=len(sealed), progress=progress
    )
    named = tuple(replace(file, sha256=digest) for file, digest in zip(found.files, digests, strict=True))
    return Input(files=named, places=found.places, marks=marks)


def _hash(
    places: Sequence[Path], sizes: Sequence[int], *, start: int, progress: Progress | None
) -> tuple[list[bytes], Marks]:
    """Return the digest of each file, and the marks of all chunks; ``start`` is the first file's offset."""
    files: list[bytes] = []
    marks = Marks()
    for _ in range(start // CHUNK_SIZE):  # there the sealed manifest fills chunks of its own
        marks.add([b""])
    parts: list[bytes] = []
    room, done, total = CHUNK_SIZE - start % CHUNK_SIZE, 0, sum(sizes)
    for place, size in zip(places, sizes, strict=True):
        digest, left = hashlib.sha256(), size
        with File(place) as file:
            while left:
                block = file.read(min(left, room))
                if not block:
                    raise _changed(place)
                left -= len(block)
                room -= len(block)
                parts.append(block)
                if not room:
                    marks.add(parts)
                    parts, room = [], CHUNK_SIZE
                digest.update(block)
                done += len(block)
                if progress is not None:
                    progress("hash", done, total)
            if file.read(1):
                raise _changed(place)
        files.append(digest.digest())
    if parts or room < CHUNK_SIZE:
        marks.add(parts)
    return files, marks


def _changed(place: Path) -> InputError:
    return InputError(f"{place} changes while it is read: publish again")


@dataclass(frozen=True, slots=True)
class Clear:
    """A chunk of plaintext that is not yet compared with what was hashed.

    Attributes:
        data: its bytes.
        begin: where in them those of files begin, behind the sealed manifest's.
        places: the files.
    """

    data: bytes
    begin: int
    places: list[Path]


class Plaintext:
    """The plaintext stream of a version by its chunks: the sealed manifest, then the files. Several threads may read it."""

    def __init__(self, sealed: bytes, source: Input) -> None:
        """Remember where everything is."""
        self._sealed = sealed
        self._source = source
        self._offsets = [len(sealed)]
        for file in source.files:
            self._offsets.append(self._offsets[-1] + file.size)

    @property
    def size(self) -> int:
        """Bytes of the stream."""
        return self._offsets[-1]

    def chunk(self, index: int) -> Clear:
        """Return a chunk as the disk has it now; what is made of it may be used once :meth:`check` has passed."""
        start = index * CHUNK_SIZE
        stop = min(start + CHUNK_SIZE, self.size)
        parts = [] if start >= self._offsets[0] else [self._sealed[start:stop]]
        at = max(start, self._offsets[0])
        number = bisect_right(self._offsets, at) - 1
        places: list[Path] = []
        while at < stop:
            end = min(stop, self._offsets[number + 1])
            if end > at:
                places.append(self._source.places[number])
                with File(places[-1]) as file:
                    parts.append(file.part(at - self._offsets[number], end - at))
            at, number = end, number + 1
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        if len(data) != stop - start:
            raise _different(places)
        return Clear(data=data, begin=min(stop, max(start, self._offsets[0])) - start, places=places)

    def check(self, index: int, clear: Clear) -> None:
        """Compare a chunk with what was hashed.

        Raises:
            InputError: a file is not what was hashed any more; nothing that was made of the chunk may be used.
        """
        if not self._source.marks.fits(index, memoryview(clear.data)[clear.begin :]):
            raise _different(clear.places)


def _different(places: Sequence[Path]) -> InputError:
    return InputError(f"{', '.join(map(str, places[:3]))} changed while it was sealed: publish again")


def walk(folder: Path) -> list[tuple[str, Path]]:
    """Return path in the version and place on the disk of every file that would be published, in no order.

    Raises:
        InputError: there is no such folder, or something in it is neither file nor folder.
    """
    try:
        mode = folder.stat().st_mode
        if stat.S_ISREG(mode) and not folder.is_symlink():
            return [(unicodedata.normalize("NFC", folder.name), folder)]
        if not stat.S_ISDIR(mode):
            raise _no_file(str(folder))
        found: list[tuple[str, Path]] = []
        todo = [(folder, "")]
        while todo:
            at, prefix = todo.pop()
            with os.scandir(at) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    path = prefix + unicodedata.normalize("NFC", entry.name)
                    if entry.is_symlink() or not (entry.is_file() or entry.is_dir()):
                        raise _no_file(entry.path)
                    if entry.is_dir():
                        todo.append((Path(entry.path), path + "/"))
                    else:
                        found.append((path, Path(entry.path)))
    except OSError as exc:
        raise _unreadable(Path(exc.filename or folder), exc) from exc
    return found


class File(FileIO):
    """A file of the seller's, open for reading; its errors say which one it is."""

    def __init__(self, place: Path) -> None:
        """Open it.

        Raises:
            InputError: it cannot be opened, or is no file any more.
        """
        self._place = place
        try:
            # Without waiting, as for the other end of a pipe that took the place of a file.
            handle = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as exc:
            raise _unreadable(place, exc) from exc
        super().__init__(handle, "rb")
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            self.close()
            raise _changed(place)

    def read(self, size: int | None = -1, /) -> bytes:
        """Return at most ``size`` bytes.

        Raises:
            InputError: it cannot be read.
        """
        try:
            return super().read(size)
        except OSError as exc:
            raise _unreadable(self._place, exc) from exc

    def part(self, offset: int, length: int) -> bytes:
        """Return the bytes from ``offset`` on, fewer only at the end.

        Raises:
            InputError: they cannot be read.
        """
        self.seek(offset)
        data = self.read(length)
        while len(data) < length and (more := self.read(length - len(data))):
            data += more
        return data


def _unreadable(place: Path, exc: OSError) -> InputError:
    return InputError(f"cannot read {place}: {exc.strerror}")


def _no_file(path: str) -> InputError:
    return InputError(f"{path!a} is a link or a device; put the file itself there")


def default_card(name: str, files: Sequence[SourceFile]) -> str:
    """Return a model card for a folder that has none: the name, and what is inside."""
    lines = "\n".join(f"- `{file.path}`: {file.format}, {file.size} bytes" for file in files[:100])
    more = f"\n\nand {len(files) - 100} more files" if len(files) > 100 else ""
    return f"# {name}\n\nThe seller gave no description.\n\n{lines}{more}\n"
