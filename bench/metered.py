"""Gas of metered use: offers, deposits, claims of one voucher and of many, and closing (docs/metering.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.stage import DAY, Account, Sealed, Stage
from steelyard.chain.calls import Call, call_data
from steelyard.crypto.metering import Signer, compact
from steelyard.crypto.secret import Secret
from steelyard.domain.abi import Value, encode
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
from steelyard.domain.types import NATIVE, VERSION

if TYPE_CHECKING:
    from bench.gas import Story

PARTIES = "(address,address,uint64)"
DEPOSIT = 10**18
UNIT = 10**14
EXPIRY = 2_010_000_000
"""September 2033, whenever it is measured: the same terms, and so the same gas."""
BATCH = 100
CALLS = 1_000
"""Calls of one unit that a session settles."""


class Metered:
    """An offer of the keeper's gateway, and the buyer's channels under it."""

    def __init__(self, stage: Stage, sealed: Sealed) -> None:
        """Draw the terms; nothing is sent."""
        at = stage.deployment.channels
        assert at is not None
        self.stage, self.sealed, self.at = stage, sealed, at
        self.asset = sealed.version.asset
        self.payee, self.payer = stage.keeper, stage.buyer
        self.signer = Signer(Secret(keccak256(b"hot key")))
        self.terms = MeteredTerms(
            payee=self.payee.address,
            currency=NATIVE,
            price=UNIT,
            unit=unit_word("row"),
            version=sealed.version.id,
            node=sealed.version.node,
            window=DAY,
            in_flight=8,
            expiry=EXPIRY,
            text=keccak256(b"licence text"),
            salt=int.from_bytes(keccak256(b"metered offer")[:8], "big"),
        )
        self.offer = self.terms.id(self.asset)
        self.hash = keccak256(encode((METERED_TERMS,), (self.terms.abi(),)))

    def id(self, nonce: int) -> ChannelId:
        """Return the id of a channel."""
        return channel_id(
            chain_id=self.stage.rpc.chain_id,
            channels=self.at,
            offer=self.offer,
            payer=self.payer.address,
            signer=self.signer.address,
            nonce=nonce,
        )

    def make(self) -> Call:
        """Return the making of the offer."""
        return self._call(
            f"makeOffer({VERSION},{METERED_TERMS})", self.sealed.version.abi(), self.terms.abi()
        )

    def open(self, nonce: int) -> Call:
        """Return the opening of a channel."""
        signature = "open(bytes32,bytes32,address,uint64,uint128)"
        values = (self.asset, self.hash, self.signer.address, nonce, DEPOSIT)
        return self._call(signature, *values, value=DEPOSIT)

    def top_up(self, nonce: int) -> Call:
        """Return an addition to a deposit."""
        signature = f"topUp(bytes32,bytes32,{PARTIES},uint128)"
        return self._call(signature, self.asset, self.hash, self._parties(nonce), DEPOSIT, value=DEPOSIT)

    def claim(self, units: int, *nonces: int) -> Call:
        """Return the claim of a voucher of so many units for each channel."""
        rows = b"".join(self._row(units, nonce) for nonce in nonces)
        return self._call(
            f"claim((bytes32,{METERED_TERMS},bytes)[])", ((self.asset, self.terms.abi(), rows),)
        )

    def start_closing(self, nonce: int) -> Call:
        """Return the payer's beginning to close."""
        signature = f"startClosing(bytes32,{METERED_TERMS},address,uint64)"
        return self._call(signature, self.asset, self.terms.abi(), self.signer.address, nonce)

    def close(self, nonce: int) -> Call:
        """Return the closing."""
        return self._call(
            f"close(bytes32,{METERED_TERMS},{PARTIES})", self.asset, self.terms.abi(), self._parties(nonce)
        )

    def _parties(self, nonce: int) -> Value:
        return (self.payer.address, self.signer.address, nonce)

    def _row(self, units: int, nonce: int) -> bytes:
        root = keccak256(b"receipts %d of %d" % (units, nonce))
        found = Voucher(channel=self.id(nonce), amount=units * UNIT, units=units, sequence=units, root=root)
        separator = domain_separator(chain_id=self.stage.rpc.chain_id, channels=self.at)
        r, vs = compact(self.signer.sign(found.digest(separator)))
        numbers = nonce.to_bytes(8, "big") + units.to_bytes(16, "big") + units.to_bytes(8, "big")
        return b"".join((self.payer.address, self.signer.address, numbers, root, r, vs))

    def _call(self, signature: str, *values: Value, value: int = 0) -> Call:
        name = f"Channels.{signature.partition('(')[0]}"
        return Call(self.at, call_data(signature, *values), value, name)


def play(story: Story, sealed: Sealed) -> Metered:
    """Play metered use at the end of a story: what it costs, later channels and later claims unless said otherwise."""
    stage = story.stage
    metered = Metered(stage, sealed)
    story.do("new metered offer", stage.seller, metered.make())
    story.do("open channel, first of the asset", metered.payer, metered.open(0))
    for nonce in range(1, BATCH + 12):
        metered.payer.send(metered.open(nonce))
    story.do("open channel", metered.payer, metered.open(BATCH + 12))
    story.do("top up a channel", metered.payer, metered.top_up(0))
    # A channel's first claim costs the same: its word was written when it was opened.
    story.do("claim, one voucher", metered.payee, metered.claim(CALLS, 0))
    # Each claims more of the same channels than the one before.
    for step, count in enumerate((10, BATCH), start=1):
        name = f"claim, {count} vouchers"
        story.do(name, metered.payee, metered.claim(step * CALLS, *range(1, count + 1)))
        story.sums[f"{name}, each"] = story.sums[name] // count
    _end(story, metered, stage.third)
    each = ("open channel", "claim, one voucher", "close a channel")
    story.sums["one call of 1,000 in a channel"] = sum(story.sums[name] for name in each) // CALLS
    batched = story.sums["open channel"] + story.sums[f"claim, {BATCH} vouchers, each"]
    story.sums["one call of 1,000, claimed in a batch"] = (batched + story.sums["close a channel"]) // CALLS
    return metered


def _end(story: Story, metered: Metered, stranger: Account) -> None:
    stage = story.stage
    story.do("start closing", metered.payer, metered.start_closing(0))
    story.do("close a channel", metered.payee, metered.close(0))
    metered.payer.send(metered.start_closing(BATCH + 10))
    stage.wait(DAY + 60)
    story.do("close after the window, by anybody", stranger, metered.close(BATCH + 10))
