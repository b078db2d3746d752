"""A market on a chain of this machine, and short names for what people do in it.

All values are fixed and look random (digests of labels), and the chain's accounts and addresses are always the same, so a
transaction costs the same gas in every run.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from steelyard.chain.calls import Call, Calls, Fraud, KeyProof
from steelyard.chain.deploy import deploy
from steelyard.chain.deployment import Deployment
from steelyard.chain.hexdata import to_hex
from steelyard.chain.node import Node, find_anvil
from steelyard.chain.rpc import Rpc
from steelyard.chain.wire import Receipt
from steelyard.crypto import content, delivery, merkle, stream
from steelyard.crypto.derive import blind_scalar, key_scalar
from steelyard.crypto.secret import Secret
from steelyard.domain.hash import keccak256
from steelyard.domain.types import (
    NATIVE,
    Address,
    AssetId,
    KeyRequest,
    OfferKind,
    Order,
    Position,
    Scope,
    Terms,
    Version,
    account_word,
    asset_id,
    name_word,
    node_id,
)

DAY = 86_400
PRICE = 5 * 10**16
MIN_BOND = 3 * 10**15
_GAS = 16_000_000
_SIZE = 4 << 20
_SALT = keccak256(b"node")


class Account:
    """An account that anvil holds the key of."""

    def __init__(self, rpc: Rpc, address: Address) -> None:
        """Remember it."""
        self.rpc = rpc
        self.address = address

    def send(self, call: Call) -> Receipt:
        """Send a call and return its receipt.

        Raises:
            RevertError: it reverted.
            ChainError: the chain failed.
        """
        transaction = {"from": to_hex(self.address), "data": to_hex(call.data), "gas": hex(_GAS)}
        transaction["value"] = hex(call.value)
        if call.to is not None:
            transaction["to"] = to_hex(call.to)
        tx_hash = bytes.fromhex(self.rpc.call("eth_sendTransaction", (transaction,))[2:])
        receipt, end = self.rpc.get_receipt(tx_hash), time.monotonic() + 20
        while receipt is None and time.monotonic() < end:
            time.sleep(0.002)
            receipt = self.rpc.get_receipt(tx_hash)
        if receipt is None or not receipt.status:
            self.rpc.eth_call(call.to, call.data, block="latest", sender=self.address, value=call.value)
            raise RuntimeError(f"{call.name} failed, and would not a second time")
        return receipt


@dataclass(frozen=True)
class Sealed:
    """A version with its key scalar, and the public bytes of one of its leaves' chunk if it was really sealed."""

    version: Version
    kappa: Secret
    witness: content.Witness | None = None


