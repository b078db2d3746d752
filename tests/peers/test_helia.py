"""Helia's libraries, both ways round: they read what we serve and export, and build what we read."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from steelyard.storage.car import export_car, import_car, save_car
from steelyard.storage.dagpb import decode_node
from steelyard.storage.embedded import EmbeddedStore
from steelyard.storage.server import StoreServer
from steelyard.storage.unixfs import CHUNK
from tests.peers.conftest import Given, add
from tests.support import helia


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_they_build_the_same_blocks_and_we_read_their_archive(
    node: str, given: Given, store: EmbeddedStore, folder: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "theirs.car"
    assert helia.answer(node, "build", folder, archive) == given.root
    with archive.open("rb") as file:
        assert import_car(store, file).roots == (given.root,)
    # Theirs repeats a block that is linked twice; of the same blocks ours is the same.
    assert b"".join(export_car(store, given.root)) == b"".join(export_car(given.store, given.root))


def test_they_read_what_we_serve(node: str, given: Given, folder: Path) -> None:
    assert helia.answer(node, "gateway", given.url, given.root) == digests(folder)


def test_they_read_our_archives(node: str, given: Given, folder: Path, tmp_path: Path) -> None:
    save_car(given.store, given.root, tmp_path / "ours.car")
    assert helia.answer(node, "archive", tmp_path / "ours.car", given.root) == digests(folder)


@pytest.mark.parametrize("harm", ["missing", "damaged"])
def test_they_do_without_a_block_that_we_have_not_whole(
    node: str, store: EmbeddedStore, server: StoreServer, folder: Path, harm: str
) -> None:
    root = add(store, folder / "sub")
    leaf = decode_node(store.get_block(store.resolve(root, "more"))).links[0].cid
    if harm == "missing":
        store._block_path(leaf).unlink()
    else:
        store._block_path(leaf).write_bytes(bytes(CHUNK))
    done = helia.run(node, "gateway", server.url, root)
    assert done.returncode and not done.stdout
    assert f"Unable to fetch raw block for CID {leaf}" in done.stderr
