// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Point} from "./Point.sol";

/// @notice A Chaum-Pedersen proof that two points have the same logarithm to two bases, as
/// `docs/key-delivery.md` defines it.
struct Proof {
    /// @dev Address of the commitment `r*G`.
    address a1;
    /// @dev The commitment `r*B`.
    Point a2;
    /// @dev Response `r + c*k mod n`, in [1, n).
    uint256 s;
    /// @dev Hint: `c*Y`.
    Point cY;
    /// @dev Hint: `(cY.x - a2.x)^-1 mod p`.
    uint256 inverse;
}
