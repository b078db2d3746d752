from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from steelyard.storage import unixfs
from steelyard.storage.cid import CID, Codec, cid_of
from steelyard.storage.dagpb import decode_node, decode_unixfs
from steelyard.storage.unixfs import CHUNK, Block, file_cid, import_file
from tests.support.folders import directory_block


class Dribble:
    """A stream that returns fewer bytes than were asked for."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int, /) -> bytes:
        return self._file.read(min(size, 70_001))


def _root(data: bytes) -> Block:
    *_, root = import_file(io.BytesIO(data))
    return root


def test_files_of_the_vectors(vectors: dict[str, str], pattern: Callable[[int], bytes]) -> None:
    for size, cid in vectors.items():
        if size.isdecimal():
            assert _root(pattern(int(size))).cid == cid


def test_hashing_alone_gives_the_same(vectors: dict[str, str], pattern: Callable[[int], bytes]) -> None:
    for size, cid in vectors.items():
        if size.isdecimal():
            assert file_cid(io.BytesIO(pattern(int(size)))) == cid
            assert file_cid(Dribble(pattern(int(size)))) == cid


def test_directory_of_the_vectors(vectors: dict[str, str], pattern: Callable[[int], bytes]) -> None:
    links = [_root(pattern(1048577)).link("b.bin"), _root(pattern(11)).link("a.txt")]
    assert directory_block(links).cid == vectors["dir"]


def test_short_reads_do_not_change_the_blocks(pattern: Callable[[int], bytes]) -> None:
    data = pattern(CHUNK + 5)
    assert list(import_file(Dribble(data))) == list(import_file(io.BytesIO(data)))


def test_every_block_is_what_it_says(pattern: Callable[[int], bytes]) -> None:
    blocks = list(import_file(io.BytesIO(pattern(2 * CHUNK + 5))))
    assert [block.size for block in blocks] == [CHUNK, CHUNK, 5, 2 * CHUNK + 5]
    for block in blocks[:-1]:
        assert block.cid == cid_of(block.data) and block.tsize == block.size
    root = blocks[-1]
    assert root.cid == cid_of(root.data, codec=Codec.DAG_PB)
    assert root.tsize == len(root.data) + 2 * CHUNK + 5


@pytest.mark.parametrize(
    ("leaves", "shape"),
    [
        (1, "."),
        (2, "[..]"),
        (3, "[...]"),
        (4, "[[...][.]]"),
        (9, "[[...][...][...]]"),
        (10, "[[[...][...][...]][[.]]]"),
        (13, "[[[...][...][...]][[...][.]]]"),
        (27, "[" + 3 * "[[...][...][...]]" + "]"),
        (28, "[[" + 3 * "[[...][...][...]]" + "][[[.]]]]"),
    ],
)
def test_the_tree_is_balanced(monkeypatch: pytest.MonkeyPatch, leaves: int, shape: str) -> None:
    """Kubo's layout, with width 3 in place of 1024: full from the left, every leaf at the same depth."""
    monkeypatch.setattr(unixfs._Tree.__init__, "__defaults__", (3,))
    monkeypatch.setattr(unixfs, "CHUNK", 1)
    data = bytes(range(leaves))
    blocks = {block.cid: block for block in import_file(io.BytesIO(data))}
    root = list(blocks.values())[-1] if leaves > 1 else _root(data)

    def draw(cid: CID) -> str:
        if len(blocks[cid].data) == 1:
            return "."
        node = decode_node(blocks[cid].data)
        assert decode_unixfs(node.data).sizes == tuple(blocks[link.cid].size for link in node.links)
        return "[" + "".join(draw(link.cid) for link in node.links) + "]"

    assert draw(root.cid) == shape
    assert root.size == leaves
    assert file_cid(Dribble(data)) == root.cid


@pytest.mark.parametrize("leaves", [1, 2, 3, 4, 10])
def test_leaves_that_are_there_make_the_same_file(monkeypatch: pytest.MonkeyPatch, leaves: int) -> None:
    monkeypatch.setattr(unixfs._Tree.__init__, "__defaults__", (3,))
    monkeypatch.setattr(unixfs, "CHUNK", 4)
    data = bytes(range(4 * leaves - 1))
    parts = [data[place : place + 4] for place in range(0, len(data), 4)]
    inner = list(unixfs.link_leaves((cid_of(part), len(part)) for part in parts))
    whole = {block.cid for block in import_file(io.BytesIO(data))}
    assert {block.cid for block in inner} == whole - {cid_of(part) for part in parts}
    assert (inner[-1].cid if inner else cid_of(data)) == _root(data).cid
