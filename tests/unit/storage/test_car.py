"""Archives: what is written is what other implementations write, and what is read is believed only when hashed."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from steelyard.errors import DigestError, InputError, NotFoundError, RefusedError, VerificationError
from steelyard.storage.car import CarReader, export_car, header, import_car, save_car, write_car
from steelyard.storage.cid import CID, Codec, cid_of, cid_to_bytes
from steelyard.storage.dagpb import MAX_BLOCK, Link, decode_node
from steelyard.storage.embedded import EmbeddedStore
from steelyard.storage.unixfs import CHUNK
from steelyard.storage.upkeep import collect
from tests.support.folders import directory_block

ABC = cid_of(b"abc")
ROOT = header((ABC,))
SECTION = b"\x27" + cid_to_bytes(ABC) + b"abc"

# Kubo 0.44's `ipfs dag export` and boxo write the same bytes for the directory of tests/vectors/cid.txt.
DIR_CAR = "11b16227327056058d50848cfb73a0646e7d21be756ef5b47950904322a3e40b"


@pytest.fixture
def other(tmp_path: Path) -> EmbeddedStore:
    return EmbeddedStore(tmp_path / "other")


@pytest.fixture
def folder(store: EmbeddedStore, pattern: Callable[[int], bytes]) -> CID:
    """The directory of the vectors."""
    return store.add_directory({"a.txt": io.BytesIO(pattern(11)), "b.bin": io.BytesIO(pattern(CHUNK + 1))})


def test_the_archive_of_the_vectors(store: EmbeddedStore, folder: CID) -> None:
    data = b"".join(export_car(store, folder))
    assert hashlib.sha256(data).hexdigest() == DIR_CAR


def test_there_and_back(store: EmbeddedStore, other: EmbeddedStore, folder: CID) -> None:
    data = b"".join(export_car(store, folder))
    seen: list[int] = []
    done = import_car(other, io.BytesIO(data), progress=seen.append)
    assert (
        done.roots == (folder,)
        and done.blocks == 5
        and done.size == sum(len(block) for _, block in store.blocks(folder))
    )
    assert seen[-1] == done.size and len(seen) == 5
    assert other.is_pinned(folder)
    assert b"".join(export_car(other, folder)) == data


def test_a_block_that_is_linked_twice_is_written_once_and_depth_comes_first(store: EmbeddedStore) -> None:
    inner = store.add_directory({"x": io.BytesIO(b"1"), "y": io.BytesIO(b"2")})
    root = store.add_directory({"a": inner, "b": io.BytesIO(b"1"), "c": inner, "d": io.BytesIO(b"3")})
    order = [cid for cid, _ in CarReader(io.BytesIO(b"".join(export_car(store, root)))).blocks()]
    assert order == [root, inner, cid_of(b"1"), cid_of(b"2"), cid_of(b"3")]


@pytest.mark.parametrize("count", [0, 1, 23, 24, 255, 256, 1024])
def test_headers_of_any_number_of_roots(count: int) -> None:
    roots = tuple(cid_of(bytes((i >> 8, i & 255))) for i in range(count))
    assert CarReader(io.BytesIO(header(roots))).roots == roots


def test_short_reads_do_not_matter(store: EmbeddedStore, other: EmbeddedStore, folder: CID) -> None:
    chance = random.Random(1)
    file = io.BytesIO(b"".join(export_car(store, folder)))

    class Dribble:
        def read(self, size: int, /) -> bytes:
            return file.read(min(size, chance.choice((1, 7, 4096, 100_000))))

    assert import_car(other, Dribble()).roots == (folder,)


def test_nothing_is_collected_from_the_first_block_to_the_pin(
    store: EmbeddedStore, other: EmbeddedStore, folder: CID
) -> None:
    def collected(size: int) -> None:
        with pytest.raises(RefusedError):
            collect(other, grace=0, wait=0)

    import_car(other, io.BytesIO(b"".join(export_car(store, folder))), progress=collected)


def test_an_empty_block_passes(other: EmbeddedStore) -> None:
    empty = cid_of(b"")
    assert import_car(other, io.BytesIO(b"".join(write_car((empty,), [(empty, b"")])))).blocks == 1


def test_without_pin_nothing_is_pinned_and_no_root_is_needed(other: EmbeddedStore) -> None:
    done = import_car(other, io.BytesIO(header(()) + SECTION), pin=False)
    assert done.roots == () and other.get_block(ABC) == b"abc" and list(other.pins()) == []


def test_parts_may_be_in_the_store_already(other: EmbeddedStore) -> None:
    other.put_block(ABC, b"abc")
    block = directory_block([Link(cid=ABC, name="a", tsize=3)])
    import_car(other, io.BytesIO(b"".join(write_car((block.cid,), [(block.cid, block.data)]))))
    assert other.is_pinned(block.cid)


# -- what no honest archive holds ----------------------------------------------------------------------------


def test_every_cut_is_found(store: EmbeddedStore, other: EmbeddedStore) -> None:
    root = store.add_directory({"a": io.BytesIO(b"abc"), "b": io.BytesIO(b"de")})
    data = b"".join(export_car(store, root))
    for end in range(len(data)):
        with pytest.raises((VerificationError, NotFoundError)):
            import_car(other, io.BytesIO(data[:end]))
        assert list(other.pins()) == []
    import_car(other, io.BytesIO(data))


def test_every_flipped_bit_is_found(store: EmbeddedStore, other: EmbeddedStore) -> None:
    root = store.add_directory({"a": io.BytesIO(b"abc")})
    data = b"".join(export_car(store, root))
    for bit in range(0, 8 * len(data), 3):
        bad = bytearray(data)
        bad[bit // 8] ^= 1 << bit % 8
        try:
            import_car(other, io.BytesIO(bytes(bad)))
        except (VerificationError, NotFoundError):
            pass
        else:
            # The codec of a block is in its name alone: another name of the same bytes is no lie.
            assert set(other.pins()) <= {root}
    for cid in other.pins():
        assert list(other.blocks(cid))


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "empty"),
        (b"\x00", "canonical"),
        (b"\xff\xff\xff\xff\x7f", "above the limit"),
        (b"\xff" * 9 + b"\x01", "malformed length"),
        (ROOT[:-1] + b"\x02", "canonical"),
        (b"\x0a\xa1\x67version\x02" + bytes(40), "version 2"),
        (ROOT.replace(b"roots", b"roofs"), "canonical"),
        (ROOT.replace(b"\x81\xd8", b"\x82\xd8"), "canonical"),
        (ROOT.replace(b"\x58\x25\x00\x01\x55", b"\x58\x25\x00\x01\x71"), "another kind"),
        (ROOT.replace(b"\x12\x20", b"\x13\x20", 1), "another kind"),
        (header(tuple(cid_of(bytes((i >> 8, i & 255))) for i in range(1025))), "canonical|above the limit"),
        (ROOT + b"\x00", "holds no block"),
        (ROOT + b"\x23" + bytes(35), "holds no block"),
        (ROOT + b"\x24" + b"\x12\x20" + bytes(34), "not a binary CIDv1"),
        (ROOT + b"\x24" + b"\x01\x55\x00\x20" + bytes(32), "not a binary CIDv1"),
        (ROOT + b"\xa7\x00" + cid_to_bytes(ABC) + b"abc", "malformed length"),
        (ROOT + b"\x28" + cid_to_bytes(ABC) + b"abc", "cut off"),
        (ROOT + SECTION + b"\x80", "cut off"),
        (ROOT + b"\x26" + cid_to_bytes(ABC) + b"ab", "do not hash"),
    ],
)
def test_malformed_archives_are_refused(other: EmbeddedStore, data: bytes, match: str) -> None:
    with pytest.raises(VerificationError, match=match):
        import_car(other, io.BytesIO(data))
    assert list(other.pins()) == []


def test_another_block_under_a_name_is_a_digest_error(other: EmbeddedStore) -> None:
    with pytest.raises(DigestError, match=f"byte .* {ABC}"):
        import_car(other, io.BytesIO(ROOT + SECTION[:-1] + b"d"))
    assert other.usage() == (0, 0)


def test_a_declared_length_is_compared_before_anything_is_read(other: EmbeddedStore) -> None:
    class Endless(io.BytesIO):
        asked = 0

        def read(self, size: int | None = -1, /) -> bytes:
            type(self).asked = max(self.asked, size or 0)
            return super().read(size)

    length = 36 + MAX_BLOCK + 1
    varint = bytes((length & 127 | 128, length >> 7 & 127 | 128, length >> 14 & 127 | 128, length >> 21))
    with pytest.raises(VerificationError, match="above the limit"):
        import_car(other, Endless(ROOT + varint + bytes(100)))
    assert Endless.asked <= 100


def test_no_root_and_missing_roots(other: EmbeddedStore) -> None:
    with pytest.raises(VerificationError, match="no root"):
        import_car(other, io.BytesIO(header(()) + SECTION))
    with pytest.raises(NotFoundError, match=ABC):
        import_car(other, io.BytesIO(ROOT))


def test_a_missing_child_pins_nothing_but_loses_nothing(other: EmbeddedStore) -> None:
    block = directory_block([Link(cid=ABC, name="a", tsize=3)])
    data = b"".join(write_car((block.cid,), [(block.cid, block.data)]))
    with pytest.raises(NotFoundError, match=ABC):
        import_car(other, io.BytesIO(data))
    assert list(other.pins()) == [] and other.get_block(block.cid) == block.data


def test_a_root_that_is_no_unixfs_is_not_pinned(other: EmbeddedStore) -> None:
    junk = cid_of(b"\xff", codec=Codec.DAG_PB)
    with pytest.raises(VerificationError):
        import_car(other, io.BytesIO(b"".join(write_car((junk,), [(junk, b"\xff")]))))
    assert list(other.pins()) == []


# -- files ---------------------------------------------------------------------------------------------------


def test_a_file_is_written_whole_or_not_at_all(store: EmbeddedStore, folder: CID, tmp_path: Path) -> None:
    path = tmp_path / "a.car"
    path.write_bytes(b"before")
    leaf = decode_node(store.get_block(folder)).links[0].cid
    store._block_path(leaf).write_bytes(b"damaged")
    with pytest.raises(DigestError):
        save_car(store, folder, path)
    assert path.read_bytes() == b"before"
    assert [entry.name for entry in tmp_path.iterdir() if entry.is_file()] == ["a.car"]


def test_a_file_is_what_export_yields(store: EmbeddedStore, folder: CID, tmp_path: Path) -> None:
    path = tmp_path / "a.car"
    assert save_car(store, folder, path) == path.stat().st_size
    assert path.read_bytes() == b"".join(export_car(store, folder))
    with pytest.raises(InputError, match="cannot write"):
        save_car(store, folder, tmp_path / "no" / "a.car")
