from __future__ import annotations

import pytest

from steelyard.chain.artifacts import artifact
from steelyard.domain.abi import encode
from steelyard.domain.events import ASSETS, MARKET, TOPICS, TREASURY, TYPES, decode_event
from steelyard.domain.types import Address
from steelyard.errors import TrailError

ACTOR = Address(b"\x05" * 20)
PLACE = {"contract": Address(b"\x01" * 20), "block": 3, "time": 4, "log": 5, "tx": b"\x06" * 32}


@pytest.mark.parametrize("kind", TYPES.values(), ids=lambda kind: kind.name)
def test_every_kind_is_the_contracts_own(kind: object) -> None:
    assert hasattr(kind, "contract")
    (item,) = [i for i in artifact(kind.contract).items if i.kind == "event" and i.name == kind.name]  # type: ignore[attr-defined]
    assert item.topic == kind.topic  # type: ignore[attr-defined]
    names = tuple(field.name for field in item.inputs if not field.indexed)
    assert names == kind.names  # type: ignore[attr-defined]


def test_no_trail_event_of_the_contracts_is_missing() -> None:
    # Withdrawn has three indexed fields and is of no subject; the ERC-721 events have no actor.
    others = {"Withdrawn", "Transfer", "Approval"}
    for contract in (ASSETS, MARKET, TREASURY):
        events = [i for i in artifact(contract).items if i.kind == "event"]
        trail = {i.name for i in events if sum(field.indexed for field in i.inputs) == 3} - others
        assert trail == {kind.name for kind in TYPES.values() if kind.contract == contract}


def test_a_log_is_decoded() -> None:
    topics = [TOPICS["Claimed"], b"\x81" * 32, b"\x02" * 32, bytes(12) + ACTOR]
    data = encode(("uint256", "address", "uint256"), (1, bytes(20), 7))
    event = decode_event(topics, data, **PLACE)  # type: ignore[arg-type]
    assert (event.name, event.subject, event.id, event.actor) == (
        "Claimed",
        b"\x81" * 32,
        b"\x02" * 32,
        ACTOR,
    )
    assert event.fields == {"index": 1, "currency": bytes(20), "amount": 7}


@pytest.mark.parametrize("cut", [1, 32, 96])
def test_a_log_that_is_cut_is_refused(cut: int) -> None:
    topics = [TOPICS["Claimed"], b"\x81" * 32, b"\x02" * 32, bytes(12) + ACTOR]
    data = encode(("uint256", "address", "uint256"), (1, bytes(20), 7))
    with pytest.raises(TrailError):
        decode_event(topics, data[:-cut], **PLACE)  # type: ignore[arg-type]


def test_a_log_of_another_kind_is_refused() -> None:
    with pytest.raises(TrailError, match="no trail event"):
        decode_event([b"\x09" * 32] * 4, b"", **PLACE)  # type: ignore[arg-type]
    with pytest.raises(TrailError, match="no trail event"):
        decode_event([TOPICS["Settled"]] * 3, b"", **PLACE)  # type: ignore[arg-type]
