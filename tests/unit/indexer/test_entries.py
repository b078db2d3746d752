"""Entries as an endpoint gives them: whatever a log says that cannot be is refused, and nothing of it reaches the database."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from steelyard.errors import ChainError
from steelyard.indexer.entries import CONTRACTS, KINDS, Entry, LogText, read_entries
from steelyard.indexer.schema import place

ADDRESSES = {name: bytes([number]) * 20 for number, name in enumerate(CONTRACTS, 1)}
ACTOR = "0x" + "00" * 12 + "44" * 20
LOG = LogText(
    address="0x" + ADDRESSES[KINDS[0].contract].hex(),
    topics=["0x" + KINDS[0].topic.hex(), "0x" + "aa" * 32, "0x" + "bb" * 32, ACTOR],
    data="0x" + "00" * 64,
    blockNumber="0x5",
    blockHash="0x" + "cc" * 32,
    transactionHash="0x" + "dd" * 32,
    transactionIndex="0xfffff",
    logIndex="0xfffff",
)


def read(*logs: LogText) -> list[Entry]:
    return read_entries(logs, contracts=ADDRESSES, times={5: 6}, first=5, last=5, endpoint="it")


def test_an_entry() -> None:
    (entry,) = read(LOG)
    assert entry.pos == place(5, 0xFFFFF) and entry.tx_index == 0xFFFFF and entry.time == 6
    assert (entry.subject, entry.id, entry.actor) == (b"\xaa" * 32, b"\xbb" * 32, b"\x44" * 20)
    assert entry.tx == b"\xdd" * 32 and entry.data == bytes(64)


@pytest.mark.parametrize(
    "changes",
    [
        {"transactionIndex": "0x100000"},
        {"transactionIndex": "-0x1"},
        {"transactionIndex": "x"},
        {"logIndex": "0x100000"},
        {"logIndex": "-0x1"},
        {"blockNumber": "0x4"},
        {"blockNumber": "0x6"},
        {"blockNumber": "5"},
        {"transactionHash": "0x" + "dd" * 31},
        {"removed": True},
        {"data": "0x" + "00" * 63 + "0"},
        {"data": "0x" + "00" * 31 + " 0"},
        {"data": "00" * 64},
        {"topics": ["0x" + "ff" * 32, *LOG.topics[1:]]},
        {"topics": [*LOG.topics[:3], "0x" + "01" + "00" * 11 + "44" * 20]},
        {"topics": [*LOG.topics[:3], ACTOR[2:]]},
        {"address": "0x" + "ff" * 20},
    ],
    ids=repr,
)
def test_what_cannot_be_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ChainError, match="^it answered with logs that are malformed"):
        read(msgspec.structs.replace(LOG, **changes))


def test_order_and_doubles() -> None:
    first = msgspec.structs.replace(LOG, logIndex="0x1")
    assert len(read(first, LOG)) == 2
    for logs in ((LOG, first), (LOG, LOG)):
        with pytest.raises(ChainError, match="doubled, out of order"):
            read(*logs)
