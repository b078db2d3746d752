"""Whether an index is what its own entries make: everything folded anew beside it, and compared."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from steelyard.chain.deployment import Deployment
from steelyard.errors import DatabaseError
from steelyard.indexer.content import content_hash
from steelyard.indexer.database import Database, open_database
from steelyard.indexer.fold import fold
from steelyard.indexer.follow import Cursor, cursor_of
from steelyard.indexer.known import Known
from steelyard.indexer.store import write_entities, write_entries
from steelyard.indexer.undo import entries_of

_CHUNK: Final = 5000


@dataclass(frozen=True, kw_only=True)
class Checked:
    """An index that is intact: the block that it is complete to, how many entries it has, and its content hash."""

    at: Cursor | None
    entries: int
    content_hash: bytes


def check(database: Database, deployment: Deployment) -> Checked:
    """Look at every page, fold all entries again into an empty database, and compare the two.

    Heads, payments, holdings and all other tables must come out as they are. That the entries themselves are the contracts' is what
    the follower proves.

    Raises:
        DatabaseError: it is damaged; says what to do.
        TrailError: its entries cannot have happened.
    """
    database.check(full=True)
    known = Known(deployment.trails)
    count = 0
    with TemporaryDirectory(prefix="steelyard-index-") as folder, database.read() as reader:
        at, found = cursor_of(reader), content_hash(reader)
        beside = open_database(Path(folder) / "index.sqlite")
        try:
            entries = entries_of(reader)
            while part := list(islice(entries, _CHUNK)):
                count += len(part)
                with beside.write() as writer:
                    known.load(writer, part)
                    batch = fold(known, part)
                    write_entities(writer, known, batch)
                    write_entries(writer, batch)
                known.written()
            with beside.read() as again:
                expected = content_hash(again)
        finally:
            beside.close()
    if expected != found:
        raise DatabaseError(
            f"{database.name} is not what its entries make: run 'steelyard index --from-scratch'; it is built again from the chain"
        )
    return Checked(at=at, entries=count, content_hash=found)
