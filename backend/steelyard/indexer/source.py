"""One endpoint as the follower asks it: headers, the trails' logs of a range, heads at a block. Nothing is believed unseen.

A header must hash to its block's hash. That the logs are complete, the heads say; that a block without logs has none, its bloom.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from steelyard.chain.calls import call_data
from steelyard.chain.hexdata import quantity, read_data, to_hex
from steelyard.chain.rpc import Rpc, block_param
from steelyard.chain.wire import Block, read_block
from steelyard.domain.events import TYPES
from steelyard.domain.hash import keccak256
from steelyard.domain.header import encode_fields, parse
from steelyard.domain.jsontext import check_depth, parse_json
from steelyard.domain.types import Address
from steelyard.errors import ChainError, ProofError, TrailError
from steelyard.indexer.entries import CONTRACTS, KINDS, Entry, LogText, blocks_of, read_entries
from steelyard.indexer.schema import SHIFT

_BATCH: Final = 100
_BLOOM_BITS: Final = 2047


class _Answer(msgspec.Struct):
    """An answer to ``eth_getLogs`` that is none of an error."""

    id: int
    result: list[LogText]


_DECODER: Final = msgspec.json.Decoder(_Answer)


class LieError(TrailError):
    """An endpoint contradicts what a header proves."""


class ReplacedError(ChainError):
    """A block was replaced between two questions; a fresh start tells the truth."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What an endpoint says of a range of blocks: its entries, and hash and time of each block that has one, by number."""

    entries: list[Entry]
    hashes: Mapping[int, bytes]
    times: Mapping[int, int]


