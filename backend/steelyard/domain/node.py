"""The file ``node.json`` of a public folder: the positions behind the version's revenue node.

The chain holds the node's name only, a hash; whoever claims brings salt and positions along. Canonical JSON::

    {"format":"steelyard/node/v1","positions":[{"payee":"0x<64 hex>","weight":10000}],"salt":"0x<64 hex>"}
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from steelyard.domain.canonical import decode, encode
from steelyard.domain.types import NodeId, Position, node_id
from steelyard.errors import DigestError, InputError, ManifestError

FORMAT: Final = "steelyard/node/v1"
MAX_BYTES: Final = 8192
"""Most bytes of the file: 32 positions need less than half."""

_WORD: Final = re.compile(r"0x[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Node:
    """A revenue node with its positions; ``salt`` is 32 bytes."""

    salt: bytes
    positions: tuple[Position, ...]

    @property
    def id(self) -> NodeId:
        """Its name.

        Raises:
            InputError: the positions are no valid node.
        """
        return node_id(self.salt, self.positions)

    def to_bytes(self) -> bytes:
        """Return the file."""
        positions = [{"payee": "0x" + item.payee.hex(), "weight": item.weight} for item in self.positions]
        return encode({"format": FORMAT, "positions": positions, "salt": "0x" + self.salt.hex()})


def parse(data: bytes, *, expected: NodeId | None) -> Node:
    """Read the file from an untrusted source.

    Args:
        data: its bytes.
        expected: the node that the version is committed to; None before there is a version.

    Raises:
        ManifestError: it is not such a file.
        DigestError: it is another node's.
    """
    top = decode(data)
    if not isinstance(top, dict) or set(top) != {"format", "positions", "salt"} or top["format"] != FORMAT:
        raise ManifestError(f"node.json is not {FORMAT}")
    items = top["positions"]
    if not isinstance(items, list) or len(items) > 32:
        raise ManifestError("node.json has no list of at most 32 positions")
    node = Node(salt=_word(top["salt"]), positions=tuple(_position(item) for item in items))
    try:
        found = node.id
    except InputError as exc:
        raise ManifestError(f"node.json: {exc}") from exc
    if expected is not None and found != expected:
        raise DigestError(
            f"node.json is of node 0x{found.hex()}, and the version earns for 0x{expected.hex()}"
        )
    return node


def _position(item: object) -> Position:
    if not isinstance(item, dict) or set(item) != {"payee", "weight"}:
        raise ManifestError("a position in node.json has a payee and a weight")
    weight = item["weight"]
    if not isinstance(weight, int) or not 0 < weight <= 10_000:
        raise ManifestError("a weight in node.json is 1 to 10,000")
    return Position(_word(item["payee"]), weight)


def _word(value: object) -> bytes:
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        raise ManifestError("node.json: a word is 0x and 64 lower-case hexadecimal digits")
    return bytes.fromhex(value[2:])
