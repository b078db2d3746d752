"""What all parts of the fold share: roles, kinds of payments, and how an entry becomes rows of parties and payments."""

from __future__ import annotations

from typing import Final, TypeAlias

from steelyard.errors import TrailError
from steelyard.indexer.batch import Batch
from steelyard.indexer.entries import KIND_OF, KINDS, Entry
from steelyard.indexer.known import Known, Row
from steelyard.indexer.schema import PAYMENTS, ROLES

ACTOR, OWNER, SELLER, BUYER, HOLDER, PAYEE, PAYER, GRANTEE, PUBLISHER = range(len(ROLES))
ESCROW, INCOME, REFUND, BOND, FEE, ANSWER, RETURNED, DIRECT, CLAIM = range(len(PAYMENTS))

NATIVE: Final = bytes(20)
NONE: Final = bytes(32)
LEFT: Final = bytes(12)
"""What stands before an account in a word."""
ZERO: Final = bytes(16)
"""An amount of nothing."""

About: TypeAlias = tuple[bytes | None, bytes | None, bytes | None]
"""Version that an entry is about, and the first money that it moved: amount and currency."""
NOTHING: Final[About] = (None, None, None)


class Folding:
    """A fold under way."""

    def __init__(self, known: Known, batch: Batch) -> None:
        """Fold onto what is known, into a batch."""
        self._known = known
        self._batch = batch
        self._market_word = LEFT + known.addresses[KIND_OF["Purchased"]]
        self._channels_word = LEFT + known.addresses[KIND_OF["ChannelOpened"]]
        # Contracts that act are nobody's party.
        self._nobody = {self._market_word[12:], self._channels_word[12:]}

    def _asset(self, entry: Entry) -> Row:
        asset = self._known.assets.rows.get(entry.subject)
        if asset is None:
            raise wrong(entry, "the asset was never registered")
        return asset

    def _parties(self, entry: Entry, role: int, *accounts: bytes) -> None:
        # One account can be both sides.
        self._batch.parties.extend((entry.pos, role, account) for account in dict.fromkeys(accounts))

    def _pay(
        self,
        entry: Entry,
        part: int,
        kind: int,
        version: bytes | None,
        licence: bytes | None,
        payer: bytes,
        payee: bytes,
        currency: bytes,
        amount: bytes,
    ) -> None:
        asset: bytes | None = entry.subject
        if entry.subject[0] & 0x80:
            named = self._known.node_assets.get(entry.subject, ())
            asset = next(iter(named)) if len(named) == 1 else None
        self._batch.payments.append(
            (entry.pos, part, kind, asset, version, licence, payer, payee, currency, amount, entry.time)
        )


def wrong(entry: Entry, why: str) -> TrailError:
    """Return the error for an entry that the contracts would not have made."""
    return TrailError(
        f"{KINDS[entry.kind].name} of 0x{entry.id.hex()} in block {entry.pos >> 20} cannot have happened: {why}; the history is "
        "incomplete"
    )
