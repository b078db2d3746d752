"""The RPC over real sockets: through the unchanged ipfshttpclient, and by hand for what no honest client sends."""

from __future__ import annotations

import http.client
import io
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import ipfshttpclient
import pytest

from steelyard.errors import ConfigError, InputError, RefusedError
from steelyard.storage import directories, rpc
from steelyard.storage import server as server_module
from steelyard.storage.cid import CID, cid_of
from steelyard.storage.dagpb import MAX_BLOCK, Kind, decode_node, decode_unixfs
from steelyard.storage.embedded import EmbeddedStore
from steelyard.storage.reader import MAX_PATH
from steelyard.storage.server import StoreServer
from steelyard.storage.upkeep import collect
from tests.support.folders import directory_block

pytestmark = pytest.mark.filterwarnings("ignore:The 'strict' parameter is no longer needed:FutureWarning")


@pytest.fixture
def client(server: StoreServer) -> Iterator[Any]:
    url = urlsplit(server.url)
    with ipfshttpclient.connect(f"/ip4/{url.hostname}/tcp/{url.port}/http") as connected:
        yield connected


def _ask(
    server: StoreServer, path: str, *, method: str = "POST", body: bytes = b"", **headers: str
) -> tuple[int, Any]:
    url = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=10)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body=body, headers=named)
        answer = connection.getresponse()
        data = answer.read()
        return answer.status, json.loads(data) if data else None
    finally:
        connection.close()


# -- ipfshttpclient --------------------------------------------------------------------------------------------------


def test_the_client_connects_without_a_warning(client: Any) -> None:
    assert client.version()["Version"].startswith("0.8.0")
    assert client.id()["AgentVersion"] == "steelyard"


def test_files_added_have_the_identifiers_of_the_vectors(
    client: Any, store: EmbeddedStore, vectors: dict[str, str], pattern: Callable[[int], bytes]
) -> None:
    for size in ("0", "11", "1048577"):
        assert client.add(io.BytesIO(pattern(int(size))))["Hash"] == vectors[size]
        assert client.cat(vectors[size]) == pattern(int(size))
        assert store.is_pinned(vectors[size])
    assert client.cat(vectors["1048577"], offset=1048570, length=100) == pattern(1048577)[1048570:]
    assert client.cat(vectors["1048577"], offset=9_000_000) == b""


def test_a_folder_is_added_listed_and_fetched(
    client: Any,
    store: EmbeddedStore,
    tmp_path: Path,
    vectors: dict[str, str],
    pattern: Callable[[int], bytes],
) -> None:
    (tmp_path / "dir" / "sub").mkdir(parents=True)
    (tmp_path / "dir" / "a.txt").write_bytes(pattern(11))
    (tmp_path / "dir" / "b.bin").write_bytes(pattern(1048577))
    (tmp_path / "dir" / "sub" / "c").write_bytes(b"c")
    added = {item["Name"]: item["Hash"] for item in client.add(tmp_path / "dir", recursive=True)}
    assert set(added) == {"dir", "dir/a.txt", "dir/b.bin", "dir/sub", "dir/sub/c"}
    assert store.is_pinned(added["dir"]) and not store.is_pinned(added["dir/sub"])
    assert client.cat(f"/ipfs/{added['dir']}/sub/c") == b"c"
    links = client.ls(added["dir"])["Objects"][0]["Links"]
    assert [(link["Name"], link["Type"], link["Size"]) for link in links] == [
        ("a.txt", 2, 11),
        ("b.bin", 2, 1048577),
        ("sub", 1, 0),
    ]
    client.get(added["dir"], target=tmp_path / "out")
    assert (tmp_path / "out" / added["dir"] / "b.bin").read_bytes() == pattern(1048577)
    assert (tmp_path / "out" / added["dir"] / "sub" / "c").read_bytes() == b"c"


def test_a_wrapping_directory_has_the_identifier_of_the_vectors(
    client: Any, tmp_path: Path, vectors: dict[str, str], pattern: Callable[[int], bytes]
) -> None:
    (tmp_path / "a.txt").write_bytes(pattern(11))
    (tmp_path / "b.bin").write_bytes(pattern(1048577))
    added = client.add(tmp_path / "a.txt", tmp_path / "b.bin", wrap_with_directory=True, pin=False)
    assert (added[-1]["Name"], added[-1]["Hash"]) == ("", vectors["dir"])
    assert client.pin.ls()["Keys"].as_json() == {}


