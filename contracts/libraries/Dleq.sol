// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Point} from "../types/Point.sol";
import {Proof} from "../types/Proof.sol";
import {Secp256k1} from "./Secp256k1.sol";

/// @title Dleq
/// @notice Verifies that `log_G(X) = log_B(Y)` on secp256k1: the Chaum-Pedersen proof of
/// `docs/key-delivery.md`, section "Verifier", whose six steps are marked below.
/// @dev `ecrecover(e, v, r, z)` answers the address of `r^-1 * (z*R - e*G)`, where `R` has abscissa `r` and
/// the parity in `v`: a scalar multiplication for 3,000 gas. An address is 160 bits, so two points that
/// collide cost about 2^80. In each comparison one side is fixed by the transcript before the other can be
/// chosen, which leaves a second preimage, 2^160.
library Dleq {
    /// @notice Step 1: `(x, y)` is not a point of the curve, or a coordinate is not below the field prime.
    error Dleq_OffCurve(uint256 x, uint256 y);

    /// @notice Step 1: the abscissa of `X`, `B` or `Y` is outside [1, n), where `ecrecover` cannot work with
    /// it.
    error Dleq_AbscissaOutOfRange(uint256 x);

    /// @notice Step 2: the response is outside [1, n).
    error Dleq_ResponseOutOfRange(uint256 s);

    /// @notice Step 2: the challenge is zero, so the equations would say nothing about the secret.
    error Dleq_ZeroChallenge();

    /// @notice Step 3: `a1` is not the address of `s*G - c*X`; `computed` is, or zero for the point at
    /// infinity.
    error Dleq_WrongCommitment(address a1, address computed);

    /// @notice Step 4: the hint `cY` has the address `hint`, and `c*Y` the address `computed`.
    error Dleq_WrongHint(address hint, address computed);

    /// @notice Step 5: `(cY.x - a2.x) * inverse` is `product` modulo the field prime, and not 1.
    error Dleq_WrongInverse(uint256 product);

    /// @notice Step 6: `a2 + c*Y` has the address `sum`, and `s*B` the address `computed`.
    error Dleq_WrongResponse(address sum, address computed);

    /// @notice Reverts unless `proof` shows, for this context, that `log_G(x) = log_b(y)`.
    /// @param context What the proof is bound to: label, chain, contract and subject, hashed by the caller.
    /// @param x Public key `k*G`.
    /// @param b Second base.
    /// @param y The point `k*b`.
    /// @param proof The proof with its hints.
    function verify(bytes32 context, Point memory x, Point memory b, Point memory y, Proof calldata proof)
        internal
        pure
    {
        // Step 1: points.
        _requireBase(x);
        _requireBase(b);
        _requireBase(y);
        _requireOnCurve(proof.a2.x, proof.a2.y);
        _requireOnCurve(proof.cY.x, proof.cY.y);

        verifyEquations(challenge(context, x, b, y, proof.a1, proof.a2), x, b, y, proof);
    }

    /// @notice Challenge of the transcript, modulo the order: of `X`, `B` and `Y` it takes abscissa and
    /// parity, 213 bytes in all.
    function challenge(
        bytes32 context,
        Point memory x,
        Point memory b,
        Point memory y,
        address a1,
        Point calldata a2
    ) internal pure returns (uint256) {
        uint8 bits = uint8((x.y & 1) | ((b.y & 1) << 1) | ((y.y & 1) << 2));
        return
            uint256(keccak256(abi.encodePacked(context, x.x, b.x, y.x, bits, a1, a2.x, a2.y)))
                % Secp256k1.ORDER;
    }

    /// @notice Steps 2 to 6 for a given challenge `c`, below the order.
    /// @dev Proves nothing unless `c` is the challenge of the transcript and step 1 is done: it is apart so
    /// that challenges which no transcript is known for can be tested. Call `verify`.
    function verifyEquations(uint256 c, Point memory x, Point memory b, Point memory y, Proof calldata proof)
        internal
        pure
    {
        // Step 2: scalars.
        uint256 s = proof.s;
        if (s == 0 || s >= Secp256k1.ORDER) revert Dleq_ResponseOutOfRange(s);
        if (c == 0) revert Dleq_ZeroChallenge();

        // Step 3: s*G - c*X is the first commitment. Zero, the answer for the point at infinity, never equals
        // an address.
        uint256 n = Secp256k1.ORDER;
        address computed = _recover(mulmod(n - s, x.x, n), x, mulmod(n - c, x.x, n));
        if (computed == address(0) || computed != proof.a1) revert Dleq_WrongCommitment(proof.a1, computed);

        // Step 4: the hint is c*Y. Here and in step 6 the other side is a hash of a point, for which zero is
        // no known value.
        computed = _recover(0, y, mulmod(c, y.x, n));
        address expected = Secp256k1.toAddress(proof.cY.x, proof.cY.y);
        if (computed != expected) revert Dleq_WrongHint(expected, computed);

        // Step 5: the inverse, and with it the affine sum A2 + c*Y.
        (uint256 ax, uint256 cx) = (proof.a2.x, proof.cY.x);
        uint256 product =
            mulmod(addmod(cx, Secp256k1.FIELD - ax, Secp256k1.FIELD), proof.inverse, Secp256k1.FIELD);
        if (product != 1) revert Dleq_WrongInverse(product);
        (ax, cx) = Secp256k1.add(ax, proof.a2.y, cx, proof.cY.y, proof.inverse);

        // Step 6: s*B is that sum.
        computed = _recover(0, b, mulmod(s, b.x, n));
        expected = Secp256k1.toAddress(ax, cx);
        if (computed != expected) revert Dleq_WrongResponse(expected, computed);
    }

    /// @dev Address of `point.x^-1 * (z*point - e*G)`, or zero.
    function _recover(uint256 e, Point memory point, uint256 z) private pure returns (address) {
        return ecrecover(bytes32(e), uint8(27 + (point.y & 1)), bytes32(point.x), bytes32(z));
    }

    function _requireBase(Point memory point) private pure {
        if (point.x == 0 || point.x >= Secp256k1.ORDER) revert Dleq_AbscissaOutOfRange(point.x);
        _requireOnCurve(point.x, point.y);
    }

    function _requireOnCurve(uint256 x, uint256 y) private pure {
        if (!Secp256k1.isOnCurve(x, y)) revert Dleq_OffCurve(x, y);
    }
}
