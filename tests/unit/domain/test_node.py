from __future__ import annotations

import pytest

from steelyard.domain.canonical import encode
from steelyard.domain.node import Node, parse
from steelyard.domain.types import NodeId, Position, account_word, node_id
from steelyard.errors import DigestError, InputError, ManifestError

NODE = Node(
    salt=b"\x01" * 32,
    positions=(Position(account_word(b"\xaa" * 20), 7000), Position(b"\x80" + b"\x02" * 31, 3000)),  # type: ignore[arg-type]
)


def test_a_node_is_read_back() -> None:
    assert parse(NODE.to_bytes(), expected=NODE.id) == NODE


def test_another_nodes_file_is_refused() -> None:
    with pytest.raises(DigestError):
        parse(NODE.to_bytes(), expected=NodeId(b"\x80" + bytes(31)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"node/v1", b"node/v2"),
        (b"7000", b"6999"),
        (b"7000", b"0"),
        (b"7000", b"true"),
        (b"7000", b'"7000"'),
        (b"7000", b"10001"),
        (b"7000", b'7000,"x":0'),
        (b"}]", b"},0]"),
        (b"}]", b"}" + b",{}" * 31 + b"]"),
        (b'"salt"', b'"sale"'),
        (b"0x01", b"0X01"),
        (b"{", b" {"),
    ],
)
def test_a_malformed_file_is_refused(old: bytes, new: bytes) -> None:
    with pytest.raises(ManifestError):
        parse(NODE.to_bytes().replace(old, new, 1), expected=NODE.id)


def test_positions_are_a_list() -> None:
    with pytest.raises(ManifestError, match="no list"):
        parse(
            encode({"format": "steelyard/node/v1", "positions": 5, "salt": "0x" + "00" * 32}), expected=None
        )


@pytest.mark.parametrize(
    "positions",
    [
        [],
        [Position(bytes(32), 9999)],
        [Position(bytes(31), 10_000)],
        [Position(bytes(32), 10_000), Position(bytes(32), 0)],
        [Position(bytes(32), 10_001), Position(bytes(32), -1)],
        [Position(bytes(32), 303)] * 33 + [Position(bytes(32), 1)],
    ],
)
def test_what_is_no_node(positions: list[Position]) -> None:
    with pytest.raises(InputError):
        node_id(bytes(32), tuple(positions))
