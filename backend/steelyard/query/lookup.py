"""Small things that are looked up by what people call them."""

from __future__ import annotations

from steelyard.domain.types import AssetId, VersionId
from steelyard.errors import NotFoundError
from steelyard.indexer.database import Reader

_NUMBER = "SELECT v.id FROM versions v WHERE v.asset = ? AND v.number = ?"
_LATEST = "SELECT v.id FROM versions v WHERE v.asset = ? ORDER BY v.number DESC LIMIT 1"
_TEXT = (
    "SELECT c.text FROM versions v JOIN cards c ON c.folder = v.folder WHERE v.asset = ? AND c.state = 1"
    " ORDER BY v.number DESC LIMIT 1"
)


def version_named(reader: Reader, asset: AssetId, number: int | None) -> VersionId:
    """Return the id of an asset's version by its number, from 1; of the newest one if None.

    Raises:
        NotFoundError: there is none, as far as the index is.
    """
    row = reader.row(_LATEST, (asset,)) if number is None else reader.row(_NUMBER, (asset, number))
    if row is None:
        which = "no version" if number is None else f"no version {number}"
        raise NotFoundError(f"asset 0x{asset.hex()} has {which}, as far as the index is")
    return VersionId(row[0])


def card_text(reader: Reader, asset: AssetId) -> str:
    """Return the Markdown of the card of the newest version that the store has a card of.

    Raises:
        NotFoundError: there is none yet.
    """
    row = reader.row(_TEXT, (asset,))
    if row is None:
        raise NotFoundError("the store had no card of a version of this asset yet")
    return str(row[0] or "")
