"""Bare loops: the primitives that our formats call for, and nothing else. They are the limits of the speed rows."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CHUNK = 1 << 20
LEAF = 4096
KEY = bytes(range(32))

_T = TypeVar("_T")
_R = TypeVar("_R")


def nonce(index: int) -> bytes:
    """Return a 12-byte nonce."""
    return index.to_bytes(12, "big")


def chunks(data: bytes) -> list[tuple[int, bytes]]:
    """Cut bytes into chunks of 1 MiB, numbered."""
    return [(place // CHUNK, data[place : place + CHUNK]) for place in range(0, len(data), CHUNK)]


def encrypt(index: int, plaintext: bytes, *, digests_of_ciphertext: int, digests_of_plaintext: int) -> bytes:
    """Encrypt a chunk with AES-256-GCM and hash both sides with SHA-256 so many times; returns ciphertext and tag."""
    sealed = AESGCM(KEY).encrypt(nonce(index), plaintext, None)
    for _ in range(digests_of_ciphertext):
        hashlib.sha256(sealed).digest()
    for _ in range(digests_of_plaintext):
        hashlib.sha256(plaintext).digest()
    return sealed


def encrypt_by_leaf(index: int, plaintext: bytes) -> bytes:
    """Encrypt a chunk and hash every 4 KiB of both sides apart, as the format's leaves are; returns ciphertext and tag."""
    sealed = AESGCM(KEY).encrypt(nonce(index), plaintext, None)
    for side in (memoryview(sealed), memoryview(plaintext)):
        for start in range(0, len(plaintext), LEAF):
            hashlib.sha256(side[start : start + LEAF]).digest()
    return sealed


def decrypt(index: int, sealed: bytes, *, digests_of_ciphertext: int) -> bytes:
    """Hash and decrypt a chunk, and hash what comes out once."""
    for _ in range(digests_of_ciphertext):
        hashlib.sha256(sealed).digest()
    plaintext = AESGCM(KEY).decrypt(nonce(index), sealed, None)
    hashlib.sha256(plaintext).digest()
    return plaintext


def in_order(work: Callable[[_T], _R], items: Iterable[_T], threads: int) -> Iterator[_R]:
    """Map in order with so many threads, few results waiting."""
    if threads == 1:
        yield from map(work, items)
        return
    waiting: deque[Future[_R]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def drain(items: Iterable[object]) -> None:
    """Take everything, keep nothing."""
    deque(items, maxlen=0)
