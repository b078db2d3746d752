"""What several of the end-to-end tests need beside their fixtures: amounts, types of fixtures, small helpers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from steelyard.crypto.content import chunk_root
from steelyard.crypto.stream import SealedChunk, seal_chunk
from steelyard.market import Market
from steelyard.storage.embedded import EmbeddedStore

ETHER = 10**18
PRICE = ETHER // 20
HOUR = 3600
DAY = 86_400

MarketOf = Callable[..., Market]
Travel = Callable[[int], None]


def same_files(a: Path, b: Path) -> bool:
    files = {path.relative_to(a): path.read_bytes() for path in a.rglob("*") if path.is_file()}
    return files == {path.relative_to(b): path.read_bytes() for path in b.rglob("*") if path.is_file()}


def drop_ciphertext(store: EmbeddedStore, cid: str) -> Path:
    """Return the file of the first block of a version's ciphertext."""
    ciphertext = store.resolve(cid, "ciphertext")
    leaf = [item.cid for item in store.walk(ciphertext)][-1]
    (file,) = [
        path for path in (store.path / "blocks").rglob("*") if path.is_file() and path.name in _digest(leaf)
    ]
    return file


def _digest(cid: str) -> str:
    from steelyard.storage.cid import digest_of

    return digest_of(cid).hex()


def wallet(market: Market) -> int:
    return market.context.rpc.get_balance(market.context.account.address)


def seal_falsely(index: int, *args: object, **options: object) -> SealedChunk:
    """Seal a chunk; of the second one a leaf is not what the leaf list says."""
    chunk = seal_chunk(index, *args, **options)  # type: ignore[arg-type]
    if index != 1:
        return chunk
    false = bytearray(chunk.ciphertext)
    false[5 * 4096 + 3] ^= 1
    root = chunk_root(1, ciphertext=bytes(false), salted=chunk.salted)
    return replace(chunk, sealed=bytes(false) + chunk.tag, root=root, block=sha256(false).digest())
