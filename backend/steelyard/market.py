"""The client of the market: one object, one method for each thing that a seller, a buyer or an auditor does.

Amounts are whole numbers of the smallest unit (wei), times and periods seconds, ids 32 bytes. A reference
(``ref``) is text, see :mod:`steelyard.domain.ref`: ``alice/digits``, ``0xabc.../digits@2``,
``eip155:1/0x.../0x...``. Nothing here prints, asks or exits.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

from steelyard.domain.types import Address, AssetKind, OfferId, PurchaseId, RequestId
from steelyard.service.book_methods import BookMethods
from steelyard.service.metered_methods import MeteredMethods
from steelyard.service.seller_methods import Kind, Progress, SellerMethods, as_kind

if TYPE_CHECKING:
    from steelyard.chain.deployment import Deployment
    from steelyard.config import Config
    from steelyard.query.audit import Audit
    from steelyard.service.account import Account
    from steelyard.service.context import Context, Settings
    from steelyard.service.results import (
        AssetInfo,
        KeyRequested,
        OfferInfo,
        Purchase,
        Quote,
        Sent,
        Verified,
    )
    from steelyard.storage.base import Store

_WAIT = 600.0
"""Seconds that ``buy`` waits for the delivery."""


class Market(SellerMethods, MeteredMethods, BookMethods):
    """One market on one chain, for one account or none.

    Safe to use from several threads; close it, or use ``with``.
    """

    def __init__(
        self,
        rpc_url: str,
        *,
        deployment: Deployment,
        store: Store,
        account: Account | None = None,
        home: Path | None = None,
        aliases: Mapping[str, Address] | None = None,
        settings: Settings | None = None,
        database: str | Path | None = None,
    ) -> None:
        """Remember where everything is; nothing is asked or sent yet.

        Args:
            rpc_url: an Ethereum node, ``http://`` or ``https://``; not used offline.
            deployment: chain id and addresses of the contracts.
            store: where public folders are kept and fetched.
            account: who acts; None for reading only.
            home: folder of this account's journals and imported version keys; all but these can be rebuilt.
                None for a temporary one.
            aliases: names for creators' addresses.
            settings: depth, margins and threads; cautious defaults if None.
            database: the index, a file or ``postgresql://...``; ``index.sqlite`` in ``home`` if None.
        """
        from steelyard.chain.rpc import Rpc
        from steelyard.chain.transport import NoTransport
        from steelyard.service.context import Context, Settings
        from steelyard.service.opening import INDEX_FILE

        chosen = settings or Settings()
        self._context = Context(
            rpc=Rpc(
                NoTransport() if chosen.offline else rpc_url,
                chain_id=deployment.chain_id,
                timeout=chosen.timeout,
                pause=chosen.pause,
            ),
            deployment=deployment,
            store=store,
            account=account,
            home=home,
            aliases=dict(aliases or {}),
            settings=chosen,
        )
        self._database = database
        if database is None and home is not None:
            self._database = home / INDEX_FILE
        self._audit: Audit | None = None

    @classmethod
    def open(
        cls,
        config: Config | None = None,
        *,
        account: Account | None = None,
        aliases: Mapping[str, Address] | None = None,
    ) -> Market:
        """Return the market of a configuration, or of the one found in the usual places.

        Args:
            config: the settings; those of the environment and the files if None.
            account: who acts; None for reading only.
            aliases: names for creators' addresses; those of the settings if None.

        Raises:
            ConfigError: a setting is missing or malformed.
            InputError: an alias stands for no address.
        """
        from steelyard.chain.hexdata import parse_address
        from steelyard.config import load
        from steelyard.service.context import Settings
        from steelyard.service.opening import (
            endpoint,
            find_deployment,
            find_index,
            market_folder,
            open_store,
        )

        config = config or load()
        deployment = find_deployment(config)
        if aliases is None:
            aliases = {name: parse_address(text) for name, text in config.aliases.items()}
        return cls(
            "" if config.offline else endpoint(config),
            deployment=deployment,
            store=open_store(config),
            account=account,
            home=market_folder(config, deployment),
            aliases=aliases,
            settings=Settings(
                depth=config.depth,
                margin=config.reveal_margin,
                timeout=float(config.timeout),
                max_fee=config.max_fee,
                offline=config.offline,
            ),
            database=find_index(config, deployment),
        )

    def dry_run(self) -> Market:
        """Return a market whose methods do everything but send: results have ``tx=None`` and estimated gas.

        What the contracts would refuse is refused in a dry run too.
        """
        other = copy.copy(self)
        other._context = self._context.dry_run()
        return other

    # -- buyer -----------------------------------------------------------------------------------------------

    def list(self, *, query: str = "", kind: Kind | AssetKind | None = None) -> tuple[AssetInfo, ...]:
        """Return the market's assets, oldest first, without manifests; ``query`` is in name or creator."""
        from steelyard.service.catalogue import list_assets

        return list_assets(self._context, query=query, kind=None if kind is None else as_kind(kind))

    def info(self, ref: str, *, fetch: bool = True) -> AssetInfo:
        """Return an asset with its versions and offers.

        Args:
            ref: the asset.
            fetch: get manifests, cards and licence texts from the store too, as far as it has them.
        """
        from steelyard.service.catalogue import info

        return info(self._context, ref, fetch=fetch)

    def offers(self, ref: str, *, open_only: bool = True) -> tuple[OfferInfo, ...]:
        """Return the offers of an asset, oldest first."""
        from steelyard.service.catalogue import offers

        return offers(self._context, ref, open_only=open_only)

    def verify(self, ref: str | Purchase, *, progress: Progress | None = None) -> Verified:
        """Fetch the public folder of a version and check it against the chain, without any key.

        Raises:
            VerificationError: it is not what the version is committed to.
            NotFoundError: the store does not have all of it.
        """
        from steelyard.service.verify import verify

        return verify(self._context, ref, progress=progress)

    def quote(
        self,
        ref: str,
        *,
        offer: OfferId | str | None = None,
        rental: bool | None = None,
        allow: Iterable[Address | str] = (),
        verify: bool = False,
    ) -> Quote:
        """Return what buying would cost now, with what the buyer should know first. Changes nothing.

        Args:
            ref: the asset or version; if it names no version, the one that the offer is bound to, or the
                newest that can be bought.
            offer: the offer; the cheapest open one of the version that lets the account in if None.
            rental: True for rentals only, False for perpetual licences only.
            allow: the offer's allow-list, as the seller gave it, if it has one that names more than this
                account.
            verify: check the public folder too.
        """
        from steelyard.service.purchase import quote

        return quote(self._context, ref, offer=offer, rental=rental, allow=allow, verify=verify)

    def buy(
        self,
        ref: str,
        *,
        offer: OfferId | str | None = None,
        max_price: int | None = None,
        rental: bool | None = False,
        allow: Iterable[Address | str] = (),
        wait: bool | float = True,
        progress: Progress | None = None,
    ) -> Purchase:
        """Check a version and its offer, pay into escrow, and wait for the key.

        Args:
            ref: the asset or version; if it names no version, the one that the offer is bound to, or the
                newest that can be bought.
            offer: the offer; the cheapest open one of the version that lets the account in if None.
            max_price: most that may be paid, smallest units of the offer's currency.
            rental: True for rentals only, False for perpetual licences only, None for either.
            allow: the offer's allow-list, as the seller gave it, if it has one that names more than this
                account.
            wait: whether, or for how many seconds, to wait for the delivery. Not delivered by then is no
                error.
            progress: told how far the check is.

        Raises:
            UnsafeError: the folder is missing or wrong, the version was proved false, or the terms are not
                safe. Nothing was paid.
            RefusedError: no open offer, above ``max_price``, sold out, or not enough money.
        """
        from steelyard.service.purchase import buy

        made = buy(
            self._context,
            ref,
            offer=offer,
            rental=rental,
            max_price=max_price,
            allow=allow,
            progress=progress,
        )
        if wait is False or made.tx is None:
            return self._mine(made)
        found = self.wait(made, timeout=_WAIT if wait is True else wait)
        return replace(found, tx=made.tx, gas_used=made.gas_used, fee_wei=made.fee_wei, block=made.block)

    def rent(
        self,
        ref: str,
        *,
        offer: OfferId | str | None = None,
        max_price: int | None = None,
        allow: Iterable[Address | str] = (),
        wait: bool | float = True,
        progress: Progress | None = None,
    ) -> Purchase:
        """Buy a rental; see :meth:`buy`."""
        return self.buy(
            ref, offer=offer, max_price=max_price, rental=True, allow=allow, wait=wait, progress=progress
        )

    def renew(self, purchase: Purchase | PurchaseId | str, *, max_price: int | None = None) -> Purchase:
        """Prolong a valid rental by its period, at its own price."""
        from steelyard.service.purchase import renew

        return self._mine(renew(self._context, purchase, max_price=max_price))

    def purchases(self, ref: str | None = None) -> tuple[Purchase, ...]:
        """Return the purchases and licences of the account, those it received included, oldest first."""
        from steelyard.service.purchase import purchases

        return tuple(self._mine(item) for item in purchases(self._context, ref))

    def purchase(self, purchase: Purchase | PurchaseId | str) -> Purchase:
        """Return a purchase of whoever, as it stands now."""
        from steelyard.service.purchase import look

        return self._mine(look(self._context, purchase))

    def wait(self, purchase: Purchase | PurchaseId | str, *, timeout: float = 600.0) -> Purchase:
        """Wait at most ``timeout`` seconds while a purchase is only paid; return it as it stands then."""
        from steelyard.service.purchase import wait

        return self._mine(wait(self._context, purchase, timeout=timeout))

    def pull(
        self,
        what: str | Purchase | PurchaseId,
        dest: str | Path | None = None,
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        allow_code: bool = False,
        progress: Progress | None = None,
    ) -> Path:
        """Fetch, decrypt and check a version that the account has the key of, and return the folder it is in.

        The files appear at once, complete and checked, or not at all. Called again after an interruption it goes on where
        it was. A file that a version pulled before has too, by the digest in the sealed manifest, is not fetched again.

        Args:
            what: a version, or a purchase.
            dest: folder to be made; by default one below ``home``, whose files are read-only and shared between
                versions. An existing one is only accepted if it holds this version.
            include: patterns of paths to write; all if empty. Only their chunks are fetched.
            exclude: patterns of paths to leave out.
            allow_code: take also files that run code when they are loaded without having been declared so.
            progress: told how far it is.

        Raises:
            RefusedError: no key of this version was delivered to the account: buy it, or ask for the key.
            LeafError: the seller committed to something else than he sold: call :meth:`dispute`.
            VerificationError: the store returned wrong bytes.
            CodeError: a file runs code when it is loaded, or is two things at once, and was not declared so.
            NotFoundError: the store does not have all of it; offline, it was not pulled before.
        """
        from steelyard.service.pull import pull

        target = None if dest is None else Path(dest)
        return pull(
            self._context,
            what,
            target,
            include=include,
            exclude=exclude,
            allow_code=allow_code,
            progress=progress,
        )

    def open_file(self, what: str | Purchase | PurchaseId, path: str) -> BinaryIO:
        """Open one file of a version that the account has the key of, for reading any part of it.

        Only the chunks that are read are fetched (1 MiB each), and each is checked before a byte of it is handed on. They are
        what the folder's digest on chain commits to, and what the content root does if the version was verified or bought on
        this machine before. A version that was pulled is read from the disk.

        Args:
            what: a version, or a purchase.
            path: of the file, as the manifest has it.

        Returns:
            A seekable binary file object for one thread.

        Raises:
            NotFoundError: there is no such file.
            RefusedError: no key of this version was delivered to the account.
            VerificationError: while reading: a chunk is not what it should be.
        """
        from steelyard.service.ranges import open_file

        return open_file(self._context, what, path)

    def read_range(
        self, what: str | Purchase | PurchaseId, path: str, start: int = 0, stop: int | None = None
    ) -> bytes:
        """Return bytes ``start`` to ``stop`` (the end if None) of one file; fewer at its end. See :meth:`open_file`.

        Raises:
            InputError: that is no range.
        """
        from steelyard.service.ranges import read_range

        return read_range(self._context, what, path, start=start, stop=stop)

    def refund(self, purchase: Purchase | PurchaseId | str) -> Purchase:
        """Take back price and bond: not delivered in time, or proved false before it was settled."""
        from steelyard.service.purchase import refund

        return self._mine(refund(self._context, purchase))

    def settle(self, purchase: Purchase | PurchaseId | str) -> Purchase:
        """Turn the price into revenue after the content window. Anybody may."""
        from steelyard.service.purchase import settle

        return self._mine(settle(self._context, purchase))

    def dispute(self, purchase: Purchase | PurchaseId | str, *, progress: Progress | None = None) -> Purchase:
        """Look for a leaf that is not what was committed, prove it to the contract, and get the money back.

        If the price was paid in a token that cannot be moved now, the version is flagged all the same, a
        warning says so, and the purchase stays delivered: take the refund later.

        Raises:
            RefusedError: every leaf is right, the content window has passed, or the version is flagged
                already.
            UnavailableError: the endpoint does not show the proof of the delivery.
        """
        from steelyard.service.dispute import dispute

        return self._mine(dispute(self._context, purchase, progress=progress))

    def request_key(
        self,
        licence: Purchase | PurchaseId | str,
        version: str | int | None = None,
        *,
        fee: int = 0,
        within: int = 86_400,
    ) -> KeyRequested:
        """Ask for the key of a version that a valid licence covers: a new one, or the first after a transfer.

        Args:
            licence: the licence.
            version: reference or number; the newest that is covered if None.
            fee: wei for whoever delivers.
            within: seconds in which it must be delivered, 1 hour to 30 days.
        """
        from steelyard.service.keyrequest import request_key

        return request_key(self._context, licence, version, fee=fee, within=within)

    def requests(self, ref: str | None = None) -> tuple[KeyRequested, ...]:
        """Return the account's key requests, oldest first."""
        from steelyard.service.keyrequest import requests

        return requests(self._context, ref)

    def return_fee(self, request: KeyRequested | RequestId | str) -> Sent:
        """Take back the fee of a key request that was not answered in time, or has lapsed."""
        from steelyard.service.keyrequest import return_fee

        return return_fee(self._context, request)

    def transfer_licence(self, licence: Purchase | PurchaseId | str, to: Address | str) -> Sent:
        """Give a settled, transferable licence to another account."""
        from steelyard.service.rights import transfer_licence

        return transfer_licence(self._context, licence, to)

    # -- auditor ---------------------------------------------------------------------------------------------

    @property
    def audit(self) -> Audit:
        """Questions on the index of this market, docs/audit.md.

        Answers say up to which block they are complete.

        The index is kept by ``steelyard index`` or ``steelyard serve``; nothing here writes it.

        Raises:
            DatabaseError: there is no index yet, it cannot be read, or it is of another market.
        """
        if self._audit is None:
            from steelyard.service.opening import open_audit

            self._audit = open_audit(self._database, self._context.deployment)
        return self._audit

    # -- private ---------------------------------------------------------------------------------------------

    @property
    def context(self) -> Context:
        """What the use cases work on; for the package itself."""
        return self._context

    def _mine(self, purchase: Purchase) -> Purchase:
        """Return a purchase whose methods act through this market."""
        return replace(purchase, market=self)

    def close(self) -> None:
        """Let go of connections."""
        if self._audit is not None:
            self._audit.close()
        self._context.close()

    def __enter__(self) -> Self:
        """Return the market itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()


__all__ = ["Market", "Progress"]