class Stage:
    """The deployment and its people."""

    def __init__(self, rpc: Rpc) -> None:
        """Deploy the contracts that the package ships."""
        self.rpc = rpc
        addresses = [Address(bytes.fromhex(item[2:])) for item in rpc.call("eth_accounts")]
        self.accounts = tuple(Account(rpc, address) for address in addresses)
        self.deployer, self.seller, self.buyer, self.other, self.third, self.contributor, self.keeper = (
            self.accounts[:7]
        )
        self.deployment: Deployment = deploy(self.deployer, min_bond=MIN_BOND)
        self.calls = Calls(self.deployment)
        self.market = self.deployment.contracts["Market"].address
        self.positions = (
            Position(account_word(self.seller.address), 7_000),
            Position(account_word(self.contributor.address), 3_000),
        )
        self.node = node_id(_SALT, self.positions)
        self.node_salt = _SALT
        self._chain = rpc.chain_id

    def asset(self, name: str) -> AssetId:
        """Return the id of an asset of the seller."""
        return asset_id(
            chain_id=self._chain,
            registry=self.deployment.assets,
            creator=self.seller.address,
            name=name_word(name),
        )

    def seal(self, asset: AssetId, label: str, *, lie: int | None = None) -> Sealed:
        """Return a version: of random digests, or with ``lie`` of 4 MiB really sealed, that leaf being false."""
        seed, salt = Secret(keccak256(b"maintainer")), keccak256(label.encode())
        kappa = key_scalar(
            seed, salt=salt, chain_id=self._chain, registry=self.deployment.assets, asset=asset
        )
        root, witness = keccak256(b"root " + label.encode()), None
        if lie is not None:
            root, witness = _false_content(delivery.content_key(delivery.key_point(kappa)), lie)
        version = Version(
            asset=asset,
            folder=keccak256(b"folder " + label.encode()),
            content_root=root,
            size=_SIZE,
            scheme=1,
            key=delivery.key_commitment(kappa),
            node=self.node,
        )
        return Sealed(version, kappa, witness)

    def key_proof(self, sealed: Sealed) -> KeyProof:
        """Return the seller's proof that he knows the version's key."""
        v, r, s = delivery.sign_key_ownership(
            sealed.kappa,
            chain_id=self._chain,
            registry=self.deployment.assets,
            version=sealed.version.id,
            account=self.seller.address,
        )
        return KeyProof(v, r.to_bytes(32, "big"), s.to_bytes(32, "big"))

    def terms(self, **changes: object) -> Terms:
        """Return terms: 0.05 coins, perpetual, all versions, no content window, unless changed."""
        usual = Terms(
            seller=self.seller.address,
            currency=NATIVE,
            price=PRICE,
            bond=0,
            kind=OfferKind.PERPETUAL,
            scope=Scope.ALL,
            transferable=True,
            revocable=False,
            period=0,
            renew_until=0,
            supply=0,
            deliver_within=DAY,
            window=0,
            allow_list=bytes(32),
            text=keccak256(b"licence text"),
            salt=int.from_bytes(keccak256(b"offer")[:8], "big"),
        )
        return replace(usual, **changes)  # type: ignore[arg-type]  # names of fields, checked by replace

    def blind(self, who: Account, label: str) -> Secret:
        """Return a buyer's blinding scalar."""
        seed = Secret(keccak256(b"seed" + who.address))
        salt = keccak256(label.encode())
        return blind_scalar(seed, chain_id=self._chain, market=self.market, buyer=who.address, salt=salt)

    def order(self, who: Account, sealed: Sealed, terms: Terms, label: str) -> Order:
        """Return a buyer's order; another label, another order."""
        key = delivery.blind(self.blind(who, label))
        return Order(sealed.version, terms, who.address, keccak256(label.encode()), key)

    def order_id(self, order: Order) -> bytes:
        """Return the purchase that an order makes."""
        return order.id(chain_id=self._chain, market=self.market)

    def deliver(self, order: Order, sealed: Sealed) -> Call:
        """Return the delivery of a purchase."""
        context = delivery.delivery_context(self._chain, market=self.market, purchase=self.order_id(order))
        point, proof = delivery.deliver(sealed.kappa, blinded=order.key, context=context)
        return self.calls.deliver(order, point, proof)

    def request(self, who: Account, order: Order, version: Version, label: str) -> KeyRequest:
        """Return a key request of a licence's holder."""
        key = delivery.blind(self.blind(who, label))
        licence = order.id(chain_id=self._chain, market=self.market)
        return KeyRequest(licence, version.id, who.address, key)

    def answer(self, request: KeyRequest, sealed: Sealed) -> Call:
        """Return the delivery of a key request."""
        identity = request.id(chain_id=self._chain, market=self.market)
        context = delivery.key_context(self._chain, market=self.market, request=identity)
        point, proof = delivery.deliver(sealed.kappa, blinded=request.key, context=context)
        return self.calls.deliver_key(request, sealed.version, point, proof)

    def dispute(self, who: Account, order: Order, sealed: Sealed, label: str) -> Call:
        """Return the dispute about the false leaf of a version."""
        assert sealed.witness is not None
        purchase = self.order_id(order)
        point, proof = delivery.deliver(
            sealed.kappa,
            blinded=order.key,
            context=delivery.delivery_context(self._chain, market=self.market, purchase=purchase),
        )
        opening, opened = delivery.open_dispute(
            self.blind(who, label),
            commitment=sealed.version.key,
            blinded=order.key,
            context=delivery.dispute_context(
                self._chain, market=self.market, purchase=purchase, version=sealed.version.id
            ),
        )
        fraud = Fraud(
            delivered=point,
            delivery=proof,
            opening=opening,
            opened=opened,
            index=sealed.witness.leaf,
            ciphertext=sealed.witness.ciphertext,
            plaintext_hash=sealed.witness.salted,
            path=tuple(sealed.witness.path),
        )
        return self.calls.dispute(order, fraud)

    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.rpc.call("evm_increaseTime", (seconds,))
        self.rpc.call("evm_mine")


def _false_content(key: Secret, lie: int) -> tuple[bytes, content.Witness]:
    """Seal 4 MiB, replace one leaf's ciphertext before committing; returns content root and the leaf's witness."""
    pattern = b"".join(keccak256(index.to_bytes(4, "big")) for index in range(content.CHUNK_SIZE // 32))
    plain = pattern * (_SIZE // content.CHUNK_SIZE)
    chunks = list(stream.seal(io.BytesIO(plain), key=key, size=_SIZE))
    place, inside = divmod(lie, content.LEAVES_PER_CHUNK)
    spoilt = bytearray(chunks[place].ciphertext)
    spoilt[inside * content.LEAF_SIZE] ^= 1
    ciphertext, salted = bytes(spoilt), chunks[place].salted
    roots = [chunk.root for chunk in chunks]
    roots[place] = content.chunk_root(place, ciphertext=ciphertext, salted=salted)
    witness = content.build_witness(lie, size=_SIZE, ciphertext=ciphertext, salted=salted, chunk_roots=roots)
    return merkle.root(roots), witness


@contextmanager
def open_stage(root: Path, *, hardfork: str = "prague") -> Iterator[Stage]:
    """Start a chain, deploy, and stop it again.

    Args:
        root: the checkout.
        hardfork: anvil's name of the rules.

    Raises:
        InputError: anvil is not installed.
    """
    anvil = find_anvil(start=root)
    options = ("--steps-tracing", "--hardfork", hardfork)
    with Node.start(anvil, options=options) as node, Rpc(node.url, chain_id=node.chain_id) as rpc:
        yield Stage(rpc)
