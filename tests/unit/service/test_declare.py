"""What the files of a folder are, by content: for the seller who publishes, and for the buyer who compares."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import pytest

from steelyard.domain.card import parse
from steelyard.domain.manifest import FileEntry, Manifest
from steelyard.domain.types import AssetKind
from steelyard.errors import CodeError, FormatError, InputError, RefusedError
from steelyard.service.declare import code_files, compare, declare
from steelyard.service.describe import describe, starter, write_starter
from steelyard.service.source import Input, collect

REAL = Path(__file__).parents[2] / "vectors" / "formats.zip"
PICKLE = pickle.dumps(OSError("x"))


def real(name: str) -> bytes:
    with zipfile.ZipFile(REAL) as archive:
        return archive.read(name)


def folder_of(place: Path, **files: bytes) -> Input:
    for name, data in files.items():
        path = place / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return collect(place)


def entry(path: str, form: str) -> FileEntry:
    return FileEntry(path=path, offset=1, size=1, format=form, role="other")


def test_formats_come_from_content_and_not_from_names(tmp_path: Path) -> None:
    source = folder_of(
        tmp_path,
        a_onnx=real("safetensors.safetensors"),
        b_bin=real("onnx.onnx"),
        c_safetensors=b"\xff\x00no",
        d_json=b"{}",
        README_md=b"# x",
    )
    found = declare(source, allow_code=False)
    assert {file.path: (file.format, file.role) for file in found.source.files} == {
        "README.md": ("markdown", "card"),
        "a.onnx": ("safetensors", "weights"),
        "b.bin": ("onnx", "weights"),
        "c.safetensors": ("binary", "other"),
        "d.json": ("json", "config"),
    }


def test_code_is_refused_by_name_and_marked_where_it_is_allowed(tmp_path: Path) -> None:
    source = folder_of(tmp_path, a_txt=PICKLE, b_txt=b"text")
    with pytest.raises(CodeError, match=r"'a.txt' \(pickle\).*OSError.*--allow-code") as caught:
        declare(source, allow_code=False)
    assert isinstance(caught.value, RefusedError)
    assert [file.format for file in declare(source, allow_code=True).source.files] == ["pickle+code", "text"]


def test_a_hostile_file_is_named(tmp_path: Path) -> None:
    source = folder_of(tmp_path, m__a_safetensors=(1 << 30).to_bytes(8, "little") + b'{"a":1}')
    with pytest.raises(FormatError, match=r"'m/a.safetensors': a header of 1073741824 bytes"):
        declare(source, allow_code=True)


@pytest.mark.parametrize(("size", "words"), [(None, "not in the folder"), (23, "has 23"), (24, "")])
def test_weights_in_other_files_must_be_in_the_folder(tmp_path: Path, size: int | None, words: str) -> None:
    files = {"m__a_onnx": real("onnx-external.onnx")}
    source = folder_of(tmp_path, **files, **({} if size is None else {"m__w_bin": bytes(size)}))
    if not words:
        assert declare(source, allow_code=False).reports[0].external
        return
    with pytest.raises(FormatError, match=words):
        declare(source, allow_code=False)


@pytest.mark.parametrize(
    ("data", "declared", "refused", "told"),
    [
        (b"text", "text", False, []),
        (b"\xff\x00", "onnx", False, []),
        (PICKLE, "pickle+code", False, ["runs code when it is loaded"]),
        (PICKLE, "safetensors", True, ["is declared as safetensors, and loading it runs code"]),
        (b"\x80\x00\x00\x00\x00\x00\x00\x01{}", "binary", False, []),
        ((9).to_bytes(8, "little") + b'{"a":{}} !', "safetensors", True, ["declared as safetensors, but"]),
        (real("gguf.gguf"), "safetensors", False, ["is declared as safetensors, and is gguf"]),
        (real("gguf.gguf"), "gguf", False, []),
    ],
    ids=["as declared", "unknown", "code", "hidden code", "binary", "damaged", "another", "right"],
)
def test_what_was_bought_is_compared(
    tmp_path: Path, data: bytes, declared: str, refused: bool, told: list[str]
) -> None:
    (tmp_path / "a").write_bytes(data)
    wanted = [entry("a", declared)]
    if refused:
        with pytest.raises(CodeError, match="Nothing was written"):
            compare({"a": tmp_path / "a"}, wanted, allow_code=False)
    found = compare({"a": tmp_path / "a"}, wanted, allow_code=refused)
    assert len(found) == len(told)
    assert all(word in text and "'a'" in text for word, text in zip(told, found, strict=True))


def test_files_that_are_declared_to_run_code_are_listed() -> None:
    files = (
        FileEntry(path="a", offset=9, size=1, format="onnx", role="weights"),
        FileEntry(path="b", offset=10, size=1, format="pytorch+code", role="weights"),
    )
    assert code_files(Manifest(key_salt=bytes(32), size=11, sealed_size=9, files=files)) == ("b",)


def test_a_folder_is_described(tmp_path: Path) -> None:
    folder_of(tmp_path, a_onnx=real("onnx.onnx"), b_safetensors=(1 << 30).to_bytes(8, "little") + b'{"a":1}')
    found = describe(tmp_path, kind=AssetKind.MODEL)
    assert (found.library, found.parameters, found.card) == ("onnx", 8, None)
    assert [(item.wrong, item.field) for item in found.findings] == [(True, "b.safetensors"), (False, "card")]


def test_a_starter_is_a_card_and_never_overwrites_one(tmp_path: Path) -> None:
    folder_of(tmp_path, a_onnx=real("onnx.onnx"))
    path = write_starter(tmp_path, name="Digits", kind=AssetKind.MODEL, licence="mit")
    found = describe(tmp_path, kind=AssetKind.MODEL)
    assert found.card is not None and (found.card.title, found.card.framework, found.card.licence) == (
        "Digits",
        "onnx",
        "mit",
    )
    assert "8 parameters." in path.read_text() and not [item for item in found.findings if item.wrong]
    with pytest.raises(RefusedError):
        write_starter(tmp_path, name="Digits", kind=AssetKind.MODEL, licence=None)
    alone = describe(path, kind=AssetKind.DATASET)
    assert alone.files == () and alone.card is not None
    assert 'pretty_name: "D"' in starter(found, name="D", kind=AssetKind.DATASET, licence=None)
    for name in ("Speech: German", "a #b", "yes", "1.0", "~", "[x]", "*a", "- x", "'q", 'say "x"', "größe"):
        assert parse(starter(found, name=name, kind=AssetKind.DATASET, licence="mit").encode()).title == name
    with pytest.raises(InputError):
        describe(tmp_path / "nothing", kind=AssetKind.MODEL)
