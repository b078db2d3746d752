"""A hosted version with a metered offer, and what payer, signer and payee do with it. One short method for each step."""

from __future__ import annotations

from typing import Any

from brownie import Channels
from steelyard.crypto.metering import Signer, compact
from steelyard.crypto.secret import Secret
from steelyard.domain.abi import encode
from steelyard.domain.hash import keccak256
from steelyard.domain.metering import (
    METERED_TERMS,
    ChannelId,
    MeteredTerms,
    Voucher,
    channel_id,
    domain_separator,
    unit_word,
)
from steelyard.domain.types import NATIVE

from .rpc import now
from .sealed import Sealed
from .shop import CHAIN, DAY, Shop, address

PRICE = 100
SIGNER = Signer(Secret(keccak256(b"hot key")))
ROOT = keccak256(b"root")


class Meter:
    """The contract Channels beside a shop's, and one offer of the seller; the agent is the payee, the buyer the payer."""

    def __init__(self, shop: Shop, sealed: Sealed, currency: object = None) -> None:
        """Deploy it, and make an offer in the native coin or a token."""
        self.shop, self.sealed = shop, sealed
        self.asset = sealed.version.asset
        self.channels = shop.roles.deployer.deploy(Channels, shop.assets, shop.treasury)
        self.payee, self.payer = shop.roles.agent, shop.roles.buyer
        self.terms = MeteredTerms(
            payee=address(self.payee),
            currency=NATIVE if currency is None else address(currency),
            price=PRICE,
            unit=unit_word("row"),
            version=sealed.id,
            node=sealed.version.node,
            window=DAY,
            in_flight=8,
            expiry=now() + 30 * DAY,
            text=keccak256(b"licence"),
            salt=1,
        )
        self.offer = self.terms.id(self.asset)
        self.hash = keccak256(encode((METERED_TERMS,), (self.terms.abi(),)))
        self.channels.makeOffer(sealed.version.abi(), self.terms.abi(), {"from": shop.roles.seller})

    @property
    def is_native(self) -> bool:
        """Whether the offer is in the native coin."""
        return self.terms.currency == NATIVE

    def parties(self, nonce: int = 1) -> tuple[Any, ...]:
        """Return payer, signer and nonce."""
        return (address(self.payer), SIGNER.address, nonce)

    def id(self, nonce: int = 1) -> ChannelId:
        """Return the id of a channel."""
        payer, signer, _ = self.parties()
        at = {"chain_id": CHAIN, "channels": address(self.channels)}
        return channel_id(**at, offer=self.offer, payer=payer, signer=signer, nonce=nonce)

    def opening(self, amount: int, nonce: int = 1) -> tuple[Any, ...]:
        """Return the arguments of `open`."""
        return (self.asset, self.hash, SIGNER.address, nonce, amount)

    def adding(self, amount: int, nonce: int = 1) -> tuple[Any, ...]:
        """Return the arguments of `topUp`."""
        return (self.asset, self.hash, self.parties(nonce), amount)

    def sent(self, amount: int) -> dict[str, Any]:
        """Return brownie's options of a payment by the payer."""
        return {"from": self.payer, "value": amount if self.is_native else 0}

    def open(self, amount: int, nonce: int = 1) -> Any:
        """Open a channel."""
        return self.channels.open(*self.opening(amount, nonce), self.sent(amount))

    def row(self, units: int, nonce: int = 1) -> bytes:
        """Return the row of a claim for so many units."""
        found = Voucher(channel=self.id(nonce), amount=units * PRICE, units=units, sequence=units, root=ROOT)
        separator = domain_separator(chain_id=CHAIN, channels=address(self.channels))
        r, vs = compact(SIGNER.sign(found.digest(separator)))
        payer, signer, _ = self.parties()
        numbers = nonce.to_bytes(8, "big") + units.to_bytes(16, "big") + units.to_bytes(8, "big")
        return bytes(payer + signer + numbers + ROOT + r + vs)

    def claims(self, *rows: bytes) -> list[Any]:
        """Return the argument of `claim`."""
        return [(self.asset, self.terms.abi(), b"".join(rows))]

    def claim(self, units: int, nonce: int = 1) -> Any:
        """Claim as the payee."""
        return self.channels.claim(self.claims(self.row(units, nonce)), {"from": self.payee})

    def start_closing(self, nonce: int = 1) -> Any:
        """Begin to close as the payer."""
        arguments = (self.asset, self.terms.abi(), SIGNER.address, nonce)
        return self.channels.startClosing(*arguments, {"from": self.payer})

    def closing(self, nonce: int = 1) -> tuple[Any, ...]:
        """Return the arguments of `close`."""
        return (self.asset, self.terms.abi(), self.parties(nonce))

    def close(self, nonce: int = 1, *, sender: Any = None) -> Any:
        """Close, as the payee if nobody else is named."""
        return self.channels.close(*self.closing(nonce), {"from": sender or self.payee})
