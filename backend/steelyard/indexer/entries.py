"""Entries of a trail as they come from an endpoint: checked, hashed and taken apart as far as the fold needs it.

The inner loop of the index: no class for each log and one conversion from hexadecimal for each (docs/index.md has the figures).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from steelyard.domain.events import ASSETS, CHANNELS, MARKET, TREASURY, TYPES
from steelyard.domain.hash import keccak256
from steelyard.errors import ChainError
from steelyard.indexer.schema import place


class LogText(msgspec.Struct, gc=False):
    """A log as JSON has it: everything is text in hexadecimal."""

    address: str
    topics: list[str]
    data: str
    blockNumber: str
    blockHash: str
    transactionHash: str
    transactionIndex: str
    logIndex: str
    removed: bool = False
    blockTimestamp: str | None = None


class Entry(NamedTuple):
    """An entry of a trail.

    Attributes:
        pos: its place.
        time: of its block, Unix seconds.
        kind: index of its event in ``domain.events``.
        subject: asset or node, 32 bytes.
        id: what it is about, 32 bytes.
        actor: who called, 20 bytes.
        tx: transaction hash.
        tx_index: of the transaction in its block.
        data: the fields that are not indexed, ABI-encoded.
        digest: hash of the entry, as the trail has it (docs/trail.md).
    """

    pos: int
    time: int
    kind: int
    subject: bytes
    id: bytes
    actor: bytes
    tx: bytes
    tx_index: int
    data: bytes
    digest: bytes


KINDS: Final = tuple(TYPES.values())
"""Events by ``events.kind``."""
KIND_OF: Final[Mapping[str, int]] = {kind.name: index for index, kind in enumerate(KINDS)}
"""``events.kind`` by name."""
CONTRACT_OF: Final = tuple(kind.contract for kind in KINDS)
"""Name of the contract that records each kind."""
CONTRACTS: Final = (ASSETS, MARKET, TREASURY, CHANNELS)
"""Contracts with a trail; a market may have no Channels."""

_NOBODY: Final = bytes(12)
_BY_TOPIC: Final = {kind.topic: index for index, kind in enumerate(KINDS)}


def digest_of(block: int, time: int, topics_and_data: bytes) -> bytes:
    """Return the hash of an entry: the rule of docs/trail.md."""
    return keccak256(block.to_bytes(32, "big") + time.to_bytes(32, "big") + topics_and_data)


def row_digest(row: Sequence[object]) -> bytes:
    """Return the hash of an entry from ``(pos, time, kind, subject, id, actor, data)``, as ``events`` has them."""
    pos, time, kind, subject, id_, actor, data = row
    assert isinstance(pos, int) and isinstance(time, int) and isinstance(kind, int)
    assert (
        isinstance(subject, bytes)
        and isinstance(id_, bytes)
        and isinstance(actor, bytes)
        and isinstance(data, bytes)
    )
    return digest_of(pos >> 20, time, b"".join((KINDS[kind].topic, subject, id_, _NOBODY, actor, data)))


_OF_NODE: Final = frozenset(index for index, kind in enumerate(KINDS) if kind.contract == TREASURY)


class Blocks(NamedTuple):
    """Blocks that have entries: hash and time by number."""

    hashes: dict[int, bytes]
    times: dict[int, int]


def blocks_of(logs: Iterable[LogText], *, endpoint: str) -> Blocks:
    """Return the blocks of some logs, with the times that the logs carry.

    Raises:
        ChainError: a number or hash is malformed, or one block has two hashes or two times.
    """
    hashes: dict[str, str] = {}
    stamps: dict[str, str] = {}
    for log in logs:
        if hashes.setdefault(log.blockNumber, log.blockHash) != log.blockHash:
            raise ChainError(
                f"{endpoint} gave two hashes for block {log.blockNumber}: it was replaced meanwhile"
            )
        stamp = log.blockTimestamp
        if stamp is not None and stamps.setdefault(log.blockNumber, stamp) != stamp:
            raise ChainError(f"{endpoint} gave two times for block {log.blockNumber}")
    try:
        numbers = {text: _number(text) for text in hashes}
        found = Blocks(
            {numbers[text]: _word(value) for text, value in hashes.items()},
            {numbers[text]: _number(value) for text, value in stamps.items()},
        )
    except ValueError as exc:
        raise ChainError(f"{endpoint} answered with a malformed log") from exc
    return found


def read_entries(
    logs: Iterable[LogText],
    *,
    contracts: Mapping[str, bytes],
    times: Mapping[int, int],
    first: int,
    last: int,
    endpoint: str,
) -> list[Entry]:
    """Return the entries of the trails in an answer.

    Args:
        logs: of the market's contracts, with the topics of its trails, in the order of the chain.
        contracts: addresses by name, 20 bytes.
        times: of the blocks, Unix seconds.
        first: first block that was asked for.
        last: last block that was asked for.
        endpoint: who answered, for messages.

    Raises:
        ChainError: a log is malformed, doubled, out of order, or was not asked for.
        TrailError: it lies where no chain has a log.
    """
    kinds = {
        ("0x" + address.hex(), kind.topic): index
        for index, kind in enumerate(KINDS)
        for name, address in contracts.items()
        if name == kind.contract
    }
    try:
        return _read(logs, kinds, times, first, last)
    except (KeyError, ValueError, OverflowError) as exc:
        raise ChainError(
            f"{endpoint} answered with logs that are malformed, doubled, out of order or were not asked for"
        ) from exc


def _read(
    logs: Iterable[LogText],
    kinds: Mapping[tuple[str, bytes], int],
    times: Mapping[int, int],
    first: int,
    last: int,
) -> list[Entry]:
    found: list[Entry] = []
    add = found.append
    fromhex = bytes.fromhex
    # Half the time of Entry(...), which takes its arguments one by one first.
    make = tuple.__new__
    previous = place(first, 0) - 1
    place_block, place_time, prefix, base = -1, 0, b"", 0
    block_text, end = "", 64 + 128
    for log in logs:
        if log.blockNumber != block_text:
            block_text = log.blockNumber
            place_block = _number(block_text)
            if not first <= place_block <= last:
                raise ValueError
            base = place(place_block, 0)
            place_time = times[place_block]
            prefix = place_block.to_bytes(32, "big") + place_time.to_bytes(32, "big")
        topics = log.topics
        if len(topics) != 4:
            continue  # a token's transfer can have the topic of no trail, but an endpoint may filter loosely
        data = log.data
        text = "".join((topics[0], topics[1], topics[2], topics[3], data))
        raw = fromhex(text.replace("0x", ""))
        # Exactly the two digits "0x" before each of the five went, and nothing was skipped as white space.
        if len(raw) * 2 + 10 != len(text) or len(data) & 1 or len(text) - len(data) != 264:
            raise ValueError
        message = prefix + raw
        kind = kinds[log.address.lower(), message[64:96]]
        index, tx_index = int(log.logIndex, 16), int(log.transactionIndex, 16)
        pos = base | index
        if pos <= previous or not (0 <= index < 1 << 20 and 0 <= tx_index < 1 << 20):
            raise ValueError
        if log.removed or message[160:172] != _NOBODY:
            raise ValueError
        previous = pos
        if kind in _OF_NODE and not message[96] & 0x80:
            continue  # the treasury logs what an account receives likewise, but keeps no head of it
        tx = fromhex(log.transactionHash[2:])
        if len(tx) != 32:
            raise ValueError
        add(
            make(
                Entry,
                (
                    pos,
                    place_time,
                    kind,
                    message[96:128],
                    message[128:160],
                    message[172:end],
                    tx,
                    tx_index,
                    message[end:],
                    keccak256(message),
                ),
            )
        )
    return found


def _number(text: str) -> int:
    if text[:2] != "0x" or not 3 <= len(text) <= 18:
        raise ValueError
    number = int(text, 16)
    if number >> 63:
        raise ValueError
    return number


def _word(text: str) -> bytes:
    word = bytes.fromhex(text[2:])
    if text[:2] != "0x" or len(word) != 32:
        raise ValueError
    return word
