"""`steelyard store` on a real folder."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from steelyard.storage.cid import CID, cid_of
from steelyard.storage.embedded import EmbeddedStore
from steelyard.storage.server import StoreServer
from tests.unit.cli.conftest import Cli

ABC = cid_of(b"abc")


@pytest.fixture
def store(home: Path) -> EmbeddedStore:
    return EmbeddedStore(home / "store")


@pytest.fixture
def root(store: EmbeddedStore) -> CID:
    inner = store.add_directory({"x": io.BytesIO(b"xy")})
    cid = store.add_directory({"a.txt": io.BytesIO(b"abc"), "sub": inner})
    store.pin(cid)
    return cid


def test_ls_names_pins_and_entries(cli: Cli, store: EmbeddedStore, root: CID) -> None:
    found = cli("store", "ls", "--json").document
    assert found == [{"cid": root, "size": store.cumulative_size(root)}]
    entries = cli("store", "ls", root, "--json").document
    assert (entries[0]["name"], entries[0]["cid"]) == ("a.txt", ABC)
    assert cli("store", "ls", f"/ipfs/{root}/sub/").out.splitlines()[1].endswith("  x")
    assert cli("store", "ls", f"{root}/a.txt").code == 2
    assert cli("store", "ls", f"{root}/no").code == 3


def test_stat(cli: Cli, store: EmbeddedStore, root: CID) -> None:
    found = cli("store", "stat", "--json").document
    assert (found["blocks"], found["size"], found["pins"]) == (*store.usage(), 1)
    assert cli("store", "stat", f"{root}/a.txt", "--json").document == {
        "cid": ABC,
        "kind": "file",
        "file_size": 3,
        "size": 3,
        "pinned": False,
    }
    assert cli("store", "stat", root, "--json").document["pinned"] is True
    assert cli("store", "stat", cid_of(b"other")).code == 3


def test_verify_of_a_sound_store(cli: Cli, root: CID) -> None:
    assert cli("store", "verify").out == "4 blocks, 154 B, 1 pin: right\n"
    assert cli("store", "verify", root).out == "4 blocks, 154 B: right\n"


def test_verify_names_what_is_damaged(cli: Cli, store: EmbeddedStore, root: CID) -> None:
    store._block_path(ABC).write_bytes(b"abd")
    found = cli("store", "verify")
    assert found.code == 5 and ABC in found.err
    assert cli("store", "verify", root).code == 5
    store._block_path(ABC).unlink()
    found = cli("store", "verify")
    assert found.code == 5 and root in found.err and "missing" in found.err
    assert cli("store", "verify", root).code == 3


def test_gc(cli: Cli, store: EmbeddedStore, root: CID) -> None:
    store.add_file(io.BytesIO(b"loose"))
    assert cli("store", "gc", "--json").document == {"removed": 0, "size": 0, "recent": 1, "kept": 4}
    assert "would remove 1 block" in cli("store", "gc", "--grace", "0", "--dry-run").out
    assert store.usage()[0] == 5
    assert "removed 1 block" in cli("store", "gc", "--grace", "0").out
    assert store.usage()[0] == 4
    store._block_path(root).unlink()
    assert cli("store", "gc").code == 5


def test_export_and_import(cli: Cli, store: EmbeddedStore, root: CID, tmp_path: Path) -> None:
    file = tmp_path / "out.car"
    assert cli("store", "export", root, "-o", str(file)).out.splitlines()[-1] == str(file)
    assert cli("store", "export", f"{root}/sub").out == f"{store.resolve(root, 'sub')}.car\n"
    other = ("--store", str(tmp_path / "other"))
    assert cli("store", "import", str(file), "--no-pin", *other).out.splitlines() == [root]
    assert cli("store", "ls", *other, "--json").document == []
    assert cli("store", "import", str(file), *other).out.splitlines() == [root]
    assert cli("store", "verify", *other).out == "4 blocks, 154 B, 1 pin: right\n"


def test_a_bad_archive(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "bad.car"
    assert cli("store", "import", str(file)).code == 2
    file.write_bytes(b"\x00")
    assert cli("store", "import", str(file)).code == 5


def test_a_node_imports_and_exports_and_the_rest_is_asked_of_it(
    cli: Cli, store: EmbeddedStore, root: CID, tmp_path: Path
) -> None:
    with StoreServer(EmbeddedStore(tmp_path / "node")) as server:
        assert cli("store", "export", root, "-o", "a.car").code == 0
        assert cli("store", "import", "a.car", "--store", server.url).out.splitlines() == [root]
        assert cli("store", "export", root, "-o", "b.car", "--store", server.url).code == 0
        assert Path("a.car").read_bytes() == Path("b.car").read_bytes()
        for verb in ("ls", "stat", "verify", "gc"):
            assert cli("store", verb, "--store", server.url).code == 2


def test_with_several_stores_the_folder_is_kept_and_all_are_checked(
    cli: Cli, store: EmbeddedStore, root: CID, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StoreServer(EmbeddedStore(tmp_path / "node")) as server:
        monkeypatch.setenv("STEELYARD_STORE_MORE", f"{server.url},{tmp_path / 'more'}")
        monkeypatch.setenv("STEELYARD_GATEWAYS", f"{server.url},http://127.0.0.1:9")
        assert cli("store", "stat", "--json").document["blocks"] == 4
        assert cli("store", "gc").code == 0
        assert cli("store", "export", root, "-o", "a.car").code == 0
        assert cli("store", "import", "a.car").code == 0
        assert EmbeddedStore(tmp_path / "node").is_pinned(root)
        found = cli("doctor", "--json").document["checks"]
        states = [(check["name"], check["state"]) for check in found if check["name"] in ("store", "gateway")]
        assert states == [("store", "ok")] * 3 + [("gateway", "ok"), ("gateway", "fail")]
