// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Point} from "../../../contracts/types/Point.sol";
import {Proof} from "../../../contracts/types/Proof.sol";

/// @title Prover
/// @notice Test-only arithmetic on secp256k1 and a prover for `Dleq`, written apart from the contracts. Slow,
/// not constant time, and of no use outside of tests. The point at infinity is (0, 0).
library Prover {
    uint256 internal constant F = 2 ** 256 - 2 ** 32 - 977;
    uint256 internal constant N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    /// @dev Jacobian coordinates: (x/z^2, y/z^3); z = 0 is infinity.
    struct Jacobian {
        uint256 x;
        uint256 y;
        uint256 z;
    }

    function generator() internal pure returns (Point memory) {
        return Point(
            0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
            0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8
        );
    }

    /// @notice `scalar * point`.
    function mul(uint256 scalar, Point memory point) internal pure returns (Point memory) {
        Jacobian memory sum;
        Jacobian memory base = Jacobian(point.x, point.y, 1);
        for (uint256 k = scalar; k != 0; k >>= 1) {
            if (k & 1 == 1) sum = _add(sum, base);
            base = _double(base);
        }
        return _affine(sum);
    }

    /// @notice `a + b`.
    function add(Point memory a, Point memory b) internal pure returns (Point memory) {
        return
            _affine(
                _add(Jacobian(a.x, a.y, a.x | a.y == 0 ? 0 : 1), Jacobian(b.x, b.y, b.x | b.y == 0 ? 0 : 1))
            );
    }

    /// @notice `-a`.
    function neg(Point memory a) internal pure returns (Point memory) {
        return Point(a.x, F - a.y);
    }

    function addressOf(Point memory a) internal pure returns (address) {
        return address(uint160(uint256(keccak256(bytes.concat(bytes32(a.x), bytes32(a.y))))));
    }

    /// @notice Inverse modulo the field prime by Fermat, zero for zero.
    function inverse(uint256 value) internal pure returns (uint256) {
        return power(value, F - 2);
    }

    function power(uint256 base, uint256 exponent) internal pure returns (uint256 result) {
        result = 1;
        for (; exponent != 0; exponent >>= 1) {
            if (exponent & 1 == 1) result = mulmod(result, base, F);
            base = mulmod(base, base, F);
        }
    }

    /// @notice Challenge of the transcript, put together piece by piece.
    function challenge(
        bytes32 context,
        Point memory x,
        Point memory b,
        Point memory y,
        address a1,
        Point memory a2
    ) internal pure returns (uint256) {
        uint256 bits = x.y % 2 + 2 * (b.y % 2) + 4 * (y.y % 2);
        bytes memory head =
            bytes.concat(context, bytes32(x.x), bytes32(b.x), bytes32(y.x), bytes1(uint8(bits)));
        bytes memory message = bytes.concat(head, bytes20(a1), bytes32(a2.x), bytes32(a2.y));
        require(message.length == 213, "transcript");
        return uint256(keccak256(message)) % N;
    }

    /// @notice A proof with honest hints for any statement and commitments, true or not, and the response `r
    /// + c*k`.
    function forge(
        bytes32 context,
        Point[3] memory statement,
        address a1,
        Point memory a2,
        uint256 k,
        uint256 r
    ) internal pure returns (Proof memory proof) {
        uint256 c = challenge(context, statement[0], statement[1], statement[2], a1, a2);
        return respond(c, statement[2], a1, a2, addmod(r, mulmod(c, k, N), N));
    }

    /// @notice A proof with honest hints for a given challenge and response.
    function respond(uint256 c, Point memory y, address a1, Point memory a2, uint256 s)
        internal
        pure
        returns (Proof memory)
    {
        Point memory cY = mul(c, y);
        return Proof({a1: a1, a2: a2, s: s, cY: cY, inverse: inverse(addmod(cY.x, F - a2.x % F, F))});
    }

    /// @notice The statement (k*G, b, k*b) and its honest proof with nonce `r`.
    function prove(bytes32 context, uint256 k, uint256 r, Point memory b)
        internal
        pure
        returns (Point[3] memory statement, Proof memory proof)
    {
        statement = [mul(k, generator()), b, mul(k, b)];
        proof = forge(context, statement, addressOf(mul(r, generator())), mul(r, b), k, r);
    }

    function _affine(Jacobian memory a) private pure returns (Point memory) {
        if (a.z == 0) return Point(0, 0);
        uint256 i = inverse(a.z);
        uint256 ii = mulmod(i, i, F);
        return Point(mulmod(a.x, ii, F), mulmod(a.y, mulmod(ii, i, F), F));
    }

    function _double(Jacobian memory a) private pure returns (Jacobian memory) {
        if (a.z == 0 || a.y == 0) return Jacobian(0, 0, 0);
        uint256 yy = mulmod(a.y, a.y, F);
        uint256 s = mulmod(4, mulmod(a.x, yy, F), F);
        uint256 m = mulmod(3, mulmod(a.x, a.x, F), F);
        uint256 x = addmod(mulmod(m, m, F), F - mulmod(2, s, F), F);
        uint256 y = addmod(mulmod(m, addmod(s, F - x, F), F), F - mulmod(8, mulmod(yy, yy, F), F), F);
        return Jacobian(x, y, mulmod(2, mulmod(a.y, a.z, F), F));
    }

    function _add(Jacobian memory a, Jacobian memory b) private pure returns (Jacobian memory) {
        if (a.z == 0) return b;
        if (b.z == 0) return a;
        uint256[4] memory u; // u1, u2, s1, s2: both points over one denominator
        {
            uint256 aa = mulmod(a.z, a.z, F);
            uint256 bb = mulmod(b.z, b.z, F);
            u = [
                mulmod(a.x, bb, F),
                mulmod(b.x, aa, F),
                mulmod(a.y, mulmod(bb, b.z, F), F),
                mulmod(b.y, mulmod(aa, a.z, F), F)
            ];
        }
        uint256 h = addmod(u[1], F - u[0], F);
        uint256 r = addmod(u[3], F - u[2], F);
        if (h == 0) return r == 0 ? _double(a) : Jacobian(0, 0, 0);
        uint256 hh = mulmod(h, h, F);
        uint256 hhh = mulmod(h, hh, F);
        uint256 v = mulmod(u[0], hh, F);
        uint256 x = addmod(addmod(mulmod(r, r, F), F - hhh, F), F - mulmod(2, v, F), F);
        uint256 y = addmod(mulmod(r, addmod(v, F - x, F), F), F - mulmod(u[2], hhh, F), F);
        return Jacobian(x, y, mulmod(h, mulmod(a.z, b.z, F), F));
    }
}
