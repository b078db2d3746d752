import hashlib
import io
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from steelyard.crypto import merkle, stream
from steelyard.crypto.content import CHUNK_SIZE, chunk_root
from steelyard.crypto.secret import Secret
from steelyard.errors import DigestError, LeafError, SealError

KEY = Secret(b"\x42" * 32)
COUNT = 16
SMALL = 9000


@dataclass
class Published:
    clear: bytes
    text: bytes
    tags: bytes
    leaves: bytes
    roots: list[bytes]

    @property
    def root(self) -> bytes:
        return merkle.root(self.roots)

    def open(self, **changes: object) -> Iterator[stream.OpenedChunk]:
        arguments = {
            "key": KEY,
            "tags": self.tags,
            "leaves": self.leaves,
            "size": len(self.clear),
            "root": self.root,
        }
        text = changes.pop("text", self.text)
        return stream.open_stream(io.BytesIO(text), **{**arguments, **changes})


def publish(clear: bytes, *, threads: int = 1) -> Published:
    chunks = list(stream.seal(io.BytesIO(clear), key=KEY, size=len(clear), threads=threads))
    return Published(
        clear=clear,
        text=b"".join(c.ciphertext for c in chunks),
        tags=b"".join(c.tag for c in chunks),
        leaves=b"".join(c.salted for c in chunks),
        roots=[c.root for c in chunks],
    )


@pytest.fixture(scope="module")
def big() -> Published:
    """Return a stream of 16 chunks, all full but the last."""
    return publish(random.Random(1).randbytes(COUNT * CHUNK_SIZE - 4096 - 7))


@pytest.fixture(scope="module")
def small() -> Published:
    return publish(random.Random(2).randbytes(SMALL))


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_round_trip(big: Published, threads: int) -> None:
    again = publish(big.clear, threads=threads)
    assert again == big
    digest = hashlib.sha256()
    for index, chunk in enumerate(big.open(threads=threads)):
        assert chunk.index == index and chunk.tag_matches
        digest.update(chunk.plaintext)
    assert digest.digest() == hashlib.sha256(big.clear).digest()


@pytest.mark.parametrize("size", [1, 15, 4096, 4097, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1])
def test_round_trip_at_boundaries(size: int) -> None:
    sealed = publish(bytes(size))
    assert len(sealed.text) == size
    assert b"".join(chunk.plaintext for chunk in sealed.open()) == bytes(size)


# K3. What a store can do with the files it serves: cut the public files in whole chunks and rearrange all
# three.


def rearrangements() -> list[tuple[str, list[int]]]:
    places = list(range(COUNT))
    found = []
    for i in places:
        found.append((f"drop {i}", places[:i] + places[i + 1 :]))
        found.append((f"twice {i}", places[:i] + [i] + places[i:]))
        found.append((f"cut at {i}", places[:i]))
        for j in places[:i]:
            found.append((f"swap {j} {i}", [i if p == j else j if p == i else p for p in places]))
    for i in places:
        for j in places:
            if i != j:
                found.append((f"{i} in the place of {j}", [i if p == j else p for p in places]))
    return found


def pieces(data: bytes, step: int) -> list[bytes]:
    return [data[i : i + step] for i in range(0, len(data), step)]


def test_rearranged_streams_are_all_refused_by_count_or_root(big: Published) -> None:
    # The root over chunks is a function of the chunk roots, which are a function of the chunk's place: no
    # byte of a rearranged stream has to be decrypted to refuse it. 16 * 16 chunk roots cover every
    # rearrangement.
    text, salted = pieces(big.text, CHUNK_SIZE), pieces(big.leaves, 8192)
    table = {
        (place, chunk): chunk_root(place, ciphertext=text[chunk], salted=salted[chunk])
        for place in range(COUNT + 1)
        for chunk in ((place - 1) % COUNT, place % COUNT, (place + 1) % COUNT)
    }
    for (place, chunk), root in table.items():
        assert (root == big.roots[chunk]) == (place == chunk)
    assert len(set(table.values())) == len(table)


