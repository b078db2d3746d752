"""Revenue nodes whose positions are known, because a public folder shows them and they hash to the node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from steelyard.domain.types import BASIS, Address, account_word
from steelyard.indexer.database import Reader
from steelyard.indexer.schema import amount_of
from steelyard.query.answers import Part
from steelyard.query.fields import KIND_OF, Fields

_POSITIONS: Final = 'SELECT n."index", n.payee, n.weight FROM positions n WHERE n.node = ? ORDER BY n."index"'
_MOVES: Final = (
    'SELECT m."index", m.holder FROM moves m WHERE m.node = ? AND m.pos <= ? ORDER BY m."index", m.pos'
)
# Moves are rare, so all are looked through.
_OF: Final = (
    "SELECT n.node FROM positions n WHERE n.payee = ? UNION SELECT m.node FROM moves m WHERE m.holder = ?"
)
_INCOME: Final = "SELECT y.currency, y.amount FROM payments y WHERE y.payee = ?"
_CLAIMED: Final = "SELECT e.currency, e.amount, e.data FROM events e WHERE e.subject = ? AND e.kind = ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """One position of a node as it stood at a place: whose, and how many basis points."""

    index: int
    payee: bytes
    weight: int


def positions(reader: Reader, node: bytes, pos: int) -> tuple[Position, ...]:
    """Return the positions of a node after the entry at a place; none where they are not known."""
    rows = reader.rows(_POSITIONS, (node,))
    if not rows:
        return ()
    moved: dict[int, bytes] = {
        index: account_word(holder) for index, holder in reader.rows(_MOVES, (node, pos))
    }
    return tuple(
        Position(index=index, payee=moved.get(index) or payee, weight=weight) for index, payee, weight in rows
    )


def parts(reader: Reader, node: bytes, amount: int, pos: int) -> tuple[Part, ...]:
    """Return what each position has of an income at a place; none where the positions are not known."""
    return tuple(
        Part(index=item.index, payee=item.payee, weight=item.weight, amount=amount * item.weight // BASIS)
        for item in positions(reader, node, pos)
    )


def nodes_of(reader: Reader, account: Address) -> tuple[bytes, ...]:
    """Return the nodes in which an account has or had a position, as far as they are known, in ascending order."""
    rows = reader.rows(_OF, (account_word(account), account))
    return tuple(sorted(row[0] for row in rows))


def due(reader: Reader, node: bytes, account: Address) -> dict[Address, int]:
    """Return what an account's positions in a node could claim now, by currency; ``Treasury.claim``, with its rounding."""
    held = [item for item in positions(reader, node, 1 << 53) if item.payee == account_word(account)]
    if not held:
        return {}
    received: dict[Address, int] = {}
    for currency, amount in reader.each(_INCOME, (node,)):
        received[currency] = received.get(currency, 0) + amount_of(amount)
    paid: dict[tuple[int, Address], int] = {}
    for currency, amount, data in reader.each(_CLAIMED, (node, KIND_OF["Claimed"])):
        index = Fields(KIND_OF["Claimed"], data)["index"]
        assert isinstance(index, int)
        paid[index, currency] = paid.get((index, currency), 0) + amount_of(amount)
    found: dict[Address, int] = {}
    for currency, total in received.items():
        owed = sum(total * item.weight // BASIS - paid.get((item.index, currency), 0) for item in held)
        if owed:
            found[currency] = owed
    return found
