"""A seller without a chain: what sealing, and opening what was sealed, needs of a market."""

from __future__ import annotations

from pathlib import Path

from steelyard.domain.node import Node
from steelyard.domain.types import AssetId, Position, account_word
from steelyard.market import Market
from steelyard.service.sealing import SealedVersion, seal_folder
from steelyard.storage.base import Store
from tests.unit.api.writing import account, deployment
from tests.unit.chain.fake import FakeTransport

ASSET = AssetId(b"\x05" * 32)
SELLER = account()
NODE = Node(salt=ASSET, positions=(Position(account_word(SELLER.address), 10_000),))


def market(store: Store, home: Path) -> Market:
    """Return a market of an account that is the same each time."""
    return Market(
        FakeTransport(),  # type: ignore[arg-type]  # Rpc takes either
        deployment=deployment(),
        store=store,
        account=SELLER,
        home=home,
    )


def seal(seller: Market, folder: Path, **options: object) -> SealedVersion:
    """Seal a folder."""
    given = {"asset": ASSET, "label": "m", "node": NODE, "card": "# m\n", "progress": None, **options}
    return seal_folder(seller.context, folder, **given)  # type: ignore[arg-type]