def test_only_hash_stores_nothing(client: Any, store: EmbeddedStore, vectors: dict[str, str]) -> None:
    assert client.add(io.BytesIO(b""), only_hash=True)["Hash"] == vectors["0"]
    assert store.usage() == (0, 0)


def test_blocks_are_put_and_got(client: Any) -> None:
    assert client.block.put(io.BytesIO(b"abc"))["Key"] == cid_of(b"abc")
    assert client.block.get(cid_of(b"abc")) == b"abc"
    assert client.block.stat(cid_of(b"abc"))["Size"] == 3
    with pytest.raises(ipfshttpclient.exceptions.ErrorResponse, match="not in the store"):
        client.block.get(cid_of(b"abd"))


def test_a_folder_that_is_a_trie_is_added_and_listed(
    client: Any, store: EmbeddedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directories, "MAX_BLOCK", 100)
    folder = tmp_path / "wide"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number:02}").write_bytes(b"%d" % number)
    added = client.add(str(folder))
    root = next(item["Hash"] for item in added if item["Name"] == "wide")
    assert decode_unixfs(decode_node(store.get_block(root)).data).kind is Kind.SHARD
    listed = client.ls(root)["Objects"][0]["Links"]
    assert [(entry["Name"], entry["Type"], entry["Size"]) for entry in listed] == [
        (f"{number:02}", 2, len(str(number))) for number in range(20)
    ]
    assert client.cat(f"{root}/07") == b"7"
    client.get(root, str(tmp_path))
    assert sorted(path.name for path in (tmp_path / root).iterdir()) == [f"{i:02}" for i in range(20)]
    assert store.is_pinned(root)


def test_pins_are_listed_and_removed(client: Any, store: EmbeddedStore) -> None:
    root = store.add_directory({"a": io.BytesIO(b"abc")})
    leaf = cid_of(b"abc")
    assert client.pin.add(root)["Pins"] == [root]
    assert client.pin.ls(type="recursive")["Keys"].as_json() == {root: {"Type": "recursive"}}
    assert client.pin.ls(leaf)["Keys"].as_json() == {leaf: {"Type": "indirect"}}
    with pytest.raises(ipfshttpclient.exceptions.ErrorResponse, match="not pinned"):
        client.pin.ls(leaf, type="recursive")
    with pytest.raises(ipfshttpclient.exceptions.ErrorResponse, match="not pinned"):
        client.pin.rm(leaf)
    client.pin.rm(root)
    assert client.pin.ls()["Keys"].as_json() == {}


def test_repo_stat_counts(client: Any) -> None:
    client.block.put(io.BytesIO(b"abc"))
    assert (client.repo.stat()["NumObjects"], client.repo.stat()["RepoSize"]) == (1, 3)


@pytest.mark.parametrize(
    "options", [{"cid_version": 0}, {"trickle": True}, {"chunker": "size-1024"}, {"opts": {"inline": "true"}}]
)
def test_options_for_other_blocks_are_refused(
    client: Any, store: EmbeddedStore, options: dict[str, Any]
) -> None:
    with pytest.raises(ipfshttpclient.exceptions.ErrorResponse, match="unixfs-v1-2025 only"):
        client.add(io.BytesIO(b"abc"), **options)
    assert store.usage() == (0, 0)


def test_a_damaged_block_is_an_error_not_an_answer(client: Any, store: EmbeddedStore) -> None:
    cid = store.add_file(io.BytesIO(b"abc"))
    store._block_path(CID(cid)).write_bytes(b"abd")
    for call in (client.cat, client.block.get):
        with pytest.raises(ipfshttpclient.exceptions.ErrorResponse, match="do not hash"):
            call(cid)


def test_an_answer_that_breaks_in_the_middle_is_cut(
    server: StoreServer, store: EmbeddedStore, pattern: Callable[[int], bytes]
) -> None:
    data = pattern(1048577)
    cid = store.add_file(io.BytesIO(data))
    store._block_path(cid_of(data[1048576:])).write_bytes(b"x" if data[-1:] != b"x" else b"y")
    with pytest.raises(http.client.IncompleteRead):
        _ask(server, f"/api/v0/cat?arg={cid}")


