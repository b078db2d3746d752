"""The quick decoder against the general one, and its strictness."""

from __future__ import annotations

import random
from dataclasses import fields, is_dataclass, replace

import pytest

from steelyard.chain.artifacts import CONTRACTS, Item, artifact
from steelyard.chain.decoder import Decoder, event_table, field_name
from steelyard.chain.deployment import Deployment
from steelyard.chain.events import Event
from steelyard.chain.wire import Log
from steelyard.domain.abi import Value, decode, encode, split_types
from steelyard.domain.types import Address, AssetKind
from steelyard.errors import VerificationError

from .values import ACCOUNT, ASSET

EVENTS = [item for name in CONTRACTS for item in artifact(name).items if item.kind == "event"]
SMALL = {"enum IAssets.Kind": 2, "enum IAssets.Role": 2, "enum IOffers.Kind": 2, "enum ILicences.Scope": 3}


def some(kind: str, rng: random.Random, limit: int = 0) -> Value:
    if kind.startswith("("):
        parts = split_types(kind[1:-1])
        # In Terms, the two enumerations are the only uint8.
        return tuple(some(part, rng, 2 if part == "uint8" else 0) for part in parts)
    if kind == "bool":
        return rng.random() < 0.5
    if kind == "address":
        return rng.randbytes(20)
    if kind == "bytes32":
        return rng.randbytes(32)
    return rng.randrange(limit or 1 << int(kind[4:]))


def log_of(item: Item, values: tuple[Value, ...], contract: Address) -> Log:
    topics, types, plain = [item.topic], [], []
    for field, value in zip(item.inputs, values, strict=True):
        if field.indexed:
            topics.append(encode((field.kind,), (value,)))
        else:
            types.append(field.kind)
            plain.append(value)
    return Log(contract, tuple(topics), encode(types, plain), 5, b"\xb1" * 32, b"\x7a" * 32, 0, 3, False)


def flat(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return tuple(flat(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, tuple):
        return tuple(flat(part) for part in value)
    return value


@pytest.mark.parametrize("item", EVENTS, ids=[f"{item.contract}.{item.name}" for item in EVENTS])
def test_an_event_decodes_as_by_the_general_decoder(nowhere: Deployment, item: Item) -> None:
    rng = random.Random(item.name)
    decoder, contract = Decoder(nowhere), nowhere.contracts[item.contract].address
    for _ in range(20):
        values = tuple(some(field.kind, rng, SMALL.get(field.internal, 0)) for field in item.inputs)
        log = log_of(item, values, contract)
        event = decoder.decode(log)
        assert type(event).__name__ == item.name
        data = iter(decode([field.kind for field in item.inputs if not field.indexed], log.data))
        topics = iter(log.topics[1:])
        for field in item.inputs:
            wanted = decode((field.kind,), next(topics))[0] if field.indexed else next(data)
            found = flat(getattr(event, field_name(field.name)))
            if field.name == "licence" and isinstance(wanted, int):
                wanted = wanted.to_bytes(32, "big")
            assert found == wanted, field.name


def registered(decoder: Decoder, market: Deployment) -> tuple[Log, Event]:
    item = next(item for item in EVENTS if item.name == "AssetRegistered")
    log = log_of(item, (ASSET, b"n" * 32, ACCOUNT, 1, 500), market.assets)
    return log, decoder.decode(log)


def test_values_have_their_types_and_the_place_on_the_chain(nowhere: Deployment) -> None:
    log, event = registered(Decoder(nowhere), nowhere)
    assert getattr(event, "kind") is AssetKind.DATASET  # noqa: B009
    place = (
        event.block_number,
        event.log_index,
        event.block_hash,
        event.tx_hash,
        event.removed,
        event.contract,
    )
    assert place == (5, 3, b"\xb1" * 32, b"\x7a" * 32, False, nowhere.assets)
    assert event.log is log


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")


@pytest.mark.parametrize(
    "change",
    [
        {"data": word(2) + word(500)},
        {"data": word(1) + word(1 << 16)},
        {"data": word(1)},
        {"data": word(1) + word(5) + b"\0"},
        {"topics": (b"\x01" * 32,)},
        {"topics": ()},
        {"address": Address(b"\x99" * 20)},
    ],
    ids=["enumeration", "range", "short", "long", "unknown event", "anonymous", "another contract"],
)
def test_a_malformed_log_is_refused(nowhere: Deployment, change: dict[str, object]) -> None:
    decoder = Decoder(nowhere)
    log, _ = registered(decoder, nowhere)
    with pytest.raises(VerificationError):
        decoder.decode(replace(log, **change))  # type: ignore[arg-type]


def test_dirty_and_missing_topics_are_refused(nowhere: Deployment) -> None:
    decoder = Decoder(nowhere)
    log, _ = registered(decoder, nowhere)
    with pytest.raises(VerificationError):
        decoder.decode(replace(log, topics=(*log.topics[:3], b"\x01" + log.topics[3][1:])))
    with pytest.raises(VerificationError):
        decoder.decode(replace(log, topics=log.topics[:3]))


def test_a_dirty_truth_value_is_refused(nowhere: Deployment) -> None:
    item = next(item for item in EVENTS if item.name == "RoleSet")
    log = log_of(item, (ASSET, b"n" * 32, ACCOUNT, 1, True), nowhere.assets)
    with pytest.raises(VerificationError):
        Decoder(nowhere).decode(replace(log, data=word(1) + word(2)))


def test_every_event_of_every_contract_has_a_class() -> None:
    assert sum(len(event_table(name)) for name in CONTRACTS) == len(EVENTS)
