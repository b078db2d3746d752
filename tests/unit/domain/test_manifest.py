import json
import unicodedata
from collections.abc import Callable

import pytest

from steelyard.domain import manifest
from steelyard.domain.manifest import FileEntry, Manifest, SourceFile
from steelyard.errors import ManifestError

SALT = b"\x07" * 32


def source(path: str, size: int = 10, **changes: object) -> SourceFile:
    values = {"path": path, "size": size, "format": "onnx", "role": "weights", "sha256": bytes(32), **changes}
    return SourceFile(**values)


def valid() -> dict:
    built, _ = manifest.build([source("a/model.onnx", 100), source("b.json", 0)], key_salt=SALT)
    return json.loads(built.to_bytes())


def canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def test_what_was_built_is_read_back() -> None:
    built, sealed = manifest.build([source("b"), source("a", 3)], key_salt=SALT)
    assert manifest.parse(built.to_bytes()) == built
    assert manifest.parse_sealed(sealed, manifest=built) == {"a": bytes(32), "b": bytes(32)}


def test_files_are_sorted_and_contiguous_behind_the_sealed_manifest() -> None:
    built, sealed = manifest.build([source("z", 5), source("a/b", 7), source("a.b", 0)], key_salt=SALT)
    assert [(f.path, f.offset) for f in built.files] == [
        ("a.b", len(sealed)), ("a/b", len(sealed)), ("z", len(sealed) + 7)
    ]  # fmt: skip
    assert built.size == len(sealed) + 12 and built.sealed_size == len(sealed)


def test_bytes_are_the_ones_of_the_format_page() -> None:
    built, sealed = manifest.build([source("m", 2)], key_salt=SALT)
    assert (
        sealed == b'{"files":[{"path":"m","sha256":"0x' + b"00" * 32 + b'"}],"format":"steelyard/sealed/v1"}'
    )
    head = f'{{"files":[{{"format":"onnx","offset":{len(sealed)},"path":"m","role":"weights","size":2}}],'
    tail = (
        f'"keySalt":"0x{SALT.hex()}","sealed":{{"offset":0,"size":{len(sealed)}}},"size":{len(sealed) + 2}}}'
    )
    assert built.to_bytes().decode() == head + '"format":"steelyard/manifest/v1",' + tail


def test_public_manifest_has_no_digest_of_plaintext() -> None:
    built, _ = manifest.build([source("m", sha256=b"\xee" * 32)], key_salt=SALT)
    assert b"ee" * 32 not in built.to_bytes()


def test_builder_normalises_to_nfc() -> None:
    built, _ = manifest.build([source(unicodedata.normalize("NFD", "modèle"))], key_salt=SALT)
    assert built.files[0].path == unicodedata.normalize("NFC", "modèle")


def edit(path: str, value: object) -> Callable[[dict], None]:
    def change(document: dict) -> None:
        *parents, last = [int(k) if k.isdigit() else k for k in path.split(".")]
        for key in parents:
            document = document[key]
        if value is ...:
            del document[last]
        else:
            document[last] = value

    return change


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("format", "steelyard/manifest/v2"), ("format", 1), ("format", ...), ("extra", 1), ("size", ...), ("size", -1),
        ("size", "10"), ("size", True), ("size", None), ("size", 1 << 53), ("size", 1), ("keySalt", "0x" + "0" * 63),
        ("keySalt", "00" * 32), ("keySalt", "0x" + "AA" * 32), ("keySalt", 5), ("sealed.offset", 1),
        ("sealed.size", 0), ("sealed.size", 5), ("sealed.extra", 1), ("sealed", []), ("files", []), ("files", {}),
        ("files.0", 5), ("files.0.size", "1"), ("files.0.path", 5), ("files.0.offset", 0), ("files.0.size", 99), ("files.1.offset", 0),
        ("files.0.format", ""), ("files.0.format", "ONNX"), ("files.0.role", "a b"), ("files.0.role", "a" * 65),
        ("files.0.sha256", "0x" + "00" * 32), ("files.0.role", ...), ("files.0.path", "../model"),
        ("files.0.path", "z"),
    ],
)  # fmt: skip
def test_hostile_manifest_is_refused(path: str, value: object) -> None:
    document = valid()
    edit(path, value)(document)
    with pytest.raises(ManifestError):
        manifest.parse(canonical(document))


