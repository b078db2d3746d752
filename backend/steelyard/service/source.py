"""The seller's folder: which files go into a version, and a stream that notices when one changes."""

from __future__ import annotations

import hashlib
import os
import stat
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from steelyard.domain.manifest import SourceFile
from steelyard.errors import InputError

Progress = Callable[[str, int, int], None]

_BLOCK: Final = 1 << 20

# Suffix: (declared format, declared role). They are claims, for people; nothing checks them.
_KINDS: Final = {
    ".onnx": ("onnx", "weights"),
    ".safetensors": ("safetensors", "weights"),
    ".gguf": ("gguf", "weights"),
    ".pt": ("pytorch", "weights"),
    ".pth": ("pytorch", "weights"),
    ".bin": ("bin", "weights"),
    ".h5": ("hdf5", "weights"),
    ".npz": ("npz", "weights"),
    ".npy": ("npy", "data"),
    ".parquet": ("parquet", "data"),
    ".arrow": ("arrow", "data"),
    ".csv": ("csv", "data"),
    ".jsonl": ("jsonl", "data"),
    ".json": ("json", "config"),
    ".yaml": ("yaml", "config"),
    ".yml": ("yaml", "config"),
    ".toml": ("toml", "config"),
    ".md": ("markdown", "card"),
    ".txt": ("text", "text"),
    ".py": ("python", "code"),
}


@dataclass(frozen=True, kw_only=True)
class Input:
    """The files to seal, in the order of the stream, with their places on the disk."""

    files: tuple[SourceFile, ...]
    places: tuple[Path, ...]


def collect(folder: Path, *, progress: Progress | None = None) -> Input:
    """Find and hash the files of a folder.

    Names that begin with a dot are left out, with everything below them.

    Args:
        folder: a folder, or one file.
        progress: told how many bytes were hashed.

    Raises:
        InputError: there is no such folder, no file in it, or something in it is neither file nor folder (a
            link, a device).
    """
    found = sorted(_walk(folder))
    if not found:
        raise InputError(f"{folder} holds no files to publish")
    total = sum(place.lstat().st_size for _, place in found)
    files, done = [], 0
    for path, place in found:
        digest = hashlib.sha256()
        size = 0
        with _open(place) as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                size += len(block)
                done += len(block)
                if progress is not None:
                    progress("hash", done, total)
        form, role = _KINDS.get(Path(path).suffix.lower(), ("binary", "other"))
        files.append(SourceFile(path=path, size=size, format=form, role=role, sha256=digest.digest()))
    return Input(files=tuple(files), places=tuple(place for _, place in found))


class PlainStream:
    """The plaintext stream of a version: the sealed manifest, then the files.

    Checks that each file is still what was hashed.
    """

    def __init__(self, sealed: bytes, source: Input, *, total: int, progress: Progress | None) -> None:
        """Start before the first byte; ``total`` in bytes, for ``progress``."""
        self._rest = memoryview(sealed)
        self._source = source
        self._next = 0
        self._file: BinaryIO | None = None
        self._digest = hashlib.sha256()
        self._done = 0
        self._total = total
        self._progress = progress

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, and none only at the end.

        Raises:
            InputError: a file has changed since it was hashed. The key is spent: what was sealed must not be
                published.
        """
        while True:
            data = self._some(size)
            if data is None:
                return b""
            if data:
                self._done += len(data)
                if self._progress is not None:
                    self._progress("seal", min(self._done, self._total), self._total)
                return data

    def close(self) -> None:
        """Close the file at hand."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _some(self, size: int) -> bytes | None:
        """Return bytes; none of them between two files; None at the end."""
        if self._rest:
            data, self._rest = bytes(self._rest[:size]), self._rest[size:]
            return data
        if self._file is None:
            if self._next == len(self._source.places):
                return None
            self._file = _open(self._source.places[self._next])
            self._digest = hashlib.sha256()
        data = self._file.read(size)
        self._digest.update(data)
        if not data:
            self.close()
            if self._digest.digest() != self._source.files[self._next].sha256:
                raise InputError(
                    f"{self._source.places[self._next]} changed while it was sealed: publish again"
                )
            self._next += 1
        return data


def _walk(folder: Path) -> list[tuple[str, Path]]:
    try:
        mode = folder.stat().st_mode
    except OSError as exc:
        raise InputError(f"cannot read {folder}: {exc.strerror}") from exc
    if stat.S_ISREG(mode):
        return [(unicodedata.normalize("NFC", folder.name), folder)]
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
                    raise InputError(f"{entry.path} is a link or a device; put the file itself there")
                if entry.is_dir():
                    todo.append((Path(entry.path), path + "/"))
                else:
                    found.append((path, Path(entry.path)))
    return found


def _open(place: Path) -> BinaryIO:
    try:
        return os.fdopen(os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")
    except OSError as exc:
        raise InputError(f"cannot read {place}: {exc.strerror}") from exc


def default_card(name: str, files: Sequence[SourceFile]) -> str:
    """Return a model card for a folder that has none: the name, and what is inside."""
    lines = "\n".join(f"- `{file.path}`: {file.format}, {file.size} bytes" for file in files[:100])
    more = f"\n\nand {len(files) - 100} more files" if len(files) > 100 else ""
    return f"# {name}\n\nThe seller gave no description.\n\n{lines}{more}\n"
