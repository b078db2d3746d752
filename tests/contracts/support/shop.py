"""A deployed market and the people in it, with one short method for each step of a sale.

Methods named after what contracts do send transactions; the others only build values. Times and money: Unix seconds, wei.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from brownie import Assets, Directory, FraudChecker, Market, Treasury
from steelyard.crypto import delivery
from steelyard.crypto.derive import blind_scalar
from steelyard.crypto.dleq import Proof
from steelyard.crypto.secret import Secret
from steelyard.domain.hash import sha256
from steelyard.domain.types import (
    NATIVE,
    Address,
    KeyRequest,
    OfferKind,
    Order,
    Position,
    PurchaseId,
    Scope,
    Terms,
    VersionId,
    account_word,
    asset_id,
    name_word,
    node_id,
)

from .read import read
from .sealed import Sealed, seal

HOUR, DAY = 3_600, 86_400
ETHER = 10**18
MIN_BOND = ETHER // 100
PRICE = ETHER
NODE_SALT = bytes(32)
CHAIN = 31_337


def address(account: object) -> Address:
    """Return the 20 bytes of an account or contract."""
    return Address(bytes.fromhex(str(account)[2:]))


def word(account: object) -> bytes:
    """Return an account as a payee or topic, 32 bytes."""
    return account_word(address(account))


def number(id_: bytes) -> int:
    """Return an id as a token's number."""
    return int.from_bytes(id_, "big")


def proof_abi(proof: Proof) -> tuple[Any, ...]:
    """Return a proof as the contracts take it."""
    return (proof.a1, proof.a2.abi(), proof.s, proof.cy.abi(), proof.inverse)


@dataclass(frozen=True)
class Roles:
    """The accounts, by what they are to the market."""

    deployer: Any
    seller: Any
    buyer: Any
    other_buyer: Any
    stranger: Any
    contributor: Any
    maintainer: Any
    agent: Any