class Source:
    """An endpoint. Safe to use from several threads."""

    def __init__(self, rpc: Rpc, contracts: Mapping[str, Address]) -> None:
        """Remember whom to ask about which contracts, by name: Assets, Market, Treasury, and Channels if there are any."""
        self.rpc = rpc
        self.contracts = {name: contracts[name] for name in CONTRACTS if name in contracts}
        self._filter = {
            "address": [to_hex(address) for address in self.contracts.values()],
            "topics": [[to_hex(topic) for topic in TYPES]],
        }
        # A log of this kind sets all of these bits.
        self._blooms = [
            (index, _bits(self.contracts[kind.contract]) | _bits(kind.topic))
            for index, kind in enumerate(KINDS)
            if kind.contract in self.contracts
        ]

    @property
    def name(self) -> str:
        """The endpoint, for messages."""
        return self.rpc.name

    # -- headers -----------------------------------------------------------------------------------------------

    def newest(self) -> Block:
        """Return the newest block, its header checked against its hash."""
        return self._checked(self.rpc.get_block("latest"))

    def block(self, number: int) -> Block:
        """Return a block by its number, checked.

        Raises:
            NotFoundError: the endpoint has no such block.
            ChainError: the endpoint failed, or its header is false.
        """
        return self._checked(self.rpc.get_block(number))

    def blocks(self, numbers: Sequence[int]) -> list[Block | None]:
        """Return blocks by their numbers, None where there is none; they are not checked against their hashes."""
        found: list[Block | None] = []
        for start in range(0, len(numbers), _BATCH):
            part = numbers[start : start + _BATCH]
            for number, answer in zip(
                part,
                self.rpc.batch([("eth_getBlockByNumber", (quantity(number), False)) for number in part]),
                strict=True,
            ):
                block = None if answer is None else read_block(answer)
                if block is not None and block.number != number:
                    raise ChainError(f"{self.name} answered with another block than {number}")
                found.append(block)
        return found

    def chain_to(self, target: Block, first: int) -> list[Block]:
        """Return the blocks from ``first`` to ``target``, each the parent of the next and checked.

        Raises:
            ReplacedError: they do not lead to the target.
        """
        found = [target]
        for block in reversed(self.blocks(range(first, target.number))):
            if block is None or block.hash != found[-1].parent_hash:
                raise ReplacedError(
                    f"block {found[-1].number - 1} was replaced while {self.name} was asked: try again"
                )
            found.append(self._checked(block))
        return found[::-1]

    def _checked(self, block: Block) -> Block:
        try:
            raw = encode_fields(block.raw)
        except ProofError:
            raw = b""
        if keccak256(raw) == block.hash:
            return block
        raw = self._raw_header(block.number)
        if keccak256(raw) != block.hash:
            raise ChainError(
                f"the header of block {block.number} from {self.name} does not hash to 0x{block.hash.hex()}: it has fields unknown "
                "here, or is false. Use an endpoint that answers debug_getRawHeader"
            )
        return self._of_raw(block, raw)

    def _of_raw(self, block: Block, raw: bytes) -> Block:
        """Return a block with what its raw header says, for its JSON may say something else."""
        try:
            header = parse(raw)
        except ProofError as exc:
            raise ChainError(
                f"the raw header of block {block.number} from {self.name} is none: {exc}"
            ) from exc
        if (header.number, header.parent_hash, header.timestamp) != (
            *(block.number, block.parent_hash, block.timestamp),
        ):
            raise ChainError(f"{self.name} gives two headers of block {block.number}, one raw and one not")
        said = {
            "stateRoot": header.state_root,
            "transactionsRoot": header.transactions_root,
            "receiptsRoot": header.receipts_root,
            "logsBloom": header.fields[6],
        }
        return replace(block, raw={**block.raw, **{name: to_hex(value) for name, value in said.items()}})

    def _raw_header(self, number: int) -> bytes:
        try:
            return read_data(self.rpc.call("debug_getRawHeader", (quantity(number),)), "raw header")
        except ChainError:
            return b""

    # -- logs --------------------------------------------------------------------------------------------------

    def entries(self, first: int, last: int) -> Answered:
        """Return the entries of all trails in blocks ``first`` to ``last``.

        Raises:
            ReplacedError: a block was replaced meanwhile.
            ChainError: the endpoint failed, refused the range, or answered with something else.
        """
        query = {**self._filter, "fromBlock": quantity(first), "toBlock": quantity(last)}
        return self._entries(query, first, last)

    def entries_at(self, block: Block) -> Answered:
        """Return the entries of one block, asked by its hash."""
        return self._entries({**self._filter, "blockHash": to_hex(block.hash)}, block.number, block.number)

    def _entries(self, query: Mapping[str, object], first: int, last: int) -> Answered:
        logs: Any = self.rpc.call("eth_getLogs", (query,), parse=_parse)
        if not isinstance(logs, list) or not all(type(log) is LogText for log in logs[:1]):
            raise ChainError(f"{self.name} answered eth_getLogs with something else")
        found = blocks_of(logs, endpoint=self.name)
        times = found.times if len(found.times) == len(found.hashes) else self._times(found.hashes)
        entries = read_entries(
            logs, contracts=self.contracts, times=times, first=first, last=last, endpoint=self.name
        )
        return Answered(entries, found.hashes, times)

    def _times(self, hashes: Mapping[int, bytes]) -> dict[int, int]:
        numbers = sorted(hashes)
        times = {}
        for number, block in zip(numbers, self.blocks(numbers), strict=True):
            if block is None or block.hash != hashes[number]:
                raise ReplacedError(f"block {number} was replaced while {self.name} was asked: try again")
            times[number] = block.timestamp
        return times

    def left_out(self, chain: Iterable[Block], answered: Answered) -> list[Block]:
        """Return the blocks whose bloom says that there may be an entry of a kind that the answer has not there.

        About one bloom in some thousands says so falsely on a quiet chain, many do on a busy one: ask again.
        """
        seen = {(entry.pos >> SHIFT, entry.kind) for entry in answered.entries}
        found = []
        for block in chain:
            bloom = int(str(block.raw.get("logsBloom", "0x0")), 16)
            if bloom and any(
                bloom & bits == bits and (block.number, kind) not in seen for kind, bits in self._blooms
            ):
                found.append(block)
        return found

    # -- heads -------------------------------------------------------------------------------------------------

    def heads(self, pairs: Sequence[tuple[bytes, bytes]], block_hash: bytes) -> list[bytes]:
        """Return the heads that contracts (addresses) have for subjects at a block.

        Raises:
            ChainError: the endpoint failed, or has the state of that block no more.
        """
        at = block_param(block_hash)
        found = []
        for start in range(0, len(pairs), _BATCH):
            calls = [
                (
                    "eth_call",
                    ({"to": to_hex(contract), "data": to_hex(call_data("head(bytes32)", subject))}, at),
                )
                for contract, subject in pairs[start : start + _BATCH]
            ]
            found += [read_data(answer, "head of a trail", 32) for answer in self.rpc.batch(calls)]
        return found


def _parse(text: bytes) -> dict[str, object]:
    check_depth(text)
    try:
        answer = _DECODER.decode(text)
    except msgspec.MsgspecError:
        # An error, or a log that is none: the careful parser tells.
        parsed: dict[str, object] = parse_json(text)
        return parsed
    return {"id": answer.id, "result": answer.result}


def _bits(value: bytes) -> int:
    """Return the bits of a bloom (Yellow Paper 4.3.1) that a value sets."""
    digest, bits = keccak256(value), 0
    for place in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[place : place + 2], "big") & _BLOOM_BITS)
    return bits