def test_the_unedited_document_is_accepted() -> None:
    assert manifest.parse(canonical(valid())).files[0].path == "a/model.onnx"


GOOD = canonical(valid())


@pytest.mark.parametrize(
    "data",
    [
        b"", b"null", b"[]", b"5", b'"x"', b"\xff\xfe", b"\xef\xbb\xbf" + GOOD, GOOD + b"\n", b" " + GOOD, GOOD + GOOD,
        GOOD[:-1], GOOD.replace(b'"size":', b'"size": '), GOOD.replace(b'"sealed"', b'"size":5,"sealed"', 1),
        GOOD.replace(b'"offset":0', b'"offset":0.0'), GOOD.replace(b'"offset":0', b'"offset":0e0'),
        GOOD.replace(b'"offset":0', b'"offset":-0'), GOOD.replace(b'"offset":0', b'"offset":NaN'),
        GOOD.replace(b'"offset":0', b'"offset":Infinity'), GOOD.replace(b'"offset":0', b'"offset":' + b"9" * 5000),
        GOOD.replace(b"b.json", b"\\u0062.json"), GOOD.replace(b"b.json", b"b\\/json"),
        GOOD.replace(b"b.json", b"\\ud800"), GOOD.replace(b"b.json", "e\u0301".encode()),
        b'{"format":"steelyard/manifest/v1",' + GOOD[1:],
    ],
    ids=range(24),
)  # fmt: skip
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ManifestError):
        manifest.parse(data)


@pytest.mark.parametrize(
    "data", [b"[" * 9 + b"]" * 9, b"[" * 100_000, b'{"a":' * 50_000, b"[" * 60 + b"]" * 60]
)
def test_deep_nesting_is_refused(data: bytes) -> None:
    with pytest.raises(ManifestError):
        manifest.parse(data)


def test_size_cap_comes_before_parsing() -> None:
    with pytest.raises(ManifestError, match="bytes"):
        manifest.parse(b" " * ((16 << 20) + 1))


def test_bomb_of_containers_is_refused_before_parsing() -> None:
    with pytest.raises(ManifestError, match="objects and arrays"):
        manifest.parse(b"[" + b"[]," * 200_001 + b"[]]")


@pytest.mark.parametrize("piece", [b'"",', b"0,"])
def test_bomb_of_values_is_refused_before_parsing(piece: bytes) -> None:
    with pytest.raises(ManifestError, match="strings or values"):
        manifest.parse(b"[" + piece * 4_000_001 + b"0]")


def test_unclosed_string_of_escapes_is_refused_in_one_pass() -> None:
    # A pattern that backtracks or starts anew at every quote would not come back from this.
    with pytest.raises(ManifestError):
        manifest.parse(b'["' + b'\\"' * 1_900_000)


def test_brackets_in_strings_do_not_count_as_nesting() -> None:
    path = "[{" * 20
    built, _ = manifest.build([source(path)], key_salt=SALT)
    assert manifest.parse(built.to_bytes()).files[0].path == path


BAD_PATHS = [
    "", "/", "/etc/passwd", "..", "../x", "a/../b", "a/..", "./a", "a/.", "a//b", "a/", "//a", "\\", "a\\b", "..\\x",
    "C:", "C:x", "c:/x", "a:b", "\x00", "a\x00b", "a\nb", "a\rb", "\x1b[0m", "\x7f", "\x85", "a\u2028b", "a\u2029b",
    "\u202eexe.txt", "a\u202db", "a\u2066b", "a\u2069b", "a\u200fb", "a\u200eb", "a\u061cb", "a\u200bb", "a\u200db",
    "a\ufeffb", "\ud800", "CON", "con", "Con.txt", "prn", "aux.tar.gz", "NUL", "nul.onnx", "COM1", "com9.x", "LPT1",
    "lpt0", "COM¹", "conin$", "CONOUT$", "a/NUL/b", "nul .txt", "a.", "a ", "a./b", "a /b", "...", "a<b", "a>b",
    'a"b', "a|b", "a?b", "a*b", "x" * 256, "é" * 128, "/".join(["x" * 200] * 6), "e\u0301", "\u212b",
]  # fmt: skip


