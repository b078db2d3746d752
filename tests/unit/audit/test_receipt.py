"""Receipt proofs: the place of an entry in its block."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import rlp as oracle

from steelyard.audit.receipt import read_logs
from steelyard.audit.verify import Anchors, verify
from steelyard.domain.hash import keccak256
from steelyard.errors import ProofError, TrailError, VerificationError
from tests.unit.audit.cases import document, dump, honest
from tests.unit.audit.test_mpt import nodes_of


def placed(*entries: int) -> tuple[Any, Anchors]:
    """Return the honest bundle with receipt proofs of these entries, and anchors that trust their blocks."""
    chain, _, anchors = honest()
    value = document()
    blocks = set()
    for index in entries:
        entry = value["entries"][index]
        block = entry["block"]
        header = chain.header(block)
        blocks.add(keccak256(header))
        receipts, transactions = chain.receipts(block)
        key = oracle.encode(oracle.sedes.big_endian_int.serialize(entry["log"]))
        value["receipts"].append(
            {
                "entry": index,
                "header": "0x" + header.hex(),
                "index": entry["log"],
                "position": 1,
                "receipt": ["0x" + node.hex() for node in nodes_of(receipts, key)],
                "transaction": ["0x" + node.hex() for node in nodes_of(transactions, key)],
            }
        )
    return value, replace(anchors, blocks=frozenset(blocks))


def test_places_are_proved_for_entries_of_typed_transactions() -> None:
    value, anchors = placed(0, 2, 3, 6)
    verified = verify(dump(value), anchors=anchors)
    assert sorted(verified.places) == [0, 2, 3, 6]
    for index, place in verified.places.items():
        entry = verified.entries[index]
        assert (place.index, place.position, place.tx) == (entry.log, 1, entry.tx)


def test_the_block_must_be_one_that_the_auditor_named() -> None:
    value, anchors = placed(0)
    with pytest.raises(
        ProofError, match="receipt proof of entry 0: block 0x.* is none that the auditor named"
    ):
        verify(dump(value), anchors=replace(anchors, blocks=frozenset()))


@pytest.mark.parametrize(
    ("changes", "error", "reason"),
    [
        ({"position": 0}, ProofError, "is another"),
        ({"position": 2}, ProofError, "none at position 2"),
        ({"index": 9}, ProofError, "entry 2"),
        ({"receipt": []}, ProofError, "cut short"),
        ({"transaction": []}, ProofError, "cut short"),
        ({"entry": 99}, TrailError, "of no entry"),
        ({"entry": 3}, ProofError, "is another"),
        ({"entry": 5}, ProofError, "is not the entry's"),
        ({"header": "0xc0"}, ProofError, "15 fields"),
    ],
)
def test_false_places_are_refused(changes: dict[str, Any], error: type[Exception], reason: str) -> None:
    value, anchors = placed(2)
    value["receipts"][0] |= changes
    with pytest.raises(error, match=reason):
        verify(dump(value), anchors=anchors)


def test_another_transaction_hash_is_refused() -> None:
    value, anchors = placed(2)
    value["entries"][2]["tx"] = "0x" + "99" * 32
    with pytest.raises(ProofError, match="not the one that the entry names"):
        verify(dump(value), anchors=anchors)


def test_a_place_that_the_block_does_not_have_is_refused() -> None:
    value, anchors = placed(2)
    chain = honest()[0]
    receipts, transactions = chain.receipts(3)
    key = oracle.encode(b"\x09")
    value["receipts"][0] |= {
        "index": 9,
        "receipt": ["0x" + node.hex() for node in nodes_of(receipts, key)],
        "transaction": ["0x" + node.hex() for node in nodes_of(transactions, key)],
    }
    with pytest.raises(ProofError, match="has no transaction 9"):
        verify(dump(value), anchors=anchors)


def test_proofs_are_in_order_and_unique() -> None:
    for entries in ((3, 2), (2, 2)):
        value, anchors = placed(*entries)
        with pytest.raises(TrailError, match="not in order"):
            verify(dump(value), anchors=anchors)


def test_entries_of_two_contracts_in_one_block_that_changed_places_are_found_by_their_places() -> None:
    """Without receipt proofs their order within the block is the exporter's word."""
    value, _ = placed()
    first, second = value["entries"][2], value["entries"][3]
    assert first["block"] == second["block"] and first["contract"] != second["contract"]
    value["entries"][2], value["entries"][3] = second | {"log": first["log"]}, first | {"log": second["log"]}
    verify(dump(value), anchors=honest()[2])
    proofs, anchors = placed(2, 3)
    value["receipts"] = [proofs["receipts"][1] | {"entry": 2}, proofs["receipts"][0] | {"entry": 3}]
    with pytest.raises(TrailError, match="entry 3 stands in its block before an earlier entry"):
        verify(dump(value), anchors=anchors)


LOG = [b"\x01" * 20, [b"\x02" * 32], b"data"]


@pytest.mark.parametrize("prefix", [b"", b"\x01", b"\x02", b"\x04", b"\x7e"])
def test_reads_receipts_of_every_type(prefix: bytes) -> None:
    raw = prefix + oracle.encode([b"\x01", b"\x05", bytes(256), [LOG, LOG]])
    assert read_logs(raw) == ((LOG[0], (b"\x02" * 32,), b"data"),) * 2


def test_reads_receipts_with_fields_after_the_logs() -> None:
    assert (
        len(read_logs(b"\x7e" + oracle.encode([b"\x01", b"\x05", bytes(256), [LOG], b"\x07", b"\x01"]))) == 1
    )


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x02",
        b"\x02\x02" + oracle.encode([b"\x01", b"\x05", bytes(256), [LOG]]),
        oracle.encode([b"\x01", b"\x05", bytes(256)]),
        oracle.encode([b"\x01", b"\x05", bytes(256), b"logs"]),
        oracle.encode([b"\x01", b"\x05", bytes(256), [LOG[:2]]]),
        oracle.encode([b"\x01", b"\x05", bytes(256), [[LOG[0], b"", b""]]]),
        oracle.encode([b"\x01", b"\x05", bytes(256), [[LOG[0], [b"\x02"], b""]]]),
        oracle.encode([b"\x01", b"\x05", bytes(256), [b"log"]]),
    ],
)
def test_refuses_what_is_no_receipt(raw: bytes) -> None:
    with pytest.raises(VerificationError):
        read_logs(raw)
