"""Publishing and pulling a large file, against the bare primitives with 2 threads and against ``cp``; peak memory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Self

from bench import bare
from bench.rounds import interleave
from bench.row import Outcome, Row
from bench.setting import MB, MIB, Setting
from steelyard.crypto import merkle, stream
from steelyard.crypto.secret import Secret
from steelyard.storage.embedded import EmbeddedStore

_THREADS = 2
_MEMORY_BAR = 100
_TAG = 16


@dataclass(frozen=True)
class Published:
    """A sealed file in a store, and what a reader needs to open it."""

    cid: str
    tags: bytes
    leaves: bytes
    root: bytes
    size: int


class Ciphertext:
    """The sealed stream as a file that is read once; keeps tags, leaf lists and chunk roots."""

    def __init__(self, chunks: Iterator[stream.SealedChunk]) -> None:
        """Take over the chunks."""
        self._chunks = chunks
        self._rest = memoryview(b"")
        self.tags: list[bytes] = []
        self.leaves: list[bytes] = []
        self.roots: list[bytes] = []

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, none at the end."""
        if not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self.tags.append(chunk.tag)
            self.leaves.append(chunk.salted)
            self.roots.append(chunk.root)
            self._rest = memoryview(chunk.ciphertext)
        data, self._rest = bytes(self._rest[:size]), self._rest[size:]
        return data


def publish(path: Path, store: EmbeddedStore) -> Published:
    """Seal a file into a store and pin it, as ``steelyard publish`` does with the stream of a folder."""
    size = path.stat().st_size
    with path.open("rb", buffering=0) as file:
        sealed = Ciphertext(stream.seal(file, key=Secret(bare.KEY), size=size, threads=_THREADS))
        cid = store.add_file(sealed)
    store.pin(cid)
    root = merkle.root(sealed.roots)
    return Published(cid, b"".join(sealed.tags), b"".join(sealed.leaves), root, size)


def pull(published: Published, store: EmbeddedStore, target: Path) -> None:
    """Fetch, verify, decrypt and write a file."""
    with store.open_file(published.cid) as source, target.open("wb") as file:
        for chunk in stream.open_stream(
            source,
            key=Secret(bare.KEY),
            tags=published.tags,
            leaves=published.leaves,
            size=published.size,
            root=published.root,
            threads=_THREADS,
        ):
            file.write(chunk.plaintext)
        file.flush()
        os.fsync(file.fileno())


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

    def clean() -> None:
        for path in folder.glob("out-*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    times = interleave(
        {
            "publish": lambda: publish(plain, EmbeddedStore(fresh())),
            "bare publish": lambda: _bare_publish(plain, fresh()),
            "cp": lambda: _copy(plain, fresh()),
            "pull": lambda: pull(published, kept, fresh()),
            "bare pull": lambda: _bare_pull(sealed, fresh()),
        },
        rounds=setting.rounds,
        after=clean,
    )
    speed = {name: size / MB / times.median(name) for name in times.seconds}
    found: list[Outcome] = [
        Row(
            name=f"{name}, {size // MIB} MiB, 2 threads",
            unit="MB/s",
            ours=speed[name],
            peer=speed["cp"],
            limit=speed[f"bare {name}"],
            bar=0.6 * speed[f"bare {name}"],
            ratio=times.speedup(name, f"bare {name}"),
            against="limit: bare GCM and 3 SHA-256 into one file, 2 threads; peer: cp; all flushed to disk",
        )
        for name in ("publish", "pull")
    ]
    return [*found, _memory(plain, fresh(), setting.root)]


def _memory(plain: Path, target: Path, root: Path) -> Row:
    """Measure the peak of resident memory of a process of its own that publishes the file."""
    return Row(
        name="publish, whole process",
        unit="MiB peak",
        ours=_peak(root, ["publish", str(plain), str(target)]),
        limit=_peak(root, []),
        bar=_MEMORY_BAR,
        against="limit: the same process that only imports",
    )


def _peak(root: Path, arguments: list[str]) -> float:
    command = [sys.executable, "-m", "bench.files", *arguments]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return float(done.stdout)


def _child(arguments: list[str]) -> None:
    if arguments:
        publish(Path(arguments[1]), EmbeddedStore(arguments[2]))
    # Not ru_maxrss: across exec it keeps the peak of the process that started this one.
    status = Path("/proc/self/status").read_text("ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    print(int(line.split()[1]) / 1024)


if __name__ == "__main__":
    _child(sys.argv[1:])
