// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ITreasury} from "./ITreasury.sol";

/// @title Escrow
/// @notice What a contract itself holds: money of which it is not decided whose it is. In the market, prices of open purchases, fees of
/// open key requests, and bonds; in the channels, deposits less what was claimed. Whatever is decided goes to the treasury in the
/// same call.
/// @dev In every currency the contract's own holding is at least the sum of these, and equal to it if nobody sent it money unasked.
interface IEscrow {
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
}
