"""Entries decoded: names, fields, enumerations."""

from __future__ import annotations

from dataclasses import replace

import pytest

from steelyard.audit.history import history
from steelyard.audit.verify import verify
from steelyard.errors import TrailError
from tests.unit.audit.cases import dump, honest
from tests.unit.audit.chain import ALICE, ASSET, ASSETS, NODE
from tests.unit.audit.test_receipt import placed


def test_events_have_their_names_and_fields() -> None:
    _, data, anchors = honest()
    events = history(verify(data, anchors=anchors))
    assert [event.name for event in events] == [
        *(
            "AssetRegistered",
            "VersionPublished",
            "Renewed",
            "Received",
            "Claimed",
            "Received",
            "Claimed",
            "Renewed",
        )
    ]
    published = events[1]
    assert (published.build, published.contract, published.actor) == ("Assets", ASSETS, ALICE)
    assert (published.subject, published.id, published.id_name) == (ASSET, b"\x01" * 32, "version")
    assert published.fields["number"] == "1"
    commitments = published.fields["commitments"]
    assert isinstance(commitments, dict)
    assert commitments["key"] == {"x": "1", "y": "2"} and commitments["node"] == "0x" + NODE.hex()
    assert events[2].fields["price"] == str(10**18)
    assert events[3].fields["currency"] == "0x" + "00" * 20


def test_enumerations_have_names() -> None:
    _, data, anchors = honest()
    verified = verify(data, anchors=anchors)
    contract = verified.contracts[0]
    topic = verified.entries[0].event
    event = contract.build.events[topic]
    kind = replace(event.fields[0], internal="enum IAssets.Kind")
    build = replace(
        contract.build,
        events={**contract.build.events, topic: replace(event, fields=(kind, event.fields[1]))},
    )
    named = replace(verified, contracts=(replace(contract, build=build), *verified.contracts[1:]))
    assert history(named)[0].fields == {"kind": "model", "royalty": "250"}


def test_only_a_receipt_proof_makes_a_transaction_hash_certain() -> None:
    value, anchors = placed(2)
    assert [e.index for e in history(verify(dump(value), anchors=anchors)) if e.tx_proved] == [2]


def test_data_that_does_not_fit_its_event_is_an_error() -> None:
    _, data, anchors = honest()
    verified = verify(data, anchors=anchors)
    for wrong in (b"", verified.entries[0].data + b"\0", b"\xff" * 64):
        broken = replace(verified, entries=(replace(verified.entries[0], data=wrong),))
        with pytest.raises(TrailError, match="entry 0 of Assets"):
            history(broken)
