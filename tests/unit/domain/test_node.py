from __future__ import annotations

import pytest

from steelyard.domain.node import Node, parse
from steelyard.domain.types import NodeId, Position, account_word
from steelyard.errors import DigestError, ManifestError

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
        (b'"salt"', b'"sale"'),
        (b"0x01", b"0X01"),
        (b"{", b" {"),
    ],
)
def test_a_malformed_file_is_refused(old: bytes, new: bytes) -> None:
    with pytest.raises(ManifestError):
        parse(NODE.to_bytes().replace(old, new, 1), expected=NODE.id)