# -- what no honest client sends -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_only_post_is_answered(server: StoreServer, method: str) -> None:
    assert _ask(server, "/api/v0/version", method=method)[0] == 405


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Referer": "https://evil.example/page"},
        {"Sec_Fetch_Site": "cross-site"},
        {"User_Agent": "Mozilla/5.0"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:80"},
        {"Host": "10.0.0.1"},
        {"Host": ""},
    ],
)
def test_a_page_in_a_browser_gets_nothing(
    server: StoreServer, store: EmbeddedStore, headers: dict[str, str]
) -> None:
    body = b'--X\r\nContent-Disposition: form-data; name="file"\r\n\r\nabc\r\n--X--\r\n'
    status, answer = _ask(
        server, "/api/v0/add", body=body, Content_Type="multipart/form-data; boundary=X", **headers
    )
    assert status == 403 and answer["Type"] == "error"
    assert store.usage() == (0, 0)


@pytest.mark.parametrize("host", ["localhost:5001", "127.0.0.1", "[::1]:5001"])
def test_loopback_names_are_answered(server: StoreServer, host: str) -> None:
    assert _ask(server, "/api/v0/version", Host=host)[0] == 200


@pytest.mark.parametrize(
    "path", ["/", "/api/v0/", "/api/v0/shutdown", "/api/v0/../add", "/api/v0/pin", "/api/v1/id"]
)
def test_unknown_methods_are_404(server: StoreServer, path: str) -> None:
    assert _ask(server, path)[0] == 404


@pytest.mark.parametrize(
    "query",
    [
        "cat",
        "cat?arg=",
        "cat?arg=..%2F..%2Fetc%2Fpasswd",
        "cat?arg=%2Fipfs%2F..%2F..%2Fetc",
        "cat?arg={cid}%2F..%2Fx",
        "cat?arg={cid}&arg={cid}",
        "cat?arg={cid}&offset=-1",
        "cat?arg={cid}&length=1e9",
        "cat?arg={cid}&offset=%EF%BC%91",
        "cat?arg=%FF",
        "cat?junk",
        "pin/add",
        "pin/add?arg={cid}&recursive=false",
        "pin/ls?type=all-of-them",
        "get?arg={cid}&compress=true",
        "block/put?cid-codec=dag-cbor",
        "block/put?mhtype=identity",
        "block/put",
        "add",
    ],
)
def test_malformed_calls_are_refused(server: StoreServer, store: EmbeddedStore, query: str) -> None:
    cid = store.add_file(io.BytesIO(b"abc"))
    status, answer = _ask(server, "/api/v0/" + query.format(cid=cid))
    assert status == 400 and answer["Type"] == "error"


def _form(*parts: tuple[str, bytes]) -> bytes:
    body = b""
    for name, data in parts:
        body += (
            f'--X\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
            + data
            + b"\r\n"
        )
    return body + b"--X--\r\n"


@pytest.mark.parametrize(
    "names",
    [
        ["..%2Fx"],
        ["%2Fetc%2Fx"],
        ["a%2F%2Fb"],
        ["a%00"],
        ["a%2F.%2Fb"],
        ["a", "a"],
        ["a", "a%2Fb"],
        ["a%2Fb", "a"],
        ["%2F".join("a" * 65)],
    ],
)
def test_hostile_names_in_a_form_are_refused(
    server: StoreServer, store: EmbeddedStore, names: list[str]
) -> None:
    body = _form(*((name, b"abc") for name in names))
    status, _ = _ask(server, "/api/v0/add", body=body, Content_Type="multipart/form-data; boundary=X")
    assert status == 400
    assert list(store.pins()) == []


@pytest.mark.parametrize(
    ("query", "parts", "words"),
    [
        ("cid-codec=dag-cbor", [("", b"abc")], "codec 'dag-cbor'"),
        ("format=git", [("", b"abc")], "codec 'git'"),
        ("mhtype=sha3-256", [("", b"abc")], "only sha2-256"),
        ("mhlen=20", [("", b"abc")], "only sha2-256"),
        ("", [], "no block"),
    ],
)
def test_blocks_that_cannot_be_put_are_told(
    server: StoreServer, store: EmbeddedStore, query: str, parts: list[tuple[str, bytes]], words: str
) -> None:
    status, answer = _ask(
        server,
        f"/api/v0/block/put?{query}",
        body=_form(*parts),
        Content_Type="multipart/form-data; boundary=X",
    )
    assert status == 400 and words in answer["Message"]
    assert store.usage() == (0, 0)


