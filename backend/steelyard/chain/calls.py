"""Call data of everything that changes the market's state, built without a node and without signing.

Signatures are those of ``contracts/interfaces``; a test compares every one with the compiled ABI.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from steelyard.chain.deployment import Deployment
from steelyard.domain.abi import Value, encode, selector, split_types
from steelyard.domain.types import (
    KEY_REQUEST,
    NATIVE,
    ORDER,
    POINT,
    POSITION,
    TERMS,
    VERSION,
    Address,
    AssetId,
    AssetKind,
    KeyRequest,
    Order,
    Position,
    PurchaseId,
    Role,
    Stage,
    Terms,
    Version,
    VersionId,
)

KEY_PROOF = "(uint8,bytes32,bytes32)"
PROOF = f"(address,{POINT},uint256,{POINT},uint256)"
PERMIT = "(uint256,uint256,uint8,bytes32,bytes32)"
FRAUD = f"({POINT},{PROOF},{POINT},{PROOF},uint64,bytes,bytes32,bytes32[])"


class PointLike(Protocol):
    """An affine point: ``domain.types.Point`` or ``crypto.curve.Point``."""

    @property
    def x(self) -> int:
        """Abscissa."""
        ...

    @property
    def y(self) -> int:
        """Ordinate."""
        ...


class ProofLike(Protocol):
    """A proof of equal logarithms, as ``crypto.dleq.Proof`` has it; docs/key-delivery.md."""

    @property
    def a1(self) -> bytes:
        """20 bytes."""
        ...

    @property
    def a2(self) -> PointLike:
        """Point A2."""
        ...

    @property
    def s(self) -> int:
        """Response."""
        ...

    @property
    def cy(self) -> PointLike:
        """Hint c*Y."""
        ...

    @property
    def inverse(self) -> int:
        """Hint (cY.x - A2.x)^-1 mod p."""
        ...


@dataclass(frozen=True)
class KeyProof:
    """Signature by the key scalar behind a version's key commitment: ``IAssets.KeyProof``.

    ``r`` and ``s`` are 32 bytes.
    """

    v: int
    r: bytes
    s: bytes


@dataclass(frozen=True)
class Permit:
    """A signed ERC-2612 permit for the market. ``deadline`` in Unix seconds."""

    value: int
    deadline: int
    v: int
    r: bytes
    s: bytes


@dataclass(frozen=True, kw_only=True)
class Fraud:
    """What a payer shows to prove content false: ``IFraudChecker.Fraud``.

    Attributes:
        delivered: D.
        delivery: its proof.
        opening: W = b*V.
        opened: its proof.
        index: of the leaf, from 0.
        ciphertext: of the leaf, as published.
        plaintext_hash: of the leaf, as published.
        path: siblings from the leaf up to the content root.
    """

    delivered: PointLike
    delivery: ProofLike
    opening: PointLike
    opened: ProofLike
    index: int
    ciphertext: bytes
    plaintext_hash: bytes
    path: tuple[bytes, ...]


@dataclass(frozen=True)
class Call:
    """What a transaction does.

    Attributes:
        to: contract or account; None creates a contract.
        data: call data, or creation code with its arguments.
        value: wei sent along.
        name: what it is, for messages: ``Market.buy``.
    """

    to: Address | None
    data: bytes
    value: int = 0
    name: str = ""


def call_data(signature: str, *values: Value) -> bytes:
    """Return selector and encoded arguments of a function such as ``takeBond(uint128)``.

    Raises:
        InputError: the values do not fit.
    """
    return selector(signature) + encode(argument_types(signature), values)


def argument_types(signature: str) -> tuple[str, ...]:
    """Return the types in a signature: ``"f(uint8,(a,b)[])"`` has two."""
    return split_types(signature[signature.index("(") + 1 : -1])


class Calls:
    """Builds the calls of one market. Every method raises InputError if a value does not fit its type."""

    def __init__(self, deployment: Deployment) -> None:
        """Remember where the contracts lie."""
        self._at = deployment

    # -- assets ----------------------------------------------------------------------------------------------

    def register(self, name: bytes, kind: AssetKind, royalty: int, first: Version, proof: KeyProof) -> Call:
        """Register an asset with its first version.

        Args:
            name: 32-byte word, ``domain.types.name_word``.
            kind: model or dataset.
            royalty: basis points, at most 1,000.
            first: the first version; its asset is the id of the caller and the name.
            proof: that the caller knows its key.
        """
        values = (name, int(kind), royalty, first.abi(), _key_proof(proof))
        return self._assets(f"register(bytes32,uint8,uint16,{VERSION},{KEY_PROOF})", *values)

    def publish(self, version: Version, proof: KeyProof) -> Call:
        """Publish a version of an asset that exists."""
        return self._assets(f"publish({VERSION},{KEY_PROOF})", version.abi(), _key_proof(proof))

    def move_stage(self, version: Version, to: Stage, reason: str) -> Call:
        """Move a version to another stage; ``reason`` of 1 to 256 bytes in UTF-8."""
        return self._assets(f"moveStage({VERSION},uint8,string)", version.abi(), int(to), reason)

    def set_role(self, asset: AssetId, account: Address, role: Role, granted: bool) -> Call:
        """Lend a role or take it back."""
        return self._assets("setRole(bytes32,address,uint8,bool)", asset, account, int(role), granted)

    def transfer_asset(self, asset: AssetId, *, owner: Address, to: Address) -> Call:
        """Transfer an asset: ends all roles and open offers.

        The receiver is not asked, so check the address.
        """
        return self._assets("transferFrom(address,address,uint256)", owner, to, _number(asset))

    # -- offers ----------------------------------------------------------------------------------------------

    def make_offer(self, asset: AssetId, terms: Terms) -> Call:
        """Offer an asset; the caller is the terms' seller."""
        return self._market(f"makeOffer(bytes32,{TERMS})", asset, terms.abi())

    def close_offer(self, asset: AssetId, terms: Terms) -> Call:
        """Close an offer; purchases made under it go on."""
        return self._market(f"closeOffer(bytes32,{TERMS})", asset, terms.abi())

    # -- purchases -------------------------------------------------------------------------------------------

    def buy(self, order: Order, allow_proof: Sequence[bytes] = ()) -> Call:
        """Pay for an order; the price is sent along in the native coin, an ERC-20 needs an allowance."""
        signature = f"buy({ORDER},bytes32[])"
        return self._market(signature, order.abi(), tuple(allow_proof), value=_price(order))

    def buy_with_permit(self, order: Order, permit: Permit, allow_proof: Sequence[bytes] = ()) -> Call:
        """Pay for an order in an ERC-20, with the allowance by signature."""
        values = (permit.value, permit.deadline, permit.v, permit.r, permit.s)
        signature = f"buyWithPermit({ORDER},bytes32[],{PERMIT})"
        return self._market(signature, order.abi(), tuple(allow_proof), values, value=_price(order))

    def deliver(self, order: Order, delivered: PointLike, proof: ProofLike) -> Call:
        """Deliver the key of a paid purchase."""
        signature = f"deliver({ORDER},{POINT},{PROOF})"
        return self._market(signature, order.abi(), _point(delivered), _proof(proof))

    def settle(self, order: Order) -> Call:
        """Turn the price into revenue once the content window has passed."""
        return self._market(f"settle({ORDER})", order.abi())

    def refund(self, order: Order) -> Call:
        """Give price and bond back to the payer."""
        return self._market(f"refund({ORDER})", order.abi())

    def renew(self, order: Order) -> Call:
        """Prolong a rental by its period; pays its price."""
        return self._market(f"renew({ORDER})", order.abi(), value=_price(order))

    def dispute(self, order: Order, fraud: Fraud) -> Call:
        """Prove that delivered content is not what was committed."""
        values = (
            _point(fraud.delivered),
            _proof(fraud.delivery),
            _point(fraud.opening),
            _proof(fraud.opened),
            fraud.index,
            fraud.ciphertext,
            fraud.plaintext_hash,
            fraud.path,
        )
        return self._market(f"dispute({ORDER},{FRAUD})", order.abi(), values)

    # -- licences and keys -----------------------------------------------------------------------------------

    def transfer_licence(self, licence: PurchaseId, *, holder: Address, to: Address) -> Call:
        """Transfer a licence; the receiver is not asked."""
        return self._market("transferFrom(address,address,uint256)", holder, to, _number(licence))

    def revoke(self, licence: PurchaseId) -> Call:
        """End a free licence whose terms allow it."""
        return self._market("revoke(uint256)", _number(licence))

    def request_key(
        self, licence: PurchaseId, version: VersionId, key: PointLike, *, within: int, fee: int = 0
    ) -> Call:
        """Ask for a key of a version that a licence covers.

        Args:
            licence: the caller's valid licence.
            version: id of the version.
            key: fresh Q.
            within: seconds in which it must be delivered, 1 hour to 30 days.
            fee: wei for whoever delivers.
        """
        signature = f"requestKey(uint256,bytes32,{POINT},uint32)"
        return self._market(signature, _number(licence), version, _point(key), within, value=fee)

    def deliver_key(
        self,
        request: KeyRequest,
        version: Version,
        delivered: PointLike,
        proof: ProofLike,
        *,
        origin: tuple[bytes, bytes] = (bytes(32), bytes(32)),
    ) -> Call:
        """Deliver a requested key.

        Args:
            request: what was asked.
            version: the version in full.
            delivered: D.
            proof: its proof.
            origin: (offer id, ``Order.rest``) of the licence's purchase where its scope is one version; else
                zeros.
        """
        signature = f"deliverKey({KEY_REQUEST},{VERSION},bytes32[2],{POINT},{PROOF})"
        values = (request.abi(), version.abi(), origin, _point(delivered), _proof(proof))
        return self._market(signature, *values)

    def return_fee(self, request: KeyRequest) -> Call:
        """Give the fee of a lapsed key request back to its holder."""
        return self._market(f"returnFee({KEY_REQUEST})", request.abi())

    # -- bonds and treasury ----------------------------------------------------------------------------------

    def fund_bond(self, seller: Address, amount: int) -> Call:
        """Add wei to a seller's free bond."""
        return self._market("fundBond(address)", seller, value=amount)

    def take_bond(self, amount: int) -> Call:
        """Move wei of the caller's free bond to his account in the treasury."""
        return self._market("takeBond(uint128)", amount)

    def deposit(self, to: bytes, currency: Address, amount: int) -> Call:
        """Pay into the books, for an account or node (32-byte word); of an ERC-20, after an allowance."""
        value = amount if currency == NATIVE else 0
        return self._treasury("deposit(bytes32,address,uint128)", to, currency, amount, value=value)

    def move(self, to: bytes, currency: Address, amount: int) -> Call:
        """Move the caller's own balance to an account or node (32-byte word)."""
        return self._treasury("move(bytes32,address,uint128)", to, currency, amount)

    def withdraw(self, to: Address, currency: Address, amount: int) -> Call:
        """Take the caller's own balance out."""
        return self._treasury("withdraw(address,address,uint256)", to, currency, amount)

    def claim(self, salt: bytes, positions: Sequence[Position], index: int, currency: Address) -> Call:
        """Pay a position of a revenue node what it is owed."""
        signature = f"claim(bytes32,{POSITION}[],uint256,address)"
        return self._treasury(signature, salt, _positions(positions), index, currency)

    def move_position(self, salt: bytes, positions: Sequence[Position], index: int, to: Address) -> Call:
        """Give the caller's position, whole, to another account."""
        signature = f"movePosition(bytes32,{POSITION}[],uint256,address)"
        return self._treasury(signature, salt, _positions(positions), index, to)

    # -- directory -------------------------------------------------------------------------------------------

    def list_contract(self, item: Address) -> Call:
        """List a contract in the directory; only the curator."""
        return self._build("Directory", "list(address)", item)

    def _assets(self, signature: str, *values: Value, value: int = 0) -> Call:
        return self._build("Assets", signature, *values, value=value)

    def _market(self, signature: str, *values: Value, value: int = 0) -> Call:
        return self._build("Market", signature, *values, value=value)

    def _treasury(self, signature: str, *values: Value, value: int = 0) -> Call:
        return self._build("Treasury", signature, *values, value=value)

    def _build(self, contract: str, signature: str, *values: Value, value: int = 0) -> Call:
        name = f"{contract}.{signature[: signature.index('(')]}"
        return Call(self._at.contracts[contract].address, call_data(signature, *values), value, name)


def _number(word: bytes) -> int:
    return int.from_bytes(word, "big")


def _price(order: Order) -> int:
    return order.terms.price if order.terms.currency == NATIVE else 0


def _point(point: PointLike) -> Value:
    return (point.x, point.y)


def _proof(proof: ProofLike) -> Value:
    return (proof.a1, _point(proof.a2), proof.s, _point(proof.cy), proof.inverse)


def _key_proof(proof: KeyProof) -> Value:
    return (proof.v, proof.r, proof.s)


def _positions(positions: Sequence[Position]) -> Value:
    return tuple((position.payee, position.weight) for position in positions)
