"""What a header proves, whoever brings the proof: heads under its state root, entries under its receipts root.

Only asked for where endpoints disagree. The header is checked against its hash before (:mod:`steelyard.indexer.source`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from steelyard.audit import mpt
from steelyard.audit.account import head_slot, prove_account, prove_word
from steelyard.audit.body import Log, prove_receipts, prove_transactions
from steelyard.chain.hexdata import read_data, to_hex
from steelyard.chain.wire import Block
from steelyard.domain.events import TYPES
from steelyard.domain.types import Address
from steelyard.errors import ChainError, ProofError
from steelyard.indexer.entries import Entry, LogText, read_entries
from steelyard.indexer.source import Source

_SLOTS: Final = 64
"""Heads that are proved in one request."""
_TRANSACTIONS: Final = 20_000
"""Of a block, at most: five times what fits into one of 100 million gas. Who lists more only wants to be asked for long."""
_BATCH: Final = 50
"""Receipts, or transactions, that are asked for in one request."""


@dataclass(frozen=True, slots=True)
class Proven:
    """All entries of a block.

    Attributes:
        entries: in order.
        has_hashes: whether their transactions' hashes are proved too; else they are what the endpoint said.
    """

    entries: list[Entry]
    has_hashes: bool


def prove_heads(source: Source, block: Block, pairs: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
    """Return the heads that contracts (addresses) have for subjects at a block, proved under its state root.

    Args:
        source: who brings the proof; not trusted.
        block: checked.
        pairs: contract and subject; best sorted, for those of one contract are proved together.

    Raises:
        ChainError: the endpoint failed, or has the state of that block no more.
        ProofError: it brought a proof that is false.
    """
    root = read_data(block.raw.get("stateRoot"), "state root", 32)
    found: list[bytes] = []
    for contract, subjects in _parts(pairs):
        slots = [head_slot(subject) for subject in subjects]
        proof = source.rpc.get_proof(Address(contract), slots, block=block.hash)
        account = prove_account(root, address=Address(contract), nodes=mpt.outer(proof.proof))
        for slot, item in zip(slots, proof.storage, strict=True):
            found.append(prove_word(account.storage_root, slot=slot, nodes=mpt.outer(item.proof)))
    return found


def _parts(pairs: Sequence[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, list[bytes]]]:
    """Yield neighbours of one contract together."""
    part: list[bytes] = []
    contract = b""
    for address, subject in pairs:
        if part and (address != contract or len(part) == _SLOTS):
            yield contract, part
            part = []
        contract = address
        part.append(subject)
    if part:
        yield contract, part


def prove_entries(source: Source, block: Block) -> Proven:
    """Return all entries of a block, proved under its receipts root, and their transactions under its transactions root.

    Args:
        source: who brings the receipts; not trusted.
        block: checked; the transactions that it lists need not be.

    Raises:
        ChainError: the endpoint failed.
        ProofError: it brought other receipts than the block has, or no transactions to ask for.
    """
    listed = block.raw.get("transactions")
    if (
        not isinstance(listed, list)
        or len(listed) > _TRANSACTIONS
        or not all(isinstance(item, str) for item in listed)
    ):
        raise ProofError(f"{source.name} does not list the transactions of block {block.number}")
    root = read_data(block.raw.get("receiptsRoot"), "receipts root", 32)
    answers = _asked(source, "eth_getTransactionReceipt", listed)
    if not all(isinstance(answer, dict) for answer in answers):
        raise ProofError(f"{source.name} does not have all receipts of block {block.number}")
    receipts = prove_receipts(root, answers)
    hashes = _hashes(source, block, listed)
    texts = list(_texts(source, block, receipts, listed if hashes is None else hashes))
    entries = read_entries(
        texts,
        contracts=source.contracts,
        times={block.number: block.timestamp},
        first=block.number,
        last=block.number,
        endpoint=source.name,
    )
    return Proven(entries, has_hashes=hashes is not None)


def _hashes(source: Source, block: Block, listed: Sequence[str]) -> list[str] | None:
    """Return the hashes of a block's transactions, proved, or None where the endpoint does not bring them as they were signed."""
    root = read_data(block.raw.get("transactionsRoot"), "transactions root", 32)
    try:
        raw = [
            read_data(answer, "transaction")
            for answer in _asked(source, "eth_getRawTransactionByHash", listed)
        ]
        return [to_hex(found) for found in prove_transactions(root, raw)]
    except (ChainError, ProofError):
        return None


def _asked(source: Source, method: str, hashes: Sequence[str]) -> list[Any]:
    found: list[Any] = []
    for start in range(0, len(hashes), _BATCH):
        found += source.rpc.batch([(method, (item,)) for item in hashes[start : start + _BATCH]])
    return found


def _texts(
    source: Source, block: Block, receipts: Sequence[Sequence[Log]], hashes: Sequence[str]
) -> Iterator[LogText]:
    """Yield the logs that ``eth_getLogs`` would give of the trails in a block."""
    addresses = set(source.contracts.values())
    index = 0
    for place, (logs, tx) in enumerate(zip(receipts, hashes, strict=True)):
        for address, topics, data in logs:
            if address in addresses and topics and topics[0] in TYPES:
                yield LogText(
                    address=to_hex(address),
                    topics=[to_hex(topic) for topic in topics],
                    data=to_hex(data),
                    blockNumber=hex(block.number),
                    blockHash=to_hex(block.hash),
                    transactionHash=tx,
                    transactionIndex=hex(place),
                    logIndex=hex(index),
                )
            index += 1
