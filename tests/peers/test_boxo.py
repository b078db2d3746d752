"""Boxo, the libraries inside Kubo, both ways round: it reads what we serve, and we read what it serves."""

from __future__ import annotations

import http.client
import io
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from steelyard.errors import NotFoundError
from steelyard.storage.car import CarReader, export_car, import_car, save_car
from steelyard.storage.cid import CID, cid_of
from steelyard.storage.dagpb import decode_node
from steelyard.storage.embedded import EmbeddedStore
from steelyard.storage.gateway import GatewayStore
from steelyard.storage.server import StoreServer
from steelyard.storage.unixfs import CHUNK
from tests.peers.conftest import FILES, Given, add
from tests.support.boxo import Boxo

RAW = "application/vnd.ipld.raw"
CAR = "application/vnd.ipld.car"


Got = tuple[int, http.client.HTTPMessage, bytes]


def ask(url: str, path: str, *, method: str = "GET", **headers: str) -> Got:
    where = urlsplit(url)
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=30)
    try:
        connection.request(
            method, path, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def test_it_builds_the_same_blocks(boxo: Boxo, given: Given, folder: Path) -> None:
    assert boxo("serve", folder).roots == {str(folder): given.root}


def test_we_read_what_it_serves(boxo: Boxo, given: Given, store: EmbeddedStore, folder: Path) -> None:
    served = boxo("serve", folder)
    root = given.root
    with GatewayStore(served.url) as gateway:
        gateway.probe()
        assert gateway.has(root) and not gateway.has(cid_of(b"gone"))
        for name in FILES:
            assert b"".join(gateway.stream_file(gateway.resolve(root, name))) == (folder / name).read_bytes()
        large = gateway.resolve(root, "sub/deep/down/large")
        whole = (folder / "sub/deep/down/large").read_bytes()
        assert (
            b"".join(gateway.stream_file(large, offset=CHUNK - 3, length=9)) == whole[CHUNK - 3 : CHUNK + 6]
        )
        assert sum(1 for _ in gateway.blocks(large)) == 5
        with pytest.raises(NotFoundError):
            gateway.get_block(cid_of(b"gone"))
    status, _, archive = ask(served.url, f"/ipfs/{root}?format=car")
    assert status == 200
    assert import_car(store, io.BytesIO(archive)).roots == (root,)
    assert archive == b"".join(export_car(given.store, root))  # its order of blocks is ours


def test_it_reads_our_archives(boxo: Boxo, given: Given, tmp_path: Path) -> None:
    save_car(given.store, given.root, tmp_path / "ours.car")
    served = boxo("serve", tmp_path / "ours.car")
    assert list(served.roots.values()) == [given.root]
    with GatewayStore(served.url) as gateway:
        assert b"".join(export_car(gateway, given.root)) == (tmp_path / "ours.car").read_bytes()


@pytest.mark.parametrize("how", ["car", "blocks"])
def test_it_reads_what_we_serve(boxo: Boxo, given: Given, folder: Path, how: str) -> None:
    root = given.root
    proxy = boxo("proxy", how, given.url)
    for name in (*FILES, WIDE):
        status, _, body = ask(proxy.url, f"/ipfs/{root}/{quote(name)}")
        assert (status, body) == (200, (folder / name).read_bytes())
    whole = (folder / "sub/deep/down/large").read_bytes()
    for span, part in (
        ("bytes=0-0", whole[:1]),
        (f"bytes={CHUNK - 2}-{CHUNK + 2}", whole[CHUNK - 2 : CHUNK + 3]),
        ("bytes=-5", whole[-5:]),
        (f"bytes={2 * CHUNK}-", whole[2 * CHUNK :]),
    ):
        status, _, body = ask(proxy.url, f"/ipfs/{root}/sub/deep/down/large", Range=span)
        assert (status, body) == (206, part)
    # Of an archive it expects the directories that prove that the name is not there, and calls a plain 404 a failure.
    assert ask(proxy.url, f"/ipfs/{root}/no")[0] == {"car": 502, "blocks": 404}[how]


@pytest.mark.parametrize("how", ["car", "blocks"])
def test_it_believes_no_damaged_block_of_ours(
    boxo: Boxo, store: EmbeddedStore, server: StoreServer, folder: Path, how: str
) -> None:
    cid = add(store, folder / "sub/more")
    leaf = decode_node(store.get_block(cid)).links[0].cid
    store._block_path(leaf).write_bytes(bytes(CHUNK))
    proxy = boxo("proxy", how, server.url)
    try:
        status, _, body = ask(proxy.url, f"/ipfs/{cid}")
    except (http.client.HTTPException, ConnectionError):
        return
    assert status >= 500 and bytes(1000) not in body


WIDE = f"wide/0007-{'x' * 250}"
EQUAL = (
    "{root}?format=car",
    "{root}?format=car&dag-scope=block",
    "{root}?format=car&dag-scope=entity",
    "{root}/sub?format=car",
    "{root}/sub?format=car&dag-scope=block",
    "{root}/sub?format=car&dag-scope=entity",
    "{root}/sub/deep/down/large?format=car",
    "{root}/sub/deep/down/large?format=car&dag-scope=block",
    "{root}/sub/deep/down/large?format=car&dag-scope=entity",
    "{root}/sub/deep/down/large?format=car&entity-bytes=0:*",
    "{root}/sub/deep/down/large?format=car&entity-bytes=-99999999:*",
    "{root}/wide?format=car",
    "{root}/wide?format=car&dag-scope=block",
    "{root}/wide?format=car&dag-scope=entity",
    f"{{root}}/{WIDE}?format=car",
    "{root}/empty?format=car",
    "{root}/one?format=car&entity-bytes=0:5",
    "{root}?format=raw",
    "bafkqaaa?format=raw",
    "bafkqaaa?format=car",
)
# It reads ahead and sends more than the range needs; of a directory with a range it sends everything.
LESS = (
    "{root}/sub/deep/down/large?format=car&entity-bytes=0:0",
    "{root}/sub/deep/down/large?format=car&entity-bytes=1048575:1048576",
    "{root}/sub/deep/down/large?format=car&entity-bytes=-10:*",
    "{root}/sub/deep/down/large?format=car&entity-bytes=1048576:-1048576",
    "{root}/sub?format=car&entity-bytes=0:5",
    "{root}/wide?format=car&entity-bytes=0:5",
)
REFUSED = {
    "{root}?format=car&dag-scope=most": (400, 400),
    "{root}?format=car&entity-bytes=x": (400, 400),
    "{root}?format=car&car-version=2": (406, 400),
    "{missing}?format=raw": (404, 404),
    "nonsense?format=raw": (400, 400),
    # It streams without looking first; the specification wants 404 where the root is not here.
    "{missing}?format=car": (404, 200),
    "{root}/no?format=car": (404, 200),
}


def test_it_answers_as_we_do(boxo: Boxo, given: Given, folder: Path) -> None:
    named = {"root": given.root, "missing": cid_of(b"gone")}
    served = boxo("serve", folder)

    def both(request: str) -> tuple[Got, Got]:
        path = "/ipfs/" + request.format(**named)
        return ask(given.url, path), ask(served.url, path)

    for request in EQUAL:
        ours, theirs = both(request)
        assert (ours[0], ours[2]) == (theirs[0], theirs[2]) and ours[0] == 200, request
        for header in (
            "Content-Type",
            "X-Content-Type-Options",
            "Cache-Control",
            "X-Ipfs-Path",
            "X-Ipfs-Roots",
        ):
            assert _plain(ours[1][header]) == _plain(theirs[1][header]), (request, header)
    for request in LESS:
        ours, theirs = both(request)
        assert ours[0] == theirs[0] == 200 and set(_order(ours[2])) < set(_order(theirs[2])), request
    for request, statuses in REFUSED.items():
        ours, theirs = both(request)
        assert (ours[0], theirs[0]) == statuses, request


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        (RAW, 200),
        (CAR, 200),
        (f"{CAR}; version=1; order=dfs; dups=y", 200),
        (f"{CAR}; version=2", None),
        ("text/html", 406),
        ("*/*", 406),
    ],
)
def test_it_negotiates_as_we_do(
    boxo: Boxo, store: EmbeddedStore, server: StoreServer, folder: Path, accept: str, status: int | None
) -> None:
    root = add(store, folder / "sub")
    served = boxo("serve", folder / "sub")
    theirs, ours = (ask(url, f"/ipfs/{root}", Accept=accept) for url in (served.url, server.url))
    assert ours[0] == (status or 406)
    assert theirs[0] == ours[0] or (status is None and theirs[0] >= 400)
    if ours[0] == 200:
        assert ours[2] == theirs[2]
        assert _plain(ours[1]["Content-Type"]) == _plain(theirs[1]["Content-Type"])


def _order(archive: bytes) -> list[CID]:
    return [cid for cid, _ in CarReader(io.BytesIO(archive)).blocks()]


def _plain(value: str) -> str:
    return value.replace(" ", "")
