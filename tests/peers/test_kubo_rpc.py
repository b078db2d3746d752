"""kubo-rpc-client, unchanged, against our RPC: it reads what we stored, and we read what it stored."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import tarfile
from pathlib import Path

from steelyard.storage.car import export_car
from steelyard.storage.cid import cid_of
from steelyard.storage.embedded import EmbeddedStore
from steelyard.storage.server import StoreServer
from steelyard.storage.unixfs import CHUNK, file_cid
from tests.peers.conftest import add

SCRIPT = Path(__file__).parent / "kubo_rpc.mjs"


def test_the_unchanged_client_does_everything(
    node: str, store: EmbeddedStore, server: StoreServer, tmp_path: Path
) -> None:
    content = bytes(i % 251 for i in range(CHUNK + 77))
    (tmp_path / "given" / "sub").mkdir(parents=True)
    (tmp_path / "given" / "sub" / "more").write_bytes(content)
    (tmp_path / "given" / "sub" / "ü").write_bytes(b"small")
    root = add(store, tmp_path / "given")
    store.pin(root)
    gone = cid_of(b"gone")
    done = subprocess.run(
        [node, str(SCRIPT), server.url, root, gone], check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    out = json.loads(done.stdout)

    assert base64.b64decode(out["cat"]) == content
    assert base64.b64decode(out["range"]) == content[1048570:][:100]
    assert out["ls"] == [["more", CHUNK + 77, "file"], ["ü", 5, "file"]]
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(out["tar"]))) as tar:
        member = tar.extractfile("sub/more")
        assert member is not None and member.read() == content
    assert gone in out["missing"]
    assert out["version"].endswith("steelyard") and out["id"].startswith("12D3KooW")

    data = (b"steelyard" * (3 << 20))[: 3 << 20]
    assert out["added"] == out["hash"] == file_cid(io.BytesIO(data))
    assert out["progress"] == [CHUNK, 2 * CHUNK, 3 * CHUNK]
    assert store.read_file(out["added"], max_size=3 << 20) == data
    names = dict(out["tree"])
    assert set(names) == {"d/a", "d/b/c", "d/b", "d"}
    assert out["block"] == [cid_of(b"abc"), "abc"] and out["stat"] == 3

    assert out["imported"] == [names["d"]] and "do not hash" in out["forged"]
    assert out["pinned"] == cid_of(b"abc")
    assert set(out["pins"]) == {root, out["added"], names["d"], cid_of(b"abc")}
    assert out["unpinned"] == names["d"]
    assert set(out["left"]) == {root, out["added"]} == set(store.pins())

    assert set(out["collected"]) >= {cid_of(b"abc"), cid_of(b"A"), cid_of(b"C")}
    assert out["repo"] == store.usage()[0] and out["format"] == "1"
    assert not store.has(names["d"]) and len(list(store.blocks(root))) == 6
    other = EmbeddedStore(tmp_path / "other")
    again = other.add_directory({"a": io.BytesIO(b"A"), "b": other.add_directory({"c": io.BytesIO(b"C")})})
    assert base64.b64decode(out["archive"]) == b"".join(export_car(other, again)) and again == names["d"]
