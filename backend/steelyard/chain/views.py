"""Typed reads of the market's state. Every view reads one block, so several answers belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from steelyard.chain.calls import call_data
from steelyard.chain.deployment import Deployment
from steelyard.chain.rpc import BlockId, Rpc
from steelyard.domain.abi import Value, decode
from steelyard.domain.types import (
    KEY_REQUEST,
    NATIVE,
    ORDER,
    POSITION,
    TERMS,
    VERSION,
    Address,
    AssetId,
    AssetKind,
    KeyRequest,
    NodeId,
    OfferId,
    Order,
    Position,
    PurchaseId,
    RequestId,
    RequestState,
    Role,
    Scope,
    Stage,
    State,
    Terms,
    Version,
    VersionId,
)
from steelyard.errors import ChainError, RevertError, VerificationError

_PERPETUAL, _TRANSFERABLE, _REVOCABLE, _SCOPE_SHIFT = 1, 2, 4, 4


@dataclass(frozen=True, kw_only=True)
class AssetInfo:
    """``IAssets.info``: who registered an asset, its kind, ``royalty`` in basis points, and its counters."""

    creator: Address
    kind: AssetKind
    royalty: int
    epoch: int
    versions: int


@dataclass(frozen=True, kw_only=True)
class Release:
    """``IAssets.release``: when a version was published (Unix seconds) and its number, or zeros."""

    published_at: int
    number: int


@dataclass(frozen=True, kw_only=True)
class OfferState:
    """``IOffers.offers``.

    ``opened_at`` in Unix seconds, 0 if there is no such offer; ``epoch`` is the asset's then.
    """

    opened_at: int
    epoch: int
    sold: int
    closed: bool


@dataclass(frozen=True, kw_only=True)
class Licence:
    """``ILicences.Licence``: a purchase, later a licence; all zero if there is none.

    Attributes:
        holder: buyer, later the holder of the token.
        until: Unix seconds, inclusive: end of a rental or of the versions included; 0 before delivery or if
            perpetual.
        due: Unix seconds, inclusive: last moment of delivery while paid, of the content window from delivery
            on.
        state: where it stands.
        perpetual: whether it never ends.
        transferable: whether it may change hands.
        revocable: whether it may be revoked.
        scope: which versions it covers.
        asset: id of its asset.
    """

    holder: Address
    until: int
    due: int
    state: State
    perpetual: bool
    transferable: bool
    revocable: bool
    scope: Scope
    asset: AssetId


@dataclass(frozen=True, kw_only=True)
class RequestRecord:
    """``IKeyRequests.requests``: ``fee`` in wei, ``due`` in Unix seconds."""

    fee: int
    due: int
    state: RequestState


class Views:
    """Reads one market at one block.

    Every method raises RevertError if the contract does, ChainError if the endpoint fails, and
    VerificationError if the answer is not what the contract's ABI says, so probably of another contract.
    """

    def __init__(self, rpc: Rpc, deployment: Deployment, *, block: BlockId = "latest") -> None:
        """Remember whom to ask about what.

        Args:
            rpc: endpoint.
            deployment: the market.
            block: state to read; a number or hash makes several answers belong to one moment.

        Raises:
            ChainError: the endpoint is for another chain than the deployment.
        """
        if rpc.chain_id != deployment.chain_id:
            raise ChainError(
                f"the deployment is on chain {deployment.chain_id}, the endpoint on {rpc.chain_id}"
            )
        self._rpc = rpc
        self._at = deployment
        self.block = block

    def at(self, block: BlockId) -> Views:
        """Return the same market at another block."""
        return Views(self._rpc, self._at, block=block)

    # -- assets ----------------------------------------------------------------------------------------------

    def owner_of(self, asset: AssetId) -> Address | None:
        """Return an asset's owner, or None if there is no such asset."""
        return self._token_owner("Assets", asset)

    def info(self, asset: AssetId) -> AssetInfo:
        """Return creator, kind, royalty and counters; reverts with ``Assets_NoAsset`` if there is none."""
        values = self._ask(
            "Assets", "assetInfo(bytes32)", ("address", "uint8", "uint16", "uint32", "uint32"), asset
        )
        creator, kind, royalty, epoch, versions = values
        return AssetInfo(
            creator=_address(creator),
            kind=AssetKind(_within(kind, len(AssetKind))),
            royalty=_int(royalty),
            epoch=_int(epoch),
            versions=_int(versions),
        )

    def may(self, asset: AssetId, account: Address, role: Role) -> bool:
        """Return whether an account may act in a role for an asset that exists."""
        return self._bool("Assets", "may(bytes32,address,uint8)", asset, account, int(role))

    def key_used(self, x: int) -> bool:
        """Return whether an abscissa was used in a key commitment."""
        return self._bool("Assets", "keyUsed(uint256)", x)

    def release(self, version: VersionId) -> Release:
        """Return when a version was published and its number."""
        published_at, number = self._ask("Assets", "release(bytes32)", ("uint40", "uint32"), version)
        return Release(published_at=_int(published_at), number=_int(number))

    def stage(self, version: VersionId) -> Stage:
        """Return the stage that a version is in; ``Stage.NONE`` if it was not published."""
        return Stage(_within(self._int("Assets", "stageOf(bytes32)", "uint8", version), len(Stage)))

    def sale_state(self, asset: AssetId, version: VersionId) -> tuple[int, int]:
        """Return the asset's epoch, and when the version was published (Unix seconds, 0 if it was not)."""
        epoch, published_at = self._ask(
            "Assets", "saleState(bytes32,bytes32)", ("uint32", "uint40"), asset, version
        )
        return _int(epoch), _int(published_at)

    def asset_of(self, creator: Address, name: bytes) -> AssetId:
        """Return the contract's id of an asset; ``name`` is the 32-byte word."""
        return AssetId(self._word("Assets", "assetOf(address,bytes32)", creator, name))

    def version_of(self, version: Version) -> VersionId:
        """Return the contract's id of a version."""
        return VersionId(self._word("Assets", f"versionOf({VERSION})", version.abi()))

    # -- market ----------------------------------------------------------------------------------------------

    def min_bond(self) -> int:
        """Return the least bond of an offer with a content window, wei."""
        return self._int("Market", "minBond()", "uint128")

    def offer(self, offer: OfferId) -> OfferState:
        """Return what is stored about an offer."""
        kinds = ("uint40", "uint32", "uint32", "bool")
        opened_at, epoch, sold, closed = self._ask("Market", "offers(bytes32)", kinds, offer)
        return OfferState(
            opened_at=_int(opened_at), epoch=_int(epoch), sold=_int(sold), closed=closed is True
        )

    def offer_of(self, asset: AssetId, terms: Terms) -> OfferId:
        """Return the contract's id of an offer."""
        return OfferId(self._word("Market", f"offerOf(bytes32,{TERMS})", asset, terms.abi()))

    def ids_of(self, order: Order) -> tuple[VersionId, OfferId, PurchaseId]:
        """Return the contract's ids of an order: version, offer, purchase."""
        version, offer, purchase = self._ask("Market", f"idsOf({ORDER})", ("bytes32",) * 3, order.abi())
        return VersionId(_bytes(version)), OfferId(_bytes(offer)), PurchaseId(_bytes(purchase))

    def licence(self, licence: PurchaseId) -> Licence:
        """Return the record of a purchase or licence; all zero if there is none."""
        kind = "(address,uint40,uint40,uint8,uint8,bytes32)"
        (record,) = self._ask("Market", "licenceOf(uint256)", (kind,), _number(licence))
        if not isinstance(record, tuple):
            raise VerificationError("licenceOf did not answer with a record")
        holder, until, due, state, flags, asset = record
        bits = _int(flags)
        return Licence(
            holder=_address(holder),
            until=_int(until),
            due=_int(due),
            state=State(_within(state, len(State))),
            perpetual=bool(bits & _PERPETUAL),
            transferable=bool(bits & _TRANSFERABLE),
            revocable=bool(bits & _REVOCABLE),
            scope=Scope(_within(bits >> _SCOPE_SHIFT, len(Scope))),
            asset=AssetId(_bytes(asset)),
        )

    def licence_owner(self, licence: PurchaseId) -> Address | None:
        """Return the holder of a delivered licence's token, or None if there is no token."""
        return self._token_owner("Market", licence)

    def licences_held(self, account: Address) -> int:
        """Return how many licence tokens an account holds, ended ones included."""
        return self._int("Market", "balanceOf(address)", "uint256", account)

    def is_valid(self, licence: PurchaseId) -> bool:
        """Return whether a licence was delivered and has not ended, been refunded or revoked."""
        return self._bool("Market", "isValid(uint256)", _number(licence))

    def covers(
        self,
        licence: PurchaseId,
        *,
        asset: AssetId,
        version: VersionId,
        published_at: int,
        origin: tuple[bytes, bytes] = (bytes(32), bytes(32)),
    ) -> bool:
        """Return whether a valid licence covers a version.

        Args:
            licence: its id.
            asset: the version's asset.
            version: the version.
            published_at: Unix seconds, :meth:`release`.
            origin: (offer id, ``Order.rest``) of the licence's purchase; only read where its scope is one
                version.
        """
        signature = "covers(uint256,bytes32,bytes32,uint40,bytes32[2])"
        return self._bool("Market", signature, _number(licence), asset, version, published_at, origin)

    def flagged(self, version: VersionId) -> bool:
        """Return whether a version was proved false."""
        return self._bool("Market", "flagged(bytes32)", version)

    def free_bond(self, seller: Address) -> int:
        """Return wei of a seller's bond that no open purchase reserves."""
        return self._int("Market", "freeBond(address)", "uint256", seller)

    def request(self, request: RequestId) -> RequestRecord:
        """Return what is stored about a key request."""
        fee, due, state = self._ask("Market", "requests(bytes32)", ("uint128", "uint40", "uint8"), request)
        stands = RequestState(_within(state, len(RequestState)))
        return RequestRecord(fee=_int(fee), due=_int(due), state=stands)

    def request_of(self, request: KeyRequest) -> RequestId:
        """Return the contract's id of a key request."""
        return RequestId(self._word("Market", f"requestOf({KEY_REQUEST})", request.abi()))

    # -- treasury --------------------------------------------------------------------------------------------

    def balance(self, payee: bytes, currency: Address = NATIVE) -> int:
        """Return what an account may withdraw, or all that a node ever received; ``payee`` is a word."""
        return self._int("Treasury", "balanceOf(bytes32,address)", "uint256", payee, currency)

    def paid(self, node: NodeId, index: int, currency: Address = NATIVE) -> int:
        """Return what a position has been paid so far."""
        return self._int("Treasury", "paid(bytes32,uint256,address)", "uint256", node, index, currency)

    def holder(self, node: NodeId, index: int) -> Address | None:
        """Return the account that a position was moved to, or None if it never was."""
        (account,) = self._ask("Treasury", "holder(bytes32,uint256)", ("address",), node, index)
        return None if account == bytes(20) else _address(account)

    def node_of(self, salt: bytes, positions: Sequence[Position]) -> NodeId:
        """Return the contract's name of a revenue node; reverts if the positions are not valid."""
        values = tuple((position.payee, position.weight) for position in positions)
        return NodeId(self._word("Treasury", f"nodeOf(bytes32,{POSITION}[])", salt, values))

    # -- trail and directory ---------------------------------------------------------------------------------

    def head(self, contract: str, subject: bytes) -> bytes:
        """Return the head of a subject's history.

        Args:
            contract: ``Treasury``, ``Assets``, ``Market`` or ``Directory``.
            subject: 32-byte word.
        """
        return self._word(contract, "head(bytes32)", subject)

    def listed(self) -> tuple[Address, ...]:
        """Return all contracts of the directory, in order."""
        (items,) = self._ask("Directory", "all()", ("address[]",))
        return tuple(_address(item) for item in items) if isinstance(items, tuple) else ()

    def curator(self) -> Address | None:
        """Return who may list contracts in the directory, or None if nobody may any more."""
        (account,) = self._ask("Directory", "owner()", ("address",))
        return None if account == bytes(20) else _address(account)

    def pending_curator(self) -> Address | None:
        """Return who may take the curatorship over, or None."""
        (account,) = self._ask("Directory", "pendingOwner()", ("address",))
        return None if account == bytes(20) else _address(account)

    # -- one call --------------------------------------------------------------------------------------------

    def _ask(self, contract: str, signature: str, kinds: Sequence[str], *values: Value) -> tuple[Value, ...]:
        to = self._at.contracts[contract].address
        data = self._rpc.eth_call(to, call_data(signature, *values), block=self.block)
        try:
            return decode(kinds, data)
        except VerificationError as exc:
            hint = "there is no contract" if not data else "another contract seems to lie"
            raise VerificationError(f"0x{to.hex()} does not answer as {contract}: {hint} there") from exc

    def _word(self, contract: str, signature: str, *values: Value) -> bytes:
        return _bytes(self._ask(contract, signature, ("bytes32",), *values)[0])

    def _int(self, contract: str, signature: str, kind: str, *values: Value) -> int:
        return _int(self._ask(contract, signature, (kind,), *values)[0])

    def _bool(self, contract: str, signature: str, *values: Value) -> bool:
        return self._ask(contract, signature, ("bool",), *values)[0] is True

    def _token_owner(self, contract: str, token: bytes) -> Address | None:
        try:
            return _address(self._ask(contract, "ownerOf(uint256)", ("address",), _number(token))[0])
        except RevertError as exc:
            if exc.name == "ERC721NonexistentToken":
                return None
            raise


def _number(word: bytes) -> int:
    return int.from_bytes(word, "big")


def _int(value: Value) -> int:
    if isinstance(value, int):
        return value
    raise VerificationError("a number was expected")


def _bytes(value: Value) -> bytes:
    if isinstance(value, bytes):
        return value
    raise VerificationError("bytes were expected")


def _address(value: Value) -> Address:
    return Address(_bytes(value))


def _within(value: Value, count: int) -> int:
    """Return a number that names one of ``count`` choices."""
    number = _int(value)
    if number >= count:
        raise VerificationError(f"{number} names none of {count} choices")
    return number
