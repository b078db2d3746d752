"""What a node answers, as values: blocks, logs, receipts and account proofs, parsed strictly.

Numbers are plain integers, hashes 32 bytes, addresses 20 bytes, times Unix seconds, fees wei.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from steelyard.chain.hexdata import read_data, read_quantity
from steelyard.domain.types import Address
from steelyard.errors import ChainError


@dataclass(frozen=True, kw_only=True)
class Block:
    """A block's header.

    Attributes:
        number: its height.
        hash: its hash, as the node says; :attr:`raw` has what is hashed.
        parent_hash: hash of the block before it.
        timestamp: Unix seconds.
        base_fee: wei per gas, or None on a chain without EIP-1559.
        gas_limit: gas of the whole block.
        raw: the answer itself, for the header fields that are not named here.
    """

    number: int
    hash: bytes
    parent_hash: bytes
    timestamp: int
    base_fee: int | None
    gas_limit: int
    raw: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Log:
    """One log entry, with its place on the chain."""

    address: Address
    topics: tuple[bytes, ...]
    data: bytes
    block_number: int
    block_hash: bytes
    tx_hash: bytes
    tx_index: int
    log_index: int
    removed: bool


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What became of a transaction.

    Attributes:
        tx_hash: hash of the transaction.
        status: True if it did what it was to do; False if it reverted.
        gas_used: gas.
        effective_gas_price: wei per gas that was paid.
        block_number: height of its block.
        block_hash: hash of its block.
        tx_index: its place in the block.
        contract: address of the contract it created, if it created one.
        logs: what it logged, in order.
    """

    tx_hash: bytes
    status: bool
    gas_used: int
    effective_gas_price: int
    block_number: int
    block_hash: bytes
    tx_index: int
    contract: Address | None
    logs: tuple[Log, ...]

    @property
    def fee(self) -> int:
        """Wei that its sender paid for gas."""
        return self.gas_used * self.effective_gas_price


@dataclass(frozen=True, kw_only=True)
class StorageProof:
    """A storage slot with its Merkle-Patricia proof (nodes in RLP, from the root down)."""

    key: bytes
    value: int
    proof: tuple[bytes, ...]


@dataclass(frozen=True, kw_only=True)
class AccountProof:
    """``eth_getProof`` (EIP-1186). Nothing in it is checked here."""

    address: Address
    balance: int
    nonce: int
    code_hash: bytes
    storage_hash: bytes
    proof: tuple[bytes, ...]
    storage: tuple[StorageProof, ...]


def read_mapping(value: object, name: str) -> Mapping[str, Any]:
    """Return ``value`` if it is a JSON object.

    Raises:
        ChainError: it is something else.
    """
    if not isinstance(value, dict):
        raise ChainError(f"the endpoint's {name} is no object")
    return value


def read_list(value: object, name: str) -> list[Any]:
    """Return ``value`` if it is a JSON array.

    Raises:
        ChainError: it is something else.
    """
    if not isinstance(value, list):
        raise ChainError(f"the endpoint's {name} is no list")
    return value


def read_block(value: object) -> Block:
    """Parse a block as ``eth_getBlockBy...`` gives it.

    Raises:
        ChainError: it is malformed.
    """
    raw = read_mapping(value, "block")
    fee = raw.get("baseFeePerGas")
    return Block(
        number=read_quantity(raw.get("number"), "block number", bits=63),
        hash=read_data(raw.get("hash"), "block hash", 32),
        parent_hash=read_data(raw.get("parentHash"), "parent hash", 32),
        timestamp=read_quantity(raw.get("timestamp"), "timestamp", bits=63),
        base_fee=None if fee is None else read_quantity(fee, "base fee"),
        gas_limit=read_quantity(raw.get("gasLimit"), "gas limit"),
        raw=raw,
    )


def read_log(value: object) -> Log:
    """Parse a log as ``eth_getLogs`` gives it.

    Raises:
        ChainError: it is malformed, or of a block that is not there yet.
    """
    # The indexer's inner loop: one try around plain conversions takes a third of the time of checking each
    # field.
    try:
        if not isinstance(value, dict):
            raise TypeError
        address, topics, data = value["address"], value["topics"], value["data"]
        place = value["blockHash"], value["transactionHash"]
        removed = value.get("removed", False)
        texts = (address, data, *topics, *place)
        if not isinstance(topics, list) or len(topics) > 4 or not isinstance(removed, bool):
            raise ValueError
        if any(text[:2] != "0x" or " " in text for text in texts):
            raise ValueError
        log = Log(
            Address(bytes.fromhex(address[2:])),
            tuple([bytes.fromhex(topic[2:]) for topic in topics]),
            bytes.fromhex(data[2:]),
            int(value["blockNumber"], 16),
            bytes.fromhex(place[0][2:]),
            bytes.fromhex(place[1][2:]),
            int(value["transactionIndex"], 16),
            int(value["logIndex"], 16),
            removed,
        )
        if len(log.address) != 20 or any(
            len(word) != 32 for word in (log.block_hash, log.tx_hash, *log.topics)
        ):
            raise ValueError
        if (log.block_number | log.log_index | log.tx_index) >> 63:  # too large, or below zero
            raise ValueError
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise ChainError("the endpoint's log is malformed") from exc
    return log


def read_receipt(value: object) -> Receipt:
    """Parse a receipt as ``eth_getTransactionReceipt`` gives it.

    Raises:
        ChainError: it is malformed.
    """
    raw = read_mapping(value, "receipt")
    contract = raw.get("contractAddress")
    return Receipt(
        tx_hash=read_data(raw.get("transactionHash"), "transaction hash", 32),
        status=read_quantity(raw.get("status"), "receipt status") == 1,
        gas_used=read_quantity(raw.get("gasUsed"), "gas used"),
        effective_gas_price=read_quantity(raw.get("effectiveGasPrice"), "gas price"),
        block_number=read_quantity(raw.get("blockNumber"), "block number", bits=63),
        block_hash=read_data(raw.get("blockHash"), "block hash", 32),
        tx_index=read_quantity(raw.get("transactionIndex"), "transaction index", bits=63),
        contract=None if contract is None else Address(read_data(contract, "contract address", 20)),
        logs=tuple(read_log(log) for log in read_list(raw.get("logs"), "logs")),
    )


def read_account_proof(value: object) -> AccountProof:
    """Parse an account proof as ``eth_getProof`` gives it.

    Raises:
        ChainError: it is malformed.
    """
    raw = read_mapping(value, "account proof")
    return AccountProof(
        address=Address(read_data(raw.get("address"), "address", 20)),
        balance=read_quantity(raw.get("balance"), "balance"),
        nonce=read_quantity(raw.get("nonce"), "nonce"),
        code_hash=read_data(raw.get("codeHash"), "code hash", 32),
        storage_hash=read_data(raw.get("storageHash"), "storage hash", 32),
        proof=_nodes(raw.get("accountProof")),
        storage=tuple(_slot(item) for item in read_list(raw.get("storageProof"), "storage proof")),
    )


def _slot(value: object) -> StorageProof:
    raw = read_mapping(value, "storage proof")
    # Some nodes write the key as a quantity, others as 32 bytes.
    key = read_quantity(raw.get("key"), "storage key").to_bytes(32, "big")
    return StorageProof(
        key=key, value=read_quantity(raw.get("value"), "storage value"), proof=_nodes(raw.get("proof"))
    )


def _nodes(value: object) -> tuple[bytes, ...]:
    return tuple(read_data(node, "proof node") for node in read_list(value, "proof"))
