"""Directories of one block and of many: the same blocks as Kubo, and nothing believed that stands where it does not belong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from steelyard.errors import InputError, NotFoundError, VerificationError
from steelyard.storage import directories
from steelyard.storage.cid import CID, cid_of
from steelyard.storage.dagpb import Kind, Link, Node, Unixfs, decode_node, decode_unixfs, encode_unixfs
from steelyard.storage.directories import MAX_BLOCK, directory_blocks, place
from steelyard.storage.reader import Reader
from steelyard.storage.unixfs import Block, block_of

LEAF = cid_of(b"x")


def link(name: str, tsize: int = 1) -> Link:
    return Link(cid=LEAF, name=name, tsize=tsize)


def many(count: int) -> list[Link]:
    """As in tests/vectors/cid.txt."""
    return [
        Link(cid=cid_of(b"\0\7\16\25\34\43\52\61\70\77\106"), name=f"{i:05}", tsize=11) for i in range(count)
    ]


class Blocks(dict[CID, bytes]):
    """What a store would have."""

    def put(self, blocks: Sequence[Block]) -> CID:
        self.update((block.cid, block.data) for block in blocks)
        return blocks[-1].cid

    def node(self, data: Unixfs, *links: Link) -> Block:
        block = block_of(Node(links=links, data=encode_unixfs(data)), size=0)
        self[block.cid] = block.data
        return block

    def reader(self) -> Reader:
        return Reader(self.fetch)

    def fetch(self, cid: CID) -> bytes:
        if cid not in self:
            raise NotFoundError(cid)
        return self[cid]


@pytest.fixture
def blocks() -> Blocks:
    return Blocks()


@pytest.fixture(scope="module")
def large() -> tuple[Blocks, CID]:
    found = Blocks()
    return found, found.put(list(directory_blocks(many(6000))))


def alike(level: int) -> list[str]:
    """Return two names that stand together down to a level."""
    seen: dict[bytes, str] = {}
    for number in range(1 << 22):
        name = f"n{number}"
        other = seen.setdefault(place(name)[:level], name)
        if other is not name:
            return [other, name]
    raise AssertionError


# -- building ----------------------------------------------------------------------------------------------------


def test_tries_of_the_vectors(vectors: dict[str, str]) -> None:
    for count in (4000, 6000):
        *_, root = directory_blocks(many(count))
        assert root.cid == vectors[f"dir/{count}"]
        assert (decode_unixfs(decode_node(root.data).data).kind is Kind.SHARD) == (count == 6000)


def test_the_hash_of_a_name() -> None:
    # As github.com/spaolacci/murmur3 and murmur3js have it.
    assert place("hello").hex() == "cbd8a7b341bd9b02" and place("").hex() == "0" * 16


def test_the_order_of_entries_does_not_matter() -> None:
    assert list(directory_blocks(many(6000))) == list(directory_blocks(many(6000)[::-1]))


def test_a_block_of_256_kib_is_not_split() -> None:
    *links, last = many(5349)
    last = replace(last, name=last.name.ljust(44, "x"))
    (block,) = directory_blocks([*links, last])
    assert len(block.data) == MAX_BLOCK
    for larger in (replace(last, name=last.name + "x"), replace(last, tsize=128)):
        assert len(list(directory_blocks([*links, larger]))) > 1


@pytest.mark.parametrize("links", [[link("a"), link("a")], [link("")], [link("a/b")]])
def test_bad_names_are_refused(links: list[Link]) -> None:
    with pytest.raises(InputError):
        list(directory_blocks(links))


def test_names_of_one_hash_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directories, "MAX_BLOCK", 0)
    monkeypatch.setattr(directories, "place", lambda name: bytes(7) + bytes([name == "c"]))
    list(directory_blocks([link("a"), link("c")]))
    with pytest.raises(InputError, match="'a' and 'b' have the same hash"):
        list(directory_blocks([link("a"), link("b"), link("c")]))


# -- reading -----------------------------------------------------------------------------------------------------


def test_what_is_built_is_read(large: tuple[Blocks, CID]) -> None:
    found, root = large
    assert found.reader().list_directory(root) == tuple(many(6000))
    assert found.reader().is_directory(root)
    assert {cid for cid, _ in found.reader().directory(root)} == set(found)
    assert next(found.reader().directory(root))[0] == root


def test_a_path_needs_its_own_blocks_only(large: tuple[Blocks, CID]) -> None:
    found, root = large
    for name in ("00000", "04711", "05999"):
        trace = found.reader().trace(root, name)
        assert (
            trace.roots == (root, many(1)[0].cid) and trace.blocks[0] == root and 2 <= len(trace.blocks) <= 3
        )
        alone = Blocks({cid: found[cid] for cid in trace.blocks})
        assert alone.reader().trace(root, name) == trace
        for cid in trace.blocks[1:]:
            with pytest.raises(NotFoundError):
                Blocks({other: alone[other] for other in alone if other != cid}).reader().trace(root, name)


@pytest.mark.parametrize("name", ["6000", "06000", "x", "", "0"])
def test_what_is_not_there(large: tuple[Blocks, CID], name: str) -> None:
    found, root = large
    with pytest.raises(NotFoundError if name else InputError):
        found.reader().trace(root, f"{name}/a" if not name else name)


def test_names_that_stand_together(blocks: Blocks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directories, "MAX_BLOCK", 0)
    names = alike(3)
    made = list(directory_blocks([link(name) for name in names]))
    assert len(made) == 4
    root = blocks.put(made)
    assert [entry.name for entry in blocks.reader().list_directory(root)] == sorted(names)
    for name in names:
        assert len(blocks.reader().trace(root, name).blocks) == 4


def test_a_file_below_and_a_trie_below(blocks: Blocks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directories, "MAX_BLOCK", 0)
    *_, below = inner = list(directory_blocks([link("f")]))
    outer = blocks.put([*inner, *directory_blocks([below.link("d"), link("e")])])
    assert blocks.reader().trace(outer, "d/f").roots == (outer, below.cid, LEAF)
    with pytest.raises(InputError, match="is a file"):
        blocks.reader().trace(outer, "e/f")
    with pytest.raises(InputError, match="is a directory"):
        blocks.reader().open(outer)


def test_an_empty_trie(blocks: Blocks) -> None:
    for bits in (None, b"", b"\0"):
        root = blocks.node(Unixfs(kind=Kind.SHARD, data=bits, hash_type=0x22, fanout=256))
        assert blocks.reader().list_directory(root.cid) == ()


# -- what is refused ---------------------------------------------------------------------------------------------


def slot_of(*names: str, more: bytes = b"") -> tuple[Unixfs, tuple[Link, ...]]:
    """Return the node of a trie with entries of other first bytes."""
    slots = sorted((place(name)[0], name) for name in names)
    bits = sum(1 << slot for slot, _ in slots).to_bytes(32, "big")
    return (
        Unixfs(kind=Kind.SHARD, data=more + bits, hash_type=0x22, fanout=256),
        tuple(link(f"{slot:02X}{name}") for slot, name in slots),
    )


GOOD, LINKS = slot_of("a", "b", "c")
Change = Callable[[Unixfs, tuple[Link, ...]], tuple[Unixfs, tuple[Link, ...]]]
FALSE: dict[str, tuple[Change, str]] = {
    "another hash": (lambda m, n: (replace(m, hash_type=0x23), n), "another kind"),
    "no hash": (lambda m, n: (replace(m, hash_type=None), n), "another kind"),
    "another width": (lambda m, n: (replace(m, fanout=16), n), "another kind"),
    "no width": (lambda m, n: (replace(m, fanout=None), n), "another kind"),
    "a size": (lambda m, n: (replace(m, size=0), n), "another kind"),
    "sizes": (lambda m, n: (replace(m, sizes=(1,)), n), "another kind"),
    "too many bits": (lambda m, n: slot_of("a", "b", "c", more=b"\0"), "its bits"),
    "bits behind": (lambda m, n: (replace(m, data=(m.data or b"") + b"\0"), n), "its bits"),
    "a bit too many": (lambda m, n: (m, n[1:]), "its bits"),
    "no bits": (lambda m, n: (replace(m, data=None), n), "its bits"),
    "out of order": (lambda m, n: (m, n[::-1]), "its bits"),
    "small letters": (lambda m, n: (m, tuple(replace(i, name=i.name[:2].lower() + i.name[2:]) for i in n)), "its bits"),
    "no prefix": (lambda m, n: (m, tuple(replace(i, name=i.name[2:]) for i in n)), "its bits"),
    "another name": (lambda m, n: (m, (replace(n[0], name=n[0].name + "?"), *n[1:])), "another place"),
    "a path": (lambda m, n: (m, (replace(n[0], name=n[0].name[:2] + "../x"), *n[1:])), "not a name"),
    "a long name": (lambda m, n: (m, (replace(n[0], name=n[0].name[:2] + "x" * 256), *n[1:])), "not a name"),
    "a file for a part": (lambda m, n: (m, (replace(n[0], name=n[0].name[:2]), *n[1:])), "a part of a directory is none"),
}  # fmt: skip


def test_the_same_without_a_change(blocks: Blocks) -> None:
    root = blocks.node(GOOD, *LINKS)
    assert [entry.name for entry in blocks.reader().list_directory(root.cid)] == ["a", "b", "c"]


@pytest.mark.parametrize("what", FALSE)
def test_false_nodes(blocks: Blocks, what: str) -> None:
    change, why = FALSE[what]
    message, links = change(GOOD, LINKS)
    root = blocks.node(message, *links)
    with pytest.raises(VerificationError, match=why):
        blocks.reader().list_directory(root.cid)
    if what != "a file for a part":
        with pytest.raises(VerificationError, match=why):
            blocks.reader().trace(root.cid, "a")


def test_false_parts(blocks: Blocks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directories, "MAX_BLOCK", 0)
    names = alike(1)
    part, root = directory_blocks([link(name) for name in names])
    message = decode_unixfs(decode_node(root.data).data)
    (whole,) = decode_node(root.data).links
    empty = blocks.node(Unixfs(kind=Kind.SHARD, hash_type=0x22, fanout=256))
    plain = blocks.node(Unixfs(kind=Kind.DIRECTORY))
    file = blocks.node(Unixfs(kind=Kind.FILE, data=b"x", size=1))
    blocks.put([part, root])
    for other, why in (
        (empty.link(whole.name), "is an empty part"),
        (plain.link(whole.name), "no part of a directory"),
        (file.link(whole.name), "a part of a directory is none"),
        (replace(whole, tsize=whole.tsize + 1), "no part of a directory"),
    ):
        above = blocks.node(message, other)
        for ask in (
            lambda above=above: blocks.reader().list_directory(above.cid),
            lambda above=above: blocks.reader().trace(above.cid, names[0]),
        ):
            with pytest.raises(VerificationError, match=why):
                ask()
    # Itself again, a level below: whoever looks for a name there does not find it.
    above = blocks.node(message, root.link(whole.name))
    with pytest.raises(VerificationError, match="another place"):
        blocks.reader().list_directory(above.cid)
    # A part alone is no directory: its names begin one level too late.
    with pytest.raises(VerificationError, match="another place"):
        blocks.reader().list_directory(part.cid)


def test_a_trie_deeper_than_its_hashes(blocks: Blocks) -> None:
    at = place("a")
    below = blocks.node(Unixfs(kind=Kind.SHARD, data=b"\1", hash_type=0x22, fanout=256), link("00x"))
    for byte in reversed(at):
        bits = (1 << byte).to_bytes(32, "big")
        below = blocks.node(
            Unixfs(kind=Kind.SHARD, data=bits, hash_type=0x22, fanout=256), below.link(f"{byte:02X}")
        )
    for ask in (
        lambda: blocks.reader().list_directory(below.cid),
        lambda: blocks.reader().trace(below.cid, "a"),
    ):
        with pytest.raises(VerificationError, match="deeper than"):
            ask()


def test_too_many_entries(large: tuple[Blocks, CID]) -> None:
    found, root = large
    assert len(found.reader().list_directory(root, most=6000)) == 6000
    asked: list[CID] = []

    def fetch(cid: CID) -> bytes:
        asked.append(cid)
        return found[cid]

    with pytest.raises(VerificationError, match="more than 64 entries"):
        Reader(fetch).list_directory(root, most=64)
    assert len(asked) < 64


@pytest.mark.parametrize("extra", [{"hash_type": 0x22}, {"fanout": 256}])
def test_fields_of_a_trie_elsewhere(blocks: Blocks, extra: dict[str, int]) -> None:
    folder = blocks.node(Unixfs(kind=Kind.DIRECTORY, **extra))
    with pytest.raises(VerificationError, match="fields of something else"):
        blocks.reader().list_directory(folder.cid)
    file = blocks.node(Unixfs(kind=Kind.FILE, data=b"x", size=1, **extra))
    with pytest.raises(VerificationError, match="fields of a directory"):
        blocks.reader().open(file.cid)