def test_an_archive_of_directories_without_end_is_not_written(store: EmbeddedStore) -> None:
    block = directory_block(())
    for depth in range(MAX_PATH + 2):
        store.put_block(block.cid, block.data)
        if depth == MAX_PATH:
            assert len(list(rpc._tar(store, block.cid, "x"))) == MAX_PATH + 2
        block = directory_block([block.link("d")])
    store.put_block(block.cid, block.data)
    with pytest.raises(InputError, match="nested deeper"):
        list(rpc._tar(store, block.cid, "x"))


def test_a_block_above_the_limit_is_refused(server: StoreServer, store: EmbeddedStore) -> None:
    body = _form(("", bytes(MAX_BLOCK + 1)))
    status, answer = _ask(
        server, "/api/v0/block/put", body=body, Content_Type="multipart/form-data; boundary=X"
    )
    assert status == 400 and "at most" in answer["Message"]
    assert store.usage() == (0, 0)


def test_a_body_above_the_limit_is_refused(server: StoreServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "MAX_UPLOAD", 1000)
    body = _form(("f", bytes(1000)))
    assert _ask(server, "/api/v0/add", body=body, Content_Type="multipart/form-data; boundary=X")[0] == 400


def test_a_silent_connection_is_closed(server: StoreServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module._Handler, "timeout", 0.05)
    url = urlsplit(server.url)
    with socket.create_connection((str(url.hostname), url.port or 0), timeout=10) as silent:
        silent.sendall(b"POST /api/v0/version HTTP/1.1\r\n")
        assert silent.recv(100) == b""


def test_connections_above_the_limit_are_closed(server: StoreServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "MAX_CONNECTIONS", 0)
    url = urlsplit(server.url)
    with socket.create_connection((str(url.hostname), url.port or 0), timeout=10) as one_more:
        assert one_more.recv(100) == b""


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "localhost", "", "::"])
def test_only_loopback_addresses_are_served(store: EmbeddedStore, host: str) -> None:
    with pytest.raises(ConfigError, match="loopback"):
        StoreServer(store, host=host)


def test_a_taken_port_is_a_config_error(server: StoreServer, store: EmbeddedStore) -> None:
    with pytest.raises(ConfigError, match="cannot listen"):
        StoreServer(store, port=urlsplit(server.url).port or 0)


def test_a_server_that_never_started_can_be_closed(store: EmbeddedStore) -> None:
    StoreServer(store).close()


# -- archives, pins and upkeep over the RPC ------------------------------------------------------------------


def _lines(server: StoreServer, path: str, body: bytes = b"") -> list[Any]:
    """Answers that are several lines of JSON."""
    url = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=10)
    try:
        headers = {"Content-Type": "multipart/form-data; boundary=X"} if body else {}
        connection.request("POST", path, body=body, headers=headers)
        answer = connection.getresponse()
        assert answer.status == 200
        return [json.loads(line) for line in answer.read().splitlines()]
    finally:
        connection.close()


def test_archives_go_out_and_in(client: Any, store: EmbeddedStore, tmp_path: Path) -> None:
    root = store.add_directory({"a": io.BytesIO(b"abc")})
    archive = client.dag.export(root)
    other = EmbeddedStore(tmp_path / "other")
    with StoreServer(other) as second:
        url = urlsplit(second.url)
        with ipfshttpclient.connect(f"/ip4/{url.hostname}/tcp/{url.port}/http") as connected:
            assert connected.dag.imprt(io.BytesIO(archive))["Root"]["Cid"]["/"] == root
        assert other.is_pinned(root) and other.get_block(cid_of(b"abc")) == b"abc"
        body = _form(("", archive))
        assert _lines(second, "/api/v0/dag/import?pin-roots=false&stats=true", body) == [
            {"Stats": {"BlockCount": 2, "BlockBytesCount": len(store.get_block(root)) + 3}}
        ]
    with pytest.raises(ipfshttpclient.exceptions.ErrorResponse, match="not in the store"):
        client.dag.export(cid_of(b"gone"))
    with pytest.raises(ipfshttpclient.exceptions.ErrorResponse, match="do not hash"):
        client.dag.imprt(io.BytesIO(archive[:-1] + b"d"))


