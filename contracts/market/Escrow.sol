// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {IEscrow} from "../interfaces/IEscrow.sol";
import {IPayer} from "../interfaces/IPayer.sol";
import {ITreasury} from "../interfaces/ITreasury.sol";

/// @title Escrow
/// @notice See IEscrow. Every coin and token that enters or leaves the market passes through the functions of this file.
abstract contract Escrow is IEscrow, IPayer, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @dev The native coin, as the treasury names it.
    address internal constant NATIVE = address(0);

    /// @inheritdoc IEscrow
    ITreasury public immutable override treasury;

    /// @inheritdoc IEscrow
    mapping(address seller => uint256) public override freeBond;

    constructor(ITreasury treasury_) {
        treasury = treasury_;
    }

    /// @inheritdoc IEscrow
    function fundBond(address seller) external payable {
        freeBond[seller] += msg.value;
        emit BondFunded(seller, msg.sender, msg.value);
    }

    /// @inheritdoc IEscrow
    function takeBond(uint128 amount) external nonReentrant {
        // Effect
        _reserveBond(msg.sender, amount);
        emit BondTaken(msg.sender, amount);

        // Interaction
        _pay(_word(msg.sender), NATIVE, amount);
    }

    /// @inheritdoc IPayer
    function pay(address currency, uint256 amount) external {
        if (msg.sender != address(treasury)) revert Payer_NotTreasury(msg.sender);
        IERC20(currency).safeTransfer(address(treasury), amount);
    }

    /// @dev Takes an amount from the caller: native coin by value, an ERC-20 by allowance, only as measured.
    function _take(address currency, uint128 amount) internal {
        uint256 value = currency == NATIVE ? amount : 0;
        if (msg.value != value) revert Escrow_WrongValue(msg.value, value);
        if (currency == NATIVE || amount == 0) return;
        uint256 before = IERC20(currency).balanceOf(address(this));
        IERC20(currency).safeTransferFrom(msg.sender, address(this), amount);
        uint256 later = IERC20(currency).balanceOf(address(this));
        if (later < before || later - before != amount) revert Escrow_WrongTransfer(currency, amount);
    }

    /// @dev Pays an amount that this contract holds into the books.
    function _pay(bytes32 to, address currency, uint128 amount) internal {
        if (amount == 0) return;
        if (currency == NATIVE) treasury.deposit{value: amount}(to, NATIVE, amount);
        else treasury.collect(to, currency, amount);
    }

    function _reserveBond(address seller, uint128 amount) internal {
        if (amount == 0) return;
        uint256 available = freeBond[seller];
        if (available < amount) revert Escrow_BondTooLow(available, amount);
        freeBond[seller] = available - amount;
    }

    function _releaseBond(address seller, uint128 amount) internal {
        if (amount != 0) freeBond[seller] += amount;
    }

    function _word(address account) internal pure returns (bytes32) {
        return bytes32(uint256(uint160(account)));
    }
}
