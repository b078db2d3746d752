// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Point} from "../../../../contracts/types/Point.sol";

/// @title Curve
/// @notice Test-only arithmetic on secp256k1 for tests that prove thousands of deliveries: a fifth of the gas of `Prover`, which a
/// test holds it against. No point here is ever infinity.
library Curve {
    uint256 internal constant F = 2 ** 256 - 2 ** 32 - 977;
    uint256 internal constant N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    /// @notice `k * p` for 1 <= k < N.
    /// @dev From the highest bit down the sum is always `j * p` with `2 * j < N`, so no addition meets an equal or opposite point.
    function mul(uint256 k, Point memory p) internal view returns (Point memory) {
        (uint256 px, uint256 py) = (p.x, p.y);
        (uint256 x, uint256 y, uint256 z) = (px, py, 1);
        uint256 mask = 1 << 255;
        while (k & mask == 0) mask >>= 1;
        for (mask >>= 1; mask != 0; mask >>= 1) {
            (x, y, z) = _double(x, y, z);
            if (k & mask != 0) (x, y, z) = _addAffine(x, y, z, px, py);
        }
        uint256 i = inverse(z);
        uint256 ii = mulmod(i, i, F);
        return Point(mulmod(x, ii, F), mulmod(y, mulmod(ii, i, F), F));
    }

    /// @notice `a + b` of two points of different abscissae.
    function add(Point memory a, Point memory b) internal view returns (Point memory) {
        require(a.x != b.x, "Curve: equal abscissae");
        uint256 slope = mulmod(addmod(b.y, F - a.y, F), inverse(addmod(b.x, F - a.x, F)), F);
        uint256 x = addmod(mulmod(slope, slope, F), F - addmod(a.x, b.x, F), F);
        return Point(x, addmod(mulmod(slope, addmod(a.x, F - x, F), F), F - a.y, F));
    }

    /// @notice Inverse modulo the field prime.
    function inverse(uint256 value) internal view returns (uint256) {
        (, bytes memory answer) = address(5).staticcall(abi.encode(32, 32, 32, value, F - 2, F));
        return abi.decode(answer, (uint256));
    }

    function _double(uint256 x, uint256 y, uint256 z) private pure returns (uint256, uint256, uint256) {
        unchecked {
            uint256 yy = mulmod(y, y, F);
            uint256 s = mulmod(4, mulmod(x, yy, F), F);
            uint256 m = mulmod(3, mulmod(x, x, F), F);
            z = mulmod(2, mulmod(y, z, F), F);
            x = addmod(mulmod(m, m, F), F - addmod(s, s, F), F);
            y = addmod(mulmod(m, addmod(s, F - x, F), F), F - mulmod(8, mulmod(yy, yy, F), F), F);
            return (x, y, z);
        }
    }

    function _addAffine(uint256 x, uint256 y, uint256 z, uint256 px, uint256 py)
        private
        pure
        returns (uint256, uint256, uint256)
    {
        unchecked {
            uint256 zz = mulmod(z, z, F);
            uint256 h = addmod(mulmod(px, zz, F), F - x, F);
            uint256 r = addmod(mulmod(py, mulmod(zz, z, F), F), F - y, F);
            z = mulmod(z, h, F);
            zz = mulmod(h, h, F);
            h = mulmod(h, zz, F);
            px = mulmod(x, zz, F);
            x = addmod(mulmod(r, r, F), F - addmod(h, addmod(px, px, F), F), F);
            y = addmod(mulmod(r, addmod(px, F - x, F), F), F - mulmod(y, h, F), F);
            return (x, y, z);
        }
    }
}
