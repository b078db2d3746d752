"""One file of a version by its byte ranges: fetched, opened and checked without the rest."""

from __future__ import annotations

import io
from typing import BinaryIO

from steelyard.domain.manifest import FileEntry
from steelyard.errors import InputError, NotFoundError
from steelyard.service.cache import AssetCache
from steelyard.service.chunks import Opened
from steelyard.service.context import Context
from steelyard.service.public import open_folder
from steelyard.service.pull import find_key, find_pulled, open_version
from steelyard.service.results import Purchase

_BUFFER = 1 << 16


def open_file(context: Context, what: str | bytes | Purchase, path: str) -> BinaryIO:
    """Open one file of a version; see :meth:`steelyard.Market.open_file`."""
    if context.settings.offline:
        cache, known = find_pulled(context, what)
        entry = _entry(known.manifest.files, path)
        if not cache.has(known.number, known.version, [entry]):
            raise NotFoundError(
                f"{path!a} of {known.ref} is not on this machine: pull it once without offline"
            )
        return (cache.place(known.number, known.version) / entry.path).open("rb")
    _, version, item = find_key(context, what)
    folder = open_folder(context, version.commitments)
    entry = _entry(folder.manifest.files, path)
    cache = AssetCache(context.home, version.commitments.asset)
    if cache.has(version.number, version.id, [entry]):
        return (cache.place(version.number, version.id) / entry.path).open("rb")
    opened = open_version(context, version, item, folder=folder)
    return io.BufferedReader(_Range(opened, entry), buffer_size=_BUFFER)


def read_range(
    context: Context, what: str | bytes | Purchase, path: str, *, start: int, stop: int | None
) -> bytes:
    """Return bytes of one file; see :meth:`steelyard.Market.read_range`."""
    if start < 0 or (stop is not None and stop < start):
        raise InputError(f"{start}:{stop} is no range of bytes")
    with open_file(context, what, path) as file:
        file.seek(start)
        return file.read() if stop is None else file.read(stop - start)


def _entry(files: tuple[FileEntry, ...], path: str) -> FileEntry:
    for entry in files:
        if entry.path == path:
            return entry
    raise NotFoundError(f"the version has no file {path!a}; it has {len(files)}")


class _Range(io.RawIOBase):
    """A file of a version as an unbuffered, seekable stream."""

    def __init__(self, opened: Opened, entry: FileEntry) -> None:
        super().__init__()
        self._opened = opened
        self._entry = entry
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._entry.size}
        if whence not in base or base[whence] + offset < 0:
            raise InputError(f"cannot seek to {offset} from {whence}")
        self._at = base[whence] + offset
        return self._at

    def readall(self) -> bytes:
        begin, end = self._entry.offset + self._at, self._entry.offset + self._entry.size
        self._at = max(self._at, self._entry.size)
        return self._opened.read(begin, end) if begin < end else b""

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's Buffer is wider
        count = max(0, min(len(buffer), self._entry.size - self._at))
        begin = self._entry.offset + self._at
        buffer[:count] = self._opened.read(begin, begin + count)
        self._at += count
        return count
