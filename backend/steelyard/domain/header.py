"""A block header, read from the bytes that its hash is taken of.

Sources: Yellow Paper 4.4, EIP-1559, EIP-4895, EIP-4844, EIP-4788, EIP-7685.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from steelyard.domain import rlp
from steelyard.domain.hash import keccak256
from steelyard.errors import ProofError

_FIELDS: Final = (
    "parentHash",
    "sha3Uncles",
    "miner",
    "stateRoot",
    "transactionsRoot",
    "receiptsRoot",
    "logsBloom",
    "difficulty",
    "number",
    "gasLimit",
    "gasUsed",
    "timestamp",
    "extraData",
    "mixHash",
    "nonce",
)
# In the order in which forks appended them: London, Shanghai, Cancun (3), Prague, and what is drafted after
# Osaka.
_LATER: Final = (
    "baseFeePerGas",
    "withdrawalsRoot",
    "blobGasUsed",
    "excessBlobGas",
    "parentBeaconBlockRoot",
    "requestsHash",
    "blockAccessListHash",
    "slotNumber",
)
_LONGEST: Final = 2048
_INTEGERS: Final = frozenset(
    [
        "difficulty",
        "number",
        "gasLimit",
        "gasUsed",
        "timestamp",
        "baseFeePerGas",
        "blobGasUsed",
        "excessBlobGas",
        "slotNumber",
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What the audit needs of a block header.

    Attributes:
        hash: keccak256 of the raw header, 32 bytes: the block's hash.
        number: block number.
        timestamp: Unix seconds.
        parent_hash: 32 bytes.
        state_root: 32 bytes.
        transactions_root: 32 bytes.
        receipts_root: 32 bytes.
        fields: every field as it stands, those of later forks included; 15 up to Paris, 21 with Prague.
    """

    hash: bytes
    number: int
    timestamp: int
    parent_hash: bytes
    state_root: bytes
    transactions_root: bytes
    receipts_root: bytes
    fields: tuple[bytes, ...]


def parse(raw: bytes) -> Header:
    """Read a header in RLP.

    Raises:
        ProofError: not strict RLP, fewer than 15 fields, a field that is a list or has the wrong form.
    """
    items = rlp.decode_list(raw)
    if len(items) < 15:
        raise ProofError(f"a block header has at least 15 fields, not {len(items)}")
    return Header(
        hash=keccak256(raw),
        parent_hash=rlp.word(items[0]),
        state_root=rlp.word(items[3]),
        transactions_root=rlp.word(items[4]),
        receipts_root=rlp.word(items[5]),
        number=rlp.integer(items[8]),
        timestamp=rlp.integer(items[11]),
        fields=tuple(rlp.string(item) for item in items),
    )


def encode_fields(fields: Mapping[str, object]) -> bytes:
    """Return the bytes that a block's hash is taken of, rebuilt from the fields that JSON-RPC names.

    Args:
        fields: as ``eth_getBlockBy...`` gives them. A field of a fork unknown here is left out, and the hash does not come out.

    Raises:
        ProofError: a field is missing or malformed.
    """
    names = [*_FIELDS, *(name for name in _LATER if fields.get(name) is not None)]
    return rlp.encode(tuple(_item(fields, name) for name in names))


def _item(fields: Mapping[str, object], name: str) -> bytes:
    text = fields.get(name)
    try:
        if not isinstance(text, str) or text[:2] != "0x" or len(text) > _LONGEST:
            raise ValueError
        return rlp.encode_int(int(text, 16)) if name in _INTEGERS else bytes.fromhex(text[2:])
    except ValueError as exc:
        raise ProofError(f"the field {name} of a block header is missing or malformed") from exc
