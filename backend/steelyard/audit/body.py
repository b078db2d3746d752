"""What a block did: all its receipts and transactions, proved by the roots in its header.

A proof of inclusion shows one log; only all receipts together show that there is no other one, and in what order they came.
Sources: Yellow Paper 4.3.2, 4.4.1; EIP-2718, EIP-658.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from steelyard.audit import mpt
from steelyard.audit.receipt import read_logs
from steelyard.domain import rlp
from steelyard.domain.hash import keccak256
from steelyard.errors import ProofError

Log: TypeAlias = tuple[bytes, tuple[bytes, ...], bytes]
"""Address, topics and data."""


def prove_receipts(root: bytes, answers: Sequence[Mapping[str, object]]) -> tuple[tuple[Log, ...], ...]:
    """Return the logs of each transaction of a block, in order.

    Args:
        root: the receipts root of its header, trusted.
        answers: receipts as ``eth_getTransactionReceipt`` gives them, in the order of the block; not trusted.

    Raises:
        ProofError: they are not all receipts of that block, in order and as they are.
    """
    raw = [encode_receipt(answer) for answer in answers]
    if mpt.root_of(raw) != root:
        raise ProofError("the receipts do not make the receipts root of the block")
    return tuple(read_logs(item) for item in raw)


def prove_transactions(root: bytes, raw: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return the hash of each transaction of a block, in order.

    Args:
        root: the transactions root of its header, trusted.
        raw: the transactions as they were signed (EIP-2718), in the order of the block; not trusted.

    Raises:
        ProofError: they are not all transactions of that block, in order and as they are.
    """
    if mpt.root_of(raw) != root:
        raise ProofError("the transactions do not make the transactions root of the block")
    return tuple(keccak256(item) for item in raw)


def encode_receipt(fields: Mapping[str, object]) -> bytes:
    """Return a receipt as it stands in the receipts trie, rebuilt from the fields that JSON-RPC names.

    Raises:
        ProofError: a field is missing or malformed.
    """
    kind = _integer(fields, "type") if fields.get("type") is not None else 0
    # Before Byzantium a receipt had a state root where it now says whether it succeeded.
    outcome = (
        rlp.encode_int(_integer(fields, "status"))
        if fields.get("status") is not None
        else _bytes(fields, "root")
    )
    logs = fields.get("logs")
    if not isinstance(logs, list) or kind > 0x7F:
        raise ProofError("a receipt has no logs, or a type that there is not")
    body = rlp.encode(
        (
            outcome,
            rlp.encode_int(_integer(fields, "cumulativeGasUsed")),
            _bytes(fields, "logsBloom"),
            tuple(_log(log) for log in logs),
        )
    )
    return bytes([kind]) * (kind > 0) + body


def _log(log: object) -> rlp.Item:
    topics = log.get("topics") if isinstance(log, dict) else None
    if not isinstance(log, dict) or not isinstance(topics, list):
        raise ProofError("a receipt has a log that is none")
    return _bytes(log, "address"), tuple(_hex(topic, "topic") for topic in topics), _bytes(log, "data")


def _integer(fields: Mapping[str, object], name: str) -> int:
    text = fields.get(name)
    try:
        if not isinstance(text, str) or text[:2] != "0x" or len(text) > 66:
            raise ValueError
        return int(text, 16)
    except ValueError as exc:
        raise ProofError(f"the field {name} of a receipt is missing or malformed") from exc


def _bytes(fields: Mapping[str, object], name: str) -> bytes:
    return _hex(fields.get(name), name)


def _hex(text: object, name: str) -> bytes:
    try:
        if not isinstance(text, str) or text[:2] != "0x":
            raise ValueError
        return bytes.fromhex(text[2:])
    except ValueError as exc:
        raise ProofError(f"the field {name} of a receipt is missing or malformed") from exc
