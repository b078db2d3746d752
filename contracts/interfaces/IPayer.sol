// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Payer
/// @notice What a contract that holds ERC-20 tokens answers to when it pays them into the treasury.
interface IPayer {
    /// @notice Only the treasury may call this.
    /// @param caller Who called.
    error Payer_NotTreasury(address caller);

    /// @notice Makes the transfer that `ITreasury.collect` waits for: `amount` of `currency` from this contract to the treasury.
    /// @dev The treasury calls whoever called `collect`, so it can only be reached in the course of this contract's own payment.
    /// @param currency An ERC-20.
    /// @param amount Smallest units.
    function pay(address currency, uint256 amount) external;
}
