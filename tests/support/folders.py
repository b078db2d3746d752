"""Directories as blocks, for tests that need one without a store."""

from __future__ import annotations

from collections.abc import Iterable

from steelyard.storage.dagpb import Link
from steelyard.storage.directories import directory_blocks
from steelyard.storage.unixfs import Block


def directory_block(links: Iterable[Link]) -> Block:
    """Return the root of a directory."""
    *_, root = directory_blocks(links)
    return root
