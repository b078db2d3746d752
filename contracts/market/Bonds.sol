// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Escrow} from "../Escrow.sol";
import {IBonds} from "../interfaces/IBonds.sol";

/// @title Bonds
/// @notice See IBonds.
abstract contract Bonds is Escrow, IBonds {
    /// @inheritdoc IBonds
    mapping(address seller => uint256) public override freeBond;

    /// @inheritdoc IBonds
    function fundBond(address seller) external payable {
        freeBond[seller] += msg.value;
        emit BondFunded(seller, msg.sender, msg.value);
    }

    /// @inheritdoc IBonds
    function takeBond(uint128 amount) external nonReentrant {
        // Effect
        _reserveBond(msg.sender, amount);
        emit BondTaken(msg.sender, amount);

        // Interaction
        _pay(_word(msg.sender), NATIVE, amount);
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
}
