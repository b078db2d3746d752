"""A chain on disk: blocks with parent hashes and blooms, and their logs as the JSON that an endpoint would send.

Four files in one folder, written in one pass in constant memory:

- ``logs.json``: every log as a JSON object and a comma, in the order of the chain, so that an answer to ``eth_getLogs`` is one slice;
- ``blocks.bin``: one record of fixed size for each block from 0 on, see ``_RECORD``;
- ``heads.bin``: contract (20 bytes), subject and head (32 each) as they are at the last block;
- ``chain.json``: chain id, addresses and counts, and whatever the maker adds.
"""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from steelyard.domain.hash import keccak256
from steelyard.domain.header import encode_fields

# Time, place of the first log in logs.json, number of logs, hash, parent, bloom.
_RECORD: Final = struct.Struct(">QQI32s32s256s")
_HEAD: Final = struct.Struct(">20s32s32s")
_EMPTY: Final = keccak256(b"\x80")
_NO_UNCLES: Final = keccak256(b"\xc0")
_CREATED: Final = 1 << 16


class Log(NamedTuple):
    """A log of a block under way.

    Attributes:
        address: contract, 20 bytes.
        topics: four words, joined.
        data: the rest.
        tx: transaction hash.
        tx_index: of the transaction in its block.
        place: its index in its block.
    """

    address: bytes
    topics: bytes
    data: bytes
    tx: bytes
    tx_index: int
    place: int


@dataclass(frozen=True)
class BlockRecord:
    """A block as it is on disk."""

    number: int
    time: int
    start: int
    count: int
    hash: bytes
    parent: bytes
    bloom: bytes

    def fields(self) -> dict[str, str]:
        """Return its header as JSON-RPC has it; the bytes that these fields make hash to ``hash``."""
        return {**_fields(self.number, self.time, self.parent, self.bloom), "hash": "0x" + self.hash.hex()}


class ChainWriter:
    """Writes a chain, block by block. Use it in a ``with``; the files are complete at its end."""

    def __init__(self, folder: Path) -> None:
        """Start an empty chain in a new folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._logs = (folder / "logs.json").open("wb", buffering=1 << 20)
        self._blocks = (folder / "blocks.bin").open("wb", buffering=1 << 20)
        self._place = 0
        self._parent = bytes(32)
        self.heads: dict[tuple[bytes, bytes], bytes] = {}
        """Heads by contract and subject."""
        self.number = -1
        """Newest block."""
        self.entries = 0
        """Logs so far."""
        self.notes: dict[str, Any] = {}
        """What else stands in ``chain.json``."""

    def add(self, time: int, logs: Iterable[Log] = (), *, others: Iterable[bytes] = ()) -> None:
        """Add the next block.

        Args:
            time: Unix seconds.
            logs: its logs, which are trail entries.
            others: what else its bloom holds.
        """
        self.number += 1
        number, logs = self.number, list(logs)
        stamp = number.to_bytes(32, "big") + time.to_bytes(32, "big")
        bloom = 0
        for value in others:
            bloom |= _bits(value)
        for log in logs:
            bloom |= _bits(log.address)
            for at in range(0, 128, 32):
                bloom |= _bits(log.topics[at : at + 32])
            key = (log.address, log.topics[32:64])
            entry = keccak256(stamp + log.topics + log.data)
            self.heads[key] = keccak256(self.heads.get(key, bytes(32)) + entry)
        block_bloom = bloom.to_bytes(256, "big")
        digest = keccak256(encode_fields(_fields(number, time, self._parent, block_bloom)))
        text = "".join(_log_text(logs, number, time, digest)).encode()
        self._logs.write(text)
        self._blocks.write(_RECORD.pack(time, self._place, len(logs), digest, self._parent, block_bloom))
        self._place += len(text)
        self._parent = digest
        self.entries += len(logs)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write heads and notes and close the files."""
        self._logs.close()
        self._blocks.close()
        if kind is None:
            with (self._folder / "heads.bin").open("wb") as file:
                for (contract, subject), head in self.heads.items():
                    file.write(_HEAD.pack(contract, subject, head))
            notes = {**self.notes, "blocks": self.number + 1, "entries": self.entries}
            (self._folder / "chain.json").write_text(json.dumps(notes, indent=1) + "\n", encoding="utf-8")


