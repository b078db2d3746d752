"""The contract's verifier in textbook Python: affine arithmetic, ``ecrecover``, no code of the package."""

from __future__ import annotations

import sha3

FIELD = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFC2F
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
BASE = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)

Affine = tuple[int, int] | None


def plus(a: Affine, b: Affine) -> Affine:
    if a is None or b is None:
        return b if a is None else a
    if a[0] == b[0]:
        if (a[1] + b[1]) % FIELD == 0:
            return None
        slope = 3 * a[0] * a[0] * pow(2 * a[1], -1, FIELD)
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, FIELD)
    x = (slope * slope - a[0] - b[0]) % FIELD
    return x, (slope * (a[0] - x) - a[1]) % FIELD


def times(scalar: int, point: Affine) -> Affine:
    if point is None:
        return None
    # Jacobian coordinates: one inversion at the end instead of one a step.
    base, result = (*point, 1), (1, 1, 0)
    for bit in bin(scalar)[2:]:
        result = _double(result)
        if bit == "1":
            result = _join(result, base)
    x, y, z = result
    if z == 0:
        return None
    inverse = pow(z, -1, FIELD)
    return x * inverse**2 % FIELD, y * inverse**3 % FIELD


Jacobian = tuple[int, int, int]


def _double(a: Jacobian) -> Jacobian:
    x, y, z = a
    four = 4 * x * y * y % FIELD
    slope = 3 * x * x % FIELD
    x3 = (slope * slope - 2 * four) % FIELD
    return x3, (slope * (four - x3) - 8 * pow(y, 4, FIELD)) % FIELD, 2 * y * z % FIELD


def _join(a: Jacobian, b: Jacobian) -> Jacobian:
    if a[2] == 0:
        return b
    u1, u2 = a[0] * b[2] ** 2 % FIELD, b[0] * a[2] ** 2 % FIELD
    s1, s2 = a[1] * b[2] ** 3 % FIELD, b[1] * a[2] ** 3 % FIELD
    if u1 == u2:
        return _double(a) if s1 == s2 else (1, 1, 0)
    h, r = u2 - u1, s2 - s1
    x3 = (r * r - h**3 - 2 * u1 * h * h) % FIELD
    return x3, (r * (u1 * h * h - x3) - s1 * h**3) % FIELD, h * a[2] * b[2] % FIELD


def address(point: Affine) -> int:
    if point is None:
        return 0
    data = point[0].to_bytes(32, "big") + point[1].to_bytes(32, "big")
    return int.from_bytes(sha3.keccak_256(data).digest()[12:], "big")


def ecrecover(digest: int, v: int, r: int, s: int) -> int:
    """Return the address, or 0 where the precompile gives nothing."""
    if v not in (27, 28) or not (0 < r < ORDER and 0 < s < ORDER):
        return 0
    square = (r**3 + 7) % FIELD
    y = pow(square, (FIELD + 1) // 4, FIELD)
    if y * y % FIELD != square:
        return 0
    if y & 1 != v - 27:
        y = FIELD - y
    inverse = pow(r, -1, ORDER)
    return address(plus(times(-digest * inverse % ORDER, BASE), times(s * inverse % ORDER, (r, y))))


def on_curve(x: int, y: int) -> bool:
    return x < FIELD and y < FIELD and (y * y - x**3 - 7) % FIELD == 0


def failing_checks(row: dict[str, str]) -> list[int]:
    """Return the numbers of all checks that refuse a row of delivery.json."""
    w = {key: int(value, 16) for key, value in row.items() if key not in ("name", "step")}
    failing = []

    points = [
        (w["xx"], w["xy"]),
        (w["bx"], w["by"]),
        (w["yx"], w["yy"]),
        (w["a2x"], w["a2y"]),
        (w["cyx"], w["cyy"]),
    ]
    if not all(on_curve(*p) for p in points) or not all(1 <= p[0] < ORDER for p in points[:3]):
        failing.append(1)

    bits = w["xy"] & 1 | (w["by"] & 1) << 1 | (w["yy"] & 1) << 2
    parts = ((w["context"], 32), (w["xx"], 32), (w["bx"], 32), (w["yx"], 32), (bits, 1), (w["a1"], 20),
             (w["a2x"], 32), (w["a2y"], 32))  # fmt: skip
    message = b"".join(value.to_bytes(size, "big") for value, size in parts)
    assert len(message) == 213
    c, s = int.from_bytes(sha3.keccak_256(message).digest(), "big") % ORDER, w["s"]
    if not 0 < s < ORDER or c == 0:
        failing.append(2)

    first = ecrecover(-s * w["xx"] % ORDER, 27 + (w["xy"] & 1), w["xx"], -c * w["xx"] % ORDER)
    if first == 0 or first != w["a1"]:
        failing.append(3)
    hint = ecrecover(0, 27 + (w["yy"] & 1), w["yx"], c * w["yx"] % ORDER)
    if hint == 0 or hint != address((w["cyx"], w["cyy"])):
        failing.append(4)
    if (w["cyx"] - w["a2x"]) * w["inverse"] % FIELD != 1:
        failing.append(5)
    slope = (w["cyy"] - w["a2y"]) * w["inverse"] % FIELD
    x = (slope * slope - w["a2x"] - w["cyx"]) % FIELD
    y = (slope * (w["a2x"] - x) - w["a2y"]) % FIELD
    second = ecrecover(0, 27 + (w["by"] & 1), w["bx"], s * w["bx"] % ORDER)
    if second == 0 or second != address((x, y)):
        failing.append(6)
    return failing