class Shop:
    """A deployment, its seller's first asset, and the steps of a sale."""

    def __init__(self, roles: Roles, *, min_bond: int = MIN_BOND) -> None:
        """Deploy the whole set."""
        self.roles = roles
        self.treasury = roles.deployer.deploy(Treasury)
        self.fraud_checker = roles.deployer.deploy(FraudChecker)
        self.assets = roles.deployer.deploy(Assets)
        self.market = roles.deployer.deploy(Market, self.assets, self.treasury, self.fraud_checker, min_bond)
        listed = [self.assets, self.market, self.treasury]
        self.directory = roles.deployer.deploy(Directory, listed, roles.deployer)
        self.positions = (Position(word(roles.seller), 7_000), Position(word(roles.contributor), 3_000))
        self.node = node_id(NODE_SALT, self.positions)
        self._accounts = {address(a): a for a in vars(roles).values()}

    @property
    def contracts(self) -> tuple[Any, ...]:
        """All contracts that keep a trail."""
        return (self.assets, self.market, self.treasury, self.directory)

    # --- assets

    def asset_of(self, creator: object, name: str) -> bytes:
        """Return the id of an asset."""
        return asset_id(
            chain_id=CHAIN, registry=address(self.assets), creator=address(creator), name=name_word(name)
        )

    def seal(self, asset: bytes, label: str, **changes: Any) -> Sealed:
        """Return a new version of an asset; `seal` of the module says what can be changed."""
        given = {"node": self.node, **changes}
        return seal(asset, label=label, chain_id=CHAIN, registry=address(self.assets), **given)

    def key_proof(self, sealed: Sealed, account: object, **changes: Any) -> tuple[int, bytes, bytes]:
        """Return the signature that shows that `account` knows the version's key."""
        bound = {"chain_id": CHAIN, "registry": address(self.assets), "version": sealed.id, **changes}
        v, r, s = delivery.sign_key_ownership(sealed.kappa, account=address(account), **bound)
        return v, r.to_bytes(32, "big"), s.to_bytes(32, "big")

    def register(self, name: str, *, owner: Any = None, royalty: int = 500, **changes: Any) -> Sealed:
        """Register an asset and return its first version."""
        owner = owner or self.roles.seller
        sealed = self.seal(self.asset_of(owner, name), f"{name} 1", **changes)
        arguments = (name_word(name), 0, royalty, sealed.version.abi(), self.key_proof(sealed, owner))
        self.assets.register(*arguments, {"from": owner})
        return sealed

    def publish(self, asset: bytes, label: str, *, sender: Any = None, **changes: Any) -> Sealed:
        """Publish another version of an asset."""
        sender = sender or self.roles.seller
        sealed = self.seal(asset, label, **changes)
        self.assets.publish(sealed.version.abi(), self.key_proof(sealed, sender), {"from": sender})
        return sealed

    # --- offers

    def terms(self, **changes: Any) -> Terms:
        """Return terms: perpetual, transferable, one coin, a bond, a window of a day, unless changed."""
        usual = Terms(
            seller=address(self.roles.seller),
            currency=NATIVE,
            price=PRICE,
            bond=MIN_BOND,
            kind=OfferKind.PERPETUAL,
            scope=Scope.ONE,
            transferable=True,
            revocable=False,
            period=0,
            renew_until=0,
            supply=0,
            deliver_within=DAY,
            window=DAY,
            allow_list=bytes(32),
            text=sha256(b"licence"),
            salt=0,
        )
        return replace(usual, **changes)

    def offer(self, sealed: Sealed, *, sender: Any = None, **changes: Any) -> Terms:
        """Make an offer for the version's asset."""
        terms = self.terms(**changes)
        self.market.makeOffer(
            sealed.version.asset, terms.abi(), {"from": sender or self._accounts[terms.seller]}
        )
        return terms

    # --- purchases

    def blind(self, buyer: object, salt: bytes) -> Secret:
        """Return the buyer's blinding scalar."""
        seed = Secret(sha256(b"buyer" + address(buyer)))
        return blind_scalar(
            seed, chain_id=CHAIN, market=address(self.market), buyer=address(buyer), salt=salt
        )

    def order(self, sealed: Sealed, terms: Terms, *, buyer: Any = None, salt: int = 0) -> Order:
        """Return the order of a buyer."""
        buyer, fresh = buyer or self.roles.buyer, salt.to_bytes(32, "big")
        key = delivery.blind(self.blind(buyer, fresh))
        return Order(version=sealed.version, terms=terms, buyer=address(buyer), salt=fresh, key=key)

    def id(self, order: Order) -> bytes:
        """Return the id of a purchase."""
        return order.id(chain_id=CHAIN, market=address(self.market))

    def value(self, order: Order) -> int:
        """Return the wei to send along."""
        return order.terms.price if order.terms.currency == NATIVE else 0

    def buy(self, order: Order, allow: tuple[bytes, ...] = ()) -> Any:
        """Pay an order."""
        sender = self._accounts[order.buyer]
        return self.market.buy(order.abi(), allow, {"from": sender, "value": self.value(order)})

    def delivery(self, order: Order, sealed: Sealed, **bound: Any) -> tuple[Any, Any]:
        """Return D and its proof; `bound` changes what the proof is bound to."""
        given = {"market": address(self.market), "purchase": self.id(order), **bound}
        context = delivery.delivery_context(given.pop("chain_id", CHAIN), **given)
        point, proof = delivery.deliver(sealed.kappa, blinded=order.key, context=context)
        return point.abi(), proof_abi(proof)

    def deliver(self, order: Order, sealed: Sealed, *, sender: Any = None) -> Any:
        """Deliver a purchase."""
        return self.market.deliver(
            order.abi(), *self.delivery(order, sealed), {"from": sender or self.roles.seller}
        )

    def paid(self, sealed: Sealed, *, buyer: Any = None, salt: int = 0, **changes: Any) -> Order:
        """Make an offer, if it is new, and buy under it."""
        terms = self.terms(**changes)
        if read(self.market, "offers", terms.id(sealed.version.asset))[0] == 0:
            self.offer(sealed, **changes)
        order = self.order(sealed, terms, buyer=buyer, salt=salt)
        self.buy(order)
        return order

    def delivered(self, sealed: Sealed, **changes: Any) -> Order:
        """Buy and deliver. With `window=0` the purchase is settled."""
        order = self.paid(sealed, **changes)
        self.deliver(order, sealed)
        return order

    def settled(self, sealed: Sealed, **changes: Any) -> Order:
        """Buy and deliver without a content window."""
        return self.delivered(sealed, **{"window": 0, **changes})

    def opening(self, order: Order, **bound: Any) -> tuple[Any, Any]:
        """Return W and its proof, which the buyer alone can make."""
        context = delivery.dispute_context(
            CHAIN,
            **{
                "market": address(self.market),
                "purchase": self.id(order),
                "version": order.version.id,
                **bound,
            },
        )
        point, proof = delivery.open_dispute(
            self.blind(self._accounts[order.buyer], order.salt),
            commitment=order.version.key,
            blinded=order.key,
            context=context,
        )
        return point.abi(), proof_abi(proof)

    def fraud(self, order: Order, sealed: Sealed, leaf: int, **changes: Any) -> tuple[Any, ...]:
        """Return a dispute about a leaf, honest or not; fields can be changed by name."""
        witness = sealed.witness(leaf)
        delivered, proof = self.delivery(order, sealed)
        opening, opened = self.opening(order)
        fields = {
            "delivered": delivered,
            "delivery": proof,
            "opening": opening,
            "opened": opened,
            "index": leaf,
            "ciphertext": witness.ciphertext,
            "plaintext_hash": witness.salted,
            "path": witness.path,
        }
        assert changes.keys() <= fields.keys()
        return tuple({**fields, **changes}.values())

    def licence(self, order: Order) -> dict[str, Any]:
        """Return the stored record of a purchase or licence."""
        fields = ("holder", "until", "due", "state", "flags", "asset")
        return dict(zip(fields, read(self.market, "licenceOf", number(self.id(order))), strict=True))

    # --- key requests

    def request(self, licence: bytes, version: bytes, holder: object, salt: int = 1_000) -> KeyRequest:
        """Return a key request with a fresh key."""
        key = delivery.blind(self.blind(holder, salt.to_bytes(32, "big")))
        return KeyRequest(
            licence=PurchaseId(licence), version=VersionId(version), holder=address(holder), key=key
        )

    def request_id(self, request: KeyRequest) -> bytes:
        """Return the id of a request."""
        return request.id(chain_id=CHAIN, market=address(self.market))

    def ask(self, request: KeyRequest, *, fee: int = 10**15, within: int = DAY) -> Any:
        """Send a key request."""
        sender = self._accounts[request.holder]
        arguments = (number(request.licence), request.version, request.key.abi(), within)
        return self.market.requestKey(*arguments, {"from": sender, "value": fee})

    def answer(self, request: KeyRequest, sealed: Sealed, /, **bound: Any) -> tuple[Any, Any]:
        """Return D and its proof for a request."""
        given = {"market": address(self.market), "request": self.request_id(request), **bound}
        context = delivery.key_context(given.pop("chain_id", CHAIN), **given)
        point, proof = delivery.deliver(sealed.kappa, blinded=request.key, context=context)
        return point.abi(), proof_abi(proof)

    def origin(self, order: Order) -> tuple[bytes, bytes]:
        """Return the parts of a licence's id beside its version."""
        return order.offer, order.rest(chain_id=CHAIN, market=address(self.market))

    # --- money

    def balance(self, payee: object, currency: object = NATIVE) -> int:
        """Return what the treasury's books say of an account or a node."""
        who = payee if isinstance(payee, bytes) else word(payee)
        return int(read(self.treasury, "balanceOf", who, currency))

    def node_arguments(self, index: int, currency: object = NATIVE) -> tuple[Any, ...]:
        """Return the arguments of a claim of the usual node."""
        return (NODE_SALT, [(p.payee, p.weight) for p in self.positions], index, currency)
