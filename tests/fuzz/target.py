"""What a target of the fuzz campaign is, and where its first inputs come from."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from steelyard.errors import SteelyardError

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "tests" / "vectors"

Run = Callable[[bytes], object]
Seeds = Callable[[], Iterator[bytes]]


@dataclass(frozen=True)
class Target:
    """A parser: how it is run, and what it starts from."""

    run: Run
    seeds: Seeds
    allowed: tuple[type[Exception], ...] = (SteelyardError,)


def samples(*words: str) -> Seeds:
    """Return real files of other libraries whose names hold one of the words."""

    def seeds() -> Iterator[bytes]:
        with zipfile.ZipFile(VECTORS / "formats.zip") as archive:
            for name in archive.namelist():
                if not words or any(word in name for word in words):
                    yield archive.read(name)

    return seeds


def literal(*items: bytes | str) -> Seeds:
    return lambda: iter([item.encode() if isinstance(item, str) else item for item in items])


def same(read: Callable[[bytes], object], write: Callable[[object], bytes]) -> Run:
    def run(data: bytes) -> None:
        assert write(read(data)) == data, "what was read is not written back as it was"

    return run


@cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="steelyard-fuzz-")


def scratch() -> Path:
    """Return a folder of this process for parsers of files."""
    return Path(_scratch().name)
