"""Some values of every kind, valid in form."""

from __future__ import annotations

from dataclasses import dataclass

from steelyard.chain.calls import Fraud, KeyProof, Permit
from steelyard.domain.point import Point
from steelyard.domain.types import (
    NATIVE,
    Address,
    AssetId,
    KeyRequest,
    NodeId,
    OfferKind,
    Order,
    Position,
    PurchaseId,
    Scope,
    Terms,
    Version,
    VersionId,
    account_word,
)

ACCOUNT = Address(b"\xac" * 20)
ASSET = AssetId(b"\xa5" * 32)
LICENCE = PurchaseId(b"\x11" * 32)
VERSION_ID = VersionId(b"\x7e" * 32)
POINT = Point(3, 5)
VERSION = Version(ASSET, b"\xf0" * 32, b"\xc0" * 32, 1 << 40, 1, POINT, NodeId(b"\x8d" * 32))
TERMS = Terms(
    ACCOUNT,
    NATIVE,
    10**18,
    10**15,
    OfferKind.RENTAL,
    Scope.UNTIL_END,
    True,
    False,
    86_400,
    2_000_000_000,
    7,
    3_600,
    7_200,
    b"\xa1" * 32,
    b"\x7e" * 32,
    42,
)
ORDER = Order(VERSION, TERMS, ACCOUNT, b"\x5a" * 32, Point(8, 13))
REQUEST = KeyRequest(LICENCE, VERSION_ID, ACCOUNT, POINT)
POSITIONS = (Position(account_word(ACCOUNT), 7_500), Position(b"\x90" * 32, 2_500))
KEY_PROOF = KeyProof(27, b"\x01" * 32, b"\x02" * 32)
PERMIT = Permit(10**18, 2_000_000_000, 28, b"\x03" * 32, b"\x04" * 32)


_A2, _CY = Point(1, 2), Point(3, 4)


@dataclass(frozen=True)
class Proof:
    a1: bytes = b"\xa1" * 20
    a2: Point = _A2
    s: int = 6
    cy: Point = _CY
    inverse: int = 9


FRAUD = Fraud(
    delivered=POINT,
    delivery=Proof(),
    opening=Point(21, 34),
    opened=Proof(),
    index=5,
    ciphertext=b"c" * 4096,
    plaintext_hash=b"\x09" * 32,
    path=(b"\x01" * 32, b"\x02" * 32),
)
