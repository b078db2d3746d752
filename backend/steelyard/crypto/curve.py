"""secp256k1: points, the two generators, and the four operations that key delivery needs.

Definitions: docs/key-delivery.md, "Group and encodings". The arithmetic is libsecp256k1's, through
``coincurve``; the multiplications by secrets in it run in constant time.
"""

from __future__ import annotations

from typing import Final

from coincurve import PublicKey

from steelyard.domain.hash import keccak256, sha256
from steelyard.domain.point import Point
from steelyard.errors import ProofError

FIELD: Final = 2**256 - 2**32 - 977
"""Prime of the field, ``p``."""
N: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Order of the group, ``n``."""


def on_curve(point: Point) -> bool:
    """Tell whether the coordinates are below ``p`` and satisfy ``y^2 = x^3 + 7``. ``(0, 0)`` does not."""
    x, y = point.x, point.y
    return 0 <= x < FIELD and 0 <= y < FIELD and (y * y - x * x * x - 7) % FIELD == 0


def decode_point(data: bytes) -> Point:
    """Read ``x || y``, 64 bytes, and check the curve equation.

    Raises:
        ProofError: not 64 bytes, or not a point of the curve.
    """
    if len(data) != 64:
        raise ProofError(f"a point is 64 bytes, not {len(data)}")
    return require_on_curve(
        Point(int.from_bytes(data[:32], "big"), int.from_bytes(data[32:], "big")), "point"
    )


def require_on_curve(point: Point, name: str) -> Point:
    """Return ``point`` if it is on the curve.

    Raises:
        ProofError: it is not; the message says ``name``.
    """
    if not on_curve(point):
        raise ProofError(f"{name} is not a point of secp256k1")
    return point


def _to_key(point: Point) -> PublicKey:
    require_on_curve(point, "operand")
    return PublicKey(b"\x04" + point.encode())


def _from_key(key: PublicKey) -> Point:
    data = key.format(compressed=False)
    return Point(int.from_bytes(data[1:33], "big"), int.from_bytes(data[33:], "big"))


def mul(scalar: int, point: Point) -> Point:
    """Return ``scalar * point``.

    Raises:
        ProofError: the point is off the curve, or the scalar is 0 modulo ``n`` (the point at infinity has no
            encoding).
    """
    reduced = scalar % N
    if reduced == 0:
        raise ProofError("a product is the point at infinity")
    return _from_key(_to_key(point).multiply(reduced.to_bytes(32, "big")))


def add(a: Point, b: Point) -> Point:
    """Return ``a + b``.

    Raises:
        ProofError: an operand is off the curve, or the sum is the point at infinity.
    """
    require_on_curve(a, "operand")
    require_on_curve(b, "operand")
    if a.x == b.x and a.y != b.y:
        raise ProofError("a sum is the point at infinity")
    return _from_key(PublicKey.combine_keys([_to_key(a), _to_key(b)]))


def neg(point: Point) -> Point:
    """Return ``-point``. No point of secp256k1 has ``y = 0``."""
    return Point(point.x, FIELD - point.y)


def address(point: Point) -> bytes:
    """Return the Ethereum address of the key ``point``: the last 20 bytes of Keccak-256 of ``x || y``."""
    return keccak256(point.encode())[12:]


def lift(x: int, *, odd: int) -> Point | None:
    """Return the point with abscissa ``x`` and parity ``odd`` of ``y``, or None if there is none."""
    if not 0 <= x < FIELD:
        return None
    square = (x * x * x + 7) % FIELD
    y = pow(square, (FIELD + 1) // 4, FIELD)
    if y * y % FIELD != square:
        return None
    return Point(x, y if y & 1 == odd else FIELD - y)


def _second_generator() -> Point:
    index = 0
    while True:
        digest = sha256(b"steelyard/nums/v1" + index.to_bytes(4, "big"))
        point = lift(int.from_bytes(digest, "big"), odd=0)
        if point is not None:
            return point
        index += 1


G: Final = Point(
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)
"""Base point."""
P: Final = _second_generator()
"""Second generator, whose logarithm nobody knows."""