def test_a_pin_is_updated(client: Any, store: EmbeddedStore) -> None:
    old, new = store.add_file(io.BytesIO(b"old")), store.add_file(io.BytesIO(b"new"))
    store.pin(old)
    assert client.pin.update(old, new)["Pins"] == [old, new]
    assert list(store.pins()) == [new]
    client.pin.update(new, old, unpin=False)
    assert set(store.pins()) == {old, new}
    client.pin.update(new, new)
    assert set(store.pins()) == {old, new}
    with pytest.raises(ipfshttpclient.exceptions.ErrorResponse, match="not pinned"):
        client.pin.update(cid_of(b"gone"), new)


def test_pins_are_listed_line_by_line(server: StoreServer, store: EmbeddedStore) -> None:
    cid = store.add_file(io.BytesIO(b"abc"))
    store.pin(cid)
    assert _lines(server, "/api/v0/pin/ls?stream=true") == [{"Cid": cid, "Type": "recursive"}]


def test_garbage_is_collected_and_named(client: Any, server: StoreServer, store: EmbeddedStore) -> None:
    kept = store.add_file(io.BytesIO(b"kept"))
    store.pin(kept)
    store.add_file(io.BytesIO(b"abc"))
    assert client.repo.gc() == []  # it is new
    assert _lines(server, "/api/v0/repo/gc?grace=0") == [{"Key": {"/": cid_of(b"abc")}}]
    assert store.usage() == (1, 4)


def test_a_store_that_is_added_to_is_not_collected(
    server: StoreServer, store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steelyard.storage.rpc.WAIT_SECONDS", 0.0)
    with store.adding():
        status, answer = _ask(server, "/api/v0/repo/gc?grace=0")
    assert status == 500 and "being added" in answer["Message"]


def test_the_store_is_verified(server: StoreServer, store: EmbeddedStore) -> None:
    cid = store.add_file(io.BytesIO(b"abc"))
    store.pin(cid)
    assert _lines(server, "/api/v0/repo/verify")[-1]["Progress"] == 1
    store._block_path(cid).write_bytes(b"abd")
    status, answer = _ask(server, "/api/v0/repo/verify")
    assert status == 500 and cid in answer["Message"]


def test_progress_is_told_while_the_form_is_read(
    server: StoreServer, store: EmbeddedStore, pattern: Callable[[int], bytes]
) -> None:
    body = _form(("b.bin", pattern(3 << 20)))
    head = (
        f"POST /api/v0/add?progress=true HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        "Content-Type: multipart/form-data; boundary=X\r\n\r\n"
    )
    url = urlsplit(server.url)
    with socket.create_connection((str(url.hostname), url.port or 0), timeout=10) as line:
        line.sendall(head.encode() + body[:-20])
        answer = b""
        while b'"Bytes": 1048576' not in answer:  # told before the request is whole
            answer += line.recv(4096)
        with pytest.raises(RefusedError):  # from the first block to the pin nothing is collected
            collect(store, grace=0, wait=0)
        line.sendall(body[-20:])
        while not answer.endswith(b"0\r\n\r\n"):
            answer += line.recv(4096)
    (pin,) = store.pins()
    assert b'"Bytes": 3145728' in answer and pin.encode() in answer


def test_an_error_before_the_first_line_of_progress_is_an_error(server: StoreServer) -> None:
    body = _form(("..%2Fx", b"abc"))
    status, answer = _ask(
        server, "/api/v0/add?progress=true", body=body, Content_Type="multipart/form-data; boundary=X"
    )
    assert status == 400 and answer["Type"] == "error"


def test_the_identity_stays(client: Any, store: EmbeddedStore) -> None:
    first = client.id()
    assert first["ID"].startswith("12D3KooW") and first == client.id()
    (store.path / "identity").write_text("zz")
    with pytest.raises(ipfshttpclient.exceptions.ErrorResponse, match="identity"):
        client.id()
    with pytest.raises(ipfshttpclient.exceptions.ErrorResponse, match="no peers"):
        client.id("12D3KooWABC")


@pytest.mark.parametrize(
    "query",
    ["pin/add?arg={cid}&name=x", "pin/ls?name=x", "pin/update?arg={cid}", "dag/import", "repo/gc?grace=-1"],
)
def test_more_malformed_calls_are_refused(server: StoreServer, store: EmbeddedStore, query: str) -> None:
    cid = store.add_file(io.BytesIO(b"abc"))
    assert _ask(server, "/api/v0/" + query.format(cid=cid))[0] == 400
