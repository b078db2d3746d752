"""The trustless gateway over real sockets: what is answered, with which headers, and what is refused how."""

from __future__ import annotations

import http.client
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from steelyard.storage import directories
from steelyard.storage.accept import Form, choose
from steelyard.storage.car import CarReader, export_car
from steelyard.storage.cid import CID, Codec, cid_of, digest_of, encode_cid
from steelyard.storage.dagpb import Kind, Link, Node, Unixfs, decode_node, encode_node, encode_unixfs
from steelyard.storage.embedded import EmbeddedStore
from steelyard.storage.server import StoreServer
from steelyard.storage.unixfs import CHUNK
from tests.support.folders import directory_block

ABC = cid_of(b"abc")
RAW = "application/vnd.ipld.raw"
CAR = "application/vnd.ipld.car"
Names = Callable[..., list[CID]]


@dataclass
class Got:
    """An answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def order(self) -> list[CID]:
        """The blocks of an archive, verified."""
        return [cid for cid, _ in CarReader(io.BytesIO(self.body)).blocks()]


def ask(server: StoreServer, path: str, *, method: str = "GET", **headers: str) -> Got:
    url = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=10)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        return Got(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


@pytest.fixture
def big(store: EmbeddedStore, pattern: Callable[[int], bytes]) -> CID:
    """A file of four leaves: three full ones that differ, and 10 bytes."""
    return store.add_file(io.BytesIO(pattern(3 * CHUNK + 10)))


@pytest.fixture
def leaves(store: EmbeddedStore, big: CID) -> list[CID]:
    return [link.cid for link in decode_node(store.get_block(big)).links]


@pytest.fixture
def tree(store: EmbeddedStore, big: CID) -> CID:
    return _tree(store, big)


def _tree(store: EmbeddedStore, big: CID) -> CID:
    inner = store.add_directory({"big": big, "abc": io.BytesIO(b"abc")})
    return store.add_directory({"a": inner, "b": inner, "ü x": io.BytesIO(b"abc")})


@pytest.fixture(scope="module")
def standing(
    pattern: Callable[[int], bytes], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[StoreServer, CID]]:
    """A server with the tree, in which nothing is changed."""
    ours = EmbeddedStore(tmp_path_factory.mktemp("standing") / "store")
    with StoreServer(ours) as running:
        yield running, _tree(ours, ours.add_file(io.BytesIO(pattern(3 * CHUNK + 10))))


# -- one block -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how", [{"query": "?format=raw"}, {"Accept": RAW}, {"Accept": f"text/html, {RAW};q=0.5"}]
)
def test_a_block(server: StoreServer, store: EmbeddedStore, how: dict[str, str]) -> None:
    store.put_block(ABC, b"abc")
    got = ask(server, f"/ipfs/{ABC}{how.get('query', '')}", **{k: v for k, v in how.items() if k != "query"})
    assert (got.status, got.body) == (200, b"abc")
    assert got.headers["Content-Type"] == RAW
    assert got.headers["Content-Length"] == "3"
    assert got.headers["ETag"] == f'"{ABC}.raw"'
    assert got.headers["Cache-Control"] == "public, max-age=29030400, immutable"
    assert got.headers["Content-Disposition"] == f'attachment; filename="{ABC}.bin"'
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    assert got.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert got.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert got.headers["Accept-Ranges"] == "bytes"
    location = None if "query" in how else f"/ipfs/{ABC}?format=raw"
    assert got.headers["Content-Location"] == location


def test_head_has_the_headers_and_no_body(server: StoreServer, store: EmbeddedStore, big: CID) -> None:
    for path in (f"/ipfs/{big}?format=raw", f"/ipfs/{big}?format=car"):
        got, head = ask(server, path), ask(server, path, method="HEAD")
        assert (head.status, head.body) == (200, b"")
        for name in ("Content-Type", "ETag", "Cache-Control", "Content-Disposition", "Content-Length"):
            assert head.headers[name] == got.headers[name]
    missing = ask(server, f"/ipfs/{ABC}?format=raw", method="HEAD")
    assert (missing.status, missing.body) == (404, b"")


@pytest.mark.parametrize(
    ("asked", "body", "said"),
    [
        ("bytes=0-2", b"abc", "bytes 0-2/6"),
        ("bytes=2-", b"cdef", "bytes 2-5/6"),
        ("bytes=-2", b"ef", "bytes 4-5/6"),
        ("bytes=-99", b"abcdef", "bytes 0-5/6"),
        ("bytes=5-99", b"f", "bytes 5-5/6"),
    ],
)
def test_ranges_of_a_block(
    server: StoreServer, store: EmbeddedStore, asked: str, body: bytes, said: str
) -> None:
    cid = store.add_file(io.BytesIO(b"abcdef"))
    got = ask(server, f"/ipfs/{cid}?format=raw", Range=asked)
    assert (got.status, got.body, got.headers["Content-Range"]) == (206, body, said)
    assert got.headers["Content-Length"] == str(len(body))


@pytest.mark.parametrize("asked", ["bytes=6-", "bytes=9-10", "bytes=-0"])
def test_ranges_outside_are_416(server: StoreServer, store: EmbeddedStore, asked: str) -> None:
    cid = store.add_file(io.BytesIO(b"abcdef"))
    got = ask(server, f"/ipfs/{cid}?format=raw", Range=asked)
    assert (got.status, got.headers["Content-Range"]) == (416, "bytes */6")


@pytest.mark.parametrize("asked", ["bytes=0-1,3-4", "bytes=2-1", "bytes=-", "lines=1-2", "bytes=a-b"])
def test_ranges_that_are_not_understood_are_ignored(
    server: StoreServer, store: EmbeddedStore, asked: str
) -> None:
    cid = store.add_file(io.BytesIO(b"abcdef"))
    assert ask(server, f"/ipfs/{cid}?format=raw", Range=asked).status == 200


def test_a_range_of_another_state_is_ignored(server: StoreServer, store: EmbeddedStore) -> None:
    store.put_block(ABC, b"abc")
    path, etag = f"/ipfs/{ABC}?format=raw", f'"{ABC}.raw"'
    assert ask(server, path, Range="bytes=0-0", If_Range=etag).status == 206
    assert ask(server, path, Range="bytes=0-0", If_Range='"other"').status == 200


def test_what_the_client_has_is_not_sent_again(server: StoreServer, store: EmbeddedStore, tree: CID) -> None:
    store.put_block(ABC, b"abc")
    for path in (f"/ipfs/{ABC}?format=raw", f"/ipfs/{tree}/a?format=car&dag-scope=block"):
        etag = ask(server, path).headers["ETag"]
        for given in (etag, f"W/{etag}", f'"x", {etag}', "*"):
            got = ask(server, path, If_None_Match=given)
            assert (got.status, got.body, got.headers["ETag"]) == (304, b"", etag)
            assert got.headers["Cache-Control"].endswith("immutable")
        assert ask(server, path, If_None_Match='"x"').status == 200
    assert ask(server, f"/ipfs/{cid_of(b'other')}?format=raw", If_None_Match="*").status == 404


# -- archives ------------------------------------------------------------------------------------------------


def test_an_archive_is_that_of_export(server: StoreServer, store: EmbeddedStore, tree: CID) -> None:
    got = ask(server, f"/ipfs/{tree}?format=car")
    assert got.status == 200 and got.body == b"".join(export_car(store, tree))
    assert got.headers["Content-Type"] == f"{CAR}; version=1; order=dfs; dups=n"
    assert got.headers["Content-Disposition"] == f'attachment; filename="{tree}.car"'
    assert got.headers["Accept-Ranges"] == "none"
    assert got.headers["Cache-Control"] == "public, max-age=29030400, immutable"


def test_a_path_and_scopes(server: StoreServer, store: EmbeddedStore, tree: CID, big: CID) -> None:
    inner = store.resolve(tree, "a")
    leaves = [link.cid for link in decode_node(store.get_block(big)).links]
    whole = [big, *leaves]

    def order(rest: str) -> list[CID]:
        return ask(server, f"/ipfs/{tree}{rest}").order

    assert order("/a/big?format=car") == [tree, inner, *whole]
    assert order("/a/big?format=car&dag-scope=entity") == [tree, inner, *whole]
    assert order("/a/big?format=car&dag-scope=block") == [tree, inner, big]
    assert order("/a?format=car&dag-scope=entity") == [tree, inner]
    assert order("/a?format=car&dag-scope=block") == [tree, inner]
    assert order("/a/?format=car") == [tree, inner, ABC, *whole]
    assert order("/%C3%BC%20x?format=car") == [tree, ABC]
    assert order("?format=car&dag-scope=entity") == [tree]
    assert CarReader(io.BytesIO(ask(server, f"/ipfs/{tree}/a?format=car").body)).roots == (inner,)


def test_repeated_blocks_are_sent_again_if_asked(server: StoreServer, store: EmbeddedStore) -> None:
    inner = store.add_directory({"x": io.BytesIO(b"abc")})
    root = store.add_directory({"a": inner, "b": inner})
    got = ask(server, f"/ipfs/{root}", Accept=f"{CAR}; version=1; order=dfs; dups=y")
    assert got.order == [root, inner, ABC, inner, ABC]
    assert got.headers["Content-Type"].endswith("dups=y")
    assert got.headers["Content-Location"] == f"/ipfs/{root}?format=car&car-dups=y"
    assert ask(server, f"/ipfs/{root}?format=car&car-dups=n", Accept=f"{CAR}; dups=y").order == [
        root,
        inner,
        ABC,
    ]


@pytest.mark.parametrize(
    ("span", "wanted"),
    [
        ("0:*", [0, 1, 2, 3]),
        ("0:0", [0]),
        (f"0:{CHUNK - 1}", [0]),
        (f"0:{CHUNK}", [0, 1]),
        (f"{CHUNK}:{2 * CHUNK - 1}", [1]),
        ("-1:*", [3]),
        ("-11:*", [2, 3]),
        ("-99999999:*", [0, 1, 2, 3]),
        (f"{3 * CHUNK}:99999999", [3]),
        (f"{2 * CHUNK}:-11", [2]),
        (f"{CHUNK}:-{3 * CHUNK}", []),
    ],
)
def test_a_byte_range_needs_its_own_blocks_only(
    standing: tuple[StoreServer, CID], span: str, wanted: list[int]
) -> None:
    server, tree = standing
    above, inner, big, *leaves = ask(server, f"/ipfs/{tree}/a/big?format=car").order
    got = ask(server, f"/ipfs/{tree}/a/big?format=car&entity-bytes={span}")
    assert got.order == [above, inner, big, *(leaves[i] for i in wanted)]


def test_a_byte_range_of_a_directory_is_the_directory(server: StoreServer, tree: CID) -> None:
    assert ask(server, f"/ipfs/{tree}?format=car&entity-bytes=0:10").order == [tree]


def test_a_directory_that_is_a_trie(
    server: StoreServer, store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directories, "MAX_BLOCK", 0)
    names = ("n9", "n12", "n10")  # the first two begin with the same byte of their hashes
    assert len({directories.place(name)[0] for name in names}) == 2
    root = store.add_directory({name: io.BytesIO(name.encode()) for name in names})
    part = next(link.cid for link in decode_node(store.get_block(root)).links if len(link.name) == 2)
    leaves = {name: cid_of(name.encode()) for name in names}

    def order(rest: str) -> list[CID]:
        return ask(server, f"/ipfs/{root}{rest}").order

    assert order("?format=car&dag-scope=block") == [root]
    assert order("?format=car&dag-scope=entity") == [root, part]
    assert order("?format=car&entity-bytes=0:1") == [root, part]
    assert set(order("?format=car")) == {root, part, *leaves.values()}
    assert order(f"/{names[0]}?format=car") == [root, part, leaves[names[0]]]
    assert order(f"/{names[2]}?format=car") == [root, leaves[names[2]]]
    got = ask(server, f"/ipfs/{root}/{names[0]}?format=car")
    assert got.headers["X-Ipfs-Roots"] == f"{root},{leaves[names[0]]}"
    assert ask(server, f"/ipfs/{root}/x?format=car").status == 404
    (store.path / "denied").write_text(part)
    assert ask(server, f"/ipfs/{root}/{names[0]}?format=car").status == 410
    assert ask(server, f"/ipfs/{root}/{names[2]}?format=car").status == 200


def test_what_is_denied_is_under_each_of_its_names(
    server: StoreServer, store: EmbeddedStore, tree: CID
) -> None:
    leaf = store.put_block(ABC, b"abc") or ABC
    (store.path / "denied").write_text(f"{tree}\n{leaf}\n")
    for cid, codec in ((tree, Codec.RAW), (leaf, Codec.DAG_PB)):
        other = encode_cid(digest_of(cid), codec=codec)
        assert ask(server, f"/ipfs/{cid}?format=raw").status == 410
        assert ask(server, f"/ipfs/{other}?format=raw").status == 410


def test_a_directory_that_is_none_is_refused_before_anything_is_sent(
    server: StoreServer, store: EmbeddedStore
) -> None:
    links = tuple(Link(cid=ABC, name=name, tsize=3) for name in ("b", "a"))
    data = encode_node(Node(links=links, data=encode_unixfs(Unixfs(kind=Kind.DIRECTORY))))
    cid = cid_of(data, codec=Codec.DAG_PB)
    store.put_block(cid, data)
    assert ask(server, f"/ipfs/{cid}?format=car&dag-scope=entity").status == 404
    assert ask(server, f"/ipfs/{cid}?format=car&dag-scope=block").status == 200


def test_where_a_path_leads(server: StoreServer, tree: CID) -> None:
    got = ask(server, f"/ipfs/{tree}/a/%c3%bc?format=car")
    assert got.status == 404 and "X-Ipfs-Roots" not in got.headers
    got = ask(server, f"/ipfs/{tree}/%C3%BC x?format=car".replace(" ", "%20"))
    assert got.headers["X-Ipfs-Path"] == f"/ipfs/{tree}/%C3%BC%20x"
    assert got.headers["X-Ipfs-Roots"] == f"{tree},{cid_of(b'abc')}"
    got = ask(server, f"/ipfs/{tree}?format=raw")
    assert (got.headers["X-Ipfs-Path"], got.headers["X-Ipfs-Roots"]) == (f"/ipfs/{tree}", tree)


def test_etags_differ_by_what_is_asked(server: StoreServer, tree: CID) -> None:
    asked = (
        "/a?format=car",
        "/b?format=car",
        "/a?format=car&dag-scope=block",
        "/a?format=car&dag-scope=entity",
        "/a/big?format=car&entity-bytes=0:1",
        "/a/big?format=car&entity-bytes=0:2",
        "/a?format=car&car-dups=y",
    )
    etags = {ask(server, f"/ipfs/{tree}{rest}", method="HEAD").headers["ETag"] for rest in asked}
    assert len(etags) == len(asked) and not any(etag.startswith("W/") for etag in etags)


def test_an_archive_with_a_gap_is_cut_off(
    server: StoreServer, store: EmbeddedStore, big: CID, leaves: list[CID]
) -> None:
    store._block_path(leaves[2]).unlink()
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        ask(server, f"/ipfs/{big}?format=car")
    assert ask(server, f"/ipfs/{big}?format=car&entity-bytes=0:10").status == 200


def test_the_probe(server: StoreServer) -> None:
    assert ask(server, "/ipfs/bafkqaaa?format=raw").body == b""
    got = ask(server, "/ipfs/bafkqaaa?format=car")
    assert got.status == 200 and got.body == bytes.fromhex(
        "19a265726f6f747381d82a4500015500006776657273696f6e01"
    )
    assert ask(server, "/ipfs/bafkqaaa?format=raw", method="HEAD").status == 200


# -- what is refused, and how --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "path", "headers"),
    [
        (400, "/ipfs/{tree}", {}),
        (406, "/ipfs/{tree}", {"Accept": "*/*"}),
        (406, "/ipfs/{tree}", {"Accept": "text/html, application/x-tar"}),
        (406, "/ipfs/{tree}", {"Accept": f"{RAW};q=0"}),
        (406, "/ipfs/{tree}?format=tar", {"Accept": RAW}),
        (406, "/ipfs/{tree}", {"Accept": f"{CAR}; version=2"}),
        (406, "/ipfs/{tree}?format=car&car-version=2", {}),
        (406, "/ipfs/{tree}?format=car&car-order=bfs", {}),
        (406, "/ipfs/{tree}?format=car&car-dups=maybe", {}),
        (400, "/ipfs/{tree}?format=car&dag-scope=most", {}),
        (400, "/ipfs/{tree}?format=car&entity-bytes=1", {}),
        (400, "/ipfs/{tree}?format=car&entity-bytes=5:4", {}),
        (400, "/ipfs/{tree}?format=car&entity-bytes=-4:-5", {}),
        (400, "/ipfs/{tree}/a/big?format=car&entity-bytes=99999999:*", {}),
        (400, "/ipfs/{tree}/a?format=raw", {}),
        (400, "/ipfs/QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn?format=raw", {}),
        (400, "/ipfs/?format=raw", {}),
        (400, "/ipfs/{tree}/..?format=car", {}),
        (400, "/ipfs/{tree}/%2e%2e/x?format=car", {}),
        (400, "/ipfs/{tree}/a%2Fbig?format=car", {}),
        (400, "/ipfs/{tree}//a?format=car", {}),
        (400, "/ipfs/{tree}/%FF?format=car", {}),
        (400, "/ipfs/{tree}?format=car", {"Service-Worker": "script"}),
        (400, "/ipfs/{tree}/" + "x/" * 70 + "?format=car", {}),
        (404, "/ipfs/{tree}/no?format=car", {}),
        (404, "/ipfs/{tree}/a/abc/x?format=car", {}),
        (404, "/ipfs/{missing}?format=raw", {}),
        (404, "/ipfs/{missing}?format=car", {}),
        (404, "/ipfs/{missing}/x?format=car", {}),
        (412, "/ipfs/{missing}?format=raw", {"Cache-Control": "only-if-cached"}),
        (412, "/ipfs/{missing}?format=car", {"Cache-Control": "only-if-cached"}),
        (405, "/", {}),
        (405, "/ipns/example.org", {}),
        (405, "/api/v0/version", {}),
        (403, "/ipfs/{tree}?format=car", {"Host": "evil.example"}),
        (403, "/ipfs/{tree}?format=car", {"Host": "bafy.ipfs.localhost"}),
        (403, "/ipfs/{tree}?format=car", {"Origin": "https://evil.example"}),
        (403, "/ipfs/{tree}?format=car", {"Referer": "https://evil.example/"}),
        (403, "/ipfs/{tree}?format=car", {"User-Agent": "Mozilla/5.0"}),
    ],
)
def test_refusals(standing: tuple[StoreServer, CID], status: int, path: str, headers: dict[str, str]) -> None:
    server, tree = standing
    url = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=10)
    connection.putrequest("GET", path.format(tree=tree, missing=cid_of(b"gone")), skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    got = connection.getresponse()
    body = got.read()
    connection.close()
    assert got.status == status and body
    assert "immutable" not in got.headers.get("Cache-Control", "")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_the_gateway_answers_no_other_method(server: StoreServer, method: str) -> None:
    got = ask(server, f"/ipfs/{ABC}?format=raw", method=method)
    assert (got.status, got.headers["Allow"]) == (405, "GET, HEAD")


def test_a_body_is_not_taken_for_the_next_request(server: StoreServer, store: EmbeddedStore) -> None:
    store.put_block(ABC, b"abc")
    got = ask(server, f"/ipfs/{ABC}?format=raw", Content_Length="5")
    assert (got.status, got.headers["Connection"]) == (200, "close")


def test_a_damaged_block_is_an_error_of_the_server(server: StoreServer, store: EmbeddedStore) -> None:
    store.put_block(ABC, b"abc")
    store._block_path(ABC).write_bytes(b"abd")
    for form in ("raw", "car"):
        got = ask(server, f"/ipfs/{ABC}?format={form}")
        assert got.status == 500 and b"abd" not in got.body


def test_a_malformed_node_on_the_way_is_404(server: StoreServer, store: EmbeddedStore) -> None:
    block = directory_block([Link(cid=ABC, name="a", tsize=3)])
    bad = block.data + b"\x00"
    cid = cid_of(bad, codec=Codec.DAG_PB)
    store.put_block(cid, bad)
    assert ask(server, f"/ipfs/{cid}/a?format=car").status == 404
    assert ask(server, f"/ipfs/{cid}?format=raw").body == bad


def test_what_is_denied_is_gone(server: StoreServer, store: EmbeddedStore, tree: CID, big: CID) -> None:
    inner = store.resolve(tree, "a")
    listed = store.path / "denied"
    listed.write_text(f"# by order of somebody\n/ipfs/{inner}  # and why\n\n{ABC}\n")
    assert ask(server, f"/ipfs/{inner}?format=raw").status == 410
    assert ask(server, f"/ipfs/{tree}/a/big?format=car").status == 410
    assert ask(server, f"/ipfs/{tree}/b?format=car&dag-scope=block").status == 410
    assert ask(server, f"/ipfs/{big}?format=car").status == 200
    assert ask(server, f"/ipfs/{tree}?format=car&dag-scope=block").status == 200
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        ask(server, f"/ipfs/{tree}?format=car")
    listed.write_text("nonsense\n")
    assert ask(server, f"/ipfs/{big}?format=raw").status == 500
    listed.unlink()
    assert ask(server, f"/ipfs/{inner}?format=raw").status == 200
    assert EmbeddedStore(store.path).has(inner)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("m.bin", 'attachment; filename="m.bin"'),
        ("t%D0%B5.bin", "attachment; filename=\"t_.bin\"; filename*=UTF-8''t%D0%B5.bin"),
        ("a%22%0D%0AX:y", "attachment; filename=\"a___X:y\"; filename*=UTF-8''a%22%0D%0AX%3Ay"),
    ],
)
def test_a_name_for_the_file(server: StoreServer, store: EmbeddedStore, name: str, said: str) -> None:
    store.put_block(ABC, b"abc")
    got = ask(server, f"/ipfs/{ABC}?format=raw&filename={name}")
    assert got.headers["Content-Disposition"] == said and "X" not in got.headers


# -- negotiation ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "accept", "form"),
    [
        ({}, [f"{RAW}, {CAR}"], Form("raw")),
        ({}, [f"{RAW};q=0.5, {CAR};q=0.9"], Form("car")),
        ({}, [f"{CAR};order=foo, {CAR};order=dfs;dups=y;q=0.5"], Form("car", repeat=True)),
        ({}, [f"{CAR.upper()}; ORDER=UNK"], Form("car")),
        ({}, [RAW + ";q=2", CAR], Form("car")),
        ({"format": "car"}, [f"{RAW}, {CAR}; dups=y"], Form("car", repeat=True)),
        ({"format": "car"}, [RAW], Form("car")),
        ({"format": "raw"}, [f"{CAR}; version=2"], Form("raw")),
        ({"car-dups": "y"}, [CAR], Form("car", repeat=True)),
        ({"format": "dag-json"}, [RAW], None),
        ({"format": ""}, [], None),
        ({}, [], None),
        ({}, [",;,;=,;q=,"], None),
    ],
)
def test_the_form_is_chosen(query: dict[str, str], accept: list[str], form: Form | None) -> None:
    assert choose(query, accept) == form
