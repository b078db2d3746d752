"""What a buyer sees of an asset before he buys."""

from __future__ import annotations

from pathlib import Path

import pytest

from steelyard.cli.search import marked_kind
from steelyard.indexer.database import open_database
from steelyard.query.audit import Audit
from steelyard.service.cards import CardKeeper
from steelyard.storage.embedded import EmbeddedStore
from tests.unit.query.folders import add_folder, manifest_of
from tests.unit.query.world import World


@pytest.mark.parametrize(
    ("formats", "shown"),
    [(("onnx",), "model"), (("onnx", "pickle+code"), "model +code"), (None, "model code?"), ((), "model")],
)
def test_a_version_that_runs_code_is_marked(
    tmp_path: Path, formats: tuple[str, ...] | None, shown: str
) -> None:
    store, world, database = (
        EmbeddedStore(tmp_path / "store"),
        World(),
        open_database(tmp_path / "index.sqlite"),
    )
    asset = world.asset("digits")
    if formats != ():
        manifest = b"{}" if formats is None else manifest_of(*formats)
        world.publish(asset, folder=add_folder(store, b"# Digits", manifest=manifest))
    world.tick()
    world.feed(database)
    CardKeeper(database, store).step()
    assert marked_kind(Audit(database).asset(asset)) == shown
    database.close()
