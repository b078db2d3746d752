// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @notice An ERC-2612 permit of the caller for the contract called.
struct Permit {
    uint256 value;
    uint256 deadline;
    uint8 v;
    bytes32 r;
    bytes32 s;
}
