"""Files of a version on their way: fetched, opened, hashed and written in order, and gone on with after a kill.

``partial/<version>/`` holds ``<sha-256>`` for each file that is whole and checked, ``<sha-256>.part`` for one that is not, to which
bytes are only ever added, and ``roots``: 32 bytes for each chunk that was opened, zero for the others. So the length of a ``.part``
says where to go on. Its bytes are hashed again first; if a crash spoilt them the digest at its end shows it, and that file alone
is fetched anew.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from steelyard.crypto.content import CHUNK_SIZE, check_root
from steelyard.crypto.stream import OpenedChunk
from steelyard.domain.manifest import FileEntry
from steelyard.domain.parallel import in_order
from steelyard.errors import DigestError
from steelyard.service.chunks import Opened
from steelyard.service.public import Progress

_BLOCK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Needed:
    """A file to fetch: where it is in the stream, and the digest that it must have."""

    entry: FileEntry
    digest: bytes


class Spoilt(Exception):
    """What a killed pull had left of a file is not what it should be; it was removed, and fetching again helps."""


class Stage:
    """The folder of one version's files on their way; its lock is that of the cache."""

    def __init__(self, folder: Path) -> None:
        """Open it, and make it if it is not there."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._roots = folder / "roots"
        self._roots.touch()

    def whole(self, digest: bytes) -> Path:
        """Return where a file is once it is whole and checked."""
        return self._folder / digest.hex()

    def has(self, digest: bytes) -> bool:
        """Whether a file is whole and checked."""
        return self.whole(digest).exists()

    def note_root(self, index: int, root: bytes) -> None:
        """Remember a chunk's root, before anything of the chunk is written."""
        with self._roots.open("r+b", buffering=0) as file:
            os.pwrite(file.fileno(), root, 32 * index)

    def check_roots(self, *, size: int, root: bytes) -> bool:
        """Compare the content root, if every chunk was opened; returns whether it was.

        Raises:
            DigestError: it is not ``root``; nothing is left here.
        """
        data = self._roots.read_bytes()
        roots = [data[at : at + 32] for at in range(0, len(data), 32)]
        if len(data) != 32 * -(-size // CHUNK_SIZE) or bytes(32) in roots:
            return False
        try:
            check_root(roots, size=size, root=root)
        except DigestError:
            self.clear()
            raise
        return True

    def clear(self) -> None:
        """Remove everything."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def finish(self, used: Iterable[bytes]) -> None:
        """Remove files (by their digests) that are where they belong, and the folder if nothing else is under way in it."""
        for digest in used:
            self.whole(digest).unlink(missing_ok=True)
        if all(path == self._roots for path in self._folder.iterdir()):
            self.clear()

    # -- fetching --------------------------------------------------------------------------------------------

    def fetch(
        self,
        opened: Opened,
        needed: Sequence[Needed],
        *,
        threads: int,
        progress: Progress | None,
        opening: Callable[[OpenedChunk], None],
    ) -> None:
        """Bring files here, in constant memory.

        Args:
            opened: where they come from.
            needed: the files, each digest once, in the order of the stream.
            threads: of the processor's cores.
            progress: told how many bytes are here.
            opening: told of each chunk.

        Raises:
            DigestError: a file does not have its digest.
            VerificationError: a chunk is not what it should be.
            NotFoundError: the store does not have it.
            Spoilt: what was here of a file was wrong.
        """
        parts = [_Part(self, item) for item in needed if not self.has(item.digest)]
        total = sum(item.entry.size for item in needed)
        done = total - sum(part.missing for part in parts)
        for part in parts:
            if not part.missing:
                part.end()
        parts = [part for part in parts if part.missing]
        try:
            for chunk in in_order(opened.open, list(_indices(parts)), opened.workers(threads)):
                opening(chunk)
                self.note_root(chunk.index, chunk.root)
                done += _spread(chunk, parts)
                if progress is not None:
                    progress("open", done, total)
        finally:
            for part in parts:
                part.close()


class _Part:
    """One file that is being written."""

    def __init__(self, stage: Stage, needed: Needed) -> None:
        self.entry = needed.entry
        self._expected = needed.digest
        self._target = stage.whole(needed.digest)
        self._path = self._target.with_name(self._target.name + ".part")
        self._file: FileIO | None = None
        self._digest = hashlib.sha256()
        try:
            self.resumed = self._path.stat().st_size
        except FileNotFoundError:
            self.resumed = 0
        if self.resumed > self.entry.size:
            self._path.unlink()
            self.resumed = 0
        self.at = self.entry.offset + self.resumed

    @property
    def stop(self) -> int:
        """Where it ends in the stream."""
        return self.entry.offset + self.entry.size

    @property
    def missing(self) -> int:
        """Bytes that are not here yet."""
        return self.stop - self.at

    def write(self, data: memoryview) -> None:
        """Add the next bytes."""
        file = self._opened()
        self._digest.update(data)
        self.at += len(data)
        while data:
            data = data[file.write(data) :]

    def end(self) -> None:
        """Compare the digest, and give the file its name."""
        file = self._opened()
        os.fsync(file.fileno())
        self.close()
        if self._digest.digest() != self._expected:
            self._path.unlink()
            if self.resumed:
                raise Spoilt(self.entry.path)
            raise DigestError(
                f"{self.entry.path!a} does not have the digest in the sealed manifest; its bytes are the committed ones, so this "
                "cannot be disputed"
            )
        os.rename(self._path, self._target)

    def close(self) -> None:
        """Close the file; what was written stays."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> FileIO:
        if self._file is None:
            self._file = FileIO(self._path, "ab+")
            if self.resumed:
                self._file.seek(0)
                while block := self._file.read(_BLOCK):
                    self._digest.update(block)
        return self._file


def _indices(parts: Sequence[_Part]) -> Iterator[int]:
    """Yield the chunks that hold what is missing, in order, each once."""
    following = 0
    for part in parts:
        first, last = part.at // CHUNK_SIZE, (part.stop - 1) // CHUNK_SIZE
        yield from range(max(first, following), last + 1)
        following = max(following, last + 1)


def _spread(chunk: OpenedChunk, parts: list[_Part]) -> int:
    """Write a chunk to the files that lack its bytes, those that are whole leave the list; returns the bytes written."""
    begin, clear, written = chunk.index * CHUNK_SIZE, memoryview(chunk.plaintext), 0
    end = begin + len(clear)
    while parts and parts[0].at < end:
        part = parts[0]
        piece = clear[part.at - begin : min(part.stop, end) - begin]
        part.write(piece)
        written += len(piece)
        if part.missing:
            break
        part.end()
        del parts[0]
    return written
