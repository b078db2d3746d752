import io
from dataclasses import replace

import pytest

from steelyard.crypto import content, merkle
from steelyard.crypto.content import CHUNK_SIZE, MAX_SIZE, Geometry, Witness
from steelyard.crypto.secret import Secret
from steelyard.crypto.stream import SealedChunk, seal
from steelyard.errors import DigestError, InputError, SealError

KEY = Secret(b"\x42" * 32)
SIZE = CHUNK_SIZE + 5000


@pytest.fixture(scope="module")
def chunks() -> list[SealedChunk]:
    return list(seal(io.BytesIO(bytes(SIZE)), key=KEY, size=SIZE))


@pytest.fixture(scope="module")
def root(chunks: list[SealedChunk]) -> bytes:
    return merkle.root(chunk.root for chunk in chunks)


def witness(chunks: list[SealedChunk], leaf: int) -> Witness:
    chunk = chunks[leaf // 256]
    return content.build_witness(
        leaf,
        size=SIZE,
        ciphertext=chunk.ciphertext,
        salted=chunk.salted,
        chunk_roots=[c.root for c in chunks],
    )


@pytest.mark.parametrize(
    ("size", "chunks", "leaves", "last_leaf"),
    [
        (1, 1, 1, 1), (4095, 1, 1, 4095), (4096, 1, 1, 4096), (4097, 1, 2, 1),
        (CHUNK_SIZE, 1, 256, 4096), (CHUNK_SIZE + 1, 2, 257, 1), (MAX_SIZE, 1 << 32, 1 << 40, 4096),
    ],
)  # fmt: skip
def test_geometry(size: int, chunks: int, leaves: int, last_leaf: int) -> None:
    geometry = Geometry(size)
    assert (geometry.chunks, geometry.leaves, geometry.leaf_length(leaves - 1)) == (chunks, leaves, last_leaf)
    assert geometry.is_last(chunks - 1) and not geometry.is_last(chunks)
    assert geometry.chunk_length(chunks - 1) == size - (chunks - 1) * CHUNK_SIZE
    for call in (geometry.leaf_length, geometry.chunk_length, geometry.chunk_leaves):
        with pytest.raises(InputError):
            call(-1)
    with pytest.raises(InputError):
        geometry.leaf_length(leaves)
    with pytest.raises(InputError):
        geometry.chunk_length(chunks)


@pytest.mark.parametrize("size", [0, -1, MAX_SIZE + 1])
def test_geometry_refuses(size: int) -> None:
    with pytest.raises(InputError):
        Geometry(size)


def test_equal_leaves_have_different_hashes(chunks: list[SealedChunk]) -> None:
    # K10: the plaintext is all zeros.
    salted = [chunks[0].salted[i : i + 32] for i in range(0, 8192, 32)]
    assert len(set(salted)) == 256


def test_equal_plaintext_under_two_keys_shares_nothing(chunks: list[SealedChunk]) -> None:
    other = next(seal(io.BytesIO(bytes(SIZE)), key=Secret(b"\x43" * 32), size=SIZE))
    mine = {chunks[0].salted[i : i + 32] for i in range(0, 8192, 32)}
    assert mine.isdisjoint(other.salted[i : i + 32] for i in range(0, 8192, 32))


@pytest.mark.parametrize("leaf", [0, 1, 255, 256, 257])
def test_an_honest_leaf_never_wins(chunks: list[SealedChunk], root: bytes, leaf: int) -> None:
    assert not content.is_fraud(witness(chunks, leaf), size=SIZE, root=root, key=KEY)


@pytest.mark.parametrize("leaf", [0, 255, 256, 257])
def test_a_false_leaf_always_loses(chunks: list[SealedChunk], leaf: int) -> None:
    index, inside = divmod(leaf, 256)
    lying = bytearray(chunks[index].salted)
    lying[32 * inside] ^= 1
    roots = [c.root for c in chunks]
    roots[index] = content.chunk_root(index, ciphertext=chunks[index].ciphertext, salted=bytes(lying))
    found = content.build_witness(
        leaf, size=SIZE, ciphertext=chunks[index].ciphertext, salted=bytes(lying), chunk_roots=roots
    )
    assert content.is_fraud(found, size=SIZE, root=merkle.root(roots), key=KEY)


def test_a_witness_with_one_bit_changed_is_refused(chunks: list[SealedChunk], root: bytes) -> None:
    good = witness(chunks, 3)
    for bad in (
        replace(good, leaf=4),
        replace(good, ciphertext=bytes([good.ciphertext[0] ^ 1]) + good.ciphertext[1:]),
        replace(good, salted=bytes([good.salted[0] ^ 1]) + good.salted[1:]),
        replace(good, path=(bytes(32), *good.path[1:])),
        replace(good, path=good.path[1:]),
    ):
        with pytest.raises(DigestError):
            content.check_witness(bad, size=SIZE, root=root)


@pytest.mark.parametrize("leaf", [0, 257])
def test_a_leaf_of_another_length_is_refused(chunks: list[SealedChunk], root: bytes, leaf: int) -> None:
    good = witness(chunks, leaf)
    for text in (good.ciphertext[:-1], good.ciphertext + b"\0", b""):
        with pytest.raises(SealError):
            content.check_witness(replace(good, ciphertext=text), size=SIZE, root=root)
    with pytest.raises(SealError):
        content.check_witness(replace(good, salted=good.salted[1:]), size=SIZE, root=root)


def test_a_witness_beyond_the_stream_is_refused(chunks: list[SealedChunk], root: bytes) -> None:
    with pytest.raises(InputError):
        content.check_witness(replace(witness(chunks, 0), leaf=258), size=SIZE, root=root)


def test_building_from_wrong_bytes_is_refused(chunks: list[SealedChunk]) -> None:
    roots, text = [c.root for c in chunks], bytearray(chunks[0].ciphertext)
    text[-1] ^= 1
    with pytest.raises(DigestError):
        content.build_witness(
            0, size=SIZE, ciphertext=bytes(text), salted=chunks[0].salted, chunk_roots=roots
        )
    with pytest.raises(SealError):
        content.build_witness(
            0, size=SIZE, ciphertext=bytes(text[1:]), salted=chunks[0].salted, chunk_roots=roots
        )


def test_check_root_counts_before_it_hashes(chunks: list[SealedChunk], root: bytes) -> None:
    roots = [c.root for c in chunks]
    content.check_root(roots, size=SIZE, root=root)
    with pytest.raises(SealError):
        content.check_root(roots[:1], size=SIZE, root=roots[0])
    with pytest.raises(DigestError):
        content.check_root(roots, size=SIZE, root=bytes(32))


def test_leaf_list_of_another_length_is_refused() -> None:
    for length in (0, 31, 33, 64):
        with pytest.raises(SealError):
            list(content.split_leaf_list(bytes(length), size=4096))
    assert list(content.split_leaf_list(bytes(32), size=4096)) == [bytes(32)]


@pytest.mark.parametrize(
    ("text", "salted"), [(0, 0), (1, 0), (1, 31), (1, 64), (4097, 32), (CHUNK_SIZE + 1, 257 * 32)]
)
def test_chunk_root_refuses_lengths_that_do_not_fit(text: int, salted: int) -> None:
    with pytest.raises(SealError):
        content.chunk_root(0, ciphertext=bytes(text), salted=bytes(salted))
