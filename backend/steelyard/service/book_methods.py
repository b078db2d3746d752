"""The methods of :class:`steelyard.Market` about money and the trail.

What they need is imported when they are called.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from steelyard.domain.types import NATIVE, Address

if TYPE_CHECKING:
    from steelyard.domain.events import TrailEvent
    from steelyard.domain.records import AssetState
    from steelyard.service.context import Context
    from steelyard.service.results import Balance, Income, Sent, Withdrawn


class BookMethods:
    """Balances, claims and withdrawals; trails and bundles."""

    _context: Context

    def balance(self, currency: Address | str = NATIVE, *, account: Address | str | None = None) -> Balance:
        """Return what an account has in one currency: in wallet and books, owed by nodes, and as bond."""
        from steelyard.service.books import balance

        return balance(self._context, currency, account=account)

    def income(self, ref: str | None = None, *, account: Address | str | None = None) -> tuple[Income, ...]:
        """Return what revenue nodes owe to an account, or with ``ref`` to all positions of its nodes."""
        from steelyard.service.books import income

        return income(self._context, ref, account=account)

    def claim(self, ref: str | None = None) -> tuple[Sent, ...]:
        """Claim everything that revenue nodes owe to the account, of one asset or of all."""
        from steelyard.service.books import claim

        return claim(self._context, ref)

    def withdraw(
        self,
        amount: int | None = None,
        *,
        currency: Address | str = NATIVE,
        to: Address | str | None = None,
        claim: bool = True,
        ref: str | None = None,
    ) -> Withdrawn:
        """Take money out of the books.

        Args:
            amount: smallest units; all if None.
            currency: ERC-20, or zero for the native coin.
            to: where it goes; the account itself if None.
            claim: first claim what revenue nodes owe in this currency.
            ref: claim from the nodes of this asset only.
        """
        from steelyard.service.books import withdraw

        return withdraw(self._context, amount, currency=currency, to=to, claim_first=claim, text=ref)

    # -- audit -----------------------------------------------------------------------------------------------

    def trail(self, ref: str) -> tuple[TrailEvent, ...]:
        """Return the complete history of an asset and its nodes, verified against the heads on the chain.

        Raises:
            TrailError: the node hid, added or altered an entry.
        """
        from steelyard.service.trail import trail

        return trail(self._context, ref)

    def export(
        self,
        ref: str,
        path: str | Path,
        *,
        format: Literal["bundle", "csv", "jsonl", "prov"] = "bundle",
        proofs: bool = False,
    ) -> Path:
        """Write the verified history of an asset to a file.

        Args:
            ref: the asset.
            path: the file.
            format: what to write.
            proofs: write the bundle beside another format, as ``<path>.bundle.json``; only with it can the file
                be verified (``steelyard audit verify``).
        """
        from steelyard.service.trail import export

        return export(self._context, ref, Path(path), format=format, proofs=proofs)

    def verify_bundle(self, path: str | Path, *, block_hash: bytes | None = None) -> AssetState:
        """Verify a bundle against this market's chain id and Directory, offline if ``block_hash`` is given.

        Args:
            path: the file.
            block_hash: of the block that it must be complete to; asked of the node if None.
        """
        from steelyard.service.trail import verify_bundle

        return verify_bundle(self._context, Path(path), block_hash=block_hash)
