// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Bonds
/// @notice Wei that sellers set aside in the market's escrow, of which a part is reserved for each open purchase and goes to its payer if
/// the seller fails.
interface IBonds {
    /// @notice A seller's free bond grew from outside.
    /// @param seller Whose bond.
    /// @param from Who paid.
    /// @param amount Wei.
    event BondFunded(address indexed seller, address indexed from, uint256 amount);

    /// @notice A seller took free bond back, to his account in the treasury.
    /// @param seller Whose bond.
    /// @param amount Wei.
    event BondTaken(address indexed seller, uint256 amount);

    /// @notice The seller's free bond is too small.
    /// @param available Wei.
    /// @param needed Wei.
    error Escrow_BondTooLow(uint256 available, uint256 needed);

    /// @notice Bond of a seller that no open purchase reserves.
    /// @param seller Whose bond.
    /// @return amount Wei.
    function freeBond(address seller) external view returns (uint256 amount);

    /// @notice Adds the wei sent to a seller's free bond.
    /// @param seller Whose bond.
    function fundBond(address seller) external payable;

    /// @notice Moves free bond of the caller to his account in the treasury.
    /// @param amount Wei.
    function takeBond(uint128 amount) external;
}
