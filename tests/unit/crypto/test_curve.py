import pytest

from steelyard.crypto.curve import FIELD, G, N, P, add, address, decode_point, lift, mul, neg, on_curve
from steelyard.domain.point import Point
from steelyard.errors import ProofError
from tests.unit.crypto import oracle


def test_arithmetic_agrees_with_textbook() -> None:
    for scalar in (1, 2, 3, 2**128 + 5, N - 2, N - 1):
        point = mul(scalar, P)
        assert (point.x, point.y) == oracle.times(scalar, (P.x, P.y))
        total = add(point, mul(7, G))
        assert (total.x, total.y) == oracle.plus((point.x, point.y), oracle.times(7, oracle.BASE))


def test_add_doubles() -> None:
    assert add(G, G) == mul(2, G)


def test_neg_is_the_inverse() -> None:
    assert neg(G) == mul(N - 1, G)


def test_address_of_the_base_point_is_that_of_private_key_one() -> None:
    assert address(G).hex() == "7e5f4552091a69125d5dfcb7b8c2659029395bdf"


def test_second_generator_is_on_the_curve_and_even() -> None:
    assert on_curve(P) and P.odd == 0
    assert lift(P.x, odd=1) == neg(P)


@pytest.mark.parametrize("scalar", [0, N, 2 * N])
def test_mul_refuses_a_product_at_infinity(scalar: int) -> None:
    with pytest.raises(ProofError, match="infinity"):
        mul(scalar, G)


def test_add_refuses_a_sum_at_infinity() -> None:
    with pytest.raises(ProofError, match="infinity"):
        add(G, neg(G))


@pytest.mark.parametrize(
    "point",
    [Point(0, 0), Point(G.x, G.y + 1), Point(G.x + FIELD, G.y), Point(G.x, -G.y), Point(5, 1)],
)
def test_points_off_the_curve_are_refused_everywhere(point: Point) -> None:
    assert not on_curve(point)
    with pytest.raises(ProofError):
        mul(2, point)
    with pytest.raises(ProofError):
        add(G, point)
    with pytest.raises(ProofError):
        add(point, G)


def test_decode_reads_what_encode_wrote() -> None:
    assert decode_point(P.encode()) == P


def test_a_point_has_64_bytes() -> None:
    point = next(p for k in range(1, 5000) if (p := mul(k, G)).y >> 248 == 0)
    short = point.encode()[:32] + point.encode()[33:]
    for data in (short, b"\0" + point.encode(), b""):
        with pytest.raises(ProofError, match="64 bytes"):
            decode_point(data)


@pytest.mark.parametrize("data", [b"", bytes(63), bytes(64), b"\xff" * 64, bytes(65)])
def test_decode_refuses(data: bytes) -> None:
    with pytest.raises(ProofError):
        decode_point(data)


def test_encode_refuses_what_does_not_fit() -> None:
    with pytest.raises(ProofError):
        Point(1 << 256, 0).encode()


def test_lift_refuses_non_abscissae() -> None:
    assert lift(5, odd=0) is None
    assert lift(FIELD + 1, odd=0) is None
