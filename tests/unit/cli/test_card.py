"""``steelyard card``, and what ``info`` says of files."""

from __future__ import annotations

import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from steelyard.domain.manifest import FileEntry, Manifest
from steelyard.formats.summary import HEADING
from tests.unit.cli.conftest import Cli
from tests.unit.cli.stub import StubMarket

REAL = Path(__file__).parents[2] / "vectors" / "formats.zip"
CARD = "---\nlicense: mit\npipeline_tag: text-generation\nlibrary_name: onnx\n---\n# Digits\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "model"
    place.mkdir()
    with zipfile.ZipFile(REAL) as archive:
        (place / "weights.bin").write_bytes(archive.read("onnx.onnx"))
    return place


def test_a_starter_passes_the_check(cli: Cli, folder: Path) -> None:
    made = cli("card", "init", str(folder), "--name", "Digits", "--license", "mit")
    assert made.out.splitlines()[-1] == str(folder / "README.md")
    assert "library_name: onnx" in (folder / "README.md").read_text()
    found = cli("card", "check", str(folder))
    assert found.code == 0 and "Nothing must be mended" in found.err
    assert cli("card", "init", str(folder)).code == 4


def test_an_unknown_licence_makes_no_card(cli: Cli, folder: Path) -> None:
    assert cli("card", "init", str(folder), "--license", "mine").code == 2
    assert not (folder / "README.md").exists()


def test_what_must_be_mended(cli: Cli, folder: Path) -> None:
    (folder / "README.md").write_text(CARD.replace("mit", "mine") + "<script>x</script>")
    (folder / "m.pt").write_bytes(pickle.dumps(OSError("x")))
    (folder / "b.safetensors").write_bytes((1 << 30).to_bytes(8, "little") + b'{"a":1}')
    found = cli("card", "check", str(folder))
    assert found.code == 2
    for word in ("license: 'mine'", "'<script'", "b.safetensors: 'b.safetensors': a header of"):
        assert word in found.out
    assert "m.pt runs code when it is loaded" in found.err
    assert cli("card", "check", str(folder), "--json").document["error"]["kind"] == "ManifestError"


def test_a_folder_is_shown(cli: Cli, folder: Path) -> None:
    (folder / "README.md").write_text(CARD)
    lines = cli("card", "show", str(folder)).out.splitlines()
    assert "title    Digits" in lines and "  input x float32 (N, 3)" in lines
    assert any(line.startswith("weights.bin") and line.endswith("onnx") for line in lines)
    assert cli("card", "show", str(folder), "--json").document["parameters"] == 8


def published(market: StubMarket) -> None:
    files = (
        FileEntry(path="a.onnx", offset=9, size=1, format="onnx", role="weights"),
        FileEntry(path="b.pt", offset=10, size=1, format="pytorch+code", role="weights"),
    )
    manifest = Manifest(key_salt=bytes(32), size=11, sealed_size=9, files=files)
    info = market.info("alice/digits")
    card = f"{CARD}\n\n{HEADING}\n\nThe seller's word.\n\n- a.onnx: onnx\n\n    x float32 (2)\n"
    version = replace(info.versions[-1], manifest=manifest, card=card, code=("b.pt",))
    market.answers["info"] = replace(info, versions=(version,))


def test_info_marks_what_runs_code_and_shows_what_the_seller_lets_be_seen(
    cli: Cli, market: StubMarket
) -> None:
    published(market)
    lines = [line.strip() for line in cli("info", "alice/digits").out.splitlines()]
    assert "file    a.onnx  1 B  onnx" in lines
    assert "file    b.pt  1 B  pytorch+code  RUNS CODE WHEN LOADED" in lines
    assert "inside the files, as the seller says:" in lines and "x float32 (2)" in lines
    assert cli("info", "alice/digits", "--json").document["versions"][0]["code"] == ["b.pt"]


def test_a_published_card_is_shown(cli: Cli, market: StubMarket) -> None:
    published(market)
    out = cli("card", "show", "alice/digits").out
    assert "title    Digits" in out and "pytorch+code" in out


def test_all_tasks_of_a_dataset_are_shown(cli: Cli, folder: Path) -> None:
    (folder / "README.md").write_text("---\ntask_categories: [translation, summarization]\n---\n# T\n")
    assert "task   translation, summarization" in cli("card", "show", str(folder)).out.splitlines()