class ChainFile:
    """A chain that :class:`ChainWriter` wrote, mapped into memory."""

    def __init__(self, folder: Path) -> None:
        """Open it."""
        self.notes: dict[str, Any] = json.loads((folder / "chain.json").read_text(encoding="utf-8"))
        self._logs = _map(folder / "logs.json")
        self._blocks = _map(folder / "blocks.bin")
        self.size = len(self._blocks) // _RECORD.size
        """Number of blocks."""

    def block(self, number: int) -> BlockRecord | None:
        """Return a block, or None beyond the end."""
        if not 0 <= number < self.size:
            return None
        time, start, count, digest, parent, bloom = _RECORD.unpack_from(self._blocks, number * _RECORD.size)
        return BlockRecord(number, time, start, count, digest, parent, bloom)

    def logs(self, first: int, last: int) -> memoryview:
        """Return the logs of blocks ``first`` to ``last``, both included, as JSON objects with commas between them."""
        low, high = self.block(max(0, first)), self.block(min(last, self.size - 1) + 1)
        start = len(self._logs) if low is None else low.start
        end = len(self._logs) if high is None else high.start
        return memoryview(self._logs)[start : max(start, end - 1)]

    def count(self, first: int, last: int) -> int:
        """Return the number of logs in a range of blocks."""
        records = (self.block(number) for number in range(max(0, first), min(last, self.size - 1) + 1))
        return sum(record.count for record in records if record is not None)

    def numbers(self) -> dict[bytes, int]:
        """Return the numbers of all blocks by their hashes."""
        at = _RECORD.size - 320
        return {
            self._blocks[start + at : start + at + 32]: number
            for number, start in enumerate(range(0, len(self._blocks), _RECORD.size))
        }


def read_heads(folder: Path) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield contract, subject and head at the last block."""
    yield from _HEAD.iter_unpack((folder / "heads.bin").read_bytes())


def _map(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)


@lru_cache(maxsize=_CREATED)
def _bits(value: bytes) -> int:
    """Return the bits of a value in a bloom of 2048 (Yellow Paper 4.4.3)."""
    digest = keccak256(value)
    found = 0
    for at in (0, 2, 4):
        found |= 1 << (int.from_bytes(digest[at : at + 2], "big") & 2047)
    return found


def _fields(number: int, time: int, parent: bytes, bloom: bytes) -> Mapping[str, str]:
    zero = "0x" + bytes(32).hex()
    return {
        "parentHash": "0x" + parent.hex(),
        "sha3Uncles": "0x" + _NO_UNCLES.hex(),
        "miner": "0x" + bytes(20).hex(),
        "stateRoot": "0x" + keccak256(number.to_bytes(32, "big")).hex(),
        "transactionsRoot": "0x" + _EMPTY.hex(),
        "receiptsRoot": "0x" + _EMPTY.hex(),
        "logsBloom": "0x" + bloom.hex(),
        "difficulty": "0x0",
        "number": hex(number),
        "gasLimit": hex(60_000_000),
        "gasUsed": hex(21_000_000),
        "timestamp": hex(time),
        "extraData": "0x",
        "mixHash": zero,
        "nonce": "0x" + bytes(8).hex(),
        "baseFeePerGas": hex(10**9),
        "withdrawalsRoot": "0x" + _EMPTY.hex(),
        "blobGasUsed": "0x0",
        "excessBlobGas": "0x0",
        "parentBeaconBlockRoot": zero,
        "requestsHash": zero,
    }


def _log_text(logs: Iterable[Log], number: int, time: int, digest: bytes) -> Iterator[str]:
    block = f'"blockHash":"0x{digest.hex()}","blockNumber":"{number:#x}","blockTimestamp":"{time:#x}","removed":false}},'
    for log in logs:
        words = log.topics.hex()
        topics = '","'.join("0x" + words[at : at + 64] for at in range(0, 256, 64))
        yield (
            f'{{"address":"0x{log.address.hex()}","topics":["{topics}"],"data":"0x{log.data.hex()}",'
            f'"transactionHash":"0x{log.tx.hex()}","transactionIndex":"{log.tx_index:#x}","logIndex":"{log.place:#x}",{block}'
        )
