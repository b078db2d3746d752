"""What both parties and the chain agree on of one channel."""

from __future__ import annotations

from dataclasses import dataclass

from steelyard.crypto import metering
from steelyard.domain.metering import ChannelId, MeteredTerms, Receipt, Voucher, channel_id, domain_separator
from steelyard.domain.types import Address, AssetId, OfferId, VersionId
from steelyard.errors import ProofError

SIGNATURE_SIZE = 65


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where channels are: the chain and the contract.

    Attributes:
        chain_id: EIP-155 chain id.
        channels: address of the contract Channels.
        separator: domain separator of what is signed for it.
    """

    chain_id: int
    channels: Address
    separator: bytes

    @classmethod
    def of(cls, chain_id: int, channels: Address) -> Place:
        """Return the place of a contract."""
        return cls(
            chain_id=chain_id,
            channels=channels,
            separator=domain_separator(chain_id=chain_id, channels=channels),
        )


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """One channel, as its id fixes it.

    Attributes:
        place: chain and contract.
        channel: its id.
        asset: the asset.
        offer: the metered offer.
        terms: of the offer.
        payer: who opened it.
        signer: address of the key that signs vouchers.
        nonce: of the payer.
    """

    place: Place
    channel: ChannelId
    asset: AssetId
    offer: OfferId
    terms: MeteredTerms
    payer: Address
    signer: Address
    nonce: int

    @classmethod
    def of(
        cls, place: Place, *, asset: AssetId, terms: MeteredTerms, payer: Address, signer: Address, nonce: int
    ) -> Agreement:
        """Return the channel of these parties under these terms."""
        offer = terms.id(asset)
        return cls(
            place=place,
            channel=channel_id(
                chain_id=place.chain_id,
                channels=place.channels,
                offer=offer,
                payer=payer,
                signer=signer,
                nonce=nonce,
            ),
            asset=asset,
            offer=offer,
            terms=terms,
            payer=payer,
            signer=signer,
            nonce=nonce,
        )

    @property
    def version(self) -> VersionId:
        """The version that answers."""
        return self.terms.version

    def receipt_digest(self, receipt: Receipt, signature: bytes) -> bytes:
        """Check that a receipt is of this channel and signed by the payee, and return its digest.

        Raises:
            ProofError: it is not.
        """
        if receipt.channel != self.channel or receipt.version != self.version:
            raise ProofError("the receipt is of another channel or version")
        digest = receipt.digest(self.place.separator)
        metering.check(digest, signature, self.terms.payee, f"receipt {receipt.sequence}")
        return digest

    def check_voucher(self, voucher: Voucher, signature: bytes) -> None:
        """Check that a voucher is of this channel and signed by the signer; one over no receipt needs no signature.

        Raises:
            ProofError: it is not.
        """
        if voucher.channel != self.channel:
            raise ProofError("the voucher is of another channel")
        if voucher.amount != voucher.units * self.terms.price:
            raise ProofError("the voucher's amount is not price times units")
        if voucher.sequence == 0:
            if voucher.units or any(voucher.root) or signature != bytes(SIGNATURE_SIZE):
                raise ProofError("a voucher over no receipt has no units, no root and no signature")
            return
        metering.check(voucher.digest(self.place.separator), signature, self.signer, "the voucher")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A voucher with its signature."""

    voucher: Voucher
    signature: bytes


def nothing(channel: ChannelId) -> Signed:
    """Return the voucher over no receipt."""
    return Signed(
        voucher=Voucher(channel=channel, amount=0, units=0, sequence=0, root=bytes(32)),
        signature=bytes(SIGNATURE_SIZE),
    )
