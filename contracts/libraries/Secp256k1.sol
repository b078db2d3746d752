// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Point} from "../types/Point.sol";

/// @title Secp256k1
/// @notice Constants of the curve `y^2 = x^3 + 7` and the few operations on it that the market needs.
/// @dev Scalar multiplication is left to the `ecrecover` precompile: see `Dleq`.
library Secp256k1 {
    /// @notice Thrown when a difference of two equal points is asked for; `x` is their abscissa.
    error Secp256k1_PointAtInfinity(uint256 x);

    /// @dev Prime of the field, `2^256 - 2^32 - 977`.
    uint256 internal constant FIELD = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFC2F;

    /// @dev Order `n` of the group, a prime.
    uint256 internal constant ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    /// @dev Abscissa of the base point `G`.
    uint256 internal constant GENERATOR_X =
        0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798;

    /// @dev Ordinate of the base point `G`.
    uint256 internal constant GENERATOR_Y =
        0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8;

    /// @dev Abscissa of the second generator `P`, whose logarithm nobody knows: `SHA-256("steelyard/nums/v1"
    /// || uint32(3))`. The digests for 0, 1 and 2 belong to no point of the curve.
    uint256 internal constant NUMS_X = 0x27FA491DCB4DBDC4627812EB3512EE1EF4BEAF1B59817BB2CA48C87ADC887E51;

    /// @dev Ordinate of `P`, the even one of the two.
    uint256 internal constant NUMS_Y = 0xE83A01147FBEA45C78F3AC5C8B5D06F252F3DD9908D88EBDB0308BA5A488AFA4;

    /// @dev Address of the precompiled contract for modular exponentiation (EIP-198).
    address private constant MODEXP = address(5);

    /// @notice The second generator `P`.
    function nums() internal pure returns (Point memory) {
        return Point({x: NUMS_X, y: NUMS_Y});
    }

    /// @notice Whether `(x, y)` are coordinates below the field prime that satisfy the curve equation.
    /// @dev The order is prime, so there is no small subgroup to check for.
    function isOnCurve(uint256 x, uint256 y) internal pure returns (bool) {
        if (x >= FIELD || y >= FIELD) return false;
        return mulmod(y, y, FIELD) == addmod(mulmod(mulmod(x, x, FIELD), x, FIELD), 7, FIELD);
    }

    /// @notice Ethereum address of the public key `(x, y)`.
    /// @dev `keccak256(abi.encode(x, y))` in the scratch space that Solidity leaves to assembly, 200 gas
    /// cheaper.
    function toAddress(uint256 x, uint256 y) internal pure returns (address) {
        bytes32 digest;
        assembly ("memory-safe") {
            mstore(0x00, x)
            mstore(0x20, y)
            digest := keccak256(0x00, 0x40)
        }
        return address(uint160(uint256(digest)));
    }

    /// @notice Affine sum `(ax, ay) + (bx, by)` of two points of different abscissae.
    /// @param inverse `(bx - ax)^-1` modulo the field prime; the caller has made sure of it.
    function add(uint256 ax, uint256 ay, uint256 bx, uint256 by, uint256 inverse)
        internal
        pure
        returns (uint256 x, uint256 y)
    {
        unchecked {
            // Safe: coordinates are below the prime.
            uint256 slope = mulmod(addmod(by, FIELD - ay, FIELD), inverse, FIELD);
            return _third(slope, ax, ay, bx);
        }
    }

    /// @notice Difference `a - b` of two points of the curve.
    /// @dev `a = -b` is a doubling. No point of the curve has the ordinate zero, so its slope is always
    /// defined.
    /// @custom:reverts Secp256k1_PointAtInfinity when `a = b`
    function subtract(Point memory a, Point memory b) internal view returns (Point memory difference) {
        if (a.x != b.x) {
            uint256 inverse = invert(addmod(b.x, FIELD - a.x, FIELD));
            (difference.x, difference.y) = add(a.x, a.y, b.x, FIELD - b.y, inverse);
        } else {
            if (a.y == b.y) revert Secp256k1_PointAtInfinity(a.x);
            uint256 slope =
                mulmod(mulmod(3, mulmod(a.x, a.x, FIELD), FIELD), invert(mulmod(2, a.y, FIELD)), FIELD);
            (difference.x, difference.y) = _third(slope, a.x, a.y, a.x);
        }
    }

    /// @notice Inverse of `value` modulo the field prime, by Fermat; zero gives zero.
    /// @dev The precompile fails only for lack of gas, and then `abi.decode` reverts on its empty answer.
    function invert(uint256 value) internal view returns (uint256) {
        (, bytes memory answer) = MODEXP.staticcall(abi.encode(32, 32, 32, value, FIELD - 2, FIELD));
        return abi.decode(answer, (uint256));
    }

    /// @dev Mirror image of the third intersection of the curve with the line of this slope through `(ax,
    /// ay)` and abscissa `bx`.
    function _third(uint256 slope, uint256 ax, uint256 ay, uint256 bx)
        private
        pure
        returns (uint256 x, uint256 y)
    {
        unchecked {
            // Safe: what is subtracted from the prime is below it.
            x = addmod(mulmod(slope, slope, FIELD), FIELD - addmod(ax, bx, FIELD), FIELD);
            y = addmod(mulmod(slope, addmod(ax, FIELD - x, FIELD), FIELD), FIELD - ay, FIELD);
        }
    }
}
