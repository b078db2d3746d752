"""Where pulled files go: a folder that holds something else is not believed, and what cannot be written is told."""

from __future__ import annotations

import hashlib
import os
import resource
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from steelyard.domain import manifest as manifests
from steelyard.domain.manifest import SourceFile
from steelyard.domain.types import AssetId, VersionId
from steelyard.errors import InputError
from steelyard.service import pull
from steelyard.service.cache import AssetCache, Known

DATA = b"text" * 9
PATHS = ("a.txt", "d/b.txt")


@pytest.fixture
def known() -> Known:
    digest = hashlib.sha256(DATA).digest()
    files = [
        SourceFile(path=path, size=len(DATA), format="text", role="text", sha256=digest) for path in PATHS
    ]
    public, _ = manifests.build(files, key_salt=bytes(32))
    return Known(
        ref="a/b@1",
        asset=AssetId(b"\x01" * 32),
        version=VersionId(b"\x02" * 32),
        number=1,
        manifest=public,
        digests=dict.fromkeys(PATHS, digest),
    )


@pytest.fixture
def files(tmp_path: Path) -> Mapping[str, tuple[Path, bool]]:
    (tmp_path / "blob").write_bytes(DATA)
    return dict.fromkeys(PATHS, (tmp_path / "blob", True))


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """As a disk that is full: the part of a file that still fits is written."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_folder_that_has_the_files_is_taken(
    tmp_path: Path, known: Known, files: Mapping[str, tuple[Path, bool]]
) -> None:
    place = pull._into_folder(tmp_path / "out", files)
    assert pull._is_there(place, known.manifest.files, known)
    assert not pull._is_there(tmp_path / "other", known.manifest.files, known)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("planted", ["link", "pipe", "folder", "changed"])
def test_what_is_planted_in_a_folder_is_not_believed(
    tmp_path: Path, known: Known, files: Mapping[str, tuple[Path, bool]], path: str, planted: str
) -> None:
    place = pull._into_folder(tmp_path / "out", files) / path
    place.unlink()
    if planted == "link":
        place.symlink_to(tmp_path / "blob")  # which has the right bytes, today
    elif planted == "pipe":
        os.mkfifo(place)
    elif planted == "folder":
        place.mkdir()
    else:
        place.write_bytes(DATA[:-1] + b"T")
    with pytest.raises(InputError, match="holds something else"):
        pull._is_there(tmp_path / "out", known.manifest.files, known)
    with pytest.raises(InputError, match="holds something else"):
        pull._into_folder(tmp_path / "out", files)


def test_a_folder_within_that_is_a_link(
    tmp_path: Path, known: Known, files: Mapping[str, tuple[Path, bool]]
) -> None:
    place = pull._into_folder(tmp_path / "out", files)
    (place / "d").rename(tmp_path / "elsewhere")
    (place / "d").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="holds something else"):
        pull._is_there(place, known.manifest.files, known)


@pytest.mark.parametrize("dest", ["file/out", "link", "x" * 300, "/proc/out"])
def test_places_that_cannot_be_written(
    tmp_path: Path, known: Known, files: Mapping[str, tuple[Path, bool]], dest: str
) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError):
        target = pull._free(tmp_path / dest)
        pull._is_there(target, known.manifest.files, known)
        pull._into_folder(target, files)
    assert not (tmp_path / "elsewhere").exists()


def test_nothing_half_written_stays(tmp_path: Path, files: Mapping[str, tuple[Path, bool]]) -> None:
    copies = {path: (place, False) for path, (place, _) in files.items()}
    with no_file_above(len(DATA) - 1), pytest.raises(InputError, match="out: File too large"):
        pull._into_folder(tmp_path / "out", copies)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blob"]
    assert pull._into_folder(tmp_path / "out", copies) == tmp_path / "out"


def test_the_cache_on_a_full_disk(tmp_path: Path, known: Known) -> None:
    cache = AssetCache(tmp_path / "home", known.asset)
    with cache.lock(), no_file_above(9), pytest.raises(InputError, match="cannot write .*File too large"):
        cache.remember(known, sealed=b"{}")
    assert cache.all_known() == [] and not list((cache.path / "versions").iterdir())
