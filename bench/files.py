"""Publishing and pulling a large file, against the bare primitives on as many threads and against ``cp``; peak memory.

What is measured is the service's own path without the chain: hash, seal, store, pin; then fetch, verify, open, hash, write.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Self

from bench import bare
from bench.rounds import interleave
from bench.row import Outcome, Row
from bench.setting import MB, MIB, Setting
from steelyard.crypto.secret import Secret
from steelyard.domain import manifest as manifests
from steelyard.domain.node import Node
from steelyard.domain.types import Position
from steelyard.service import source as sources
from steelyard.service.chunks import Opened
from steelyard.service.context import cores
from steelyard.service.journal import SealJournal
from steelyard.service.locks import locked
from steelyard.service.public import PublicFolder
from steelyard.service.sealing import seal_chunks, store_folder
from steelyard.service.staging import Needed, Stage
from steelyard.storage.base import Store
from steelyard.storage.cid import CID, parse_cid
from steelyard.storage.embedded import EmbeddedStore
from steelyard.storage.gateway import REQUESTS, GatewayStore
from steelyard.storage.server import StoreServer

_THREADS = cores()
_MEMORY_BAR = 100
_TAG = 16
_FAR = 0.05
"""Seconds that a gateway far away takes for an answer, beside its bytes."""
_NODE = Node(salt=bytes(32), positions=(Position(b"\x00" * 12 + b"\x07" * 20, 10_000),))


@dataclass(frozen=True)
class Published:
    """A sealed file in a store, and what a reader needs to open it."""

    folder: PublicFolder
    digest: bytes


def publish(path: Path, store: EmbeddedStore, *, key: bytes = bare.KEY) -> Published:
    """Publish a file, as ``steelyard publish`` does but for the transaction."""
    source = sources.collect(path)
    manifest, _ = manifests.build(source.files, key_salt=bytes(32))
    with tempfile.TemporaryDirectory(dir=store.path.parent) as folder, locked(Path(folder) / "j") as handle:
        journal = SealJournal(handle, size=manifest.size)
        manifest, sealed = manifests.build(source.files, key_salt=journal.salt)
        with store.adding():
            plain = sources.Plaintext(sealed, source)
            seal_chunks(plain, journal, store, key=Secret(key), threads=_THREADS)
            cid = parse_cid(store_folder(store, manifest, journal, card="# A file\n", node=_NODE))
    entries = {link.name: link.cid for link in store.list_directory(cid)}
    return Published(PublicFolder(cid=cid, entries=entries, manifest=manifest), source.files[0].sha256)


def pull(published: Published, store: Store, target: Path) -> None:
    """Fetch, verify, decrypt and write a file, as ``steelyard pull`` does."""
    opened = Opened(store, published.folder, key=Secret(bare.KEY))
    stage = Stage(target)
    needed = Needed(entry=published.folder.manifest.files[0], digest=published.digest)
    stage.fetch(opened, [needed], threads=_THREADS, progress=None, opening=lambda chunk: None)


class _Far(EmbeddedStore):
    """A store whose answers are long on their way."""

    def _fetch(self, cid: CID, limit: int) -> bytes:
        time.sleep(_FAR)
        return super()._fetch(cid, limit)


class _Numbered:
    """The chunks of an open file, with their numbers."""

    def __init__(self, path: Path, size: int) -> None:
        self._path, self._size = path, size

    def __enter__(self) -> Self:
        self._file = self._path.open("rb", buffering=0)
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        index = count()
        while part := self._file.read(self._size):
            yield next(index), part


def _bare(source: Path, target: Path, *, step: int, work: Callable[[tuple[int, bytes]], bytes]) -> None:
    with _Numbered(source, step) as parts, target.open("wb") as file:
        for data in bare.in_order(work, parts, _THREADS):
            file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _bare_publish(source: Path, target: Path) -> None:
    # Two digests of the ciphertext: its leaves, and its block's name.
    def work(part: tuple[int, bytes]) -> bytes:
        return bare.encrypt(*part, digests_of_ciphertext=2, digests_of_plaintext=1)

    _bare(source, target, step=bare.CHUNK, work=work)


def _bare_pull(source: Path, target: Path) -> None:
    def work(part: tuple[int, bytes]) -> bytes:
        return bare.decrypt(*part, digests_of_ciphertext=2)

    _bare(source, target, step=bare.CHUNK + _TAG, work=work)


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", str(source), str(target)], check=True)
    descriptor = os.open(target, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def rows(setting: Setting) -> list[Outcome]:
    """Return the rows; every contestant flushes to the disk."""
    folder, size = setting.folder, setting.size
    plain, sealed = folder / "plain", folder / "sealed"
    with plain.open("wb") as file:
        for _ in range(0, size, MIB):
            file.write(os.urandom(MIB))
    kept = EmbeddedStore(folder / "kept")
    published = publish(plain, kept)
    _bare_publish(plain, sealed)
    names = count()

    def fresh() -> Path:
        return folder / f"out-{next(names)}"

    taker = EmbeddedStore(folder / "taker")

    def clean() -> None:
        for path in folder.glob("out-*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for _, entry in list(taker.files()):
            os.unlink(entry.path)

    with StoreServer(_Far(kept.path)) as server, GatewayStore(server.url) as far:
        times = interleave(
            {
                # Another key each time, so that every block is new to the store.
                "publish": lambda: publish(plain, taker, key=os.urandom(32)),
                "bare publish": lambda: _bare_publish(plain, fresh()),
                "cp": lambda: _copy(plain, fresh()),
                "pull": lambda: pull(published, kept, fresh()),
                "bare pull": lambda: _bare_pull(sealed, fresh()),
                "far pull": lambda: pull(published, far, fresh()),
            },
            rounds=setting.rounds,
            after=clean,
        )
    speed = {name: size / MB / times.median(name) for name in times.seconds}
    found: list[Outcome] = [
        Row(
            name=f"{name}, {size // MIB} MiB, {_THREADS} threads",
            unit="MB/s",
            ours=speed[name],
            peer=speed["cp"],
            limit=speed[f"bare {name}"],
            share=0.6,
            ratio=times.speedup(name, f"bare {name}"),
            against=f"limit: bare GCM and 3 SHA-256 into one file, {_THREADS} threads; peer: cp; all flushed to disk",
        )
        for name in ("publish", "pull")
    ]
    found.append(
        Row(
            name=f"pull, gateway of {1000 * _FAR:.0f} ms an answer",
            unit="MB/s",
            ours=speed["far pull"],
            peer=speed["pull"],
            limit=REQUESTS * MIB / _FAR / MB,
            against=f"limit: {REQUESTS} blocks for each answer's time; peer: the same from the folder",
        )
    )
    idle = _peak(setting.root, [])
    places = str(plain), str(fresh()), str(fresh())
    for name, what in (("publish", "publish"), ("publish and pull", "both")):
        found.append(
            Row(
                name=f"{name}, whole process",
                unit="MiB peak",
                ours=_peak(setting.root, [what, *places]),
                limit=idle,
                bar=_MEMORY_BAR,
                against="limit: the same process that only imports",
            )
        )
    return found


def _peak(root: Path, arguments: list[str]) -> float:
    command = [sys.executable, "-m", "bench.files", *arguments]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return float(done.stdout)


def _child(arguments: list[str]) -> None:
    if arguments:
        what, plain, store, target = arguments
        kept = EmbeddedStore(store)
        published = publish(Path(plain), kept)
        if what == "both":
            pull(published, kept, Path(target))
    # Not ru_maxrss: across exec it keeps the peak of the process that started this one.
    status = Path("/proc/self/status").read_text("ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    print(int(line.split()[1]) / 1024)


if __name__ == "__main__":
    _child(sys.argv[1:])