def test_tags_alone_refuse_every_chunk_in_another_place(big: Published) -> None:
    # STREAM without the leaves: index and last flag are in the nonce.
    text, tags = pieces(big.text, CHUNK_SIZE), pieces(big.tags, 16)
    last = COUNT - 1
    cases = [
        (chunk, place, place == last) for chunk in (0, 7, last) for place in range(COUNT) if chunk != place
    ]
    cases += [(chunk, chunk, chunk != last) for chunk in range(COUNT)]  # the last flag alone
    for chunk, place, flag in cases:
        # 64 KiB would not do: the tag covers the whole chunk.
        _, matches = stream._decrypt(place, text[chunk], tags[chunk], KEY, flag)
        assert not matches


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Published:
    """Return 16 chunks of one leaf each, so that every rearrangement can be opened for real."""
    from steelyard.crypto import content

    for module in (stream, content):
        monkeypatch.setattr(module, "CHUNK_SIZE", 64)
        monkeypatch.setattr(module, "LEAF_SIZE", 64)
        monkeypatch.setattr(module, "LEAVES_PER_CHUNK", 1)
    return publish(random.Random(3).randbytes(COUNT * 64 - 5))


@pytest.mark.parametrize("known", [False, True], ids=["one pass", "chunk roots known"])
@pytest.mark.parametrize("moved", ["text", "text tags", "text tags leaves"])
def test_every_rearrangement_of_sixteen_chunks_is_refused(tiny: Published, moved: str, known: bool) -> None:
    files = {"text": pieces(tiny.text, 64), "tags": pieces(tiny.tags, 16), "leaves": pieces(tiny.leaves, 32)}
    cases = rearrangements()
    assert len(cases) == 16 * 3 + 120 + 240
    for name, order in cases:
        changes = {kind: b"".join(files[kind][i] for i in order) for kind in moved.split()}
        with pytest.raises((SealError, DigestError)):
            list(tiny.open(**changes, roots=tiny.roots if known else None))
            pytest.fail(name)


def test_every_cut_of_the_ciphertext_is_refused(small: Published) -> None:
    for length in range(0, SMALL, 97):
        with pytest.raises(SealError):
            list(small.open(text=small.text[:length]))


def test_trailing_bytes_are_refused(small: Published) -> None:
    with pytest.raises(SealError, match="goes on"):
        list(small.open(text=small.text + b"\0"))


@pytest.mark.parametrize("name", ["tags", "leaves"])
def test_files_of_another_length_are_refused_before_anything_is_read(small: Published, name: str) -> None:
    whole: bytes = getattr(small, name)
    for data in (b"", whole[:-1], whole + b"\0", whole + whole):
        with pytest.raises(SealError):
            small.open(**{name: data})


def test_a_flipped_bit_anywhere_is_refused(small: Published) -> None:
    for place in range(0, SMALL, 211):
        bad = bytearray(small.text)
        bad[place] ^= 1
        with pytest.raises(DigestError):
            list(small.open(text=bytes(bad)))
        with pytest.raises(DigestError):
            stream.chunk_roots(io.BytesIO(bad), leaves=small.leaves, size=SMALL, root=small.root)


def test_a_flipped_bit_of_the_leaf_list_is_refused(small: Published) -> None:
    for place in range(len(small.leaves)):
        bad = bytearray(small.leaves)
        bad[place] ^= 1
        with pytest.raises(DigestError):
            stream.chunk_roots(io.BytesIO(small.text), leaves=bytes(bad), size=SMALL, root=small.root)
        with pytest.raises(DigestError):
            list(small.open(leaves=bytes(bad)))


def test_a_store_that_lies_is_not_taken_for_a_seller_who_lied(small: Published) -> None:
    bad = bytearray(small.text)
    bad[0] ^= 1
    with pytest.raises(DigestError) as caught:
        list(small.open(text=bytes(bad), roots=small.roots))
    assert not isinstance(caught.value, LeafError)


def test_a_seller_who_lied_is_found_with_the_leaf(small: Published) -> None:
    lying = bytearray(small.leaves)
    lying[32] ^= 1
    roots = [chunk_root(0, ciphertext=small.text, salted=bytes(lying))]
    with pytest.raises(LeafError) as caught:
        list(small.open(leaves=bytes(lying), root=roots[0], roots=roots))
    assert caught.value.leaf == 1


def test_a_bad_tag_with_right_leaves_is_accepted_and_said(small: Published) -> None:
    opened = list(small.open(tags=bytes(16)))
    assert [c.tag_matches for c in opened] == [False]
    assert opened[0].plaintext == small.clear


def test_another_key_opens_nothing(small: Published) -> None:
    with pytest.raises(LeafError):
        list(small.open(key=Secret(bytes(32))))


