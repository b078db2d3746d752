// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @notice A point of secp256k1 in affine coordinates, both below the field prime. The point at infinity has
/// no such form.
struct Point {
    uint256 x;
    uint256 y;
}
