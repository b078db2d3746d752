"""The manifests of a version: the public one, and the sealed one that opens the plaintext stream.

Definitions: docs/encryption-format.md, "Public manifest" and "Sealed manifest". Rules for paths are in
``paths.py``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from steelyard.domain.canonical import decode, encode
from steelyard.domain.paths import check_tree
from steelyard.errors import ManifestError

PUBLIC_FORMAT: Final = "steelyard/manifest/v1"
SEALED_FORMAT: Final = "steelyard/sealed/v1"
MAX_FILES: Final = 100_000
MAX_STREAM: Final = 1 << 52
"""Most bytes in a plaintext stream: 2^32 chunks of 1 MiB."""

_TOKEN: Final = re.compile(r"[a-z0-9][a-z0-9._+-]{0,63}")
_HEX32: Final = re.compile(r"0x[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file of the seller's folder, before it has a place in the stream.

    Attributes:
        path: relative POSIX path.
        size: bytes.
        format: declared format, such as ``onnx``.
        role: declared role, such as ``weights``.
        sha256: digest of its bytes, 32 bytes; goes into the sealed manifest only.
    """

    path: str
    size: int
    format: str
    role: str
    sha256: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """A file as the public manifest lists it.

    Attributes:
        path: relative POSIX path.
        offset: first byte in the plaintext stream.
        size: bytes.
        format: declared format; a claim of the seller.
        role: declared role; a claim of the seller.
    """

    path: str
    offset: int
    size: int
    format: str
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A valid public manifest. It cannot be made with broken rules.

    Attributes:
        key_salt: salt of the key derivation, 32 random public bytes.
        size: bytes of the plaintext stream.
        sealed_size: bytes of the sealed manifest, at offset 0.
        files: contiguous behind it, sorted by path.
    """

    key_salt: bytes
    size: int
    sealed_size: int
    files: tuple[FileEntry, ...]

    def __post_init__(self) -> None:
        """Check every rule of the format.

        Raises:
            ManifestError: a rule is broken; the message says which, and for which file.
        """
        if len(self.key_salt) != 32:
            raise ManifestError("keySalt must be 32 bytes")
        if not 1 <= len(self.files) <= MAX_FILES:
            raise ManifestError(f"a version has 1 to {MAX_FILES} files, not {len(self.files)}")
        if self.sealed_size < 1:
            raise ManifestError("the sealed manifest cannot be empty")
        check_tree([entry.path for entry in self.files])
        offset = self.sealed_size
        for entry in self.files:
            if entry.size < 0 or entry.offset != offset:
                raise ManifestError(
                    f"{entry.path!r} must start at byte {offset}, where the one before it ends"
                )
            for name, token in (("format", entry.format), ("role", entry.role)):
                if not _TOKEN.fullmatch(token):
                    raise ManifestError(f"{entry.path!r}: {name} must match {_TOKEN.pattern}")
            offset += entry.size
        if offset != self.size or offset > MAX_STREAM:
            raise ManifestError(f"the files end at byte {offset}, and size says {self.size}")

    def to_bytes(self) -> bytes:
        """Return the canonical JSON of ``manifest.json``.

        Raises:
            ManifestError: it would be larger than 16 MiB.
        """
        files = [
            {"format": f.format, "offset": f.offset, "path": f.path, "role": f.role, "size": f.size}
            for f in self.files
        ]
        return encode(
            {
                "files": files,
                "format": PUBLIC_FORMAT,
                "keySalt": "0x" + self.key_salt.hex(),
                "sealed": {"offset": 0, "size": self.sealed_size},
                "size": self.size,
            }
        )


def build(files: Iterable[SourceFile], *, key_salt: bytes) -> tuple[Manifest, bytes]:
    """Give every file its place in the stream.

    Args:
        files: the folder's files, in any order. Paths are brought to NFC.
        key_salt: 32 fresh random bytes.

    Returns:
        The public manifest, and the bytes of the sealed manifest, which come first in the stream.

    Raises:
        ManifestError: a path, a size or a declaration breaks the format.
    """
    named = sorted(((unicodedata.normalize("NFC", f.path), f) for f in files), key=lambda pair: pair[0])
    sealed = _sealed_bytes([(path, f.sha256) for path, f in named])
    offset, entries = len(sealed), []
    for path, file in named:
        entries.append(
            FileEntry(path=path, offset=offset, size=file.size, format=file.format, role=file.role)
        )
        offset += file.size
    manifest = Manifest(key_salt=key_salt, size=offset, sealed_size=len(sealed), files=tuple(entries))
    return manifest, sealed


def parse(data: bytes) -> Manifest:
    """Read ``manifest.json`` from an untrusted source.

    Raises:
        ManifestError: not canonical JSON, another format or version, or a rule is broken.
    """
    top = _object(decode(data), ("files", "format", "keySalt", "sealed", "size"), "manifest")
    if top["format"] != PUBLIC_FORMAT:
        raise ManifestError(f"the manifest is not {PUBLIC_FORMAT}; a newer client may know it")
    sealed = _object(top["sealed"], ("offset", "size"), "sealed")
    if _integer(sealed["offset"], "sealed.offset") != 0:
        raise ManifestError("the sealed manifest must be at offset 0")
    return Manifest(
        key_salt=_digest(top["keySalt"], "keySalt"),
        size=_integer(top["size"], "size"),
        sealed_size=_integer(sealed["size"], "sealed.size"),
        files=tuple(_entry(item) for item in _array(top["files"], "files")),
    )


def parse_sealed(data: bytes, *, manifest: Manifest) -> dict[str, bytes]:
    """Read the sealed manifest, whose bytes have been checked against their leaves but come from the seller.

    Args:
        data: the first ``manifest.sealed_size`` bytes of the plaintext stream.
        manifest: the public manifest of the same version.

    Returns:
        SHA-256 of each file, 32 bytes, by path, in the order of the stream.

    Raises:
        ManifestError: not canonical JSON, another format, or not the same paths in the same order.
    """
    if len(data) != manifest.sealed_size:
        raise ManifestError(f"the sealed manifest has {len(data)} bytes, not {manifest.sealed_size}")
    top = _object(decode(data), ("files", "format"), "sealed manifest")
    if top["format"] != SEALED_FORMAT:
        raise ManifestError(f"the sealed manifest is not {SEALED_FORMAT}")
    items = [_object(item, ("path", "sha256"), "sealed file") for item in _array(top["files"], "files")]
    if [item["path"] for item in items] != [entry.path for entry in manifest.files]:
        raise ManifestError("the sealed manifest does not list the files of the public one")
    return {_string(item["path"], "path"): _digest(item["sha256"], "sha256") for item in items}


def _sealed_bytes(files: Sequence[tuple[str, bytes]]) -> bytes:
    for path, digest in files:
        if len(digest) != 32:
            raise ManifestError(f"{path!r}: a SHA-256 is 32 bytes, not {len(digest)}")
    items = [{"path": path, "sha256": "0x" + digest.hex()} for path, digest in files]
    return encode({"files": items, "format": SEALED_FORMAT})


def _entry(value: object) -> FileEntry:
    item = _object(value, ("format", "offset", "path", "role", "size"), "file")
    return FileEntry(
        path=_string(item["path"], "path"),
        offset=_integer(item["offset"], "offset"),
        size=_integer(item["size"], "size"),
        format=_string(item["format"], "format"),
        role=_string(item["role"], "role"),
    )


def _object(value: object, keys: tuple[str, ...], name: str) -> Mapping[str, object]:
    if not isinstance(value, dict) or set(value) != set(keys):
        raise ManifestError(f"{name} must be an object with exactly the keys {', '.join(keys)}")
    return value


def _array(value: object, name: str) -> list[object]:
    if not isinstance(value, list):
        raise ManifestError(f"{name} must be an array")
    return value


def _string(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise ManifestError(f"{name} must be a string")
    return value


def _integer(value: object, name: str) -> int:
    if not isinstance(value, int):  # canonical JSON has no booleans
        raise ManifestError(f"{name} must be an integer")
    return value


def _digest(value: object, name: str) -> bytes:
    if not isinstance(value, str) or not _HEX32.fullmatch(value):
        raise ManifestError(f"{name} must be 0x and 64 lower-case hex digits")
    return bytes.fromhex(value[2:])
