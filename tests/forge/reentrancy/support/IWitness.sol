// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title IWitness
/// @notice Looks at the books in the middle of a call.
interface IWitness {
    /// @notice Reverts if a contract holds less than it owes.
    function requireBooks() external view;
}
