// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ITreasury} from "./ITreasury.sol";

/// @title Escrow
/// @notice What the market itself holds: money of which it is not decided whose it is. Prices of open purchases, fees of open key
/// requests, and bonds: wei that sellers set aside, of which a part is reserved for each open purchase and goes to its payer if
/// the seller fails. Whatever is decided goes to the treasury in the same call.
/// @dev In every currency the market's own holding is at least the sum of these, and equal to it if nobody sent it money unasked.
interface IEscrow {
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

    /// @notice The native coin sent is not what is to be paid.
    /// @param sent Wei with the call.
    /// @param price Wei wanted.
    error Escrow_WrongValue(uint256 sent, uint256 price);

    /// @notice A token moved another amount than it was asked to: fee on transfer, rebasing, or a lie.
    /// @param currency The token.
    /// @param amount What was asked for.
    error Escrow_WrongTransfer(address currency, uint256 amount);

    /// @notice The books.
    /// @return books The treasury of this deployment.
    function treasury() external view returns (ITreasury books);

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
