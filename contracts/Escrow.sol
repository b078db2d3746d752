// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {IEscrow} from "./interfaces/IEscrow.sol";
import {IPayer} from "./interfaces/IPayer.sol";
import {ITreasury} from "./interfaces/ITreasury.sol";
import {Permit} from "./types/Permit.sol";

/// @title Escrow
/// @notice See IEscrow. Every coin and token that enters or leaves the market, or the channels, passes through the functions of this
/// file.
abstract contract Escrow is IEscrow, IPayer, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @dev The native coin, as the treasury names it.
    address internal constant NATIVE = address(0);

    /// @inheritdoc IEscrow
    ITreasury public immutable override treasury;

    constructor(ITreasury treasury_) {
        treasury = treasury_;
    }

    /// @inheritdoc IPayer
    function pay(address currency, uint256 amount) external {
        if (msg.sender != address(treasury)) revert Payer_NotTreasury(msg.sender);
        IERC20(currency).safeTransfer(address(treasury), amount);
    }

    /// @dev A permit copied from the mempool has set the allowance already; whether there is one, the transfer itself will tell.
    function _permit(address currency, Permit calldata permit) internal {
        // solhint-disable no-empty-blocks
        try IERC20Permit(currency)
            .permit(msg.sender, address(this), permit.value, permit.deadline, permit.v, permit.r, permit.s) {}
            catch {}
        // solhint-enable no-empty-blocks
    }

    /// @dev Takes an amount from the caller: native coin by value, an ERC-20 by allowance, only as measured.
    function _take(address currency, uint128 amount) internal {
        uint256 value = currency == NATIVE ? amount : 0;
        if (msg.value != value) revert Escrow_WrongValue(msg.value, value);
        // All of it has come: it is native coin, or nothing.
        if (value == amount) return;
        uint256 expected = IERC20(currency).balanceOf(address(this)) + amount;
        IERC20(currency).safeTransferFrom(msg.sender, address(this), amount);
        if (IERC20(currency).balanceOf(address(this)) != expected) {
            revert Escrow_WrongTransfer(currency, amount);
        }
    }

    /// @dev Pays an amount that this contract holds into the books.
    function _pay(bytes32 to, address currency, uint128 amount) internal {
        if (amount == 0) return;
        if (currency == NATIVE) treasury.deposit{value: amount}(to, NATIVE, amount);
        else treasury.collect(to, currency, amount);
    }

    /// @dev An account, as the treasury names it.
    function _word(address account) internal pure returns (bytes32) {
        return bytes32(uint256(uint160(account)));
    }
}
