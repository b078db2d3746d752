"""Undoing blocks that were replaced: their entries go, and what they were about is folded again from the entries that remain.

There is no journal, so no depth at which this ends. The work grows with the number of entries of the assets that are touched, not
with the size of the index.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from steelyard.domain.hash import keccak256
from steelyard.indexer.batch import Batch
from steelyard.indexer.database import Reader, Writer
from steelyard.indexer.entries import KIND_OF, Entry, row_digest
from steelyard.indexer.fold import fold
from steelyard.indexer.known import (
    OF_CHANNEL,
    OF_METERED,
    OF_NODE,
    OF_OFFER,
    OF_PURCHASE,
    OF_REQUEST,
    OF_VERSION,
    Known,
)
from steelyard.indexer.schema import SHIFT
from steelyard.indexer.store import write_entities

_COLUMNS: Final = "pos, time, kind, subject, id, actor, tx, tx_index, data"
_OF_ASSET: Final = frozenset(KIND_OF[name] for name in ("AssetRegistered", "AssetTransferred", "RoleSet"))
_AGAIN: Final = _OF_ASSET | OF_VERSION | OF_METERED | OF_CHANNEL
"""Kinds that are always folded again: an asset has few entries about itself and its versions, and owner, epoch and numbers must be
right at each; and one about metered use can be about many channels."""
_CHUNK: Final = 2000


def undo(writer: Writer, known: Known, block: int) -> int:
    """Make the index what it was at a block; what is known is forgotten.

    Args:
        writer: a transaction.
        known: what the fold knows.
        block: the last block that stays; -1 for none.

    Returns:
        How many entries were undone.
    """
    known.forget()
    limit = block + 1 << SHIFT
    touched: dict[bytes, set[bytes]] = {}
    lost: dict[str, set[bytes]] = {name: set() for name in ("offers", "purchases", "requests")}
    count = 0
    for kind, subject, id_ in writer.rows("SELECT kind, subject, id FROM events WHERE pos >= ?", (limit,)):
        count += 1
        touched.setdefault(subject, set()).add(id_)
        for table, kinds in (("offers", OF_OFFER), ("purchases", OF_PURCHASE), ("requests", OF_REQUEST)):
            if kind in kinds:
                lost[table].add(id_)
    for table in ("events", "parties", "payments"):
        writer.execute(f"DELETE FROM {table} WHERE pos >= ?", (limit,))
    writer.execute("DELETE FROM blocks WHERE number > ?", (block,))
    for table, ids in lost.items():
        writer.many(f"DELETE FROM {table} WHERE id = ?", [(id_,) for id_ in ids])
    writer.many("DELETE FROM holdings WHERE licence = ?", [(id_,) for id_ in lost["purchases"]])
    for subject, ids in sorted(touched.items()):
        if subject[0] & 0x80:
            writer.execute("DELETE FROM moves WHERE node = ? AND pos >= ?", (subject, limit))
        else:
            writer.execute("DELETE FROM assets WHERE id = ?", (subject,))
            writer.execute("DELETE FROM roles WHERE asset = ?", (subject,))
            for table in ("versions", "metered_offers", "channels"):
                writer.execute(f"DELETE FROM {table} WHERE asset = ?", (subject,))
        writer.execute("DELETE FROM heads WHERE subject = ?", (subject,))
        _fold_again(writer, known, subject, ids)
    return count


def _fold_again(writer: Writer, known: Known, subject: bytes, ids: set[bytes]) -> None:
    heads: dict[bytes, tuple[bytes, int]] = {}
    for chunk in _chunks(entries_of(writer, subject)):
        for entry in chunk:
            contract = known.addresses[entry.kind]
            before = heads[contract][0] if contract in heads else bytes(32)
            heads[contract] = (keccak256(before + entry.digest), entry.pos)
        again = [entry for entry in chunk if entry.kind in _AGAIN or entry.id in ids]
        if again and again[0].kind not in OF_NODE:
            batch = Batch()
            known.load(writer, again)
            fold(known, again, batch=batch, only_entities=True)
            write_entities(writer, known, batch)
            known.written()
    writer.insert("heads", [(contract, subject, *head) for contract, head in sorted(heads.items())])
    # Loaded for the old heads' sake, or before the new ones were there.
    known.heads.clear()


def entries_of(reader: Reader, subject: bytes | None = None) -> Iterator[Entry]:
    """Yield the entries of a subject, or all, in the order of the chain."""
    where, params = ("", ()) if subject is None else (" WHERE subject = ?", (subject,))
    yield from _entries(reader, where, params)


def entries_between(reader: Reader, first: int, last: int) -> list[Entry]:
    """Return the entries in blocks ``first`` to ``last``, both included."""
    return list(_entries(reader, " WHERE pos >= ? AND pos < ?", (first << SHIFT, last + 1 << SHIFT)))


def _entries(reader: Reader, where: str, params: Sequence[object]) -> Iterator[Entry]:
    for row in reader.each(f"SELECT {_COLUMNS} FROM events{where} ORDER BY pos", params):
        pos, time, kind, about, id_, actor, tx, tx_index, data = row
        digest = row_digest((pos, time, kind, about, id_, actor, data))
        yield Entry(pos, time, kind, about, id_, actor, tx, tx_index, data, digest)


def _chunks(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    chunk: list[Entry] = []
    for entry in entries:
        chunk.append(entry)
        if len(chunk) >= _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
