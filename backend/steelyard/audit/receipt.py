"""Where a log stands in its block, proved under the block's header. Sources: Yellow Paper 4.4.1, EIP-2718."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from steelyard.audit import mpt
from steelyard.audit.bundle import ReceiptProof
from steelyard.audit.entry import Entry
from steelyard.domain import rlp
from steelyard.domain.hash import keccak256
from steelyard.domain.header import parse
from steelyard.errors import ProofError


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The proved place of an entry.

    Attributes:
        block_hash: 32 bytes.
        index: of the transaction in the block.
        position: of the log in the transaction's receipt.
        tx: transaction hash, 32 bytes.
    """

    block_hash: bytes
    index: int
    position: int
    tx: bytes


def prove_place(proof: ReceiptProof, *, entry: Entry, blocks: Collection[bytes]) -> Place:
    """Verify a receipt proof of an entry.

    Args:
        proof: The proof.
        entry: What must be at the place.
        blocks: Block hashes that the auditor trusts.

    Raises:
        ProofError: the header is of none of these blocks or not of the entry's, the proof is false, or
            another log, or a transaction of another hash, is at the place.
    """
    header = parse(proof.header)
    if header.hash not in blocks:
        raise ProofError(f"block 0x{header.hash.hex()} is none that the auditor named")
    if (header.number, header.timestamp) != (entry.block, entry.time):
        raise ProofError(f"block {header.number} of time {header.timestamp} is not the entry's")
    key = rlp.encode(rlp.encode_int(proof.index))
    raw = mpt.prove(header.receipts_root, key, proof.receipt)
    transaction = mpt.prove(header.transactions_root, key, proof.transaction)
    if raw is None or transaction is None:
        raise ProofError(f"block {header.number} has no transaction {proof.index}")
    logs = read_logs(raw)
    if proof.position >= len(logs):
        raise ProofError(f"the receipt has {len(logs)} logs, none at position {proof.position}")
    if logs[proof.position] != (entry.contract, entry.topics, entry.data):
        raise ProofError(f"the log at position {proof.position} of the receipt is another")
    tx = keccak256(transaction)
    if tx != entry.tx:
        raise ProofError(f"the transaction is 0x{tx.hex()}, not the one that the entry names")
    return Place(block_hash=header.hash, index=proof.index, position=proof.position, tx=tx)


def read_logs(raw: bytes) -> tuple[tuple[bytes, tuple[bytes, ...], bytes], ...]:
    """Return the logs (address, topics, data) of a receipt of any type, as it stands in the receipts trie.

    Raises:
        ProofError: it is no receipt.
    """
    # EIP-2718: a type below 0x80, then the receipt; a receipt without a type is a list, so it starts at 0xc0
    # or above.
    items = rlp.decode_list(raw[1:] if raw[:1] < b"\x80" else raw)
    # Types of other chains have further fields after the logs.
    if len(items) < 4:
        raise ProofError(f"a receipt has at least 4 fields, not {len(items)}")
    return tuple(_log(item) for item in _list(items[3]))


def _log(item: rlp.Item) -> tuple[bytes, tuple[bytes, ...], bytes]:
    parts = _list(item)
    if len(parts) != 3:
        raise ProofError(f"a log has 3 fields, not {len(parts)}")
    return rlp.string(parts[0]), tuple(rlp.word(topic) for topic in _list(parts[1])), rlp.string(parts[2])


def _list(item: rlp.Item) -> Sequence[rlp.Item]:
    if isinstance(item, bytes):
        raise ProofError("an RLP list was expected, not a string")
    return item
