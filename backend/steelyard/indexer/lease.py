"""The right to write the index: one holder at a time, taken and renewed in the very transaction that writes.

Who lost it cannot commit: in SQLite there is one transaction at a time, in PostgreSQL the row stays locked until the end.
"""

from __future__ import annotations

import secrets
from typing import Final

from steelyard.errors import LeaseError
from steelyard.indexer.database import Writer

SECONDS: Final = 5.0
"""How long a lease lasts after it was last renewed."""
_NAME: Final = "index"


class Lease:
    """One process's claim on the lease."""

    def __init__(self, *, holder: str | None = None, seconds: float = SECONDS) -> None:
        """Make a claim; nothing is taken yet.

        Args:
            holder: name of this claim, unlike any other; a random one if None.
            seconds: how long it lasts after it was last renewed.
        """
        self.holder = holder or secrets.token_hex(8)
        self.seconds = seconds

    def hold(self, writer: Writer) -> bool:
        """Take or renew the lease, first thing in a transaction.

        Returns:
            Whether somebody else, or nobody, held it before: what was known of the database may be out of date.

        Raises:
            LeaseError: somebody else holds it.
        """
        now = writer.now()
        lock = " FOR UPDATE" if writer.dialect == "postgres" else ""
        found = writer.row(f"SELECT holder, until FROM lease WHERE name = ?{lock}", (_NAME,))
        if found is not None and found[0] != self.holder and found[1] > now * 1000:
            raise LeaseError("another process keeps this index up to date")
        until = int((now + self.seconds) * 1000)
        # Two that find no row meet at its key; the later one waits, and finds itself not the holder.
        writer.execute(
            "INSERT INTO lease (name, holder, until) VALUES (?, ?, ?)"
            " ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until"
            " WHERE lease.holder = excluded.holder OR lease.until <= ?",
            (_NAME, self.holder, until, int(now * 1000)),
        )
        if writer.row("SELECT holder FROM lease WHERE name = ?", (_NAME,)) != (self.holder,):
            raise LeaseError("another process keeps this index up to date")
        return found is None or found[0] != self.holder

    def release(self, writer: Writer) -> None:
        """Give the lease back, if it is held, so that another one need not wait."""
        writer.execute("DELETE FROM lease WHERE name = ? AND holder = ?", (_NAME, self.holder))
