"""Files that run code when they are loaded: refused, allowed, marked for ever, and found out when they are hidden."""

from __future__ import annotations

import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from steelyard.errors import CodeError, ManifestError
from steelyard.formats.report import FormatReport
from steelyard.market import Market
from steelyard.service import declare
from tests.e2e.support import PRICE, same_files

MODEL = pickle.dumps(OSError("weights"))


def test_code_is_refused_marked_and_told_before_and_after_buying(
    seller: Market, buyer: Market, folder: Path, tmp_path: Path
) -> None:
    (folder / "model.pt").write_bytes(MODEL)
    seen: list[object] = []
    with pytest.raises(CodeError, match="model.pt"):
        seller.publish(folder, name="digits", progress=lambda *told: seen.append(told))
    assert seen == [], "refused before anything is hashed"
    with pytest.raises(ManifestError, match="onerror"):
        seller.publish(folder, name="digits", allow_code=True, card="# x\n<img src=x onerror=y>")
    with pytest.raises(ManifestError, match="nobody would read it"):
        seller.publish(folder, name="digits", allow_code=True, card="# x\n" + "y" * (5 << 20))
    done = seller.publish(folder, name="digits", allow_code=True, preview=True)
    seller.offer(done.ref, price=PRICE)
    (version,) = buyer.info(done.ref).versions
    assert version.code == ("model.pt",)
    assert version.manifest is not None
    assert {entry.path: entry.format for entry in version.manifest.files}["model.pt"] == "pickle+code"
    assert version.card is not None and "## Inside the files" in version.card and "OSError" in version.card
    assert any("RUNS CODE WHEN LOADED: 'model.pt'" in text for text in buyer.quote(done.ref).warnings)
    bought = buyer.buy(done.ref, wait=False)
    seller.deliver(bought.id)
    with pytest.warns(UserWarning, match="'model.pt' runs code when it is loaded"):
        path = buyer.pull(bought, tmp_path / "pulled")
    assert same_files(path, folder)


def test_hidden_code_is_found_out_when_it_is_pulled(
    seller: Market, buyer: Market, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "model.pt").write_bytes(MODEL)

    def lie(place: Path, *, name: str) -> FormatReport:
        found = honest(place, name=name)
        return replace(found, format="safetensors", code=None) if found.code else found

    honest = declare.look_into
    monkeypatch.setattr(declare, "look_into", lie)
    done = seller.publish(folder, name="digits")
    monkeypatch.undo()
    seller.offer(done.ref, price=PRICE)
    bought = buyer.buy(done.ref, wait=False)
    seller.deliver(bought.id)
    with pytest.raises(CodeError, match="'model.pt' is declared as safetensors"):
        buyer.pull(bought, tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists()
    with pytest.warns(UserWarning, match="'model.pt' is declared as safetensors"):
        path = buyer.pull(bought, tmp_path / "pulled", allow_code=True)
    assert same_files(path, folder)


def test_real_models_of_many_formats_arrive_byte_for_byte(
    seller: Market, buyer: Market, tmp_path: Path
) -> None:
    names = ("safetensors.safetensors", "gguf.gguf", "onnx.onnx", "keras.keras", "skops.skops", "parquet.parquet",
             "hdf5-earliest.h5", "saved_model.pb", "variables.index")  # fmt: skip
    folder = tmp_path / "models"
    folder.mkdir()
    with zipfile.ZipFile(Path(__file__).parents[2] / "vectors" / "formats.zip") as archive:
        for number, name in enumerate(names):
            (folder / f"file{number}").write_bytes(archive.read(name))
    done = seller.publish(folder, name="many")
    seller.offer(done.ref, price=PRICE)
    (version,) = buyer.info(done.ref).versions
    assert version.manifest is not None and version.code == ()
    assert [entry.format for entry in version.manifest.files] == [
        "safetensors", "gguf", "onnx", "keras", "skops", "parquet", "keras-hdf5", "tf-savedmodel", "tf-checkpoint-index",
    ]  # fmt: skip
    bought = buyer.buy(done.ref, wait=False)
    seller.deliver(bought.id)
    assert same_files(buyer.pull(bought, tmp_path / "pulled"), folder)
