"""The acts that can be prepared, with their arguments: what ``POST /v1/tx/{act}`` reads (docs/api.md, "Transactions").

Ids and bytes are ``0x`` and hexadecimal, amounts decimal text of smallest units, times seconds. Whatever names an account is an address;
whatever names an asset a reference.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from steelyard.domain.types import NATIVE

_NATIVE: Final = "0x" + NATIVE.hex()


class Act(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"sender": "from"}):
    """What every act has: ``from``, the account that will sign."""

    sender: str


class Commitments(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All commitments of a version but its asset, as ``POST /v1/uploads/{id}/complete`` answers them, and the key's.

    ``key`` is x and y, 64 bytes; ``folder``, ``content_root`` and ``node`` are 32 bytes; ``size`` is in bytes.
    """

    folder: str
    content_root: str
    size: int
    key: str
    node: str
    scheme: int = 1


class KeyOwned(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Signature by the key behind ``Commitments.key`` over version and publisher: docs/key-delivery.md."""

    v: int
    r: str
    s: str


class Signature(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A signed permit: its last moment in Unix seconds, and ``r || s || v``, 65 bytes."""

    deadline: int
    signature: str


class Register(Act, frozen=True, kw_only=True):
    """Register an asset with its first version. ``royalty`` in basis points."""

    name: str
    version: Commitments
    proof: KeyOwned
    kind: str = "model"
    royalty: int = 0


class PublishVersion(Act, frozen=True, kw_only=True):
    """Publish a further version."""

    asset: str
    version: Commitments
    proof: KeyOwned


class MakeOffer(Act, frozen=True, kw_only=True):
    """Offer an asset; arguments as for ``Market.offer``. ``text`` is the licence itself."""

    asset: str
    price: str
    currency: str = _NATIVE
    rental_period: int | None = None
    renew_until: int = 0
    scope: str = "one"
    included_for: int = 0
    transferable: bool = True
    revocable: bool = False
    supply: int = 0
    allow: tuple[str, ...] = ()
    deliver_within: int = 86_400
    window: int = 0
    bond: str | None = None
    text: str | None = None
    salt: str | None = None


class CloseOffer(Act, frozen=True, kw_only=True):
    """Close an offer for ever."""

    asset: str
    offer: str


class Buy(Act, frozen=True, kw_only=True):
    """Pay for a version. ``key`` is the buyer's point Q, 64 bytes; its scalar stays with his client, as does ``salt`` (32 bytes)."""

    asset: str
    key: str
    salt: str
    max_price: str
    offer: str | None = None
    rental: bool | None = None
    allow: tuple[str, ...] = ()
    permit: Signature | None = None


class Renew(Act, frozen=True, kw_only=True):
    """Prolong a rental by its period."""

    purchase: str
    max_price: str


class RequestKey(Act, frozen=True, kw_only=True):
    """Ask for the key of a version that a licence covers. ``key`` is a fresh point Q, ``fee`` in wei, ``within`` in seconds."""

    licence: str
    key: str
    version: str | None = None
    fee: str = "0"
    within: int = 86_400


class ReturnFee(Act, frozen=True, kw_only=True):
    """Take the fee of a lapsed key request back."""

    request: str


class OfPurchase(Act, frozen=True, kw_only=True):
    """Settle or refund a purchase."""

    purchase: str


class Revoke(Act, frozen=True, kw_only=True):
    """End a free licence."""

    licence: str


class TransferAsset(Act, frozen=True, kw_only=True):
    """Give an asset away."""

    asset: str
    to: str


class TransferLicence(Act, frozen=True, kw_only=True):
    """Give a licence away."""

    licence: str
    to: str


class MoveStage(Act, frozen=True, kw_only=True):
    """Move a version to another stage of its life: ``version`` with @ and its number, ``reason`` of 1 to 256 bytes."""

    version: str
    stage: str
    reason: str


class SetRole(Act, frozen=True, kw_only=True):
    """Lend a role or take it back."""

    asset: str
    account: str
    role: str
    granted: bool = True


class Claim(Act, frozen=True, kw_only=True):
    """Claim what the revenue nodes of an asset owe to the account; in every currency if none is named."""

    asset: str
    currency: str | None = None


class Withdraw(Act, frozen=True, kw_only=True):
    """Take money out of the books; all of it if no amount is named."""

    amount: str | None = None
    currency: str = _NATIVE
    to: str | None = None


class FundBond(Act, frozen=True, kw_only=True):
    """Set wei aside as bond; of another seller if one is named."""

    amount: str
    seller: str | None = None


class WithdrawBond(Act, frozen=True, kw_only=True):
    """Move free bond to the account's balance in the books."""

    amount: str
