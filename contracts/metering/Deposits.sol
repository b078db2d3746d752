// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {IEscrow} from "../interfaces/IEscrow.sol";
import {IPayer} from "../interfaces/IPayer.sol";
import {IPurchases} from "../interfaces/IPurchases.sol";
import {ITreasury} from "../interfaces/ITreasury.sol";

/// @title Deposits
/// @notice Every coin and token that enters or leaves the channels passes through the functions of this file.
abstract contract Deposits is IPayer, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    address private constant NATIVE = address(0);

    /// @notice The books.
    ITreasury public immutable treasury;

    constructor(ITreasury treasury_) {
        treasury = treasury_;
    }

    /// @inheritdoc IPayer
    function pay(address currency, uint256 amount) external {
        if (msg.sender != address(treasury)) revert Payer_NotTreasury(msg.sender);
        IERC20(currency).safeTransfer(address(treasury), amount);
    }

    /// @dev A permit copied from the mempool has set the allowance already; whether there is one, the transfer itself will tell.
    function _permit(address currency, IPurchases.Permit calldata permit) internal {
        // solhint-disable no-empty-blocks
        try IERC20Permit(currency)
            .permit(msg.sender, address(this), permit.value, permit.deadline, permit.v, permit.r, permit.s) {}
            catch {}
        // solhint-enable no-empty-blocks
    }

    /// @dev Takes an amount from the caller: native coin by value, an ERC-20 by allowance, only as measured.
    function _take(address currency, uint128 amount) internal {
        uint256 value = currency == NATIVE ? amount : 0;
        if (msg.value != value) revert IEscrow.Escrow_WrongValue(msg.value, value);
        if (currency == NATIVE) return;
        uint256 before = IERC20(currency).balanceOf(address(this));
        IERC20(currency).safeTransferFrom(msg.sender, address(this), amount);
        uint256 later = IERC20(currency).balanceOf(address(this));
        if (later < before || later - before != amount) {
            revert IEscrow.Escrow_WrongTransfer(currency, amount);
        }
    }

    /// @dev Pays an amount that this contract holds into the books.
    function _pay(bytes32 to, address currency, uint128 amount) internal {
        if (amount == 0) return;
        if (currency == NATIVE) treasury.deposit{value: amount}(to, NATIVE, amount);
        else treasury.collect(to, currency, amount);
    }
}
