"""The published schemas of docs/schema against what the package writes and reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from steelyard.domain import manifest as manifests
from steelyard.domain.manifest import SourceFile
from steelyard.domain.node import MAX_BYTES, Node
from steelyard.domain.paths import check_path
from steelyard.domain.types import Position
from steelyard.errors import ManifestError

DOCS = Path(__file__).resolve().parents[3] / "docs"
PATHS = ["a", "a/b.c", "a..b", "..a", "a/...b", "é/ß", "a b", "README.md", "x" * 255]
BAD_PATHS = [
    "",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "a/..",
    "../a",
    "a/./b",
    "a\\b",
    "c:a",
    "a\x00",
    "a\x7f",
    "a*",
    "x" * 1025,
]


def schema(name: str) -> Draft202012Validator:
    text = (DOCS / "schema" / f"{name}.json").read_text(encoding="utf-8")
    Draft202012Validator.check_schema(json.loads(text))
    return Draft202012Validator(json.loads(text))


def built(path: str = "m/a.onnx", form: str = "pytorch+code") -> tuple[Any, Any]:
    files = [
        SourceFile(path=name, size=7, format=form, role="weights", sha256=bytes(32)) for name in (path, "zz")
    ]
    public, sealed = manifests.build(files, key_salt=bytes(range(32)))
    return json.loads(public.to_bytes()), json.loads(sealed)


@pytest.mark.parametrize("path", PATHS)
def test_what_is_written_fits(path: str) -> None:
    public, sealed = built(path)
    schema("manifest.v1").validate(public)
    schema("sealed.v1").validate(sealed)
    node = Node(salt=bytes(32), positions=(Position(bytes(31) + b"\1", 10_000),))
    assert len(node.to_bytes()) <= MAX_BYTES
    schema("node.v1").validate(json.loads(node.to_bytes()))


@pytest.mark.parametrize("path", BAD_PATHS)
def test_bad_paths_do_not_fit(path: str) -> None:
    with pytest.raises(ManifestError):
        check_path(path)
    public, sealed = built()
    public["files"][0]["path"] = sealed["files"][0]["path"] = path
    assert not schema("manifest.v1").is_valid(public) and not schema("sealed.v1").is_valid(sealed)


def changes(value: Any) -> list[tuple[Any, str]]:
    """Return copies with one key left out, one too many, or one value of another type, at every object."""
    found: list[tuple[Any, str]] = []

    def visit(at: Any, name: str) -> None:
        if isinstance(at, list):
            for item in at[:1]:
                visit(item, name)
        if not isinstance(at, dict):
            return
        for key in list(at):
            kept = at.pop(key)
            found.append((json.loads(json.dumps(value)), f"{name} without {key}"))
            at[key] = None
            found.append((json.loads(json.dumps(value)), f"{name}.{key} null"))
            at[key] = kept
            visit(kept, key)
        at["more"] = 1
        found.append((json.loads(json.dumps(value)), f"{name} with more"))
        del at["more"]

    visit(value, "top")
    return found


def test_schema_and_reader_refuse_the_same_shapes() -> None:
    public, sealed = built()
    whole = manifests.parse(json.dumps(public, separators=(",", ":"), sort_keys=True).encode())
    tried = 0
    for value, what in changes(public):
        data = json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
        with pytest.raises(ManifestError):
            manifests.parse(data)
        assert not schema("manifest.v1").is_valid(value), what
        tried += 1
    for value, what in changes(sealed):
        data = json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
        with pytest.raises(ManifestError):
            manifests.parse_sealed(data, manifest=whole)
        assert not schema("sealed.v1").is_valid(value), what
        tried += 1
    assert tried > 30


@pytest.mark.parametrize(
    ("name", "form"), [("manifest.v1", manifests.PUBLIC_FORMAT), ("sealed.v1", manifests.SEALED_FORMAT)]
)
def test_versions_and_limits_are_those_of_the_package(name: str, form: str) -> None:
    found = schema(name).schema
    assert found["properties"]["format"] == {"const": form}
    assert found["properties"]["files"]["maxItems"] == manifests.MAX_FILES
    public, _ = built()
    public["format"] = "steelyard/manifest/v2"
    assert not schema("manifest.v1").is_valid(public)
    with pytest.raises(ManifestError, match="a newer client may know it"):
        manifests.parse(json.dumps(public, separators=(",", ":"), sort_keys=True).encode())


def test_every_schema_is_named_in_the_documents() -> None:
    text = (DOCS / "encryption-format.md").read_text(encoding="utf-8")
    for file in (DOCS / "schema").iterdir():
        assert f"schema/{file.name}" in text
