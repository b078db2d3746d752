"""Leaf lists and chunk roots: Python and the accelerator against the functions that define them."""

import hashlib
import random
from pathlib import Path

import pytest

from steelyard.crypto import content, leaves, native
from steelyard.crypto.content import CHUNK_SIZE, LEAF_SIZE
from steelyard.crypto.secret import Secret
from steelyard.errors import SealError

KEY = Secret(b"\x42" * 32)
SIZES = (
    1,
    55,
    64,
    LEAF_SIZE - 1,
    LEAF_SIZE,
    LEAF_SIZE + 1,
    3 * LEAF_SIZE,
    3 * LEAF_SIZE + 1,
    5 * LEAF_SIZE + 4095,
)
LARGE = (CHUNK_SIZE - LEAF_SIZE - 1, CHUNK_SIZE)


def texts(size: int) -> tuple[bytes, bytes]:
    source = random.Random(size)
    return source.randbytes(size), source.randbytes(size)


def defined(chunk: int, clear: bytes, cipher: bytes) -> tuple[bytes, bytes]:
    first = chunk * content.LEAVES_PER_CHUNK
    salted = b"".join(
        content.salted_hash(KEY, first + place // LEAF_SIZE, clear[place : place + LEAF_SIZE])
        for place in range(0, len(clear), LEAF_SIZE)
    )
    return salted, content.chunk_root(chunk, ciphertext=cipher, salted=salted)


@pytest.fixture(scope="module")
def fast() -> native.Accelerator:
    found = native.accelerator()
    if found is None:
        pytest.skip("no accelerator: no C compiler at set-up, or a processor without SHA-256 instructions")
    return found


@pytest.mark.parametrize("size", SIZES + LARGE)
def test_python_does_what_is_defined(size: int) -> None:
    clear, cipher = texts(size)
    found = leaves.python_leaves(7, plaintext=clear, ciphertext=cipher + b"the tag, not read", key=KEY)
    assert found == defined(7, clear, cipher)


@pytest.mark.parametrize("chunk", (0, 7, (1 << 32) - 1))
@pytest.mark.parametrize("size", SIZES + LARGE)
def test_the_accelerator_does_what_is_defined(fast: native.Accelerator, size: int, chunk: int) -> None:
    clear, cipher = texts(size)
    found = leaves.chunk_leaves(chunk, plaintext=clear, ciphertext=cipher + b"tag", key=KEY, by=fast)
    assert found[:2] == leaves.python_leaves(chunk, plaintext=clear, ciphertext=cipher, key=KEY)
    assert found[2] == b""
    third = leaves.chunk_leaves(
        chunk, plaintext=clear, ciphertext=cipher + b"tag", key=KEY, block=True, by=fast
    )
    assert third == (*found[:2], hashlib.sha256(cipher).digest())
    assert leaves.chunk_root(chunk, ciphertext=cipher, salted=found[0], by=fast) == found[1]


@pytest.mark.parametrize("change", (-1, 1))
def test_lengths_that_do_not_fit_never_reach_native_code(fast: native.Accelerator, change: int) -> None:
    with pytest.raises(SealError):
        leaves.chunk_root(0, ciphertext=bytes(LEAF_SIZE), salted=bytes(32 + change), by=fast)
    with pytest.raises(SealError):
        leaves.chunk_root(0, ciphertext=b"", salted=b"", by=fast)
    with pytest.raises(SealError):
        leaves.chunk_root(0, ciphertext=bytes(CHUNK_SIZE + 1), salted=bytes(257 * 32), by=fast)


def test_what_is_no_accelerator_is_not_used(tmp_path: Path) -> None:
    assert native.load(tmp_path / "absent.so") is None
    text = tmp_path / "text.so"
    text.write_text("not a library")
    assert native.load(text) is None
    import _ctypes  # a library, of other functions

    assert native.load(Path(_ctypes.__file__)) is None


def test_an_accelerator_that_hashes_wrongly_is_not_used(
    fast: native.Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert native.load() is not None
    right = native.Accelerator.leaves

    def wrong(self: native.Accelerator, *args: bytes, **options: int) -> tuple[bytes, bytes, bytes]:
        salted, root, block = right(self, *args, **options)  # type: ignore[arg-type]
        return salted[:-1] + bytes([salted[-1] ^ 1]), root, block

    monkeypatch.setattr(native.Accelerator, "leaves", wrong)
    assert native.load() is None
    monkeypatch.undo()
    monkeypatch.setattr(native.Accelerator, "root", lambda *_, **__: bytes(32))
    assert native.load() is None
