"""From which block on the index has what one endpoint alone said; kept in ``meta``, so that it outlives the process."""

from __future__ import annotations

from typing import Final

from steelyard.indexer.database import Reader, Writer
from steelyard.indexer.store import Sink

_NAME: Final = "unconfirmed"


def first_of(reader: Reader) -> int | None:
    """Return the first block that no second endpoint has confirmed, or None."""
    row = reader.row("SELECT value FROM meta WHERE name = ?", (_NAME,))
    return None if row is None else int(row[0])


def mark(sink: Sink, block: int) -> None:
    """Note that from this block on nobody has confirmed, if that was not so before."""
    sink.many(
        "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", [(_NAME, str(block))]
    )


def confirm(writer: Writer, block: int, *, is_all: bool) -> None:
    """Note that everything up to a block is confirmed, and whether that is all there is."""
    if is_all:
        writer.execute("DELETE FROM meta WHERE name = ?", (_NAME,))
    else:
        writer.execute("UPDATE meta SET value = ? WHERE name = ?", (str(block + 1), _NAME))


def clear(writer: Writer, *, above: int) -> None:
    """Forget it if all that is not confirmed lies above a block and is undone."""
    first = first_of(writer)
    if first is not None and first > above:
        writer.execute("DELETE FROM meta WHERE name = ?", (_NAME,))
