"""Public folders as sellers make them, for tests of cards."""

from __future__ import annotations

import io

from steelyard.domain.node import Node
from steelyard.domain.types import Position
from steelyard.storage.base import Store
from steelyard.storage.cid import digest_of


def add_folder(
    store: Store,
    card: bytes | None,
    *,
    node: tuple[bytes, tuple[Position, ...]] | None = None,
    node_file: bytes | None = None,
) -> bytes:
    """Store a folder with a card and a node file, and return the digest that the chain would have."""
    entries = {"manifest.json": io.BytesIO(b"{}")}
    if card is not None:
        entries["README.md"] = io.BytesIO(card)
    if node is not None:
        node_file = Node(salt=node[0], positions=node[1]).to_bytes()
    if node_file is not None:
        entries["node.json"] = io.BytesIO(node_file)
    return digest_of(store.add_directory(entries))