def test_a_ciphertext_under_two_keys_does_not_help(small: Published) -> None:
    # K5: even with a tag that matches under the second key, the leaves are those of the first.
    second = Secret(b"\x43" * 32)
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import AES
    from cryptography.hazmat.primitives.ciphers.modes import CTR

    start = bytes(11) + b"\x01"
    clear = Cipher(AES(second.reveal()), CTR(start + b"\0\0\0\2")).decryptor().update(small.text)
    sealed = AESGCM(second.reveal()).encrypt(start, clear, None)
    assert sealed[:-16] == small.text
    with pytest.raises(LeafError):
        list(small.open(key=second, tags=sealed[-16:]))


def test_random_access_to_one_chunk(big: Published) -> None:
    index = 9
    chunk = stream.open_chunk(
        index,
        ciphertext=pieces(big.text, CHUNK_SIZE)[index],
        tag=pieces(big.tags, 16)[index],
        salted=pieces(big.leaves, 8192)[index],
        key=KEY,
        last=False,
        root=big.roots[index],
    )
    assert chunk.plaintext == pieces(big.clear, CHUNK_SIZE)[index]


def test_work_goes_on_in_the_middle(big: Published) -> None:
    offset = 14 * CHUNK_SIZE
    sealed = list(stream.seal(io.BytesIO(big.clear[offset:]), key=KEY, size=len(big.clear), first=14))
    assert [c.root for c in sealed] == big.roots[14:]
    opened = list(big.open(text=big.text[offset:], first=14, roots=big.roots))
    assert b"".join(c.plaintext for c in opened) == big.clear[offset:]


def test_the_middle_needs_chunk_roots(small: Published) -> None:
    with pytest.raises(SealError, match="chunk roots"):
        small.open(first=1)


def test_chunk_roots_from_disk_are_checked(small: Published) -> None:
    with pytest.raises(DigestError):
        small.open(roots=[bytes(32)])


def test_public_check_returns_the_chunk_roots(big: Published) -> None:
    found = stream.chunk_roots(
        io.BytesIO(big.text), leaves=big.leaves, size=len(big.text), root=big.root, threads=2
    )
    assert found == big.roots


@pytest.mark.parametrize(("size", "message"), [(SMALL + 1, "cut"), (SMALL - 1, "goes on")])
def test_input_that_changes_size_is_refused(small: Published, size: int, message: str) -> None:
    with pytest.raises(SealError, match=message):
        list(stream.seal(io.BytesIO(small.clear), key=KEY, size=size))


def test_short_reads_are_put_together(small: Published) -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 1, 1000))

    chunks = list(stream.seal(Slow(small.clear), key=KEY, size=SMALL))
    assert [c.root for c in chunks] == small.roots


@pytest.mark.parametrize(
    ("length", "last"), [(0, True), (0, False), (CHUNK_SIZE - 1, False), (CHUNK_SIZE + 1, True)]
)
def test_chunks_of_a_wrong_length_are_refused(length: int, last: bool) -> None:
    with pytest.raises(SealError):
        stream.seal_chunk(0, bytes(length), key=KEY, last=last)
    with pytest.raises(SealError):
        stream.open_chunk(0, ciphertext=bytes(length), tag=bytes(16), salted=b"", key=KEY, last=last)


@pytest.mark.parametrize(("tag", "salted"), [(15, 32), (17, 32), (16, 0), (16, 64)])
def test_chunk_with_a_wrong_tag_or_list_length_is_refused(tag: int, salted: int) -> None:
    with pytest.raises(SealError):
        stream.open_chunk(0, ciphertext=b"x", tag=bytes(tag), salted=bytes(salted), key=KEY, last=True)


def test_no_more_than_threads_plus_one_chunks_are_read_ahead() -> None:
    class Counting(io.BytesIO):
        reads = 0

        def read(self, size: int | None = -1, /) -> bytes:
            self.reads += 1
            return super().read(size)

    reader, before = Counting(bytes(8 * CHUNK_SIZE)), set(threading.enumerate())
    chunks = stream.seal(reader, key=KEY, size=8 * CHUNK_SIZE, threads=2)
    next(chunks)
    assert reader.reads == 3
    chunks.close()  # type: ignore[attr-defined]
    assert set(threading.enumerate()) <= before


def test_nonces_never_repeat_under_a_key() -> None:
    from steelyard.crypto.content import nonce

    seen = {nonce(index, last=last) for index in (0, 1, 255, 256, 2**32 - 1) for last in (False, True)}
    assert len(seen) == 10 and {len(n) for n in seen} == {12}
