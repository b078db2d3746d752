"""Two parties of a channel for tests: keys, terms, and an agreement."""

from __future__ import annotations

from steelyard.crypto.metering import Signer
from steelyard.crypto.secret import Secret
from steelyard.domain.hash import keccak256
from steelyard.domain.metering import MeteredTerms, unit_word
from steelyard.domain.types import NATIVE, Address, AssetId, NodeId, VersionId
from steelyard.metering.agreement import Agreement, Place

PAYEE = Signer(Secret(b"\x11" * 32))
SIGNER = Signer(Secret(b"\x22" * 32))
STRANGER = Signer(Secret(b"\x33" * 32))
PAYER = Address(b"\x44" * 20)
PLACE = Place.of(31337, Address(b"\x55" * 20))
ASSET = AssetId(keccak256(b"asset"))
VERSION = VersionId(keccak256(b"version"))


def terms(*, price: int = 7, in_flight: int = 3, salt: int = 1) -> MeteredTerms:
    return MeteredTerms(
        payee=PAYEE.address,
        currency=NATIVE,
        price=price,
        unit=unit_word("row"),
        version=VERSION,
        node=NodeId(keccak256(b"node")),
        window=86_400,
        in_flight=in_flight,
        expiry=2_000_000_000,
        text=bytes(32),
        salt=salt,
    )


def agreement(*, price: int = 7, in_flight: int = 3, nonce: int = 1) -> Agreement:
    return Agreement.of(
        PLACE,
        asset=ASSET,
        terms=terms(price=price, in_flight=in_flight),
        payer=PAYER,
        signer=SIGNER.address,
        nonce=nonce,
    )
