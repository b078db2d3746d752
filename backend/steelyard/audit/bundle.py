"""The bundle: an asset's history with its proofs as one document. Format: docs/trail.md, "The bundle"."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NoReturn, TypeVar

from steelyard.audit.entry import Entry
from steelyard.domain.jsontext import parse_json
from steelyard.domain.types import Address, AssetId
from steelyard.errors import TrailError

FORMAT: Final = "steelyard/bundle/v1"
MAX_BYTES: Final = 64 << 20
MAX_INTEGER: Final = (1 << 53) - 1
_MAX_CONTAINERS: Final = 1_000_000
_HEX: Final = re.compile(r"0x(?:[0-9a-f]{2})*")

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadProof:
    """Proof of the head of one subject: ``proof`` are trie nodes under the account's storage root."""

    subject: bytes
    proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Companion:
    """A contract without a trail that a listed one relies on; attributes as in ``ContractProof``."""

    address: Address
    build: str
    immutables: Mapping[str, bytes]
    account: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractProof(Companion):
    """A listed contract, or the Directory.

    Attributes:
        address: 20 bytes.
        build: name of the build.
        immutables: name to 32-byte word.
        account: proof nodes of the account under the state root.
        heads: proofs of the heads, in the order of docs/trail.md.
    """

    heads: tuple[HeadProof, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptProof:
    """Where an entry stands in its block.

    Attributes:
        entry: index among the entries.
        header: header of the entry's block, RLP.
        index: of the transaction in the block.
        position: of the log in the transaction's receipt.
        receipt: proof nodes under the receipts root.
        transaction: proof nodes under the transactions root.
    """

    entry: int
    header: bytes
    index: int
    position: int
    receipt: tuple[bytes, ...]
    transaction: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A history with its proofs; nothing in it is verified yet. Attributes as in docs/trail.md."""

    chain_id: int
    asset: AssetId
    header: bytes
    directory: ContractProof
    contracts: tuple[ContractProof, ...]
    companions: tuple[Companion, ...]
    listings: tuple[Entry, ...]
    entries: tuple[Entry, ...]
    receipts: tuple[ReceiptProof, ...]

    def to_bytes(self) -> bytes:
        """Return the canonical bytes.

        Raises:
            TrailError: they would be more than 64 MiB.
        """
        document = {
            "format": FORMAT,
            "chainId": self.chain_id,
            "asset": _hex(self.asset),
            "header": _hex(self.header),
            "directory": _contract_json(self.directory),
            "contracts": [_contract_json(item) for item in self.contracts],
            "companions": [_companion_json(item) for item in self.companions],
            "listings": [_entry_json(item) for item in self.listings],
            "entries": [_entry_json(item) for item in self.entries],
            "receipts": [_receipt_json(item) for item in self.receipts],
        }
        data = _canonical(document)
        if len(data) > MAX_BYTES:
            raise TrailError(f"the bundle would have {len(data)} bytes; the most is {MAX_BYTES}")
        return data


def parse(data: bytes) -> Bundle:
    """Read a bundle from an untrusted source.

    Raises:
        TrailError: too large, not canonical JSON, another format, a key missing or too many, or a value of
            the wrong form; the message says where.
    """
    top = _Object(_load(data), "the bundle")
    if top.take("format", _text) != FORMAT:
        raise TrailError(f"the bundle is not of the format {FORMAT}")
    bundle = Bundle(
        chain_id=top.take("chainId", _integer),
        asset=AssetId(top.take("asset", _word)),
        header=top.take("header", _bytes),
        directory=top.take("directory", _contract),
        contracts=top.take("contracts", _many(_contract)),
        companions=top.take("companions", _many(_companion)),
        listings=top.take("listings", _many(_entry)),
        entries=top.take("entries", _many(_entry)),
        receipts=top.take("receipts", _many(_receipt)),
    )
    top.close()
    return bundle


def _load(data: bytes) -> object:
    if len(data) > MAX_BYTES:
        raise TrailError(f"the bundle has {len(data)} bytes; the most is {MAX_BYTES}")
    # Before anything is allocated.
    if data.count(b"{") + data.count(b"[") > _MAX_CONTAINERS:
        raise TrailError(f"the bundle has more than {_MAX_CONTAINERS} objects and arrays")
    try:
        data.decode("ascii")
        value: object = parse_json(data, parse_float=_refuse, parse_constant=_refuse, parse_int=_read_integer)
        canonical = _canonical(value)
    except ValueError as exc:  # not ASCII, not JSON, too deep
        raise TrailError(f"the bundle is not JSON in ASCII: {exc}") from exc
    # Duplicate keys, white space, order and needless escapes all show here.
    if canonical != data:
        raise TrailError("the bundle is not in canonical form")
    return value


def _canonical(value: object) -> bytes:
    return json.dumps(
        value, ensure_ascii=True, allow_nan=False, sort_keys=True, separators=(",", ":")
    ).encode()


def _refuse(text: str) -> NoReturn:
    raise TrailError(f"{text[:40]} in the bundle is not an integer from 0 to 2^53-1")


def _read_integer(text: str) -> int:
    if len(text) > 16:  # before int() sees thousands of digits
        _refuse(text)
    return int(text)


class _Object:
    """A JSON object from which every key must be taken once."""

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise TrailError(f"{where} is no object")
        self._left = dict(value)
        self._where = where

    def take(self, key: str, read: Callable[[object, str], T]) -> T:
        if key not in self._left:
            raise TrailError(f"{self._where} has no {key}")
        return read(self._left.pop(key), f"{key} of {self._where}")

    def close(self) -> None:
        if self._left:
            raise TrailError(f"{self._where} has the unknown key {min(self._left)[:40]!r}")


def _many(read: Callable[[object, str], T]) -> Callable[[object, str], tuple[T, ...]]:
    def read_all(value: object, where: str) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise TrailError(f"{where} is no array")
        return tuple(read(item, f"item {index} of {where}") for index, item in enumerate(value))

    return read_all


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or len(value) > 64:
        raise TrailError(f"{where} is no string of at most 64 characters")
    return value


def _integer(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_INTEGER:
        raise TrailError(f"{where} is not an integer from 0 to 2^53-1")
    return value


def _bytes(value: object, where: str) -> bytes:
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise TrailError(f"{where} is not 0x and lower-case hexadecimal")
    return bytes.fromhex(value[2:])


def _sized(size: int) -> Callable[[object, str], bytes]:
    def read(value: object, where: str) -> bytes:
        data = _bytes(value, where)
        if len(data) != size:
            raise TrailError(f"{where} has {len(data)} bytes, not {size}")
        return data

    return read


_word = _sized(32)
_nodes = _many(_bytes)


def _address(value: object, where: str) -> Address:
    return Address(_sized(20)(value, where))


def _immutables(value: object, where: str) -> dict[str, bytes]:
    if not isinstance(value, dict):
        raise TrailError(f"{where} is no object")
    return {str(name): _word(item, f"{str(name)[:40]!r} in {where}") for name, item in value.items()}


def _companion(value: object, where: str) -> Companion:
    item = _Object(value, where)
    found = Companion(
        address=item.take("address", _address),
        build=item.take("build", _text),
        immutables=item.take("immutables", _immutables),
        account=item.take("account", _nodes),
    )
    item.close()
    return found


def _contract(value: object, where: str) -> ContractProof:
    item = _Object(value, where)
    found = ContractProof(
        address=item.take("address", _address),
        build=item.take("build", _text),
        immutables=item.take("immutables", _immutables),
        account=item.take("account", _nodes),
        heads=item.take("heads", _many(_head)),
    )
    item.close()
    return found


def _head(value: object, where: str) -> HeadProof:
    item = _Object(value, where)
    found = HeadProof(subject=item.take("subject", _word), proof=item.take("proof", _nodes))
    item.close()
    return found


def _entry(value: object, where: str) -> Entry:
    item = _Object(value, where)
    topics = item.take("topics", _many(_word))
    if len(topics) != 4:
        raise TrailError(f"{where} has {len(topics)} topics; a trail event has 4")
    found = Entry(
        contract=item.take("contract", _address),
        block=item.take("block", _integer),
        time=item.take("time", _integer),
        topics=(topics[0], topics[1], topics[2], topics[3]),
        data=item.take("data", _bytes),
        log=item.take("log", _integer),
        tx=item.take("tx", _word),
    )
    item.close()
    return found


def _receipt(value: object, where: str) -> ReceiptProof:
    item = _Object(value, where)
    found = ReceiptProof(
        entry=item.take("entry", _integer),
        header=item.take("header", _bytes),
        index=item.take("index", _integer),
        position=item.take("position", _integer),
        receipt=item.take("receipt", _nodes),
        transaction=item.take("transaction", _nodes),
    )
    item.close()
    return found


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _hexes(items: tuple[bytes, ...]) -> list[str]:
    return [_hex(item) for item in items]


def _companion_json(item: Companion) -> dict[str, object]:
    return {
        "address": _hex(item.address),
        "build": item.build,
        "immutables": {name: _hex(value) for name, value in item.immutables.items()},
        "account": _hexes(item.account),
    }


def _contract_json(item: ContractProof) -> dict[str, object]:
    heads = [{"subject": _hex(head.subject), "proof": _hexes(head.proof)} for head in item.heads]
    return _companion_json(item) | {"heads": heads}


def _entry_json(item: Entry) -> dict[str, object]:
    return {
        "contract": _hex(item.contract),
        "block": item.block,
        "time": item.time,
        "topics": _hexes(item.topics),
        "data": _hex(item.data),
        "log": item.log,
        "tx": _hex(item.tx),
    }


def _receipt_json(item: ReceiptProof) -> dict[str, object]:
    return {
        "entry": item.entry,
        "header": _hex(item.header),
        "index": item.index,
        "position": item.position,
        "receipt": _hexes(item.receipt),
        "transaction": _hexes(item.transaction),
    }
