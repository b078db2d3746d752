"""Block headers: the hash is of the raw bytes, and later forks' fields are kept."""

from __future__ import annotations

import pytest

from steelyard.domain.hash import keccak256
from steelyard.domain.header import encode_fields, parse
from steelyard.domain.rlp import encode
from steelyard.errors import ProofError

FIELDS = [
    *(bytes([n]) * 32 for n in range(1, 3)),
    bytes(20),
    *(bytes([n]) * 32 for n in range(4, 7)),
    bytes(256),
    *(b"", b"\x01\x02", b"\x03", b"", b"\x65\x00\x00\x00", b"extra", bytes(32), bytes(8)),
]


@pytest.mark.parametrize("further", [0, 1, 2, 5, 6, 9])
def test_reads_headers_of_every_fork_and_of_forks_to_come(further: int) -> None:
    fields = (*FIELDS, *(bytes([n]) for n in range(further)))
    header = parse(encode(fields))
    assert header.hash == keccak256(encode(fields))
    assert (header.number, header.timestamp) == (0x102, 0x65000000)
    assert (header.parent_hash, header.state_root) == (FIELDS[0], FIELDS[3])
    assert (header.transactions_root, header.receipts_root) == (FIELDS[4], FIELDS[5])
    assert header.fields == fields


def test_refuses_fewer_than_15_fields() -> None:
    with pytest.raises(ProofError, match="15 fields"):
        parse(encode(tuple(FIELDS[:14])))


@pytest.mark.parametrize(
    ("index", "value"),
    [
        (0, bytes(31)),
        (3, b""),
        (4, bytes(33)),
        (5, b"\x01"),
        (8, b"\x00\x01"),
        (11, b"\x00"),
        (12, ()),
        (8, b"\1" * 33),
    ],
)
def test_refuses_fields_of_the_wrong_form(index: int, value: object) -> None:
    fields: list[object] = list(FIELDS)
    fields[index] = value
    with pytest.raises(ProofError):
        parse(encode(tuple(fields)))  # type: ignore[arg-type]


def test_refuses_bytes_after_the_header() -> None:
    with pytest.raises(ProofError, match="follow"):
        parse(encode(tuple(FIELDS)) + b"\x00")


NAMED = {
    **dict.fromkeys(
        ("parentHash", "sha3Uncles", "stateRoot", "transactionsRoot", "receiptsRoot", "mixHash"),
        "0x" + "01" * 32,
    ),
    "miner": "0x" + "02" * 20,
    "logsBloom": "0x" + "00" * 256,
    "nonce": "0x" + "00" * 8,
    "extraData": "0x",
    **dict.fromkeys(("difficulty", "number", "gasLimit", "gasUsed", "timestamp"), "0x10"),
}


def test_a_header_is_rebuilt_from_its_fields() -> None:
    assert parse(encode_fields(NAMED)).number == 16


@pytest.mark.parametrize("name", ["number", "stateRoot"])
@pytest.mark.parametrize("value", [None, 5, "", "10", "0xzz", "0x" + "0" * (1 << 20)])
def test_a_field_is_missing_or_malformed(name: str, value: object) -> None:
    with pytest.raises(ProofError, match=f"the field {name} "):
        encode_fields({**NAMED, name: value})
