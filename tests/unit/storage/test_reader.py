from __future__ import annotations

import io
from collections.abc import Sequence

import pytest

from steelyard.errors import DigestError, InputError, NotFoundError, VerificationError
from steelyard.storage.cid import CID, Codec, cid_of
from steelyard.storage.dagpb import (
    MAX_BLOCK,
    Kind,
    Link,
    Node,
    Unixfs,
    encode_node,
    encode_unixfs,
)
from steelyard.storage.reader import MAX_DEPTH, Reader, verify_block
from steelyard.storage.unixfs import CHUNK, import_file
from tests.support.folders import directory_block

DIRECTORY = encode_unixfs(Unixfs(kind=Kind.DIRECTORY))


class Dag(dict[CID, bytes]):
    """Blocks in memory, and what was asked of them."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[CID] = []

    def fetch(self, cid: CID) -> bytes:
        self.asked.append(cid)
        if cid not in self:
            raise NotFoundError(cid)
        return self[cid]

    def raw(self, data: bytes) -> tuple[CID, int, int]:
        cid = cid_of(data)
        self[cid] = data
        return cid, len(data), len(data)

    def node(self, links: Sequence[Link], data: bytes) -> CID:
        block = encode_node(Node(links=tuple(links), data=data))
        cid = cid_of(block, codec=Codec.DAG_PB)
        self[cid] = block
        return cid

    def file(self, parts: Sequence[tuple[CID, int, int]], *, size: int | None = None) -> tuple[CID, int, int]:
        total = sum(part[1] for part in parts) if size is None else size
        message = Unixfs(kind=Kind.FILE, size=total, sizes=tuple(part[1] for part in parts))
        links = [Link(cid=cid, name="", tsize=tsize) for cid, _, tsize in parts]
        cid = self.node(links, encode_unixfs(message))
        return cid, total, len(self[cid]) + sum(part[2] for part in parts)


def _read(dag: Dag, cid: CID) -> bytes:
    return b"".join(Reader(dag.fetch).read(cid))


@pytest.fixture
def dag() -> Dag:
    return Dag()


def test_a_file_comes_back(dag: Dag) -> None:
    root, *_ = dag.file([dag.file([dag.raw(b"ab"), dag.raw(b"c")]), dag.file([dag.raw(b"de")])])
    assert _read(dag, root) == b"abcde"


@pytest.mark.parametrize("start", [0, 1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("length", [0, 1, 2, 4, 5, 9, None])
def test_every_range_is_a_slice(dag: Dag, start: int, length: int | None) -> None:
    root, *_ = dag.file([dag.file([dag.raw(b"ab"), dag.raw(b"c")]), dag.file([dag.raw(b"de")])])
    stop = None if length is None else start + length
    pieces = Reader(dag.fetch).read(root, offset=start, length=length)
    assert b"".join(pieces) == b"abcde"[start:stop]


def test_a_range_fetches_only_its_blocks(dag: Dag) -> None:
    data = bytes(CHUNK) + b"\1" * CHUNK + b"\2" * 10
    for block in import_file(io.BytesIO(data)):
        dag[block.cid] = block.data
    assert b"".join(Reader(dag.fetch).read(block.cid, offset=CHUNK + 3, length=4)) == b"\1" * 4
    assert dag.asked == [block.cid, cid_of(b"\1" * CHUNK)]


def test_the_empty_file(dag: Dag) -> None:
    assert _read(dag, dag.raw(b"")[0]) == b""


def test_files_with_leaves_inside_dag_pb_are_read(dag: Dag) -> None:
    leaf = dag.node([], encode_unixfs(Unixfs(kind=Kind.FILE, data=b"abc", size=3)))
    assert _read(dag, leaf) == b"abc"
    root, *_ = dag.file([(leaf, 3, len(dag[leaf])), dag.raw(b"d")])
    assert _read(dag, root) == b"abcd"


def test_negative_ranges_are_refused(dag: Dag) -> None:
    root, *_ = dag.raw(b"a")
    with pytest.raises(InputError):
        list(Reader(dag.fetch).read(root, offset=-1))
    with pytest.raises(InputError):
        list(Reader(dag.fetch).read(root, length=-1))


# -- hostile files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_swapped_block_is_found(dag: Dag, which: int) -> None:
    root = dag.file([dag.raw(b"ab"), dag.raw(b"cd")])[0]
    victim = [cid_of(b"ab"), cid_of(b"cd"), root][which]
    dag[victim] = dag[victim][:-1] + bytes([dag[victim][-1] ^ 1])
    with pytest.raises(DigestError, match=victim):
        _read(dag, root)


def test_a_block_above_the_limit_is_refused_whatever_it_hashes_to() -> None:
    data = bytes(MAX_BLOCK + 1)
    with pytest.raises(DigestError, match="refused"):
        verify_block(cid_of(data), data)


@pytest.mark.parametrize("lie", [1, 3, 1 << 40])
def test_a_lying_part_size_is_found(dag: Dag, lie: int) -> None:
    cid, _, tsize = dag.raw(b"ab")
    root, *_ = dag.file([(cid, lie, tsize), dag.raw(b"c")])
    with pytest.raises(VerificationError, match="declared"):
        _read(dag, root)


def test_a_lying_part_size_of_an_inner_node_is_found(dag: Dag) -> None:
    cid, size, tsize = dag.file([dag.raw(b"ab")])
    root, *_ = dag.file([(cid, size + 1, tsize)])
    with pytest.raises(VerificationError, match="declared"):
        _read(dag, root)


@pytest.mark.parametrize("lie", [-1, 1])
def test_a_lying_cumulative_size_is_found(dag: Dag, lie: int) -> None:
    cid, size, tsize = dag.file([dag.raw(b"ab")])
    root, *_ = dag.file([(cid, size, tsize + lie)])
    with pytest.raises(VerificationError, match="declared"):
        _read(dag, root)


def test_a_lying_file_size_is_found(dag: Dag) -> None:
    root, *_ = dag.file([dag.raw(b"ab")], size=3)
    with pytest.raises(VerificationError, match="by its parts"):
        Reader(dag.fetch).open(root)


@pytest.mark.parametrize("sizes", [(), (2,), (1, 1, 0)])
def test_sizes_that_do_not_match_the_links_are_refused(dag: Dag, sizes: tuple[int, ...]) -> None:
    leaf = dag.raw(b"a")[0]
    message = Unixfs(kind=Kind.FILE, size=sum(sizes), sizes=sizes)
    root = dag.node([Link(cid=leaf, name="", tsize=1)] * 2, encode_unixfs(message))
    with pytest.raises(VerificationError, match="sizes"):
        Reader(dag.fetch).open(root)


def test_a_leaf_that_lies_about_its_own_size_is_refused(dag: Dag) -> None:
    leaf = dag.node([], encode_unixfs(Unixfs(kind=Kind.FILE, data=b"abc", size=4)))
    with pytest.raises(VerificationError, match="declares 4"):
        Reader(dag.fetch).open(leaf)
    leaf = dag.node([], encode_unixfs(Unixfs(kind=Kind.FILE, data=b"abc", size=3, sizes=(3,))))
    with pytest.raises(VerificationError, match="file leaf"):
        Reader(dag.fetch).open(leaf)


def test_a_node_with_data_and_links_is_refused(dag: Dag) -> None:
    message = Unixfs(kind=Kind.FILE, data=b"x", size=2, sizes=(1,))
    root = dag.node([Link(cid=dag.raw(b"a")[0], name="", tsize=1)], encode_unixfs(message))
    with pytest.raises(VerificationError, match="both"):
        Reader(dag.fetch).open(root)


def test_named_links_in_a_file_are_refused(dag: Dag) -> None:
    message = Unixfs(kind=Kind.FILE, size=1, sizes=(1,))
    root = dag.node([Link(cid=dag.raw(b"a")[0], name="x", tsize=1)], encode_unixfs(message))
    with pytest.raises(VerificationError, match="named"):
        Reader(dag.fetch).open(root)


def test_a_depth_bomb_is_refused(dag: Dag) -> None:
    part = dag.raw(b"a")
    for _ in range(MAX_DEPTH):
        part = dag.file([part])
    assert _read(dag, part[0]) == b"a"
    assert len(list(Reader(dag.fetch).span(part[0], 0, 1))) == MAX_DEPTH + 1
    deeper = dag.file([part])[0]
    with pytest.raises(VerificationError, match="deeper"):
        _read(dag, deeper)
    with pytest.raises(VerificationError, match="deeper"):
        list(Reader(dag.fetch).span(deeper, 0, 1))


def test_a_bomb_of_empty_parts_is_refused(dag: Dag) -> None:
    """A hundred links on each of eight levels, and not one byte below them."""
    part = dag.raw(b"")
    for _ in range(MAX_DEPTH):
        part = dag.file([part] * 100)
    with pytest.raises(VerificationError, match="empty part"):
        _read(dag, part[0])
    assert len(dag.asked) == 1


def test_a_width_bomb_costs_only_what_is_read(dag: Dag) -> None:
    """A hundred billion bytes declared by six blocks: the first ten are read, and no more is fetched for them."""
    part = dag.raw(b"0123456789")
    for _ in range(5):
        part = dag.file([part] * 100)
    assert part[1] == 10**11
    assert b"".join(Reader(dag.fetch).read(part[0], length=10)) == b"0123456789"
    assert len(dag.asked) == 6


def test_a_directory_is_no_file(dag: Dag) -> None:
    with pytest.raises(InputError, match="is a directory"):
        _read(dag, dag.node([], DIRECTORY))


def test_a_directory_inside_a_file_is_refused(dag: Dag) -> None:
    cid = dag.node([], DIRECTORY)
    with pytest.raises(VerificationError, match="is none"):
        _read(dag, dag.file([(cid, 1, len(dag[cid]))])[0])


# -- directories -----------------------------------------------------------------------------------------------------


def _directory(dag: Dag, *links: Link) -> CID:
    block = directory_block(links)
    dag[block.cid] = block.data
    return block.cid


def test_paths_are_followed(dag: Dag) -> None:
    leaf = dag.raw(b"x")[0]
    inner = _directory(dag, Link(cid=leaf, name="f", tsize=1))
    root = _directory(dag, Link(cid=inner, name="d", tsize=1))
    reader = Reader(dag.fetch)
    assert reader.trace(root, "").roots[-1] == root
    assert reader.trace(root, "d").roots[-1] == inner
    assert reader.trace(root, "d/f").roots[-1] == leaf
    assert reader.is_directory(inner) and not reader.is_directory(leaf)


@pytest.mark.parametrize(
    "path", ["/d", "d/", "d//f", "../d", "d/./f", ".", "a\0", "/".join(["d"] * 65), "d/f/x"]
)
def test_bad_paths_are_refused(dag: Dag, path: str) -> None:
    inner = _directory(dag, Link(cid=dag.raw(b"x")[0], name="f", tsize=1))
    root = _directory(dag, Link(cid=inner, name="d", tsize=1))
    with pytest.raises(InputError):
        Reader(dag.fetch).trace(root, path)


def test_a_missing_entry_is_named(dag: Dag) -> None:
    root = _directory(dag, Link(cid=dag.raw(b"x")[0], name="f", tsize=1))
    with pytest.raises(NotFoundError, match="'g'"):
        Reader(dag.fetch).trace(root, "g")


@pytest.mark.parametrize(
    "names",
    [("a", "a"), ("b", "a"), ("",), (".",), ("..",), ("a/b",), ("/etc/passwd",), ("a\0b",), ("x" * 256,)],
)
def test_hostile_names_are_refused(dag: Dag, names: tuple[str, ...]) -> None:
    leaf = dag.raw(b"x")[0]
    root = dag.node([Link(cid=leaf, name=name, tsize=1) for name in names], DIRECTORY)
    with pytest.raises(VerificationError, match=root):
        Reader(dag.fetch).list_directory(root)


def test_a_directory_with_file_fields_is_refused(dag: Dag) -> None:
    root = dag.node([], encode_unixfs(Unixfs(kind=Kind.DIRECTORY, data=b"x")))
    with pytest.raises(VerificationError, match="fields of something else"):
        Reader(dag.fetch).list_directory(root)


def test_a_file_is_no_directory(dag: Dag) -> None:
    for cid in (dag.raw(b"x")[0], dag.file([dag.raw(b"x")])[0]):
        with pytest.raises(InputError, match="not a directory"):
            Reader(dag.fetch).list_directory(cid)


def test_a_swapped_directory_is_found(dag: Dag) -> None:
    root = _directory(dag, Link(cid=dag.raw(b"x")[0], name="f", tsize=1))
    dag[root] = directory_block([]).data
    with pytest.raises(DigestError):
        Reader(dag.fetch).list_directory(root)
    with pytest.raises(DigestError):
        Reader(dag.fetch).is_directory(root)
