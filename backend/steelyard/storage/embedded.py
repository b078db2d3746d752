"""The embedded store: a folder of blocks, named by their digests.

Layout (version 1)::

    format                          "steelyard-store 1"
    blocks/<last two hex digits of the digest>/<digest in hex>
    pins/<cid>                      empty files
    tmp/<random>                    blocks being written
    lock, gate                      see `StoreLock`
    identity                        64 hex digits that tell this store from others, once somebody asked
    denied                          what the gateway does not serve, written by hand, if it is there

A block is written to ``tmp``, flushed to the disk, and renamed into place, so a name in ``blocks`` never
stands for half a block, whenever the writer is killed. Renames reach the disk at the latest when something is
pinned: `pin` flushes the directories of all blocks below it before the pin appears. Any number of processes
may share the folder: names are digests, so two writers of one name write the same bytes. Reading still
hashes, for disks fail too; and writing a block that is there in a damaged form replaces it.

What no pin reaches stays for a time after it was last written or asked to be written, and while anybody holds
the lock for `EmbeddedStore.adding`; then `upkeep.collect` may remove it.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from steelyard.errors import (
    ConfigError,
    InputError,
    NotFoundError,
    StoreError,
    VerificationError,
)
from steelyard.storage.base import Store
from steelyard.storage.cid import CID, Codec, codec_of, digest_of, parse_cid
from steelyard.storage.lock import StoreLock

FORMAT = "steelyard-store 1\n"
"""First and only line of the file ``format``."""

STALE_SECONDS = 3600
"""Age in seconds after which a file in ``tmp`` belongs to a writer that died. A live writer that lost it
tries again."""

_NAMES = frozenset(("blocks", "pins", "tmp", "lock", "gate", "denied", "identity", "format"))
_FLUSHERS = 8
_BLOCK_NAME = re.compile(r"[0-9a-f]{64}", re.ASCII)


class EmbeddedStore(Store):
    """A store in a folder of this machine."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open the folder, and create it if it does not exist.

        Raises:
            ConfigError: it is not a store, or one of a later version.
            StoreError: it cannot be read or written.
        """
        self._path = Path(path)
        self._blocks = self._path / "blocks"
        self._pins = self._path / "pins"
        self._tmp = self._path / "tmp"
        self._lock = StoreLock(self._path)
        try:
            self._open()
        except OSError as exc:
            raise StoreError(f"cannot open the store in {self._path}: {exc}") from exc

    @property
    def name(self) -> str:
        """The folder, for messages."""
        return str(self._path)

    @property
    def path(self) -> Path:
        """The folder."""
        return self._path

    def pins(self) -> Iterator[CID]:
        """Yield every pinned CID, in no particular order."""
        with os.scandir(self._pins) as entries:
            for entry in entries:
                with suppress(InputError):
                    yield parse_cid(entry.name)

    def usage(self) -> tuple[int, int]:
        """Return the number of blocks and their bytes."""
        count = size = 0
        for _, entry in self.files():
            count += 1
            size += entry.stat().st_size
        return count, size

    def files(self) -> Iterator[tuple[bytes, os.DirEntry[str]]]:
        """Yield the digest (32 bytes) and the file of every block, in no particular order, unread."""
        for shard in sorted(os.listdir(self._blocks)):
            with os.scandir(self._blocks / shard) as entries:
                for entry in entries:
                    if _BLOCK_NAME.fullmatch(entry.name):
                        yield bytes.fromhex(entry.name), entry

    def identity(self) -> bytes:
        """Return an Ed25519 public key (32 bytes) that names this store, made when it is first asked for.

        Its private key was never kept: nothing is signed with it, and nobody else can be asked to prove it.

        Raises:
            StoreError: the folder cannot be read or written.
        """
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        path = self._path / "identity"
        try:
            if not path.exists():
                key = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
                self._write(path, key.hex().encode("ascii"))
            found = bytes.fromhex(path.read_text("ascii"))
        except (OSError, ValueError) as exc:
            raise StoreError(f"cannot read {path}: {exc}") from exc
        if len(found) != 32:
            raise StoreError(f"{path} does not hold 64 hexadecimal digits; remove it")
        return found

    # -- the lock --------------------------------------------------------------------------------------------

    @contextmanager
    def adding(self) -> Iterator[None]:
        """Keep the collectors of all processes away, from the first block that is added to the pin.

        Any number may hold it at a time. A killed process lets go of it.
        """
        with self._lock.shared():
            yield

    @contextmanager
    def collecting(self, *, wait: float) -> Iterator[None]:
        """Be alone: nobody adds or pins meanwhile.

        Args:
            wait: seconds for which others may finish what they add; meanwhile nobody begins.

        Raises:
            RefusedError: somebody still adds after that time.
        """
        with self._lock.alone(wait=wait):
            yield

    # -- opening ---------------------------------------------------------------------------------------------

    def _open(self) -> None:
        marker = self._path / "format"
        if not marker.exists():
            if self._path.exists() and not self._is_ours():
                raise ConfigError(f"{self._path} is neither empty nor a store; choose another folder")
            self._create(marker)
        if (found := marker.read_text("utf-8")) != FORMAT:
            raise ConfigError(
                f"{self._path} holds {found[:40]!r}, not {FORMAT.strip()!r}; use a matching Steelyard"
            )
        self._sweep()

    def _is_ours(self) -> bool:
        """Whether the folder holds nothing but what another process that is creating the store puts there."""
        return {entry.name for entry in self._path.iterdir()} <= _NAMES

    def _create(self, marker: Path) -> None:
        for folder in (self._pins, self._tmp, *(self._blocks / f"{shard:02x}" for shard in range(256))):
            folder.mkdir(parents=True, exist_ok=True)
        _sync_directory(self._blocks)
        # The marker comes last: a folder without it is created again.
        self._write(marker, FORMAT.encode("utf-8"))
        _sync_directory(self._path)
        _sync_directory(self._path.parent)

    def _sweep(self) -> None:
        """Remove what killed writers left in ``tmp``."""
        limit = time.time() - STALE_SECONDS
        with os.scandir(self._tmp) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if entry.stat(follow_symlinks=False).st_mtime < limit:
                        os.unlink(entry.path)

    # -- blocks ----------------------------------------------------------------------------------------------

    def _block_path(self, cid: CID) -> Path:
        name = digest_of(cid).hex()
        return self._blocks / name[-2:] / name

    def _fetch(self, cid: CID, limit: int) -> bytes:
        try:
            with open(self._block_path(cid), "rb", buffering=0) as file:
                return _read(file.fileno(), limit)
        except FileNotFoundError:
            raise NotFoundError(f"block {cid} is not in the store {self._path}") from None

    def _store(self, cid: CID, data: bytes | memoryview) -> None:
        path = self._block_path(cid)
        # Under the lock, so that a collector sees either an old block before this call, or a fresh one after.
        with self.adding():
            # Comparing costs a read instead of a flushed write, and mends a block that a failing disk has
            # damaged. Only the owner may make a file look fresh; what another owns is written again.
            with suppress(FileNotFoundError, PermissionError), open(path, "rb", buffering=0) as file:
                if _read(file.fileno(), len(data) + 1) == data:
                    os.utime(file.fileno())
                    return
            self._write(path, data)

    def _has(self, cid: CID) -> bool:
        return self._block_path(cid).is_file()

    def _write(self, path: Path, data: bytes | memoryview) -> None:
        for last_try in (False, True):
            temporary = self._tmp / secrets.token_hex(16)
            try:
                _write_new(temporary, data)
                os.replace(temporary, path)
                return
            except FileNotFoundError:
                # Another process swept it: this one slept for longer than STALE_SECONDS between two lines.
                if last_try:
                    raise
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise

    # -- pins ------------------------------------------------------------------------------------------------

    def _pin(self, cid: CID) -> None:
        with self.adding():  # else blocks could be collected between the walk and the pin
            self._pin_now(cid)

    def _pin_now(self, cid: CID) -> None:
        shards: set[Path] = set()
        for block in self.walk(cid, leaves=False):
            path = self._block_path(block.cid)
            shards.add(path.parent)
            # Inner nodes were read and hashed by the walk. A leaf is not read again here, only measured: it
            # was hashed when it was written, and is hashed again whenever it is read.
            if codec_of(block.cid) is Codec.RAW:
                try:
                    size = path.stat().st_size
                except FileNotFoundError:
                    raise NotFoundError(
                        f"block {block.cid} below {cid} is not in the store {self._path}"
                    ) from None
                if block.size not in (None, size):
                    raise VerificationError(
                        f"block {block.cid} below {cid} has {size} bytes, not {block.size}"
                    )
        # Each waits for the disk, and together they share the commits of its journal: a fifth of the time.
        with ThreadPoolExecutor(_FLUSHERS) as pool:
            list(pool.map(_sync_directory, shards))
        os.close(os.open(self._pins / cid, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
        _sync_directory(self._pins)

    def _unpin(self, cid: CID) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self._pins / cid)
            _sync_directory(self._pins)

    def _is_pinned(self, cid: CID) -> bool:
        return (self._pins / cid).is_file()


def _read(descriptor: int, limit: int) -> bytes:
    """Return at most ``limit`` bytes from where a file stands."""
    size = min(limit, os.fstat(descriptor).st_size + 1)
    parts = []
    while size and (data := os.read(descriptor, size)):
        parts.append(data)
        size -= len(data)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _write_new(path: Path, data: bytes | memoryview) -> None:
    """Create a file, write it whole and flush it to the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
