"""From log entries to the events of :mod:`steelyard.chain.events`, by the compiled ABI.

All of the market's events have a fixed length, so each is cut by position: measured, 4 to 8 times as fast as the general decoder
of :mod:`steelyard.domain.abi`, and as strict. A test compares the two.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable
from dataclasses import fields
from functools import lru_cache
from typing import Any

from steelyard.chain.artifacts import CONTRACTS, Item, artifact
from steelyard.chain.deployment import Deployment
from steelyard.chain.events import EVENTS, Event
from steelyard.chain.wire import Log
from steelyard.domain.point import Point
from steelyard.domain.types import Address, AssetKind, OfferKind, Role, Scope, Terms, Version
from steelyard.errors import VerificationError

_Read = Callable[[bytes, int], Any]

_ENUMS = {
    "enum IAssets.Kind": AssetKind,
    "enum IAssets.Role": Role,
    "enum IOffers.Kind": OfferKind,
    "enum ILicences.Scope": Scope,
}
# Ids that Solidity keeps as numbers and everything else as words.
_WORDS = frozenset({"licence"})


class Decoder:
    """Decodes the logs of one market."""

    def __init__(self, deployment: Deployment) -> None:
        """Prepare the tables.

        Raises:
            NotFoundError: the installation has no ABIs.
        """
        self._tables = {deployment.contracts[name].address: event_table(name) for name in CONTRACTS}

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The contracts whose logs can be decoded."""
        return tuple(self._tables)

    def decode(self, log: Log) -> Event:
        """Return what a log entry says.

        Raises:
            VerificationError: it is of no contract of this market, of no event of its contract, or malformed.
        """
        table = self._tables.get(log.address)
        if table is None:
            raise VerificationError(f"0x{log.address.hex()} is no contract of this market")
        read = table.get(log.topics[0]) if log.topics else None
        if read is None:
            raise VerificationError(f"0x{log.address.hex()} logged an event that its ABI does not have")
        return read(log)

    def decode_all(self, logs: Iterable[Log]) -> list[Event]:
        """Return what several log entries say, in their order.

        Raises:
            VerificationError: as in :meth:`decode`.
        """
        return [self.decode(log) for log in logs]


@lru_cache(maxsize=16)
def event_table(contract: str) -> dict[bytes, Callable[[Log], Event]]:
    """Return the decoders of a contract's events by topic.

    Raises:
        VerificationError: an event of the ABI has no class here, or other fields.
    """
    classes = {cls.__name__: cls for cls in EVENTS}
    table: dict[bytes, Callable[[Log], Event]] = {}
    for item in artifact(contract).items:
        if item.kind == "event":
            cls = classes.get(item.name)
            names = [field_name(field.name) for field in item.inputs]
            if cls is None or names != [field.name for field in fields(cls)][1:]:
                raise VerificationError(
                    f"event {item.signature} of {contract} is not the one this client knows"
                )
            table[item.topic] = _event_reader(item, cls)
    return table


def field_name(name: str) -> str:
    """Return the Python name of a Solidity parameter: ``_tokenId`` is ``token_id``, ``from`` is ``from_``."""
    snake = re.sub(r"([A-Z])", lambda match: "_" + match[1].lower(), name.lstrip("_"))
    return snake + "_" if snake in ("from",) else snake


def _event_reader(item: Item, cls: type[Event]) -> Callable[[Log], Event]:
    plan: list[tuple[bool, int, _Read]] = []
    topics, size = 1, 0
    for field in item.inputs:
        read, length = _reader(field.kind, field.internal, as_word=field.name in _WORDS)
        if field.indexed:
            plan.append((True, topics, read))
            topics += 1
        else:
            plan.append((False, size, read))
            size += length
    steps = tuple(plan)
    name, count, length = item.name, topics, size

    def decode(log: Log) -> Event:
        words, data = log.topics, log.data
        if len(words) != count or len(data) != length:
            raise VerificationError(f"a log of {name} has {len(words)} topics and {len(data)} bytes")
        return cls(log, *[read(words[at], 0) if topic else read(data, at) for topic, at, read in steps])

    return decode


def _reader(kind: str, internal: str, *, as_word: bool = False) -> tuple[_Read, int]:
    """Return how to read a type at an offset, and how many bytes it takes."""
    if internal == "struct Point":
        return _read_point, 64
    if internal == "struct IAssets.Version":
        return _read_version, 8 * 32
    if internal == "struct IOffers.Terms":
        return _read_terms, 16 * 32
    if as_word or kind == "bytes32":
        return _read_word, 32
    if kind == "address":
        return _read_address, 32
    if kind == "bool":
        return _read_bool, 32
    if internal in _ENUMS:
        return _read_enum(_ENUMS[internal]), 32
    if kind.startswith("uint"):
        return _read_uint(int(kind[4:])), 32
    raise VerificationError(f"no event of this market has a {internal or kind}")


def _read_word(data: bytes, at: int) -> bytes:
    return data[at : at + 32]


def _read_address(data: bytes, at: int) -> bytes:
    if data[at : at + 12] != b"\0\0\0\0\0\0\0\0\0\0\0\0":
        raise VerificationError("a word of a log is no address")
    return data[at + 12 : at + 32]


def _read_bool(data: bytes, at: int) -> bool:
    number = int.from_bytes(data[at : at + 32], "big")
    if number > 1:
        raise VerificationError("a word of a log is no truth value")
    return number == 1


def _read_uint(bits: int) -> _Read:
    def read(data: bytes, at: int) -> int:
        number = int.from_bytes(data[at : at + 32], "big")
        if number >> bits:
            raise VerificationError(f"a word of a log is above 2^{bits}-1")
        return number

    return read


def _read_enum(choices: type[enum.IntEnum]) -> _Read:
    members = tuple(choices)

    def read(data: bytes, at: int) -> object:
        number = int.from_bytes(data[at : at + 32], "big")
        if number >= len(members):
            raise VerificationError(f"a word of a log names no {choices.__name__}")
        return members[number]

    return read


_u16, _u32, _u40, _u64, _u128, _u256 = (_read_uint(bits) for bits in (16, 32, 40, 64, 128, 256))
_offer_kind, _scope = _read_enum(OfferKind), _read_enum(Scope)


def _read_point(data: bytes, at: int) -> Point:
    return Point(int.from_bytes(data[at : at + 32], "big"), int.from_bytes(data[at + 32 : at + 64], "big"))


_VERSION: tuple[tuple[_Read, int], ...] = (
    (_read_word, 0),
    (_read_word, 32),
    (_read_word, 64),
    (_u64, 96),
    (_u16, 128),
    (_read_point, 160),
    (_read_word, 224),
)

_TERMS: tuple[tuple[_Read, int], ...] = tuple(
    (read, 32 * place)
    for place, read in enumerate(
        (
            *(_read_address, _read_address, _u128, _u128, _offer_kind, _scope, _read_bool, _read_bool),
            *(_u32, _u40, _u32, _u32, _u32, _read_word, _read_word, _u64),
        )
    )
)


def _read_version(data: bytes, at: int) -> Version:
    return Version(*[read(data, at + offset) for read, offset in _VERSION])


def _read_terms(data: bytes, at: int) -> Terms:
    return Terms(*[read(data, at + offset) for read, offset in _TERMS])
