"""What the cache keeps of a version: a record that is damaged counts as none, and harms nobody."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from steelyard.domain import manifest as manifests
from steelyard.domain.manifest import FileEntry, Manifest, SourceFile
from steelyard.domain.types import AssetId, VersionId
from steelyard.errors import InputError
from steelyard.service.cache import AssetCache, Known, caches, select

ASSET, VERSION = AssetId(b"\x01" * 32), VersionId(b"\x02" * 32)


@pytest.fixture
def known() -> Known:
    file = SourceFile(path="a.onnx", size=7, format="onnx", role="weights", sha256=b"\x03" * 32)
    public, _ = manifests.build([file], key_salt=bytes(32))
    return Known(
        ref="a/b@1", asset=ASSET, version=VERSION, number=1, manifest=public, digests={"a.onnx": file.sha256}
    )


@pytest.fixture
def record(tmp_path: Path, known: Known) -> Path:
    cache = AssetCache(tmp_path, ASSET)
    file = SourceFile(path="a.onnx", size=7, format="onnx", role="weights", sha256=b"\x03" * 32)
    with cache.lock():
        cache.remember(known, sealed=manifests.build([file], key_salt=bytes(32))[1])
    (path,) = tmp_path.rglob("versions/*.json")
    return path


def test_it_is_read_as_it_was_kept(tmp_path: Path, known: Known, record: Path) -> None:
    (cache,) = caches(tmp_path)
    assert cache.known(VERSION) == known and cache.all_known() == [known]


@pytest.mark.parametrize("text", ["", "\udcff", "[]", "[0]", "null", "[" * 100_000])
def test_text_that_is_no_record_counts_as_none(tmp_path: Path, record: Path, text: str) -> None:
    record.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert list(caches(tmp_path)) == []
    assert AssetCache(tmp_path, ASSET).all_known() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("format", "steelyard/cache/v2"),
        ("asset", "04" * 32),
        ("version", "xx"),
        ("version", 5),
        ("number", float("inf")),
        ("number", "one"),
        ("manifest", "{}"),
        ("manifest", None),
        ("sealed", "{}"),
    ],
)
def test_a_record_with_a_damaged_field_counts_as_none(
    tmp_path: Path, record: Path, name: str, value: Any
) -> None:
    record.write_text(json.dumps({**json.loads(record.read_text()), name: value}))
    assert AssetCache(tmp_path, ASSET).known(VERSION) is None


@pytest.mark.parametrize(
    ("include", "exclude", "found"),
    [
        (("onnx/",), (), ["onnx/a.onnx", "onnx/sub/b.bin"]),
        (("onnx\\sub/*",), (), ["onnx/sub/b.bin"]),
        ((), ("onnx/",), ["m.bin", "x[1].bin"]),
        (("x[1].bin",), (), ["x[1].bin"]),
        (("*.bin",), ("x*",), ["m.bin", "onnx/sub/b.bin"]),
        (("M.bin", "onnx"), (), []),
    ],
    ids=str,
)
def test_patterns_are_those_of_the_hub(
    include: Sequence[str], exclude: Sequence[str], found: list[str]
) -> None:
    """But for the exact name, which the Hub takes from a file name alone. Source: huggingface_hub 2.4, filter_repo_objects."""
    paths = ["m.bin", "onnx/a.onnx", "onnx/sub/b.bin", "x[1].bin"]
    files = tuple(
        FileEntry(path=path, offset=1 + place, size=1, format="binary", role="other")
        for place, path in enumerate(paths)
    )
    whole = Manifest(key_salt=bytes(32), size=5, sealed_size=1, files=files)
    if found:
        assert [entry.path for entry in select(whole, include, exclude)] == found
    else:
        with pytest.raises(InputError, match="no file"):
            select(whole, include, exclude)
