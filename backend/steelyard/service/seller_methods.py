"""The seller's methods of :class:`steelyard.Market`.

Everything that they need is imported when they are called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from steelyard.domain.types import NATIVE, Address, AssetKind, OfferId, PurchaseId, RequestId, Role, Stage
from steelyard.errors import InputError

if TYPE_CHECKING:
    from steelyard.service.context import Context
    from steelyard.service.publish import Upload
    from steelyard.service.results import (
        Delivery,
        KeyHandover,
        KeyRequested,
        Offered,
        Published,
        Purchase,
        Sale,
        Sent,
        VersionKey,
    )
    from steelyard.service.stages import StageMoved, VersionStages

Progress = Callable[[str, int, int], None]
"""Told what is being done (``"hash"``, ``"seal"``, ``"check"``, ``"open"``), bytes done, bytes in all."""

Kind = Literal["model", "dataset"]
ScopeName = Literal["one", "until-end", "all"]


class SellerMethods:
    """Publish, offer, deliver, and what goes with it."""

    _context: Context

    def publish(
        self,
        folder: str | Path,
        *,
        name: str,
        kind: Kind | AssetKind = "model",
        card: str | Path | None = None,
        positions: Sequence[tuple[Address | str, int]] | None = None,
        royalty: int = 0,
        via: str | None = None,
        allow_code: bool = False,
        preview: bool = False,
        progress: Progress | None = None,
    ) -> Published:
        """Seal a folder, store it, and register it as the first version of a new asset.

        Run again after an interruption it goes on where it was, under the same key only if no byte of the
        folder changed.

        Args:
            folder: a folder, or one file.
            name: the asset's name, 1 to 32 of ``a-z 0-9 . _ -``.
            kind: model or dataset.
            card: model card: a file, or the text itself. By default the folder's ``README.md``, else one that
                names the files. Where a model's names no library, the one that its files agree on is added (docs/cards.md).
            positions: who earns: (account or node, basis points) that sum to 10,000. By default the account
                alone.
            royalty: basis points of a resale of the asset, at most 1,000 (ERC-2981).
            via: URL of a service that the sealed folder is uploaded to first (docs/api.md, "Uploads"); plaintext and
                key stay here, and the transaction is sent from here.
            allow_code: take files that run code when they are loaded (docs/formats.md); the manifest says so for ever.
            preview: show in the card, which is public, what is inside the files: tensors, inputs, outputs.
            progress: told how far it is.

        Raises:
            InputError: a bad name, path, royalty or position; nothing was done.
            FormatError: a file is damaged, hostile, or valid as two formats; nothing was done.
            CodeError: a file runs code when it is loaded; nothing was done.
            RefusedError: the account has an asset of this name already: publish a new version of it.
        """
        from steelyard.service.publish import publish

        return publish(
            self._context,
            Path(folder),
            name=name,
            kind=as_kind(kind),
            card=card,
            positions=positions,
            royalty=royalty,
            progress=progress,
            via=_uploader(via, progress),
            allow_code=allow_code,
            preview=preview,
        )

    def new_version(
        self,
        ref: str,
        folder: str | Path,
        *,
        card: str | Path | None = None,
        positions: Sequence[tuple[Address | str, int]] | None = None,
        via: str | None = None,
        allow_code: bool = False,
        preview: bool = False,
        progress: Progress | None = None,
    ) -> Published:
        """Publish a version of an asset that the account owns or maintains; see :meth:`publish`."""
        from steelyard.service.publish import new_version

        return new_version(
            self._context,
            ref,
            Path(folder),
            card=card,
            positions=positions,
            progress=progress,
            via=_uploader(via, progress),
            allow_code=allow_code,
            preview=preview,
        )

    def offer(
        self,
        ref: str,
        *,
        price: int,
        currency: Address | str = NATIVE,
        rental_period: int | None = None,
        renew_until: int = 0,
        scope: ScopeName = "one",
        included_for: int = 0,
        transferable: bool = True,
        revocable: bool = False,
        supply: int = 0,
        allow: Iterable[Address | str] = (),
        deliver_within: int = 86_400,
        window: int = 0,
        bond: int | None = None,
        text: str | Path | None = None,
        salt: int | None = None,
    ) -> Offered:
        """Offer licences of an asset.

        Any of its versions can be bought under the offer, unless it is bound to one: to the version that
        ``ref`` names, or, with a bond, to the newest that was not proved false.

        Args:
            ref: the asset, or the only version to be sold.
            price: smallest units of the currency; 0 is free.
            currency: ERC-20, or zero for the native coin.
            rental_period: seconds of a rental; None for a perpetual licence.
            renew_until: Unix seconds up to which a rental may be renewed; 0 for no renewal.
            scope: which versions a licence covers: ``one``, ``until-end`` or ``all``.
            included_for: seconds in which new versions are included in a perpetual ``until-end`` licence.
            transferable: whether licences may change hands.
            revocable: whether they may be revoked; free ones only.
            supply: how many may be out at once; 0 for no limit.
            allow: who may buy; empty for everybody.
            deliver_within: seconds for the delivery, 1 hour to 30 days.
            window: seconds in which content can be proved false, 1 hour to 30 days; 0 for an atomic sale.
            bond: wei reserved for each open purchase; by default the market's least if there is a window,
                else 0.
            text: the licence: a file, or the text itself; by default a short plain one.
            salt: tells offers of equal terms apart; random if None.
        """
        from steelyard.service.offer import offer

        return offer(
            self._context,
            ref,
            price=price,
            currency=currency,
            rental_period=rental_period,
            renew_until=renew_until,
            scope=scope,
            included_for=included_for,
            transferable=transferable,
            revocable=revocable,
            supply=supply,
            allow=allow,
            deliver_within=deliver_within,
            window=window,
            bond=bond,
            text=text,
            salt=salt,
        )

    def close_offer(self, ref: str, offer: OfferId | str) -> Sent:
        """Close an offer for ever; purchases made under it go on."""
        from steelyard.service.offer import close_offer

        return close_offer(self._context, ref, offer)

    def sales(self, ref: str | None = None, *, open_only: bool = False) -> tuple[Sale, ...]:
        """Return purchases and key requests of one asset, or of all that the account owns, oldest first."""
        from steelyard.service.deliver import sales

        return sales(self._context, ref, open_only=open_only)

    def deliver(self, item: Purchase | Sale | KeyRequested | PurchaseId | RequestId | str) -> Delivery:
        """Deliver the key of a paid purchase or an open key request.

        Only if it is as deep in the chain as the settings demand, with time to spare before the deadline, and
        the version is not proved false. What was delivered before is not sent again.

        Raises:
            UnsafeError: not deep enough yet, too close to the deadline, or the account does not have the
                version's key.
            RefusedError: it was refunded, has lapsed, or was delivered.
        """
        from steelyard.service.deliver import deliver

        return deliver(self._context, item)

    def deliver_pending(self, ref: str | None = None) -> tuple[Delivery, ...]:
        """Deliver everything of one asset, or of all that the account owns, that can be delivered now."""
        from steelyard.service.deliver import deliver_pending

        return deliver_pending(self._context, ref)

    def export_keys(self, ref: str, path: str | Path, *, password: str) -> KeyHandover:
        """Write the keys of an asset's versions to a file, for the account that it is or will be given to.

        Who has file and password can deliver these versions and open their content, for ever; he can neither
        spend nor publish. The account keeps its own keys. Format: docs/key-delivery.md, "Handing keys over".

        Args:
            ref: the asset, for every version whose key the account has; or one version.
            path: file to be made, mode 0600; never overwritten.
            password: at least 12 characters; give it to the new owner another way than the file.

        Raises:
            InputError: the password is too short, or the file cannot be written.
            UnsafeError: the account does not have the key of the version named, or of any.
            RefusedError: the file exists.
        """
        from steelyard.service.handover import export_keys

        return export_keys(self._context, ref, Path(path), password=password)

    def import_keys(self, path: str | Path, *, password: str) -> KeyHandover:
        """Take over the keys in a file, each checked against the chain; all of them or none.

        They are kept below home, encrypted for this account, and from then on :meth:`deliver` and ``steelyard
        serve`` use them. They cannot be rebuilt from the seed: keep the file.

        Raises:
            InputError: no file of version keys, damaged, of another format, or of another chain or
                deployment.
            SealError: the password is wrong, or the file was altered.
            NotFoundError: the asset or a version is not on the chain.
            WrongKeyError: a key is not that of its version.
            ConfigError: the market has no home folder.
        """
        from steelyard.service.handover import import_keys

        return import_keys(self._context, Path(path), password=password)

    def version_keys(self, ref: str | None = None) -> tuple[VersionKey, ...]:
        """Return which versions the account has keys of: of one asset, or of all that it has a hand in."""
        from steelyard.service.handover import version_keys

        return version_keys(self._context, ref)

    def fund_bond(self, amount: int, *, seller: Address | str | None = None) -> Sent:
        """Set wei aside as bond, the account's own unless ``seller`` is given."""
        from steelyard.service.books import fund_bond

        return fund_bond(self._context, amount, seller=seller)

    def take_bond(self, amount: int) -> Sent:
        """Move free bond to the account's balance in the treasury."""
        from steelyard.service.books import take_bond

        return take_bond(self._context, amount)

    def revoke(self, licence: Purchase | PurchaseId | str) -> Sent:
        """End a free licence whose terms allow it."""
        from steelyard.service.rights import revoke

        return revoke(self._context, licence)

    def transfer_asset(self, ref: str, to: Address | str) -> Sent:
        """Give an asset to another account: ends roles and open offers, moves no income and no key."""
        from steelyard.service.rights import transfer_asset

        return transfer_asset(self._context, ref, to)

    def move_stage(self, ref: str, to: Stage | str, *, reason: str) -> StageMoved:
        """Move a version to another stage of its life: docs/stages.md.

        Stops or allows new sales; nothing that was sold changes. ``retired`` is final.

        Args:
            ref: the version, such as ``alice/digits@2``.
            to: ``draft``, ``validated``, ``released``, ``deprecated`` or ``retired``.
            reason: why, for everybody to read: 1 to 256 bytes in UTF-8.

        Raises:
            InputError: no version is named, there is no such stage, or the reason is too long or missing.
            RefusedError: it is in that stage already or retired, or the account neither owns nor maintains the asset.
        """
        from steelyard.service.stages import move_stage

        return move_stage(self._context, ref, to, reason)

    def stages(self, ref: str) -> VersionStages:
        """Return the stage of a version, the newest on sale if none is named, and how it came there. Needs no account."""
        from steelyard.service.stages import stages

        return stages(self._context, ref)

    def set_role(self, ref: str, account: Address | str, role: Role | str, granted: bool = True) -> Sent:
        """Lend a role (``maintainer``, ``seller``) of an asset to an account, or take it back."""
        from steelyard.service.rights import set_role

        return set_role(self._context, ref, account, role, granted=granted)


def _uploader(url: str | None, progress: Progress | None) -> Upload | None:
    if url is None:
        return None
    from steelyard.service.remote import uploader

    return uploader(url, progress=progress)


def as_kind(kind: Kind | AssetKind) -> AssetKind:
    """Return the kind of an asset.

    Raises:
        InputError: it is neither ``model`` nor ``dataset``.
    """
    if isinstance(kind, AssetKind):
        return kind
    names = {item.name.lower(): item for item in AssetKind}
    if kind not in names:
        raise InputError(f"{kind!r} is no kind of asset: {', '.join(names)}")
    return names[kind]
