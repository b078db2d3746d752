"""Public folders as sellers make them, for tests of cards."""

from __future__ import annotations

import io

from steelyard.domain.manifest import SourceFile, build
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
    manifest: bytes = b"{}",
) -> bytes:
    """Store a folder with a card, a node file and a manifest, and return the digest that the chain would have."""
    entries = {"manifest.json": io.BytesIO(manifest)}
    if card is not None:
        entries["README.md"] = io.BytesIO(card)
    if node is not None:
        node_file = Node(salt=node[0], positions=node[1]).to_bytes()
    if node_file is not None:
        entries["node.json"] = io.BytesIO(node_file)
    return digest_of(store.add_directory(entries))


def manifest_of(*formats: str) -> bytes:
    """Return the manifest of files with these formats."""
    files = [
        SourceFile(path=f"{place}.bin", size=7, format=name, role="weights", sha256=bytes(32))
        for place, name in enumerate(formats)
    ]
    return build(files, key_salt=bytes(32))[0].to_bytes()
