// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Checker
/// @notice A contract without a trail: a companion.
contract Checker {
    function check() external pure returns (bool) {
        return true;
    }
}
