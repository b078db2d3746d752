"""Rows that entries make, before they are written."""

from __future__ import annotations

from typing import Any

from steelyard.indexer.known import Row


class Batch:
    """Rows that some entries make, apart from those of entities, which :class:`Known` has."""

    def __init__(self) -> None:
        """Start empty."""
        self.events: list[tuple[Any, ...]] = []
        self.parties: list[tuple[int, int, bytes]] = []
        self.payments: list[tuple[Any, ...]] = []
        self.moves: list[tuple[Any, ...]] = []
        self.holdings: dict[bytes, list[Row]] = {}
        """New holdings by licence, oldest first."""
        self.ended: dict[bytes, int] = {}
        """Time at which the holding ended that the database has as a licence's present one."""
        self.granted: dict[tuple[bytes, int, bytes, int], bool] = {}
        """Roles granted and taken back, by key."""
        self.cleared: set[bytes] = set()
        """Assets whose roles in the database ended."""
        self.heads: dict[tuple[bytes, bytes], tuple[bytes, int]] = {}
        """New heads with the place of the last entry, by contract and subject."""