@pytest.mark.parametrize("path", BAD_PATHS, ids=ascii)
def test_paths_that_mean_something_else_somewhere_are_refused(path: str) -> None:
    entry = FileEntry(path=path, offset=1, size=0, format="onnx", role="weights")
    with pytest.raises(ManifestError) as caught:
        Manifest(key_salt=SALT, size=1, sealed_size=1, files=(entry,))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "path",
    ["model.onnx", "a/b/c", ".gitattributes", "a b", "~x", "-rf", "..a", "a..b", "x" * 255, "é" * 127, "模型/权重.bin",
     "console", "com10", "nul-model", "a'b", "$HOME", "%2e%2e", "a;b", "🤗"],
    ids=ascii,
)  # fmt: skip
def test_unusual_but_plain_paths_are_accepted(path: str) -> None:
    built, sealed = manifest.build([source(path)], key_salt=SALT)
    assert manifest.parse(built.to_bytes()) == built
    assert list(manifest.parse_sealed(sealed, manifest=built)) == [path]


@pytest.mark.parametrize(
    "paths",
    [("a", "a"), ("A", "a"), ("a/x", "A/y"), ("a/b", "A/B"), ("straße", "strasse"), ("a", "a/b"), ("A", "a/b"),
     ("a/b", "a/b/c"), ("\u03c3", "\u03c2"), ("É", "é")],
    ids=ascii,
)  # fmt: skip
def test_paths_that_meet_are_refused(paths: tuple[str, str]) -> None:
    with pytest.raises(ManifestError):
        manifest.build([source(path) for path in paths], key_salt=SALT)


def test_order_is_checked() -> None:
    document = valid()
    size = document["sealed"]["size"]
    document["files"].reverse()
    document["files"][0]["offset"] = document["files"][1]["offset"] = size
    with pytest.raises(ManifestError, match="out of order"):
        manifest.parse(canonical(document))


def test_too_many_files() -> None:
    entry = FileEntry(path="a", offset=1, size=0, format="onnx", role="weights")
    with pytest.raises(ManifestError, match="files"):
        Manifest(key_salt=SALT, size=1, sealed_size=1, files=(entry,) * 100_001)


def test_stream_longer_than_its_chunk_numbers() -> None:
    with pytest.raises(ManifestError):
        manifest.build([source("a", 1 << 52)], key_salt=SALT)


def test_a_version_has_a_sealed_manifest() -> None:
    entry = FileEntry(path="a", offset=0, size=1, format="onnx", role="weights")
    with pytest.raises(ManifestError, match="cannot be empty"):
        Manifest(key_salt=SALT, size=1, sealed_size=0, files=(entry,))


@pytest.mark.parametrize("digest", [b"", bytes(31), bytes(33)])
def test_digest_of_another_length(digest: bytes) -> None:
    with pytest.raises(ManifestError):
        manifest.build([source("a", sha256=digest)], key_salt=SALT)


@pytest.mark.parametrize("salt", [b"", bytes(31), bytes(33)])
def test_salt_of_another_length(salt: bytes) -> None:
    with pytest.raises(ManifestError):
        manifest.build([source("a")], key_salt=salt)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(format="steelyard/sealed/v2"),
        lambda d: d["files"].reverse(),
        lambda d: d["files"].pop(),
        lambda d: d["files"][0].update(path="c"),
        lambda d: d["files"][0].update(sha256="0x"),
        lambda d: d["files"][0].update(extra=1),
        lambda d: d.update(files=5),
    ],
    ids=range(7),
)
def test_hostile_sealed_manifest_is_refused(change: Callable[[dict], None]) -> None:
    _, sealed = manifest.build([source("a"), source("b")], key_salt=SALT)
    document = json.loads(sealed)
    change(document)
    data = canonical(document)
    files = tuple(FileEntry(path=p, offset=len(data), size=0, format="x", role="x") for p in ("a", "b"))
    public = Manifest(key_salt=SALT, size=len(data), sealed_size=len(data), files=files)
    with pytest.raises(ManifestError):
        manifest.parse_sealed(data, manifest=public)


def test_sealed_manifest_of_another_length_is_refused() -> None:
    built, sealed = manifest.build([source("a")], key_salt=SALT)
    for data in (sealed[:-1], sealed + b" "):
        with pytest.raises(ManifestError, match="bytes"):
            manifest.parse_sealed(data, manifest=built)
