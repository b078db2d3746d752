"""Calls, reads and logs of Channels against its compiled ABI."""

from steelyard.chain import metered
from steelyard.chain.artifacts import artifact
from steelyard.chain.metered import ChannelCalls, VoucherRow
from steelyard.domain.abi import decode, selector
from steelyard.domain.metering import METERED_TERMS
from steelyard.domain.point import Point
from steelyard.domain.types import NATIVE, Address, AssetId, NodeId, Version
from tests.unit.metering.parties import ASSET, PAYER, SIGNER, terms

ABI = artifact("Channels").items
FUNCTIONS = {item.selector: item for item in ABI if item.kind == "function"}
EVENTS = {item.topic: item.name for item in ABI if item.kind == "event"}
CALLS = ChannelCalls(Address(b"\x55" * 20))
TERMS = terms()
PARTIES = (PAYER, SIGNER.address, 7)
ROW = VoucherRow(
    payer=PAYER,
    signer=SIGNER.address,
    nonce=7,
    units=300,
    sequence=258,
    root=b"\x01" * 32,
    r=b"\x02" * 32,
    vs=b"\x03" * 32,
)
VERSION = Version(ASSET, b"\x04" * 32, b"\x05" * 32, 6, 1, Point(7, 8), NodeId(b"\x09" * 32))


def test_every_call_is_of_the_contract() -> None:
    calls = {
        "makeOffer": CALLS.make_offer(VERSION, TERMS),
        "closeOffer": CALLS.close_offer(AssetId(ASSET), TERMS),
        "open": CALLS.open(ASSET, TERMS, signer=SIGNER.address, nonce=7, amount=5),
        "topUp": CALLS.top_up(ASSET, TERMS, PARTIES, amount=5),
        "claim": CALLS.claim([(ASSET, TERMS, [ROW, ROW])]),
        "startClosing": CALLS.start_closing(ASSET, TERMS, signer=SIGNER.address, nonce=7),
        "close": CALLS.close(ASSET, TERMS, PARTIES),
    }
    for name, call in calls.items():
        found = FUNCTIONS[call.data[:4]]
        assert (found.name, call.name) == (name, f"Channels.{name}")
        decode([field.kind for field in found.inputs], call.data[4:])
    assert TERMS.currency == NATIVE
    assert [calls[name].value for name in ("open", "topUp", "claim")] == [5, 5, 0]


def test_reads_and_events_are_of_the_contract() -> None:
    assert FUNCTIONS[selector("channels(bytes32)")].name == "channels"
    assert [item.kind for item in FUNCTIONS[selector("channels(bytes32)")].outputs] == [
        "uint104",
        "uint104",
        "uint40",
        "uint8",
    ]
    assert {EVENTS[topic] for topic in metered.CHANGED} == {
        *("ChannelOpened", "ChannelToppedUp", "UsageClaimed", "ChannelClosing", "ChannelClosed")
    }
    assert METERED_TERMS in {field.kind for item in ABI for field in item.inputs}


def test_a_row_has_the_places_of_the_interface() -> None:
    data = ROW.packed()
    words = (7).to_bytes(8, "big") + (300).to_bytes(16, "big") + (258).to_bytes(8, "big")
    assert data == PAYER + SIGNER.address + words + ROW.root + ROW.r + ROW.vs and len(data) == 168
