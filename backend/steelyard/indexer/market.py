"""Which market an index is of: written into it once, compared whenever it is opened to be written."""

from __future__ import annotations

from steelyard.chain.deployment import Deployment
from steelyard.errors import DatabaseError
from steelyard.indexer.database import Database


def names_of(deployment: Deployment) -> dict[str, str]:
    """Return what ``meta`` says of a market, by name; addresses as ``0x`` and hexadecimal."""
    return {
        "chain_id": str(deployment.chain_id),
        "directory": "0x" + deployment.directory.hex(),
        "assets": "0x" + deployment.assets.hex(),
        "market": "0x" + deployment.market.hex(),
        "treasury": "0x" + deployment.treasury.hex(),
        "channels": "" if deployment.channels is None else "0x" + deployment.channels.hex(),
        "start_block": str(deployment.start_block),
    }


def claim(database: Database, deployment: Deployment) -> None:
    """Make a new index that of this market, or see that it is.

    Raises:
        DatabaseError: it is of another chain or market; says what to do.
    """
    with database.write() as writer:
        if writer.row("SELECT 1 FROM meta WHERE name = 'chain_id'") is None:
            writer.insert("meta", sorted(names_of(deployment).items()))
    require(database, deployment)


def require(database: Database, deployment: Deployment) -> None:
    """See that an index is that of this market.

    Raises:
        DatabaseError: it is of another chain or market; says what to do.
    """
    with database.read() as reader:
        found: dict[str, str] = dict(reader.rows("SELECT name, value FROM meta"))
    for name, value in names_of(deployment).items():
        if found.get(name) != value:
            raise DatabaseError(
                f"{database.name} is the index of another market ({name} {found.get(name)}, and this one has {value}): name "
                "another database, or run 'steelyard index --from-scratch'"
            )
