"""Points that are no keys."""

from __future__ import annotations

from steelyard.crypto.curve import FIELD, N, Point, lift, on_curve


def from_order_on(first: int) -> Point:
    """Return a point of the curve whose abscissa is the first such one that is not below ``first``."""
    for x in range(first, FIELD):
        point = lift(x, odd=0)
        if point is not None:
            return point
    raise AssertionError("half of all abscissae belong to points")


def unreduced() -> Point:
    """Return a point whose ordinate is written with the field prime added, which still fits in a word."""
    for y in range(1, 100):
        # p = 7 (mod 9), so this is a cube root where there is one.
        x = pow(y * y - 7, (FIELD + 2) // 9, FIELD)
        if on_curve(Point(x, y)) and x < N:
            return Point(x, y + FIELD)
    raise AssertionError("a third of all ordinates belong to points")


NO_KEYS = (
    Point(0, 0),
    Point(1, 1),
    Point(N, 1),
    Point(FIELD, 1),
    Point(2**256 - 1, 2**256 - 1),
    from_order_on(N),
    from_order_on(N + 1),
    unreduced(),
)
"""Off the curve, out of range, unreduced."""
